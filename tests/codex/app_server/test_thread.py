"""Nothing is begun with a Codex that did not understand what it was told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from linkspan.accounts.principal import Tenant
from linkspan.codex.app_server.home import Home
from linkspan.codex.app_server.rpc import Connection, Refused
from linkspan.codex.app_server.thread import Opened, first_message, message_id, open_thread
from linkspan.codex.engine import Access, Limits, Task, Thread
from linkspan.errors import Internal, UpstreamError
from linkspan.vault.secret import Secret


class Saying(Connection):
    """A connection on which every call has the same answer."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.answer_ = answer
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def call(self, method: str, params: Mapping[str, Any], *, seconds: float = 30.0) -> Any:
        """Answer."""
        self.asked.append((method, params))
        return self.answer_


class Refusing(Connection):
    """A connection on which every call is refused."""

    def __init__(self, refusal: Refused) -> None:
        self.refusal = refusal

    async def call(self, method: str, params: Mapping[str, Any], *, seconds: float = 30.0) -> Any:
        """Refuse."""
        raise self.refusal


def task_in(folder: Path, **more: Any) -> Task:
    """Answer a task."""
    model = Access("http://127.0.0.1:1/v1", Secret("t"))
    given = {"run": "run_1", "tenant": Tenant("acme"), "folder": folder, "prompt": "Do it."}
    return Task(model=model, limits=Limits(1), workspace=folder / "checkout", **{**given, **more})


def good(folder: Path, **more: Any) -> dict[str, Any]:
    """What Codex answers when it understood."""
    return {
        "thread": {"id": "t1"},
        "model": "m",
        "cwd": str(folder / "checkout"),
        "instructionSources": [],
        "activePermissionProfile": {"id": "run"},
        "sandbox": {"type": "workspaceWrite", "networkAccess": False},
        **more,
    }


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"cwd": "/"}, "another folder"),
        ({"instructionSources": ["/x/AGENTS.md"]}, "instructions of the repository"),
        ({"activePermissionProfile": None}, "another sandbox"),
        ({"activePermissionProfile": {"id": ":workspace"}}, "another sandbox"),
        ({"sandbox": {"type": "dangerFullAccess"}}, "another sandbox"),
        ({"sandbox": {"type": "workspaceWrite", "networkAccess": True}}, "another network"),
    ],
)
async def test_what_is_not_as_it_should_be_is_not_worked_with(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    """Codex says how it took its configuration; a later version may take it otherwise."""
    home = Home(tmp_path / "home", tmp_path / "checkout", (), {})
    opened = await open_thread(Saying(good(tmp_path)), task_in(tmp_path), home)
    assert (opened.id, opened.is_new) == ("t1", True)
    with pytest.raises(Internal, match=words):
        await open_thread(Saying(good(tmp_path, **more)), task_in(tmp_path), home)


async def test_a_network_is_asked_for_or_not(tmp_path: Path) -> None:
    """A recipe with hosts that got none is wrong as well."""
    home = Home(tmp_path / "home", tmp_path / "checkout", (), {})
    with pytest.raises(Internal, match="another network"):
        await open_thread(Saying(good(tmp_path)), task_in(tmp_path, network=("x.example",)), home)


async def test_a_thread_is_resumed_where_its_record_is(tmp_path: Path) -> None:
    """And begun anew where Codex never wrote one."""
    home = Home(tmp_path / "home", tmp_path / "checkout", (), {})
    task = task_in(tmp_path, thread=Thread("t1"))
    saying = Saying(good(tmp_path))
    await open_thread(saying, task, home)
    record = home.path / "sessions" / "2026" / "11" / "29" / "rollout-2026-11-29T00-00-00-t1.jsonl"
    record.parent.mkdir(parents=True)
    record.touch()
    await open_thread(saying, task, home)
    assert [method for method, _ in saying.asked] == ["thread/start", "thread/resume"]


@pytest.mark.parametrize("words", ["linkspan: handshaking failed: " + "x" * 900, "linkspan"])
async def test_tools_that_cannot_be_reached_are_told_in_a_sentence(tmp_path: Path, words: str) -> None:
    """For a person: what Codex says of it goes to the log."""
    refused = Refused("thread/start", {"message": f"required MCP servers failed to initialize: {words}"})
    with pytest.raises(UpstreamError, match="could not reach the tools") as told:
        await open_thread(
            Refusing(refused), task_in(tmp_path), Home(tmp_path / "home", tmp_path / "checkout", (), {})
        )
    assert told.value.message == "Codex could not reach the tools of this run, so nothing was begun"
    assert told.value.__cause__ is refused
    other = Refused("thread/start", {"message": "no such model"})
    with pytest.raises(Refused, match="Codex refused thread/start: no such model"):
        await open_thread(
            Refusing(other), task_in(tmp_path), Home(tmp_path / "home", tmp_path / "checkout", (), {})
        )


def test_what_is_said_first_depends_on_what_was_said_before(tmp_path: Path) -> None:
    """The prompt once, then to go on, and nothing when all is done."""
    task = task_in(tmp_path)
    said = [{"type": "userMessage", "clientId": message_id(task)}]
    other = [{"type": "userMessage", "clientId": "run_0:abc"}]

    def first(*turns: dict[str, Any]) -> tuple[str, str] | None:
        return first_message(task, Opened("t1", "m", None, False, turns))

    assert first() == ("Do it.", message_id(task))
    assert first({"items": other, "status": "completed"}) == ("Do it.", message_id(task))
    assert first({"items": said, "status": "completed"}) is None
    again = first({"items": said, "status": "interrupted"})
    assert again is not None
    assert "Go on from there" in again[0]
    assert again[1] != message_id(task)
