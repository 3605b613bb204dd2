"""A call whose access token is refused, whose account only reads, or that lacks a scope."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse

from linkspan import errors
from linkspan.accounts.consent import Consents
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.gateway.call import Result
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Page
from linkspan.settings import Settings
from linkspan.store.accounts import Account
from tests.fakes.asgi import AsgiTransport
from tests.fakes.authority import Authority
from tests.fakes.cloud import REDIRECT, Time, load

ACME = Tenant("acme")


@dataclass
class Bench:
    """An open application with one tenant at the product of authority.py."""

    app: App
    authority: Authority
    clock: Time

    async def link(self, **more: Any) -> Account:
        """Link an account by consent."""
        consents = Consents(self.app.accounts, clock=self.clock, random=os.urandom)
        connector = self.app.catalog.connectors["cloud"]
        consent = consents.begin(ACME, connector, redirect_uri=REDIRECT, **more)
        brought = self.authority.consent(consent.url)
        linked = await consents.finish(consent, connector, brought, self.app.verifier)
        self.authority.seen.clear()
        return linked

    async def call(self, name: str, **arguments: Any) -> Result:
        """Call a tool."""
        tool = self.app.catalog.tool(name)
        assert tool is not None
        principal = Principal(ACME, "service", "codex")
        return await self.app.gateway.call(principal, tool, arguments, info=CallInfo("req-1"))

    async def only(self) -> Account:
        """Answer the one account there is."""
        (found,) = await self.app.accounts.list(ACME)
        return found


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Everything real but the socket and the time."""
    clock = Time()
    authority = Authority(clock)
    app = await build(
        Settings(home=tmp_path), catalog=load(), transport=AsgiTransport(authority.app()), clock=clock
    )
    await app.tenants.add(ACME)
    yield Bench(app, authority, clock)
    await app.aclose()


@pytest.mark.parametrize("tool", ["list_tickets", "create_ticket"])
async def test_a_refused_token_is_renewed_and_tried_once_more(bench: Bench, tool: str) -> None:
    """A 401 did nothing, so a write is sent again too; the caller sees neither."""
    await bench.link()
    bench.authority.end_access()
    await bench.call(tool, **({"title": "x"} if tool == "create_ticket" else {}))
    assert bench.authority.refreshes == 1
    assert len(bench.authority.seen) == 2
    assert (await bench.only()).state == "active"


async def test_refused_again_it_needs_a_new_link(bench: Bench) -> None:
    """Only then; and nothing more is sent."""
    await bench.link()
    bench.authority.api_faults += [JSONResponse({}, 401), JSONResponse({}, 401)]
    with pytest.raises(errors.NeedsReauth):
        await bench.call("list_tickets")
    assert (await bench.only()).state == "needs_reauth"
    with pytest.raises(errors.NeedsReauth):
        await bench.call("list_tickets")
    assert (bench.authority.refreshes, len(bench.authority.seen)) == (1, 2)


async def test_a_refused_token_that_cannot_be_renewed_now(bench: Bench) -> None:
    """The product's own trouble is no reason to ask the person."""
    await bench.link()
    bench.authority.end_access()
    bench.authority.faults.append(JSONResponse({}, 503))
    with pytest.raises(errors.UpstreamError):
        await bench.call("list_tickets")
    assert (await bench.only()).state == "active"


async def test_a_key_is_not_tried_again(bench: Bench) -> None:
    """A product may lock somebody out who shows a wrong key too often."""
    connector = bench.app.catalog.connectors["cloud"]
    await bench.app.accounts.link(ACME, connector, method="bearer", secrets={"token": "key"})
    with pytest.raises(errors.NeedsReauth):
        await bench.call("list_tickets")
    assert len(bench.authority.seen) == 1
    assert (await bench.only()).state == "needs_reauth"


async def test_a_missing_scope_is_recorded(bench: Bench) -> None:
    """A 403 changes no state; what was not allowed, and which scope would be, is kept."""
    await bench.link()
    told = 'Bearer error="insufficient_scope", scope="tickets.write admin"'
    bench.authority.api_faults.append(JSONResponse({}, 403, headers={"WWW-Authenticate": told}))
    with pytest.raises(errors.Forbidden) as error:
        await bench.call("create_ticket", title="x")
    assert error.value.details == {"missing_scopes": ["tickets.write", "admin"]}
    account = await bench.only()
    assert account.state == "active"
    assert account.last_forbidden == {
        "resource": "ticket",
        "method": "create",
        "missing_scopes": ["tickets.write", "admin"],
        "occurred_at": bench.clock.now,
    }


async def test_a_sandbox_account_only_reads(bench: Bench) -> None:
    """A write is refused before anything is sent, a dry run is shown, a read is made."""
    linked = await bench.link(sandbox=True)
    assert linked.sandbox
    with pytest.raises(errors.Forbidden, match="sandbox account, which only reads") as told:
        await bench.call("create_ticket", title="x")
    assert "dry_run" in told.value.for_model()
    assert bench.authority.seen == []
    await bench.call("create_ticket", title="x", dry_run=True)
    assert isinstance(await bench.call("list_tickets"), Page)
    assert len(bench.authority.seen) == 1
    assert (await bench.link(account=linked.id)).sandbox
