"""The audit log of a tenant: who did what to which thing, and how it ended.

No values are in it; bodies stand beside a row where an admin had them kept.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from starlette.responses import Response

from linkspan.errors import NotFound
from linkspan.gateway.log_bodies import Body, KeptExchange
from linkspan.store import audit
from linkspan.store.audit import AuditEntry, AuditFilter
from linkspan.web.console.door import PATH, Visit
from linkspan.web.console.shape import (
    Block,
    Cell,
    Facts,
    Field,
    Form,
    Table,
    Text,
    Value,
    moment,
    onward,
    seconds_of,
)

_LISTED = 100
_FILTERS = (
    ("tool", "Tool"),
    ("entity", "Entity"),
    ("entity_id", "Id of the thing"),
    ("principal_subject", "Who"),
    ("outcome", "Ended with"),
    ("connector", "Connector"),
    ("account", "Account"),
    ("via", "Through"),
    ("request_id", "Request"),
)
_BOUNDS = (("since", "From, in UTC"), ("until", "Before, in UTC"))


async def show(visit: Visit) -> Response:
    """Answer rows of the log, newest first."""
    wanted = visit.admin.only or visit.asked("tenant")
    names = [each.name for each in await visit.parts.tenants.list() if visit.admin.sees(each.name)]
    asked = {name: visit.asked(name) for name, _label in (*_FILTERS, *_BOUNDS)}
    options = [("", "choose one"), *((name, name) for name in names)]
    fields = [
        Field("tenant", "Tenant", wanted, "select", options),
        *(Field(name, label, asked[name]) for name, label in _FILTERS),
        *(Field(name, label, asked[name], "time") for name, label in _BOUNDS),
    ]
    blocks: list[Block] = [Form("Which", f"{PATH}/log", fields, "Show", method="get")]
    if not wanted:
        blocks.append(Text("Found", "Choose a tenant: each has a log of its own.", code=False))
        return visit.show("Log", blocks)
    tenant = await visit.tenant(wanted)
    await visit.parts.audit.flush()
    given: dict[str, Any] = {name: asked[name] or None for name, _label in _FILTERS}
    given |= {name: seconds_of(asked[name]) for name, _label in _BOUNDS}
    before = visit.asked("before")
    found = await audit.find(
        visit.parts.database,
        tenant,
        AuditFilter(**given),
        limit=_LISTED + 1,
        before=int(before) if before.isdecimal() and len(before) < 18 else None,
    )
    shown = found[:_LISTED]
    more = None
    if len(found) > len(shown):
        more = onward(f"{PATH}/log", {"tenant": tenant, **asked, "before": str(shown[-1].id)})
    blocks.append(
        Table("Found", ("When", "Who", "Did", "To what", "Connector", "Ended", "Took", "Through"),
              [_row(each) for each in shown], "There is nothing like that.", more=more)
    )  # fmt: skip
    return visit.show("Log", blocks)


async def entry(visit: Visit) -> Response:
    """Answer one row, with the bodies that were kept of it for who may see them."""
    tenant = await visit.tenant()
    await visit.parts.audit.flush()
    number = str(visit.request.path_params["row"])
    found = None
    if number.isascii() and number.isdecimal() and len(number) < 18:
        found = await audit.get(visit.parts.database, tenant, int(number))
    if found is None:
        raise NotFound(f"The log of tenant {tenant} has no row {number!r}")
    row = found.row
    account = row.account and Cell(row.account, f"{PATH}/tenants/{tenant}/accounts/{row.account}")
    blocks: list[Block] = [
        Facts(
            "What was done",
            [
                ("When", moment(row.time, form="%Y-%m-%d %H:%M:%S")),
                ("Who", f"{row.principal_kind} {row.principal_subject}"),
                ("Through", row.via),
                ("To what", f"{row.entity} {row.entity_id or ''}".strip()),
                ("Ended", _ended(found)),
                ("Took", f"{row.duration_ms:.0f} ms"),
                ("Connector", row.connector),
                ("Account", account),
                ("Request", Cell(row.request_id, code=True)),
                ("Sent", "; ".join(json.loads(row.steps)) if row.steps else None),
            ],
        )
    ]
    if row.bodies is not None:
        if visit.admin.may("operator"):
            for kept in await visit.parts.log_bodies.read(tenant, row.bodies):
                blocks += _exchange(kept)
            if len(blocks) == 1:
                blocks.append(Text("Bodies", "They were kept, and are gone by now.", code=False))
        else:
            blocks.append(Text("Bodies", "They were kept; operators see them.", code=False))
    return visit.show(row.tool, blocks, up=[("Log", onward(f"{PATH}/log", {"tenant": tenant}))])


def _exchange(kept: KeptExchange) -> list[Block]:
    return [
        _body(f"Sent: {kept.line}", kept.request),
        _body(f"Answered: {kept.status}" if kept.status else "No answer", kept.response),
    ]


def _body(title: str, body: Body | None) -> Text:
    if body is None:
        return Text(title, "No body.", code=False)
    told = f"{body.size:,} bytes of {body.content_type or 'no stated type'}"
    if body.text is None:
        return Text(title, f"{told}, which is no text.", code=False)
    return Text(title, body.text, f"{told}; {'its beginning, ' if body.is_cut else ''}without secrets.")


def _ended(entry: AuditEntry) -> Cell:
    row = entry.row
    status = f" ({row.upstream_status})" if row.upstream_status else ""
    return Cell(f"{row.outcome}{status}", tone="" if row.outcome in ("ok", "dry_run") else "bad")


def _row(entry: AuditEntry) -> list[Value]:
    row = entry.row
    when = moment(row.time, form="%Y-%m-%d %H:%M:%S")
    return [
        when and replace(when, href=f"{PATH}/tenants/{row.tenant}/log/{entry.id}"),
        f"{row.principal_kind} {row.principal_subject}",
        row.tool,
        f"{row.entity} {row.entity_id or ''}".strip(),
        row.connector,
        _ended(entry),
        f"{row.duration_ms:.0f} ms",
        f"{row.via}, with bodies" if row.bodies else row.via,
    ]
