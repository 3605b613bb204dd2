"""Compiles an operation: a request plan, the schema of its arguments, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from linkspan.spec import language, references
from linkspan.spec.arguments import Arguments
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
)
from linkspan.spec.connector import compile_paging, headers, parse_request, seconds
from linkspan.spec.content import compile_blocks
from linkspan.spec.fields import SourceFields
from linkspan.spec.language import ModelField
from linkspan.spec.leaves import Leaves
from linkspan.spec.yaml import Path

KIND_OF_METHOD: Final[Mapping[str, Kind]] = {
    "GET": "read", "HEAD": "read", "POST": "write", "PUT": "write", "PATCH": "write", "DELETE": "delete",
}  # fmt: skip
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


def compile_operation(
    name: str,
    form: language.Operation,
    place: Place,
    others: Mapping[str, Place],
    leaves: Leaves,
    path: Path,
) -> Operation:
    """Compile one operation. `others` are the entities of the same connector, by name."""
    problems = leaves.problems
    parsed = parse_request(form.request, leaves, (*path, "request")) if form.request is not None else None
    if form.request is None and form.content is None:
        problems.add(path, "missing_key", "the word 'request' is missing", key=True)
    kind = _kind(name, form, parsed[0] if parsed else None, leaves, path)
    returned = _returned(form, place, others, leaves, path)
    arguments = Arguments(
        entity=place.entity,
        kind=kind,
        operation=name,
        form=form,
        fields=place.fields,
        mapped=place.source.mapped,
        returned=(returned.fields, returned.source.mapped) if returned else None,
        identity=place.source.identity,
        settings=place.connector.settings,
        leaves=leaves,
        path=path,
    )
    plan = _plan(parsed, form, kind, arguments, leaves, path) if parsed else None
    blocks = compile_blocks(form.content, arguments, leaves, (*path, "content"), has_answer=plan is not None)
    elicit = _elicit(form.elicit, arguments, leaves, (*path, "elicit")) if form.elicit else None
    paging = _paging(form, place.connector, plan, leaves, path)
    items, item, shape = _answer(form, place, returned, leaves, path)
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
        returns=form.returns if form.returns not in ANSWERS else None,
        paging=paging,
        blocks=blocks,
        progress=_progress(form.progress, leaves, (*path, "progress")) if form.progress else None,
        elicit=elicit,
        timeout=seconds(form.timeout) if form.timeout else None,
    )


def _kind(name: str, form: language.Operation, method: str | None, leaves: Leaves, path: Path) -> Kind:
    usual = KIND_OF_METHOD[method] if method else "read"
    if form.kind is not None:
        if form.kind == "read" and method in {"PUT", "PATCH", "DELETE"}:
            leaves.problems.add((*path, "kind"), "bad_kind", f"{method} is never a read")
        return form.kind
    reads = name in _READING or form.items is not None
    if (reads and usual != "read") or (name in _WRITING and usual == "read" and method is not None):
        meant = "read" if reads else "write"
        message = f"{method} is usually a {usual}, but {name} looks like a {meant}: say which with kind"
        leaves.problems.add(path, "missing_kind", message, key=True)
        return "read" if reads else "write"
    if name == "delete" and usual != "delete":
        message = f"{method} is usually a {usual}, but delete looks like a delete: say which with kind"
        leaves.problems.add(path, "missing_kind", message, key=True)
        return "delete"
    return usual


def _returned(
    form: language.Operation, place: Place, others: Mapping[str, Place], leaves: Leaves, path: Path
) -> Place | None:
    if form.returns is None or form.returns in ANSWERS or form.returns == place.entity:
        return None
    if form.returns not in others:
        at_connector = f"at {place.connector.name}"
        message = (
            f"there is no entity {form.returns!r} {at_connector}; returns is an entity, id, raw or nothing"
        )
        words = [*others, *ANSWERS]
        leaves.problems.add((*path, "returns"), "unknown_entity", message, words=words, word=form.returns)
        return None
    return others[form.returns]


def _plan(
    parsed: tuple[str, str, int],
    form: language.Operation,
    kind: Kind,
    arguments: Arguments,
    leaves: Leaves,
    path: Path,
) -> RequestPlan:
    method, url, start = parsed
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
    form: language.Operation, method: str, arguments: Arguments, leaves: Leaves, path: Path
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
    form: language.Operation, connector: Connector, plan: RequestPlan | None, leaves: Leaves, path: Path
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
    for name, where, what in (
        (paging.send, paging.send_in, "position"),
        (paging.size, paging.size_in, "size"),
    ):
        if name is None:
            continue
        if where == "body" and (plan.body is None or plan.body.encoding == "text"):
            message = f"the pagination sends its {what} in the body, but the request has no body"
            leaves.problems.add(here, "impossible_pager", message, key=True)
        elif where == "query" and name in form.query:
            message = f"{name} is the pagination's {what}; it cannot be sent here too"
            leaves.problems.add((*path, "query", name), "impossible_pager", message, key=True)
    return paging


def _answer(
    form: language.Operation, place: Place, returned: Place | None, leaves: Leaves, path: Path
) -> tuple[Getter | None, Getter | None, Callable[[Any], Json] | None]:
    source = (returned or place).source
    shape = source.shape
    if form.items is not None and form.item is not None:
        leaves.problems.add((*path, "item"), "conflict", "an answer has either items or item", key=True)
    if form.content is not None:
        for key in ("items", "item", "returns"):
            if getattr(form, key) is not None:
                message = f"content is the whole answer; {key} cannot stand beside it"
                leaves.problems.add((*path, key), "conflict", message, key=True)
        return None, None, None
    if form.returns == "nothing":
        return None, lambda _body: None, None
    if form.returns == "raw":
        shape = None
    elif form.returns == "id":
        shape = source.shape_id
        if shape is None:
            message = "there is no identity to return: the source has no fields"
            leaves.problems.add((*path, "returns"), "bad_identity", message)
    if form.items is not None:
        return leaves.getter((*path, "items"), form.items) or references.constant(None), None, shape
    item = leaves.getter((*path, "item"), form.item or "@") or references.constant(None)
    return None, item, shape


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
    return Elicit(message, form.schema_, form.missing)
