"""Compiles an operation: a request plan, the schema of its arguments, and how its answer is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from linkspan.spec import language, references, uploads
from linkspan.spec.arguments import Arguments
from linkspan.spec.catalog import (
    Connector,
    Elicit,
    FieldSource,
    Getter,
    Kind,
    Operation,
    Paging,
    Progress,
    RequestPlan,
    Shape,
    Value,
)
from linkspan.spec.connector import compile_paging, relay_at, seconds
from linkspan.spec.content import compile_blocks
from linkspan.spec.language import ModelField
from linkspan.spec.leaves import Leaves
from linkspan.spec.mapped import SourceFields
from linkspan.spec.references import Lookup
from linkspan.spec.requests import Requested, check_variables, compile_find, includes, requests, step
from linkspan.spec.requests import plan as request_plan
from linkspan.spec.schemas import check_schema
from linkspan.spec.usual import check_usual
from linkspan.spec.yaml import Path

_SECRET: Final = re.compile(r"(?i)pass.?(word|phrase|code)|secret|credential|api.?key|token\Z")
"""Names of what no form may ask for."""
_READING = ("list", "get", "search")
_WRITING = ("create", "update", "comment")
ANSWERS: Final = ("id", "raw", "nothing")
"""What `returns` may say besides an entity."""


@dataclass(frozen=True, slots=True)
class Place:
    """An entity at one connector, as far as it is compiled."""

    entity: str
    plural: str
    connector: Connector
    fields: Mapping[str, ModelField]
    source: SourceFields
    is_open: bool
    """Whether the entity's fields are in doubt, so that no name can be called undeclared."""
    remote_data: bool = False
    """Whether its reads show items as they came, when they are asked to."""


def compile_operation(
    name: str,
    form: language.Operation,
    place: Place,
    others: Mapping[str, Place],
    leaves: Leaves,
    path: Path,
) -> Operation:
    """Compile one operation. `others` are the entities of the same connector, by name."""
    requested = requests(form, place.connector, leaves, path)
    kind = _kind(name, form, requested, leaves, path)
    returned, only_id = _returned(form, place, others, leaves, path)
    shape = _shape(form, (returned or place).source, leaves, path, only_id=only_id)
    offers_remote = place.remote_data and kind == "read" and shape is not None and not only_id
    arguments = Arguments(
        entity=place.entity,
        kind=kind,
        operation=name,
        form=form,
        fields=place.fields,
        mapped=place.source.mapped,
        returned=(returned.fields, returned.source.mapped) if returned else None,
        identity=place.source.identity,
        connector=place.connector,
        is_open=place.is_open or (returned is not None and returned.is_open),
        leaves=leaves,
        path=path,
        offers_remote=offers_remote,
    )
    connector = place.connector
    steps = tuple(step(one, kind, arguments, connector, leaves) for one in requested[:-1])
    plan = request_plan(requested[-1], kind, arguments, connector, leaves) if requested else None
    when, choices = _when(requested, arguments, leaves)
    blocks = compile_blocks(form.content, arguments, leaves, (*path, "content"), has_answer=plan is not None)
    elicit = _elicit(form.elicit, arguments, leaves, (*path, "elicit")) if form.elicit else None
    if name in ("list", "search") and form.items is None and form.content is None:
        message = f"the word 'items' is missing: where the list is in the answer of {name}"
        leaves.problems.add(path, "missing_key", message, key=True)
    paging = _paging(form, connector, plan, requested, leaves, path)
    if requested:
        check_variables(requested[-1], paging, leaves)
    items, item = _answer(form, leaves, path)
    find = None
    if requested and isinstance(last := requested[-1].form, language.Step):
        find = compile_find(last, arguments, leaves, requested[-1].path, is_last=True)
    if form.download is not None:
        plan = _download(form, kind, plan, leaves, path)
    include = includes(form, kind, arguments, connector, leaves, path)
    given = _given((returned or place).source, arguments, leaves, path) if shape is not None else ()
    if requested:
        check_usual(name, form, arguments, leaves, path)
    return Operation(
        entity=place.entity,
        name=name,
        connector=place.connector.name,
        kind=kind,
        title=leaves.text((*path, "title"), form.title),
        description=leaves.text((*path, "description"), form.description),
        schema=arguments.finish(),
        plan=plan,
        items=items,
        item=item,
        location=_location(form, leaves, path),
        shape=shape,
        given=given,
        uses_now=arguments.uses_now,
        returns=returned.entity if returned else None,
        paging=paging,
        blocks=blocks,
        progress=_progress(form.progress, leaves, (*path, "progress")) if form.progress else None,
        elicit=elicit,
        timeout=seconds(form.timeout) if form.timeout else None,
        steps=steps,
        when=when,
        find=find,
        choices=choices,
        include=include,
        is_download=form.download is not None,
        names_asker=name == "comment" if form.names_asker is None else form.names_asker,
        offers_remote=offers_remote,
        fields=_field_sources((returned or place).source, only_id=only_id) if shape is not None else (),
        where=form.items or form.item or "@",
    )


def _given(
    source: SourceFields, arguments: Arguments, leaves: Leaves, path: Path
) -> tuple[tuple[str, Lookup], ...]:
    """Answer the fields that come of the call. An identity that needs one cannot do without it."""
    made = []
    for one in source.mapped.values():
        if one.settings:
            made.append((one.name, references.together(arguments.settings(one.settings, one.path))))
        if one.given is None:
            continue
        if (look_up := arguments.given(one.given, one.path)) is not None:
            made.append((one.name, look_up))
            kind = arguments.used[one.given].schema.get("type") if one.given in arguments.used else "string"
            if one.spec.type == "object" and kind != "object":
                own = one.given.rpartition(".")[2]
                message = (
                    f"{one.name} is of type object, but ${one.given} is a {kind}: map {one.name} from the "
                    f"item, or add a field such as {own} (type: {kind}) to the entity and write "
                    f"{own}: ${one.given}"
                )
                leaves.problems.add(one.path, "conflict", message)
        elif source.identity is not None and one.name in source.identity.parts and "." not in one.given:
            message = f"the identity needs {one.name}, which is ${one.given}: no such argument is sent here"
            leaves.problems.add(path, "bad_identity", message, key=True)
    return tuple(made)


def _field_sources(source: SourceFields, *, only_id: bool) -> tuple[FieldSource, ...]:
    shown = source.identity.parts if only_id and source.identity is not None else tuple(source.mapped)
    return tuple(
        FieldSource(
            one.name,
            one.expression,
            one.getter,
            one.words.reading if one.words else None,
            one.found if one.given is not None or one.settings else None,
        )
        for one in (source.mapped[name] for name in shown)
    )


def _kind(
    name: str, form: language.Operation, requested: list[Requested], leaves: Leaves, path: Path
) -> Kind:
    kinds = [one.kind for one in requested]
    usual: Kind = "write" if len(set(kinds)) > 1 else kinds[0] if kinds else "read"
    if form.kind is not None:
        for one in requested:
            is_write = one.kind == "write" if one.document else one.line[0] in {"PUT", "PATCH", "DELETE"}
            if form.kind == "read" and is_write:
                leaves.problems.add((*path, "kind"), "bad_kind", f"{one.word} is never a read")
        return form.kind
    meant: Kind = usual
    if name in _READING or form.items is not None:
        meant = "read"
    elif name == "delete":
        meant = "delete"
    elif name in _WRITING and usual == "read":
        meant = "write"
    is_mutation = usual == "write" and all(one.document for one in requested)
    if requested and meant != usual and not (is_mutation and meant == "delete"):
        method = ", ".join(dict.fromkeys(one.word for one in requested))
        message = f"{method} is usually a {usual}, but {name} looks like a {meant}: say which with kind"
        leaves.problems.add(path, "missing_kind", message, key=True)
    return meant


def _when(
    requested: list[Requested], arguments: Arguments, leaves: Leaves
) -> tuple[Value | None, tuple[str, ...]]:
    """Answer whether the last request is made, and the arguments one of which is needed for any to be."""
    last = requested[-1] if requested else None
    if last is None or not isinstance(last.form, language.Step) or last.form.when is None:
        return None, ()
    when = leaves.condition((*last.path, "when"), last.form.when, arguments)
    conditions = [one.form.when for one in requested if isinstance(one.form, language.Step)]
    if any(condition is None for condition in conditions):
        return when, ()
    return when, tuple(dict.fromkeys(str(condition).removeprefix("$") for condition in conditions))


def _returned(
    form: language.Operation, place: Place, others: Mapping[str, Place], leaves: Leaves, path: Path
) -> tuple[Place | None, bool]:
    """Answer the entity that comes back if it is another, and whether nothing but its id does."""
    if form.returns is None or form.returns in ANSWERS:
        return None, form.returns == "id"
    entity, dot, member = form.returns.partition(".")
    if entity not in others or (dot and member != "id"):
        message = f"there is no entity {form.returns!r} at {place.connector.name}; returns is an entity"
        message += ", ENTITY.id, id, raw or nothing"
        words = [*others, *(f"{other}.id" for other in others), *ANSWERS]
        leaves.problems.add((*path, "returns"), "unknown_entity", message, words=words, word=form.returns)
        return None, False
    return (others[entity] if entity != place.entity else None), bool(dot)


def _paging(
    form: language.Operation,
    connector: Connector,
    plan: RequestPlan | None,
    requested: list[Requested],
    leaves: Leaves,
    path: Path,
) -> Paging:
    if form.items is None:
        if form.pagination is not None:
            message = "only a list has pages: say with items where the list is"
            leaves.problems.add((*path, "pagination"), "impossible_pager", message, key=True)
        return Paging(style="none")
    here = (*path, "pagination") if form.pagination is not None else path
    paging = (
        compile_paging(form.pagination, leaves, here) if form.pagination is not None else connector.paging
    )
    if plan is None:
        return Paging(style="none")
    last = requested[-1]
    if paging.is_relay:
        paging = _relay(form, paging, last, leaves, here)
    for name, where, what in (
        (paging.send, paging.send_in, "position"),
        (paging.size, paging.size_in, "size"),
    ):
        if name is None:
            continue
        if where == "body" and (plan.body is None or plan.body.encoding == "text"):
            message = f"the pagination sends its {what} in the body, but the request has no body"
            leaves.problems.add(here, "impossible_pager", message, key=True)
        elif where == "query" and name in last.form.query:
            message = f"{name} is the pagination's {what}; it cannot be sent here too"
            leaves.problems.add((*last.path, "query", name), "impossible_pager", message, key=True)
    return paging


_NODES = re.compile(r"(?:\.nodes|\.edges(?:\[\]|\[\*\])\.node)\Z")


def _relay(form: language.Operation, paging: Paging, last: Requested, leaves: Leaves, here: Path) -> Paging:
    """Answer the pagination of a connection: what `items` begins with, before `nodes` or `edges[].node`."""
    if last.document is None:
        message = "relay is for GraphQL; this request has another pagination"
        leaves.problems.add(here, "impossible_pager", message, key=True)
        return Paging(style="none")
    found = _NODES.search(form.items or "")
    if found is None or form.items is None:
        message = "relay does not see the connection: let items end with .nodes or .edges[].node, or say at"
        leaves.problems.add(here, "impossible_pager", message, key=True)
        return Paging(style="none")
    return relay_at(paging, form.items[: found.start()], leaves, (*last.path, "items"))


def _answer(form: language.Operation, leaves: Leaves, path: Path) -> tuple[Getter | None, Getter | None]:
    """Answer where the list or the one item is in an answer's body."""
    if form.items is not None and form.item is not None:
        leaves.problems.add((*path, "item"), "conflict", "an answer has either items or item", key=True)
    if form.content is not None:
        for key in ("items", "item", "returns"):
            if getattr(form, key) is not None:
                message = f"content is the whole answer; {key} cannot stand beside it"
                leaves.problems.add((*path, key), "conflict", message, key=True)
        return None, None
    if form.returns == "nothing":
        return None, references.constant(None)
    if form.items is not None:
        return leaves.getter((*path, "items"), form.items) or references.constant(None), None
    return None, leaves.getter((*path, "item"), form.item or "@") or references.constant(None)


def _location(form: language.Operation, leaves: Leaves, path: Path) -> re.Pattern[str] | None:
    """Compile what is read of the header Location, where an answer has no body."""
    if form.location is None:
        return None
    here = (*path, "location")
    for key in ("items", "content", "download"):
        if getattr(form, key) is not None:
            leaves.problems.add(here, "conflict", f"location is for one item; {key} is none", key=True)
    pattern = leaves.pattern(here, form.location)
    if pattern is not None and not pattern.groupindex:
        message = "says nothing of the item: name a group, such as (?P<id>[0-9]+)$"
        leaves.problems.add(here, "bad_pattern", message)
    return pattern


def _shape(
    form: language.Operation, source: SourceFields, leaves: Leaves, path: Path, *, only_id: bool
) -> Shape | None:
    if form.content is not None or form.download is not None or form.returns in {"raw", "nothing"}:
        return None
    if only_id and source.shape_id is None:
        message = "there is no identity to return: the source has no fields"
        leaves.problems.add((*path, "returns"), "bad_identity", message)
    return source.shape_id if only_id else source.shape


def _download(
    form: language.Operation, kind: Kind, plan: RequestPlan | None, leaves: Leaves, path: Path
) -> RequestPlan | None:
    """Answer the plan of a file: its bytes are the whole answer."""
    for key in ("items", "item", "returns", "content", "include"):
        if getattr(form, key) not in (None, {}):
            message = f"a file is the whole answer; {key} cannot stand beside download"
            leaves.problems.add((*path, key), "conflict", message, key=True)
    if kind != "read":
        leaves.problems.add((*path, "download"), "conflict", "only a read downloads", key=True)
    return replace(plan, max_bytes=uploads.size(form.download or "")) if plan is not None else None


def _progress(form: language.Progress, leaves: Leaves, path: Path) -> Progress:
    steps = tuple(float(step) for step in form.steps)
    if any(later <= earlier for earlier, later in pairwise(steps)):
        leaves.problems.add((*path, "steps"), "bad_value", "each step must be more than the one before")
    if form.total is not None and steps[-1] > form.total:
        leaves.problems.add((*path, "total"), "bad_value", "the last step is more than the total")
    return Progress(steps, float(form.total) if form.total is not None else None)


def _elicit(form: language.Elicit, arguments: Arguments, leaves: Leaves, path: Path) -> Elicit:
    roots = [*arguments.names(), "settings"]
    message = leaves.content_text((*path, "message"), form.message, roots, arguments.mention)
    if form.schema_.get("type") != "object":
        leaves.problems.add((*path, "schema"), "bad_schema", "the schema of a form has type: object")
    check_schema(form.schema_, leaves.problems, (*path, "schema"))
    fields = form.schema_.get("properties")
    for name, field in fields.items() if isinstance(fields, dict) else ():
        if _SECRET.search(name) or (isinstance(field, dict) and field.get("format") == "password"):
            where = (*path, "schema", "properties", name)
            told = "a client may keep and show what a form asks: secrets are asked where accounts are linked"
            leaves.problems.add(where, "secret_in_form", told, key=True)
    return Elicit(message, form.schema_, form.missing, form.name)
