"""What webhooks were told, and what products told us; each can be done again."""

from __future__ import annotations

from typing import get_args

from starlette.responses import Response

from linkspan.errors import NotFound
from linkspan.store.deliveries import Arrival
from linkspan.store.outbox import Delivery, DeliveryState
from linkspan.web.console.door import PATH, Visit
from linkspan.web.console.shape import (
    Action,
    Block,
    Cell,
    Field,
    Form,
    Table,
    Text,
    Tone,
    Value,
    moment,
    onward,
)
from linkspan.web.oauth.login import see_other

_LISTED = 50
_TONES: dict[str, Tone] = {
    "delivered": "good",
    "done": "good",
    "dead": "bad",
    "failed": "bad",
    "pending": "works",
    "ignored": "waits",
}


async def listed(visit: Visit) -> Response:
    """Answer deliveries out, newest first, and of one tenant those that came in."""
    state, wanted = visit.asked("state"), visit.asked("tenant")
    tenant = await visit.tenant(visit.admin.only or wanted) if visit.admin.only or wanted else None
    before = visit.asked("before")
    known: tuple[DeliveryState, ...] = get_args(DeliveryState)
    found = await visit.parts.outbox.list(
        tenant=tenant,
        state=next((each for each in known if each == state), None),
        before=int(before) if before.isdecimal() and len(before) < 18 else None,
        limit=_LISTED + 1,
    )
    shown = found[:_LISTED]
    more = None
    if len(found) > len(shown):
        query = {"state": state, "tenant": wanted, "before": str(shown[-1].id)}
        more = onward(f"{PATH}/deliveries", query)
    fields = [Field("state", "State", state, "select", [("", "any"), *((each, each) for each in known)])]
    if visit.admin.only is None:
        fields.append(Field("tenant", "Tenant", wanted))
    may = visit.admin.may("operator")
    blocks: list[Block] = [
        Form("Which", f"{PATH}/deliveries", fields, "Show", method="get"),
        Table("What webhooks were told", ("Event", "Tenant", "State", "Tries", "When", "Why", ""),
              [_out(each, may=may) for each in shown], "Nothing like that was told.", more=more),
    ]  # fmt: skip
    if tenant is not None:
        came = await visit.parts.arrivals.list(tenant, limit=_LISTED)
        blocks.append(
            Table("What products told us", ("Event", "About", "State", "When", "What came of it", ""),
                  [_in(each, may=may) for each in came], "No product has told anything.")
        )  # fmt: skip
    else:
        blocks.append(
            Text("What products told us", "Choose a tenant to see what its products told us.", code=False)
        )
    return visit.show("Deliveries", blocks)


async def replay(visit: Visit) -> Response:
    """Send a delivery again, or work an event once more."""
    tenant, identified = await visit.tenant(), visit.asked("id")
    if visit.asked("way") == "in":
        await visit.parts.arrivals.replay(tenant, identified)
        await visit.note(tenant, "replay_hook_delivery", "hook_delivery", identified)
    else:
        # Whose it is says the delivery itself; somebody who is bound to a tenant asks for its own only.
        mine = await visit.parts.outbox.list(tenant=tenant, limit=1_000)
        if identified not in {each.public_id for each in mine}:
            raise NotFound(f"Tenant {tenant} has no delivery {identified!r}, or it is long ago")
        await visit.parts.outbox.replay(identified)
        await visit.note(tenant, "replay_webhook_delivery", "webhook_delivery", identified)
    return see_other(onward(f"{PATH}/deliveries", {"tenant": None if visit.admin.only else tenant}))


def _out(row: Delivery, *, may: bool) -> list[Value]:
    again = Action("Send again", f"{PATH}/tenants/{row.tenant}/deliveries/replay",
                   {"id": row.public_id, "way": "out"}, f"{row.event} of {row.tenant}")  # fmt: skip
    return [
        row.event,
        Cell(row.tenant, f"{PATH}/tenants/{row.tenant}"),
        Cell(row.state, tone=_TONES[row.state]),
        str(row.attempts - row.since),
        moment(row.created),
        row.last_error or (f"HTTP {row.last_status}" if row.last_status else None),
        again if may else None,
    ]


def _in(row: Arrival, *, may: bool) -> list[Value]:
    again = Action("Work again", f"{PATH}/tenants/{row.tenant}/deliveries/replay",
                   {"id": row.id, "way": "in"}, f"{row.event} about {row.entity_id}")  # fmt: skip
    return [
        f"{row.connector} {row.event}",
        f"{row.entity} {row.entity_id}",
        Cell(row.state, tone=_TONES[row.state]),
        moment(row.received),
        row.outcome,
        again if may else None,
    ]
