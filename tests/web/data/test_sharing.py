"""Many callers before a product that limits: through every door, over real parts."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from pathlib import Path

import httpx2

from linkspan.app import build
from linkspan.net.pacing import Paces
from linkspan.serving import Serving
from linkspan.settings import Settings
from tests.web.data.conftest import BASE, Desk

UNIFIED = "/unified/ticketing/tickets/1"
PROXY = "/proxy/tracker/tickets/1"


async def test_a_storm_of_callers_stays_within_what_the_product_allows(desk: Desk) -> None:
    """An agent that wants forty things at once, a backend and a run that want few, another tenant's caller.

    The product sees no request too many, everybody gets everything, and who wants little is done before who
    wants much; that other tenant is not held up at all.
    """
    desk.limited.limit, desk.limited.period = 15, 0.6
    keys = {who: await desk.token(subject=who) for who in ("agent", "backend", "run")}
    done: list[str] = []

    async def ask(who: str, key: str, path: str) -> httpx2.Response:
        answer = await desk("GET", path, key=key)
        done.append(who)
        return answer

    wanted = {"agent": 40, "backend": 6, "run": 4}
    asks = [
        ask(who, keys[who], UNIFIED if number % 2 else PROXY)
        for who, count in wanted.items()
        for number in range(count)
    ]
    asks += [ask("globex", "globex", UNIFIED) for _each in range(4)]
    answers = await asyncio.gather(*asks)
    assert {answer.status_code for answer in answers} == {200}, [
        answer.text for answer in answers if answer.status_code != 200
    ][:1]
    assert desk.limited.refused == 0
    assert desk.limited.most <= 15
    assert desk.limited.total == 54
    last = {who: len(done) - done[::-1].index(who) for who in ("agent", "backend", "run", "globex")}
    assert last["agent"] == 54
    assert max(last["backend"], last["run"], last["globex"]) < 45


async def test_a_long_wait_is_told_and_not_waited_for(desk: Desk) -> None:
    """By every door in the one shape, with the seconds, without asking the product again."""
    desk.limited.limit, desk.limited.period = 2, 3_600_000.0
    for path in (UNIFIED, PROXY):
        assert (await desk("GET", path)).status_code == 200
    for path in (UNIFIED, PROXY):
        told = await desk.failure(429, "GET", path)
        assert (told["code"], told["is_remote_error"]) == ("rate_limited", False)
        assert "allows no more calls for this account" in told["message"]
    assert (desk.limited.total, desk.limited.refused) == (2, 0)
    assert [row.outcome for row in await desk.rows()] == ["rate_limited", "rate_limited", "ok", "ok"]
    assert (await desk("GET", UNIFIED, key="globex")).status_code == 200


async def test_a_tenants_storm_is_not_worked_before_somebody_elses_one_call(desk: Desk) -> None:
    """A hundred calls of one tenant are there when another tenant's first one comes: it is done long before.

    The product limits nobody here. Both kinds of door and the MCP endpoint have one queue.
    """
    desk.limited.limit = 10_000
    for key in ("acme", "globex"):
        await desk("GET", UNIFIED, key=key)
    done: list[str] = []

    async def ask(who: str, path: str) -> None:
        answer = await desk("GET", path, key=who)
        assert answer.status_code == 200, answer.text
        done.append(who)

    async def call(who: str) -> None:
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
        body |= {"params": {"name": "get_ticket", "arguments": {"id": "1"}}}
        headers = {"Accept": "application/json, text/event-stream"}
        answer = await desk("POST", f"/t/{who}/mcp", key=who, json=body, headers=headers)
        assert not answer.json()["result"].get("isError"), answer.text
        done.append(who)

    storm = [ask("acme", UNIFIED if number % 2 else PROXY) for number in range(80)]
    storm += [call("acme") for _each in range(20)]
    await asyncio.gather(*storm, ask("globex", UNIFIED), ask("globex", PROXY), call("globex"))
    last = len(done) - done[::-1].index("globex")
    assert (len(done), done.count("globex")) == (103, 3)
    assert last < 50, last


async def test_two_processes_do_not_each_spend_what_a_product_allows(desk: Desk, tmp_path: Path) -> None:
    """Once each knows of the other: all of it is used, and hardly a request is too many.

    Nobody waits for the next hour: who is not served is told how long it takes.
    """
    desk.limited.limit, desk.limited.period = 30, 3_600_000.0
    other = await build(
        Settings(home=tmp_path / "home"),
        catalog=desk.app.catalog,
        transport=desk.transport,
        paces=Paces(clock=lambda: time.monotonic() + desk.now[0]),
        random=os.urandom,
        clock=lambda: desk.now[0],
    )
    serving = Serving(other, clock=lambda: desk.now[0])
    for app in (desk.app, other, desk.app):
        await app.replicas.look()
    headers = {"Authorization": f"Bearer {desk.tokens['acme']}"}
    transport = httpx2.ASGITransport(app=serving.asgi)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE, headers=headers) as there:
        answers = [await desk("GET", PROXY), await there.get(PROXY)]
        desk.limited.rounds = 10
        asks = [each for _ in range(30) for each in (desk("GET", PROXY), there.get(UNIFIED))]
        answers += await asyncio.gather(*asks)
    await other.aclose()
    codes = Counter(answer.status_code for answer in answers)
    assert codes == {200: 30, 429: 32}
    assert desk.limited.refused <= 8, desk.limited.refused
