"""What an operator sees of all tenants."""

from __future__ import annotations

from linkspan.errors import Conflict, NotFound
from linkspan.store import overview as rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database
from linkspan.store.overview import AccountFilter, Place


class Overview:
    """Lists and finds accounts whosever they are."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def accounts(
        self, wanted: AccountFilter, *, after: Place | None = None, limit: int = 100
    ) -> list[Account]:
        """Answer accounts that fit, oldest first."""
        return await rows.accounts(self._db, wanted, after=after, limit=limit)

    async def account(self, account: str, tenant: str | None = None) -> Account:
        """Answer the account of that id.

        Raises `NotFound`, the same whether there is none or it is another tenant's than the one that was
        named; and `Conflict` when two tenants have one of that id and none was named.
        """
        found = await rows.accounts_called(self._db, account, tenant=tenant)
        if not found:
            raise NotFound(f"There is no account {account!r}", hint="See: GET /integrated-account")
        if len(found) > 1:
            raise Conflict(f"Several tenants have an account {account!r}", hint="Name one with tenant_id.")
        return found[0]
