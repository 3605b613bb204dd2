"""Runs of Codex: started, watched and shown from the command line."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING

import click

from linkspan.cli.common import JSON_OPTION, TENANT_OPTION, print_json, print_table, time_text
from linkspan.cli.history import export, search
from linkspan.cli.run_orders import approve, cancel, decline, retry, steer
from linkspan.cli.run_telling import PERSON_OPTION, act, print_run, tell_question, tell_run, watch_run

if TYPE_CHECKING:
    from linkspan.accounts.principal import Principal
    from linkspan.app import App


@click.group()
def run() -> None:
    """Start runs of Codex, watch them, answer what they ask, and end them."""


@run.command()
@click.argument("recipe")
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--account", metavar="ID", help="Which linked account has the thing, where several could.")
@click.option("--key", metavar="TEXT", help="Asked again with the same key, it is the same run.")
@click.option("--watch", "watched", is_flag=True, help="Stay, and show what it does.")
@PERSON_OPTION
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def start(
    context: click.Context,
    recipe: str,
    id_: str | None,
    account: str | None,
    key: str | None,
    watched: bool,
    person: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Start RECIPE for the thing with ID, such as: linkspan run start fix_ticket HC-103.

    It is worked by `linkspan serve` or `linkspan work`.
    """

    async def work(app: App, who: Principal) -> int:
        made = await app.runs.start(
            who,
            recipe,
            source="cli",
            entity_id=id_,
            account=account,
            key=key or uuid.uuid4().hex,
            person=person,
        )
        if watched:
            return await watch_run(app, who, made.id, as_json)
        if as_json:
            print_run(made)
        else:
            click.echo(f"{made.id} is {made.state}. Watch it with: linkspan run watch {made.id}")
        return 0

    act(context, tenant, as_json, work)


@run.command()
@click.argument("id_", metavar="RUN")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def watch(context: click.Context, id_: str, tenant: str | None, as_json: bool) -> None:
    """Show what RUN does until it ends (--json: its events as JSON Lines). Exits with 1 when it fails."""

    async def work(app: App, who: Principal) -> int:
        return await watch_run(app, who, id_, as_json)

    act(context, tenant, as_json, work)


@run.command()
@click.argument("id_", metavar="RUN")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def show(context: click.Context, id_: str, tenant: str | None, as_json: bool) -> None:
    """Show RUN: its state, what it used and made, and what it waits for."""

    async def work(app: App, who: Principal) -> int:
        found = await app.runs.get(who, id_)
        asked = await app.runs.approvals(who, id_)
        made = await app.runs.artifacts(who, id_)
        if as_json:
            print_run(found, approvals=asked, artifacts=made)
            return 0
        tell_run(found)
        for each in asked:
            if each.decision is None and not found.is_finished:
                tell_question(found, each)
        if made:
            names = ", ".join(f"{each.name} ({each.size} bytes)" for each in made)
            click.echo(f"made     {names}; print one with: linkspan run get {id_} NAME")
        return 0

    act(context, tenant, as_json, work)


@run.command("list")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only those in it; repeat it.")
@click.option("--recipe", metavar="NAME", help="Only those of it.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def list_(
    context: click.Context,
    states: tuple[str, ...],
    recipe: str | None,
    limit: int,
    tenant: str | None,
    as_json: bool,
) -> None:
    """List runs, the one that changed last first."""

    async def work(app: App, who: Principal) -> int:
        from linkspan.runs.shown import shown_run

        found = await app.runs.list(who, states=states, recipe=recipe, limit=limit)
        if as_json:
            print_json([shown_run(each) for each in found])
            return 0
        rows = [
            {
                "run": each.id,
                "state": each.state,
                "recipe": each.recipe,
                "for": each.entity_id,
                "asked by": each.person or each.asker,
                "changed": time_text(each.updated),
            }
            for each in found
        ]
        print_table(
            rows,
            list(rows[0]) if rows else [],
            "No runs. Start one with: linkspan run start RECIPE ID",
        )
        return 0

    act(context, tenant, as_json, work)


for each in (search, export, cancel, steer, retry, approve, decline):
    run.add_command(each)


@run.command()
@click.argument("id_", metavar="RUN")
@click.argument("name")
@TENANT_OPTION
@click.pass_context
def get(context: click.Context, id_: str, name: str, tenant: str | None) -> None:
    """Print what RUN made: diff, patch, transcript, output. `run show` lists what there is."""

    async def work(app: App, who: Principal) -> int:
        _made, data = await app.runs.artifact(who, id_, name)
        sys.stdout.buffer.write(data)
        return 0

    act(context, tenant, False, work)


@run.command()
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def usage(context: click.Context, tenant: str | None, as_json: bool) -> None:
    """Show what runs used, by recipe and model, and what is left of the tenant's budget."""

    async def work(app: App, who: Principal) -> int:
        from linkspan.runs.shown import shown_budget, shown_usage

        rows = [shown_usage(each) for each in await app.runs.usage(who, 0.0)]
        budget = shown_budget(await app.runs.budget(who))
        if as_json:
            print_json({"result": rows, "budget": budget})
            return 0
        columns = {"recipe": "recipe", "model": "model", "runs": "runs", "total_tokens": "tokens"}
        columns |= {"minutes": "minutes", "cost": "money"}
        told = [{title: _figure(row[name]) for name, title in columns.items()} for row in rows]
        print_table(told, list(columns.values()), "No run has used anything yet.")
        click.echo(f"\nThe budget, used since {budget.pop('since')}:")
        for name, share in budget.items():
            left = "no limit" if share["limit"] is None else f"{_figure(share['left'])} left"
            of = "" if share["limit"] is None else f" of {_figure(share['limit'])}"
            click.echo(f"  {name:8} {_figure(share['used'])}{of}, {left}")
        return 0

    act(context, tenant, as_json, work)


def _figure(value: object) -> str:
    """Write a sum as people read it; what nobody knows is a dash."""
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").removesuffix(".")
    return f"{value:,}" if isinstance(value, int) else str(value or "-")
