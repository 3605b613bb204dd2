"""Embedded sessions over a real socket: what a client asks and is told, and who gets nothing.

A scripted engine works here; test_with_codex.py has the real Codex and a server that restarts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from linkspan.accounts.principal import Principal
from linkspan.serving import Serving
from tests.codex.conftest import served
from tests.fakes.engine import ScriptedEngine, ask, edit, listen
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import ACME, House, house, seeded
from tests.runs.working import Works, parts_of, working
from tests.web.session.talking import PAGE, Client, Json, page, session

__all__ = ["house", "seeded"]
ALL = ("run.start", "run.steer", "run.cancel", "run.approve")
BACKEND = Principal(ACME, "service", "shop", scopes=("read", *ALL))


@dataclass
class Door:
    """A server with a worker, and what opens its sockets."""

    works: Works
    url: str

    async def token(self, **given: Any) -> str:
        """Answer a view token as a backend asks for it."""
        asked: Json = {"recipe": "talk", "entity_id": "HC-103", "person": "anna", "verbs": ALL, **given}
        principal = asked.pop("principal", BACKEND)
        made = await self.works.house.app.views.create(principal, origins=[PAGE], **asked)
        return made.text.reveal()

    def page(self, token: str) -> AbstractAsyncContextManager[Client]:
        """Connect as a page does."""
        return page(self.url, token)

    def session(self, token: str) -> AbstractAsyncContextManager[Client]:
        """Connect and say hello."""
        return session(self.url, token)

    async def lets_in(self, token: str) -> bool:
        """Tell whether a socket is accepted."""
        try:
            async with self.page(token):
                return True
        except InvalidStatus:
            return False

    async def refusal(self, path: str = "/t/acme/codex", **how: Any) -> int:
        """Answer the status with which a handshake is refused."""
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"ws{self.url[4:]}{path}", **how):
                pass
        return refused.value.response.status_code


@pytest.fixture
async def door(house: House) -> AsyncIterator[Door]:
    """A server that listens, and works what it is told."""
    await house.enable("talk")
    works = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    serving = Serving(house.app, clock=lambda: house.now[0])
    async with working(house.app, parts_of(house.app, works)), served(house.app, serving) as url:
        yield Door(works, url)


async def test_a_whole_session(door: Door) -> None:
    """A thread, a turn with a question that a person answers, and the next turn, in order and once each."""
    door.works.engine.acts = [ask("make test"), edit("calc.py", "total = 3\n")]
    async with door.session(await door.token()) as client:
        opened = await client.ask("thread/start")
        thread = opened["thread"]["id"]
        assert (opened["cwd"], opened["thread"]["status"]) == ("/workspace", {"type": "idle"})
        turn = await client.say(thread, "Make it three.")
        assert turn["status"] == "inProgress"
        assert (await client.until("turn/started"))["turn"]["id"] == turn["id"]
        question = await client.message("item/commandExecution/requestApproval")
        assert question["params"]["command"] == "make test"
        await client.send({"jsonrpc": "2.0", "id": question["id"], "result": {"decision": "accept"}})
        assert (await client.until("serverRequest/resolved"))["requestId"] == question["id"]
        ended = await client.until("turn/completed")
        assert (ended["turn"]["id"], ended["turn"]["status"]) == (turn["id"], "completed")
        door.works.engine.acts = [edit("README.md", "# Three\n")]
        second = await client.say(thread, "Say so.")
        assert (await client.until("turn/started"))["turn"]["id"] == second["id"]
        assert (await client.until("turn/completed"))["turn"]["id"] == second["id"]
        read = await client.ask("thread/read", threadId=thread, includeTurns=True)
        assert [each["id"] for each in read["thread"]["turns"]] == [turn["id"], second["id"]]
        assert read["thread"]["preview"] == "Make it three."
        listed = await client.ask("thread/list")
        assert [each["id"] for each in listed["data"]] == [thread]


async def test_who_comes_back_in_the_middle_of_a_turn_misses_nothing(door: Door) -> None:
    """What was told is in the answer, an open question comes again, and the rest follows."""
    door.works.engine.acts = [edit("calc.py", "total = 3\n"), ask("make test")]
    token = await door.token()
    async with door.session(token) as client:
        thread = (await client.ask("thread/start"))["thread"]["id"]
        turn = await client.say(thread, "Make it three.")
        before = await client.message("item/commandExecution/requestApproval")
    async with door.session(token) as client:
        resumed = await client.ask("thread/resume", threadId=thread)
        assert resumed["thread"]["status"] == {"type": "active", "activeFlags": ["waitingOnApproval"]}
        (again,) = resumed["thread"]["turns"]
        assert (again["id"], again["status"]) == (turn["id"], "inProgress")
        assert [item["type"] for item in again["items"]] == ["fileChange"]
        asked = await client.message("item/commandExecution/requestApproval")
        assert (asked["id"], asked["params"]) == (before["id"], before["params"])
        await client.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"decision": "decline"}})
        assert (await client.until("turn/completed"))["turn"]["status"] == "completed"
        assert not [each for each in client.told if each.get("method") == "turn/started"]


async def test_a_turn_is_steered_and_interrupted(door: Door) -> None:
    """Words go to the turn that they are for; what was done until the interrupt is kept."""
    door.works.engine.acts = [listen(), listen()]
    async with door.session(await door.token()) as client:
        thread = (await client.ask("thread/start"))["thread"]["id"]
        turn = await client.say(thread, "Begin.")
        words = [{"type": "text", "text": "And leave the menu."}]
        while (await client.until("thread/status/changed"))["status"]["type"] != "active":
            pass
        wrong = await client.call("turn/steer", threadId=thread, expectedTurnId="run_none", input=words)
        assert wrong["error"]["data"]["code"] == "not_found"
        steered = await client.ask("turn/steer", threadId=thread, expectedTurnId=turn["id"], input=words)
        assert steered == {"turnId": turn["id"]}
        assert (await client.until("item/completed"))["item"]["type"] == "userMessage"
        assert await client.ask("turn/interrupt", threadId=thread, turnId=turn["id"]) == {}
        assert (await client.until("turn/completed"))["turn"]["id"] == turn["id"]


async def test_who_gets_nothing(door: Door) -> None:
    """Another tenant, origin or token, none at all, and addresses that are no session's."""
    token = await door.token()
    words = [Subprotocol("linkspan.codex"), Subprotocol(token)]
    assert await door.refusal() == 401
    assert await door.refusal(subprotocols=[Subprotocol("lsk_view_abcdefghijkl_nonsense")]) == 401
    assert await door.refusal("/t/globex/codex", subprotocols=words) == 401
    assert await door.refusal(subprotocols=words, origin=Origin("https://evil.example")) == 403
    assert await door.refusal(additional_headers={"Authorization": "Bearer lsk_tenant_x_y"}) == 401
    assert await door.refusal("/t/acme/mcp", subprotocols=words) == 403
    assert await door.refusal("/nowhere", subprotocols=words) == 403
    assert await door.refusal(subprotocols=words, additional_headers={"Host": "evil.example"}) == 403
    for_nobody = await door.token(person=None, verbs=("run.start",))
    assert await door.refusal(subprotocols=[Subprotocol(for_nobody)]) == 403


async def test_another_ones_thread_is_not_there(door: Door) -> None:
    """Of every method that takes a thread; and what a token may not do, it does not do here."""
    async with door.session(await door.token()) as client:
        thread = (await client.ask("thread/start"))["thread"]["id"]
    words = [{"type": "text", "text": "Hello"}]
    asks: dict[str, Json] = {
        "thread/resume": {},
        "thread/read": {},
        "thread/turns/list": {},
        "thread/unsubscribe": {},
        "turn/start": {"input": words},
        "turn/steer": {"input": words, "expectedTurnId": "run_1"},
        "turn/interrupt": {"turnId": "run_1"},
    }
    for other in (await door.token(person="bo"), await door.token(entity_id="HC-104")):
        async with door.session(other) as client:
            for method, more in asks.items():
                answer = await client.call(method, threadId=thread, **more)
                assert answer["error"]["data"]["code"] == "not_found", method
            assert (await client.ask("thread/list"))["data"] == []
    async with door.session(await door.token(verbs=())) as client:
        assert (await client.ask("thread/read", threadId=thread))["thread"]["id"] == thread
        for method, more in (("thread/start", {}), ("turn/start", {"threadId": thread, "input": words})):
            assert (await client.call(method, **more))["error"]["data"]["code"] == "forbidden"


async def test_what_is_closed_and_what_is_no_request(door: Door) -> None:
    """JSON-RPC 2.0 says how each is told; the connection stays."""
    async with door.page(await door.token()) as client:
        assert (await client.call("thread/list"))["error"]["code"] == -32600
        await client.ask("initialize", clientInfo={"name": "test", "version": "1"})
        for method, code in (
            ("fs/readFile", -32601),
            ("command/exec", -32601),
            ("config/read", -32601),
            ("account/read", -32601),
        ):
            assert (await client.call(method, path="/etc/passwd"))["error"]["code"] == code
        assert (await client.call("thread/start", cwd="/"))["error"]["code"] == -32602
        for raw in ("{", "[]", '{"id": {}, "method": "thread/list"}', '{"id": "apr_x", "result": {}}'):
            await client.socket.send(raw)
            assert (await client.next())["error"]["code"] in (-32700, -32600)
        assert "data" in await client.ask("thread/list")


async def test_a_socket_ends_with_its_token(door: Door) -> None:
    """At the next request, or a few seconds later; the page is told by the code that it needs a new one."""
    async with door.session(await door.token()) as client:
        door.works.house.now[0] += 4_000
        with pytest.raises(ConnectionClosed) as closed:
            await client.call("thread/list")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401


async def test_a_fault_of_ours_ends_the_socket(door: Door) -> None:
    """Who listens would wait for ever otherwise; the page comes back by itself."""
    async with door.session(await door.token()) as client:
        await client.ask("thread/start")
        await door.works.house.app.database.execute("DROP TABLE session_turns")
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await client.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011


async def test_two_pages_of_one_person_see_the_same(door: Door) -> None:
    """A question goes to both; the first answer counts, and the other page is told."""
    door.works.engine.acts = [ask("make test")]
    token = await door.token()
    async with door.session(token) as one, door.session(token) as other:
        thread = (await one.ask("thread/start"))["thread"]["id"]
        await other.ask("thread/resume", threadId=thread)
        turn = await one.say(thread, "Make it three.")
        question = await one.message("item/commandExecution/requestApproval")
        assert (await other.message("item/commandExecution/requestApproval"))["id"] == question["id"]
        await one.send({"id": question["id"], "result": {"decision": {"acceptWithExecpolicyAmendment": {}}}})
        assert "still open" in (await one.until("warning"))["message"]
        await one.send({"id": question["id"], "result": {"decision": "decline"}})
        for client in (one, other):
            assert (await client.until("serverRequest/resolved"))["requestId"] == question["id"]
            assert (await client.until("turn/completed"))["turn"]["id"] == turn["id"]
        await other.send({"id": question["id"], "result": {"decision": "accept"}})
        assert "declined it already" in (await other.until("warning"))["message"]


async def test_a_person_opens_a_few_sockets_and_no_more(door: Door) -> None:
    """The next one is told to come back; another person is let in, and so is the first when one is closed."""
    token = await door.token()
    async with AsyncExitStack() as stack:
        for _ in range(20):
            last = await stack.enter_async_context(door.page(token))
        assert await door.refusal(subprotocols=[Subprotocol(token)]) == 429
        async with door.session(await door.token(person="bo")) as client:
            assert (await client.ask("model/list"))["data"] == []
        await last.socket.close()
        async with asyncio.timeout(30):
            while not await door.lets_in(token):  # noqa: ASYNC110 - the server hears of it by itself
                await asyncio.sleep(0.05)
