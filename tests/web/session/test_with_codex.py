"""A whole session with the real Codex, every message of it held against the binary's own schema.

Real are Codex, its sandbox, git, the server and its worker; the model is scripted. The server is another one
in the middle of it, an application of its own over the same home, as after a restart.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from linkspan.accounts.principal import Principal
from linkspan.codex.app_server.process import at_work_in
from linkspan.store.audit import AuditFilter, find
from tests.codex.conftest import served
from tests.runs.conftest import ACME, BO, seeded
from tests.runs.shop import REPOSITORY, a_worker, begun_anew, shop_at, working_at
from tests.servers import codex as codex_cli
from tests.servers.protocol import Conversation, Protocol, described
from tests.servers.scripted_model import Answer, function_call, message, patch, shell
from tests.web.session.talking import PAGE, Client, Json, session

__all__ = ["seeded"]
pytestmark = pytest.mark.e2e
ALL = ("run.start", "run.steer", "run.cancel", "run.approve")
BACKEND = Principal(ACME, "service", "shop", scopes=("read", *ALL))
ADD = "*** Begin Patch\n*** Add File: {}\n+beside\n*** End Patch"
OUTSIDE = {
    "cmd": "echo '# by hand' >> cafe/orders.py",
    "sandbox_permissions": "require_escalated",
    "justification": "May I?",
}


@pytest.fixture(scope="module", params=["npm", "python"])
def protocol(request: pytest.FixtureRequest) -> Iterator[Protocol]:
    """What a binary says of its own protocol."""
    command = codex_cli.npm_command() if request.param == "npm" else codex_cli.python_command()
    with described(command) as found:
        for name, wrong in (
            ("v2/ThreadStartResponse", {}),
            ("ServerNotification", {"method": "turn/started"}),
        ):
            with pytest.raises(jsonschema_rs.ValidationError):
                found.check(name, wrong)
        yield found


def places_in(message: Any, place: Path) -> bool:
    """Tell whether a message names a place of this machine."""
    return str(place) in json.dumps(message)


async def test_a_session(seeded: tuple[Path, dict[str, Any]], tmp_path: Path, protocol: Protocol) -> None:
    """Thread, turn, approval, a lost connection, another server, interrupt, and all that was changed."""
    async with shop_at(seeded, tmp_path) as shop:
        app, home = shop.app, shop.app.settings.home
        await app.recipes.enable(BO, "talk", {"repository": REPOSITORY})
        made = await app.views.create(
            BACKEND, origins=[PAGE], recipe="talk", entity_id="HC-103", person="anna", verbs=ALL
        )
        token = made.text.reveal()
        thinks: list[bool] = []
        beside = tmp_path / "beside.txt"

        def held() -> dict[str, Callable[[Json], None]]:
            conversation = Conversation(protocol)

            def came(message: Json) -> None:
                assert not places_in(message, home), message
                conversation.came(message)

            return {"sent": conversation.sent, "came": came}

        async with working_at(app, shop.url, shop.authority):
            shop.model.prepare(
                [
                    [function_call("get_ticket", {"id": "HC-103"}, namespace="mcp__linkspan")],
                    [shell("", "echo three > made.txt && cat made.txt")],
                    [function_call("exec_command", OUTSIDE)],
                    lambda seen: [patch(str(seen.body["model"]), ADD.format(beside))],
                    [message("There is a file now.")],
                ]
            )
            async with session(shop.url, token, **held()) as client:
                thread = (await client.ask("thread/start"))["thread"]["id"]
                await client.ask("model/list")
                turn = await client.say(thread, "Make a file.")
                called = await a_tool_call(client)
                assert (called["tool"], called["status"]) == ("get_ticket", "completed")
                assert "HC-103" in json.dumps(called["result"])
                asked = await client.message("item/commandExecution/requestApproval")
            assert "by hand" in asked["params"]["command"]
            async with session(shop.url, token, **held()) as client:
                resumed = await client.ask("thread/resume", threadId=thread)
                (again,) = resumed["thread"]["turns"]
                kinds = [item["type"] for item in again["items"]]
                assert kinds[0] == "userMessage"
                assert again["items"][0]["content"][0]["text"] == "Make a file."
                assert {"mcpToolCall", "commandExecution"} < set(kinds)
                assert (await client.message("item/commandExecution/requestApproval"))["id"] == asked["id"]
                await client.send({"id": asked["id"], "result": {"decision": "accept"}})
                # A file beside the checkout: what it is stands in the item that the question names.
                item = (await client.until("item/started"))["item"]
                while item["type"] != "fileChange":
                    item = (await client.until("item/started"))["item"]
                assert [each["path"] for each in item["changes"]] == [str(beside)]
                asked = await client.message("item/fileChange/requestApproval")
                assert asked["params"]["itemId"] == item["id"]
                assert not beside.exists()
                await client.send({"id": asked["id"], "result": {"decision": "accept"}})
                assert (await client.until("item/completed"))["turnId"] == turn["id"]
                ended = (await client.until("turn/completed"))["turn"]
                assert (ended["id"], ended["status"]) == (turn["id"], "completed"), ended
            await app.audit.flush()
        rows = [each.row for each in await find(app.database, ACME, AuditFilter(tool="get_ticket"))]
        # Codex asked as the run; what it was given with the words was read before, by us.
        (asked_for,) = [each for each in rows if each.via == "mcp"]
        assert (asked_for.principal_kind, asked_for.principal_subject) == ("run", turn["id"])
        assert (asked_for.outcome, asked_for.entity_id) == ("ok", "HC-103")
        async with (
            begun_anew(shop) as later,
            served(later) as url,
            working_at(later, url, shop.authority),
            session(url, token, **held()) as client,
        ):
            resumed = await client.ask("thread/resume", threadId=thread)
            assert resumed["thread"]["status"] == {"type": "idle"}
            await second_turn(client, thread, shop, thinks)
            read = await client.ask("thread/read", threadId=thread, includeTurns=True)
            statuses = [each["status"] for each in read["thread"]["turns"]]
            assert statuses == ["completed", "interrupted"]
            await client.ask("thread/list")
            await client.ask("thread/turns/list", threadId=thread, limit=1)
            assert (await client.ask("thread/unsubscribe", threadId=thread))["status"] == "unsubscribed"
            last = read["thread"]["turns"][-1]["id"]
        assert beside.read_text() == "beside\n"
        diff = (await app.kept.take("acme", last, "diff"))[1].decode()
        for word in ("+three", "+# by hand", "+four"):
            assert word in diff
        seen = shop.model.turns[-1].text
        assert "Make a file." in seen
        assert seen.count("Answer whoever talks with you") == 1


async def a_tool_call(client: Client) -> Json:
    """Answer the next call of one of our tools that is over."""
    while True:
        item: Json = (await client.until("item/completed"))["item"]
        if item["type"] == "mcpToolCall":
            return item


async def second_turn(client: Client, thread: str, shop: Any, thinks: list[bool]) -> None:
    """Say something more, and end it while the model thinks."""

    def thinking() -> bool:
        thinks.append(True)
        return False

    shop.model.prepare(
        [
            [shell("", "cat made.txt && echo four >> made.txt")],
            Answer([message("I think.")], until=thinking),
        ]
    )
    turn = await client.say(thread, "One more line.")
    assert (await client.until("turn/started"))["turn"]["id"] == turn["id"]
    while True:
        item = (await client.until("item/completed"))["item"]
        if item["type"] == "commandExecution":
            break
    assert "three" in (item["aggregatedOutput"] or "")
    assert await client.ask("turn/interrupt", threadId=thread, turnId=turn["id"]) == {}
    ended = (await client.until("turn/completed"))["turn"]
    assert (ended["id"], ended["status"]) == (turn["id"], "interrupted")


async def test_a_turn_outlives_its_worker_and_a_thread_its_codex(
    seeded: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Killed in the middle of a turn: another worker goes on with it; without its Codex it ends."""
    log = tmp_path / "workers.log"
    async with shop_at(seeded, tmp_path) as shop:
        app = shop.app
        await app.recipes.enable(BO, "talk", {"repository": REPOSITORY})
        made = await app.views.create(
            BACKEND, origins=[PAGE], recipe="talk", entity_id="HC-103", person="anna", verbs=ALL
        )
        token = made.text.reveal()
        shop.model.prepare(
            [
                [shell("", "echo three >> made.txt")],
                Answer([message("I think.")], until=lambda: False),
                [shell("", "cat made.txt")],
                [message("There is a file now.")],
            ]
        )
        async with session(shop.url, token) as client:
            thread = (await client.ask("thread/start"))["thread"]["id"]
            with a_worker(shop, log):
                turn = await client.say(thread, "Make a file.")
                await client.until("item/agentMessage/delta")
        async with begun_anew(shop) as later, served(later) as url, session(url, token) as client:
            resumed = (await client.ask("thread/resume", threadId=thread))["thread"]
            assert [each["id"] for each in resumed["turns"]] == [turn["id"]]
            assert resumed["status"]["type"] == "active"
            with a_worker(shop, log):
                ended = (await client.until("turn/completed"))["turn"]
                assert (ended["id"], ended["status"]) == (turn["id"], "completed"), ended
                (whole,) = (await client.ask("thread/read", threadId=thread, includeTurns=True))["thread"][
                    "turns"
                ]
                said = [
                    each["content"][0]["text"] for each in whole["items"] if each["type"] == "userMessage"
                ]
                outputs = [
                    each["aggregatedOutput"] for each in whole["items"] if each["type"] == "commandExecution"
                ]
                assert (said, outputs[-1]) == (["Make a file."], "three\n")
                # Nothing waits between two turns. Now Codex dies alone.
                work = app.settings.home / "work/acme/runs"
                assert list(at_work_in(work)) == []
                shop.model.prepare([Answer([message("I think.")], until=lambda: False)])
                turn = await client.say(thread, "And another.")
                await client.until("item/agentMessage/delta")
                for process in at_work_in(work / turn["id"]):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                ended = (await client.until("turn/completed"))["turn"]
                assert (ended["status"], ended["error"]["message"]) == (
                    "failed", "Codex ended in the middle of its work."
                )  # fmt: skip
                shop.model.prepare([[shell("", "cat made.txt")], [message("Still here.")]])
                await client.say(thread, "What is in it?")
                while (item := (await client.until("item/completed"))["item"])["type"] != "commandExecution":
                    pass
                assert item["aggregatedOutput"] == "three\n"
                assert (await client.until("turn/completed"))["turn"]["status"] == "completed"
