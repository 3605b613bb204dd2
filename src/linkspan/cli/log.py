"""The audit log of a tenant: who did what to which thing, and how it ended."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.common import JSON_OPTION, TENANT_OPTION, opened, print_json, print_table, run, settings_of
from linkspan.settings import parse_duration

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
    as_json: bool,
    **wanted: Any,
) -> None:
    """List what was done for a tenant, newest first; no values, no secrets."""
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
        if as_json:
            print_json([{"id": entry.id, **asdict(entry.row)} for entry in found])
            return
        print_table(
            [_shown(entry) for entry in found], _COLUMNS, f"Nothing like it in the log of tenant {name}."
        )

    run(work, as_json=as_json)


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


def _seconds(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error
