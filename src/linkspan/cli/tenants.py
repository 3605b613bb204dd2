"""Tenants: the customers of the product."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from linkspan.cli.common import JSON_OPTION, opened, print_json, print_table, run, settings_of, time_text

WORDS = {"revoked": "revoked", "not_revoked": "NOT revoked", "no_grant": "nothing to revoke"}


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
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@JSON_OPTION
@click.pass_context
def remove(context: click.Context, name: str, yes: bool, allow_egress: str | None, as_json: bool) -> None:
    """Remove the tenant NAME with everything it has, and print what was done. Nothing of it is kept.

    Grants are given back at the products where the connector says how. What could not be is named: revoke it
    there by hand.
    """

    async def work() -> None:
        settings = settings_of(context, allow_egress=allow_egress)
        async with opened(settings, with_catalog=settings.config is not None) as app:
            await app.tenants.require(name)
            if not yes:
                if not sys.stdin.isatty():
                    raise click.UsageError(f"this deletes everything of tenant {name}: add --yes")
                click.confirm(f"Delete tenant {name} with its accounts, tokens and audit rows?", abort=True)
            done = await app.offboarding.remove(name, app.catalog.connectors)
        if as_json:
            print_json({**asdict(done), "keys": done.keys})
            return
        counts = ", ".join(f"{count} {table}" for table, count in done.deleted.items() if count)
        click.echo(f"Removed tenant {name}: {counts}; {done.files} files.")
        for parting in done.accounts:
            who = f" ({parting.identity})" if parting.identity else ""
            left = f": {parting.why}" if parting.why else ""
            click.echo(f"  {parting.account} at {parting.connector}{who}: {WORDS[parting.outcome]}{left}")

    run(work, as_json=as_json)
