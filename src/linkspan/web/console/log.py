"""The audit log of a tenant: who did what to which thing, and how it ended. No values are in it."""

from __future__ import annotations

from starlette.responses import Response

from linkspan.store import audit
from linkspan.store.audit import AuditEntry, AuditFilter
from linkspan.web.console.door import PATH, Visit
from linkspan.web.console.shape import Block, Cell, Field, Form, Table, Text, Value, moment, onward

_LISTED = 100
_FILTERS = (
    ("tool", "Tool"),
    ("entity", "Entity"),
    ("entity_id", "Id of the thing"),
    ("principal_subject", "Who"),
    ("outcome", "Ended with"),
    ("request_id", "Request"),
)


async def show(visit: Visit) -> Response:
    """Answer rows of the log, newest first."""
    wanted = visit.admin.only or visit.asked("tenant")
    names = [each.name for each in await visit.parts.tenants.list() if visit.admin.sees(each.name)]
    asked = {name: visit.asked(name) for name, _label in _FILTERS}
    options = [("", "choose one"), *((name, name) for name in names)]
    fields = [
        Field("tenant", "Tenant", wanted, "select", options),
        *(Field(name, label, asked[name]) for name, label in _FILTERS),
    ]
    blocks: list[Block] = [Form("Which", f"{PATH}/log", fields, "Show", method="get")]
    if not wanted:
        blocks.append(Text("Found", "Choose a tenant: each has a log of its own.", code=False))
        return visit.show("Log", blocks)
    tenant = await visit.tenant(wanted)
    await visit.parts.audit.flush()
    before = visit.asked("before")
    found = await audit.find(
        visit.parts.database,
        tenant,
        AuditFilter(
            tool=asked["tool"] or None,
            entity=asked["entity"] or None,
            entity_id=asked["entity_id"] or None,
            principal_subject=asked["principal_subject"] or None,
            outcome=asked["outcome"] or None,
            request_id=asked["request_id"] or None,
        ),
        limit=_LISTED + 1,
        before=int(before) if before.isdecimal() and len(before) < 18 else None,
    )
    shown = found[:_LISTED]
    more = None
    if len(found) > len(shown):
        more = onward(f"{PATH}/log", {"tenant": tenant, **asked, "before": str(shown[-1].id)})
    blocks.append(
        Table("Found", ("When", "Who", "Did", "To what", "Ended", "Took", "Through"),
              [_row(each) for each in shown], "There is nothing like that.", more=more)
    )  # fmt: skip
    return visit.show("Log", blocks)


def _row(entry: AuditEntry) -> list[Value]:
    row = entry.row
    status = f" ({row.upstream_status})" if row.upstream_status else ""
    return [
        moment(row.time),
        f"{row.principal_kind} {row.principal_subject}",
        row.tool,
        f"{row.entity} {row.entity_id or ''}".strip(),
        Cell(f"{row.outcome}{status}", tone="" if row.outcome in ("ok", "dry_run") else "bad"),
        f"{row.duration_ms:.0f} ms",
        row.via,
    ]
