"""Runs of Codex: started, watched, answered and ended from the command line."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import click

from linkspan.cli.common import (
    JSON_OPTION,
    TENANT_OPTION,
    opened,
    print_json,
    print_table,
    settings_of,
    time_text,
)
from linkspan.cli.common import run as run_work
from linkspan.cli.history import export, plain, search
from linkspan.cli.recipes import operator

if TYPE_CHECKING:
    from linkspan.accounts.principal import Principal
    from linkspan.app import App
    from linkspan.store.approvals import Approval, Decision
    from linkspan.store.run_events import RunEvent
    from linkspan.store.runs import Run

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at a run that another process works."""
PERSON_OPTION = click.option("--person", metavar="NAME", help="For whom you do it.")
_COLOURS: Final = {"$": "cyan", "~": "green", "?": "yellow", "!": "yellow", "*": "blue", ">": "magenta"}


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
            return await _watch(app, who, made.id, as_json)
        if as_json:
            _print_run(made)
        else:
            click.echo(f"{made.id} is {made.state}. Watch it with: linkspan run watch {made.id}")
        return 0

    _act(context, tenant, as_json, work)


@run.command()
@click.argument("id_", metavar="RUN")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def watch(context: click.Context, id_: str, tenant: str | None, as_json: bool) -> None:
    """Show what RUN does until it ends (--json: its events as JSON Lines). Exits with 1 when it fails."""

    async def work(app: App, who: Principal) -> int:
        return await _watch(app, who, id_, as_json)

    _act(context, tenant, as_json, work)


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
            _print_run(found, approvals=asked, artifacts=made)
            return 0
        _tell_run(found)
        for each in asked:
            if each.decision is None and not found.is_finished:
                _tell_question(found, each)
        if made:
            names = ", ".join(f"{each.name} ({each.size} bytes)" for each in made)
            click.echo(f"made     {names}; print one with: linkspan run get {id_} NAME")
        return 0

    _act(context, tenant, as_json, work)


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

    _act(context, tenant, as_json, work)


run.add_command(search)
run.add_command(export)


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

    _act(context, tenant, False, work)


@run.command()
@click.argument("id_", metavar="RUN")
@PERSON_OPTION
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def cancel(context: click.Context, id_: str, person: str | None, tenant: str | None, as_json: bool) -> None:
    """Cancel RUN. What it has published stays."""

    async def work(app: App, who: Principal) -> int:
        told = await app.runs.cancel(who, id_, person=person)
        if as_json:
            _print_run(told)
        else:
            ended = told.is_finished
            click.echo(f"{id_} {'is ' + told.state if ended else 'is asked to end'}.")
        return 0

    _act(context, tenant, as_json, work)


@run.command()
@click.argument("id_", metavar="RUN")
@click.argument("words")
@PERSON_OPTION
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def steer(
    context: click.Context, id_: str, words: str, person: str | None, tenant: str | None, as_json: bool
) -> None:
    """Say WORDS to Codex while RUN is at work."""

    async def work(app: App, who: Principal) -> int:
        told = await app.runs.steer(who, id_, words, person=person)
        if as_json:
            _print_run(told)
        else:
            click.echo("Codex will read it at its next step.")
        return 0

    _act(context, tenant, as_json, work)


@run.command()
@click.argument("id_", metavar="RUN")
@click.option("--key", metavar="TEXT", help="Asked again with the same key, it is the same run.")
@PERSON_OPTION
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def retry(
    context: click.Context,
    id_: str,
    key: str | None,
    person: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Do once more, from the beginning, what RUN was to do."""

    async def work(app: App, who: Principal) -> int:
        made = await app.runs.retry(who, id_, key=key or uuid.uuid4().hex, person=person)
        if as_json:
            _print_run(made)
        else:
            click.echo(f"{made.id} is {made.state}. Watch it with: linkspan run watch {made.id}")
        return 0

    _act(context, tenant, as_json, work)


def _decision_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.pass_context,
        JSON_OPTION,
        TENANT_OPTION,
        click.option("--note", metavar="TEXT", help="Why; it is kept with the decision."),
        PERSON_OPTION,
        click.argument("approval", required=False),
        click.argument("id_", metavar="RUN"),
    ):
        command = option(command)
    return command


@run.command()
@_decision_options
def approve(context: click.Context, **given: Any) -> None:
    """Approve what RUN asks. Where it asks several things, name the APPROVAL."""
    _decide(context, "approve", **given)


@run.command()
@_decision_options
def decline(context: click.Context, **given: Any) -> None:
    """Decline what RUN asks. Where it asks several things, name the APPROVAL."""
    _decide(context, "decline", **given)


def _decide(
    context: click.Context,
    decision: Decision,
    *,
    id_: str,
    approval: str | None,
    person: str | None,
    note: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    async def work(app: App, who: Principal) -> int:
        from linkspan.runs.shown import shown_approval

        asked = approval or (await app.runs.open_approval(who, id_)).id
        done = await app.runs.decide(who, id_, asked, decision, person=person, note=note)
        if as_json:
            print_json(shown_approval(done))
        else:
            click.echo(f"{done.kind} is {'approved' if decision == 'approve' else 'declined'} ({done.id}).")
        return 0

    _act(context, tenant, as_json, work)


def _act(
    context: click.Context,
    tenant: str | None,
    as_json: bool,
    work: Callable[[App, Principal], Awaitable[int]],
) -> None:
    """Do it with an open application as the operator, and end with the exit code."""

    async def opened_work() -> int:
        async with opened(settings_of(context, tenant=tenant), with_catalog=True) as app:
            who = operator(await app.tenants.only(app.settings.tenant))
            return await work(app, who)

    code = run_work(opened_work, as_json=as_json)
    if code:
        sys.exit(code)


async def _watch(app: App, who: Principal, id_: str, as_json: bool) -> int:
    """Show events as they come; answer 0 when the run has succeeded."""
    import asyncio

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
        _tell_run(found)
    return 0 if found.state == "succeeded" else 1


def _tell_event(event: RunEvent, as_json: bool) -> None:
    from linkspan.runs.shown import shown_event
    from linkspan.runs.telling import lines_of

    if as_json:
        import json

        click.echo(json.dumps(shown_event(event), ensure_ascii=False))
        return
    for line in lines_of(event):
        click.secho(plain(line), fg=_COLOURS.get(line[:1]))


def _tell_run(found: Run) -> None:
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


def _tell_question(found: Run, asked: Approval) -> None:
    from linkspan.runs.telling import asked_for

    click.echo(f"asks     {asked.kind} ({asked.id}) until {time_text(asked.deadline)}: {plain(asked.reason)}")
    for line in asked_for(asked.data):
        click.echo(f"         {plain(line)}")
    if asked.data.get("tree"):
        base = f"{asked.data.get('base_branch')} {str(asked.data.get('base_commit'))[:12]}"
        click.echo(f"         tree {asked.data['tree'][:12]} on {base}: linkspan run get {found.id} diff")
    click.echo(f"         linkspan run approve {found.id} {asked.id}, or decline")


def _print_run(found: Run, **more: Any) -> None:
    from linkspan.runs.shown import shown_approval, shown_artifact, shown_run

    shown = shown_run(found)
    if "approvals" in more:
        shown["approvals"] = [shown_approval(each) for each in more["approvals"]]
    if "artifacts" in more:
        shown["artifacts"] = [shown_artifact(each) for each in more["artifacts"]]
    print_json(shown)
