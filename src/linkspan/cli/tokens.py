"""Tokens: what a tenant's Codex shows at the HTTP endpoint."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal

import click

from linkspan.cli.common import (
    JSON_OPTION,
    TENANT_OPTION,
    opened,
    print_json,
    print_table,
    run,
    settings_of,
    time_text,
)
from linkspan.settings import parse_duration

if TYPE_CHECKING:
    from linkspan.store.tokens import Token


@click.group()
def token() -> None:
    """Create, list and revoke tokens of a tenant."""


@token.command()
@TENANT_OPTION
@click.option("--subject", default="codex", show_default=True, help="Whose token it is, for the audit log.")
@click.option("--person", is_flag=True, help="The subject is a person, whose own accounts are preferred.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="read, write, ENTITY.OPERATION or ENTITY.*; may be repeated. [read and write]",
)
@click.option("--expires", metavar="DURATION", help="When it ends: 30s, 5m, 2h, 7d. [never]")
@JSON_OPTION
@click.pass_context
def create(
    context: click.Context,
    tenant: str | None,
    subject: str,
    person: bool,
    scopes: tuple[str, ...],
    expires: str | None,
    as_json: bool,
) -> None:
    """Create a token and print it, this once: only its hash is kept."""
    lifetime = _seconds(expires)
    kind: Literal["person", "service"] = "person" if person else "service"

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            name = await app.tenants.only(app.settings.tenant)
            made = await app.tokens.create(
                name,
                subject=subject,
                kind=kind,
                scopes=scopes or ("read", "write"),
                expires=None if lifetime is None else time.time() + lifetime,
            )
        if as_json:
            print_json({**_shown(made.token), "token": made.text.reveal()})
        else:
            click.echo(made.text.reveal())
            click.echo(
                f"Token {made.token.id} of tenant {name} for {subject}; it is not shown again."
                " What to do with it: linkspan codex-config --http",
                err=True,
            )

    run(work, as_json=as_json)


@token.command("list")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, tenant: str | None, as_json: bool) -> None:
    """List the tokens of a tenant; their secrets are not kept."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            name = await app.tenants.only(app.settings.tenant)
            rows = [_shown(row) for row in await app.tokens.list(name)]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            row["state"] = _state(row)
            for column in ("created", "expires", "last_used"):
                row[column] = time_text(row[column])
        print_table(
            rows,
            ["id", "subject", "scopes", "state", "created", "expires", "last_used"],
            f"Tenant {name} has no tokens: linkspan token create --tenant {name}",
        )

    run(work, as_json=as_json)


@token.command()
@click.argument("token_id")
@TENANT_OPTION
@click.pass_context
def revoke(context: click.Context, token_id: str, tenant: str | None) -> None:
    """Revoke the token with TOKEN_ID (as `token list` shows it), at once."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            name = await app.tenants.only(app.settings.tenant)
            await app.tokens.revoke(name, token_id)
        click.echo(f"Revoked token {token_id} of tenant {name}.")

    run(work)


def _shown(row: Token) -> dict[str, Any]:
    return {
        "id": row.id,
        "tenant": row.tenant,
        "kind": row.principal_kind,
        "subject": row.subject,
        "scopes": list(row.scopes),
        "created": row.created,
        "expires": row.expires,
        "revoked": row.revoked,
        "last_used": row.last_used,
    }


def _state(row: dict[str, Any]) -> str:
    if row["revoked"] is not None:
        return "revoked"
    return "expired" if row["expires"] is not None and row["expires"] <= time.time() else "active"


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from error
