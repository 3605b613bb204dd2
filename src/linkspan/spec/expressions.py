"""JMESPath, compiled once: a plain path becomes a few dictionary look-ups, the rest goes to jmespath.

Expressions are operator code, but bounded all the same: at most 300 characters and 20 levels. A missing key
answers None, and so does an expression that does not fit the data: a getter never raises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

import jmespath
import jmespath.exceptions
import jmespath.functions
import jmespath.visitor

from linkspan.spec import converters
from linkspan.spec.catalog import Getter, Predicate
from linkspan.spec.closures import closure, is_false, path
from linkspan.spec.written import written

MAX_LENGTH: Final = 300
MAX_DEPTH: Final = 20
MAX_NODES: Final = 200
ANSWER: Final = ("status", "headers", "body")
"""What an answer-rooted expression may begin with."""

_ANYTHING: Final[Mapping[str, Collection[str]]] = {}
_PLAIN = re.compile(r'@?(?:(?:^|\.)(?:[A-Za-z_][A-Za-z0-9_]*|"[^"\\]+")|\[-?[0-9]{1,9}\])+\Z')
_STEP = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)|"([^"\\]+)"|\[(-?[0-9]+)\]')


class BadExpression(Exception):
    """An expression that cannot be used: why, how many characters in, and what was probably meant."""

    def __init__(
        self, message: str, offset: int = 0, word: str | None = None, words: Collection[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.word = word
        self.words = words


class _Functions(jmespath.functions.Functions):
    """JMESPath's own functions and the few that mapping a vendor's items needs."""

    @jmespath.functions.signature({"types": ["string", "number", "null"]})
    def _func_iso8601(self, value: Any) -> Any:
        return converters.iso8601(value)

    @jmespath.functions.signature({"types": ["string", "null"]})
    def _func_lower(self, value: Any) -> Any:
        return value.lower() if value is not None else None

    @jmespath.functions.signature({"types": ["string", "null"]})
    def _func_upper(self, value: Any) -> Any:
        return value.upper() if value is not None else None

    @jmespath.functions.signature({"types": ["string", "null"]})
    def _func_trim(self, value: Any) -> Any:
        return value.strip() if value is not None else None

    @jmespath.functions.signature({"types": ["string", "null"]}, {"types": ["string"]})
    def _func_split(self, value: Any, separator: str) -> Any:
        if value is None:
            return None
        return value.split(separator) if separator else value.split()

    @jmespath.functions.signature({"types": []})
    def _func_json(self, value: Any) -> Any:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    @jmespath.functions.signature({"types": ["array", "null"]}, {"types": ["string"]}, {"types": ["string"]})
    def _func_by_name(self, value: Any, name: str, of: str) -> Any:
        if value is None:
            return None
        things = [thing for thing in value if isinstance(thing, dict)]
        return {thing[name]: thing.get(of) for thing in things if isinstance(thing.get(name), str)}


_CALL: Final = _Functions().call_function
_OPTIONS: Final = jmespath.Options(custom_functions=_Functions())
FUNCTIONS: Final[dict[str, tuple[int, bool]]] = {
    name: (len(found["signature"]), any(part.get("variadic") for part in found["signature"]))
    for name, found in _Functions.FUNCTION_TABLE.items()
}
"""Name to how many arguments, and whether more may follow."""


def compile_getter(
    expression: str,
    *,
    roots: Collection[str] | None = None,
    below: Mapping[str, Collection[str]] = _ANYTHING,
) -> Getter:
    """Compile an expression. `roots`, if given, are the only names it may begin with.

    `below` holds the only names that may stand right behind some of them. Raises `BadExpression`.
    """
    text = expression.strip()
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"the expression has {len(text)} characters; the most is {MAX_LENGTH}")
    if not text:
        raise BadExpression("the expression is empty")
    steps = _plain_steps(text)
    if steps is not None:
        if roots is not None and (not steps or steps[0] not in roots):
            _refuse_root(str(steps[0]) if steps else "@", text, roots)
        if len(steps) > 1:
            _check_below(str(steps[0]), str(steps[1]), text, below)
        return path(tuple(steps)) if steps else _itself
    tree = _parse(text)
    _check(tree, text)
    if roots is not None:
        for name in _root_names(tree):
            if name not in roots:
                _refuse_root(name, text, roots)
    for root, name in _root_members(tree):
        _check_below(root, name, text, below)
    return _search(tree, text)


def source_of(expression: str) -> str | None:
    """Answer an expression that `compile_getter` took as Python source; see `written`."""
    return written(_parse(expression.strip()))


def compile_predicate(
    expression: str,
    *,
    roots: Collection[str] | None = None,
    below: Mapping[str, Collection[str]] = _ANYTHING,
) -> Predicate:
    """Compile an expression whose answer is taken as true or false, as JMESPath does. As above."""
    getter = compile_getter(expression, roots=roots, below=below)

    return lambda root: not is_false(getter(root))


def _itself(root: Any) -> Any:
    return root


def _plain_steps(text: str) -> list[str | int] | None:
    if text == "@":
        return []
    if not _PLAIN.match(text):
        return None
    return [
        int(index) if index else (name or quoted)
        for name, quoted, index in _STEP.findall(text.removeprefix("@"))
    ]


def _search(tree: dict[str, Any], text: str) -> Getter:
    evaluate = closure(tree, _CALL)
    if evaluate is None:
        search = jmespath.compile(text).search

        def evaluate(root: Any) -> Any:
            return search(root, _OPTIONS)

    made: Getter = evaluate

    def getter(root: Any) -> Any:
        try:
            return made(root)
        except (jmespath.exceptions.JMESPathError, TypeError, ValueError, AttributeError, LookupError):
            return None
        except (ArithmeticError, RecursionError):
            return None

    return getter


def _parse(text: str) -> dict[str, Any]:
    try:
        tree: Any = jmespath.compile(text).parsed
    except jmespath.exceptions.IncompleteExpressionError:
        raise BadExpression("the expression ends too early", len(text)) from None
    except jmespath.exceptions.LexerError as error:
        message = _first_line(error.message)
        if text[error.lexer_position :].startswith("$"):
            message += ": an expression holds no reference such as $name, which stands alone"
        raise BadExpression(message, error.lexer_position) from None
    except jmespath.exceptions.ParseError as error:
        if error.token_value in {"", None}:
            raise BadExpression("the expression ends too early", len(text)) from None
        raise BadExpression(f"not expected here: {str(error.token_value)!r}", error.lex_position) from None
    except jmespath.exceptions.JMESPathError as error:
        raise BadExpression(_first_line(str(error))) from None
    except RecursionError:
        raise BadExpression("the expression is nested too deeply") from None
    return tree  # type: ignore[no-any-return]


def _check(tree: dict[str, Any], text: str) -> None:
    count = 0
    for node, depth in _nodes(tree):
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise BadExpression("the expression is nested too deeply")
        _check_not(node, text)
        if node["type"] != "function_expression":
            continue
        name = node["value"]
        if name not in FUNCTIONS:
            raise BadExpression(f"there is no function {name}()", max(text.find(name), 0), name, FUNCTIONS)
        wanted, more = FUNCTIONS[name]
        given = len(node["children"])
        if given < wanted or (given > wanted and not more):
            least = "at least " if more else ""
            message = f"{name}() takes {least}{wanted} argument{'s' * (wanted != 1)}, not {given}"
            raise BadExpression(message, max(text.find(name), 0))


def _check_not(node: dict[str, Any], text: str) -> None:
    """Refuse `!a.b`, which JMESPath reads as `(!a).b`: that answers nothing, whatever `a` is.

    `!` binds closer than `.`, `[?`, `[]` and comparisons do (in jmespath.py; an index after it is closer).
    """
    children = node.get("children", [])
    if node["type"] in _LEFT_IS_ROOTED - {"pipe"}:
        is_wrong = children[0]["type"] == "not_expression"
    elif node["type"] == "comparator":
        kinds = {child["type"] for child in children}
        literals = [child["value"] for child in children if child["type"] == "literal"]
        is_wrong = "not_expression" in kinds and any(not isinstance(value, bool) for value in literals)
    else:
        return
    if is_wrong:
        marks = [found.start() for found in _NOT.finditer(text) if found[0] == "!"]
        message = "! holds only for the name right behind it; write !(…) around all that it is meant for"
        raise BadExpression(message, marks[0] if marks else 0)


_NOT: Final = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`|!=|!""")


def _nodes(tree: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int]]:
    waiting = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting += [(child, depth + 1) for child in node.get("children", []) if isinstance(child, dict)]


_LEFT_IS_ROOTED = {
    "subexpression", "index_expression", "projection", "value_projection", "filter_projection", "pipe",
    "flatten",
}  # fmt: skip


def _rooted(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of an expression that are asked of the root itself, from the outside in."""
    yield tree
    if tree["type"] == "expref":  # Asked of each thing in a list.
        return
    children = tree.get("children", [])
    if tree["type"] in _LEFT_IS_ROOTED:
        children = children[:1]
    for child in children:
        if isinstance(child, dict):
            yield from _rooted(child)


def _root_names(tree: dict[str, Any]) -> Iterator[str]:
    """Yield the names that are looked up in the root itself."""
    return (node["value"] for node in _rooted(tree) if node["type"] == "field")


def _root_members(tree: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the names that are looked up in a member of the root, and which member that is."""
    for node in _rooted(tree):
        if node["type"] == "subexpression":
            first, second = node["children"][:2]
            if first["type"] == second["type"] == "field":
                yield first["value"], second["value"]


def _refuse_root(name: str, text: str, roots: Collection[str]) -> None:
    known = f"; there are {', '.join(roots)}" if len(roots) <= 6 else ""
    raise BadExpression(f"{name!r} is not known here{known}", _where(name, text), name, roots)


def _check_below(root: str, name: str, text: str, below: Mapping[str, Collection[str]]) -> None:
    names = below.get(root)
    if names is not None and name not in names:
        known = f"; there are {', '.join(names)}" if 0 < len(names) <= 6 else ""
        at = _where(f"{root}.{name}", text) + len(root) + 1
        raise BadExpression(f"{name!r} is none of the {root}{known}", at, name, names)


def _where(name: str, text: str) -> int:
    """Answer where a name stands in an expression: by itself, and not in a text."""
    found = re.search(rf"(?<![\w.'\"]){re.escape(name)}(?!\w)", text)
    return found.start() if found else max(text.find(name), 0)


def _first_line(text: str) -> str:
    return text.splitlines()[0].rstrip(":") if text else "not JMESPath"
