"""Operators in browsers: signed in by an admin key, or by the identity provider that the operator trusts.

A session is as good as what it was opened with: a key that is revoked, or a person who is taken off the list,
is out at the next click.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from linkspan.accounts.admins import Admin, Admins
from linkspan.accounts.opaque import mint, read
from linkspan.errors import Forbidden
from linkspan.settings import ConsoleRight
from linkspan.store import admins as rows
from linkspan.store.admins import ConsoleSession
from linkspan.store.database import Database
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

LIFETIME: Final = 12 * 3_600.0
"""Seconds that a browser stays signed in."""


class ConsoleSessions:
    """Lets operators in, knows them again, and lets them go."""

    def __init__(
        self,
        db: Database,
        admins: Admins,
        *,
        people: Mapping[str, ConsoleRight],
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        """`people` says who may come in by the identity provider: mail addresses, and `*@DOMAIN`."""
        self._db = db
        self._admins = admins
        self._people = people
        self._clock = clock
        self._random = random

    async def by_key(self, key: str) -> tuple[Secret, Admin]:
        """Sign in with an admin key. Raises `Unauthenticated`."""
        admin = await self._admins.authenticate_admin(key.strip())
        return await self._open(admin.subject, admin.token_id), admin

    async def by_provider(self, email: str | None) -> tuple[Secret, Admin]:
        """Sign in whom the provider knows by a mail address that it has proved. Raises `Forbidden`."""
        admin = self._known(email or "")
        if admin is None:
            raise Forbidden(
                f"{f'the account {email}' if email else 'your account there'} may not use the console",
                hint="The operator names who may with LINKSPAN_CONSOLE_PEOPLE.",
            )
        return await self._open(admin.subject, None), admin

    async def find(self, cookie: str | None) -> tuple[str, Admin] | None:
        """Answer the session and who it is, by what the browser kept."""
        shown = read(cookie, "console")
        found = await rows.session(self._db, shown.id) if shown.id else None
        if not shown.is_of(found.hash if found else None) or found is None:
            return None
        if found.expires <= self._clock():
            return None
        admin = self._known(found.subject) if found.key is None else await self._admins.still(found.key)
        return None if admin is None else (found.id, admin)

    async def end(self, session: str) -> None:
        """Sign a browser out."""
        await rows.end_session(self._db, session)

    async def _open(self, subject: str, key: str | None) -> Secret:
        now = self._clock()
        made = mint("console", self._random)
        await rows.open_session(
            self._db, ConsoleSession(made.id, made.hash, subject, key, now, now + LIFETIME)
        )
        return made.text

    def _known(self, email: str) -> Admin | None:
        domain = f"*@{email.rpartition('@')[2]}"
        right = self._people.get(email) or self._people.get(domain)
        return None if right is None else Admin(email, "", right.role, right.tenant)
