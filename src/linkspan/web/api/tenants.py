"""Tenants: the customers of the product."""

from __future__ import annotations

from linkspan.accounts.offboarding import Farewell
from linkspan.accounts.tenants import TenantInfo
from linkspan.store.outbox import iso
from linkspan.web.api import cursors
from linkspan.web.api.endpoint import Call, Endpoint
from linkspan.web.api.models import Listing, Page
from linkspan.web.api.tenant_models import LeftAccount, NewTenant, Removal, Tenant


async def list_(call: Call) -> Page[Tenant]:
    """Answer tenants by name."""
    place = cursors.opened(call, "tenant")
    everyone = await call.parts.tenants.list()
    left = [each for each in everyone if place is None or each.name > place[0]]
    shown = left[: call.query.limit]
    more = len(left) > len(shown)
    return Page[Tenant](
        result=[_shown(each) for each in shown],
        next_cursor=cursors.seal(call, "tenant", [shown[-1].name]) if more else None,
    )


async def create(call: Call) -> Tenant:
    """Add a tenant."""
    name = await call.parts.tenants.add(call.body.id)
    call.about(name, "tenant", name)
    return await _found(call, name)


async def get(call: Call) -> Tenant:
    """Answer one tenant."""
    return await _found(call, call.path["id"])


async def remove(call: Call) -> Removal:
    """Remove a tenant; the answer is the proof, for its audit log goes with it."""
    done = await call.parts.offboarding.remove(call.path["id"], call.parts.catalog().connectors)
    return _proof(done)


async def _found(call: Call, name: str) -> Tenant:
    tenant = await call.parts.tenants.require(name)
    return next(_shown(each) for each in await call.parts.tenants.list() if each.name == tenant)


def _shown(tenant: TenantInfo) -> Tenant:
    return Tenant(id=tenant.name, created_at=iso(tenant.created) or "")


def _proof(done: Farewell) -> Removal:
    return Removal(
        id=done.tenant,
        accounts=[
            LeftAccount(
                id=each.account,
                integration=each.connector,
                identity=each.identity,
                outcome=each.outcome,
                why=each.why,
            )
            for each in done.accounts
        ],
        deleted=dict(done.deleted),
        files=done.files,
        keys=done.keys,
    )


ENDPOINTS = (
    Endpoint("GET", "/tenant", "list_tenants", "List tenants", list_, Page[Tenant], query=Listing),
    Endpoint(
        "POST", "/tenant", "create_tenant", "Add a tenant", create, Tenant, body=NewTenant, status=201,
        fails=(409,),
    ),
    Endpoint("GET", "/tenant/{id}", "get_tenant", "Get a tenant", get, Tenant, fails=(404,)),
    Endpoint(
        "DELETE", "/tenant/{id}", "remove_tenant",
        "Remove a tenant: its grants are given back, its rows, keys and files deleted", remove, Removal,
        fails=(404,),
    ),
)  # fmt: skip
