"""Grants: what a person let a program do, from the code that says so to the tokens that end it.

A code is good once and for a minute. An access token is an ordinary token of the tenant, of a person, that
ends within a quarter of an hour and is good for one URL. A refresh token is good once; what it was exchanged
for may be asked for again within `GRACE`, since an answer may be lost. Showing one after that means that two
have it, and ends the family (RFC 9700 §4.14.2). So does showing a code twice (RFC 6749 §4.1.2).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from linkspan.accounts.clients import Client
from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.accounts.opaque import mint, read
from linkspan.accounts.principal import Tenant
from linkspan.accounts.scopes import narrow
from linkspan.errors import NotFound
from linkspan.spec.catalog import Catalog
from linkspan.store import grants as rows
from linkspan.store import people as people_rows
from linkspan.store import tokens as token_rows
from linkspan.store.database import Database
from linkspan.store.grants import Grant, Pair, RefreshToken, Verdict
from linkspan.store.people import Person
from linkspan.store.tokens import Token
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

CODE_LIFETIME: Final = 60.0
GRACE: Final = 30.0
IDLE: Final = 30 * 86_400.0
"""Seconds that a sign-in lasts without being used."""
LONGEST: Final = 90 * 86_400.0
"""Seconds that a sign-in lasts at most."""


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person has just said yes to."""

    person: Person
    client: Client
    redirect_uri: str
    challenge: str
    scopes: tuple[str, ...]
    audience: str


@dataclass(frozen=True, slots=True)
class Issued:
    """Tokens for a program. `lifetime` is that of the access token, in seconds."""

    access: Secret
    refresh: Secret
    lifetime: float
    scopes: tuple[str, ...]


class Grants:
    """Gives codes and tokens, exchanges them, and ends what should end."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Callable[[], float],
        random: Random,
        catalog: Callable[[], Catalog],
        access_lifetime: float,
    ) -> None:
        self._db = db
        self._clock = clock
        self._random = random
        self._catalog = catalog
        self._access_lifetime = access_lifetime

    async def allow(self, tenant: Tenant, consent: Consent) -> Secret:
        """Note what a person allowed, and answer the code for its program.

        Raises `OAuthRefused` when the person was removed meanwhile.
        """
        now = self._clock()
        made = mint("code", self._random)
        grant = Grant(
            tenant=tenant,
            id=made.id,
            person=consent.person.name,
            client_id=consent.client.id,
            client_name=consent.client.name,
            redirect_uri=consent.redirect_uri,
            scopes=consent.scopes,
            audience=consent.audience,
            challenge=consent.challenge,
            code_hash=made.hash,
            code_expires=now + CODE_LIFETIME,
            created=now,
            expires=now + LONGEST,
        )
        if not await rows.insert(self._db, grant):
            raise OAuthRefused("access_denied", "You are not known here any more")
        return made.text

    async def redeem(
        self,
        tenant: Tenant,
        *,
        code: str,
        client_id: str,
        redirect_uri: str,
        verifier: str,
        resources: Sequence[str],
    ) -> Issued:
        """Exchange a code for tokens (RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 8707 §2.2).

        Whatever is wrong about a code that is shown, it is not good any more. Raises `OAuthRefused`.
        """
        shown = read(code, "code")
        now = self._clock()
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        targeted = True

        def judge(grant: Grant | None) -> Verdict:
            nonlocal targeted
            if not shown.is_of(grant.code_hash if grant else None) or grant is None:
                return "refuse"
            if grant.redeemed is not None or grant.revoked is not None:
                return "revoke"
            targeted = set(resources) == {grant.audience}
            good = (
                now < grant.code_expires
                and targeted
                and grant.client_id == client_id
                and grant.redirect_uri == redirect_uri
                and hmac.compare_digest(grant.challenge, digest)
            )
            return "issue" if good else "revoke"

        person = await self._person(tenant, shown.id)
        pair, issued = self._pair(person, now)
        found = await rows.redeem(self._db, tenant, shown.id, judge=judge, pair=pair, now=now)
        if not targeted:
            raise _wrong_target()
        if found is None:
            raise OAuthRefused("invalid_grant", "The code is not good, or not any more")
        return issued(found)

    async def refresh(
        self,
        tenant: Tenant,
        *,
        token: str,
        client_id: str,
        scopes: Sequence[str] = (),
        resources: Sequence[str] = (),
    ) -> Issued:
        """Exchange a refresh token for the next tokens (RFC 6749 §6); nothing can become more by it.

        `scopes` and `resources` may be left out, or ask for what was granted or less. Raises `OAuthRefused`.
        """
        shown = read(token, "refresh")
        now = self._clock()
        wrong: OAuthRefused | None = None

        def judge(grant: Grant | None, row: RefreshToken | None) -> Verdict:
            nonlocal wrong
            if not shown.is_of(row.hash if row else None) or row is None or grant is None:
                return "refuse"
            if grant.revoked is not None or min(row.expires, grant.expires) <= now:
                return "refuse"
            if grant.client_id != client_id:
                return "revoke"
            if resources and set(resources) != {grant.audience}:
                wrong = _wrong_target()
                return "refuse"
            if set(scopes) - set(grant.scopes):
                wrong = OAuthRefused("invalid_scope", "A sign-in cannot be widened: sign in anew")
                return "refuse"
            if row.generation == grant.generation:
                return "issue"
            if row.generation == grant.generation - 1 and now <= grant.rotated + GRACE:
                return "again"
            return "revoke"

        row = await rows.find_refresh(self._db, tenant, shown.id) if shown.id else None
        person = await self._person(tenant, row.grant_id) if row else None
        pair, issued = self._pair(person, now, scopes)
        found = await rows.refresh(self._db, tenant, shown.id, judge=judge, pair=pair, now=now)
        if wrong is not None:
            raise wrong
        if found is None:
            raise OAuthRefused(
                "invalid_grant", "The refresh token is not good, or not any more", hint="Sign in again."
            )
        return issued(found)

    async def revoke(self, tenant: Tenant, token: str, client_id: str | None) -> None:
        """End what a token stands for (RFC 7009): a refresh token its family, an access token itself.

        A token that is not good is no error. Raises `OAuthRefused` for a token of another client.
        """
        now = self._clock()
        refresh, access = read(token, "refresh"), read(token, "tenant")
        if refresh.id:
            row = await rows.find_refresh(self._db, tenant, refresh.id)
            if refresh.is_of(row.hash if row else None) and row is not None:
                await self._of_client(tenant, row.grant_id, client_id)
                await rows.revoke(self._db, tenant, row.grant_id, now)
        elif access.id:
            found = await token_rows.find(self._db, tenant, access.id)
            if access.is_of(found.hash if found else None) and found is not None and found.grant_id:
                await self._of_client(tenant, found.grant_id, client_id)
                await token_rows.revoke(self._db, tenant, found.id, now)

    async def list(self, tenant: Tenant, *, person: str | None = None) -> list[Grant]:
        """Answer the sign-ins that are good now, of one person or of all."""
        now = self._clock()
        there = await rows.live(self._db, tenant, now, person=person)
        return [grant for grant in there if now < grant.rotated + IDLE]

    async def end(self, tenant: Tenant, grant: str, *, person: str | None = None) -> Grant:
        """End a sign-in with all its tokens, at once and in every process. Raises `NotFound`.

        With `person`, only one that is this person's.
        """
        found = await rows.find(self._db, tenant, grant)
        if (
            found is None
            or (person is not None and found.person != person)
            or not await rows.revoke(self._db, tenant, grant, self._clock())
        ):
            raise NotFound(f"Tenant {tenant} has no sign-in {grant!r} that is good")
        return found

    async def _person(self, tenant: Tenant, grant: str) -> Person | None:
        found = await rows.find(self._db, tenant, grant) if grant else None
        return await people_rows.find(self._db, tenant, found.person) if found else None

    async def _of_client(self, tenant: Tenant, grant: str, client_id: str | None) -> None:
        found = await rows.find(self._db, tenant, grant)
        if client_id is not None and found is not None and found.client_id != client_id:
            raise OAuthRefused("invalid_client", "The token was given to another client")

    def _pair(
        self, person: Person | None, now: float, scopes: Sequence[str] = ()
    ) -> tuple[Pair, Callable[[Grant], Issued]]:
        """Make two tokens; answer what puts them into rows, and what the program gets.

        They carry what was granted, or less where less was asked for or the person may give less now.
        """
        access, refresh = mint("tenant", self._random), mint("refresh", self._random)

        def words(grant: Grant) -> tuple[str, ...]:
            return narrow(scopes or grant.scopes, person.scopes if person else (), self._catalog())

        def pair(grant: Grant, generation: int) -> tuple[Token, RefreshToken]:
            token = Token(
                tenant=grant.tenant,
                id=access.id,
                kind="tenant",
                hash=access.hash,
                principal_kind="person",
                subject=grant.person,
                scopes=words(grant),
                created=now,
                expires=min(now + self._access_lifetime, grant.expires),
                grant_id=grant.id,
                audience=grant.audience,
            )
            expires = min(now + IDLE, grant.expires)
            return token, RefreshToken(grant.tenant, refresh.id, grant.id, generation, refresh.hash, expires)

        def issued(grant: Grant) -> Issued:
            lifetime = min(self._access_lifetime, grant.expires - now)
            return Issued(access.text, refresh.text, lifetime, words(grant))

        return pair, issued


def _wrong_target() -> OAuthRefused:
    return OAuthRefused("invalid_target", "The resource is another one than was signed in to")
