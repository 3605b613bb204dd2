"""Our own tokens: what a caller shows to be known as a principal of a tenant."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from linkspan.accounts.opaque import mint, read
from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.tenants import no_tenant
from linkspan.errors import InvalidArgument, NotFound, Unauthenticated
from linkspan.store import tokens as rows
from linkspan.store.database import Database, StoreFault
from linkspan.store.tokens import Token
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

_SCOPE = re.compile(r"read|write|[a-z][a-z0-9_]*\.(?:\*|[a-z][a-z0-9_]*)")
_TOUCH_EVERY = 300.0
"""Seconds: how coarse `last_used` is."""
_MOST_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made. `text` is shown once and stored nowhere."""

    text: Secret
    token: Token


def check_scopes(words: Sequence[str]) -> tuple[str, ...]:
    """Answer scope words as a token stores them, each once: `read`, `write`, `ENTITY.OPERATION`, `ENTITY.*`.

    Raises `InvalidArgument` that names every bad word. Whether an entity exists is not asked here: a token
    may be older or newer than what tools.yaml declares.
    """
    bad = [word for word in words if not _SCOPE.fullmatch(word)]
    if bad or not words:
        raise InvalidArgument(
            f"Not a scope: {', '.join(map(repr, bad))}" if bad else "A token needs a scope",
            hint="Scopes are read, write, ENTITY.OPERATION (ticket.list) and ENTITY.* (ticket.*).",
            details=[{"path": "scopes", "message": f"{word!r} is not a scope"} for word in bad] or None,
        )
    return tuple(dict.fromkeys(words))


class Tokens:
    """Makes, lists, revokes and checks the tokens of tenants."""

    def __init__(self, db: Database, *, clock: Callable[[], float], random: Random) -> None:
        self._db = db
        self._clock = clock
        self._random = random
        self._cache: dict[tuple[str, str], tuple[int, Token, Principal]] = {}
        self._tenants: dict[str, str] = {}
        self._touched: dict[str, float] = {}

    async def create(
        self,
        tenant: Tenant,
        *,
        subject: str,
        kind: Literal["person", "service"] = "service",
        scopes: Sequence[str] = ("read", "write"),
        expires: float | None = None,
        account: str | None = None,
    ) -> NewToken:
        """Make a token for a person or service of the tenant. `expires` is in epoch seconds, None for never.

        `account` is the only one that it is good for. Raises `InvalidArgument` for scopes, subject or a time
        that has passed, `NotFound` for the tenant.
        """
        now = self._clock()
        if not subject.strip() or not subject.isprintable():
            raise InvalidArgument("A token needs a subject: the name of the person or service that it is for")
        if expires is not None and expires <= now:
            raise InvalidArgument("The token would have expired already", hint="Give a time to come.")
        made = mint("tenant", self._random)
        token = Token(
            tenant=tenant,
            id=made.id,
            kind="tenant",
            hash=made.hash,
            principal_kind=kind,
            subject=subject,
            scopes=check_scopes(scopes),
            created=now,
            expires=expires,
            account=account,
        )
        if not await rows.insert(self._db, token):
            raise no_tenant(tenant)
        return NewToken(made.text, token)

    async def list(self, tenant: Tenant) -> list[Token]:
        """Answer all tokens of the tenant, revoked and expired ones too, oldest first."""
        return await rows.of_tenant(self._db, tenant)

    async def revoke(self, tenant: Tenant, token: str) -> None:
        """Revoke a token by its ID, at once and in every process. Raises `NotFound`."""
        if not await rows.revoke(self._db, tenant, token, self._clock()):
            raise NotFound(
                f"Tenant {tenant} has no token {token!r} that is not revoked yet",
                hint=f"See: linkspan token list --tenant {tenant}",
            )

    async def authenticate(self, text: str, tenant: str) -> Principal:
        """Answer who shows this token to this tenant.

        Raises `Unauthenticated`, always the same, whether the token is malformed, unknown, expired, revoked,
        of another kind or of another tenant, or the tenant is not there.
        """
        now = self._clock()
        shown = read(text, "tenant")
        found = await self._find(tenant, shown.id) if shown.id else None
        same = shown.is_of(found[0].hash if found else None)
        if not same or found is None or not _is_good(found[0], now):
            raise Unauthenticated(
                "The bearer token is missing or not valid here",
                hint="Make one with: linkspan token create",
            )
        token, principal = found
        await self._touch(token, now)
        return principal

    async def authenticate_anywhere(self, text: str, *, of_account: bool = False) -> Principal:
        """Answer who shows this token where no tenant is named: at the REST API.

        Raises `Unauthenticated` as `authenticate` does, and for tokens that are good for one URL (those of a
        sign-in) or, unless `of_account`, for one account.
        """
        shown = read(text, "tenant")
        principal = await self.authenticate(text, await self._tenant_of(shown.id) if shown.id else "")
        if principal.audience is not None or (principal.account is not None and not of_account):
            raise Unauthenticated(
                "The bearer token is missing or not valid here",
                hint="A token of a sign-in, or of one account, is for the MCP endpoint.",
            )
        return principal

    async def _tenant_of(self, token_id: str) -> str:
        """Answer whose token it is, empty for nobody's; whether it is still good is asked elsewhere.

        A token never changes hands, so it is looked up once: the store has one thread, and whoever asks it
        waits behind what all others have it do.
        """
        tenant = self._tenants.get(token_id)
        if tenant is None:
            tenant = await rows.tenant_of(self._db, token_id)
            if tenant is not None:
                if len(self._tenants) >= _MOST_CACHED:
                    self._tenants.clear()
                self._tenants[token_id] = tenant
        return tenant or ""

    async def _find(self, tenant: str, token_id: str) -> tuple[Token, Principal] | None:
        mark = self._db.change_mark()
        key = (tenant, token_id)
        cached = self._cache.get(key)
        if cached is not None and cached[0] == mark:
            return cached[1:]
        token = await rows.find(self._db, tenant, token_id)
        if token is None or token.kind != "tenant" or token.principal_kind not in ("person", "service"):
            return None
        principal = Principal(
            tenant=Tenant(tenant),
            kind="person" if token.principal_kind == "person" else "service",
            subject=token.subject,
            scopes=token.scopes,
            token_id=token.grant_id or token.id,
            audience=token.audience,
            account=token.account,
        )
        if mark is not None:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
                self._touched.clear()
            self._cache[key] = (mark, token, principal)
        return token, principal

    async def _touch(self, token: Token, now: float) -> None:
        if now - self._touched.get(token.id, token.last_used or 0.0) < _TOUCH_EVERY:
            return
        if len(self._touched) >= _MOST_CACHED:
            self._touched.clear()
        self._touched[token.id] = now
        # A full disk must not lock callers out who only read.
        with contextlib.suppress(StoreFault):
            await rows.touch(self._db, token.tenant, token.id, now)


def _is_good(token: Token, now: float) -> bool:
    return token.revoked is None and (token.expires is None or now < token.expires)
