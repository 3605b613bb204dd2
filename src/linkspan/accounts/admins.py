"""Admin keys: what an operator's own programs show at the management API and at the doors to products.

They are separate from the tokens of tenants in every way: another kind, other rows. An admin key opens no MCP
endpoint, and no tenant's token opens what is the operator's. What a key may do says its role, at every door.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from linkspan.accounts.opaque import is_like, mint, read
from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.tenants import no_tenant
from linkspan.errors import Forbidden, InvalidArgument, NotFound, Unauthenticated
from linkspan.store import admins as rows
from linkspan.store import tenants as tenant_rows
from linkspan.store.admins import ROLES, AdminToken, Role
from linkspan.store.database import Database, StoreFault
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

_TOUCH_EVERY: Final = 300.0
"""Seconds: how coarse `last_used` is."""
_LONGEST_SUBJECT: Final = 100


@dataclass(frozen=True, slots=True)
class Admin:
    """Who administers: the subject of the key that was shown, and the key's ID."""

    subject: str
    token_id: str
    role: Role = "admin"
    only: str | None = None
    """The one tenant that they see; None: all."""

    def may(self, role: Role) -> bool:
        """Tell whether they may do what that role may."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, tenant: str) -> bool:
        """Tell whether a tenant is theirs to see."""
        return self.only is None or self.only == tenant

    def check_program(self) -> None:
        """Raise `Forbidden` for a key that is for one tenant's console: no program comes in with it."""
        if self.only is not None:
            raise Forbidden(
                f"this key is for the console, and for tenant {self.only} alone",
                hint=f"A program uses a token of the tenant: linkspan token create --tenant {self.only}",
            )

    def acting_for(self, tenant: Tenant, person: str | None = None) -> Principal:
        """Answer who acts for a tenant: the operator, or for a viewer somebody who reads.

        `person` is whose account is used, which is private to them and the operator.
        """
        token = self.token_id or None
        if self.may("operator"):
            return Principal(tenant, "operator", self.subject, token_id=token, person=person)
        return Principal(tenant, "service", self.subject, scopes=("read",), token_id=token)


@dataclass(frozen=True, slots=True)
class NewAdminToken:
    """A key that was just made. `text` is shown once and stored nowhere."""

    text: Secret
    token: AdminToken


class Admins:
    """Makes, lists, revokes and checks admin keys."""

    def __init__(self, db: Database, *, clock: Callable[[], float], random: Random) -> None:
        self._db = db
        self._clock = clock
        self._random = random

    async def create(
        self, subject: str, *, expires: float | None = None, role: Role = "admin", only: str | None = None
    ) -> NewAdminToken:
        """Make a key for a person or a program. `expires` is in epoch seconds, None for never.

        `role` is what it may do, and `only` the one tenant that it is good for: such a key opens the console
        and nothing else. Raises `InvalidArgument` for the subject, or for a time that has passed, and
        `NotFound` for the tenant.
        """
        now = self._clock()
        name = subject.strip()
        if not name or not name.isprintable() or len(name) > _LONGEST_SUBJECT:
            raise InvalidArgument(
                "An admin key needs a subject: the name of the person or program that it is for",
                hint=f"One line of at most {_LONGEST_SUBJECT} characters.",
            )
        if expires is not None and expires <= now:
            raise InvalidArgument("The key would have expired already", hint="Give a time to come.")
        if only is not None and not await tenant_rows.exists(self._db, only):
            raise no_tenant(only)
        made = mint("admin", self._random)
        token = AdminToken(made.id, made.hash, name, now, expires, role=role, only=only)
        await rows.insert(self._db, token)
        return NewAdminToken(made.text, token)

    async def list(self) -> list[AdminToken]:
        """Answer all keys, revoked and expired ones too, oldest first."""
        return await rows.everyone(self._db)

    async def revoke(self, token: str) -> None:
        """Revoke a key by its ID, at once and in every process. Raises `NotFound`."""
        if not await rows.revoke(self._db, token, self._clock()):
            raise NotFound(
                f"There is no admin key {token!r} that is not revoked yet", hint="See: linkspan admin list"
            )

    def is_like_a_key(self, text: str) -> bool:
        """Tell whether a text has the form of an admin key: only such a one is looked up and is a guess."""
        return is_like(text, "admin")

    async def authenticate_admin(self, text: str) -> Admin:
        """Answer who shows this key.

        Raises `Unauthenticated`, always the same, whether it is malformed, unknown, expired, revoked or a
        token of another kind.
        """
        now = self._clock()
        shown = read(text, "admin")
        found = await rows.find(self._db, shown.id) if shown.id else None
        same = shown.is_of(found.hash if found else None)
        if not same or found is None or not _is_good(found, now):
            raise Unauthenticated(
                "The admin key is missing or not valid", hint="Make one with: linkspan admin create"
            )
        if now - (found.last_used or 0.0) >= _TOUCH_EVERY:
            # A full disk must not lock operators out who only look.
            with contextlib.suppress(StoreFault):
                await rows.touch(self._db, found.id, now)
        return _admin(found)

    async def still(self, key: str) -> Admin | None:
        """Answer who has the key of that ID; None when it is good no more."""
        found = await rows.find(self._db, key)
        return _admin(found) if found is not None and _is_good(found, self._clock()) else None


def _admin(token: AdminToken) -> Admin:
    return Admin(token.subject, token.id, token.role, token.only)


def _is_good(token: AdminToken, now: float) -> bool:
    return token.revoked is None and (token.expires is None or now < token.expires)
