"""Webhooks out, and what became of what they were told."""

from __future__ import annotations

from typing import Any, Final

from linkspan.store.outbox import Delivery as DeliveryRow
from linkspan.store.outbox import iso
from linkspan.store.webhooks import Webhook as WebhookRow
from linkspan.web.api import cursors
from linkspan.web.api.endpoint import Call, Endpoint
from linkspan.web.api.models import Deleted, Page
from linkspan.web.api.webhook_models import (
    ChangedWebhook,
    CreatedWebhook,
    Delivery,
    DeliveryListing,
    NewWebhook,
    TestedWebhook,
    Webhook,
    WebhookListing,
    WebhookRef,
)

_ENTITY: Final = "webhook"


async def list_(call: Call) -> Page[Webhook]:
    """Answer webhooks, oldest first."""
    asked: WebhookListing = call.query
    place = cursors.opened(call, _ENTITY)
    found = await call.parts.webhooks.list(
        tenant=asked.tenant_id,
        after=None if place is None else (place[0], place[1]),
        limit=asked.limit + 1,
    )
    shown = found[: asked.limit]
    more = len(found) > len(shown)
    return Page[Webhook](
        result=[Webhook(**_fields(each)) for each in shown],
        next_cursor=cursors.seal(call, _ENTITY, [shown[-1].created, shown[-1].id]) if more else None,
    )


async def create(call: Call) -> CreatedWebhook:
    """Tell a URL of events; the secret is shown this once."""
    asked: NewWebhook = call.body
    made = await call.parts.webhooks.add(
        asked.target_url, tenant=asked.tenant_id, events=asked.events, truto_signature=asked.truto_signature
    )
    call.about(made.webhook.tenant, _ENTITY, made.webhook.id)
    return CreatedWebhook(**_fields(made.webhook), secret=made.secret.reveal())


async def get(call: Call) -> Webhook:
    """Answer one webhook."""
    return Webhook(**_fields(await _found(call, call.path["id"])))


async def change(call: Call) -> Webhook:
    """Change what was sent of a webhook."""
    found = await _found(call, call.path["id"])
    asked: ChangedWebhook = call.body
    changed = await call.parts.webhooks.change(
        found.id,
        url=asked.target_url,
        events=asked.events,
        truto_signature=asked.truto_signature,
        active=asked.is_active,
    )
    return Webhook(**_fields(changed))


async def remove(call: Call) -> Deleted:
    """Delete a webhook with what it waits to be told."""
    found = await _found(call, call.path["id"])
    await call.parts.webhooks.remove(found.id)
    return Deleted(id=found.id)


async def test(call: Call) -> TestedWebhook:
    """Send an event `test` now."""
    found = await _found(call, call.body.id)
    attempt = await call.parts.outbox.test(found.id)
    return TestedWebhook(delivered=attempt.is_taken, status=attempt.status, error=attempt.error)


async def deliveries(call: Call) -> Page[Delivery]:
    """Answer deliveries, newest first."""
    asked: DeliveryListing = call.query
    place = cursors.opened(call, "delivery")
    found = await call.parts.outbox.list(
        tenant=asked.tenant_id,
        webhook=asked.webhook_id,
        state=asked.status,
        event=asked.event,
        before=None if place is None else place[0],
        limit=asked.limit + 1,
    )
    shown = found[: asked.limit]
    more = len(found) > len(shown)
    return Page[Delivery](
        result=[_delivery(each) for each in shown],
        next_cursor=cursors.seal(call, "delivery", [shown[-1].id]) if more else None,
    )


async def replay(call: Call) -> Delivery:
    """Send a delivery again, under its own id."""
    again = await call.parts.outbox.replay(call.path["id"])
    call.about(again.tenant, "webhook_delivery", again.public_id)
    return _delivery(again)


async def _found(call: Call, webhook: str) -> WebhookRow:
    found = await call.parts.webhooks.require(webhook)
    call.about(found.tenant, _ENTITY, found.id)
    return found


def _fields(webhook: WebhookRow) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "tenant_id": webhook.tenant,
        "target_url": webhook.url,
        "events": list(webhook.events),
        "truto_signature": webhook.truto_signature,
        "is_active": webhook.active,
        "created_at": iso(webhook.created),
        "updated_at": iso(webhook.updated),
    }


def _delivery(row: DeliveryRow) -> Delivery:
    return Delivery(
        id=row.public_id,
        tenant_id=row.tenant,
        webhook_id=row.webhook,
        event=row.event,
        status=row.state,
        attempts=row.attempts,
        created_at=iso(row.created) or "",
        next_attempt_at=iso(row.due) if row.state == "pending" else None,
        finished_at=iso(row.finished),
        last_status=row.last_status,
        last_error=row.last_error,
    )


ENDPOINTS = (
    Endpoint(
        "GET", "/webhook", "list_webhooks", "List webhooks", list_, Page[Webhook], query=WebhookListing
    ),
    Endpoint(
        "POST", "/webhook", "create_webhook", "Tell a URL of what happens to accounts", create,
        CreatedWebhook, body=NewWebhook, status=201, fails=(404,),
    ),
    Endpoint(
        "POST", "/webhook/test", "test_webhook", "Send an event `test` to a webhook now", test, TestedWebhook,
        body=WebhookRef, fails=(404,),
    ),
    Endpoint("GET", "/webhook/{id}", "get_webhook", "Get a webhook", get, Webhook, fails=(404,)),
    Endpoint(
        "PATCH", "/webhook/{id}", "change_webhook", "Change a webhook", change, Webhook, body=ChangedWebhook,
        fails=(404,),
    ),
    Endpoint(
        "DELETE", "/webhook/{id}", "delete_webhook", "Delete a webhook with what it waits to be told", remove,
        Deleted, fails=(404,),
    ),
    Endpoint(
        "GET", "/webhook-delivery", "list_webhook_deliveries", "List deliveries, newest first", deliveries,
        Page[Delivery], query=DeliveryListing,
    ),
    Endpoint(
        "POST", "/webhook-delivery/{id}/replay", "replay_webhook_delivery",
        "Send a delivery again, under its own id", replay, Delivery, fails=(404, 409),
    ),
)  # fmt: skip
