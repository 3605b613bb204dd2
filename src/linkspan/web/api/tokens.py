"""Tokens of tenants."""

from __future__ import annotations

from typing import Any

from linkspan.accounts.principal import Tenant
from linkspan.store.outbox import iso
from linkspan.store.tokens import Token as TokenRow
from linkspan.web.api import cursors
from linkspan.web.api.endpoint import Call, Endpoint
from linkspan.web.api.models import Deleted, ListingOfTenant, OfTenant, Page
from linkspan.web.api.tenant_models import CreatedToken, NewToken, Token


async def list_(call: Call) -> Page[Token]:
    """Answer a tenant's tokens, oldest first; revoked and expired ones too."""
    place = cursors.opened(call, "token")
    tenant = await call.parts.tenants.require(call.query.tenant_id)
    everyone = await call.parts.tokens.list(tenant)
    left = [each for each in everyone if place is None or (each.created, each.id) > tuple(place)]
    shown = left[: call.query.limit]
    more = len(left) > len(shown)
    return Page[Token](
        result=[Token(**_fields(each)) for each in shown],
        next_cursor=cursors.seal(call, "token", [shown[-1].created, shown[-1].id]) if more else None,
    )


async def create(call: Call) -> CreatedToken:
    """Make a token, shown this once."""
    asked: NewToken = call.body
    tenant = await call.parts.tenants.require(asked.tenant_id)
    expires = None if asked.expires_in is None else call.parts.clock() + asked.expires_in
    made = await call.parts.tokens.create(
        tenant, subject=asked.subject, kind=asked.kind, scopes=asked.scopes, expires=expires
    )
    call.about(tenant, "token", made.token.id)
    return CreatedToken(**_fields(made.token), token=made.text.reveal())


async def revoke(call: Call) -> Deleted:
    """Revoke a token at once."""
    token, tenant = call.path["id"], Tenant(call.query.tenant_id)
    await call.parts.tokens.revoke(tenant, token)
    call.about(tenant, "token", token)
    return Deleted(id=token)


def _fields(token: TokenRow) -> dict[str, Any]:
    return {
        "id": token.id,
        "tenant_id": token.tenant,
        "kind": token.principal_kind,
        "subject": token.subject,
        "scopes": list(token.scopes),
        "integrated_account_id": token.account,
        "created_at": iso(token.created),
        "expires_at": iso(token.expires),
        "revoked_at": iso(token.revoked),
        "last_used_at": iso(token.last_used),
    }


ENDPOINTS = (
    Endpoint(
        "GET", "/token", "list_tokens", "List the tokens of a tenant", list_, Page[Token],
        query=ListingOfTenant, fails=(404,),
    ),
    Endpoint(
        "POST", "/token", "create_token", "Make a token for a tenant", create, CreatedToken, body=NewToken,
        status=201, fails=(404,),
    ),
    Endpoint(
        "DELETE", "/token/{id}", "revoke_token", "Revoke a token", revoke, Deleted, query=OfTenant,
        fails=(404,),
    ),
)  # fmt: skip
