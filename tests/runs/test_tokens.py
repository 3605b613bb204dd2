"""The two tokens of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from linkspan.accounts.principal import Principal
from linkspan.errors import Forbidden, NotLinked, QuotaExceeded, Unauthenticated
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Item
from linkspan.runs.tokens import Pair
from linkspan.store import runs as rows
from linkspan.store.runs import Run
from tests.runs.conftest import ACME, BO, SHOP, House


async def working(house: House, principal: Principal = BO, recipe: str = "mend", *, key: str = "k") -> Run:
    """Answer a run that is at work."""
    await house.enable(recipe)
    entity_id = None if recipe == "look" else "HC-103"
    run = await house.app.runs.start(principal, recipe, source="api", entity_id=entity_id, key=key)
    taken = await rows.take(house.app.database, "acme", run.id, worker="w1", now=house.now[0])
    assert taken is not None
    changed = await rows.change(
        house.app.database, "acme", run.id, taken.epoch, house.now[0], state="running"
    )
    assert changed is not None
    return changed


async def issue(house: House, run: Run) -> Pair:
    """Make its tokens, good for an hour."""
    return await house.app.run_tokens.issue(run, expires=house.now[0] + 3600)


async def test_each_opens_its_own_door(house: House) -> None:
    """The one for the model opens no tools, the other no model; neither is a tenant's token."""
    run = await working(house)
    pair = await issue(house, run)
    assert pair.tools is not None
    assert pair.model.reveal().startswith("lsk_run_")
    tokens = house.app.run_tokens
    grant = await tokens.grant(pair.model.reveal())
    assert (grant.tenant, grant.run, grant.tokens_left) == ("acme", run.id, 50_000)
    who = await tokens.authenticate(pair.tools.reveal(), "acme")
    assert (who.kind, who.subject, who.scopes) == (
        "run",
        run.id,
        ("ticket.get", "ticket.comment", "comment.list"),
    )
    assert (who.only, who.person) == (("ticket", "HC-103"), None)
    for attempt in (
        tokens.grant(pair.tools.reveal()),
        tokens.authenticate(pair.model.reveal(), "acme"),
        tokens.authenticate(pair.tools.reveal(), "globex"),
        tokens.grant("lsk_run_abcdefabcdef_" + "a" * 43),
        tokens.grant("sk-nothing"),
        house.app.tokens.authenticate(pair.tools.reveal(), "acme"),
    ):
        with pytest.raises(Unauthenticated):
            await attempt
    assert await house.app.tokens.list(ACME) == []


async def test_they_die_with_the_run(house: House) -> None:
    """When it ends, when they expire, and when others take their place."""
    run = await working(house)
    first = await issue(house, run)
    second = await issue(house, run)
    tokens = house.app.run_tokens
    with pytest.raises(Unauthenticated):
        await tokens.grant(first.model.reveal())
    await tokens.grant(second.model.reveal())
    house.now[0] += 3600
    with pytest.raises(Unauthenticated):
        await tokens.grant(second.model.reveal())
    third = await issue(house, run)
    await rows.change(house.app.database, "acme", run.id, run.epoch, 1.0, state="failed", finished=1.0)
    with pytest.raises(Unauthenticated):
        await tokens.grant(third.model.reveal())


async def test_a_run_changes_its_own_thing_only(house: House) -> None:
    """It comments on its ticket, and neither on another one nor with another tool."""
    run = await working(house)
    pair = await issue(house, run)
    assert pair.tools is not None
    codex = await house.app.run_tokens.authenticate(pair.tools.reveal(), "acme")

    async def call(name: str, who: Principal = codex, **arguments: str) -> object:
        tool = house.app.catalog.tool(name)
        assert tool is not None
        return await house.app.gateway.call(who, tool, arguments, info=CallInfo("r", via="mcp"))

    assert isinstance(await call("comment_on_ticket", id="HC-103", body="Found it."), Item)
    assert isinstance(await call("get_ticket", id="HC-103"), Item)
    with pytest.raises(Forbidden, match="may change ticket HC-103 and nothing else"):
        await call("comment_on_ticket", id="HC-104", body="You too.")
    with pytest.raises(Forbidden, match=r"lacks the scope ticket\.update"):
        await call("update_ticket", id="HC-103", status="done")
    wide = replace(codex, scopes=("write",))
    with pytest.raises(Forbidden, match="nothing else"):
        await call("create_ticket", wide, title="Mine")
    with pytest.raises(Forbidden, match="nothing else"):
        await call("resolve_alert", wide, id="AL-1")


async def test_a_run_uses_the_accounts_of_who_asked(house: House) -> None:
    """A person's own, if the person asked; never those of one whom a service named."""
    connector = house.app.catalog.connectors["desk"]
    (shared,) = await house.app.accounts.list(ACME, "desk")
    opened = await house.app.accounts.credential(SHOP, connector)
    await house.app.accounts.unlink(ACME, shared.id, connector)
    await house.app.accounts.link(
        ACME, connector, subject="bo", settings=dict(opened.settings), secrets=dict(opened.secrets)
    )
    own = await working(house)
    pair = await issue(house, own)
    assert pair.tools is not None
    mine = await house.app.run_tokens.authenticate(pair.tools.reveal(), "acme")
    assert (await house.app.accounts.credential(mine, connector)).subject == "bo"
    await house.app.runs.cancel(BO, own.id)
    await rows.change(house.app.database, "acme", own.id, own.epoch, 1.0, state="cancelled", finished=1.0)
    run = await working(house, SHOP, key="other")
    pair = await issue(house, run)
    assert pair.tools is not None
    others = await house.app.run_tokens.authenticate(pair.tools.reveal(), "acme")
    with pytest.raises(NotLinked):
        await house.app.accounts.credential(others, connector)


async def test_a_budget_ends_a_run(house: House) -> None:
    """Of tokens, and of money where there is a price; what is spent opens the model no more."""
    run = await working(house)
    pair = await issue(house, run)
    tokens = house.app.run_tokens
    used = {
        "input_tokens": 20_000,
        "cached_input_tokens": 10_000,
        "output_tokens": 1_000,
        "total_tokens": 21_000,
    }
    assert await tokens.spent(ACME, run.id, "gpt-test", used)
    kept = await house.app.runs.get(BO, run.id)
    assert kept.total_tokens == 21_000
    assert kept.cost == pytest.approx(0.21)
    assert await tokens.spent(ACME, run.id, "gpt-test", used)
    assert not await tokens.spent(ACME, run.id, "gpt-test", used)
    with pytest.raises(QuotaExceeded, match=r"^the budget of 50,000 tokens for this run is spent$"):
        await tokens.grant(pair.model.reveal())
    other = {"output_tokens": 10_000, "total_tokens": 10_000}
    house.now[0] += 40 * 86_400
    await house.app.runs.cancel(BO, run.id)
    await rows.change(house.app.database, "acme", run.id, run.epoch, 1.0, state="failed", finished=1.0)
    assert not await tokens.spent(ACME, run.id, "gpt-test", other)


async def test_money_ends_a_run_too(house: House) -> None:
    """At a price of the operator's."""
    run = await working(house)
    dear = {"output_tokens": 10_000, "total_tokens": 10_000}
    pair = await issue(house, run)
    assert not await house.app.run_tokens.spent(ACME, run.id, "gpt-test", dear)
    with pytest.raises(QuotaExceeded, match=r"^the budget of money for this run \(1\) is spent$"):
        await house.app.run_tokens.grant(pair.model.reveal())


async def test_a_tenants_budget_ends_its_runs(house: House) -> None:
    """Where this one has not used up its own, a person is told whose is spent."""
    run = await working(house)
    pair = await issue(house, run)
    house.app.runs.starting._policy = lambda: replace(house.app.catalog.runs, tenant_tokens=1000)
    used = {"output_tokens": 1000, "total_tokens": 1000}
    assert not await house.app.run_tokens.spent(ACME, run.id, "other", used)
    with pytest.raises(
        QuotaExceeded, match=r"^tenant acme has used up its budget for runs of the last 30 days$"
    ):
        await house.app.run_tokens.grant(pair.model.reveal())


async def test_a_dated_release_has_the_price_of_its_name(house: House) -> None:
    """Asked for a model, OpenAI answers as its release: a budget of money holds all the same."""
    run = await working(house)
    dear = {"output_tokens": 10_000, "total_tokens": 10_000}
    assert not await house.app.run_tokens.spent(ACME, run.id, "gpt-test-2026-04-23", dear)
    assert (await house.app.runs.get(BO, run.id)).cost == pytest.approx(1.0)


async def test_what_answers_without_a_price_costs_what_was_asked(house: House) -> None:
    """A model that goes by another name when it answers is not free."""
    run = await working(house)
    dear = {"output_tokens": 10_000, "total_tokens": 10_000}
    assert not await house.app.run_tokens.spent(ACME, run.id, "gpt-test-turbo", dear, asked="gpt-test")


async def test_a_run_of_nothing_may_write_where_its_scopes_let_it(house: House) -> None:
    """There is no thing that it is bound to."""
    run = await working(house, recipe="look")
    pair = await issue(house, run)
    assert pair.tools is not None
    assert (await house.app.run_tokens.authenticate(pair.tools.reveal(), "acme")).only is None
