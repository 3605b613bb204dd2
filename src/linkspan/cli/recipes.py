"""Recipes: jobs for Codex that a tenant turns on."""

from __future__ import annotations

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
    from linkspan.runs.recipes import TenantRecipe
    from linkspan.spec.recipe import Recipe
    from linkspan.store.schedules import Due


@click.group()
def recipe() -> None:
    """List recipes, and turn them on and off for a tenant."""


@recipe.command("list")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, tenant: str | None, as_json: bool) -> None:
    """List the recipes of tools.yaml, and whether they are on for the tenant."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant), with_catalog=True) as app:
            name = await app.tenants.only(app.settings.tenant)
            found = await app.recipes.list(name)
        if as_json:
            print_json([_shown(each) for each in found])
            return
        rows = [
            {
                "name": each.recipe.name,
                "title": each.recipe.title,
                "starts on": each.recipe.entity,
                "state": "on" if each.enabled else "off",
                "changed by": each.said.changed_by if each.said else None,
            }
            for each in found
        ]
        print_table(rows, list(rows[0]) if rows else [], "tools.yaml has no recipes.")

    run(work, as_json=as_json)


@recipe.command()
@click.argument("name")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def show(context: click.Context, name: str, tenant: str | None, as_json: bool) -> None:
    """Show the recipe NAME: what it does, its settings, and what the tenant has said."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant), with_catalog=True) as app:
            whose = await app.tenants.only(app.settings.tenant)
            found = await app.recipes.get(whose, name)
            due = await app.schedules.find(whose, name)
        if as_json:
            print_json({**_shown(found), "next": due.due if due else None})
            return
        _tell(found, due)

    run(work, as_json=as_json)


@recipe.command()
@click.argument("name")
@click.option(
    "--setting", "given", multiple=True, metavar="NAME=VALUE", help="A setting; people as bo,al. Repeat it."
)
@click.option("--person", metavar="NAME", help="For whom you do it.")
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def enable(
    context: click.Context,
    name: str,
    given: tuple[str, ...],
    person: str | None,
    allow_egress: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Turn the recipe NAME on for a tenant, with its settings. What is not given stays as it was."""

    async def work() -> None:
        async with opened_for(context, tenant, with_catalog=True, allow_egress=allow_egress) as (app, who):
            done = await app.recipes.enable(who, name, _pairs(given), person=person)
        if as_json:
            print_json(_shown(done))
            return
        start = f"linkspan run start {name} --tenant {who.tenant}"
        click.echo(
            f"{name} is on for tenant {who.tenant}. Next: {start}{' ID' if done.recipe.entity else ''}"
        )

    run(work, as_json=as_json)


@recipe.command()
@click.argument("name")
@click.option("--person", metavar="NAME", help="For whom you do it.")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def disable(context: click.Context, name: str, person: str | None, tenant: str | None, as_json: bool) -> None:
    """Turn the recipe NAME off for a tenant. Its settings are kept, and runs that go on go on."""

    async def work() -> None:
        async with opened_for(context, tenant, with_catalog=True) as (app, who):
            done = await app.recipes.disable(who, name, person=person)
        if as_json:
            print_json(_shown(done))
        else:
            click.echo(f"{name} is off for tenant {who.tenant}.")

    run(work, as_json=as_json)


def _pairs(given: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in given:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise click.UsageError(f"--setting takes NAME=VALUE, not {pair!r}")
        pairs[name] = value
    return pairs


def _by_itself(recipe: Recipe, due: Due | None) -> list[str]:
    """Answer what starts a recipe without anybody's doing, in a line each."""
    told = []
    if recipe.triggers:
        told.append(f"by itself on {', '.join(map(str, recipe.triggers))}")
    if recipe.mention is not None:
        events = ", ".join(map(str, recipe.mention.triggers))
        told.append(f"called by {recipe.mention.name} on {events}, where {recipe.mention.by}")
    if recipe.schedule is not None:
        zone = "" if " " not in recipe.schedule.every else f" ({recipe.schedule.zone})"
        when = f"; next {time_text(due.due)}" if due else "; next not known before something works runs"
        told.append(f"by itself every {recipe.schedule.every}{zone}{when}")
    if due is not None and due.last is not None:
        told.append(f"last due {time_text(due.last)}: {due.outcome}")
    return told


def _shown(found: TenantRecipe) -> dict[str, Any]:
    recipe, said = found.recipe, found.said
    return {
        "name": recipe.name,
        "title": recipe.title,
        "description": recipe.description,
        "entity": recipe.entity,
        "on": [str(each) for each in recipe.triggers],
        "mention": None
        if recipe.mention is None
        else {
            "on": [str(each) for each in recipe.mention.triggers],
            "name": recipe.mention.name,
            "by": recipe.mention.by,
        },
        "every": recipe.schedule.every if recipe.schedule else None,
        "enabled": found.enabled,
        "settings": {
            name: {
                "type": setting.type,
                "title": setting.title,
                "description": setting.description,
                "required": setting.required,
                "value": found.settings[name],
            }
            for name, setting in recipe.settings.items()
        },
        "approve": recipe.approve,
        "publish": recipe.publish.how,
        "tools": list(recipe.tools),
        "budget": {"minutes": recipe.seconds / 60, "tokens": recipe.tokens, "money": recipe.money},
        "changed_by": said.changed_by if said else None,
        "changed": said.changed if said else None,
    }


def _tell(found: TenantRecipe, due: Due | None) -> None:
    recipe, said = found.recipe, found.said
    state = "on" if found.enabled else "off"
    by = f", by {said.changed_by}, {time_text(said.changed)}" if said else ""
    click.echo(f"{recipe.name}: {recipe.title} ({state}{by})")
    if recipe.description:
        click.echo(recipe.description)
    tokens = f", {recipe.tokens:,} tokens" if recipe.tokens else ""
    click.echo(
        f"starts on {recipe.entity or 'nothing'}; approve {recipe.approve}; publish {recipe.publish.how}"
    )
    for told in _by_itself(recipe, due):
        click.echo(told)
    click.echo(f"budget {recipe.seconds / 60:g} minutes{tokens}; tools {', '.join(recipe.tools) or 'none'}")
    rows = [
        {
            "setting": name,
            "type": setting.type,
            "required": "yes" if setting.required else "no",
            "value": found.settings[name],
            "title": setting.title,
        }
        for name, setting in recipe.settings.items()
    ]
    click.echo()
    print_table(rows, list(rows[0]) if rows else [], "It asks for no settings.")
