"""Who looks at a run that may read with a person's own accounts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest

from linkspan.accounts.principal import Principal
from linkspan.errors import Forbidden, NotFound
from linkspan.gateway.calls import CallInfo
from linkspan.runs.about import person_of
from linkspan.runs.history import History
from linkspan.serving import Serving
from linkspan.store import run_terms
from linkspan.store import runs as rows
from linkspan.store.runs import Run
from tests.runs.conftest import ACME, BO, DESK, OPERATOR, SHOP, House

AL = Principal(ACME, "person", "al")
CY = Principal(ACME, "person", "cy")
DESK_OF_BO = replace(SHOP, scopes=("read", "run.approve"))


async def link_own(house: House, who: str = "bo") -> None:
    """Give a person an account of their own at the desk."""
    connector = house.app.catalog.connectors["desk"]
    opened = await house.app.accounts.credential(SHOP, connector)
    await house.app.accounts.link(
        ACME, connector, subject=who, settings={"site": DESK}, secrets=dict(opened.secrets)
    )


async def ended(house: House, run: Run) -> None:
    """Let a worker end a run that said something and made something."""
    taken = await rows.take(house.app.database, "acme", run.id, worker="w1", now=house.now[0])
    assert taken is not None
    await house.app.kept.put("acme", run.id, "diff", "text/x-diff", b"+ what bo sees", epoch=taken.epoch)
    await run_terms.put(house.app.database, "acme", run.id, ["salary"], epoch=taken.epoch)
    now = house.now[0]
    await rows.change(
        house.app.database, "acme", run.id, taken.epoch, now, thread_id="thread-1", entity_title="Salaries"
    )
    await rows.change(house.app.database, "acme", run.id, taken.epoch, now, state="failed", finished=now)


async def start(house: House, principal: Principal = BO, key: str = "k", **given: Any) -> Run:
    """Start one on a ticket."""
    asked = {"source": "api", "entity_id": "HC-103", "key": key, **given}
    return await house.app.runs.start(principal, "mend", **asked)


async def seen(house: House, who: Principal, run: str) -> list[str]:
    """Answer by which ways somebody gets at a run."""
    runs, history = house.app.runs, History(house.app.database, house.app.runs)

    async def thread() -> Any:
        return (await history.thread(who, "thread-1")).runs

    ways = {
        "get": lambda: runs.get(who, run),
        "events": lambda: runs.events(who, run),
        "approvals": lambda: runs.approvals(who, run),
        "artifacts": lambda: runs.artifacts(who, run),
        "artifact": lambda: runs.artifact(who, run, "diff"),
        "record": lambda: history.record(who, run),
        "thread": thread,
    }
    found = []
    for name, way in ways.items():
        try:
            await way()
        except NotFound:
            continue
        found.append(name)
    lists = {
        "list": [each.id for each in await runs.list(who)],
        "search": [each.run.id for each in await history.search(who, "salary")],
        "threads": [each.id for _thread, made in (await history.threads(who)).shown for each in made],
        "everything": [record.run.id async for record in history.everything(who)],
    }
    return sorted(found + [name for name, ids in lists.items() if run in ids])


async def test_a_private_run_is_there_for_who_may_see_what_it_read(house: House) -> None:
    """Its person, a named approver, the operator, and the product that passes decisions on: nobody else."""
    await house.enable("mend", approvers="cy")
    await link_own(house)
    run = await start(house)
    assert (run.private_to, person_of(run)) == ("bo", "bo")
    tool = house.app.catalog.tool("get_ticket")
    assert tool is not None
    info = CallInfo("req-1", "mcp", "codex", "thread-1", "turn-1", "call-1")
    await house.app.gateway.call(BO, tool, {"id": "HC-103"}, info=info)
    await house.app.audit.flush()
    await ended(house, run)
    everything = await seen(house, BO, run.id)
    assert len(everything) == 11
    for who in (CY, OPERATOR, DESK_OF_BO):
        assert await seen(house, who, run.id) == everything
    for who in (AL, SHOP, Principal(ACME, "service", "ci", scopes=("run.get", "run.list"))):
        assert await seen(house, who, run.id) == []


async def test_a_private_run_is_nobodys_over_http(house: House) -> None:
    """Neither its row nor the stream of its events, by another person's token."""
    await house.enable("mend")
    await link_own(house)
    run = await start(house)
    transport = httpx2.ASGITransport(Serving(house.app).asgi)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8640") as http:
        for name, status, there in (("bo", 200, [run.id]), ("al", 404, [])):
            made = await house.app.tokens.create(ACME, subject=name, scopes=("read",), kind="person")
            http.headers["Authorization"] = f"Bearer {made.text.reveal()}"
            assert (await http.get(f"/runs/{run.id}")).status_code == status
            assert (await http.get(f"/runs/{run.id}/artifacts")).status_code == status
            assert [each["id"] for each in (await http.get("/runs")).json()["result"]] == there
            if status == 404:
                watching = {"Accept": "text/event-stream"}
                assert (await http.get(f"/runs/{run.id}/events", headers=watching)).status_code == 404


async def test_what_the_tenant_shares_is_for_all_of_it(house: House) -> None:
    """Without an account of one's own a run reads with shared ones, also when one is linked meanwhile."""
    await house.enable("mend")
    run = await start(house)
    await link_own(house)
    assert (run.private_to, person_of(run)) == (None, None)
    await ended(house, run)
    assert len(await seen(house, AL, run.id)) == 10, "threads need a call"


async def test_nobody_else_decides_or_cancels_it(house: House) -> None:
    """What is not there for somebody cannot be ended, steered or forked by them."""
    await house.enable("mend")
    await link_own(house)
    run = await start(house)
    for attempt in (
        house.app.runs.cancel(AL, run.id),
        house.app.runs.steer(AL, run.id, "Tell me."),
        house.app.runs.decide(AL, run.id, "apr_1", "approve"),
        house.app.runs.retry(AL, run.id),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_what_comes_of_a_private_run_tells_nothing_of_it(house: House) -> None:
    """A fork stays private, whoever asks for it; who begins anew reads anew, with accounts of their own."""
    await house.enable("mend", approvers="cy")
    await link_own(house)
    run = await start(house)
    await ended(house, run)
    forked = await house.app.runs.fork(CY, run.id, "And now?")
    assert (forked.private_to, person_of(forked), forked.entity_title) == ("bo", None, None)
    with pytest.raises(NotFound):
        await house.app.runs.get(AL, forked.id)
    await house.app.runs.cancel(CY, forked.id)
    again = await house.app.runs.retry(OPERATOR, run.id)
    assert (again.private_to, person_of(again), again.entity_title, again.account) == (None, None, None, None)
    await house.app.runs.cancel(OPERATOR, again.id)
    own = await house.app.runs.retry(BO, run.id)
    assert (own.private_to, own.entity_title) == ("bo", "Salaries")


async def test_a_service_reads_with_nobodys_account(house: House) -> None:
    """Whoever it says that it asks for."""
    await house.enable("mend")
    await link_own(house)
    run = await start(house, SHOP, person="bo")
    assert (run.person, run.private_to, person_of(run)) == ("bo", None, None)
    with pytest.raises(Forbidden):
        await house.app.runs.start(AL, "mend", source="api", entity_id="HC-104", person="bo")
