"""People: who may sign in at a tenant, by invitation or because a provider knows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from linkspan.accounts.opaque import mint
from linkspan.accounts.principal import Tenant
from linkspan.accounts.tenants import no_tenant
from linkspan.accounts.tokens import check_scopes
from linkspan.errors import Conflict, InvalidArgument, NotFound
from linkspan.store import people as rows
from linkspan.store import tenants as tenant_rows
from linkspan.store.database import Database
from linkspan.store.people import Domain, Invitation, Person
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

INVITED_FOR: Final = 7 * 86_400.0
"""Seconds that an invitation link is good for."""
_LONGEST_NAME: Final = 100
_EMAIL: Final = re.compile(r"[!-?A-~]{1,64}@(?:[a-z0-9-]+\.)+[a-z0-9-]{2,63}", re.ASCII)
_DOMAIN: Final = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z0-9-]{2,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Invited:
    """A person who may sign in, with the link's secret where one was asked for; it is shown once."""

    person: Person
    secret: Secret | None
    expires: float | None


class People:
    """Invites, lists and removes the people of tenants."""

    def __init__(self, db: Database, *, clock: Callable[[], float], random: Random) -> None:
        self._db = db
        self._clock = clock
        self._random = random

    async def invite(
        self,
        tenant: Tenant,
        name: str,
        *,
        link: bool = True,
        lifetime: float = INVITED_FOR,
        email: str | None = None,
        identity: tuple[str, str] | None = None,
        scopes: Sequence[str] | None = None,
    ) -> Invited:
        """Let a person sign in, or let one sign in again; what is not given stays as it was.

        With `link`, once within `lifetime` seconds by an invitation, which replaces an earlier one. `email`
        or `identity` (issuer and subject) says whom an external provider means by it; `scopes` is the most
        that the person can give to a program. Raises `InvalidArgument`, `NotFound` for the tenant, and
        `Conflict` when somebody else has the address or the identity.
        """
        checked = _name(name)
        now = self._clock()
        earlier = await rows.find(self._db, tenant, checked)
        person = earlier or Person(tenant, checked, ("read", "write"), None, None, None, now)
        if email is not None:
            address = mail_address(email)
            if address != person.email:
                # Whoever had the former address at the provider is somebody else now.
                person = replace(person, email=address, issuer=None, subject=None)
        if identity is not None:
            person = replace(person, issuer=identity[0], subject=identity[1])
        if scopes is not None:
            person = replace(person, scopes=check_scopes(scopes))
        made = mint("invite", self._random) if link else None
        invitation = (
            Invitation(tenant, made.id, checked, made.hash, now, now + lifetime) if made is not None else None
        )
        if not await rows.keep(self._db, person, invitation):
            if not await tenant_rows.exists(self._db, tenant):
                raise no_tenant(tenant)
            raise Conflict(
                f"Another person of tenant {tenant} has that mail address or identity",
                hint=f"See: linkspan person list --tenant {tenant}",
            )
        return Invited(person, made.text if made else None, invitation.expires if invitation else None)

    async def domains(self, tenant: Tenant) -> list[Domain]:
        """Answer the domains whose people may sign in."""
        return await rows.domains(self._db, tenant)

    async def list(self, tenant: Tenant) -> list[Person]:
        """Answer everybody of the tenant, by name."""
        return await rows.of_tenant(self._db, tenant)

    async def remove(self, tenant: Tenant, name: str) -> dict[str, int]:
        """Remove a person with invitation, browsers, sign-ins and tokens, at once and in every process.

        Answers how many rows that were, by table. The person's linked accounts are not touched. Raises
        `NotFound`.
        """
        gone = await rows.remove(self._db, tenant, name, self._clock())
        if gone is None:
            raise NotFound(
                f"Tenant {tenant} has no person {name!r}",
                hint=f"See: linkspan person list --tenant {tenant}",
            )
        return gone

    async def allow(self, tenant: Tenant, domain: str, *, scopes: Sequence[str]) -> Domain:
        """Let everybody whose proved mail address is of this domain sign in by the provider.

        Raises `InvalidArgument`, and `NotFound` for the tenant.
        """
        name = domain.strip().removeprefix("@").lower()
        if not _DOMAIN.fullmatch(name):
            raise InvalidArgument(f"{domain!r} is not a domain", hint="Such as acme.example.")
        allowed = Domain(tenant, name, check_scopes(scopes), self._clock())
        if not await rows.allow(self._db, allowed):
            raise no_tenant(tenant)
        return allowed

    async def disallow(self, tenant: Tenant, domain: str) -> None:
        """Let nobody new of a domain in; who is in stays. Raises `NotFound`."""
        if not await rows.disallow(self._db, tenant, domain.strip().removeprefix("@").lower()):
            raise NotFound(f"Tenant {tenant} lets nobody in by the domain {domain!r}")


def mail_address(text: str) -> str:
    """Answer a mail address as it is compared: in lower case, ASCII only. Raises `InvalidArgument`."""
    address = text.strip().lower()
    if not _EMAIL.fullmatch(address):
        raise InvalidArgument("That is not a mail address", hint="Such as anna@acme.example.")
    return address


def _name(text: str) -> str:
    name = text.strip()
    if not name or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise InvalidArgument(
            "A person needs a name: what accounts, tokens and the audit log call it",
            hint=f"One line of at most {_LONGEST_NAME} characters.",
        )
    return name
