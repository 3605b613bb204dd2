"""Sessions: a person signed in with a browser, by invitation or by a provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from linkspan.accounts.opaque import Opaque, mint, read
from linkspan.accounts.principal import Tenant
from linkspan.errors import Forbidden, Unauthenticated
from linkspan.store import people as rows
from linkspan.store.database import Database
from linkspan.store.people import Invitation, Person, Session
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

LIFETIME: Final = 30 * 86_400.0
"""Seconds that a browser stays signed in."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person in a browser. `cookie` is set when it has just signed in: what the browser is to keep."""

    person: Person
    session: str
    expires: float
    cookie: Secret | None = None


class Sessions:
    """Lets people in, knows them again, and lets them go."""

    def __init__(self, db: Database, *, clock: Callable[[], float], random: Random) -> None:
        self._db = db
        self._clock = clock
        self._random = random

    async def accept(self, tenant: Tenant, invitation: str) -> SignedIn:
        """Sign in with the secret of an invitation, which is used up by it.

        Raises `Unauthenticated`, always the same: unknown, used, replaced, over, or of another tenant.
        """
        shown = read(invitation.strip(), "invite")
        now = self._clock()
        made = mint("session", self._random)

        def is_good(found: Invitation) -> bool:
            return shown.is_of(found.hash) and now < found.expires

        person = await rows.accept(
            self._db, tenant, shown.id, is_good=is_good, session=_opens(tenant, made, now)
        )
        if person is None:
            raise Unauthenticated(
                "This invitation is not good here, or not any more",
                hint="It is good once and for some days. Ask whoever gave it to you for another one.",
            )
        return SignedIn(person, made.id, now + LIFETIME, made.text)

    async def welcome(self, tenant: Tenant, issuer: str, subject: str, email: str | None) -> SignedIn:
        """Sign in whom a provider knows. `email` is an address that it has proved, in lower case, or None.

        Raises `Forbidden` for somebody whom the tenant has neither invited nor let in by domain.
        """
        now = self._clock()
        made = mint("session", self._random)
        known = Person(tenant, email or "", (), email, issuer, subject, now)
        person = await rows.welcome(self._db, known, _opens(tenant, made, now))
        if person is None:
            raise Forbidden(
                f"{email or 'Your account there'} is not known here",
                hint="Ask whoever runs this to invite you with the mail address of that account."
                if email
                else "That account has no mail address that its provider has verified.",
            )
        return SignedIn(person, made.id, now + LIFETIME, made.text)

    async def find(self, tenant: Tenant, cookie: str | None) -> SignedIn | None:
        """Answer who is signed in with a browser, by what it kept."""
        shown = read(cookie, "session")
        found = await rows.session_of(self._db, tenant, shown.id) if shown.id else None
        if not shown.is_of(found[0].hash if found else None) or found is None:
            return None
        session, person = found
        if session.expires <= self._clock():
            return None
        return SignedIn(person, session.id, session.expires)

    async def end(self, tenant: Tenant, signed_in: SignedIn) -> None:
        """Sign a browser out."""
        await rows.end_session(self._db, tenant, signed_in.session)


def _opens(tenant: Tenant, made: Opaque, now: float) -> Callable[[str], Session]:
    return lambda person: Session(tenant, made.id, person, made.hash, now, now + LIFETIME)
