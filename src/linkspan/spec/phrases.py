"""Values that are put together: texts of a vendor's query language from clauses, and lists mapped for a body.

A clause that names an argument which was not given is left out. What an argument holds is quoted for the
language that its place names (`{status:jql}`), so that no value can end a quotation and go on as syntax.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from linkspan.errors import InvalidArgument
from linkspan.spec import references
from linkspan.spec.catalog import ABSENT, LATER, Getter, Scope, Value

if TYPE_CHECKING:
    from linkspan.spec.leaves import Leaves, Names
    from linkspan.spec.yaml import Path

CLAUSES: Final = ("clauses", "join", "before", "after")
_CLAUSE_WORDS: Final = ("when", "clause")
_MAPPED: Final = ("each", "map")
_THING: Final = ("from", "as", "format", "date", "each", "map")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]")
_BARE: Final = re.compile(r"[A-Za-z0-9_.:@/+-]+\Z")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.]+(?:Z|[+-][0-9:]+)?)?\Z")


class _Unfit(Exception):
    """A value that a query language has no form for; the text says what is wrong with it."""


def _in_double_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _soql(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _doubled(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _github(text: str) -> str:
    if '"' in text or "\\" in text:
        raise _Unfit("must not hold quotation marks or backslashes")
    return f'"{text}"'


def _servicenow(text: str) -> str:
    # An instance runs what stands after `javascript:` in a query.
    if "^" in text or "," in text or "javascript:" in text.lower():
        raise _Unfit("must not hold ^, a comma or javascript:")
    return text


def _plain(text: str) -> str:
    if not _BARE.match(text):
        raise _Unfit("must be letters, digits and _ . : @ / + -")
    return text


def _day(text: str) -> str:
    if not _DAY.match(text):
        raise _Unfit("must be a date, such as 2026-11-22")
    return text


def _words(text: str) -> str:
    found = " ".join(re.findall(r"\w+", text))
    if not found:
        raise _Unfit("must hold a word")
    return found


QUOTES: Final[dict[str, Callable[[str], str]]] = {
    "jql": _in_double_quotes,
    "cql": _in_double_quotes,
    "soql": _soql,
    "odata": _doubled,
    "wiql": _doubled,
    "lucene": _in_double_quotes,
    "github": _github,
    "servicenow": _servicenow,
    "matcher": _in_double_quotes,
    "words": _words,
    "date": _day,
    "plain": _plain,
}
"""How a text is written, by the word after the colon. Numbers are written bare, lists with commas."""
_ALWAYS_TEXT: Final = frozenset({"matcher", "words", "date", "plain", "github", "servicenow", "lucene"})


def is_clauses(tree: Mapping[str, Any]) -> bool:
    """Tell whether a mapping in a request is a text made of clauses."""
    return "clauses" in tree and isinstance(tree["clauses"], list)


def is_mapped(tree: Mapping[str, Any]) -> bool:
    """Tell whether a mapping in a request is a mapped list."""
    return "each" in tree and "map" in tree


# Clauses --------------------------------------------------------------------------------------------------


def compile_clauses(tree: Mapping[str, Any], names: Names, leaves: Leaves, path: Path) -> Value:
    """Compile a text of clauses; mistakes go to the problems."""
    _check_keys(tree, CLAUSES, leaves, path)
    texts = {}
    for key, default in (("join", " AND "), ("before", ""), ("after", "")):
        text = tree.get(key, default)
        if not isinstance(text, str):
            leaves.problems.add((*path, key), "wrong_type", "must be text")
            text = default
        texts[key] = text
    if not tree["clauses"]:
        leaves.problems.add((*path, "clauses"), "bad_value", "must not be empty")
    clauses = [
        _clause(clause, names, leaves, (*path, "clauses", index))
        for index, clause in enumerate(tree["clauses"])
    ]
    join, before, after = texts["join"], texts["before"], texts["after"]

    def value(scope: Scope) -> Any:
        made = [text for clause in clauses if (text := clause(scope)) is not ABSENT]
        text = f"{before}{join.join(made)}{after}".strip() if made or before or after else ""
        return text or ABSENT

    return value


def _clause(form: Any, names: Names, leaves: Leaves, path: Path) -> Value:
    if isinstance(form, dict):
        _check_keys(form, _CLAUSE_WORDS, leaves, path)
        for key in _CLAUSE_WORDS:
            if not isinstance(form.get(key), str):
                leaves.problems.add(path, "missing_key", f"the word '{key}' is missing", key=True)
                return references.constant(ABSENT)
        when = leaves.condition((*path, "when"), form["when"], names)
        inner = _clause(form["clause"], names, leaves, (*path, "clause"))
        return lambda scope: inner(scope) if when(scope) else ABSENT
    if not isinstance(form, str):
        leaves.problems.add(path, "wrong_type", "must be text, or a mapping with when and clause")
        return references.constant(ABSENT)
    parts: list[str | Value] = []
    for name, literal, offset in leaves.placeholders(path, form, 0):
        if name is None:
            parts.append(leaves.text(path, literal))
        elif (part := _quoted(name, names, leaves, path, offset)) is not None:
            parts.append(part)

    def value(scope: Scope) -> Any:
        made = ""
        for part in parts:
            text = part if isinstance(part, str) else part(scope)
            if text is ABSENT:
                return ABSENT
            made += text
        return made

    return value


def _quoted(written: str, names: Names, leaves: Leaves, path: Path, offset: int) -> Value | None:
    name, colon, kind = written.partition(":")
    quote = QUOTES.get(kind)
    if quote is None:
        what = (
            f"there is no query language {kind!r}" if colon else f"{{{name}}} does not say how it is quoted"
        )
        message = f"{what}: write {{{name}:KIND}} with one of {', '.join(QUOTES)}"
        leaves.problems.add(
            path, "bad_placeholder", message, offset=offset + 1 + (len(name) + 1 if colon else 0),
            words=QUOTES if colon else None, word=kind if colon else None,
        )  # fmt: skip
        return None
    look_up = names.argument(name, path, offset=offset + 1, in_path=False)
    if look_up is None:
        return None

    def one(value: Any) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float) and kind not in _ALWAYS_TEXT:
            return str(value)
        if isinstance(value, dict | list):
            raise _Unfit("must be a single value, or a list of them")
        text = str(value)
        if _CONTROL.search(text):
            raise _Unfit("must not hold control characters or line breaks")
        return quote(text)

    def value(scope: Scope) -> Any:
        found = look_up(scope)
        if found is ABSENT or found == []:
            return ABSENT
        try:
            between = "," if kind == "servicenow" else ", "
            return between.join(one(part) for part in (found if isinstance(found, list) else [found]))
        except _Unfit as fault:
            raise InvalidArgument(
                f"{name}: {fault}",
                hint="Correct it and call again.",
                details=[{"path": name, "message": str(fault)}],
            ) from None

    return value


# Mapped lists ---------------------------------------------------------------------------------------------


def compile_mapped(tree: Mapping[str, Any], names: Names, leaves: Leaves, path: Path) -> Value:
    """Compile a list for a body: `each` is a reference, `map` says what each thing of it becomes."""
    _check_keys(tree, _MAPPED, leaves, path)
    source = tree["each"]
    if not isinstance(source, str) or not source.startswith("$"):
        leaves.problems.add((*path, "each"), "bad_reference", "each is a reference, such as $comments")
        return references.constant(ABSENT)
    look_up = leaves.value((*path, "each"), source, names)
    shape = _thing(tree["map"], leaves, (*path, "map"))

    def value(scope: Scope) -> Any:
        found = look_up(scope)
        if found is ABSENT or (isinstance(found, str) and scope.found.get("elicit") is LATER):
            return found
        things = found if isinstance(found, list) else [found]
        made = [part for thing in things if (part := shape(thing)) is not None]
        return made or ABSENT

    return value


def _thing(tree: Any, leaves: Leaves, path: Path) -> Getter:
    """Compile what one thing becomes: an expression, or a mapping of names to such."""
    if isinstance(tree, str):
        return leaves.getter(path, tree) or (lambda _thing: None)
    if not isinstance(tree, dict) or not tree:
        leaves.problems.add(path, "wrong_type", "must be an expression, or a mapping of them")
        return lambda _thing: None
    if "from" in tree or is_mapped(tree):
        return _spelled_out(tree, leaves, path)
    members = [(key, _thing(below, leaves, (*path, key))) for key, below in tree.items()]

    def mapped(thing: Any) -> Any:
        made = {key: found for key, get in members if (found := get(thing)) is not None}
        return made or None

    return mapped


def _spelled_out(tree: Mapping[str, Any], leaves: Leaves, path: Path) -> Getter:
    _check_keys(tree, _THING, leaves, path)
    convert = leaves.conversion(path, tree)
    source = tree.get("from", tree.get("each"))
    at = (*path, "from" if "from" in tree else "each")
    if not isinstance(source, str):
        leaves.problems.add(at, "wrong_type", "must be an expression")
        return lambda _thing: None
    getter = leaves.getter(at, source) or (lambda _thing: None)
    shape = _thing(tree["map"], leaves, (*path, "map")) if "map" in tree else None

    def get(thing: Any) -> Any:
        found = getter(thing)
        if found is None:
            return None
        if shape is not None:
            return [part for one in (found if isinstance(found, list) else [found]) if (part := shape(one))]
        return convert(found) if convert is not None else found

    return get


def _check_keys(tree: Mapping[str, Any], words: tuple[str, ...], leaves: Leaves, path: Path) -> None:
    for key in tree:
        if key not in words:
            leaves.problems.add(
                (*path, key), "unknown_key", f"there is no word {key!r} here", words=words, word=key, key=True
            )


def show(value: Any) -> str:
    """Answer a value as a person reads it in a message."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
