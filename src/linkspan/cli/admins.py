"""Admin keys: what an operator's own programs show at the management API."""

from __future__ import annotations

import time
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
from linkspan.settings import parse_duration

if TYPE_CHECKING:
    from linkspan.store.admins import AdminToken, Role


@click.group()
def admin() -> None:
    """Create, list and revoke admin keys. One without a role may do everything, for every tenant."""


@admin.command()
@click.option("--subject", default="operator", show_default=True, help="Whose key it is, for the audit log.")
@click.option("--expires", metavar="DURATION", help="When it ends: 30s, 5m, 2h, 7d. [never]")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "admin"]),
    default="admin",
    show_default=True,
    help="What it may do: look; also run things; also make keys, tenants and webhooks.",
)
@click.option(
    "--tenant", "only", metavar="NAME", help="The one tenant that it sees; it opens the console alone."
)
@JSON_OPTION
@click.pass_context
def create(
    context: click.Context, subject: str, expires: str | None, role: Role, only: str | None, as_json: bool
) -> None:
    """Create an admin key and print it, this once: only its hash is kept."""
    lifetime = _seconds(expires)

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            made = await app.admins.create(
                subject,
                expires=None if lifetime is None else time.time() + lifetime,
                role=role,
                only=only,
            )
        if as_json:
            print_json({**_shown(made.token), "token": made.text.reveal()})
        else:
            click.echo(made.text.reveal())
            click.echo(
                f"Admin key {made.token.id} for {subject}; it is not shown again."
                " It opens /console" + ("." if only else " and the management API: docs/api.md"),
                err=True,
            )

    run(work, as_json=as_json)


@admin.command("list")
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """List the admin keys; their secrets are not kept."""

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            rows = [_shown(row) for row in await app.admins.list()]
        if as_json:
            print_json(rows)
            return
        now = time.time()
        for row in rows:
            ended = row["expires"] is not None and row["expires"] <= now
            row["state"] = "revoked" if row["revoked"] is not None else "expired" if ended else "active"
            for column in ("created", "expires", "last_used"):
                row[column] = time_text(row[column])
        print_table(
            rows,
            ["id", "subject", "role", "tenant", "state", "created", "expires", "last_used"],
            "There are no admin keys: linkspan admin create",
        )

    run(work, as_json=as_json)


@admin.command()
@click.argument("key_id")
@click.pass_context
def revoke(context: click.Context, key_id: str) -> None:
    """Revoke the admin key with KEY_ID (as `admin list` shows it), at once."""

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            await app.admins.revoke(key_id)
        click.echo(f"Revoked admin key {key_id}.")

    run(work)


def _shown(row: AdminToken) -> dict[str, Any]:
    return {
        "id": row.id,
        "subject": row.subject,
        "role": row.role,
        "tenant": row.only,
        "created": row.created,
        "expires": row.expires,
        "revoked": row.revoked,
        "last_used": row.last_used,
    }


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from error
