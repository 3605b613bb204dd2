"""Who acts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NewType

from linkspan.vault.secret import Secret

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


@dataclass(frozen=True, slots=True)
class Credential:
    """An opened account: where it may go, what it is sent with. Lives only as long as the call."""

    account: AccountId
    connector: str
    method: str
    """The type of the `AuthMethod` it was linked with."""
    secrets: Mapping[str, Secret] = field(repr=False)
    """By the names in `AuthMethod.fields`."""
    settings: Mapping[str, str]
    origins: tuple[str, ...]
    """`scheme://host:port`, the port always written; nothing is sent anywhere else."""
