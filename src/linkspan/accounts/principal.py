"""Who acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NewType

Tenant = NewType("Tenant", str)
AccountId = NewType("AccountId", str)
PrincipalKind = Literal["person", "service", "run", "operator"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts: a tenant, a kind, and a subject within it; with the scopes that the token carries."""

    tenant: Tenant
    kind: PrincipalKind
    subject: str
    scopes: tuple[str, ...] = ("read", "write")
    token_id: str | None = None
    """Which token it showed; of one that a program got by signing in, the sign-in, which outlives it."""
    audience: str | None = None
    """The one URL that its token is good for (RFC 8707); None: the tenant's endpoint by any name."""
    account: str | None = None
    """The one account that its token is good for; None: whichever it may use."""
    person: str | None = None
    """Of a run: the person who asked for it, whose own accounts it prefers as they would. Of a view token:
    the person it was made for, as whom it looks at runs."""
    only: tuple[str, str] | None = None
    """Of a run: the one thing that it may change, entity and id; None: whatever its scopes let it."""
