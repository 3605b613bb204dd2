"""Linked accounts, as they are sent and answered."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SecretStr

from linkspan.store.accounts import State
from linkspan.web.api.models import NAMED, GivenTime, Line, Listing, Name, Settings, TenantId, Time
from linkspan.web.api.reading import Example, Model


class AccountListing(Listing):
    """Which accounts: every parameter that is given must fit."""

    tenant_id: TenantId | None = None
    integration: Annotated[Name | None, Field(alias="integration.name")] = None
    status: State | None = None
    is_sandbox: Literal["true", "false"] | None = None
    subject: Line | None = None
    created_after: Annotated[GivenTime | None, Field(alias="created_at[gt]")] = None
    created_before: Annotated[GivenTime | None, Field(alias="created_at[lt]")] = None


class NewAccount(Model):
    """An account to be linked; with `integrated_account_id`, one to be linked again."""

    example: ClassVar[Example] = {
        "tenant_id": "acme",
        "integration": "desk",
        "settings": {"site": "https://desk.acme.example"},
        "secrets": {"token": "…"},
    }
    tenant_id: TenantId
    integration: Name
    authentication_method: Name | None = None
    settings: Settings = {}
    secrets: Annotated[dict[Name, SecretStr], Field(max_length=10), NAMED] = {}
    subject: Line | None = None
    integrated_account_id: Name | None = None
    is_sandbox: bool | None = None
    verify: bool = True
    """Whether to ask the product if the credential is good, where the connector says how."""


class Integration(Model):
    """The connector of an account."""

    name: str


class Identity(Model):
    """Whose account it is at the product."""

    id: str | None
    label: str | None


class IntegratedAccount(Model):
    """A tenant's link to one product. No credential is in it."""

    id: str
    tenant_id: str
    integration: Integration
    status: State
    authentication_method: str
    subject: str | None
    identity: Identity
    context: dict[str, str]
    """Its settings."""
    origins: list[str]
    scopes: list[str] | None
    is_sandbox: bool
    last_error: str | None
    last_forbidden_error: dict[str, Any] | None
    created_at: Time
    updated_at: Time
    verified_at: Time | None


class AccountRef(Model):
    """An account by its id."""

    example: ClassVar[Example] = {"id": "acc_7d"}
    id: Name
    tenant_id: TenantId | None = None


class NewAccountToken(Model):
    """The account that a token is to be good for."""

    example: ClassVar[Example] = {"integrated_account_id": "acc_7d"}
    integrated_account_id: Name
    tenant_id: TenantId | None = None


class AccountToken(Model):
    """A token for one account and a quarter of an hour. It is shown here and never again."""

    shown_once: ClassVar[tuple[str, ...]] = ("integrated_account_token",)
    integrated_account_token: str
    expires_at: Time
