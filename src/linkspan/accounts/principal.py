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
