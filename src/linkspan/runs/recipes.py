"""Recipes that tenants turn on: off until somebody there has given its settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.tenants import no_tenant
from linkspan.errors import Forbidden, InvalidArgument, LinkspanError, NotFound
from linkspan.gateway.call import Gateway
from linkspan.gateway.calls import CallInfo
from linkspan.runs.rights import may, person_for, person_says
from linkspan.spec.expressions import compile_getter
from linkspan.spec.recipe import Recipe, RecipeSetting
from linkspan.store import recipes as rows
from linkspan.store.database import Database
from linkspan.store.recipes import RecipeSettings
from linkspan.store.runs import Run

_REPOSITORY: Final = re.compile(
    r"[0-9]{1,20}|(?!.*(?:^|/)\.{1,2}(?:/|$))[A-Za-z0-9_.-]{1,100}(?:/[A-Za-z0-9_.-]{1,100}){1,4}"
)
"""As forges call it: OWNER/NAME; GitLab by a number."""
_OWNER: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}/\*")
_BRANCH: Final = re.compile(r"(?!-|/|.*(?:\.\.|//|@\{|/$|\.lock$|\.$))[A-Za-z0-9._/+@-]{1,200}")
_FILE: Final = re.compile(r"(?!/|.*(?:^|/)\.{1,2}(?:/|$)|.*//)[^\0\r\n\\]{1,400}(?<!/)")
AUTHOR: Final = re.compile(r"([^<>\r\n\0]{0,199}[^<>\s\0]) *<([^<>@\s\0]{1,100}@[^<>@\s\0]{1,200})>")
"""`NAME <ADDRESS>`, as git writes an author."""
_LONGEST_TEXT: Final = 20_000


@dataclass(frozen=True, slots=True)
class TenantRecipe:
    """A recipe as a tenant has it."""

    recipe: Recipe
    said: RecipeSettings | None

    @property
    def enabled(self) -> bool:
        """Whether it can be started."""
        return self.said is not None and self.said.enabled

    @property
    def settings(self) -> dict[str, Any]:
        """What was answered, and defaults for what was not; None where there is neither."""
        said = self.said.settings if self.said else {}
        return {name: said.get(name, setting.default) for name, setting in self.recipe.settings.items()}

    def of_type(self, kind: Any) -> Any:
        """Answer the value of the setting of a type of which there is at most one."""
        setting = self.recipe.setting_of(kind)
        return self.settings[setting.name] if setting else None


class Recipes:
    """Lists recipes and turns them on and off for tenants."""

    def __init__(
        self,
        db: Database,
        gateway: Gateway,
        *,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
    ) -> None:
        self._db = db
        self._gateway = gateway
        self._clock = clock
        self._random = random

    async def list(self, tenant: Tenant) -> list[TenantRecipe]:
        """Answer every recipe of tools.yaml, as the tenant has it."""
        said = await rows.of_tenant(self._db, tenant)
        return [TenantRecipe(each, said.get(name)) for name, each in self._gateway.catalog.recipes.items()]

    async def get(self, tenant: Tenant, name: str) -> TenantRecipe:
        """Answer one recipe as the tenant has it. Raises `NotFound`."""
        recipe = self._gateway.catalog.recipes.get(name)
        if recipe is None:
            known = ", ".join(self._gateway.catalog.recipes)
            raise NotFound(
                f"tools.yaml has no recipe {name!r}",
                hint=f"There is {known}." if known else "Declare one under `recipes`.",
            )
        return TenantRecipe(recipe, await rows.find(self._db, tenant, name))

    async def require(self, tenant: Tenant, name: str) -> TenantRecipe:
        """Answer one recipe that the tenant has turned on. Raises `NotFound` and `Forbidden`."""
        found = await self.get(tenant, name)
        if not found.enabled:
            raise Forbidden(
                f"the recipe {name} is off for tenant {tenant}",
                hint=f"Somebody there turns it on with: linkspan recipe enable {name} --tenant {tenant}",
            )
        return found

    async def enable(
        self, principal: Principal, name: str, settings: Mapping[str, Any], *, person: str | None = None
    ) -> TenantRecipe:
        """Turn a recipe on with its settings; what is not given stays as it was said before.

        Raises `InvalidArgument` that names every fault, `Forbidden`, `NotFound`, and what the forge answers
        when the repository cannot be read.
        """
        who = person_says(principal, "recipe.enable", person)
        found = await self.get(principal.tenant, name)
        before = dict(found.said.settings) if found.said else {}
        checked = check_settings(found.recipe, {**before, **settings})
        await self._check_repository(principal, found.recipe, checked)
        return await self._keep(principal, found, checked, enabled=True, who=who)

    async def disable(self, principal: Principal, name: str, *, person: str | None = None) -> TenantRecipe:
        """Turn a recipe off; its settings are kept, and runs that go on go on."""
        may(principal, "recipe.disable")
        who = person_for(principal, person)
        found = await self.get(principal.tenant, name)
        settings = dict(found.said.settings) if found.said else {}
        return await self._keep(principal, found, settings, enabled=False, who=who)

    async def _keep(
        self,
        principal: Principal,
        found: TenantRecipe,
        settings: dict[str, Any],
        *,
        enabled: bool,
        who: str | None,
    ) -> TenantRecipe:
        said = RecipeSettings(
            principal.tenant,
            found.recipe.name,
            enabled,
            settings,
            principal.kind,
            principal.subject if who in (None, principal.subject) else f"{principal.subject} for {who}",
            self._clock(),
        )
        if not await rows.keep(self._db, said):
            raise no_tenant(principal.tenant)
        return TenantRecipe(found.recipe, said)

    async def _check_repository(
        self, principal: Principal, recipe: Recipe, settings: Mapping[str, Any]
    ) -> None:
        """Read the repository through the forge account that the tenant linked, where there is a forge."""
        setting = recipe.setting_of("repository") or recipe.setting_of("repositories")
        tool = self._gateway.catalog.tool_for("repository.get")
        if setting is None or settings.get(setting.name) is None or tool is None:
            return
        said = settings[setting.name]
        for name in [said] if isinstance(said, str) else said:
            if name.endswith("/*"):
                continue
            reader = Principal(principal.tenant, "run", "recipe", ("repository.get",))
            info = CallInfo(self._random(16).hex(), via="run")
            try:
                await self._gateway.call(reader, tool, {"id": name}, info=info)
            except LinkspanError as error:
                error.message = f"{setting.name}: {name} cannot be read: {error.message}"
                raise


def check_settings(recipe: Recipe, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Answer settings in their types. Raises `InvalidArgument` that names every fault."""
    faults: list[dict[str, str]] = []
    checked: dict[str, Any] = {}
    for name in settings.keys() - recipe.settings.keys():
        known = ", ".join(recipe.settings) or "none"
        faults.append({"path": name, "message": f"{recipe.name} has no such setting; there is {known}"})
    for name, setting in recipe.settings.items():
        value = settings.get(name)
        if value is None or value == "":
            if setting.required and setting.default is None:
                faults.append({"path": name, "message": f"is required: {setting.title}"})
            continue
        try:
            checked[name] = _typed(setting, value)
        except ValueError as error:
            faults.append({"path": name, "message": str(error)})
    if faults:
        told = "; ".join(f"{fault['path']}: {fault['message']}" for fault in faults)
        raise InvalidArgument(f"the settings do not fit: {told}", details=faults)
    return checked


def chosen_repository(run: Run, recipe: Recipe, entity: object) -> str | None:
    """Answer where a run works: as was settled when it started, or as its thing says.

    A thing says so only among the repositories that the tenant has named. Raises `Forbidden`.
    """
    setting = recipe.setting_of("repositories")
    if recipe.repository is None or setting is None:
        return run.repository
    said = compile_getter(recipe.repository)(entity)
    allowed = run.plan["settings"].get(setting.name) or []
    if not isinstance(said, str) or not _REPOSITORY.fullmatch(said):
        raise Forbidden(f"the {recipe.entity} names no repository, so there is nowhere to work")
    if said not in allowed and f"{said.partition('/')[0]}/*" not in allowed:
        raise Forbidden(
            f"{said} is none of the repositories that {recipe.name} works in for tenant {run.tenant}",
            hint=f"They are its setting {setting.name}: linkspan recipe enable {recipe.name}",
        )
    return said


def _names(setting: RecipeSetting, value: Any) -> list[str]:
    example = "acme/shop,acme/*" if setting.type == "repositories" else "bo,al"
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"must be names, such as {example}")
    names = [name.strip() for name in names if name.strip()]
    for name in names if setting.type == "repositories" else ():
        if not _REPOSITORY.fullmatch(name) and not _OWNER.fullmatch(name):
            told = f"{name!r} is no repository: write OWNER/NAME, or OWNER/* for all of an owner"
            raise ValueError(f"{told}; of GitLab a project's number")
    return names


def _typed(setting: RecipeSetting, value: Any) -> Any:
    if setting.type in ("names", "people", "repositories"):
        return _names(setting, value)
    if setting.type == "number":
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ValueError(f"{value!r} is no number") from None
        return int(number) if number.is_integer() else number
    if not isinstance(value, str):
        raise ValueError("must be text")
    if setting.type == "choice" and value not in setting.choices:
        raise ValueError(f"cannot be {value!r}; it is one of {', '.join(setting.choices)}")
    if setting.type == "repository" and not _REPOSITORY.fullmatch(value):
        raise ValueError(
            f"{value!r} is no repository: write OWNER/NAME, or the number of a project of GitLab"
        )
    if setting.type == "branch" and not _BRANCH.fullmatch(value):
        raise ValueError(f"{value!r} is no branch's name")
    if setting.type == "file" and not _FILE.fullmatch(value):
        raise ValueError(f"{value!r} is no file of a repository: write its path, such as docs/style.md")
    if setting.type == "author" and not AUTHOR.fullmatch(value):
        raise ValueError(f"{value!r} is no author: write NAME <ADDRESS>, such as Acme Bot <bot@acme.example>")
    if len(value) > _LONGEST_TEXT:
        raise ValueError(f"has more than {_LONGEST_TEXT} characters")
    return value
