"""One call at the public door: done once, written down, and never too long to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan.errors import NotFound
from tests.e2e.conftest import Office, Person
from tests.servers.codex import Arguments, Codex, ToolMode, call_tool
from tests.servers.scripted_model import ModelRequest

pytestmark = pytest.mark.e2e
MOST = 36_000
"""As many bytes a result may have, with both copies of its data."""


def test_a_write_that_codex_repeats_is_done_once(office: Office, acme: Person) -> None:
    """Also by another process: the one that answered first may be gone."""
    number = office.tracker.create_bug("Once")
    meta = {"threadId": "thread-1", "callId": "call-1"}
    call = {"name": "comment_on_ticket", "arguments": {"id": number, "body": "Only once."}, "_meta": meta}
    first = office.endpoint(acme).post("tools/call", **call).json()
    with office.linkspan.serve(log=office.folder / "another.log") as url:
        again = office.endpoint(acme, url=url).post("tools/call", **call).json()
    assert first["result"]["structuredContent"] == again["result"]["structuredContent"]
    assert [text for _who, text in office.tracker.messages(number)][1:] == ["Only once."]
    call["_meta"] = {**meta, "callId": "call-2"}
    assert "result" in office.endpoint(acme).post("tools/call", **call).json()
    assert len(office.tracker.messages(number)) == 3


def test_a_ticket_of_roundup_over_rest(office: Office, acme: Person) -> None:
    """The same fields as over MCP, changes among them, the tracker's own API, a batch, what is not there."""
    number = office.tracker.create_bug("By REST")
    with office.endpoint(acme).api() as api:
        tickets = api.entities("ticketing/tickets")
        assert tickets.get(number) == office.endpoint(acme).call("get_ticket", id=number)["result"]
        assert number in [each["id"] for each in tickets.list(limit=5)]
        assert tickets.update(number, title="By REST, again")["id"] == number
        assert tickets.get(number)["title"] == "By REST, again"
        tickets.do("comment", number, body="Over REST.")
        assert office.tracker.messages(number)[-1][1] == "Over REST."
        raw = api.proxy("roundup").get(f"/data/bug/{number}")
        assert raw.json()["data"]["attributes"]["title"] == "By REST, again"
        found = api.batch({"resource": "tickets", "method": "get", "id": number}, {"resource": "users"})
        assert found.result["tickets"][0]["id"] == number
        assert not found.errors
        with pytest.raises(NotFound) as told:
            api.proxy("roundup").get("/data/bug/999999")
        assert told.value.raw_response is not None


def test_the_audit_log_says_whose_codex_it_was_and_nothing_that_was_said(
    codex: Codex, office: Office, acme: Person, tmp_path: Path
) -> None:
    """Thread, turn and call of the real Codex; neither the path that it works in nor an argument's value."""
    number = office.tracker.create_bug("Audited")
    folder = tmp_path / "a-private-folder"
    folder.mkdir()
    run = codex.exec(
        *call_tool(
            ToolMode.SEARCH, "linkspan", "comment_on_ticket", {"id": number, "body": "a private remark"}
        ),
        mode=ToolMode.SEARCH,
        servers=office.linkspan.codex_config("--tenant", acme.tenant, "--url", office.url),
        env={"LINKSPAN_TOKEN": acme.token},
        cwd=folder,
    )
    assert run.exit_code == 0, run.stderr
    (thread,) = [event["thread_id"] for event in run.events if event["type"] == "thread.started"]
    key = json.loads(office.linkspan.run("admin", "create", "--json"))["token"]
    asked = {"tenant_id": acme.tenant, "tool": "comment_on_ticket", "resource_id": number}
    answer = httpx2.get(
        f"{office.url}/log", params=asked, headers={"Authorization": f"Bearer {key}"}
    ).raise_for_status()
    (row,) = answer.json()["result"]
    text = json.dumps(row)
    assert {"comment_on_ticket", number, "ok", acme.tenant} <= set(map(str, row.values()))
    assert row["thread_id"] == thread
    assert row["turn_id"]
    assert row["call_id"]
    for private in ("a-private-folder", "a private remark", acme.token, acme.password):
        assert private not in text
    kept = b"".join(path.read_bytes() for path in office.linkspan.home.glob("linkspan.sqlite*"))
    assert b"a-private-folder" not in kept


def test_a_model_reads_a_long_list_in_whole_pieces(
    codex: Codex, mode: ToolMode, office: Office, acme: Person, tmp_path: Path
) -> None:
    """Each piece is whole JSON of whole items, says that there is more, and leads on to the end.

    Of models that Codex does not know it expects little; docs/codex.md says how to let them see more.
    """
    said = [f"{n} " + "word " * 700 for n in range(24)]
    number = office.tracker.create_bug("Talkative", *said)

    def following(seen: ModelRequest) -> Arguments:
        return {"ticket": number, "cursor": seen.answers[-1]["next_cursor"]}

    steps = [
        *call_tool(mode, "linkspan", "list_comments", {"ticket": number, "limit": 100}),
        *call_tool(mode, "linkspan", "list_comments", following) * 5,
    ]
    run = codex.exec(
        *steps,
        mode=mode,
        servers=office.linkspan.codex_config("--tenant", acme.tenant, "--url", office.url),
        env={"LINKSPAN_TOKEN": acme.token},
        config={"tool_output_token_limit": 10_000} if mode is ToolMode.DIRECT else {},
        cwd=tmp_path,
    )
    assert run.exit_code == 0, run.stderr
    pieces: tuple[Any, ...] = run.answers
    assert pieces[0]["truncated"] is True
    assert all(len(json.dumps(piece)) < MOST / 2 for piece in pieces)
    found = [comment["body"].strip() for piece in pieces for comment in piece["result"]]
    assert sorted(found) == sorted(text.strip() for text in said)
    assert pieces[-1]["next_cursor"] is None


def test_a_text_that_is_too_long_is_cut_and_says_where_the_rest_is(office: Office, acme: Person) -> None:
    """Its beginning is there, the answer is whole JSON, and the next step is named."""
    number = office.tracker.create_bug("Long", "begin " + "x" * 200_000)
    answer = office.endpoint(acme).post("tools/call", name="list_comments", arguments={"ticket": number})
    assert len(answer.content) < MOST + 100
    (comment,) = answer.json()["result"]["structuredContent"]["result"]
    assert comment["body"].startswith("begin xxx")
    assert "[" in comment["body"][-300:]
