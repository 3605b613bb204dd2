"""The audit log of a tenant: who did what to which thing, and how it ended."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

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
    from collections.abc import AsyncIterator

    from linkspan.accounts.principal import Tenant
    from linkspan.app import App
    from linkspan.gateway.log_bodies import KeptExchange
    from linkspan.store.audit import AuditEntry

_COLUMNS = ["time", "who", "via", "tool", "thing", "account", "outcome", "status", "ms", "request_id"]


@click.command()
@TENANT_OPTION
@click.option("--since", metavar="DURATION", help="Only what is younger: 30s, 5m, 2h, 7d.")
@click.option("--subject", metavar="NAME", help="Only of this person, service or operator.")
@click.option("--token", "token_id", metavar="ID", help="Only with this token.")
@click.option("--tool", metavar="NAME", help="Only of this tool, or operation of the management API.")
@click.option("--entity", metavar="NAME", help="Only about things of this kind, such as ticket.")
@click.option("--id", "entity_id", metavar="ID", help="Only about the thing with this id.")
@click.option("--connector", metavar="NAME", help="Only by this connector.")
@click.option("--account", metavar="ID", help="Only by this account.")
@click.option("--outcome", metavar="CODE", help="Only what ended so: ok, or a code of docs/errors.md.")
@click.option("--request-id", metavar="ID", help="Only this request, as an error names it.")
@click.option(
    "--status", "upstream_status", type=click.IntRange(100, 599), help="Only what a product answered so."
)
@click.option("--via", metavar="FACE", help="Only by this face: mcp, rest, api, run, cli, console.")
@click.option("--thread", "thread_id", metavar="ID", help="Only of this thread of Codex.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option(
    "--export", "form", type=click.Choice(["ndjson", "csv"]), help="Print all rows that fit, for programs."
)
@click.option("--bodies", is_flag=True, help="Show the bodies, where `linkspan log-bodies` let them be kept.")
@JSON_OPTION
@click.pass_context
def log(
    context: click.Context,
    /,
    tenant: str | None,
    since: str | None,
    subject: str | None,
    limit: int,
    form: str | None,
    bodies: bool,
    as_json: bool,
    **wanted: Any,
) -> None:
    """List what was done for a tenant, newest first; no values, no secrets."""
    if bodies and form is not None:
        raise click.UsageError("--bodies goes with a list or with --json, not with --export")
    from linkspan.store import audit
    from linkspan.store.audit import AuditFilter

    from_then = None if since is None else time.time() - _seconds(since)
    asked = replace(AuditFilter(**wanted), since=from_then, principal_subject=subject)

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            name = await app.tenants.only(app.settings.tenant)
            if form is not None:
                async for line in _lines(audit.every(app.database, name, asked), form):
                    click.echo(line, nl=False)
                return
            found = await audit.find(app.database, name, asked, limit=limit)
            kept = {}
            if bodies:
                for entry in found:
                    kept[entry.id] = await app.log_bodies.read(name, entry.row.bodies)
        if as_json:
            shown = [{"id": entry.id, **asdict(entry.row)} for entry in found]
            if bodies:
                shown = [{**row, "exchanges": [asdict(each) for each in kept[row["id"]]]} for row in shown]
            print_json(shown)
            return
        print_table(
            [_shown(entry) for entry in found], _COLUMNS, f"Nothing like it in the log of tenant {name}."
        )
        for entry in found:
            for exchange in kept.get(entry.id, ()):
                _print_exchange(entry.row.request_id, exchange)

    run(work, as_json=as_json)


@click.command("log-bodies")
@click.argument("account")
@TENANT_OPTION
@click.option(
    "--for", "lasts", metavar="DURATION", default="1h", show_default=True, help="For how long: at most 1h."
)
@click.option("--off", is_flag=True, help="Keep no more of them.")
@JSON_OPTION
@click.pass_context
def log_bodies(
    context: click.Context, account: str, tenant: str | None, lasts: str, off: bool, as_json: bool
) -> None:
    """Keep the bodies of an ACCOUNT's calls beside the log, for at most an hour.

    Secrets are masked, what is no text is left out, and what is long is cut; but customers' data are in them.
    `linkspan log --bodies` shows them. They go after seven days, or with the log.
    """

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            name = await app.tenants.only(app.settings.tenant)
            until = await switch_bodies(app, name, account, None if off else _seconds(lasts, "--for"))
        if as_json:
            print_json({"account": account, "is_on": not off, "until": until})
        elif off:
            click.echo(f"No more bodies of account {account} are kept.")
        else:
            click.echo(f"Bodies of account {account} are kept until {time_text(until)} UTC.")
            click.echo(f"See them: linkspan log --tenant {name} --account {account} --bodies")

    run(work, as_json=as_json)


async def switch_bodies(app: App, tenant: Tenant, account: str, lasts: float | None) -> float | None:
    """Turn the keeping of bodies on or off, and put down who did; answers until when they are kept."""
    import getpass
    import uuid

    from linkspan.accounts.overview import Overview
    from linkspan.store.audit import AuditRow

    began, subject = time.time(), getpass.getuser()
    linked = await Overview(app.database).account(account, tenant)
    until = None
    if lasts is None:
        await app.log_bodies.turn_off(tenant, linked.id)
    else:
        until = (await app.log_bodies.turn_on(tenant, linked.id, lasts, subject)).until
    await app.audit.write(
        AuditRow(
            tenant=tenant,
            time=began,
            principal_kind="operator",
            principal_subject=subject,
            token_id=None,
            request_id=uuid.uuid4().hex,
            via="cli",
            tool="keep_no_log_bodies" if lasts is None else "keep_log_bodies",
            entity="integrated_account",
            entity_id=linked.id,
            connector=linked.connector,
            account=linked.id,
            upstream_status=None,
            outcome="ok",
            duration_ms=round((time.time() - began) * 1000, 3),
        )
    )
    return until


def _print_exchange(request_id: str, exchange: KeptExchange) -> None:
    click.echo(f"\n{request_id}  {exchange.line}  {exchange.status or '-'}")
    for arrow, body in ((">", exchange.request), ("<", exchange.response)):
        if body is None:
            continue
        kind = body.content_type or "no content type"
        about = f"{kind}, {body.size} bytes{', cut' if body.is_cut else ''}"
        click.echo(f"{arrow} {about}{'' if body.text is not None else ', not text: left out'}")
        for line in (body.text or "").splitlines():
            click.echo(f"{arrow} {line}")


async def _lines(entries: AsyncIterator[AuditEntry], form: str) -> AsyncIterator[bytes]:
    import json

    from linkspan.text.tables import csv_line

    is_first = True
    async for entry in entries:
        row = {"id": entry.id, **asdict(entry.row)}
        if form == "csv":
            yield (csv_line(row) if is_first else b"") + csv_line(row.values())
        else:
            yield json.dumps(row, ensure_ascii=False).encode() + b"\n"
        is_first = False


def _shown(entry: AuditEntry) -> dict[str, Any]:
    row = entry.row
    return {
        "time": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(row.time)),
        "who": f"{row.principal_kind} {row.principal_subject}",
        "via": row.via,
        "tool": row.tool,
        "thing": f"{row.entity} {row.entity_id}" if row.entity_id else row.entity,
        "account": row.account,
        "outcome": row.outcome,
        "status": row.upstream_status,
        "ms": round(row.duration_ms),
        "request_id": row.request_id,
    }


def _seconds(text: str, option: str = "--since") -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
