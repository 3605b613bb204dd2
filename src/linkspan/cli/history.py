"""What was: conversations and their calls, runs found by words, runs as files to take away."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.common import (
    JSON_OPTION,
    TENANT_OPTION,
    opened_for,
    plain,
    print_json,
    print_table,
    run,
    time_text,
)

if TYPE_CHECKING:
    from linkspan.runs.history import ThreadHistory


@click.group()
def history() -> None:
    """Show conversations with Codex: runs, and sessions of people's own Codex that called tools."""


@history.command("list")
@click.option("--entity", metavar="NAME", help="Only those that called something on things of this kind.")
@click.option("--id", "entity_id", metavar="ID", help="Only those that called something on this thing.")
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def list_(
    context: click.Context,
    entity: str | None,
    entity_id: str | None,
    limit: int,
    tenant: str | None,
    as_json: bool,
) -> None:
    """List conversations that called tools, the last one first."""

    async def work() -> None:
        async with opened_for(context, tenant) as (app, who):
            found = (await app.history.threads(who, entity=entity, entity_id=entity_id, limit=limit)).shown
        if as_json:
            print_json([{**asdict(each), "runs": [one.id for one in runs]} for each, runs in found])
            return
        rows = [
            {
                "conversation": each.id,
                "calls": each.calls,
                "by": each.subject,
                "first": time_text(each.first),
                "last": time_text(each.last),
                "run": ", ".join(one.id for one in runs) or None,
            }
            for each, runs in found
        ]
        print_table(rows, list(rows[0]) if rows else [], "No conversation has called a tool yet.")

    run(work, as_json=as_json)


@history.command()
@click.argument("thread", metavar="CONVERSATION")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def show(context: click.Context, thread: str, tenant: str | None, as_json: bool) -> None:
    """Show what CONVERSATION called, in order: which thing was read or changed, and how it ended."""

    async def work() -> None:
        async with opened_for(context, tenant) as (app, who):
            found = await app.history.thread(who, thread)
        if as_json:
            print_json(
                {
                    "id": found.id,
                    "calls": [asdict(call) for call in found.calls],
                    "runs": [one.id for one in found.runs],
                }
            )
            return
        _tell(found)

    run(work, as_json=as_json)


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 500), default=20, show_default=True)
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def search(
    context: click.Context, words: tuple[str, ...], limit: int, tenant: str | None, as_json: bool
) -> None:
    """Find runs that have ended by WORDS: each must begin a word of what was said and done."""

    async def work() -> None:
        async with opened_for(context, tenant) as (app, who):
            found = await app.history.search(who, " ".join(words), limit=limit)
        if as_json:
            from linkspan.runs.shown import shown_run

            print_json([{**shown_run(each.run), "line": each.line} for each in found])
            return
        if not found:
            click.echo("No run has all of these words. Runs are found once they have ended.")
        for each in found:
            made = each.run
            title = f", {plain(made.entity_title)}" if made.entity_title else ""
            click.echo(f"{made.id}  {made.state}  {time_text(made.updated)}  {made.entity_id or ''}{title}")
            if each.line:
                click.echo(f"    {plain(each.line)}")

    run(work, as_json=as_json)


@click.command()
@click.argument("id_", metavar="[RUN]", required=False)
@click.option("--all", "every", is_flag=True, help="Every run of the tenant, as JSON Lines.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "html"]),
    default="jsonl",
    show_default=True,
    help="JSON Lines for programs, or one HTML file for people.",
)
@TENANT_OPTION
@click.pass_context
def export(context: click.Context, id_: str | None, every: bool, form: str, tenant: str | None) -> None:
    """Print all that is kept of RUN, such as: linkspan run export RUN --format html > run.html."""
    if (id_ is None) != every:
        raise click.UsageError("Name one run, or say --all.")
    if every and form == "html":
        raise click.UsageError("All runs are exported as JSON Lines; HTML is for one run.")

    async def work() -> None:
        from linkspan.runs.export import html_of, jsonl_of

        async with opened_for(context, tenant) as (app, who):
            if id_ is not None:
                record = await app.history.record(who, id_)
                parts = [html_of(record)] if form == "html" else jsonl_of(record)
                sys.stdout.writelines(parts)
                return
            async for record in app.history.everything(who):
                sys.stdout.writelines(jsonl_of(record))

    run(work, as_json=False)


def _tell(found: ThreadHistory) -> None:
    for one in found.runs:
        click.echo(f"run {one.id}: {one.state}; read it with: linkspan run get {one.id} transcript")
    rows: list[dict[str, Any]] = [
        {
            "time": time_text(call.time),
            "tool": call.tool,
            "thing": f"{call.entity} {call.entity_id}" if call.entity_id else call.entity,
            "by": call.principal_subject,
            "outcome": call.outcome,
            "ms": round(call.duration_ms),
        }
        for call in found.calls
    ]
    print_table(rows, list(rows[0]) if rows else [], "It has called no tool.")
