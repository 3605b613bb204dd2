"""Linked accounts, which Truto calls integrated accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from linkspan.accounts.principal import Tenant
from linkspan.errors import InvalidArgument, NotFound
from linkspan.spec.catalog import Connector
from linkspan.store.accounts import Account
from linkspan.store.log_bodies import Keeping
from linkspan.store.outbox import iso, snapshot
from linkspan.store.overview import AccountFilter
from linkspan.vault.secret import Secret
from linkspan.web.api import cursors
from linkspan.web.api.account_models import (
    AccountListing,
    AccountRef,
    AccountToken,
    IntegratedAccount,
    NewAccount,
    NewAccountToken,
)
from linkspan.web.api.endpoint import Call, Endpoint
from linkspan.web.api.log_models import LogBodiesState, NewLogBodies
from linkspan.web.api.models import Deleted, MaybeOfTenant, Page

TOKEN_LIFETIME: Final = 900.0
"""Seconds that a token for one account is good for, as at Truto."""
_ENTITY: Final = "integrated_account"
_PATH: Final = "/integrated-account"


async def list_(call: Call) -> Page[IntegratedAccount]:
    """Answer accounts, oldest first, of one tenant or of all."""
    asked: AccountListing = call.query
    place = cursors.opened(call, _ENTITY)
    wanted = AccountFilter(
        tenant=asked.tenant_id,
        connector=asked.integration,
        state=asked.status,
        subject=asked.subject,
        sandbox=None if asked.is_sandbox is None else asked.is_sandbox == "true",
        created_after=seconds(asked.created_after),
        created_before=seconds(asked.created_before),
    )
    found = await call.parts.overview.accounts(
        wanted, after=None if place is None else (place[0], place[1], place[2]), limit=asked.limit + 1
    )
    shown = found[: asked.limit]
    more = len(found) > len(shown)
    last = [shown[-1].created, shown[-1].tenant, shown[-1].id] if more else []
    return Page[IntegratedAccount](
        result=[_shown(each) for each in shown],
        next_cursor=cursors.seal(call, _ENTITY, last) if more else None,
    )


async def create(call: Call) -> IntegratedAccount:
    """Link an account by what the caller already has: settings and a credential."""
    asked: NewAccount = call.body
    tenant = await call.parts.tenants.require(asked.tenant_id)
    connector = _connector(call, asked.integration)
    call.about(tenant, _ENTITY, asked.integrated_account_id, connector=connector.name)
    linked = await call.parts.accounts.link(
        tenant,
        connector,
        method=asked.authentication_method,
        settings=asked.settings,
        secrets={name: Secret(value.get_secret_value()) for name, value in asked.secrets.items()},
        subject=asked.subject,
        account=asked.integrated_account_id,
        verify=call.parts.verifier if asked.verify and connector.verify is not None else None,
        sandbox=asked.is_sandbox,
    )
    call.about(tenant, _ENTITY, linked.id, connector=connector.name, account=linked.id)
    return _shown(linked)


async def get(call: Call) -> IntegratedAccount:
    """Answer one account."""
    return _shown(await _found(call, call.path["id"], call.query.tenant_id))


async def verify(call: Call) -> IntegratedAccount:
    """Ask the product whether the credential is good, and note the answer."""
    found = await _found(call, call.path["id"], call.query.tenant_id)
    connector = _connector(call, found.connector)
    if connector.verify is None:
        raise InvalidArgument(f"Connector {connector.name} declares no `verify` request in tools.yaml")
    return _shown(
        await call.parts.accounts.verify(Tenant(found.tenant), found.id, connector, call.parts.verifier)
    )


async def refresh(call: Call) -> IntegratedAccount:
    """Renew the access token now."""
    found = await _found(call, call.body.id, call.body.tenant_id)
    connector = _connector(call, found.connector)
    return _shown(await call.parts.accounts.refresh(Tenant(found.tenant), found.id, connector))


async def token(call: Call) -> AccountToken:
    """Make a token for one account: of its person, where it is one person's own."""
    found = await _found(call, call.body.integrated_account_id, call.body.tenant_id)
    expires = call.parts.clock() + TOKEN_LIFETIME
    made = await call.parts.tokens.create(
        Tenant(found.tenant),
        subject=found.subject or _ENTITY,
        kind="service" if found.subject is None else "person",
        expires=expires,
        account=found.id,
    )
    return AccountToken(integrated_account_token=made.text.reveal(), expires_at=iso(expires) or "")


async def delete(call: Call) -> Deleted:
    """Unlink an account; its grant is given back where the connector says how."""
    found = await _found(call, call.path["id"], call.query.tenant_id)
    connector = call.parts.catalog().connectors.get(found.connector)
    await call.parts.accounts.unlink(Tenant(found.tenant), found.id, connector)
    return Deleted(id=found.id)


def seconds(text: str | None) -> float | None:
    """Answer a time that was given as epoch seconds."""
    return None if text is None else datetime.fromisoformat(text).timestamp()


async def keep_bodies(call: Call) -> LogBodiesState:
    """Keep the account's bodies beside the log, for at most an hour."""
    found = await _found(call, call.path["id"], call.query.tenant_id)
    seconds, subject = call.body.minutes * 60.0, call.caller.subject
    return _state(found, await call.parts.log_bodies.turn_on(found.tenant, found.id, seconds, subject))


async def keep_no_bodies(call: Call) -> LogBodiesState:
    """Keep no more of them."""
    found = await _found(call, call.path["id"], call.query.tenant_id)
    await call.parts.log_bodies.turn_off(found.tenant, found.id)
    return _state(found, None)


async def bodies_kept(call: Call) -> LogBodiesState:
    """Answer until when they are kept."""
    found = await _found(call, call.path["id"], call.query.tenant_id)
    return _state(found, await call.parts.log_bodies.state(found.tenant, found.id))


def _state(account: Account, keeping: Keeping | None) -> LogBodiesState:
    return LogBodiesState(
        tenant_id=account.tenant,
        integrated_account_id=account.id,
        is_on=keeping is not None,
        until=None if keeping is None else iso(keeping.until),
        wanted_by=None if keeping is None else keeping.wanted_by,
    )


async def _found(call: Call, account: str, tenant: str | None) -> Account:
    found = await call.parts.overview.account(account, tenant)
    call.about(found.tenant, _ENTITY, found.id, connector=found.connector, account=found.id)
    return found


def _connector(call: Call, name: str) -> Connector:
    connectors = call.parts.catalog().connectors
    if name not in connectors:
        raise NotFound(
            f"tools.yaml has no connector {name!r}", hint=f"Known: {', '.join(connectors) or 'none'}."
        )
    return connectors[name]


def _shown(account: Account) -> IntegratedAccount:
    return IntegratedAccount.model_validate(snapshot(account))


ENDPOINTS = (
    Endpoint(
        "GET", _PATH, "list_integrated_accounts", "List linked accounts", list_, Page[IntegratedAccount],
        query=AccountListing,
    ),
    Endpoint(
        "POST", _PATH, "create_integrated_account", "Link an account by settings and a credential", create,
        IntegratedAccount, body=NewAccount, status=201, fails=(403, 404, 409, 429, 502, 504),
    ),
    Endpoint(
        "POST", f"{_PATH}/token", "create_integrated_account_token",
        "Make a token for one account and a quarter of an hour", token, AccountToken, body=NewAccountToken,
        fails=(404, 409),
    ),
    Endpoint(
        "POST", f"{_PATH}/refresh-credentials", "refresh_integrated_account", "Renew an access token now",
        refresh, IntegratedAccount, body=AccountRef, fails=(404, 409, 502, 504),
    ),
    Endpoint(
        "GET", _PATH + "/{id}", "get_integrated_account", "Get a linked account", get, IntegratedAccount,
        query=MaybeOfTenant, fails=(404, 409),
    ),
    Endpoint(
        "POST", _PATH + "/{id}/verify", "verify_integrated_account",
        "Ask the product whether a credential is good", verify, IntegratedAccount, query=MaybeOfTenant,
        fails=(403, 404, 409, 502, 504),
    ),
    Endpoint(
        "GET", _PATH + "/{id}/log-bodies", "get_log_bodies",
        "Tell whether an account's bodies are kept beside the log", bodies_kept, LogBodiesState,
        query=MaybeOfTenant, fails=(404, 409),
    ),
    Endpoint(
        "POST", _PATH + "/{id}/log-bodies", "keep_log_bodies",
        "Keep an account's bodies beside the log, masked, for at most an hour", keep_bodies, LogBodiesState,
        query=MaybeOfTenant, body=NewLogBodies, fails=(404, 409),
    ),
    Endpoint(
        "DELETE", _PATH + "/{id}/log-bodies", "keep_no_log_bodies",
        "Keep no more bodies of an account", keep_no_bodies, LogBodiesState, query=MaybeOfTenant,
        fails=(404, 409),
    ),
    Endpoint(
        "DELETE", _PATH + "/{id}", "delete_integrated_account",
        "Unlink an account; its grant is given back where the connector says how", delete, Deleted,
        query=MaybeOfTenant, fails=(404, 409),
    ),
)  # fmt: skip
