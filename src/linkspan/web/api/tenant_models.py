"""Tenants, people and their tokens, as they are sent and answered."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from linkspan.web.api.models import Duration, Line, Scopes, TenantId, Time
from linkspan.web.api.reading import Example, Model


class NewTenant(Model):
    """A tenant to be."""

    example: ClassVar[Example] = {"id": "acme"}
    id: TenantId


class Tenant(Model):
    """A customer of the product."""

    id: str
    created_at: Time


class LeftAccount(Model):
    """What became of one account's grant when its tenant was removed."""

    id: str
    integration: str
    identity: str | None
    outcome: Literal["revoked", "not_revoked", "no_grant"]
    why: str | None


class Removal(Model):
    """The proof that a tenant was removed."""

    id: str
    accounts: list[LeftAccount]
    deleted: dict[str, int]
    """Rows that went, by table."""
    files: int
    keys: int


class NewPerson(Model):
    """A person to be invited, or to be invited again: what is left out stays as it was."""

    example: ClassVar[Example] = {"tenant_id": "acme", "name": "anna", "email": "anna@acme.example"}
    tenant_id: TenantId
    name: Line
    email: (
        Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]{1,64}@([A-Za-z0-9-]{1,63}\.){1,3}[A-Za-z]{2,20}$")]
        | None
    ) = None
    scopes: Scopes | None = None
    link: bool = True
    """Whether to make an invitation link; with an identity provider none is needed."""


class Person(Model):
    """Somebody who may sign in."""

    tenant_id: str
    name: str
    email: str | None
    scopes: list[str]
    created_at: Time
    signed_in_at: Time | None


class InvitedPerson(Person):
    """A person, with the link that signs in once. It is shown here and never again."""

    shown_once: ClassVar[tuple[str, ...]] = ("invitation_url",)
    invitation_url: str | None
    invitation_expires_at: Time | None


class NewToken(Model):
    """A token to be."""

    example: ClassVar[Example] = {
        "tenant_id": "acme",
        "subject": "codex",
        "scopes": ["read"],
        "expires_in": 2_592_000,
    }
    tenant_id: TenantId
    subject: Line
    kind: Literal["service", "person"] = "service"
    scopes: Scopes = ["read", "write"]
    expires_in: Duration | None = None


class Token(Model):
    """A token of a tenant, without its secret, which is kept nowhere."""

    id: str
    tenant_id: str
    kind: str
    subject: str
    scopes: list[str]
    integrated_account_id: str | None
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None


class CreatedToken(Token):
    """A token with its text. It is shown here and never again."""

    shown_once: ClassVar[tuple[str, ...]] = ("token",)
    token: str
