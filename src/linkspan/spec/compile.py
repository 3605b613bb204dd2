"""The language to a `Catalog`: connectors, entities with their sources, operations, tools, then recipes."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from linkspan.errors import Problem
from linkspan.spec import language
from linkspan.spec.builtins import bring_in
from linkspan.spec.catalog import Catalog, Connector, Entity, Tool
from linkspan.spec.connector import compile_connector
from linkspan.spec.content import compile_prompt, compile_resource
from linkspan.spec.events import Event
from linkspan.spec.fields import entity_fields, field_info, source_fields
from linkspan.spec.forms import validate
from linkspan.spec.hooks import check_entities, check_watch
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.lint import check_instructions, check_names, check_tool
from linkspan.spec.operations import ANSWERS, Place, compile_operation
from linkspan.spec.problems import Problems
from linkspan.spec.recipe import RunsPolicy
from linkspan.spec.recipe import policy as policy_of
from linkspan.spec.recipes import RecipeCompiler
from linkspan.spec.run_tools import RUN_TOOL_NAMES, run_tools
from linkspan.spec.tools import Declared, Noun, compile_tool
from linkspan.spec.yaml import Node, Path

_TAKEN: Final = (*ANSWERS, "run")
_GROUP: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\Z")
"""What no entity may be called: words of `returns`, and what linkspan://run/ stands for."""


def compile_catalog(
    root: Node, environ: Mapping[str, str], *, version: str = "", files: tuple[str, ...] = ()
) -> tuple[Catalog | None, list[Problem]]:
    """Compile one read tools.yaml: the catalog, None if there is a mistake, and every mistake."""
    problems = Problems(root)
    bring_in(root, problems)
    leaves = Leaves(problems, environ)
    form = validate(language.File, root, problems)
    if form is None:
        return None, sorted(problems.found)
    catalog = _Compiler(form, root, leaves).compile(version, files)
    if problems.found:
        return None, sorted(set(problems.found))
    return catalog, []


class _Compiler:
    """Holds what is already compiled while the rest is."""

    def __init__(self, form: language.File, root: Node, leaves: Leaves) -> None:
        self.form = form
        self.leaves = leaves
        self.problems = leaves.problems
        written = root.find(("connectors",))[0]
        self.connector_names = list(written.children) if isinstance(written.children, dict) else []
        self.connectors: dict[str, Connector] = {}
        self.places: dict[str, dict[str, Place]] = {}
        """By connector, then by entity."""
        self.nouns: dict[str, Noun] = {}
        self.doubted: set[str] = set()
        """Entities whose fields are not all known, for a mistake that is told."""

    def compile(self, version: str, files: tuple[str, ...]) -> Catalog:
        form, leaves = self.form, self.leaves
        if not re.match(r"[a-z0-9][a-z0-9-]{0,62}\Z", form.name):
            message = f"the name {form.name!r} must be lower case letters, digits and -"
            self.problems.add(("name",), "bad_name", message)
        for name, connector in form.connectors.items():
            self.connectors[name] = compile_connector(
                name, connector, leaves, ("connectors", name), functools.partial(self._sent_to, name)
            )
        entities = {name: self._entity(name, entity) for name, entity in form.entities.items()}
        self._check_events()
        tools = self._tools()
        for name, made in self.connectors.items():
            for watch in made.watches:
                check_watch(watch, tools, name, leaves, ("connectors", name, "watch", watch.name))
        instructions = leaves.text(("instructions",), form.instructions).strip()
        check_instructions(instructions, tools, self.nouns, leaves, ("instructions",))
        resources = tuple(
            compile_resource(name, resource, self.connectors, leaves, ("resources", name))
            for name, resource in form.resources.items()
        )
        prompts = tuple(
            compile_prompt(name, prompt, leaves, ("prompts", name)) for name, prompt in form.prompts.items()
        )
        events = {
            name: self.connectors[name].events if name in self.connectors else {}
            for name in self.connector_names
        }
        compiler = RecipeCompiler(entities, tools, events, self._written(), leaves)
        recipes = {name: compiler.compile(name, recipe) for name, recipe in form.recipes.items()}
        policy = policy_of(form.runs)
        compiler.check_money(recipes, policy)
        _check_time(policy, self.problems)
        return Catalog(
            name=form.name,
            title=leaves.text(("title",), form.title) or form.name,
            instructions=instructions,
            version=version,
            connectors=MappingProxyType(self.connectors),
            entities=MappingProxyType(entities),
            tools=(*tools, *run_tools(recipes)),
            resources=resources,
            prompts=prompts,
            files=files,
            recipes=MappingProxyType(recipes),
            runs=policy,
        )

    def _sent_to(self, connector: str) -> list[Any]:
        """Answer the words of all that is asked at a connector."""
        sources = [
            entity.sources[connector] for entity in self.form.entities.values() if connector in entity.sources
        ]
        resources = [one for one in self.form.resources.values() if one.connector == connector]
        return [form.model_dump() for form in (*sources, *resources)]

    def _written(self) -> dict[str, list[str] | None]:
        """Answer the fields that the sources of each entity say; None where the entity's are in doubt."""
        return {
            name: None
            if name in self.doubted
            else [field for source in form.sources.values() for field in source.fields]
            for name, form in self.form.entities.items()
        }

    def _entity(self, name: str, form: language.Entity) -> Entity:
        path: Path = ("entities", name)
        if not NAME.match(name) or name in _TAKEN:
            message = (
                f"the entity {name!r} must be lower case letters, digits and _, and not {', '.join(_TAKEN)}"
            )
            self.problems.add(path, "bad_name", message, key=True)
        fields, model = entity_fields(form, self.leaves, path)
        plural = form.plural or (model.plural if model and model_is(form, name) else plural_of(name))
        if model is not None and form.plural is None and name == model.plural:
            message = f"an entity is called by what one of it is: get_{form.model}, list_{name}"
            self.problems.add(path, "bad_name", message, words=[str(form.model)], word=name, key=True)
            plural = name
        if NAME.match(name) and not NAME.match(plural):
            message = f"the plural {plural!r} must be lower case letters, digits and _"
            self.problems.add((*path, "plural"), "bad_name", message)
        noun = Noun(name, plural)
        self.nouns[name] = noun
        is_open = (form.model is not None and model is None) or self._is_broken((*path, "fields"))
        if is_open:
            self.doubted.add(name)
        mapped: set[str] = set()
        for connector_name, source in form.sources.items():
            here = (*path, "sources", connector_name)
            connector = self.connectors.get(connector_name)
            if connector is None:
                if connector_name not in self.connector_names:
                    message = f"there is no connector {connector_name!r}"
                    words = self.connector_names
                    self.problems.add(
                        here, "unknown_connector", message, words=words, word=connector_name, key=True
                    )
                continue
            found = source_fields(source, fields, self.leaves, here, is_open=is_open)
            mapped |= set(found.mapped)
            self.places.setdefault(connector_name, {})[name] = Place(
                name, plural, connector, fields, found, is_open, source.remote_data
            )
        title = self.leaves.text((*path, "title"), form.title) or noun.one.capitalize()
        shown = [field_info(key, spec) for key, spec in fields.items() if key in mapped]
        group = form.group or (model.group if model else "custom")
        if not _GROUP.match(group):
            message = f"the group {group!r} must be lower case letters, digits, - and _"
            self.problems.add((*path, "group"), "bad_name", message)
        return Entity(name, plural, title, tuple(shown), tuple(form.sources), group)

    def _check_events(self) -> None:
        """Tell events about entities that their connector does not have."""
        for name, connector in self.connectors.items():
            form, entities = self.form.connectors[name], self.places.get(name, {})
            path: Path = ("connectors", name)
            told: list[tuple[Mapping[str, Event], Mapping[str, language.Event], Path]] = []
            if connector.webhooks is not None and form.webhooks is not None:
                told.append((connector.webhooks.events, form.webhooks.events, (*path, "webhooks", "events")))
            for stream in connector.streams:
                here = (*path, "streams", stream.name, "events")
                told.append((stream.events, form.streams[stream.name].events, here))
            for watch in connector.watches:
                here = (*path, "watch", watch.name, "events")
                told.append((watch.events, form.watch[watch.name].events, here))
            for events, forms, here in told:
                check_entities(events, forms, entities, name, self.leaves, here)

    def _is_broken(self, path: Path) -> bool:
        return any(unit[: len(path)] == path for unit in self.problems.broken)

    def _tools(self) -> list[Tool]:
        titles = {
            name: connector.title
            for name, connector in self.connectors.items()
            if any(name in entity.sources for entity in self.form.entities.values())
        }
        tools: list[Tool] = []
        places: list[tuple[Tool, Path, bool]] = []
        for entity_name, entity in self.form.entities.items():
            for declared in self._declared(entity_name, entity).values():
                tool = compile_tool(declared, self.nouns[entity_name], titles, self.leaves)
                check_tool(tool, declared, self.leaves)
                tools.append(tool)
                first = declared[0]
                named = first.form.tool is not None
                places.append((tool, (*first.path, "tool") if named else first.path, not named))
        self._check_given(tools)
        ours = RUN_TOOL_NAMES if self.form.recipes else {}
        check_names(places, self.leaves, taken=ours)
        return tools

    def _check_given(self, tools: list[Tool]) -> None:
        """Tell fields that are said to come of a call, where no call has such an argument."""
        filled = {
            (name, operation.returns or operation.entity, field)
            for tool in tools
            for name, operation in tool.operations.items()
            for field, _ in operation.given
        }
        for connector, places in self.places.items():
            for entity, place in places.items():
                for one in place.source.mapped.values():
                    if one.given is None or (connector, entity, one.name) in filled:
                        continue
                    if one.given.startswith("settings."):
                        continue
                    if place.source.identity is not None and one.name in place.source.identity.parts:
                        continue
                    message = f"${one.given} is not declared: no operation of {entity} has such an argument"
                    self.problems.add(one.path, "undeclared_argument", message, offset=1)

    def _declared(self, entity_name: str, entity: language.Entity) -> dict[str, list[Declared]]:
        declared: dict[str, list[Declared]] = {}
        for connector_name, source in entity.sources.items():
            others = self.places.get(connector_name, {})
            place = others.get(entity_name)
            if place is None:
                continue
            for name, form in source.operations.items():
                path: Path = ("entities", entity_name, "sources", connector_name, "operations", name)
                if not NAME.match(name):
                    message = f"the operation {name!r} must be lower case letters, digits and _"
                    self.problems.add(path, "bad_name", message, key=True)
                operation = compile_operation(name, form, place, others, self.leaves, path)
                answer = others.get(operation.returns or "", place)
                declared.setdefault(name, []).append(
                    Declared(operation, form, path, answer.source, answer.fields)
                )
        return declared


def model_is(form: language.Entity, name: str) -> bool:
    """Tell whether an entity is named after its model."""
    return form.model == name


def plural_of(name: str) -> str:
    """Answer what several of a thing are called, where the file does not say."""
    if name.endswith(("s", "x", "z", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def _check_time(policy: RunsPolicy, problems: Problems) -> None:
    """Tell of a budget of minutes that looks back on runs which are kept no more."""
    if policy.tenant_seconds is not None and policy.every > policy.keep:
        message = (
            "minutes are counted of the runs that are kept: say an `every` that is `runs.keep`"
            f" ({policy.keep / 86_400:g} days) at most, or keep runs longer"
        )
        problems.add(("runs", "budget", "every"), "bad_value", message)
