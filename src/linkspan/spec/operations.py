"""Compiles an operation: a request plan, the schema of its arguments, and how its answer is read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from linkspan.spec import language, references
from linkspan.spec.arguments import ROOTS, Arguments
from linkspan.spec.catalog import (
    Body,
    Connector,
    Elicit,
    Getter,
    Json,
    Kind,
    Operation,
    Paging,
    Progress,
    RequestPlan,
    Step,
)
from linkspan.spec.connector import compile_paging, headers, parse_request, seconds
from linkspan.spec.content import compile_blocks
from linkspan.spec.fields import SourceFields
from linkspan.spec.language import ModelField
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.yaml import Path

KIND_OF_METHOD: Final[Mapping[str, Kind]] = {
    "GET": "read", "HEAD": "read", "POST": "write", "PUT": "write", "PATCH": "write", "DELETE": "delete",
}  # fmt: skip
_SECRET: Final = re.compile(r"(?i)pass.?(word|phrase|code)|secret|credential|api.?key|token\Z")
"""Names of what no form may ask for."""
_READING = ("list", "get", "search")
_WRITING = ("create", "update", "comment")
_REQUEST_WORDS = ("request", "query", "headers", "body", "form", "text", "if_match")
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


@dataclass(frozen=True, slots=True)
class _Requested:
    """One request of an operation: its words, where they stand, and the request line taken apart."""

    form: language.Operation | language.Step
    path: Path
    line: tuple[str, str, int]


def compile_operation(
    name: str,
    form: language.Operation,
    place: Place,
    others: Mapping[str, Place],
    leaves: Leaves,
    path: Path,
) -> Operation:
    """Compile one operation. `others` are the entities of the same connector, by name."""
    requested = _requests(form, leaves, path)
    kind = _kind(name, form, [one.line[0] for one in requested], leaves, path)
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
    steps = tuple(_step(one, kind, arguments, leaves) for one in requested[:-1])
    plan = _plan(requested[-1], kind, arguments, leaves) if requested else None
    blocks = compile_blocks(form.content, arguments, leaves, (*path, "content"), has_answer=plan is not None)
    elicit = _elicit(form.elicit, arguments, leaves, (*path, "elicit")) if form.elicit else None
    if name in ("list", "search") and form.items is None and form.content is None:
        message = f"the word 'items' is missing: where the list is in the answer of {name}"
        leaves.problems.add(path, "missing_key", message, key=True)
    paging = _paging(form, place.connector, plan, requested, leaves, path)
    items, item = _answer(form, leaves, path)
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
        shape=shape,
        returns=returned.entity if returned else None,
        paging=paging,
        blocks=blocks,
        progress=_progress(form.progress, leaves, (*path, "progress")) if form.progress else None,
        elicit=elicit,
        timeout=seconds(form.timeout) if form.timeout else None,
        steps=steps,
        names_asker=name == "comment" if form.names_asker is None else form.names_asker,
        offers_remote=offers_remote,
    )


def _requests(form: language.Operation, leaves: Leaves, path: Path) -> list[_Requested]:
    """Answer the requests of an operation: its own one, or its steps."""
    problems = leaves.problems
    if form.steps is not None:
        given = [key for key in _REQUEST_WORDS if getattr(form, key) not in (None, {}, False)]
        for key in given:
            message = f"each step has its own {key}; it cannot stand beside steps"
            problems.add((*path, key), "conflict", message, key=True)
        for key, word in (("as_", "as"), ("when", "when"), ("item", "item")):
            if getattr(form.steps[-1], key) is not None:
                message = f"the last step's answer is the operation's: {word} cannot stand here"
                problems.add((*path, "steps", len(form.steps) - 1, word), "conflict", message, key=True)
        found = [_requested(step, leaves, (*path, "steps", index)) for index, step in enumerate(form.steps)]
        return [one for one in found if one is not None]
    if form.request is None and form.content is not None:
        return []
    one = _requested(form, leaves, path)
    return [one] if one is not None else []


def _requested(form: language.Operation | language.Step, leaves: Leaves, path: Path) -> _Requested | None:
    if form.request is None:
        leaves.problems.add(path, "missing_key", "the word 'request' is missing", key=True)
        return None
    line = parse_request(form.request, leaves, (*path, "request"))
    return _Requested(form, path, line) if line is not None else None


def _kind(name: str, form: language.Operation, methods: list[str], leaves: Leaves, path: Path) -> Kind:
    kinds = [KIND_OF_METHOD[method] for method in methods]
    usual: Kind = "write" if len(set(kinds)) > 1 else kinds[0] if kinds else "read"
    if form.kind is not None:
        for method in methods:
            if form.kind == "read" and method in {"PUT", "PATCH", "DELETE"}:
                leaves.problems.add((*path, "kind"), "bad_kind", f"{method} is never a read")
        return form.kind
    meant: Kind = usual
    if name in _READING or form.items is not None:
        meant = "read"
    elif name == "delete":
        meant = "delete"
    elif name in _WRITING and usual == "read":
        meant = "write"
    if methods and meant != usual:
        method = ", ".join(dict.fromkeys(methods))
        message = f"{method} is usually a {usual}, but {name} looks like a {meant}: say which with kind"
        leaves.problems.add(path, "missing_kind", message, key=True)
    return meant


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


def _step(one: _Requested, kind: Kind, arguments: Arguments, leaves: Leaves) -> Step:
    """Compile a step that is not the last; what it finds is known to those after it."""
    form, path = one.form, one.path
    assert isinstance(form, language.Step)  # noqa: S101 - an operation without steps has no earlier one
    plan = _plan(one, "read" if one.line[0] in {"GET", "HEAD"} else kind, arguments, leaves)
    when = leaves.value((*path, "when"), form.when, arguments) if form.when is not None else None
    if form.when is not None and not form.when.startswith("$"):
        leaves.problems.add((*path, "when"), "bad_reference", "when is a reference, such as $title")
    if form.as_ is not None:
        if not NAME.match(form.as_):
            message = f"the name {form.as_!r} must be lower case letters, digits and _"
            leaves.problems.add((*path, "as"), "bad_name", message)
        elif form.as_ in ROOTS or form.as_ in arguments.declared:
            leaves.problems.add((*path, "as"), "bad_name", f"the name {form.as_!r} is taken")
        arguments.steps.append(form.as_)
    elif form.item is not None:
        message = "what a step finds needs a name: say it with as"
        leaves.problems.add((*path, "item"), "missing_key", message, key=True)
    item = leaves.getter((*path, "item"), form.item or "@")
    return Step(plan, form.as_, when, item)


def _plan(one: _Requested, kind: Kind, arguments: Arguments, leaves: Leaves) -> RequestPlan:
    form, path = one.form, one.path
    method, url, start = one.line
    repeatable = kind == "read" or (method in {"PUT", "DELETE"} and not form.if_match)
    if form.if_match and method in {"GET", "HEAD"}:
        leaves.problems.add((*path, "if_match"), "bad_request", "if_match is for writes")
    return RequestPlan(
        method=method,
        path=leaves.path_template((*path, "request"), url, arguments, start=start),
        query=tuple(
            (key, leaves.value((*path, "query", key), tree, arguments)) for key, tree in form.query.items()
        ),
        headers=headers(form.headers, arguments, leaves, (*path, "headers")),
        body=_body(form, method, arguments, leaves, path),
        if_match=form.if_match,
        repeatable=repeatable,
    )


def _body(
    form: language.Operation | language.Step,
    method: str,
    arguments: Arguments,
    leaves: Leaves,
    path: Path,
) -> Body | None:
    given = [key for key in ("body", "form", "text") if getattr(form, key) is not None]
    if not given:
        return None
    for key in given[1:]:
        message = f"only one of body, form and text; {given[0]} is here too"
        leaves.problems.add((*path, key), "conflict", message, key=True)
    key = given[0]
    if method in {"GET", "HEAD"}:
        leaves.problems.add((*path, key), "bad_request", f"a {method} request has no {key}", key=True)
    value = leaves.value((*path, key), getattr(form, key), arguments, top=True)
    if key == "form":
        return Body("form", value)
    return Body("text", value) if key == "text" else Body("json", value)


def _paging(
    form: language.Operation,
    connector: Connector,
    plan: RequestPlan | None,
    requested: list[_Requested],
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


def _shape(
    form: language.Operation, source: SourceFields, leaves: Leaves, path: Path, *, only_id: bool
) -> Callable[[Any], Json] | None:
    if form.content is not None or form.returns in {"raw", "nothing"}:
        return None
    if only_id and source.shape_id is None:
        message = "there is no identity to return: the source has no fields"
        leaves.problems.add((*path, "returns"), "bad_identity", message)
    return source.shape_id if only_id else source.shape


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
    fields = form.schema_.get("properties")
    for name, field in fields.items() if isinstance(fields, dict) else ():
        if _SECRET.search(name) or (isinstance(field, dict) and field.get("format") == "password"):
            where = (*path, "schema", "properties", name)
            told = "a client may keep and show what a form asks: secrets are asked where accounts are linked"
            leaves.problems.add(where, "secret_in_form", told, key=True)
    return Elicit(message, form.schema_, form.missing, form.name)
