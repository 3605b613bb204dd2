"""Tenants: the customers of the product."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from linkspan.cli.common import JSON_OPTION, opened, print_json, print_table, run, settings_of, time_text


@click.group()
def tenant() -> None:
    """Add, list and remove tenants: the customers of the product."""


@tenant.command()
@click.argument("name")
@JSON_OPTION
@click.pass_context
def add(context: click.Context, name: str, as_json: bool) -> None:
    """Add the tenant NAME: small letters, digits and -, at most 63."""

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            added = await app.tenants.add(name)
        if as_json:
            print_json({"tenant": added})
        else:
            click.echo(f"Added tenant {added}. Next: linkspan account link CONNECTOR --tenant {added}")

    run(work, as_json=as_json)


@tenant.command("list")
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """List the tenants."""

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            rows = [asdict(row) for row in await app.tenants.list()]
        if as_json:
            print_json(rows)
        else:
            for row in rows:
                row["created"] = time_text(row["created"])
            print_table(rows, list(rows[0]) if rows else [], "There are no tenants: linkspan tenant add NAME")

    run(work, as_json=as_json)


@tenant.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON_OPTION
@click.pass_context
def remove(context: click.Context, name: str, yes: bool, as_json: bool) -> None:
    """Remove the tenant NAME with its accounts, tokens and audit rows. Nothing of it is kept."""

    async def work() -> None:
        async with opened(settings_of(context)) as app:
            await app.tenants.require(name)
            if not yes:
                if not sys.stdin.isatty():
                    raise click.UsageError(f"this deletes everything of tenant {name}: add --yes")
                click.confirm(f"Delete tenant {name} with its accounts, tokens and audit rows?", abort=True)
            deleted = await app.tenants.remove(name)
        if as_json:
            print_json({"tenant": name, "deleted": deleted})
        else:
            counts = ", ".join(f"{count} {table}" for table, count in deleted.items())
            click.echo(f"Removed tenant {name}: {counts}")

    run(work, as_json=as_json)
