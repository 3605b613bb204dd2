"""Webhooks out: who is told of what happens to accounts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.common import (
    JSON_OPTION,
    opened,
    print_json,
    print_table,
    run,
    settings_of,
    time_text,
)

if TYPE_CHECKING:
    from linkspan.store.outbox import Delivery
    from linkspan.store.webhooks import Webhook

STATES = ("pending", "delivered", "dead")


@click.group()
def webhook() -> None:
    """Tell URLs of what happens to accounts, signed as Standard Webhooks. `linkspan serve` delivers."""


@webhook.command()
@click.argument("url")
@click.option("--tenant", metavar="NAME", help="Hear of this tenant only. [all tenants]")
@click.option("--event", "events", multiple=True, metavar="EVENT", help="Such as run:waiting_approval. [all]")
@click.option("--truto-signature", is_flag=True, help="Send X-Truto-Signature too.")
@JSON_OPTION
@click.pass_context
def add(
    context: click.Context,
    url: str,
    tenant: str | None,
    events: tuple[str, ...],
    truto_signature: bool,
    as_json: bool,
) -> None:
    """Tell URL of events, and print the secret that its deliveries are signed with, this once."""

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            made = await app.webhooks.add(url, tenant=tenant, events=events, truto_signature=truto_signature)
        if as_json:
            print_json({**_shown(made.webhook), "secret": made.secret.reveal()})
        else:
            click.echo(made.secret.reveal())
            click.echo(
                f"Webhook {made.webhook.id} is signed with this secret, which is not shown again."
                f" Try it: linkspan webhook test {made.webhook.id}",
                err=True,
            )

    run(work, as_json=as_json)


@webhook.command("list")
@click.option("--tenant", metavar="NAME", help="Only those that hear of this tenant alone.")
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, tenant: str | None, as_json: bool) -> None:
    """List the webhooks."""

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            rows = [_shown(row) for row in await app.webhooks.list(tenant=tenant, limit=10_000)]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            row["of"] = row["tenant"] or "all tenants"
            row["events"] = row["events"] or "all"
            row["state"] = "active" if row["active"] else "off"
        print_table(
            rows, ["id", "url", "of", "events", "state"], "There are no webhooks: linkspan webhook add URL"
        )

    run(work, as_json=as_json)


@webhook.command()
@click.argument("webhook_id")
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@JSON_OPTION
@click.pass_context
def test(context: click.Context, webhook_id: str, allow_egress: str | None, as_json: bool) -> None:
    """Send an event `test` to WEBHOOK_ID now, and say how it went (exit code 1: it was not taken)."""

    async def work() -> bool:
        async with opened(settings_of(context, allow_egress=allow_egress)) as app:
            attempt = await app.outbox.test(webhook_id)
        if as_json:
            print_json({"delivered": attempt.is_taken, "status": attempt.status, "error": attempt.error})
        else:
            told = f"{webhook_id} took it ({attempt.status})." if attempt.is_taken else str(attempt.error)
            click.echo(told, err=not attempt.is_taken)
        return attempt.is_taken

    if not run(work, as_json=as_json):
        sys.exit(1)


@webhook.command()
@click.argument("webhook_id")
@click.pass_context
def remove(context: click.Context, webhook_id: str) -> None:
    """Remove WEBHOOK_ID with its secret and everything that it waits to be told."""

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            gone = await app.webhooks.remove(webhook_id)
        click.echo(f"Removed webhook {webhook_id} and {gone} deliveries.")

    run(work)


@webhook.command()
@click.argument("webhook_id", required=False)
@click.option("--tenant", metavar="NAME", help="Only of this tenant.")
@click.option("--state", type=click.Choice(STATES), help="Only in this state; dead: what was given up.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@JSON_OPTION
@click.pass_context
def deliveries(
    context: click.Context,
    webhook_id: str | None,
    tenant: str | None,
    state: Any,
    limit: int,
    as_json: bool,
) -> None:
    """List what was told, is to be told or was given up, newest first; of one webhook or of all."""

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            found = await app.outbox.list(webhook=webhook_id, tenant=tenant, state=state, limit=limit)
        rows = [_delivery(row) for row in found]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            for column in ("created", "due"):
                row[column] = time_text(row[column])
        print_table(
            rows,
            ["id", "webhook", "event", "state", "attempts", "created", "due", "last_error"],
            "There are no deliveries.",
        )

    run(work, as_json=as_json)


@webhook.command()
@click.argument("delivery_id")
@JSON_OPTION
@click.pass_context
def replay(context: click.Context, delivery_id: str, as_json: bool) -> None:
    """Send DELIVERY_ID (as `webhook deliveries` shows it) again, under its own id; `serve` does it."""

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            again = await app.outbox.replay(delivery_id)
        if as_json:
            print_json(_delivery(again))
        else:
            click.echo(f"Delivery {delivery_id} will be sent again.")

    run(work, as_json=as_json)


def _shown(row: Webhook) -> dict[str, Any]:
    return {
        "id": row.id,
        "tenant": row.tenant,
        "url": row.url,
        "events": list(row.events),
        "truto_signature": row.truto_signature,
        "active": row.active,
        "created": row.created,
        "updated": row.updated,
    }


def _delivery(row: Delivery) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "tenant": row.tenant,
        "webhook": row.webhook,
        "event": row.event,
        "state": row.state,
        "attempts": row.attempts,
        "created": row.created,
        "due": row.due if row.state == "pending" else None,
        "finished": row.finished,
        "last_status": row.last_status,
        "last_error": row.last_error,
    }
