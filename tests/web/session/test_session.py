"""Embedded sessions over a real socket: what a client asks and is told, and who gets nothing.

A scripted engine works here; test_with_codex.py has the real Codex and a server that restarts.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from linkspan.accounts.principal import Principal, Tenant
from linkspan.codex.app_server.events import event_of
from linkspan.codex.app_server.rpc import Told
from linkspan.codex.broker.methods import OPEN, TOLD
from linkspan.errors import Internal
from linkspan.serving import Serving
from linkspan.telemetry import Telemetry
from linkspan.telemetry.prometheus import PrometheusMeters
from linkspan.web.session import socket as session_socket
from linkspan.web.session.requests import Requests
from tests.codex.conftest import served
from tests.fakes.engine import ScriptedEngine, ask, edit, listen, tell
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import ACME, OPERATOR, House, house, seeded
from tests.runs.working import Works, parts_of, working
from tests.web.session.talking import PAGE, PATIENCE, SAID_BY_CODEX, Client, Json, page, session

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

    def session(self, token: str, **how: Any) -> AbstractAsyncContextManager[Client]:
        """Connect and say hello."""
        return session(self.url, token, **how)

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
            async with connect(f"ws{self.url[4:]}{path}", open_timeout=PATIENCE, **how):
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
    # What was said is in the history as well.
    history = door.works.house.app.history
    assert [each.run.id for each in await history.search(OPERATOR, "make three")] == [turn["id"]]
    record = await history.record(OPERATOR, second["id"])
    said = [each.data for each in record.events if each.kind == "steered"]
    assert said == [{"by": "service:shop for anna", "text": "Say so."}]


async def test_everything_that_may_be_told_is_told(door: Door) -> None:
    """And nothing else: what comes over a socket is the table, whatever happens in a turn."""
    events = [event_of(Told(method, params)) for method, params in SAID_BY_CODEX]
    door.works.engine.acts = [tell(*[each for each in events if each is not None]), ask("make test")]
    async with door.session(await door.token()) as client:
        thread = (await client.ask("thread/start"))["thread"]["id"]
        await client.say(thread, "Make it three.")
        question = await client.message("item/commandExecution/requestApproval")
        await client.send({"id": question["id"], "result": {"decision": "accept"}})
        await client.until("turn/completed")
        await client.until("thread/status/changed")
        told = {each["method"] for each in client.heard if "method" in each and "id" not in each}
    assert told == TOLD


async def test_what_nobody_has_decided_is_not_told() -> None:
    """It is a fault of ours, which ends the socket, and not something that a page learns."""
    sent: list[Json] = []

    async def send(message: Json) -> None:
        sent.append(message)

    nothing: Any = None
    requests = Requests(nothing, nothing, send)
    with pytest.raises(Internal, match="fs/changed"):
        await requests.tell("fs/changed", {"path": "/etc"})
    await requests.close()
    assert sent == []


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


async def test_who_gets_nothing(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    """Another tenant, origin or token, none at all, and addresses that are no session's; we log no error."""
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
    ours = [record for record in caplog.records if record.name.startswith(("uvicorn", "linkspan"))]
    assert [record for record in ours if record.levelno >= logging.WARNING] == []
    # A program has no origin, and shows the token as a bearer.
    bearer = {"Authorization": f"Bearer {token}"}
    address = f"ws{door.url[4:]}/t/acme/codex"
    async with connect(address, additional_headers=bearer, open_timeout=PATIENCE) as socket:
        assert socket.subprotocol is None


async def test_another_ones_thread_is_not_there(door: Door) -> None:
    """Of every method that takes a thread: another person's, thing's, backend's, tenant's."""
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
    foreign = Principal(Tenant("globex"), "service", "shop", scopes=BACKEND.scopes)
    for other, tenant in (
        (await door.token(person="bo"), "acme"),
        (await door.token(entity_id="HC-104"), "acme"),
        (await door.token(principal=replace(BACKEND, subject="bazaar")), "acme"),
        (await door.token(principal=foreign), "globex"),
    ):
        async with door.session(other, tenant=tenant) as client:
            for method, more in asks.items():
                answer = await client.call(method, threadId=thread, **more)
                assert answer["error"]["data"]["code"] == "not_found", method
            assert (await client.ask("thread/list"))["data"] == []
    assert asks.keys() == {name for name, method in OPEN.items() if "threadId" in method.takes}


async def test_a_token_does_what_it_was_made_for_and_nothing_else(door: Door) -> None:
    """Each method is asked with each verb, while Codex works and while it asks; reading is in all of them."""
    door.works.engine.acts = [listen(), ask("make test")]
    words = [{"type": "text", "text": "Hello"}]
    async with AsyncExitStack() as stack:
        whole = await stack.enter_async_context(door.session(await door.token()))
        thread = (await whole.ask("thread/start"))["thread"]["id"]
        turn = (await whole.say(thread, "Make it three."))["id"]
        while (await whole.until("thread/status/changed"))["status"]["type"] != "active":
            pass
        tokens = {verb: await door.token(verbs=(verb,) if verb else ()) for verb in ("", *ALL)}
        pages = {verb: await stack.enter_async_context(door.session(token)) for verb, token in tokens.items()}
        for page_ in pages.values():
            await page_.ask("thread/resume", threadId=thread)

        async def codes(method: str, **asked: Any) -> dict[str, str]:
            answers = {verb: await page_.call(method, **asked) for verb, page_ in pages.items()}
            return {verb: a["error"]["data"]["code"] if "error" in a else "ok" for verb, a in answers.items()}

        def only(verb: str, code: str = "ok") -> dict[str, str]:
            return {each: code if each == verb else "forbidden" for each in pages}

        about = {"threadId": thread}
        for method, more in (("thread/read", about), ("thread/turns/list", about), ("thread/list", {})):
            assert set((await codes(method, **more)).values()) == {"ok"}
        assert await codes("thread/start") == only("run.start")
        assert await codes("turn/start", **about, input=words) == only("run.start", "conflict")
        assert await codes("turn/steer", **about, expectedTurnId=turn, input=words) == only("run.steer")
        question = await whole.message("item/commandExecution/requestApproval")
        waits = {"type": "active", "activeFlags": ["waitingOnApproval"]}
        while (await whole.ask("thread/read", threadId=thread))["thread"]["status"] != waits:
            pass
        assert await codes("turn/interrupt", **about, turnId=turn) == only("run.cancel")
        assert (await whole.until("turn/completed"))["turn"]["status"] == "interrupted"
        # Whoever may not decide was asked nothing, and what they answer is none.
        for verb, page_ in pages.items():
            await page_.until("turn/completed")
            heard = {each["id"] for each in page_.heard if "id" in each and "method" in each}
            assert heard == ({question["id"]} if verb == "run.approve" else set()), verb
            await page_.send({"jsonrpc": "2.0", "id": question["id"], "result": {"decision": "accept"}})
            if verb == "run.approve":
                assert (await page_.until("warning"))["message"]
            else:
                while "error" not in (answer := await page_.next()):
                    pass
                assert answer["error"]["code"] == -32600


async def test_two_people_talk_about_one_thing(door: Door) -> None:
    """At the same time, each in a thread of their own; within one, the next turn has to wait.

    The page of a turn is shown, by its view token, to who speaks in it, and to nobody else on the same thing.
    """
    door.works.engine.acts = [listen()]
    words = [{"type": "text", "text": "Go on."}]
    token = await door.token()
    view = f"/t/acme/views/{token.split('_')[2]}"
    shown = {"Authorization": f"Bearer {token}", "Linkspan-Page": "1"}
    async with (
        httpx2.AsyncClient(base_url=door.url, headers=shown, timeout=PATIENCE) as page_,
        door.session(token) as anna,
        door.session(await door.token(person="bo")) as bo,
    ):
        turns = []
        for client in (anna, bo):
            thread = (await client.ask("thread/start"))["thread"]["id"]
            turn = await client.say(thread, "Begin.")
            again = await client.call("turn/start", threadId=thread, input=words)
            assert again["error"]["data"]["code"] == "conflict"
            turns.append({"threadId": thread, "expectedTurnId": turn["id"]})
        own, other = (turn["expectedTurnId"] for turn in turns)
        assert (await page_.get(view)).json()["run"]["id"] == own
        assert (await page_.get(f"{view}/{own}/body")).status_code == 200
        for below in ("body", "stream", "files/transcript"):
            assert (await page_.get(f"{view}/{other}/{below}")).status_code == 404, below
        for verb in ("steer", "cancel", "decide"):
            form = {"text": "x", "decision": "approve"}
            assert (await page_.post(f"{view}/{other}/{verb}", data=form)).status_code == 404, verb
        for client, turn in zip((anna, bo), turns, strict=True):
            await client.ask("turn/steer", **turn, input=words)
            ended = (await client.until("turn/completed"))["turn"]
            assert (ended["id"], ended["status"]) == (turn["expectedTurnId"], "completed")


async def test_a_turn_that_its_tenant_has_no_room_for_is_refused(house: House) -> None:
    """By our codes, over the socket: a full queue says when to come back, a spent budget does not."""
    await house.enable("talk")
    door = Door(Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge()), "")
    words = [{"type": "text", "text": "Make it three."}]
    serving = Serving(house.app, clock=lambda: house.now[0])
    starting, policy = house.app.runs.starting, house.app.catalog.runs
    async with served(house.app, serving) as door.url, door.session(await door.token()) as client:
        thread = (await client.ask("thread/start"))["thread"]["id"]
        for bound, code in ({"waiting": 0}, "rate_limited"), ({"tenant_tokens": 0}, "quota_exceeded"):
            starting._policy = lambda bound=bound: replace(policy, **bound)  # type: ignore[misc]
            error = (await client.call("turn/start", threadId=thread, input=words))["error"]
            assert (error["code"], error["data"]["code"]) == (-32000, code)
            assert (error["data"]["retry_after"] is not None) == (code == "rate_limited")
            assert "tenant acme has" in error["message"].lower()
            assert (await client.ask("thread/turns/list", threadId=thread))["data"] == []
        assert await house.app.runs.list(OPERATOR) == []
        starting._policy = lambda: policy
        turn = await client.say(thread, "Make it three.")
        assert (await client.until("turn/started"))["turn"]["id"] == turn["id"]
        assert [each.id for each in await house.app.runs.list(OPERATOR)] == [turn["id"]]


async def test_a_person_answers_each_kind_of_question(door: Door) -> None:
    """Files outside of the checkout, more than the sandbox allows, a network: all of it or nothing."""
    wanted = {"network": {"enabled": True}, "fileSystem": None}
    changes = [{"path": "/srv/beside.txt", "kind": {"type": "add"}, "diff": "x"}]
    door.works.engine.acts = [
        ask(kind="file_change", item_id="f1", changes=changes),
        ask(kind="permissions", item_id="p1", permissions=wanted),
        ask(kind="permissions", item_id="p2", permissions=wanted),
        ask(kind="command", item_id="n1", network={"host": "wheels.example", "protocol": "https"}),
    ]
    answers: list[tuple[str, Json]] = [
        ("item/fileChange/requestApproval", {"decision": "accept"}),
        (
            "item/permissions/requestApproval",
            {"permissions": {"network": {"enabled": True}}, "scope": "turn"},
        ),
        ("item/permissions/requestApproval", {"permissions": {}, "scope": "turn"}),
        ("item/commandExecution/requestApproval", {"decision": "acceptForSession"}),
    ]
    async with door.session(await door.token()) as client:
        thread = (await client.ask("thread/start"))["thread"]["id"]
        await client.say(thread, "Make it three.")
        decided = []
        for number, (method, result) in enumerate(answers):
            question = await client.message(method)
            if number == 0:
                assert question["params"]["itemId"] == "f1"
            if number == 1:
                assert question["params"]["permissions"] == wanted
                more = {"permissions": {"network": {"enabled": False}}, "scope": "session"}
                await client.send({"jsonrpc": "2.0", "id": question["id"], "result": more})
                assert "all that was asked for, or nothing" in (await client.until("warning"))["message"]
                listed = {"permissions": [{"network": True}], "scope": "turn"}
                await client.send({"jsonrpc": "2.0", "id": question["id"], "result": listed})
                assert "must be an object" in (await client.until("warning"))["message"]
            if number == 3:
                assert question["params"]["networkApprovalContext"]["host"] == "wheels.example"
            await client.send({"jsonrpc": "2.0", "id": question["id"], "result": result})
            decided.append((await client.until("item/completed"))["item"]["status"])
        assert decided == ["approve", "approve", "decline", "approve"]
        assert (await client.until("turn/completed"))["turn"]["status"] == "completed"


async def test_lists_are_read_page_by_page(door: Door) -> None:
    """Each thread and turn once, in order, also when something is said between two pages."""
    async with door.session(await door.token()) as client:
        made = [(await client.ask("thread/start"))["thread"]["id"] for _ in range(5)]
        threads: list[str] = []
        cursor = None
        while cursor is not None or not threads:
            page_ = await client.ask("thread/list", limit=2.0, cursor=cursor)
            threads += [each["id"] for each in page_["data"]]
            assert len(page_["data"]) <= 2
            cursor = page_["nextCursor"]
        assert sorted(threads) == sorted(made)
        thread, turns = made[0], []
        for text in ("One", "Two", "Three"):
            turns.append((await client.say(thread, text))["id"])
            await client.until("turn/completed")
        first = await client.ask("thread/turns/list", threadId=thread, limit=2)
        assert [each["id"] for each in first["data"]] == turns[:0:-1]
        turns.append((await client.say(thread, "Four"))["id"])
        await client.until("turn/completed")
        rest = await client.ask("thread/turns/list", threadId=thread, limit=2, cursor=first["nextCursor"])
        assert ([each["id"] for each in rest["data"]], rest["nextCursor"]) == (turns[:1], None)
        oldest = await client.ask("thread/turns/list", threadId=thread, limit=3, sortDirection="asc")
        assert [each["id"] for each in oldest["data"]] == turns[:3]
        assert oldest["data"][0]["items"]
        assert (await client.ask("thread/read", threadId=thread))["thread"]["turns"] == []
        read = await client.ask("thread/read", threadId=thread, includeTurns=True)
        assert [each["id"] for each in read["thread"]["turns"]] == turns
        broken = base64.urlsafe_b64encode(b'[0,"\\ud800"]').decode()
        for method, more in (("thread/list", {}), ("thread/turns/list", {"threadId": thread, "limit": 1.0})):
            for wrong in ("x", "e30", first["nextCursor"][:-2] + "zz", broken):
                answer = await client.call(method, cursor=wrong, **more)
                assert answer["error"]["code"] == -32602, (method, wrong)


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
        # Half of a surrogate pair is JSON's, and no text that could be kept or told.
        said = {"threadId": "t", "input": [{"type": "text", "text": "x \ud800"}]}
        halves = (
            {"id": "\ud800", "method": "thread/list"},
            {"id": 7, "method": "turn/start", "params": said},
        )
        raws = ("{", "[]", '{"id": {}, "method": "thread/list"}', '{"id": "apr_x", "result": {}}')
        for raw in (*raws, *map(json.dumps, halves)):
            await client.socket.send(raw)
            code = (await client.next())["error"]["code"]
            assert code == -32700 if "ud800" in raw else code in (-32700, -32600)
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


async def test_sessions_are_counted(house: House) -> None:
    """Sockets that are open, handshakes by how they end, and requests by method and outcome."""
    meters = PrometheusMeters()
    app = replace(house.app, telemetry=Telemetry(meters))
    made = await app.views.create(
        BACKEND, origins=[PAGE], recipe="talk", entity_id="HC-103", person="anna", verbs=ALL
    )
    token = made.text.reveal()

    def figures() -> str:
        return meters.exposition(None).decode()

    async def shows(number: str) -> None:
        async with asyncio.timeout(30):
            while f'linkspan_http_requests_open{{face="sessions"}} {number}' not in figures():  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async with served(app, Serving(app, clock=lambda: house.now[0])) as url:
        with pytest.raises(InvalidStatus):
            async with page(url, token, origin="https://evil.example"):
                pass
        async with session(url, token) as client:
            await client.ask("thread/list")
            await client.call("thread/read", threadId="none")
            await client.call("fs/readFile", path="/etc/passwd")
            await shows("1.0")
        await shows("0.0")
    for line in (
        'linkspan_session_requests_total{method="thread/list",outcome="ok"} 1.0',
        'linkspan_session_requests_total{method="thread/read",outcome="not_found"} 1.0',
        'linkspan_session_requests_total{method="_other",outcome="not_found"} 1.0',
        'linkspan_http_requests_total{code="403",face="sessions",method="GET"} 1.0',
        'linkspan_http_requests_total{code="101",face="sessions",method="GET"} 1.0',
    ):
        assert line in figures()
    assert "passwd" not in figures()


async def test_a_tenant_opens_as_many_sockets_as_one_may(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever its people are; another tenant is let in all the same."""
    monkeypatch.setattr(session_socket, "_MOST_OF_TENANT", 2)
    foreign = Principal(Tenant("globex"), "service", "shop", scopes=BACKEND.scopes)
    async with door.page(await door.token()), door.page(await door.token(person="bo")):
        words = [Subprotocol("linkspan.codex"), Subprotocol(await door.token(person="ida"))]
        assert await door.refusal(subprotocols=words) == 429
        async with door.session(await door.token(principal=foreign), tenant="globex") as client:
            assert (await client.ask("thread/list"))["data"] == []


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
                await asyncio.sleep(0.4)  # each try is one of 97 knocks that are left
