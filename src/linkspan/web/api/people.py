"""People: who may sign in at a tenant."""

from __future__ import annotations

from typing import Any

from linkspan.accounts.principal import Tenant
from linkspan.store.outbox import iso
from linkspan.store.people import Person as PersonRow
from linkspan.web.api import cursors
from linkspan.web.api.endpoint import Call, Endpoint
from linkspan.web.api.models import Deleted, ListingOfTenant, OfTenant, Page
from linkspan.web.api.tenant_models import InvitedPerson, NewPerson, Person


async def list_(call: Call) -> Page[Person]:
    """Answer a tenant's people by name."""
    place = cursors.opened(call, "person")
    tenant = await call.parts.tenants.require(call.query.tenant_id)
    everyone = await call.parts.people.list(tenant)
    left = [each for each in everyone if place is None or each.name > place[0]]
    shown = left[: call.query.limit]
    more = len(left) > len(shown)
    return Page[Person](
        result=[Person(**_fields(each)) for each in shown],
        next_cursor=cursors.seal(call, "person", [shown[-1].name]) if more else None,
    )


async def invite(call: Call) -> InvitedPerson:
    """Let a person sign in."""
    asked: NewPerson = call.body
    tenant = await call.parts.tenants.require(asked.tenant_id)
    call.about(tenant, "person", asked.name)
    made = await call.parts.people.invite(
        tenant, asked.name, link=asked.link, email=asked.email, scopes=asked.scopes
    )
    url = f"{call.base}/t/{tenant}/invitation#{made.secret.reveal()}" if made.secret else None
    return InvitedPerson(**_fields(made.person), invitation_url=url, invitation_expires_at=iso(made.expires))


async def remove(call: Call) -> Deleted:
    """Remove a person with everything that it signed in with."""
    name, tenant = call.path["name"], Tenant(call.query.tenant_id)
    await call.parts.people.remove(tenant, name)
    call.about(tenant, "person", name)
    return Deleted(id=name)


def _fields(person: PersonRow) -> dict[str, Any]:
    return {
        "tenant_id": person.tenant,
        "name": person.name,
        "email": person.email,
        "scopes": list(person.scopes),
        "created_at": iso(person.created),
        "signed_in_at": iso(person.signed_in),
    }


ENDPOINTS = (
    Endpoint(
        "GET", "/person", "list_people", "List the people of a tenant", list_, Page[Person],
        query=ListingOfTenant, fails=(404,),
    ),
    Endpoint(
        "POST", "/person", "invite_person", "Invite a person, or invite one again", invite, InvitedPerson,
        body=NewPerson, status=201, fails=(404, 409),
    ),
    Endpoint(
        "DELETE", "/person/{name}", "remove_person",
        "Remove a person with its browsers, sign-ins and tokens", remove, Deleted, query=OfTenant,
        fails=(404,),
    ),
)  # fmt: skip
