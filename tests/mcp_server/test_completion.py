"""Completion asks a product seldom, and never mixes what belongs to different people."""

from __future__ import annotations

from linkspan import errors
from linkspan.mcp_server.caller import Caller
from linkspan.mcp_server.completion import KEPT_SECONDS, Completions
from tests.mcp_server.conftest import FakeGateway, principal

TEMPLATE = "linkspan://ticket/{id}"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def ids(
    completions: Completions, tenant: str = "acme", *scopes: str, account: str | None = None
) -> list[str]:
    caller = Caller(principal(tenant, *scopes), "2025-06-18", False)
    return await completions.ids(TEMPLATE, "", caller, account, "req")


async def test_a_list_is_kept_for_half_a_minute(gateway: FakeGateway) -> None:
    """Every letter that is typed asks again; the product hears of the first."""
    clock = Clock()
    completions = Completions(gateway, clock)
    assert await ids(completions) == await ids(completions) == ["1", "2", "3"]
    assert len(gateway.calls) == 1
    clock.now += KEPT_SECONDS + 1
    await ids(completions)
    assert len(gateway.calls) == 2


async def test_nothing_is_shared_between_tenants_or_accounts(gateway: FakeGateway) -> None:
    """Each asks for itself."""
    completions = Completions(gateway, Clock())
    await ids(completions)
    await ids(completions, "beta")
    await ids(completions, account="acc_1")
    assert len(gateway.calls) == 3


async def test_without_the_scope_for_the_list_there_is_nothing(gateway: FakeGateway) -> None:
    """Completion is no way around scopes."""
    assert await ids(Completions(gateway, Clock()), "acme", "ticket.get") == []
    assert gateway.calls == []


async def test_an_error_completes_nothing_and_is_not_kept(gateway: FakeGateway) -> None:
    """A person who types is not shown an error; the next letter tries again."""
    completions = Completions(gateway, Clock())
    gateway.answers["list_tickets"] = errors.UpstreamError("down")
    assert await ids(completions) == []
    del gateway.answers["list_tickets"]
    assert await ids(completions) == ["1", "2", "3"]


async def test_what_is_kept_is_bounded(gateway: FakeGateway) -> None:
    """Thousands of people who type fill no memory."""
    completions = Completions(gateway, Clock())
    for number in range(300):
        await ids(completions, f"tenant{number}")
    assert len(completions._kept) <= 256
