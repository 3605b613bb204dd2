"""Webhooks and their deliveries, as they are sent and answered."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from linkspan.accounts.webhooks import LONGEST_URL, URL_PATTERN
from linkspan.store.outbox import DeliveryState, Event
from linkspan.web.api.models import Listing, Name, TenantId, Time
from linkspan.web.api.reading import Example, Model

TargetUrl = Annotated[
    str, Field(pattern=URL_PATTERN, max_length=LONGEST_URL, examples=["https://hooks.example/x"])
]
Events = Annotated[list[Event], Field(max_length=20)]


class NewWebhook(Model):
    """A webhook to be. No events: all of them. No tenant: of all tenants."""

    example: ClassVar[Example] = {
        "target_url": "https://hooks.example/x",
        "events": ["integrated_account:active", "integrated_account:deleted"],
    }
    target_url: TargetUrl
    tenant_id: TenantId | None = None
    events: Events = []
    truto_signature: bool = False


class ChangedWebhook(Model):
    """What is to change of a webhook."""

    example: ClassVar[Example] = {"is_active": False}
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

    shown_once: ClassVar[tuple[str, ...]] = ("secret",)
    secret: str


class WebhookListing(Listing):
    """Which webhooks."""

    tenant_id: TenantId | None = None


class WebhookRef(Model):
    """A webhook by its id."""

    example: ClassVar[Example] = {"id": "wh_7d"}
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
