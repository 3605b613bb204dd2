"""Writes what was picked of an OpenAPI description as a tools.yaml: readable, and accepted by `check`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from linkspan.errors import ConfigurationError
from linkspan.spec import yaml
from linkspan.spec.compile import compile_catalog, plural_of
from linkspan.spec.drafts import SCHEMA_URL, flow, harmless, scalar
from linkspan.spec.fields import read_model
from linkspan.spec.language import ModelField, model_names
from linkspan.spec.openapi import Description, mapping, matches, type_of, word
from linkspan.spec.picking import Asked, Picked, asked_by, envelope_of, nouns_below, pick, snake

MOST: Final = 60
"""How many tools one import makes."""
_MOST_FIELDS: Final = 16
_MOST_NAMED: Final = 8
_ROUNDS: Final = 40
_CALLED: Final[Mapping[str, str]] = {
    "issue": "ticket", "bug": "ticket", "task": "ticket", "work_item": "ticket", "story": "ticket",
    "case": "ticket", "note": "comment", "reply": "comment", "member": "user", "person": "user",
    "merge_request": "pull_request", "pull": "pull_request", "repo": "repository", "file": "attachment",
}  # fmt: skip
_FOUND_AS: Final[Mapping[str, tuple[str, ...]]] = {
    "title": ("title", "subject", "summary", "name", "headline"),
    "description": ("description", "body", "text", "details", "content"),
    "status": ("status", "state"),
    "body": ("body", "content", "text", "message"),
    "key": ("key", "identifier", "short_id", "friendly_id"),
    "number": ("number", "iid"),
    "name": ("name", "display_name", "full_name", "username"),
    "username": ("username", "login"),
    "created_at": ("created_at", "created", "creation_date", "date_created", "created_on", "first_seen"),
    "updated_at": ("updated_at", "updated", "modified", "last_modified", "updated_on", "last_seen"),
    "due_at": ("due_at", "due_date", "due"),
    "url": ("html_url", "web_url", "permalink", "url", "link"),
}
_WORDS: Final[Mapping[str, str]] = {
    "open": "todo", "new": "todo", "todo": "todo", "to_do": "todo", "unresolved": "todo",
    "backlog": "backlog", "in_progress": "in_progress", "wip": "in_progress",
    "active": "in_progress", "doing": "in_progress",
    "in_review": "in_review", "review": "in_review", "blocked": "blocked", "pending": "blocked",
    "on_hold": "blocked", "closed": "done", "done": "done", "resolved": "done", "fixed": "done",
    "completed": "done", "solved": "done", "cancelled": "cancelled", "canceled": "cancelled",
    "wontfix": "cancelled", "urgent": "urgent", "critical": "urgent", "high": "high", "medium": "medium",
    "normal": "medium", "low": "low",
}  # fmt: skip


@dataclass(slots=True)
class Draft:
    """What an import makes."""

    text: str
    operations: list[str] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    """`{tool, request, definition}`, as Codex will see them."""
    left_out: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Entity:
    name: str
    model: str | None = None
    own: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    mapped: dict[str, Any] = field(default_factory=dict)
    operations: dict[str, Picked] = field(default_factory=dict)
    guessed: set[str] = field(default_factory=set)

    @property
    def noun(self) -> str:
        return self.name.replace("_", " ")

    @property
    def plural(self) -> str:
        return plural_of(self.name).replace("_", " ")


class Fragment:
    """Holds what was picked, and takes away what `check` does not accept."""

    def __init__(
        self,
        description: Description,
        *,
        name: str | None = None,
        only: str | None = None,
        entity: str | None = None,
        base_url: str | None = None,
    ) -> None:
        self._description = description
        self._connector = name or snake(description.title)[:40].strip("_") or "api"
        if self._connector.endswith("_api"):
            self._connector = self._connector.removesuffix("_api")
        self._base_url = base_url or description.base_url
        self._left_out = description.left_out
        self._pagination: Mapping[str, Any] | None = None
        self._entities: dict[str, _Entity] = {}
        self._pick(only, entity)
        for each in self._entities.values():
            self._map(each)

    def draft(self) -> Draft:
        """Answer the text. Raises `ConfigurationError` where nothing can be made of it."""
        for _round in range(_ROUNDS):
            if not any(each.operations for each in self._entities.values()):
                break
            text = self._text()
            node, problems = yaml.read(text.encode(), "tools.yaml")
            catalog, found = compile_catalog(node, {}) if node is not None else (None, [])
            problems = [*problems, *found]
            if catalog is not None and not problems:
                tools: list[dict[str, Any]] = []
                for tool in catalog.tools:
                    line = self._entities[tool.entity].operations[tool.operation].described.line
                    tools.append({"tool": tool.name, "request": line, "definition": tool.definition()})
                return Draft(text, [tool.key for tool in catalog.tools], tools, self._left_out)
            for problem in problems:
                self._mend(problem.path.split("."), problem.code, problem.message)
        told = "; ".join(f"{line}: {why}" for line, why in self._left_out[:5])
        raise ConfigurationError(
            f"nothing that is picked makes a tool{f' ({told})' if told else ''}",
            hint="Choose with --only: a piece of a path, of an operation's id, or a pattern with *.",
        )

    # Picking ----------------------------------------------------------------------------------------------

    def _pick(self, only: str | None, entity: str | None) -> None:
        chosen = [one for one in self._description.operations() if matches(one, only)]
        if not chosen:
            raise ConfigurationError(
                f"the description has no operation that --only {only} means"
                if only
                else "it has no operation"
            )
        lists = frozenset(one.path for one in chosen if one.method == "get")
        below = nouns_below(chosen) if entity is not None else frozenset()
        # The plainest way to a thing first: the fewest things above it, then the shortest path.
        for one in sorted(chosen, key=lambda one: (one.path.count("{"), one.method == "put", len(one.path))):
            picked = pick(self._description, one, entity, lists, below)
            if isinstance(picked, str):
                self._left_out.append((one.line, picked))
                continue
            known = self._entities.setdefault(picked.entity, _Entity(picked.entity))
            taken = known.operations.get(picked.name)
            if taken is not None:
                self._left_out.append((one.line, f"{picked.key} is {taken.described.line} already"))
            elif sum(len(each.operations) for each in self._entities.values()) >= MOST:
                self._left_out.append((one.line, f"{MOST} tools are enough: choose with --only"))
            else:
                known.operations[picked.name] = picked
        self._entities = {name: each for name, each in self._entities.items() if each.operations}
        pages = [each.pagination for each in self._all() if each.pagination]
        if pages:
            self._pagination = max(pages, key=pages.count)

    def _all(self) -> list[Picked]:
        return [one for each in self._entities.values() for one in each.operations.values()]

    def _mend(self, path: Sequence[str], code: str, message: str) -> None:
        """Take away what a problem is about."""
        if path[:1] == ["entities"] and len(path) > 1 and path[1] in self._entities:
            entity = self._entities[path[1]]
            if "operations" in path and len(path) > path.index("operations") + 1:
                name = path[path.index("operations") + 1]
                found = entity.operations.get(name)
                if found is None:
                    return
                if code == "schema_too_large" and not found.is_slim:
                    found.is_flat, found.is_slim = True, found.is_flat
                    return
                argument = path[path.index("params") + 1] if "params" in path[:-1] else ""
                if code == "bad_enum" and argument and not argument.startswith(f"{entity.name}_"):
                    # The field of that name has other words: the product's own are taken as they are.
                    found.by_product.add(argument)
                    return
                entity.operations.pop(name)
                self._left_out.append((found.described.line, message))
            elif "fields" in path and len(path) > path.index("fields") + 1:
                name = path[path.index("fields") + 1]
                entity.own.pop(name, None)
                entity.mapped.pop(name, None)
            else:
                self._left_out += [(each.described.line, message) for each in entity.operations.values()]
                entity.operations.clear()
            if not entity.operations:
                self._entities.pop(entity.name)
        elif "pagination" in path and self._pagination is not None:
            self._pagination = None
            for one in self._all():
                one.pagination = None
        else:
            raise ConfigurationError(f"no tools.yaml can be made of it: {'.'.join(path)}: {message}")

    # Fields -----------------------------------------------------------------------------------------------

    def _map(self, entity: _Entity) -> None:
        described = self._description
        order = ("get", "list", "search")
        things = [entity.operations[name].thing for name in order if name in entity.operations]
        thing = next((each for each in things if each.get("properties")), {})
        properties = {
            str(name): described.schema(said)
            for name, said in list(mapping(thing.get("properties")).items())[:80]
        }
        identity = self._identity(entity, properties)
        if identity is None:
            return
        entity.mapped["id"] = word(identity)
        if identity != "id":
            entity.guessed.add("id")
        by_name = {snake(name): name for name in properties}
        wanted = entity.name if entity.name in model_names() else _CALLED.get(entity.name)
        if wanted is not None:
            model = read_model(wanted)
            fitting = {name: said for name, spec in model.fields.items() if name != "id"
                       if (said := self._fit(name, spec, by_name, properties)) is not None}  # fmt: skip
            required = [name for name, spec in model.fields.items() if spec.required]
            if len(fitting) >= 2 and all(name in fitting for name in required):
                entity.model = wanted
                entity.mapped |= fitting
                entity.guessed |= {
                    name for name in fitting if not isinstance(fitting[name], str) or fitting[name] != name
                }
                return
        for name, source in by_name.items():
            if name == "id" or len(entity.own) >= _MOST_FIELDS or not name.isidentifier():
                continue
            entity.own[name] = _field(properties[source], described)
            entity.mapped[name] = word(source)

    def _identity(self, entity: _Entity, properties: Mapping[str, Any]) -> str | None:
        named = next((one.id_from for one in entity.operations.values() if one.id_from), None)
        tail = "_".join(snake(named).split("_")[1:]) if named else None
        tried = [named, tail, "id", "uuid", "key", "number", "slug", "name"]
        if named is not None and snake(named) == "id":
            tried = ["id", *tried]
        return next((name for name in tried if name and name in properties), None)

    def _fit(
        self, name: str, spec: ModelField, by_name: Mapping[str, str], properties: Mapping[str, Any]
    ) -> Any:
        """Answer where a model's field is, if something fits it."""
        for candidate in _FOUND_AS.get(name, (name,)):
            source = by_name.get(candidate)
            if source is None:
                continue
            schema = properties[source]
            kind = type_of(schema)
            if spec.enum:
                words = {
                    each: made
                    for each in (schema.get("enum") if isinstance(schema.get("enum"), list) else [])
                    if isinstance(each, str) and (made := _WORDS.get(snake(each))) in spec.enum
                }
                return {"from": word(source), "values": words} if words else None
            fits = {
                "integer": ("integer",), "number": ("integer", "number"), "boolean": ("boolean",),
                "array": (), "object": (), "datetime": ("string",), "date": ("string",),
                "markdown": ("string",), "string": ("string", "integer"),
            }.get(spec.type, ())  # fmt: skip
            inner = type_of(self._description.schema(schema.get("items"))) if kind == "array" else ""
            texts = kind == "array" and inner == "string" and (spec.items or {}).get("type") == "string"
            if kind in fits or (spec.type == "array" and texts):
                return word(source)
        return None

    # Writing ----------------------------------------------------------------------------------------------

    def _text(self) -> str:
        title = harmless(self._description.title, 60) or self._connector
        many = [each.plural for each in self._entities.values()][:6]
        first = next((one for one in self._all() if one.name in ("list", "search")), self._all()[0])
        names = {"list": f"list_{plural_of(first.entity)}", "search": f"search_{plural_of(first.entity)}"}
        start = f" Start with {names[first.name]}." if first.name in names else ""
        lines = [
            f"# yaml-language-server: $schema={SCHEMA_URL}",
            "# Drafted from an OpenAPI description. Read it through: what is marked `guessed` was concluded",
            "# from names; descriptions are the product's own words, and become the model's.",
            "linkspan: 1",
            f"name: {self._connector.replace('_', '-')}",
            f"title: {scalar(title)}",
            "instructions: >-",
            f"  {title} for this customer: list, get and change {', '.join(many)}.{start}",
            "",
            "connectors:",
            f"  {self._connector}:",
            f"    title: {scalar(title)}",
            *self._place(),
            *self._credential(),
        ]
        if self._pagination is not None:
            lines.append(f"    pagination: {flow(self._pagination)}     # guessed")
        lines += ["", "entities:"]
        for each in self._entities.values():
            lines += self._entity(each)
        return "\n".join(lines) + "\n"

    def _place(self) -> list[str]:
        if self._base_url:
            return [f"    base_url: {scalar(self._base_url)}"]
        return [
            f'    base_url: "{{settings.origin}}{self._description.base_path}"     # guessed',
            "    settings:",
            "      origin: {type: origin, title: Server}",
        ]

    def _credential(self) -> list[str]:
        found = self._description.credential
        if found:
            return ["    auth:", f"      - {flow(found)}"]
        return [
            "    auth:",
            "      - {type: bearer, title: API token}     # guessed: the description says none",
        ]

    def _entity(self, entity: _Entity) -> list[str]:
        lines = [f"  {entity.name}:"]
        if entity.model is not None:
            lines.append(f"    model: {entity.model}     # guessed")
        elif entity.mapped:
            lines.append("    fields:")
            if "id" not in entity.own:
                lines.append("      id: {type: string}")
            lines += [f"      {name}: {flow(said)}" for name, said in entity.own.items()]
        lines += ["    sources:", f"      {self._connector}:"]
        if entity.mapped:
            lines.append("        fields:")
            for name, said in entity.mapped.items():
                mark = "     # guessed" if name in entity.guessed else ""
                shown = flow(said) if isinstance(said, dict) else scalar(said)
                lines.append(f"          {name}: {shown}{mark}")
        lines.append("        operations:")
        for one in entity.operations.values():
            lines += self._operation(entity, one)
        return lines

    def _operation(self, entity: _Entity, one: Picked) -> list[str]:
        asked, described = asked_by(self._description, one), one.described

        def placeholder(match: re.Match[str]) -> str:
            return "{id}" if match[1] == one.id_from else f"{{{one.argument(match[1])}}}"

        path = re.sub(r"\{([^{}]+)\}", placeholder, described.path)
        lines = [
            f"          {one.name}:",
            f"            description: {scalar(self._said(entity, one))}",
            f"            request: {scalar(f'{described.method.upper()} {path}')}",
        ]
        if asked.params:
            lines.append("            params:")
            lines += [f"              {name}: {flow(said)}" for name, said in asked.params.items()]
        if asked.query:
            lines.append(f"            query: {flow(asked.query)}")
        if asked.body:
            mark = "     # guessed" if envelope_of(self._description, one) in asked.body else ""
            sent = "form" if described.encoding == "form" else "body"
            lines.append(f"            {sent}: {flow(asked.body)}{mark}")
        lines += _left(asked)
        if one.items is not None:
            lines.append(
                f"            items: {scalar(one.items)}{'     # guessed' if one.is_guessed else ''}"
            )
            if one.pagination != self._pagination:
                shown = flow(one.pagination or {"style": "none"})
                why = f": {one.why_not_paged}" if one.why_not_paged else ""
                lines.append(f"            pagination: {shown}     # guessed{why}")
            elif one.why_not_paged:
                lines.append(f"            # It gives no pages that were understood: {one.why_not_paged}.")
        if one.item is not None:
            lines.append(f"            item: {scalar(one.item)}     # guessed")
        if one.name not in ("list", "search", "get") and not one.thing.get("properties"):
            lines.append("            returns: raw")
        return lines

    def _said(self, entity: _Entity, one: Picked) -> str:
        verbs = {
            "list": f"List {entity.plural}", "search": f"Search {entity.plural}",
            "get": f"Get one {entity.noun} by its id",
            "create": f"Create one {entity.noun}", "update": f"Update one {entity.noun}",
            "delete": f"Delete one {entity.noun}",
        }  # fmt: skip
        verb = verbs.get(one.name) or f"{one.name.replace('_', ' ').capitalize()}: {entity.noun}"
        said = harmless(one.described.summary, 140).rstrip(".")
        return f"{verb}. {said}." if said and said.lower() != verb.lower() else f"{verb}."


def _left(asked: Asked) -> list[str]:
    """Say which members of a body are not asked for; their names are somebody's words."""
    told = []
    for why, names in asked.left.items():
        shown = ", ".join(harmless(name, 40) for name in names[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        told.append(f"{shown}{more} ({why})")
    return [f"            # Its body may have more: {'; '.join(told)}."] if told else []


def _field(schema: Mapping[str, Any], description: Description) -> dict[str, Any]:
    kind = type_of(schema)
    made: dict[str, Any] = {"type": kind}
    if kind == "string" and schema.get("format") == "date-time":
        made["type"] = "datetime"
    if kind == "array":
        inner = type_of(description.schema(schema.get("items")))
        made["items"] = {"type": inner if inner != "array" else "object"}
    said = harmless(schema.get("description"), 90)
    if said:
        made["description"] = said
    return made


def cost(definition: Mapping[str, Any]) -> tuple[int, int]:
    """Answer the bytes of a tool as Codex sees it, and about how many tokens these are."""
    seen = {name: definition[name] for name in ("name", "description", "inputSchema")}
    size = len(json.dumps(seen, separators=(",", ":"), ensure_ascii=False).encode())
    return size, -(-size // 4)
