"""Checks operations by the names that all products share: what a get or a search cannot be without."""

from __future__ import annotations

from linkspan.spec import language
from linkspan.spec.arguments import Arguments
from linkspan.spec.leaves import Leaves
from linkspan.spec.yaml import Path

_OF_ONE = ("get", "update", "delete", "comment")
_READS = ("list", "search", "get")
_IN_DOUBT = (
    "undeclared_argument", "undeclared_placeholder", "bad_request", "bad_reference", "missing_key",
    "bad_graphql", "bad_schema", "reserved_argument", "bad_placeholder", "wrong_type", "conflict", "bad_name",
    "missing_default", "bad_kind", "missing_kind",
)  # fmt: skip
"""Mistakes by which an argument may be missing that was meant."""


def check_usual(
    name: str, form: language.Operation, arguments: Arguments, leaves: Leaves, path: Path
) -> None:
    """Tell an operation whose request has nothing of what its name says."""
    _check_words(name, form, leaves, path)
    if arguments.is_open or leaves.problems.has_below(path, _IN_DOUBT):
        return
    used = arguments.used
    noun = arguments.entity.replace("_", " ")
    identity = arguments.identity
    parts = identity.parts if identity is not None else ()
    if name in _OF_ONE and not any(part in used for part in ("id", *parts)):
        message = f"{name} does not say which {noun}: send {{id}} or $id"
        if name == "get":
            message += "; where there is only one, give the operation a name of its own"
        leaves.problems.add(path, "missing_argument", message, key=True)
    elif name == "search" and "query" not in used:
        message = "search does not send the words to look for: send $query, or call it list"
        leaves.problems.add(path, "missing_argument", message, key=True)
    elif form.elicit is not None:
        return  # the person may say the rest
    elif name == "comment" and "body" not in used:
        message = "comment does not send what is said: send $body"
        leaves.problems.add(path, "missing_argument", message, key=True)
    elif name == "create" and not used:
        message = f"create sends nothing of the {noun}: send its fields, such as $title"
        leaves.problems.add(path, "missing_argument", message, key=True)


def _check_words(name: str, form: language.Operation, leaves: Leaves, path: Path) -> None:
    """Tell words that contradict the name."""
    if name not in _READS:
        return
    if form.kind not in (None, "read"):
        leaves.problems.add((*path, "kind"), "conflict", f"{name} is a read, never a {form.kind}")
    if form.returns == "nothing":
        message = f"{name} is called for what it answers: it cannot return nothing"
        leaves.problems.add((*path, "returns"), "conflict", message)
    if name == "get" and form.items is not None:
        message = "get answers one; items is where a list is: write item, or call it list"
        leaves.problems.add((*path, "items"), "conflict", message, key=True)
