"""Events in: the secrets that a product's deliveries are proved with, and what became of deliveries."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.common import (
    JSON_OPTION,
    TENANT_OPTION,
    opened,
    opened_for,
    print_json,
    print_table,
    run,
    settings_of,
    time_text,
)

if TYPE_CHECKING:
    from linkspan.store.deliveries import Arrival

STATES = ("pending", "done", "ignored", "failed")


@click.group()
def hooks() -> None:
    """Let a product's events start recipes: `webhooks` in tools.yaml says how its deliveries are read."""


@hooks.command()
@click.argument("name")
@TENANT_OPTION
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the secret that the product gave from stdin.")
@JSON_OPTION
@click.pass_context
def secret(context: click.Context, name: str, tenant: str | None, from_stdin: bool, as_json: bool) -> None:
    """Make the secret for deliveries to account NAME (acc_…), or to a connector, and show it this once."""
    from linkspan.errors import InvalidArgument
    from linkspan.vault.secret import Secret

    given = Secret(sys.stdin.readline().strip()) if from_stdin else None

    async def work() -> None:
        settings = settings_of(context)
        async with opened(settings, with_catalog=True) as app:
            connectors = app.catalog.connectors
            if name in connectors:
                known = connectors[name].webhooks
                if known is None or known.scope != "app":
                    raise InvalidArgument(
                        f"{name} has no single address for all of its accounts",
                        hint="Name an account: linkspan account list",
                    )
                kept, path = await app.hook_secrets.of_connector(name, given), f"/hooks/{name}"
            else:
                whose = await app.tenants.only(tenant or settings.tenant)
                accounts = {each.id: each for each in await app.accounts.list(whose)}
                found = accounts.get(name)
                known = (
                    connectors[found.connector].webhooks if found and found.connector in connectors else None
                )
                if found is not None and (known is None or known.scope != "account"):
                    raise InvalidArgument(
                        f"{found.connector} has no address for each account",
                        hint=f"See `webhooks` of {found.connector} in tools.yaml.",
                    )
                kept, path = await app.hook_secrets.of_account(whose, name, given), f"/hooks/account/{name}"
            shaken = known.handshake if known is not None else None
            if given is None and shaken is not None and shaken.secret is not None:
                base = settings.public_url or f"http://{settings.host}:{settings.port}"
                url = f"{base}{path}/{kept.reveal()}"
                if as_json:
                    print_json({"url": url})
                    return
                click.echo(url)
                click.echo(
                    "Register this address at the product: its first delivery brings the secret that"
                    " it signs with, which is kept then. The address is not shown again.",
                    err=True,
                )
                return
        base = settings.public_url or f"http://{settings.host}:{settings.port}"
        if as_json:
            print_json({"url": base + path, **({} if given else {"secret": kept.reveal()})})
            return
        if given is None:
            click.echo(kept.reveal())
            click.echo("This secret is not shown again.", err=True)
        click.echo(f"Deliveries go to {base}{path}", err=True)

    run(work, as_json=as_json)


@hooks.command()
@click.argument("name")
@click.option(
    "--body",
    "file",
    type=click.File("rb"),
    help="A delivery as the product sends it; {secret} and {timestamp} in it are filled in.",
)
@click.option("--header", "headers", multiple=True, metavar="NAME:VALUE", help="A header of it. Repeat it.")
@click.option("--url", help="Where this Linkspan is reached; its public URL if not said.")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def test(
    context: click.Context,
    name: str,
    file: Any,
    headers: tuple[str, ...],
    url: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Deliver a signed sample to the address of account NAME (acc_…) or of a connector.

    It tells what would come of it; nothing is noted and nothing is started.
    """
    from linkspan.cli.hook_test import deliver

    async def work() -> None:
        settings = settings_of(context)
        async with opened(settings, with_catalog=True) as app:
            base = url or settings.public_url or f"http://{settings.host}:{settings.port}"
            whose = None
            if name not in app.catalog.connectors:
                whose = await app.tenants.only(tenant or settings.tenant)
            raw = file.read() if file else b"{}"
            done = await deliver(app, whose, name, raw, headers, base)
        if as_json:
            print_json({"url": done.url, "status": done.status, "told": done.told})
        else:
            click.echo(f"POST {done.url}: {done.status}. It proved itself.")
            print_table(done.told, ["event", "id", "recipe", "outcome"], "No recipe waits for what it tells.")

    run(work, as_json=as_json)


@hooks.command("list")
@TENANT_OPTION
@click.option("--state", type=click.Choice(STATES), help="Only in this state.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, tenant: str | None, state: Any, limit: int, as_json: bool) -> None:
    """List events that came in, newest first, and what came of them."""

    async def work() -> None:
        async with opened_for(context, tenant) as (app, who):
            found = await app.arrivals.list(who.tenant, state=state, limit=limit)
        if as_json:
            print_json([_shown(each) for each in found])
            return
        table = [{**_shown(each), "received": time_text(each.received)} for each in found]
        columns = ["id", "received", "connector", "event", "entity_id", "recipe", "state", "outcome"]
        print_table(table, columns, "No events came in that a recipe waits for.")

    run(work, as_json=as_json)


@hooks.command()
@click.argument("event_id")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def show(context: click.Context, event_id: str, tenant: str | None, as_json: bool) -> None:
    """Show the event EVENT_ID and what came of it."""

    async def work() -> None:
        async with opened_for(context, tenant) as (app, who):
            found = await app.arrivals.get(who.tenant, event_id)
        if as_json:
            print_json(_shown(found))
            return
        for name, value in _shown(found).items():
            told = time_text(value) if name in ("received", "due", "finished") else value
            click.echo(f"{name}: {'-' if told is None else told}")

    run(work, as_json=as_json)


@hooks.command()
@click.argument("event_id")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def replay(context: click.Context, event_id: str, tenant: str | None, as_json: bool) -> None:
    """Work EVENT_ID once more, as `serve` or `work` does it; a run that it started is not started again."""

    async def work() -> None:
        async with opened_for(context, tenant) as (app, who):
            again = await app.arrivals.replay(who.tenant, event_id)
        if as_json:
            print_json(_shown(again))
        else:
            click.echo(f"Event {event_id} will be worked again.")

    run(work, as_json=as_json)


@hooks.command()
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def watching(context: click.Context, tenant: str | None, as_json: bool) -> None:
    """List what is looked at (`watch`) and listened to (`streams`) for a tenant, and how that goes."""

    async def work() -> None:
        async with opened_for(context, tenant) as (app, who):
            found = await app.watches.of_tenant(who.tenant)
        rows = [
            {"account": each.account, "name": each.name, "next": each.due, "failures": each.failures}
            | {"told": each.told}
            for each in found
        ]
        if as_json:
            print_json(rows)
            return
        table = [{**row, "next": time_text(each.due)} for row, each in zip(rows, found, strict=True)]
        nothing = "Nothing is watched: no recipe that is on waits for events of a list or a stream."
        print_table(table, ["account", "name", "next", "failures", "told"], nothing)

    run(work, as_json=as_json)


def _shown(row: Arrival) -> dict[str, Any]:
    told = asdict(row)
    told.pop("lease")
    return told
