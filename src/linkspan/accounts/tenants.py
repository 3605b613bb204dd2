"""Tenants: the customers, each with accounts and tokens of its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from linkspan.accounts.principal import Tenant
from linkspan.errors import ConfigurationError, Conflict, InvalidArgument, NotFound
from linkspan.store import tenants as rows
from linkspan.store.database import Database

LOCAL = Tenant("local")
"""The tenant that stdio makes for itself when there is none."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class TenantInfo:
    """A tenant, and when it was added (epoch seconds)."""

    name: Tenant
    created: float


def tenant_name(text: str) -> Tenant:
    """Answer the text as a tenant name. Raises `InvalidArgument` that says the rule."""
    if not _NAME.fullmatch(text):
        raise InvalidArgument(
            f"{text!r} is not a tenant name",
            hint="Use at most 63 lower-case letters, digits and dashes, with a letter or digit in front.",
        )
    return Tenant(text)


def no_tenant(name: str) -> NotFound:
    """The error for a tenant that is not there."""
    return NotFound(f"There is no tenant {name!r}", hint="See: linkspan tenant list")


class Tenants:
    """Adds, lists and removes tenants."""

    def __init__(self, db: Database, *, clock: Callable[[], float]) -> None:
        self._db = db
        self._clock = clock

    async def add(self, name: str) -> Tenant:
        """Add a tenant. Raises `InvalidArgument` for the name and `Conflict` when it is taken."""
        tenant = tenant_name(name)
        if not await rows.add(self._db, tenant, self._clock()):
            raise Conflict(f"There is a tenant {name!r} already", hint="See: linkspan tenant list")
        return tenant

    async def list(self) -> list[TenantInfo]:
        """Answer all tenants by name."""
        return [TenantInfo(Tenant(name), created) for name, created in await rows.everyone(self._db)]

    async def require(self, name: str) -> Tenant:
        """Answer the tenant of that name. Raises `NotFound`."""
        if not await rows.exists(self._db, name):
            raise no_tenant(name)
        return Tenant(name)

    async def only(self, name: str | None, *, make: bool = False) -> Tenant:
        """Answer the tenant that a program for one tenant serves.

        The one that was named; else the only one there is; else, with `make`, `local`, which is made. Raises
        `ConfigurationError` when there are none or several to choose from, or the named one is not there.
        """
        names = [tenant.name for tenant in await self.list()]
        if name is not None:
            if name not in names:
                raise ConfigurationError(
                    f"There is no tenant {name!r}", hint=f"Run: linkspan tenant add {tenant_name(name)}"
                )
            return Tenant(name)
        if len(names) > 1:
            raise ConfigurationError(
                f"There are several tenants: {', '.join(names)}",
                hint="Name one with --tenant or LINKSPAN_TENANT.",
            )
        if names:
            return names[0]
        if not make:
            raise ConfigurationError("There are no tenants yet", hint="Run: linkspan tenant add NAME")
        await rows.add(self._db, LOCAL, self._clock())
        return LOCAL

    async def remove(self, name: str) -> dict[str, int]:
        """Remove a tenant with everything it has; answer how many rows went, by table. Raises `NotFound`."""
        gone = await rows.remove(self._db, name)
        if gone is None:
            raise no_tenant(name)
        return gone
