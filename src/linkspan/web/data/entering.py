"""Who comes in by the doors to the products, for which tenant and account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from linkspan.accounts.admins import Admins
from linkspan.accounts.opaque import is_like
from linkspan.accounts.overview import Overview
from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.tenants import Tenants
from linkspan.accounts.tokens import Tokens
from linkspan.errors import InvalidArgument, NotFound, Unauthenticated
from linkspan.gateway.throttle import Throttle
from linkspan.web.data.asking import Asked

_HINT: Final = "Make one with: linkspan token create (for one tenant) or linkspan admin create."


@dataclass(frozen=True, slots=True)
class Entrance:
    """Knows callers by their bearer token: a tenant's, one of an account, or an admin key.

    `failures` counts what looked like a token and was none, by address.
    """

    tokens: Tokens
    admins: Admins
    tenants: Tenants
    overview: Overview
    failures: Throttle

    async def enter(self, asked: Asked, address: str) -> Principal:
        """Answer who acts.

        An admin key acts for the tenant of the account that is named, or for the one that `tenant_id` names,
        and as its role lets it. Raises `Unauthenticated`, `RateLimited` for who guesses, `Forbidden` for a
        key of one tenant's console, whatever it asks for, `InvalidArgument` and `NotFound`.
        """
        kind, _, text = asked.headers.get("authorization", "").partition(" ")
        key = text.strip() if kind.lower() == "bearer" else ""
        try:
            if is_like(key, "admin"):
                admin = await self.admins.authenticate_admin(key)
            else:
                return await self.tokens.authenticate_anywhere(key, of_account=True)
        except Unauthenticated:
            if is_like(key, "admin") or is_like(key, "tenant"):
                self.failures.take(address)
            raise Unauthenticated("The bearer token is missing or not valid here", hint=_HINT) from None
        admin.check_program()
        tenant, person = await self._for_whom(asked)
        return admin.acting_for(tenant, person)

    async def _for_whom(self, asked: Asked) -> tuple[Tenant, str | None]:
        if asked.account is not None:
            found = await self.overview.account(asked.account, asked.tenant)
            return Tenant(found.tenant), found.subject
        if asked.tenant is None:
            message = "integrated_account_id or tenant_id is needed with an admin key"
            details = [{"path": "integrated_account_id", "message": "is required with an admin key"}]
            raise InvalidArgument(message, details=details)
        return await self.tenants.require(asked.tenant), None

    async def connector_of(self, asked: Asked, principal: Principal) -> str:
        """Answer the connector of the account that is named, or that the token is for."""
        account = asked.account or principal.account
        if account is None:
            details = [{"path": "integrated_account_id", "message": "is required here"}]
            raise InvalidArgument("integrated_account_id is needed at this address", details=details)
        found = await self.overview.account(account, principal.tenant)
        if principal.account not in (None, found.id):
            raise NotFound(f"There is no account {account!r}", hint="This token is for another one.")
        return found.connector
