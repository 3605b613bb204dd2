"""Compiles requests that only ask about an account, and what references in them may name of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from linkspan.spec import graphql, language, references
from linkspan.spec.catalog import Body, RequestPlan, Setting
from linkspan.spec.leaves import Leaves
from linkspan.spec.references import Lookup
from linkspan.spec.request_lines import headers, parse_request
from linkspan.spec.yaml import Path

USERNAME: Final = "credential.username"


class AccountNames:
    """What references may name of the account: its settings, and the user name of a basic credential."""

    def __init__(self, settings: Mapping[str, Setting], *, has_username: bool, leaves: Leaves) -> None:
        self.settings = settings
        self.leaves = leaves
        self.words = [f"settings.{known}" for known in settings] + [USERNAME] * has_username

    def argument(self, name: str, path: Path, *, offset: int, in_path: bool) -> Lookup | None:
        """Look it up; anything else is a problem."""
        if name == USERNAME and name in self.words:
            return references.found("credential", ("username",))
        if name in self.words:
            return references.setting(self.settings[name.removeprefix("settings.")])
        code = "undeclared_placeholder" if in_path else "undeclared_argument"
        shown = f"{{{name}}}" if in_path else f"${name}"
        what = "the connector has no such setting" if name.startswith("settings.") else "no argument here"
        self.leaves.problems.add(
            path, code, f"{shown} is not declared: {what}", offset=offset, word=name, words=self.words
        )
        return None


def question(
    form: language.Verify | language.Connected | language.Stream,
    names: AccountNames,
    leaves: Leaves,
    path: Path,
    *,
    posted_to: str = "/graphql",
) -> RequestPlan | None:
    """Compile a request that only asks; None after a problem. GraphQL goes to `posted_to` if not said."""
    document: str | None = getattr(form, "graphql", None)
    if form.request is None and document is None:
        leaves.problems.add(path, "missing_key", "the word 'request' is missing", key=True)
        return None
    is_spelled_out = leaves.problems.root.find((*path, "request"))[1] > len(path)
    at = (*path, "request") if is_spelled_out else path if document is None else (*path, "graphql")
    parsed = parse_request(form.request or f"POST {posted_to}", leaves, at)
    if parsed is None:
        return None
    method, url, start = parsed
    if method not in {"GET", "HEAD", "POST"}:
        leaves.problems.add(at, "bad_request", f"a check of a credential changes nothing: not {method}")
    return RequestPlan(
        method=method,
        path=leaves.path_template(at, url, names, start=start),
        query=tuple(
            (key, leaves.value((*path, "query", key), tree, names)) for key, tree in form.query.items()
        ),
        headers=headers(form.headers, names, leaves, (*path, "headers")),
        body=None if isinstance(form, language.Stream) else _body(form, method, names, leaves, path),
        is_graphql=document is not None,
        repeatable=True,
    )


def _body(
    form: language.Verify | language.Connected, method: str, names: AccountNames, leaves: Leaves, path: Path
) -> Body | None:
    given = [key for key in ("graphql", "body", "form") if getattr(form, key) is not None]
    for key in given[1:]:
        message = f"only one of graphql, body and form; {given[0]} is here too"
        leaves.problems.add((*path, key), "conflict", message, key=True)
    if form.variables and form.graphql is None:
        leaves.problems.add((*path, "variables"), "conflict", "variables belong to graphql", key=True)
    if given and method != "POST":
        message = f"a {method} request has no {given[0]}"
        leaves.problems.add((*path, given[0]), "bad_request", message, key=True)
    if form.graphql is not None:
        _check_query(form, form.graphql, leaves, path)
        variables = leaves.value((*path, "variables"), form.variables, names, top=True)
        members = [("query", references.constant(form.graphql)), ("variables", variables)]
        return Body("json", references.mapping(members, top=True))
    if not given:
        return None
    value = leaves.value((*path, given[0]), getattr(form, given[0]), names, top=True)
    return Body("form" if given[0] == "form" else "json", value)


def _check_query(form: language.Verify | language.Connected, text: str, leaves: Leaves, path: Path) -> None:
    try:
        document = graphql.read(text)
    except graphql.BadDocument as error:
        leaves.problems.add((*path, "graphql"), "bad_graphql", error.message, offset=error.offset)
        return
    if document.kind != "query":
        message = "a check of a credential changes nothing: not a mutation"
        leaves.problems.add((*path, "graphql"), "bad_graphql", message)
    check_filled(document, form.variables, (), leaves, path)


def check_filled(
    document: graphql.Document,
    given: Mapping[str, Any],
    paged: Collection[str],
    leaves: Leaves,
    path: Path,
) -> None:
    """Tell variables that a document does not have, and those of it that neither these nor pages fill."""
    declared = document.variables
    for name in given:
        if name not in declared:
            message = f"the document has no variable ${name}"
            leaves.problems.add(
                (*path, "variables", name), "bad_graphql", message, words=declared, word=name, key=True
            )
    for name in sorted(set(paged) - set(declared)):
        message = f"the pagination fills ${name}, which the document does not have"
        leaves.problems.add((*path, "graphql"), "bad_graphql", message, key=True)
    for name, is_required in declared.items():
        if is_required and name not in given and name not in paged:
            message = f"the document needs ${name}, but variables does not fill it"
            leaves.problems.add((*path, "graphql"), "bad_graphql", message, key=True)
