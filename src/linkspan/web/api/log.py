"""The audit log of a tenant."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import asdict

from pydantic_core import to_json

from linkspan.accounts.admins import Admin
from linkspan.errors import NotFound
from linkspan.gateway.log_bodies import Body
from linkspan.store import audit
from linkspan.store.audit import AuditEntry, AuditFilter
from linkspan.store.outbox import iso
from linkspan.text.tables import csv_line
from linkspan.web.api import cursors
from linkspan.web.api.accounts import seconds
from linkspan.web.api.endpoint import Call, Endpoint, Raw
from linkspan.web.api.log_models import LogBody, LogDetails, LogEntry, LogExchange, LogExport, LogListing
from linkspan.web.api.models import OfTenant, Page

_JUST_AFTER = 1e-6
"""`since` of the log takes in its own moment, which `[gt]` does not."""
_NUMBER = re.compile(r"[0-9]{1,18}")


async def list_(call: Call) -> Page[LogEntry]:
    """Answer rows of the audit log, newest first."""
    asked: LogListing = call.query
    place = cursors.opened(call, "log")
    tenant = await call.parts.tenants.require(asked.tenant_id)
    await call.parts.audit.flush()
    found = await audit.find(
        call.parts.database,
        tenant,
        _wanted(asked),
        limit=asked.limit + 1,
        before=None if place is None else place[0],
    )
    shown = found[: asked.limit]
    more = len(found) > len(shown)
    return Page[LogEntry](
        result=[_shown(each) for each in shown],
        next_cursor=cursors.seal(call, "log", [shown[-1].id]) if more else None,
    )


async def export(call: Call) -> Raw:
    """Answer all rows that fit as JSON Lines or CSV, as they are read."""
    asked: LogExport = call.query
    tenant = await call.parts.tenants.require(asked.tenant_id)
    await call.parts.audit.flush()
    entries = audit.every(call.parts.database, tenant, _wanted(asked))
    if asked.format == "csv":
        return Raw("text/csv; charset=utf-8", _csv(entries))
    return Raw("application/x-ndjson", _lines(entries))


async def _lines(entries: AsyncIterator[AuditEntry]) -> AsyncIterator[bytes]:
    async for entry in entries:
        yield to_json(_shown(entry).model_dump(mode="json", by_alias=True)) + b"\n"


async def _csv(entries: AsyncIterator[AuditEntry]) -> AsyncIterator[bytes]:
    names = list(LogEntry.model_fields)
    yield csv_line(names)
    async for entry in entries:
        row = _shown(entry).model_dump(mode="json", by_alias=True)
        yield csv_line([*(row[name] for name in names[:-1]), "; ".join(row["steps"])])


async def get(call: Call) -> LogDetails:
    """Answer one row of the audit log with the bodies that were kept of it."""
    tenant = await call.parts.tenants.require(call.query.tenant_id)
    await call.parts.audit.flush()
    text = call.path["id"]
    number = int(text) if _NUMBER.fullmatch(text) else 0
    found = await audit.get(call.parts.database, tenant, number)
    if found is None:
        raise NotFound(f"The log of tenant {tenant} has no row {text!r}", hint="GET /log lists them.")
    may_see = isinstance(call.caller, Admin) and call.caller.may("operator")
    kept = await call.parts.log_bodies.read(tenant, found.row.bodies) if may_see else []
    exchanges = [
        LogExchange(
            request_line=each.line,
            status=each.status,
            request=_body(each.request),
            response=_body(each.response),
        )
        for each in kept
    ]
    return LogDetails(**_shown(found).model_dump(), exchanges=exchanges)


def _body(body: Body | None) -> LogBody | None:
    return None if body is None else LogBody(**asdict(body))


def _wanted(asked: LogListing) -> AuditFilter:
    since = seconds(asked.created_after)
    return AuditFilter(
        since=None if since is None else since + _JUST_AFTER,
        until=seconds(asked.created_before),
        principal_subject=asked.subject,
        token_id=asked.token_id,
        request_id=asked.request_id,
        tool=asked.tool,
        entity=asked.resource,
        entity_id=asked.resource_id,
        connector=asked.integration,
        account=asked.integrated_account_id,
        outcome=asked.outcome,
        upstream_status=asked.upstream_status,
        via=asked.via,
        thread_id=asked.thread_id,
        turn_id=asked.turn_id,
        call_id=asked.call_id,
    )


def _shown(entry: AuditEntry) -> LogEntry:
    row = entry.row
    return LogEntry(
        id=str(entry.id),
        tenant_id=row.tenant,
        created_at=iso(row.time) or "",
        principal=row.principal_kind,
        subject=row.principal_subject,
        token_id=row.token_id,
        request_id=row.request_id,
        via=row.via,
        tool=row.tool,
        resource=row.entity,
        resource_id=row.entity_id,
        integration=row.connector,
        integrated_account_id=row.account,
        upstream_status=row.upstream_status,
        outcome=row.outcome,
        duration_ms=row.duration_ms,
        thread_id=row.thread_id,
        turn_id=row.turn_id,
        call_id=row.call_id,
        has_bodies=row.bodies is not None,
        steps=json.loads(row.steps) if row.steps else [],
    )


ENDPOINTS = (
    Endpoint(
        "GET", "/log/export", "export_log", "Export what was done for a tenant, newest first", export, None,
        query=LogExport, fails=(404,),
    ),
    Endpoint(
        "GET", "/log", "list_log", "List what was done for a tenant, newest first", list_, Page[LogEntry],
        query=LogListing, fails=(404,),
    ),
    Endpoint(
        "GET", "/log/{id}", "get_log_entry", "Get what was done once, with the bodies that were kept", get,
        LogDetails, query=OfTenant, fails=(404,),
    ),
)  # fmt: skip
