"""Products that tell nothing by themselves: looked at and listened to, by one process at a time."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from linkspan import spec
from linkspan.app import App, build
from linkspan.cli.main import cli
from linkspan.net.pacing import Paces
from linkspan.runs.listening import Told, events_of
from linkspan.runs.polling import Poller
from linkspan.runs.watching import LEASE, Watches
from linkspan.settings import Settings
from linkspan.store import watches as rows
from linkspan.store.outbox import iso
from linkspan.store.watches import Watched
from linkspan.working import work_with
from tests.fakes.asgi import AsgiTransport
from tests.fakes.engine import ScriptedEngine
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import ACME, BO, NOW, House, by_host
from tests.runs.working import PATIENCE, Works, parts_of

TOOLS = """
linkspan: 1
name: silent
instructions: Tickets of a tracker. Start with list_tickets.
connectors:
  tracker:
    base_url: https://tracker.example
    auth: [{type: bearer}]
    verify: {request: GET /me, id: id}
    pagination: {style: cursor, send: {query: page}, read: next}
    watch:
      changes:
        list: ticket
        arguments: {kind: bug}
        newest: updated_at
        since: changed_after
        every: 1m
        events: {ticket.changed: {id: id, by: author}}
    streams:
      live:
        request: GET /stream
        query: {topic: alerts}
        format: sse
        events: {alert.fired: {when: "type == 'fired'", id: alert}}
entities:
  ticket:
    fields:
      id: {description: Its id.}
      author: {description: Who changed it.}
      updated_at: {type: datetime, description: When it changed last.}
    sources:
      tracker:
        fields: {id: id, author: author, updated_at: changed}
        operations:
          get: {request: "GET /tickets/{id}"}
          list:
            description: List tickets that changed after a time.
            request: GET /tickets
            params:
              changed_after: {type: string, description: Only tickets that changed after this time.}
              kind: {type: string, description: Only of this kind.}
            query: {after: $changed_after, kind: $kind}
            items: tickets
  alert:
    fields: {id: {description: Its id.}}
    sources: {tracker: {fields: {id: id}, operations: {get: {request: "GET /alerts/{id}"}}}}
recipes:
  look: {title: Look, entity: ticket, on: tracker.ticket.changed, prompt: Look.}
  wake: {title: Wake, entity: alert, on: tracker.alert.fired, prompt: Wake.}
"""


@dataclass
class Tracker:
    """A product that is asked; it has pages of two, and a stream that breaks off after what there is."""

    tickets: dict[str, tuple[float, str]] = field(default_factory=dict)
    """When each changed, and who did it."""
    told: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    listened: list[str | None] = field(default_factory=list)
    refuses: Response | None = None

    def app(self) -> Starlette:
        """Answer its API."""

        async def me(_: Request) -> JSONResponse:
            return JSONResponse({"id": "codex"})

        async def listed(request: Request) -> Response:
            self.asked.append(dict(request.query_params))
            if self.refuses is not None:
                return self.refuses
            after = request.query_params.get("after", "")
            found = [
                {"id": name, "author": by, "changed": iso(at)}
                for name, (at, by) in sorted(self.tickets.items(), key=lambda each: -each[1][0])
                if not after or str(iso(at)) >= after
            ]
            page = int(request.query_params.get("page") or 0)
            more = str(page + 2) if len(found) > page + 2 else None
            return JSONResponse({"tickets": found[page : page + 2], "next": more})

        async def one(request: Request) -> JSONResponse:
            return JSONResponse({"id": request.path_params["id"], "author": "priya"})

        async def stream(request: Request) -> Response:
            assert request.query_params["topic"] == "alerts"
            assert request.headers["authorization"] == "Bearer canary-token"
            last = request.headers.get("last-event-id")
            self.listened.append(last)
            begin = int(last or 0)
            told = [f"id: {n + 1}\ndata: {json.dumps(d)}\n\n" for n, d in enumerate(self.told) if n >= begin]
            return PlainTextResponse(": hello\n\n" + "".join(told), media_type="text/event-stream")

        return Starlette(
            routes=[
                Route("/me", me),
                Route("/tickets", listed),
                Route("/{kind}/{id}", one),
                Route("/stream", stream),
            ]
        )


@dataclass
class Place:
    """A Linkspan at the tracker, and processes that watch it."""

    app: App
    tracker: Tracker
    now: list[float]
    watchers: list[Watches] = field(default_factory=list)

    def process(self) -> Watches:
        """Answer what another process has."""
        app = self.app

        def clock() -> float:
            return self.now[0]

        made = Watches(
            app.database,
            Poller(app.gateway, clock=clock, random=os.urandom),
            app.relay,
            catalog=lambda: app.catalog,
            bell=app.runs.bell,
            clock=clock,
            random=os.urandom,
        )
        self.watchers.append(made)
        return made

    async def told(self) -> list[tuple[str, str]]:
        """Answer what came in, by when and id."""
        found = await self.app.arrivals.list(ACME, limit=1000)
        return sorted((each.entity_id, each.state) for each in found)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Both recipes are on for acme."""
    (tmp_path / "tools.yaml").write_text(TOOLS)
    tracker, now = Tracker(), [NOW]

    async def paced(seconds: float) -> None:
        now[0] += seconds

    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([tmp_path / "tools.yaml"], {}),
        transport=AsgiTransport(by_host({"tracker.example": tracker.app()})),
        clock=lambda: now[0],
        paces=Paces(clock=lambda: now[0], sleep=paced),
    )
    for name in ("acme", "globex"):
        tenant = await app.tenants.add(name)
        connector = app.catalog.connectors["tracker"]
        await app.accounts.link(tenant, connector, secrets={"token": "canary-token"}, verify=app.verifier)
    made = Place(app, tracker, now)
    yield made
    for watches in made.watchers:
        for task in watches._tasks.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    await app.aclose()


async def test_what_was_there_before_starts_nothing_and_what_changes_counts_once(place: Place) -> None:
    """Also what changed at the very moment of the last look, and what was shown late; on all pages."""
    await place.app.recipes.enable(BO, "look", {})
    tracker, now = place.tracker, place.now
    tracker.tickets = {f"old{n}": (NOW - n * 30, "priya") for n in range(7)}
    watches = place.process()
    await watches.look_once()
    assert await place.told() == []
    now[0] += 60
    tracker.tickets |= {f"new{n}": (NOW + 50, "priya") for n in range(5)}
    tracker.tickets["same"] = (NOW, "priya")
    await watches.look_once()
    seen = [(f"new{n}", "pending") for n in range(5)]
    assert await place.told() == [*seen, ("same", "pending")]
    assert tracker.asked[-1]["after"] == iso(NOW - 120)
    assert tracker.asked[-1]["kind"] == "bug"
    now[0] += 60
    tracker.tickets["late"] = (NOW + 20, "priya")
    await watches.look_once()
    await watches.look_once()
    assert await place.told() == [("late", "pending"), *seen, ("same", "pending")]
    now[0] += 60
    tracker.tickets["new0"] = (NOW + 170, "priya")
    tracker.tickets["ours"] = (NOW + 171, "codex")
    await watches.look_once()
    told = await place.told()
    assert told.count(("new0", "pending")) == 2
    assert ("ours", "ignored") in told


async def test_it_is_looked_at_for_those_who_wait_and_not_too_often(place: Place) -> None:
    """No call for a tenant whose recipe is off, one each minute else; turned on again it begins anew."""
    watches = place.process()
    await watches.look_once()
    assert place.tracker.asked == []
    await place.app.recipes.enable(BO, "look", {})
    for _ in range(12):
        await watches.look_once()
        place.now[0] += 10
    assert len(place.tracker.asked) == 2
    (there,) = await watches.of_tenant(ACME)
    assert (there.name, there.failures, there.told) == ("watch:changes", 0, None)
    await place.app.recipes.disable(BO, "look")
    await watches.look_once()
    assert await watches.of_tenant(ACME) == []


async def test_one_process_looks_and_another_goes_on_when_it_is_gone(place: Place) -> None:
    """Two at once make one call; what the slow one notes afterwards is refused."""
    await place.app.recipes.enable(BO, "look", {})
    first, second = place.process(), place.process()
    await asyncio.gather(first.look_once(), second.look_once())
    assert len(place.tracker.asked) == 1
    place.now[0] += 60
    key = (await rows.everything(place.app.database))[0].key
    (taken,) = await rows.claim(place.app.database, [key], now=place.now[0], lease=LEASE)
    place.tracker.tickets["new"] = (place.now[0], "priya")
    await second.look_once()
    assert await place.told() == []
    place.now[0] += LEASE + 1
    await second.look_once()
    assert await place.told() == [("new", "pending")]
    assert await rows.note(place.app.database, taken, {}, (), quiet={}, lease=None, due=0.0) is None
    assert not await rows.renew(place.app.database, taken, until=place.now[0] + LEASE)


async def test_a_product_that_wants_less_is_asked_less(place: Place) -> None:
    """As long as it says, and longer each time it fails; how far it has come stays."""
    await place.app.recipes.enable(BO, "look", {})
    watches = place.process()
    await watches.look_once()
    place.now[0] += 60
    place.tracker.tickets["new"] = (place.now[0], "priya")
    place.tracker.refuses = JSONResponse({}, 429, headers={"Retry-After": "600"})
    await watches.look_once()
    (there,) = await watches.of_tenant(ACME)
    home = str(place.app.settings.home)
    words = ["--home", home, "hooks", "watching", "--tenant", "acme"]
    shown = await asyncio.to_thread(CliRunner().invoke, cli, words)
    assert "watch:changes" in shown.output, shown.output
    assert str(there.told) in shown.output
    assert there.failures == 1
    assert there.due >= place.now[0] + 600
    place.tracker.refuses = None
    place.now[0] = there.due
    await watches.look_once()
    assert await place.told() == [("new", "pending")]
    (there,) = await watches.of_tenant(ACME)
    assert (there.failures, there.told) == (0, None)


async def test_how_far_it_has_come_stays_while_the_account_is_to_be_linked_again(place: Place) -> None:
    """A key that the product refuses ends the looking alone: linked again, what came meanwhile counts."""
    await place.app.recipes.enable(BO, "look", {})
    watches = place.process()
    await watches.look_once()
    place.now[0] += 60
    place.tracker.refuses = JSONResponse({}, 401)
    await watches.look_once()
    (account,) = await place.app.accounts.list(ACME)
    assert account.state == "needs_reauth"
    asked = len(place.tracker.asked)
    place.tracker.tickets["new"] = (place.now[0], "priya")
    place.tracker.refuses = None
    place.now[0] += 3600
    await watches.look_once()
    assert len(place.tracker.asked) == asked
    (there,) = await watches.of_tenant(ACME)
    assert there.position is not None
    await place.app.database.execute("UPDATE accounts SET state = 'active'", {})
    await watches.look_once()
    assert await place.told() == [("new", "pending")]


async def listen(place: Place, watches: Watches) -> None:
    """Listen until the stream breaks off."""
    await watches.turn()
    await asyncio.gather(*watches._tasks.values())
    place.now[0] += 2


async def test_a_stream_goes_on_where_it_broke_off(place: Place) -> None:
    """In another process too; what is told again counts once, and what nobody waits for is passed over."""
    await place.app.recipes.enable(BO, "wake", {})
    place.tracker.told = [{"type": "fired", "alert": "A1"}, {"type": "resolved", "alert": "A1"}]
    await listen(place, place.process())
    assert await place.told() == [("A1", "pending")]
    place.tracker.told.append({"type": "fired", "alert": "A2"})
    other = place.process()
    await listen(place, other)
    await listen(place, other)
    assert place.tracker.listened == [None, "2", "3"]
    assert await place.told() == [("A1", "pending"), ("A2", "pending")]
    await place.app.database.execute("UPDATE watches SET position = NULL")
    await listen(place, other)
    assert place.tracker.listened[-1] is None
    assert await place.told() == [("A1", "pending"), ("A2", "pending")]


async def test_an_event_of_a_stream_starts_a_run(place: Place) -> None:
    """As a delivery does."""
    await place.app.recipes.enable(BO, "wake", {})
    place.tracker.told = [{"type": "fired", "alert": "A1"}]
    await listen(place, place.process())
    await place.app.arrivals.work_due()
    (run,) = await place.app.runs.list(BO)
    assert (run.recipe, run.entity_id, run.asker) == ("wake", "A1", "webhook:tracker")


@pytest.mark.slow
async def test_a_worker_looks_and_listens_by_itself(place: Place) -> None:
    """What a stream tells and what changes in a list become runs that it does."""
    app, tracker = place.app, place.tracker
    for recipe in ("wake", "look"):
        await app.recipes.enable(BO, recipe, {})
    tracker.told = [{"type": "fired", "alert": "A1"}]
    house = House(app, None, AsgiTransport(tracker.app()), place.now)
    works = Works(house, ScriptedEngine(), FakePlaces(app.settings.home / "work"), FakeForge())
    task = asyncio.create_task(work_with(app, parts_of(app, works), worker="wrk_watch", polling=0.05))
    try:
        async with asyncio.timeout(PATIENCE):
            while not any(each.position for each in await watched(app, "watch:changes")):
                await app.runs.bell.wait(0.05)
            place.now[0] += 60
            tracker.tickets["T1"] = (place.now[0], "priya")
            while len(runs := await app.runs.list(BO)) < 2:
                await app.runs.bell.wait(0.05)
            assert {(run.recipe, run.entity_id) for run in runs} == {("wake", "A1"), ("look", "T1")}
            for run in runs:
                done = await works.until(run.id)
                assert (done.state, done.error_message) == ("succeeded", None)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def watched(app: App, name: str) -> list[Watched]:
    """Answer what is looked at for acme under a name."""
    return [each for each in await app.watches.of_tenant(ACME) if each.name == name]


CASES: list[tuple[str, Any, list[bytes], list[Told]]] = [
    ("two", "sse", [b"data: 1\n\ndata: 2\n\n"], [Told(None, 1), Told(None, 2)]),
    ("in pieces", "sse", [b"id: a\nda", b"ta: [1,\ndata: 2]\n", b"\n"], [Told("a", [1, 2])]),
    ("CR and LF apart", "sse", [b"data: 1\r", b"\n\r", b"\ndata: 2\r\r"], [Told(None, 1), Told(None, 2)]),
    ("a mark, a comment, a name", "sse", [b"\xef\xbb\xbf: hi\nevent: x\ndata:3\n\n"], [Told(None, 3)]),
    ("an id that stays", "sse", [b"id: 7\ndata: 1\n\ndata: 2\n\n"], [Told("7", 1), Told("7", 2)]),
    ("cut off", "sse", [b"data: 1\n\ndata: 2\n"], [Told(None, 1)]),
    ("no JSON", "sse", [b"data: hello\n\ndata: 1\n\n"], [Told(None, 1)]),
    ("lines", "lines", [b'{"a":1}\n\n{"a"', b":2}\nnope\n3"], [Told(None, {"a": 1}), Told(None, {"a": 2})]),
]


@pytest.mark.parametrize(("form", "chunks", "told"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
async def test_a_stream_is_read_however_it_comes(form: Any, chunks: list[bytes], told: list[Told]) -> None:
    """In pieces, with every kind of end of a line."""

    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    assert [each async for each in events_of(source(), form)] == told
