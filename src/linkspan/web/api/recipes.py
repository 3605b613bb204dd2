"""Recipes, as a tenant has turned them on."""

from __future__ import annotations

from linkspan.runs.recipes import TenantRecipe
from linkspan.runs.rights import may
from linkspan.store.outbox import iso
from linkspan.web.api.endpoint import Call, Endpoint
from linkspan.web.api.models import MaybeOfTenant
from linkspan.web.api.run_models import Enabled, Recipe, Recipes, RecipeSetting, Who


async def list_(call: Call) -> Recipes:
    """Answer the recipes of tools.yaml, and whether they are on for the tenant."""
    principal = await call.principal()
    may(principal, "recipe.list", "read")
    found = await call.parts.recipes.list(principal.tenant)
    return Recipes(result=[_shown(each) for each in found])


async def enable(call: Call) -> Recipe:
    """Turn a recipe on, with its settings."""
    asked: Enabled = call.body
    principal, name = await call.principal(), call.path["name"]
    call.about(principal.tenant, "recipe", name)
    return _shown(await call.parts.recipes.enable(principal, name, asked.settings, person=asked.person))


async def disable(call: Call) -> Recipe:
    """Turn a recipe off; its settings are kept."""
    asked: Who = call.body
    principal, name = await call.principal(), call.path["name"]
    call.about(principal.tenant, "recipe", name)
    return _shown(await call.parts.recipes.disable(principal, name, person=asked.person))


def _shown(found: TenantRecipe) -> Recipe:
    recipe, said = found.recipe, found.said
    return Recipe(
        name=recipe.name,
        title=recipe.title,
        description=recipe.description,
        entity=recipe.entity,
        enabled=found.enabled,
        approve=recipe.approve,
        publish=recipe.publish.how,
        settings=[
            RecipeSetting(
                name=name,
                type=setting.type,
                title=setting.title,
                description=setting.description,
                required=setting.required,
                value=found.settings[name],
            )
            for name, setting in recipe.settings.items()
        ],
        changed_by=said.changed_by if said else None,
        changed_at=iso(said.changed) if said else None,
    )


ENDPOINTS = (
    Endpoint(
        "GET", "/recipes", "list_recipes", "List recipes, and whether they are on", list_, Recipes,
        query=MaybeOfTenant, tenants=True, fails=(403, 404),
    ),
    Endpoint(
        "POST", "/recipes/{name}/enable", "enable_recipe", "Turn a recipe on for a tenant", enable, Recipe,
        body=Enabled, query=MaybeOfTenant, tenants=True, fails=(403, 404, 502),
    ),
    Endpoint(
        "POST", "/recipes/{name}/disable", "disable_recipe", "Turn a recipe off for a tenant", disable,
        Recipe, body=Who, query=MaybeOfTenant, tenants=True, fails=(403, 404),
    ),
)  # fmt: skip
