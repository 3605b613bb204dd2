"""View tokens: a product's page shows a run with one, or has the button, for one person and for minutes."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from linkspan.store.outbox import iso
from linkspan.web.api.endpoint import Call, Endpoint
from linkspan.web.api.links import Origin
from linkspan.web.api.models import Deleted, MaybeOfTenant, Name, ThingId, Time, whole
from linkspan.web.api.reading import Example, Model
from linkspan.web.api.run_models import Person, RunId

Verb = Literal["run.start", "run.steer", "run.cancel", "run.approve"]
Lifetime = Annotated[int, Field(ge=60, le=3_600, description="Seconds."), BeforeValidator(whole)]


class NewViewToken(Model):
    """A view token to be: for one run (`run_id`), or for a recipe on one thing."""

    example: ClassVar[Example] = {
        "recipe": "fix_ticket",
        "entity_id": "7",
        "person": "anna",
        "may": ["run.start", "run.cancel"],
        "allowed_origins": ["https://app.acme.example"],
    }
    run_id: RunId | None = None
    recipe: Name | None = None
    entity_id: ThingId | None = None
    integrated_account_id: Name | None = None
    person: Person = None
    may: Annotated[list[Verb], Field(max_length=4)] = []
    """What it may do beside looking. Whoever makes it has these scopes."""
    allowed_origins: Annotated[list[Origin], Field(min_length=1, max_length=20)]
    """Whose pages may show the run in a frame, and ask with it."""
    expires_in: Lifetime = 900


class CreatedViewToken(Model):
    """A view token. It is shown here and never again."""

    shown_once: ClassVar[tuple[str, ...]] = ("view_token",)
    id: str
    view_token: str
    url: str
    """Where it is used: what `linkspan.js` is given."""
    expires_at: Time


async def create(call: Call) -> CreatedViewToken:
    """Make a view token, shown this once."""
    asked: NewViewToken = call.body
    principal = await call.principal()
    made = await call.parts.views.create(
        principal,
        origins=asked.allowed_origins,
        person=asked.person,
        run=asked.run_id,
        recipe=asked.recipe,
        entity_id=asked.entity_id,
        account=asked.integrated_account_id,
        verbs=asked.may,
        lifetime=float(asked.expires_in),
        minted_by=call.caller.token_id,
    )
    call.about(principal.tenant, "view_token", made.token.id)
    token, text = made.token, made.text.reveal()
    below = f"/{token.run}" if token.run is not None else ""
    return CreatedViewToken(
        id=token.id,
        view_token=text,
        url=f"{call.base}/t/{token.tenant}/views/{token.id}{below}#view_token={text}",
        expires_at=iso(token.expires) or "",
    )


async def revoke(call: Call) -> Deleted:
    """End a view token at once, wherever it is shown."""
    principal, token = await call.principal(), call.path["id"]
    await call.parts.views.revoke(principal, token)
    call.about(principal.tenant, "view_token", token)
    return Deleted(id=token)


ENDPOINTS = (
    Endpoint(
        "POST", "/view-token", "create_view_token",
        "Make a view token: a product's page shows a run with it, or has the button", create,
        CreatedViewToken, body=NewViewToken, query=MaybeOfTenant, tenants=True, status=201, fails=(403, 404),
    ),
    Endpoint(
        "DELETE", "/view-token/{id}", "revoke_view_token", "End a view token", revoke, Deleted,
        query=MaybeOfTenant, tenants=True, fails=(403, 404),
    ),
)  # fmt: skip
