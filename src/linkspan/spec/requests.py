"""Compiles the requests of an operation: its own one, its steps, and the reads that join its item."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from linkspan.errors import InvalidArgument, NotFound
from linkspan.spec import graphql, language, phrases, references, uploads
from linkspan.spec.arguments import ROOTS, Arguments
from linkspan.spec.catalog import (
    ABSENT,
    Body,
    Connector,
    Getter,
    Include,
    Kind,
    Paging,
    RequestPlan,
    Scope,
    Step,
    Value,
)
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.questions import check_filled
from linkspan.spec.references import Lookup
from linkspan.spec.request_lines import headers, parse_request
from linkspan.spec.yaml import Path

KIND_OF_METHOD: Final[Mapping[str, Kind]] = {
    "GET": "read", "HEAD": "read", "POST": "write", "PUT": "write", "PATCH": "write", "DELETE": "delete",
}  # fmt: skip
BODIES: Final = ("body", "form", "text", "multipart", "file")
REQUEST_WORDS: Final = (
    "request", "query", "headers", *BODIES, "if_match", "graphql", "variables", "arrays", "etag",
)  # fmt: skip
THING: Final = "item"
"""What the item is called in the reads that are joined into it."""
_SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class Requested:
    """One request: its words, where they stand, the request line taken apart, its GraphQL document."""

    form: language.Operation | language.Step | language.Include
    path: Path
    line: tuple[str, str, int]
    document: graphql.Document | None = None

    @property
    def kind(self) -> Kind:
        """What the request does by itself."""
        if self.document is not None:
            return "read" if self.document.kind == "query" else "write"
        return KIND_OF_METHOD[self.line[0]]

    @property
    def word(self) -> str:
        """What it is called where its kind is explained."""
        return f"a {self.document.kind}" if self.document is not None else self.line[0]


def requests(form: language.Operation, connector: Connector, leaves: Leaves, path: Path) -> list[Requested]:
    """Answer the requests of an operation: its own one, or its steps."""
    problems = leaves.problems
    if form.steps is not None:
        for key in [key for key in REQUEST_WORDS if getattr(form, key) not in (None, {}, False)]:
            message = f"each step has its own {key}; it cannot stand beside steps"
            problems.add((*path, key), "conflict", message, key=True)
        last, here = form.steps[-1], (*path, "steps", len(form.steps) - 1)
        for key, word in (("as_", "as"), ("item", "item")):
            if getattr(last, key) is not None:
                message = f"the last step's answer is the operation's: {word} cannot stand here"
                problems.add((*here, word), "conflict", message, key=True)
        if last.find is not None:
            for word in ("items", "item", "content", "download"):
                if getattr(form, word) is not None:
                    message = f"what the last step finds is the answer: {word} cannot stand beside it"
                    problems.add((*path, word), "conflict", message, key=True)
        if last.when is not None and (form.items is not None or last.find is not None):
            what = "of a list" if form.items is not None else "that finds the answer"
            message = f"the last step {what} is always made: when cannot stand here"
            problems.add((*here, "when"), "conflict", message, key=True)
        found = [
            requested(step, connector, leaves, (*path, "steps", index))
            for index, step in enumerate(form.steps)
        ]
        return [one for one in found if one is not None]
    if form.request is None and form.graphql is None and form.content is not None:
        return []
    one = requested(form, connector, leaves, path)
    return [one] if one is not None else []


def requested(
    form: language.Operation | language.Step | language.Include,
    connector: Connector,
    leaves: Leaves,
    path: Path,
) -> Requested | None:
    """Take one request's first line apart; None after a problem."""
    if form.variables and form.graphql is None:
        message = "variables belong to graphql"
        leaves.problems.add((*path, "variables"), "conflict", message, key=True)
    if form.graphql is not None:
        return _graphql(form, form.graphql, connector, leaves, path)
    if isinstance(form, language.Step | language.Include) and form.url is not None:
        for key in ("request", "query", *BODIES, "if_match", "arrays", "etag"):
            if getattr(form, key) not in (None, {}, False):
                message = f"url is the whole address of a read: {key} cannot stand beside it"
                leaves.problems.add((*path, key), "conflict", message, key=True)
        return Requested(form, path, ("GET", "/", 0))
    if form.request is None:
        leaves.problems.add(path, "missing_key", "the word 'request' is missing", key=True)
        return None
    line = parse_request(form.request, leaves, (*path, "request"))
    return Requested(form, path, line) if line is not None else None


def _graphql(
    form: language.Operation | language.Step | language.Include,
    text: str,
    connector: Connector,
    leaves: Leaves,
    path: Path,
) -> Requested | None:
    for key in (*BODIES, "if_match", "url"):
        if getattr(form, key, None) not in (None, False):
            message = f"a GraphQL request is made of graphql and variables: {key} cannot stand here"
            leaves.problems.add((*path, key), "conflict", message, key=True)
    at = (*path, "request") if form.request is not None else (*path, "graphql")
    line = parse_request(form.request or f"POST {connector.graphql}", leaves, at)
    if line is not None and line[0] != "POST":
        leaves.problems.add(at, "bad_request", "a GraphQL request is a POST")
    try:
        document = graphql.read(text)
    except graphql.BadDocument as error:
        leaves.problems.add((*path, "graphql"), "bad_graphql", error.message, offset=error.offset)
        return None
    return Requested(form, path, line, document) if line is not None else None


def check_variables(one: Requested, paging: Paging, leaves: Leaves) -> None:
    """Tell variables that the document does not have, and those of it that nothing fills."""
    if one.document is None:
        return
    paged = {
        name.removeprefix("variables.")
        for name, where in ((paging.send, paging.send_in), (paging.size, paging.size_in))
        if name is not None and where == "body" and name.startswith("variables.")
    }
    check_filled(one.document, one.form.variables, paged, leaves, one.path)


def plan(
    one: Requested, kind: Kind, arguments: Arguments, connector: Connector, leaves: Leaves
) -> RequestPlan:
    """Compile one request."""
    form, path = one.form, one.path
    method, url, start = one.line
    repeatable = kind == "read" or (method in {"PUT", "DELETE"} and not form.if_match)
    if form.etag and method != "GET":
        leaves.problems.add((*path, "etag"), "bad_request", "etag is for reads with GET")
    if form.if_match and method in {"GET", "HEAD"}:
        leaves.problems.add((*path, "if_match"), "bad_request", "if_match is for writes")
    at = (*path, "request") if form.request is not None else (*path, "graphql")
    found_url = _url(form, arguments, leaves, path)
    return RequestPlan(
        method=method,
        path=leaves.path_template(at, url, arguments, start=start),
        url=found_url,
        query=tuple(
            (key, leaves.value((*path, "query", key), tree, arguments)) for key, tree in form.query.items()
        ),
        headers=headers(form.headers, arguments, leaves, (*path, "headers")),
        body=_body(one, arguments, leaves),
        if_match=form.if_match,
        arrays=form.arrays or connector.arrays,
        is_conditional=method == "GET" and (connector.is_conditional if form.etag is None else form.etag),
        is_graphql=one.document is not None,
        repeatable=repeatable,
        line=f"{method} {url}" if found_url is None else f"GET {getattr(form, 'url', '')}",
    )


def _url(form: Any, arguments: Arguments, leaves: Leaves, path: Path) -> Value | None:
    """Compile the address that a read is sent to, which only an answer of the product can have told."""
    text: str | None = getattr(form, "url", None)
    if text is None or form.graphql is not None:
        return None
    first = text.removeprefix("$").partition(".")[0]
    if not text.startswith("$") or first not in arguments.steps or first == "elicit":
        known = [f"${name}" for name in arguments.steps if name != "elicit"]
        message = "url is a reference to what was found before, such as $item.links.file"
        leaves.problems.add((*path, "url"), "bad_reference", message, words=known, word=text)
        return references.constant(ABSENT)
    return leaves.value((*path, "url"), text, arguments)


def _body(one: Requested, arguments: Arguments, leaves: Leaves) -> Body | None:
    form, path, method = one.form, one.path, one.line[0]
    if form.graphql is not None:
        variables = leaves.value((*path, "variables"), form.variables, arguments, top=True)
        members = [("query", references.constant(form.graphql)), ("variables", variables)]
        return Body("json", references.mapping(members, top=True))
    given = [key for key in BODIES if getattr(form, key) is not None]
    if not given:
        return None
    for key in given[1:]:
        message = f"only one of body, form, text, multipart and file; {given[0]} is here too"
        leaves.problems.add((*path, key), "conflict", message, key=True)
    key = given[0]
    if method in {"GET", "HEAD"}:
        leaves.problems.add((*path, key), "bad_request", f"a {method} request has no {key}", key=True)
    if key == "multipart":
        return Body(
            "multipart", uploads.compile_multipart(form.multipart or {}, arguments, leaves, (*path, key))
        )
    if key == "file":
        return Body("file", uploads.compile_upload(form.file, arguments, leaves, (*path, key)))
    value = leaves.value((*path, key), getattr(form, key), arguments, top=True)
    if key == "form":
        return Body("form", value)
    return Body("text", value) if key == "text" else Body("json", value)


# Steps ----------------------------------------------------------------------------------------------------


def step(one: Requested, kind: Kind, arguments: Arguments, connector: Connector, leaves: Leaves) -> Step:
    """Compile a step that is not the last; what it finds is known to those after it."""
    form, path = one.form, one.path
    assert isinstance(form, language.Step)  # noqa: S101 - an operation without steps has no earlier one
    made = plan(one, "read" if one.kind == "read" else kind, arguments, connector, leaves)
    check_variables(one, Paging(style="none"), leaves)
    when = leaves.condition((*path, "when"), form.when, arguments) if form.when is not None else None
    find = compile_find(form, arguments, leaves, path)
    if form.as_ is not None:
        _name(form.as_, arguments, leaves, (*path, "as"))
        arguments.steps.append(form.as_)
    elif form.item is not None:
        message = "what a step finds needs a name: say it with as"
        leaves.problems.add((*path, "item"), "missing_key", message, key=True)
    item = leaves.getter((*path, "item"), form.item or "@")
    return Step(made, form.as_, when, item, find)


def _name(name: str, arguments: Arguments, leaves: Leaves, path: Path) -> None:
    if not NAME.match(name):
        message = f"the name {name!r} must be lower case letters, digits and _"
        leaves.problems.add(path, "bad_name", message)
    elif name in ROOTS or name in arguments.declared or name in arguments.steps:
        leaves.problems.add(path, "bad_name", f"the name {name!r} is taken")


def compile_find(
    form: language.Step, arguments: Arguments, leaves: Leaves, path: Path, *, is_last: bool = False
) -> Callable[[Any, Scope], Any] | None:
    """Compile what a step keeps of a list; of the last step it is what the whole operation answers."""
    if form.find is None:
        if form.missing is not None:
            message = "missing belongs to find: what is said where there is no such thing"
            leaves.problems.add((*path, "missing"), "conflict", message, key=True)
        return None
    if form.item is not None:
        leaves.problems.add((*path, "item"), "conflict", "a step keeps either item or find", key=True)
    here = (*path, "find")
    if form.as_ is None and not is_last:
        message = "what a step finds needs a name: say it with as"
        leaves.problems.add(here, "missing_key", message, key=True)
    where = []
    for expression, tree in form.find.where.items():
        getter = leaves.getter((*here, "where", expression), expression)
        wanted = leaves.value((*here, "where", expression), tree, arguments)
        if getter is not None:
            where.append((getter, wanted))
    noun = arguments.entity if is_last else form.as_ or "thing"
    text = form.missing or f"there is no such {noun.replace('_', ' ')}"
    missing = message_of(text, arguments, leaves, (*path, "missing"))
    within = leaves.getter((*here, "in"), form.find.in_)
    return (
        None if within is None else _finder(within, where, missing, NotFound if is_last else InvalidArgument)
    )


def _finder(
    within: Getter,
    where: Sequence[tuple[Getter, Value]],
    missing: Value,
    fault: type[InvalidArgument] | type[NotFound],
) -> Callable[[Any, Scope], Any]:
    def find(body: Any, scope: Scope) -> Any:
        found = within(body)
        things = found if isinstance(found, list) else []
        wanted = [(get, value(scope)) for get, value in where]
        for thing in things:
            if all(_is(get(thing), value) for get, value in wanted):
                return thing
        seen = dict.fromkeys(phrases.show(get(thing))[:80] for thing in things for get, _ in where[:1])
        hint = f"There is: {', '.join(list(seen)[:_SHOWN])}." if seen else "There is none at all."
        raise fault(missing(scope), hint=hint)

    return find


def _is(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return any(_is(found, one) for one in wanted)
    if wanted is ABSENT or found is None:
        return False
    return bool(found == wanted) or phrases.show(found) == phrases.show(wanted)


def message_of(text: str, arguments: Arguments, leaves: Leaves, path: Path) -> Value:
    """Compile a text for people that may hold `{arguments}`, as the caller said them."""
    parts: list[str | Lookup] = []
    for name, literal, offset in leaves.placeholders(path, text, 0):
        if name is None:
            parts.append(literal)
        elif arguments.argument(name, path, offset=offset + 1, in_path=False) is not None:
            parts.append(arguments.given(name, path) or references.argument(name, ""))
    return lambda scope: "".join(part if isinstance(part, str) else _said(part(scope)) for part in parts)


def _said(value: Any) -> str:
    return "" if value is ABSENT else phrases.show(value)


# Reads that are joined ------------------------------------------------------------------------------------


def includes(
    form: language.Operation,
    kind: Kind,
    arguments: Arguments,
    connector: Connector,
    leaves: Leaves,
    path: Path,
) -> tuple[Include, ...]:
    """Compile what is read after the item and put into it; references there see the item as `item`."""
    if not form.include:
        return ()
    here = (*path, "include")
    if form.items is not None or form.content is not None or kind != "read":
        message = "include is for reads of one item: in a list it would be a request for each"
        leaves.problems.add(here, "conflict", message, key=True)
        return ()
    made = []
    arguments.steps.append(THING)
    for name, read in form.include.items():
        at = (*here, name)
        if not NAME.match(name):
            message = f"the name {name!r} must be lower case letters, digits and _"
            leaves.problems.add(at, "bad_name", message, key=True)
        one = requested(read, connector, leaves, at)
        if one is None:
            continue
        if one.kind != "read":
            at_line = (*at, "request") if read.request is not None else (*at, "graphql")
            leaves.problems.add(at_line, "bad_request", "what is included is read: a GET, or a GraphQL query")
        check_variables(one, Paging(style="none"), leaves)
        getter = leaves.getter((*at, "item"), read.item or "@") or references.constant(None)
        made.append(Include(name, plan(one, "read", arguments, connector, leaves), getter, read.optional))
    return tuple(made)
