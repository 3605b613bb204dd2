"""How commands act on runs, and how they tell of them on a terminal."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import click

from linkspan.cli.common import opened_for, plain, print_json, run, time_text

if TYPE_CHECKING:
    from linkspan.accounts.principal import Principal
    from linkspan.app import App
    from linkspan.store.approvals import Approval
    from linkspan.store.run_events import RunEvent
    from linkspan.store.runs import Run

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at a run that another process works."""
PERSON_OPTION = click.option("--person", metavar="NAME", help="For whom you do it.")
_COLOURS: Final = {"$": "cyan", "~": "green", "?": "yellow", "!": "yellow", "*": "blue", ">": "magenta"}


def act(
    context: click.Context,
    tenant: str | None,
    as_json: bool,
    work: Callable[[App, Principal], Awaitable[int]],
) -> None:
    """Do it with an open application as the operator, and end with the exit code."""

    async def opened_work() -> int:
        async with opened_for(context, tenant, with_catalog=True) as (app, who):
            return await work(app, who)

    code = run(opened_work, as_json=as_json)
    if code:
        sys.exit(code)


async def watch_run(app: App, who: Principal, id_: str, as_json: bool) -> int:
    """Show events as they come; answer 0 when the run has succeeded."""
    seen = 0
    while True:
        found = await app.runs.get(who, id_)
        events = await app.runs.events(who, id_, after=seen)
        for event in events:
            _tell_event(event, as_json)
            seen = event.seq
        if found.is_finished and not events:
            break
        if not events:
            await asyncio.sleep(LOOK_EVERY)
    if not as_json:
        click.echo()
        tell_run(found)
    return 0 if found.state == "succeeded" else 1


def _tell_event(event: RunEvent, as_json: bool) -> None:
    from linkspan.runs.shown import shown_event
    from linkspan.runs.telling import lines_of

    if as_json:
        click.echo(json.dumps(shown_event(event), ensure_ascii=False))
        return
    for line in lines_of(event):
        click.secho(plain(line), fg=_COLOURS.get(line[:1]))


def tell_run(found: Run) -> None:
    """Say how a run is, what it used, and what came of it."""
    click.echo(f"{found.id}: {found.state}")
    about = f"{found.entity} {found.entity_id}" if found.entity_id else "nothing"
    title = f", {plain(found.entity_title)}" if found.entity_title else ""
    click.echo(f"recipe   {found.recipe}, for {about}{title}")
    click.echo(f"asked    by {found.person or found.asker} ({found.source}), {time_text(found.created)}")
    if found.repository:
        click.echo(f"where    {found.repository}, branch {found.branch or '-'}")
    if found.total_tokens:
        cost = f", costs {found.cost:g}" if found.cost is not None else ""
        click.echo(f"used     {found.total_tokens:,} tokens{cost}")
    if found.pull_request:
        click.echo(f"opened   {found.pull_request.get('url')}")
    if found.error_message:
        click.echo(f"because  {plain(found.error_message)}")
    if found.summary:
        click.echo(f"\n{plain(found.summary)}")


def tell_question(found: Run, asked: Approval) -> None:
    """Say what a run asks, and how it is answered."""
    from linkspan.runs.telling import asked_for

    click.echo(f"asks     {asked.kind} ({asked.id}) until {time_text(asked.deadline)}: {plain(asked.reason)}")
    for line in asked_for(asked.data):
        click.echo(f"         {plain(line)}")
    if asked.data.get("tree"):
        base = f"{asked.data.get('base_branch')} {str(asked.data.get('base_commit'))[:12]}"
        click.echo(f"         tree {asked.data['tree'][:12]} on {base}: linkspan run get {found.id} diff")
    click.echo(f"         linkspan run approve {found.id} {asked.id}, or decline")


def print_run(found: Run, **more: Any) -> None:
    """Print a run as JSON, with its `approvals` and `artifacts` where they are given."""
    from linkspan.runs.shown import shown_approval, shown_artifact, shown_run

    shown = shown_run(found)
    if "approvals" in more:
        shown["approvals"] = [shown_approval(each) for each in more["approvals"]]
    if "artifacts" in more:
        shown["artifacts"] = [shown_artifact(each) for each in more["artifacts"]]
    print_json(shown)
