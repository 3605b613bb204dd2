"""What people say to a run: cancel it, steer it, do it again, approve or decline what it asks."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.common import JSON_OPTION, TENANT_OPTION, print_json
from linkspan.cli.run_telling import PERSON_OPTION, act, print_run

if TYPE_CHECKING:
    from linkspan.accounts.principal import Principal
    from linkspan.app import App
    from linkspan.store.approvals import Decision


@click.command()
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
            print_run(told)
        else:
            ended = told.is_finished
            click.echo(f"{id_} {'is ' + told.state if ended else 'is asked to end'}.")
        return 0

    act(context, tenant, as_json, work)


@click.command()
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
            print_run(told)
        else:
            click.echo("Codex will read it at its next step.")
        return 0

    act(context, tenant, as_json, work)


@click.command()
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
            print_run(made)
        else:
            click.echo(f"{made.id} is {made.state}. Watch it with: linkspan run watch {made.id}")
        return 0

    act(context, tenant, as_json, work)


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


@click.command()
@_decision_options
def approve(context: click.Context, **given: Any) -> None:
    """Approve what RUN asks. Where it asks several things, name the APPROVAL."""
    _decide(context, "approve", **given)


@click.command()
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

    act(context, tenant, as_json, work)
