"""Runs in the words of Codex's protocol: whose words are shown, and what places are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from linkspan.codex.app_server.events import event_of
from linkspan.codex.app_server.rpc import Told
from linkspan.codex.broker.methods import TOLD
from linkspan.store.run_events import RunEvent
from linkspan.web.session.shapes import Places, Telling, turn_of
from tests.servers import codex as codex_cli
from tests.servers.protocol import described
from tests.store.rows import run, session_thread
from tests.web.session.talking import SAID_BY_CODEX

WORK = Path("/nowhere/work")
RUN = replace(run("acme"), plan={"words": "Make it three."})
TELLING = Telling(session_thread("acme"), RUN, Places(WORK, RUN))


def item(seq: int, kind: str = "item_completed", **members: Any) -> RunEvent:
    """Answer an event of an item."""
    return RunEvent(seq, float(seq), kind, {"item": {"id": f"i{seq}", **members}})


def said(seq: int, text: str, client: str | None = None) -> RunEvent:
    """Answer the event of a message to Codex."""
    return item(seq, type="userMessage", content=[{"type": "text", "text": text}], clientId=client)


def test_only_what_people_said_is_shown_as_theirs() -> None:
    """Neither the recipe's words before the first message, nor ours after a restart; a steer as it is."""
    events = [
        said(1, "The recipe.\n\nMake it three.", f"{RUN.id}:0123456789abcdef"),
        said(2, "The process was stopped.", f"{RUN.id}:0123456789abcdef:1"),
        said(3, "And leave the menu."),
    ]
    shown = [each["content"][0]["text"] for each in TELLING.items(events)]
    assert shown == ["Make it three.", "And leave the menu."]
    told = [params["item"]["id"] for event in events for _, params in TELLING.notices(event)]
    assert told == ["i1", "i3"]


def test_no_place_of_this_machine_is_told() -> None:
    """In commands, what they print, diffs and the words of a fault."""
    place = f"{WORK}/acme/runs/{RUN.id}/checkout"
    for event in (
        item(1, type="commandExecution", command=f"cat {place}/a.py", cwd=place, aggregatedOutput=place),
        RunEvent(2, 2.0, "output_delta", {"item_id": "i1", "text": f"{place}/a.py"}),
        RunEvent(3, 3.0, "diff", {"diff": f"+{place}"}),
        RunEvent(4, 4.0, "error", {"message": f"{WORK}/acme/runs/{RUN.id}/home is full"}),
        RunEvent(5, 5.0, "warning", {"message": place}),
    ):
        ((_, params),) = TELLING.notices(event)
        assert str(WORK) not in str(params)
    assert TELLING.items([item(1, type="x", cwd=place)])[0]["cwd"] == "/workspace"


def test_what_is_being_written_is_in_what_is_read() -> None:
    """Words that came until then stand in the item that goes on."""
    events = [
        item(1, "item_started", type="agentMessage", text=""),
        RunEvent(2, 2.0, "message_delta", {"item_id": "i1", "text": "Two, "}),
        RunEvent(3, 3.0, "message_delta", {"item_id": "i1", "text": "nearly."}),
    ]
    assert [each["text"] for each in TELLING.items(events)] == ["Two, nearly."]


@pytest.mark.e2e
@pytest.mark.parametrize("command", [codex_cli.npm_command, codex_cli.python_command])
def test_what_is_told_is_a_notification_of_codexs(command: Callable[[], tuple[str, ...]]) -> None:
    """Each kind of event, from what Codex says to what a session says of it, by the binary's own schema."""
    methods = set()
    with described(command()) as protocol:
        for seq, (method, params) in enumerate(SAID_BY_CODEX, 1):
            protocol.check("ServerNotification", {"method": method, "params": params})
            event = event_of(Told(method, params))
            assert event is not None
            ((name, told),) = TELLING.notices(RunEvent(seq, float(seq), event.kind, event.data))
            protocol.check("ServerNotification", {"method": name, "params": told})
            methods.add(name)
        for state in ("running", "waiting_approval"):
            ((name, told),) = TELLING.notices(RunEvent(99, 99.0, "state", {"state": state}))
            protocol.check("ServerNotification", {"method": name, "params": told})
            methods.add(name)
    assert methods < TOLD


def test_a_turn_ends_as_its_run_does() -> None:
    """One that somebody stopped, and that was kept, is no whole one."""
    ended = replace(RUN, finished=9.0)
    states = {"succeeded": "completed", "failed": "failed", "timed_out": "failed", "cancelled": "interrupted"}
    for state, status in states.items():
        assert turn_of(replace(ended, state=state))["status"] == status  # type: ignore[arg-type]
    assert turn_of(replace(ended, state="succeeded"), interrupted=True)["status"] == "interrupted"
    assert turn_of(replace(RUN, state="queued"))["status"] == "inProgress"
