"""Access tokens that stay good, and grants that are never lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from linkspan.accounts.refresh import COOL_DOWN, LEASE
from linkspan.errors import LinkspanError, NeedsReauth, RateLimited, UpstreamError, UpstreamTimeout
from linkspan.net import messages as wire
from linkspan.net.messages import Request
from linkspan.store import accounts as rows
from linkspan.store.database import Database, StoreFault
from linkspan.vault.seal import Vault
from tests.fakes.authority import Authority
from tests.fakes.cloud import ACME, BO, FILE, Cloud, Time, load
from tests.store.engines import Engine


@pytest.fixture
async def cloud(db: Database, vault: Vault) -> AsyncIterator[Cloud]:
    """The accounts of this process, one of them linked by consent."""
    clock = Time()
    cloud = Cloud.over(db, vault, clock, Authority(clock))
    await cloud.link()
    yield cloud
    await cloud.aclose()


@pytest.fixture
async def other(cloud: Cloud, other_db: Database, vault: Vault) -> AsyncIterator[Cloud]:
    """The same accounts as another process has them."""
    other = Cloud.over(other_db, vault, cloud.clock, cloud.authority, cloud.catalog)
    yield other
    await other.aclose()


async def test_a_good_token_is_used_as_it_is(cloud: Cloud) -> None:
    """Until a fifth of its life, or fifteen minutes, before its end nobody asks for another."""
    token = await cloud.token()
    cloud.clock.now += 3600 - 3600 / 5 * 1.26
    assert await cloud.token() == token
    assert cloud.authority.refreshes == 0


async def test_a_token_is_renewed_ahead_of_its_end(cloud: Cloud) -> None:
    """The next call has the new one, and so has every call after it."""
    old = await cloud.token()
    cloud.clock.now += 3600 - 3600 / 5 * 0.74
    new = await cloud.token()
    assert new != old
    assert await cloud.token() == new
    assert cloud.authority.refreshes == 1


async def test_many_calls_at_once_renew_once(cloud: Cloud, other: Cloud) -> None:
    """Of two processes with fifty calls each, one asks the product, and all get the same token."""
    for _round in range(3):
        before = cloud.authority.refreshes
        cloud.clock.now += 3600
        tokens = await asyncio.gather(*(each.token() for each in (cloud, other) for _ in range(50)))
        assert len(set(tokens)) == 1
        assert cloud.authority.refreshes == before + 1


async def test_while_one_renews_the_others_go_on_with_the_old_token(cloud: Cloud, other: Cloud) -> None:
    """As long as that is good: neither this process nor another waits."""
    old = await cloud.token()
    cloud.clock.now += 3600 - 100
    cloud.authority.faults.append(0.2)
    cloud.authority.arrived.clear()
    first = asyncio.create_task(cloud.token())
    await cloud.authority.arrived.wait()
    assert await cloud.token() == old
    assert await other.token() == old
    assert await first != old
    assert cloud.authority.refreshes == 1


async def test_a_caller_that_gives_up_does_not_lose_the_answer(cloud: Cloud) -> None:
    """The request that is under way is brought to its end, and its answer is stored."""
    cloud.clock.now += 3600
    cloud.authority.faults.append(0.1)
    cloud.authority.arrived.clear()
    call = asyncio.create_task(cloud.token())
    await cloud.authority.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await cloud.accounts.aclose()
    assert (await cloud.only()).version == 2
    await cloud.token()
    assert cloud.authority.refreshes == 1


async def test_the_old_refresh_token_stays_where_the_answer_has_none(cloud: Cloud) -> None:
    """RFC 6749 §6: a server need not give another one."""
    cloud.authority.rotates = False
    for count in range(1, 4):
        cloud.clock.now += 3600
        await cloud.token()
        assert cloud.authority.refreshes == count


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (JSONResponse({"error": "server_error"}, 500), UpstreamError),
        (JSONResponse({}, 503), UpstreamError),
        (JSONResponse({}, 429, headers={"Retry-After": "600"}), RateLimited),
        (JSONResponse({"error": "invalid_client"}, 401), UpstreamError),
        (Response("<html>maintenance</html>", 200, media_type="text/html"), UpstreamError),
        (JSONResponse({"access_token": "with\nline"}, 200), UpstreamError),
        (JSONResponse({"access_token": None}, 200), UpstreamError),
    ],
    ids=["500", "503", "429", "our client", "a page", "no header can carry it", "nothing"],
)
async def test_what_says_nothing_of_the_grant_changes_nothing(
    cloud: Cloud, fault: Response, error: type[LinkspanError]
) -> None:
    """The account stays active; a token that is still good is used on; after a pause it is tried again."""
    old = await cloud.token()
    before = await cloud.only()
    cloud.clock.now += 3600 - 100
    cloud.authority.faults.append(fault)
    assert await cloud.token() == old
    assert cloud.authority.refreshes == 1
    cloud.clock.now += COOL_DOWN - 1
    assert await cloud.token() == old
    assert cloud.authority.refreshes == 1
    after = await cloud.only()
    assert (after.state, after.version, after.last_error) == ("active", before.version, None)
    cloud.clock.now += 100
    if error is not RateLimited:
        assert await cloud.token() != old
        return
    with pytest.raises(UpstreamError, match="a moment ago") as told:
        await cloud.token()
    assert told.value.retry_after is not None
    cloud.clock.now += told.value.retry_after
    assert await cloud.token() != old


async def test_an_ended_token_that_cannot_be_renewed_is_told(cloud: Cloud) -> None:
    """The call fails with what the product said, and for a while nobody asks it again."""
    cloud.clock.now += 3601
    cloud.authority.faults.append(JSONResponse({"error": "temporarily_unavailable"}, 500))
    with pytest.raises(UpstreamError, match="temporarily_unavailable"):
        await cloud.token()
    with pytest.raises(UpstreamError, match="a moment ago"):
        await cloud.token()
    assert cloud.authority.refreshes == 1
    assert (await cloud.only()).state == "active"


async def test_a_grant_that_is_over_needs_a_new_link(cloud: Cloud, other: Cloud) -> None:
    """It is told so, in every process, with the command; nothing more is sent."""
    for grant in cloud.authority.grants.values():
        grant.ended = True
    cloud.clock.now += 3600
    for each in (cloud, other, cloud):
        with pytest.raises(NeedsReauth, match="invalid_grant") as told:
            await each.token()
        assert "linkspan account link cloud --tenant acme --account acc_" in told.value.for_model()
    assert (await cloud.only()).state == "needs_reauth"
    assert cloud.authority.refreshes == 1


async def test_a_grant_is_not_given_up_when_it_was_renewed_meanwhile(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`invalid_grant` is believed only of a row that is still the same."""
    cloud.clock.now += 3600
    fault = JSONResponse({"error": "invalid_grant"}, 400)
    account = await cloud.only()
    real = cloud.authority._fault

    async def overtaken(faults: list[object]) -> Response | None:
        stored = await rows.renew(cloud.db, account)
        assert stored is not None
        return fault if faults is cloud.authority.faults else await real(faults)

    monkeypatch.setattr(cloud.authority, "_fault", overtaken)
    await cloud.token()
    assert (await cloud.only()).state == "active"


async def test_a_lease_of_a_dead_process_runs_out(cloud: Cloud, other: Cloud) -> None:
    """Until then callers are told to come back; afterwards the next one renews."""
    account = await cloud.only()
    cloud.clock.now += 3600
    now = cloud.clock.now
    assert await rows.take_lease(cloud.db, account, owner="dead", now=now, until=now + LEASE)

    async def pass_time(seconds: float) -> None:
        cloud.clock.now += max(seconds, 1)

    assert other.accounts._refresher is not None
    other.accounts._refresher._sleep = pass_time
    with pytest.raises(UpstreamTimeout, match="Another process") as told:
        await other.token()
    assert told.value.retry_after is not None
    cloud.clock.now += told.value.retry_after
    await other.token()
    assert cloud.authority.refreshes == 1


async def test_a_lease_outlives_two_requests() -> None:
    """Whoever holds it has its answer, or none, before anybody else may ask."""
    from linkspan.accounts.oauth import BUDGET, TIMEOUT

    assert LEASE >= 2 * TIMEOUT
    assert LEASE >= TIMEOUT + BUDGET


async def test_tokens_that_cannot_be_written_are_not_lost(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the disk is full callers are told so, the product is not asked again, and then it is written."""
    cloud.clock.now += 3600
    full = [True]
    real = rows.renew

    async def renew(db: Database, account: rows.Account) -> rows.Account | None:
        if full[0]:
            raise StoreFault("The disk is full; nothing was written", hint="Free space.")
        return await real(db, account)

    async def no_sleep(_seconds: float) -> None:
        return None

    assert cloud.accounts._refresher is not None
    cloud.accounts._refresher._sleep = no_sleep
    monkeypatch.setattr(rows, "renew", renew)
    with caplog.at_level(logging.ERROR), pytest.raises(StoreFault, match="disk is full") as told:
        await cloud.token()
    assert "wait in memory" in str(told.value.hint)
    assert "canary" not in caplog.text
    with pytest.raises(StoreFault):
        await cloud.token()
    full[0] = False
    await cloud.token()
    assert cloud.authority.refreshes == 1
    assert (await cloud.only()).version == 2
    cloud.clock.now += 3600
    await cloud.token()
    assert cloud.authority.refreshes == 2


async def test_a_disk_that_fills_while_the_product_answers(
    cloud: Cloud, other: Cloud, db: Database, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage really takes no more: it is said plainly, and what the product gave is there afterwards."""
    old = await cloud.token()
    cloud.authority.extra = {"access_token": f"access-canary-{'x' * 15_000}"}
    cloud.clock.now += 3600
    real = cloud.transport.exchange

    async def exchange(request: Request, **more: Any) -> wire.Response:
        answer = await real(request, **more)
        await engine.fill_disk(db)
        return answer

    monkeypatch.setattr(cloud.transport, "exchange", exchange)
    with pytest.raises(StoreFault, match=r"disk .* is full; nothing was written") as told:
        await cloud.token()
    assert "wait in memory" in str(told.value.hint)
    assert (await cloud.only()).version == 1
    monkeypatch.undo()
    await engine.free_disk(db)
    assert len(await cloud.token()) > 15_000
    assert (cloud.authority.refreshes, (await cloud.only()).version) == (1, 2)
    assert await other.token() == await cloud.token() != old


async def test_what_waits_to_be_written_is_written_at_the_end(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing writes what can be written by then."""
    cloud.clock.now += 3600
    real = rows.renew

    async def renew(_db: Database, _account: rows.Account) -> None:
        raise StoreFault("The disk is full")

    async def no_sleep(_seconds: float) -> None:
        return None

    assert cloud.accounts._refresher is not None
    cloud.accounts._refresher._sleep = no_sleep
    monkeypatch.setattr(rows, "renew", renew)
    with pytest.raises(StoreFault):
        await cloud.token()
    monkeypatch.setattr(rows, "renew", real)
    await cloud.accounts.aclose()
    assert (await cloud.only()).version == 2


async def test_a_token_without_an_end_is_used_until_it_is_refused(cloud: Cloud) -> None:
    """And one that came without anything to renew it needs a new link when it ends."""
    cloud.authority.extra = {"expires_in": None}
    cloud.authority.gives_refresh = False
    account = await cloud.link()
    assert (account.expires, account.renewed) == (None, None)
    token = await cloud.token()
    cloud.clock.now += 10**7
    assert await cloud.token() == token
    cloud.authority.extra = {"expires_in": "60"}
    await cloud.link()
    token = await cloud.token()
    cloud.clock.now += 59
    assert await cloud.token() == token
    cloud.clock.now += 1
    with pytest.raises(NeedsReauth, match="nothing to renew it with"):
        await cloud.token()
    assert cloud.authority.refreshes == 0


@pytest.mark.parametrize("method", ["client_credentials", "github_app"])
async def test_other_tokens_are_got_again_when_they_end(cloud: Cloud, method: str) -> None:
    """A client asks for itself, and an app for its installation."""
    await cloud.accounts.unlink(ACME, (await cloud.only()).id)
    secrets = {"installation_id": "42"} if method == "github_app" else {"client_id": "", "client_secret": ""}
    if method == "client_credentials":
        secrets = {"client_id": "own", "client_secret": "own-canary"}
    linked = await cloud.accounts.link(
        ACME, cloud.connector(), method=method, secrets=secrets, verify=cloud.verifier
    )
    assert (linked.state, linked.identity_label) == ("active", "service")
    first = await cloud.token()
    assert linked.expires is not None
    cloud.clock.now = linked.expires
    assert await cloud.token() != first
    assert [form["grant_type"] for form in cloud.authority.asked[-2:]] == (
        ["jwt"] * 2 if method == "github_app" else ["client_credentials"] * 2
    )


async def test_a_client_of_the_accounts_own_that_is_refused_needs_a_new_link(cloud: Cloud) -> None:
    """It is the account's, so it is the account that says so; what the file says is nobody's account's."""
    await cloud.accounts.unlink(ACME, (await cloud.only()).id)
    own = {"client_id": "own", "client_secret": "own-canary"}
    await cloud.accounts.link(ACME, cloud.connector(), method="client_credentials", secrets=own)
    cloud.clock.now += 3600
    cloud.authority.faults.append(JSONResponse({"error": "invalid_client"}, 401))
    with pytest.raises(NeedsReauth, match="refuses this client"):
        await cloud.token()
    assert (await cloud.only()).state == "needs_reauth"


async def test_a_token_endpoint_that_moved_gets_nothing(cloud: Cloud, tmp_path: Path) -> None:
    """Rule of trust 1: what renews a token goes only where the account was linked to."""
    text = FILE.read_text().replace("https://login.cloud.example", "https://login.evil.example")
    evil = Cloud.over(cloud.db, cloud.vault, cloud.clock, cloud.authority, load(text, tmp_path))
    cloud.clock.now += 3600
    with pytest.raises(NeedsReauth, match="nothing was sent"):
        await evil.token()
    assert evil.transport.sent == []
    assert (await cloud.only()).state == "needs_reauth"


async def test_no_secret_is_in_what_people_see(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in errors nor in logs nor in rows, whatever the product says."""
    told: list[str] = []
    account = await cloud.only()
    for word in ("invalid_grant", "server_error", "invalid_client"):
        secret = next(iter(cloud.authority.grants))
        fault = {"error": word, "error_description": f"{secret} is not good, nor client-secret-canary"}
        cloud.authority.faults.append(JSONResponse(fault, 400))
        cloud.clock.now += 4000
        with caplog.at_level(logging.DEBUG), pytest.raises(LinkspanError) as error:
            await cloud.accounts.refresh(ACME, account.id, cloud.connector())
        told += [str(error.value), error.value.for_model(), str(error.value.to_dict()), repr(error.value)]
    assert "canary" not in "".join((*told, caplog.text, repr(await cloud.only()), repr(cloud.catalog)))


async def test_what_was_seen_is_masked_in_logs(cloud: Cloud) -> None:
    """Tokens old and new, and the client's secret."""
    old = await cloud.token()
    cloud.clock.now += 3600
    seen = [old, await cloud.token(), *cloud.authority.grants, "client-secret-canary"]
    assert len(seen) == 5
    assert not any("canary" in cloud.redactor.mask(f"<{each}>") for each in seen)


async def test_refreshing_by_hand(cloud: Cloud) -> None:
    """Renews at once, whatever the time; a key has nothing to renew."""
    old = await cloud.token()
    account = await cloud.only()
    renewed = await cloud.accounts.refresh(ACME, account.id, cloud.connector())
    assert renewed.version == account.version + 1
    assert await cloud.token() != old
    key = await cloud.accounts.link(ACME, cloud.connector(), method="bearer", secrets={"token": "key"})
    with pytest.raises(LinkspanError, match="no access token"):
        await cloud.accounts.refresh(ACME, key.id, cloud.connector())
    assert (await cloud.accounts.credential(BO, cloud.connector(), account.id)).method == "oauth2"
