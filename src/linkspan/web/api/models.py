"""What is sent to the management API and answered by it: Truto's names where it has them.

Times are ISO 8601 in UTC. No model that is answered has a field for a credential; those that show a secret
which was just made (a token, a webhook's secret, an invitation's link) say so in their names.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from linkspan.accounts.webhooks import LONGEST_URL, URL_PATTERN
from linkspan.store.accounts import State
from linkspan.store.outbox import DeliveryState, Event
from linkspan.web.api.reading import Model, Query


def whole(value: Any) -> Any:
    """Answer 60 for 60.0, which JSON Schema counts among the integers (2020-12, §4.2.2)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_TIME: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"
)


def _is_time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("must be a date and time with a zone, such as 2026-11-23T17:00:00Z") from error
    return text


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-23T17:00:00Z"])]
GivenTime = Annotated[
    str,
    Field(pattern=_TIME, json_schema_extra={"format": "date-time"}, examples=["2026-11-23T17:00:00Z"]),
    AfterValidator(_is_time),
]
TenantId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", examples=["acme"])]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Line = Annotated[str, Field(pattern=r"^[!-~À-ɏ]([ -~À-ɏ]{0,98}[!-~À-ɏ])?$", description="One line of text.")]
Scope = Annotated[str, Field(pattern=r"^(read|write|[a-z][a-z0-9_]*\.(\*|[a-z][a-z0-9_]*))$")]
NAMED: Final = Field(json_schema_extra={"additionalProperties": False})
SETTING: Final = 16_384
"""Characters that a setting may have: some are a chain of certificates."""
Settings = Annotated[dict[Name, Annotated[str, Field(max_length=SETTING)]], Field(max_length=50), NAMED]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=100)]
Duration = Annotated[int, Field(ge=1, le=31_536_000, description="Seconds."), BeforeValidator(whole)]
Limit = Annotated[int, Field(ge=1, le=100)]
Cursor = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]{1,600}$", description="`next_cursor` of the page before.")
]
ItemT = TypeVar("ItemT")


class Page(Model, Generic[ItemT]):
    """A part of a list; `next_cursor` is null on the last one."""

    result: list[ItemT]
    next_cursor: str | None


class Deleted(Model):
    """What was deleted."""

    id: str


class Listing(Query):
    """Which part of a list."""

    limit: Limit = 50
    next_cursor: Cursor | None = None


class OfTenant(Query):
    """Whose."""

    tenant_id: TenantId


class ListingOfTenant(Listing):
    """Which part of a tenant's list."""

    tenant_id: TenantId


class MaybeOfTenant(Query):
    """Whose, where the id alone is not enough."""

    tenant_id: TenantId | None = None


# Tenants ----------------------------------------------------------------------------------------------------


class NewTenant(Model):
    """A tenant to be."""

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


# People and tokens ------------------------------------------------------------------------------------------


class NewPerson(Model):
    """A person to be invited, or to be invited again: what is left out stays as it was."""

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

    invitation_url: str | None
    invitation_expires_at: Time | None


class NewToken(Model):
    """A token to be."""

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

    token: str


# Accounts ---------------------------------------------------------------------------------------------------


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

    id: Name
    tenant_id: TenantId | None = None


class NewAccountToken(Model):
    """The account that a token is to be good for."""

    integrated_account_id: Name
    tenant_id: TenantId | None = None


class AccountToken(Model):
    """A token for one account and a quarter of an hour. It is shown here and never again."""

    integrated_account_token: str
    expires_at: Time


# Webhooks ---------------------------------------------------------------------------------------------------

TargetUrl = Annotated[
    str, Field(pattern=URL_PATTERN, max_length=LONGEST_URL, examples=["https://hooks.example/x"])
]
Events = Annotated[list[Event], Field(max_length=20)]


class NewWebhook(Model):
    """A webhook to be. No events: all of them. No tenant: of all tenants."""

    target_url: TargetUrl
    tenant_id: TenantId | None = None
    events: Events = []
    truto_signature: bool = False


class ChangedWebhook(Model):
    """What is to change of a webhook."""

    target_url: TargetUrl | None = None
    events: Events | None = None
    truto_signature: bool | None = None
    is_active: bool | None = None


class Webhook(Model):
    """Where events are told to, without the secret that signs them."""

    id: str
    tenant_id: str | None
    target_url: str
    events: list[str]
    truto_signature: bool
    is_active: bool
    created_at: Time
    updated_at: Time


class CreatedWebhook(Webhook):
    """A webhook with its secret. It is shown here and never again."""

    secret: str


class WebhookListing(Listing):
    """Which webhooks."""

    tenant_id: TenantId | None = None


class WebhookRef(Model):
    """A webhook by its id."""

    id: Name


class TestedWebhook(Model):
    """How a test went."""

    delivered: bool
    status: int | None
    error: str | None


class DeliveryListing(Listing):
    """Which deliveries: every parameter that is given must fit."""

    webhook_id: Name | None = None
    tenant_id: TenantId | None = None
    status: DeliveryState | None = None
    event: Event | None = None


class Delivery(Model):
    """One event for one webhook."""

    id: str
    tenant_id: str
    webhook_id: str
    event: str
    status: DeliveryState
    attempts: int
    created_at: Time
    next_attempt_at: Time | None
    finished_at: Time | None
    last_status: int | None
    last_error: str | None


# The audit log ----------------------------------------------------------------------------------------------


class LogListing(Listing):
    """Which rows of a tenant's audit log: every parameter that is given must fit."""

    tenant_id: TenantId
    created_after: Annotated[GivenTime | None, Field(alias="created_at[gt]")] = None
    created_before: Annotated[GivenTime | None, Field(alias="created_at[lt]")] = None
    integration: Annotated[Name | None, Field(alias="integration.name")] = None
    integrated_account_id: Name | None = None
    tool: Name | None = None
    resource: Name | None = None
    resource_id: Line | None = None
    outcome: Name | None = None
    subject: Line | None = None
    token_id: Name | None = None
    request_id: Name | None = None


class LogEntry(Model):
    """One call: who did what to which thing, and how it ended. No values, no secrets."""

    id: str
    tenant_id: str
    created_at: Time
    principal: str
    """person, service, run or operator."""
    subject: str
    token_id: str | None
    request_id: str
    via: str
    tool: str
    resource: str
    resource_id: str | None
    integration: str | None
    integrated_account_id: str | None
    upstream_status: int | None
    outcome: str
    duration_ms: float
    thread_id: str | None
    turn_id: str | None
    call_id: str | None
    steps: list[str]
    """Of a call of several requests: method, path as written, status."""


class Failure(Model):
    """What went wrong: our own shape, and Truto's keys beside it."""

    error: FailureDetails
    statusCode: int  # noqa: N815 - Truto's name
    message: str
    truto_is_remote_error: bool


class FailureDetails(Model):
    """What went wrong, for programs (`code`, docs/errors.md) and for people."""

    code: str
    message: str
    status: int
    retry_after: float | None
    request_id: str
    details: list[dict[str, Any]] | dict[str, Any] | None = None


Failure.model_rebuild()
