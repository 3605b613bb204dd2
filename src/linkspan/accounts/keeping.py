"""Looking after accounts that nobody uses: keys are verified and idle grants are renewed, once a day.

Products end grants that were not used for a while, and people revoke keys without telling anybody. Each
account is claimed in its row before it is looked at, so of several replicas one does it. Accounts that need
re-authentication are left alone: a product may lock somebody out who shows a wrong key again and again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from linkspan.accounts.accounts import Accounts
from linkspan.accounts.principal import Tenant
from linkspan.accounts.proving import Verifier
from linkspan.errors import LinkspanError
from linkspan.spec.catalog import Catalog, Connector
from linkspan.store import accounts as rows
from linkspan.store import tenants as tenant_rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database
from linkspan.vault.keys import Random

log = logging.getLogger("linkspan.accounts")
DAY: Final = 86_400.0
HOUR: Final = 3_600.0
_ROUND: Final = 600.0
"""Seconds between two looks for what is due."""
_BETWEEN: Final = 0.5
"""Seconds between two accounts: no product gets a burst."""


class Keeper:
    """Looks after the accounts of all tenants."""

    def __init__(
        self,
        db: Database,
        accounts: Accounts,
        verifier: Verifier,
        catalog: Callable[[], Catalog],
        *,
        clock: Callable[[], float],
        random: Random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._db = db
        self._accounts = accounts
        self._verifier = verifier
        self._catalog = catalog
        self._clock = clock
        self._random = random
        self._sleep = sleep

    async def run(self) -> None:
        """Look until cancelled; what fails is logged and looked at again another day."""
        while True:
            await self._sleep(_ROUND * (0.5 + self._random(1)[0] / 256))
            try:
                await self.look()
            except LinkspanError as error:
                log.error("accounts could not be looked after: %s", error.message)

    async def look(self) -> int:
        """Look after every account that is due; answer how many were."""
        done = 0
        for tenant, _created in await tenant_rows.everyone(self._db):
            for account in await rows.of_tenant(self._db, tenant):
                connector = self._catalog().connectors.get(account.connector)
                if connector is None or not await self._claim(account, connector):
                    continue
                await self._tend(account, connector)
                done += 1
                await self._sleep(_BETWEEN)
        return done

    async def _claim(self, account: Account, connector: Connector) -> bool:
        """Be the one who looks after an account, if anybody has to now."""
        if account.state == "needs_reauth" or account.method == "none":
            return False
        now = self._clock()
        pause = DAY if account.state == "active" else HOUR
        touched = max(account.renewed or account.verified or 0.0, account.tended or 0.0)
        if account.state == "active" and now - touched < pause:
            return False
        connected = connector.through(account.method).connected
        if account.renewed is None and connector.verify is None and connected is None:
            return False
        return await rows.claim(self._db, account, now=now, before=now - pause)

    async def _tend(self, account: Account, connector: Connector) -> None:
        tenant = Tenant(account.tenant)
        try:
            if account.state == "active" and account.renewed is not None:
                await self._accounts.refresh(tenant, account.id, connector)
            else:
                await self._accounts.verify(tenant, account.id, connector, self._verifier)
        except LinkspanError as error:
            log.warning("account %s of tenant %s: %s", account.id, account.tenant, error.message)
