"""The audit log, as it is asked for and answered."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from linkspan.web.api.models import GivenTime, Line, Listing, Name, TenantId, ThingId, Time, whole
from linkspan.web.api.reading import Example, Model


class LogListing(Listing):
    """Which rows of a tenant's audit log: every parameter that is given must fit."""

    tenant_id: TenantId
    created_after: Annotated[GivenTime | None, Field(alias="created_at[gt]")] = None
    created_before: Annotated[GivenTime | None, Field(alias="created_at[lt]")] = None
    integration: Annotated[Name | None, Field(alias="integration.name")] = None
    integrated_account_id: Name | None = None
    tool: Name | None = None
    resource: Name | None = None
    resource_id: ThingId | None = None
    outcome: Name | None = None
    upstream_status: Annotated[int | None, Field(ge=100, le=599)] = None
    via: Name | None = None
    subject: Line | None = None
    token_id: Name | None = None
    request_id: Name | None = None
    thread_id: Line | None = None
    turn_id: Line | None = None
    call_id: Line | None = None


class LogExport(LogListing):
    """Which rows, and as what. All that fit are answered."""

    format: Literal["ndjson", "csv"] = "ndjson"


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
    has_bodies: bool
    """Whether bodies were kept with it: `/log/{id}` shows them for as long as they are there."""
    steps: list[str]
    """Of a call of several requests: method, path as written, status."""


class LogBody(Model):
    """A body that was kept: its text without secrets, cut where it is long; null for what is no text."""

    content_type: str
    size: int
    """Bytes, as they passed."""
    text: str | None
    is_cut: bool


class LogExchange(Model):
    """One request to the product and its answer."""

    request_line: str
    """Its method and path."""
    status: int | None
    request: LogBody | None
    response: LogBody | None


class LogDetails(LogEntry):
    """One call, with the bodies that were kept of it; an admin key of a viewer sees none."""

    exchanges: list[LogExchange]


class NewLogBodies(Model):
    """For how long an account's bodies are to be kept."""

    example: ClassVar[Example] = {"minutes": 10}
    minutes: Annotated[int, Field(ge=1, le=60), BeforeValidator(whole)] = 60


class LogBodiesState(Model):
    """Whether an account's bodies are kept beside the log."""

    tenant_id: str
    integrated_account_id: str
    is_on: bool
    until: Time | None
    wanted_by: str | None
