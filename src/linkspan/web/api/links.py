"""Link tokens: with one, the people of a tenant link an account themselves, on our page."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from linkspan.accounts.principal import Tenant
from linkspan.errors import InvalidArgument
from linkspan.store.outbox import iso
from linkspan.web.api.endpoint import Call, Endpoint
from linkspan.web.api.models import Deleted, Line, Name, OfTenant, Settings, TenantId, Time, whole
from linkspan.web.api.reading import Example, Model

PAGE = "/connect-account"
Origin = Annotated[str, Field(max_length=300, examples=["https://app.acme.example"])]

Lifetime = Annotated[int, Field(ge=60, le=604_800, description="Seconds."), BeforeValidator(whole)]


class NewLinkToken(Model):
    """A link token to be: either `tenant_id`, or the account that is to be linked again."""

    example: ClassVar[Example] = {
        "tenant_id": "acme",
        "person": "anna",
        "integrations": ["desk"],
        "allowed_origins": ["https://app.acme.example"],
        "expires_in": 900,
    }
    tenant_id: TenantId | None = None
    integrated_account_id: Name | None = None
    person: Line | None = None
    """Whose own account it will be; left out, the tenant's."""
    integrations: Annotated[list[Name], Field(max_length=100)] = []
    """The connectors to choose from; none: all."""
    scopes: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=100)] = []
    """What is asked of the product instead of what tools.yaml says."""
    allowed_origins: Annotated[list[Origin], Field(max_length=20)] = []
    """Pages that may show it in a frame, and are told how it went."""
    redirect_uri: Annotated[str, Field(max_length=2000)] | None = None
    """Where the browser goes afterwards, when no page of `allowed_origins` has opened it."""
    context: Settings = {}
    """Settings that are known already and are not asked."""
    persist_previous_context: bool = True
    """Linked again, the account keeps the settings that are not given now."""
    allow_identity_change: bool = False
    """Linked again, somebody else may take the account over, if the page's question is answered so."""
    is_sandbox: bool | None = None
    expires_in: Lifetime = 900


class CreatedLinkToken(Model):
    """A link token. It is shown here and never again."""

    shown_once: ClassVar[tuple[str, ...]] = ("link_token",)
    id: str
    link_token: str
    url: str
    """The page that opens it; the token stands behind the `#`."""
    expires_at: Time


async def create(call: Call) -> CreatedLinkToken:
    """Make a link token, shown this once."""
    asked: NewLinkToken = call.body
    if (asked.tenant_id is None) == (asked.integrated_account_id is None):
        message = "exactly one of the two: a tenant's new account, or one that is linked again"
        raise InvalidArgument(
            f"tenant_id and integrated_account_id: {message}",
            hint="See /openapi.json.",
            details=[
                {"path": "tenant_id", "message": message},
                {"path": "integrated_account_id", "message": message},
            ],
        )
    account = None
    if asked.integrated_account_id is not None:
        account = await call.parts.overview.account(asked.integrated_account_id)
        tenant = Tenant(account.tenant)
    else:
        tenant = await call.parts.tenants.require(asked.tenant_id or "")
    made = await call.parts.link_sessions.create(
        tenant,
        person=asked.person,
        connectors=asked.integrations,
        account=account,
        scopes=asked.scopes,
        allowed_origins=asked.allowed_origins,
        redirect_uri=asked.redirect_uri,
        settings=asked.context,
        keep_settings=asked.persist_previous_context,
        allow_identity_change=asked.allow_identity_change,
        sandbox=asked.is_sandbox,
        lifetime=float(asked.expires_in),
    )
    call.about(tenant, "link_token", made.session.id, account=account.id if account else None)
    token = made.text.reveal()
    return CreatedLinkToken(
        id=made.session.id,
        link_token=token,
        url=f"{call.base}{PAGE}#link_token={token}",
        expires_at=iso(made.session.expires) or "",
    )


async def revoke(call: Call) -> Deleted:
    """End a link token at once, wherever it is open."""
    token, tenant = call.path["id"], Tenant(call.query.tenant_id)
    await call.parts.link_sessions.revoke(tenant, token)
    call.about(tenant, "link_token", token)
    return Deleted(id=token)


ENDPOINTS = (
    Endpoint(
        "POST", "/link-token", "create_link_token",
        "Make a link token: a tenant's own people link an account with it, on our page", create,
        CreatedLinkToken, body=NewLinkToken, status=201, fails=(404, 409),
    ),
    Endpoint(
        "DELETE", "/link-token/{id}", "revoke_link_token", "End a link token that was not used yet", revoke,
        Deleted, query=OfTenant, fails=(404,),
    ),
)  # fmt: skip
