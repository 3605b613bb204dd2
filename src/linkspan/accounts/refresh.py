"""Keeping access tokens good without ever losing a grant.

A server that rotates refresh tokens (RFC 9700 §4.14.2) takes one that is shown twice for stolen and ends the
grant. So for each version of an account's tokens one request is made, by one task of one process:

- in this process a task per account, which callers wait for and which outlives them: a caller that is
  cancelled between question and answer would lose the answer;
- between processes a lease in the account's row. Whoever gets it has the row as it is now; the others wait
  for another version. It runs out by itself after twice the time that a request may take, because its holder
  may have died;
- the successor is written before anybody uses it. Where it cannot be written (the disk is full), it is kept
  here and written as soon as it can be;
- "the grant is over" is believed only when the row has not changed meanwhile. Everything else that goes wrong
  says nothing of the grant and changes nothing; it is tried again after a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from linkspan.accounts.linking import token_origins
from linkspan.accounts.oauth import BUDGET, TIMEOUT, OAuthClient
from linkspan.accounts.providers import provider_of
from linkspan.accounts.proving import short
from linkspan.accounts.safe import Kept, Safe
from linkspan.accounts.token_answers import GrantGone, Tokens
from linkspan.errors import LinkspanError, NeedsReauth, NotLinked, UpstreamError, UpstreamTimeout
from linkspan.spec.catalog import AuthMethod, Connector
from linkspan.store import accounts as rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database, StoreFault
from linkspan.vault.keys import Random

log = logging.getLogger("linkspan.accounts")
LEASE: Final = 2 * (TIMEOUT + BUDGET)
"""Seconds that others wait for whoever renews an account."""
LONGEST_WAIT: Final = 20.0
"""Seconds that a call waits for another process's renewal."""
COOL_DOWN: Final = 30.0
"""Seconds between two attempts, when one failed."""
AHEAD: Final = 900.0
"""The most seconds before its end that a token is renewed; never more than a fifth of its life."""
_POLL: Final = (0.05, 0.5)
_WRITES: Final = 3
_Key = tuple[str, str]


class Refresher:
    """Renews access tokens. One for a process, on one event loop."""

    def __init__(
        self,
        db: Database,
        safe: Safe,
        oauth: OAuthClient,
        *,
        clock: Callable[[], float],
        random: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._db = db
        self._safe = safe
        self._oauth = oauth
        self._clock = clock
        self._random = random
        self._sleep = sleep
        self._spread = 0.75 + random(1)[0] / 512
        self._running: dict[_Key, asyncio.Task[Account]] = {}
        self._unwritten: dict[_Key, Account] = {}

    def due_at(self, account: Account) -> float:
        """Answer when an account's access token is to be renewed: ahead of its end.

        Each process has its own time. What cannot be renewed is used to its end; without an end, for ever.
        """
        if account.expires is None:
            return math.inf
        if account.renewed is None:
            return account.expires
        return account.expires - min(AHEAD, (account.expires - account.renewed) / 5) * self._spread

    async def fresh(self, account: Account, connector: Connector) -> Account:
        """Answer the account's row with an access token that is good now.

        Only the one call that finds the token due waits; while the old one is good, others go on with it,
        and so does that call when renewing fails. Raises `NeedsReauth` when the grant is over, else what kept
        a token that has ended from being renewed.
        """
        now = self._clock()
        if now < self.due_at(account):
            return account
        is_good = account.expires is not None and now < account.expires
        is_tried = (account.tenant, account.id) in self._running or _is_after(account.lease_until, now)
        if is_good and (is_tried or _is_after(account.retry_after, now)):
            return account
        try:
            return await self.renew(account, connector)
        except NeedsReauth:
            raise
        except LinkspanError:
            if account.expires is not None and self._clock() < account.expires:
                return account
            raise

    async def renew(self, account: Account, connector: Connector) -> Account:
        """Answer the successor of this version of the account, whoever made it.

        The work is done even if this call is cancelled. Raises as `fresh`.
        """
        key = (account.tenant, account.id)
        running = self._running.get(key)
        if running is None:
            running = asyncio.create_task(self._renew(account, connector))
            self._running[key] = running
            running.add_done_callback(lambda task: self._done(key, task))
        answer = await asyncio.shield(running)
        return answer if answer.version != account.version else await self.renew(account, connector)

    async def aclose(self) -> None:
        """Let what runs come to its end, and write what could not be written."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        for key, account in list(self._unwritten.items()):
            with contextlib.suppress(StoreFault):
                await rows.renew(self._db, account)
                del self._unwritten[key]
        for _, lost in self._unwritten:
            log.error("renewed tokens of account %s could not be written and are lost", lost)

    def _done(self, key: _Key, task: asyncio.Task[Account]) -> None:
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited was told, and perhaps nobody waited any more

    async def _renew(self, account: Account, connector: Connector) -> Account:
        owner = self._random(12).hex()
        started = self._clock()
        pause = _POLL[0]
        while True:
            if (written := await self._write_late(account)) is not None:
                return written
            now = self._clock()
            leased = await rows.take_lease(self._db, account, owner=owner, now=now, until=now + LEASE)
            if leased is not None:
                return await self._exchange(leased, connector, owner)
            there = await self._reread(account)
            if there.version != account.version:
                return there
            if _is_after(there.retry_after, now):
                raise _cooling(connector, there, now)
            if now - started > LONGEST_WAIT:
                raise UpstreamTimeout(
                    f"Another process is renewing the access to {connector.title} and has not ended",
                    retry_after=max(1.0, (there.lease_until or now) - now),
                )
            await self._sleep(pause)
            pause = min(pause * 1.5, _POLL[1])

    async def _exchange(self, leased: Account, connector: Connector, owner: str) -> Account:
        """Ask for new tokens, as the only one who does."""
        try:
            kept = await self._safe.open(leased)
            tokens = await self._ask(leased, connector, kept)
        except GrantGone as error:
            there = await self._reread(leased)
            if there.version != leased.version:
                return there
            await self._give_up(leased, error)
            raise
        except LinkspanError as error:
            pause = max(COOL_DOWN, error.retry_after or 0.0)
            with contextlib.suppress(StoreFault):
                await self._release(leased, owner, self._clock() + pause)
            raise
        except BaseException:
            with contextlib.suppress(StoreFault):
                await self._release(leased, owner, None)
            raise
        row = await renewed_row(leased, kept, tokens, self._safe, self._clock())
        return await self._write(row)

    async def _ask(self, leased: Account, connector: Connector, kept: Kept) -> Tokens:
        way = connector.auth_method(leased.method)
        if way is None or way.oauth is None:
            raise NeedsReauth(
                f"The account was linked by {leased.method}, which {connector.title} no longer offers"
            )
        self._safe.register_client(way.oauth.client)
        now_at = token_origins(connector, way, leased.settings, kept.secrets)
        if not set(now_at) <= set(kept.token_origins):
            raise GrantGone(
                f"linked with the token endpoint at {', '.join(kept.token_origins)}, but tools.yaml now says"
                f" {', '.join(now_at)}; nothing was sent"
            )
        return await obtain(self._oauth, connector, way, leased, kept)

    async def _give_up(self, leased: Account, error: GrantGone) -> None:
        await rows.set_state(
            self._db,
            leased.tenant,
            leased.id,
            "needs_reauth",
            short(error.message),
            version=leased.version,
            now=self._clock(),
        )
        error.hint = (
            f"Run: linkspan account link {leased.connector} --tenant {leased.tenant} --account {leased.id}"
        )

    async def _release(self, leased: Account, owner: str, retry_after: float | None) -> None:
        await rows.release_lease(self._db, leased, owner=owner, retry_after=retry_after)

    async def _write(self, row: Account) -> Account:
        """Write renewed tokens; while that fails they are kept here, since they are nowhere else."""
        key = (row.tenant, row.id)
        for attempt in range(1, _WRITES + 1):
            try:
                stored = await rows.renew(self._db, row)
            except StoreFault as fault:
                self._unwritten[key] = row
                if attempt == _WRITES:
                    log.error("renewed tokens of account %s cannot be written yet: %s", row.id, fault.message)
                    fault.hint = f"{fault.hint or ''} Renewed tokens wait in memory to be written.".strip()
                    raise
                await self._sleep(_POLL[1])
            else:
                self._unwritten.pop(key, None)
                # None: it was linked again meanwhile, or unlinked.
                return stored if stored is not None else await self._reread(row)
        raise AssertionError("unreachable")

    async def _write_late(self, account: Account) -> Account | None:
        """Write what could not be written before, if it is the successor of this version."""
        row = self._unwritten.get((account.tenant, account.id))
        if row is None:
            return None
        if row.version != account.version:
            del self._unwritten[(account.tenant, account.id)]
            return None
        return await self._write(row)

    async def _reread(self, account: Account) -> Account:
        there = await rows.find(self._db, account.tenant, account.id)
        if there is None:
            raise NotLinked(
                f"Account {account.id} was unlinked",
                hint=f"Run: linkspan account link {account.connector} --tenant {account.tenant}",
            )
        if there.state == "needs_reauth" and account.state != "needs_reauth":
            raise NeedsReauth(
                f"Account {account.id} must be linked again: {there.last_error}",
                hint=f"Run: linkspan account link {account.connector} --tenant {account.tenant}"
                f" --account {account.id}",
            )
        return there


async def obtain(
    oauth: OAuthClient, connector: Connector, way: AuthMethod, account: Account, kept: Kept
) -> Tokens:
    """Get an access token for what an account keeps. Raises as `OAuthClient.refresh`."""
    provider = provider_of(connector, way, account.settings, kept.secrets)
    if way.type == "client_credentials":
        return await oauth.client_credentials(provider)
    if way.type == "github_app":
        return await oauth.installation(provider, kept.secrets["installation_id"])
    token = kept.secrets.get("refresh_token")
    if token is None:
        raise GrantGone("its access token has ended, and the product gave nothing to renew it with")
    return await oauth.refresh(provider, token)


async def renewed_row(account: Account, kept: Kept, tokens: Tokens, safe: Safe, now: float) -> Account:
    """Answer an account's row with these tokens in it. What the answer leaves out stays as it was."""
    secrets = {**kept.secrets, "access_token": tokens.access_token}
    if tokens.refresh_token is not None:
        secrets["refresh_token"] = tokens.refresh_token
    can_renew = "refresh_token" in secrets or account.method in {"client_credentials", "github_app"}
    return replace(
        account,
        sealed=await safe.seal(account.tenant, account.id, replace(kept, secrets=secrets)),
        expires=tokens.expires,
        renewed=now if can_renew else None,
        scopes=tokens.scopes if tokens.scopes is not None else account.scopes,
    )


def _is_after(time: float | None, now: float) -> bool:
    return time is not None and time > now


def _cooling(connector: Connector, account: Account, now: float) -> UpstreamError:
    wait = max(1.0, (account.retry_after or now) - now)
    return UpstreamError(
        f"The access to {connector.title} could not be renewed a moment ago",
        hint=f"It is tried again in {math.ceil(wait)} seconds.",
        retry_after=wait,
    )
