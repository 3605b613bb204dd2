"""Texts with `{{ }}`: prompts, and what is written for people. Checked when tools.yaml is read.

Jinja's sandbox, and of its language only values, `if` and a few filters: no loops, no calls, nothing that an
operator's slip could let run away. What a text may name is told for each; another name is a mistake then,
and no text for a model ever names what came from a SaaS.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, Undefined, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

Names = Mapping[str, "Names | None"]
"""What may be named; None: a value that has no members."""
_FILTERS: Final = ("capitalize", "default", "first", "join", "last", "length", "lower", "title", "trim")
_FILTERS_TOO: Final = ("truncate", "upper")
_TESTS: Final = ("defined", "none")
_ALLOWED: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Getattr,
    nodes.Const,
    nodes.If,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Test,
    nodes.Not,
    nodes.And,
    nodes.Or,
    nodes.Compare,
    nodes.Operand,
    nodes.Keyword,
)


@dataclass
class BadTemplateError(Exception):
    """A text that cannot be used, and where in it: `row` and `column` count from 0."""

    message: str
    row: int
    column: int
    word: str | None = None
    words: tuple[str, ...] = ()


def check(text: str, names: Names) -> None:
    """Raise `BadTemplateError` for the first thing in a text that may not be there."""
    try:
        tree = _environment().parse(text)
    except TemplateSyntaxError as error:
        raise _at(
            text, error.lineno, r"\{[{%#]", f"cannot be read: {error.message or 'not a template'}"
        ) from error
    _check(tree, text, names)


def render(text: str, values: Mapping[str, Any]) -> str:
    """Answer a checked text with its values: lists joined by commas, what is missing as nothing."""
    return _template(text).render(values)


def _check(node: nodes.Node, text: str, names: Names) -> None:
    if isinstance(node, nodes.Getattr | nodes.Name):
        _check_name(node, text, names)
        return
    if not isinstance(node, _ALLOWED):
        what = type(node).__name__.lower()
        raise _at(text, node.lineno, r"\{[{%]", f"only values, if and filters may stand here, not {what}")
    known = (*_FILTERS, *_FILTERS_TOO)
    if isinstance(node, nodes.Filter) and node.name not in known:
        raise _unknown(text, node.lineno, "filter", node.name, known)
    if isinstance(node, nodes.Test) and node.name not in _TESTS:
        raise _unknown(text, node.lineno, "test", node.name, _TESTS)
    for below in node.iter_child_nodes():
        _check(below, text, names)


def _check_name(node: nodes.Node, text: str, names: Names) -> None:
    steps: list[str] = []
    at: nodes.Node = node
    while isinstance(at, nodes.Getattr):
        steps.insert(0, at.attr)
        at = at.node
    if not isinstance(at, nodes.Name):
        raise _at(text, node.lineno, r"\{[{%]", "only names may have members here")
    steps.insert(0, at.name)
    known: Names | None = names
    for number, step in enumerate(steps):
        name = ".".join(steps[: number + 1])
        place = r"\s*\.\s*".join(map(re.escape, steps[: number + 1]))
        if known is None:
            raise _at(text, node.lineno, place, f"{'.'.join(steps[:number])} has no members")
        if step not in known:
            there = ", ".join(".".join((*steps[:number], each)) for each in known) or "nothing"
            failure = _at(text, node.lineno, place, f"{name} is not known here; there is {there}")
            failure.word, failure.words = step, tuple(known)
            raise failure
        known = known[step]
    if known is not None:
        name = ".".join(steps)
        parts = ", ".join(f"{name}.{each}" for each in known)
        raise _at(text, node.lineno, re.escape(steps[0]), f"{name} is no value; it has {parts or 'nothing'}")


def _unknown(text: str, line: int, what: str, name: str, known: tuple[str, ...]) -> BadTemplateError:
    failure = _at(text, line, re.escape(name), f"there is no {what} {name!r} here; it is {', '.join(known)}")
    failure.word, failure.words = name, known
    return failure


def _at(text: str, line: int, pattern: str, message: str) -> BadTemplateError:
    rows = text.split("\n")
    row = min(max(line - 1, 0), len(rows) - 1)
    found = re.search(pattern, rows[row])
    return BadTemplateError(message, row, found.start() if found else 0)


@functools.cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        autoescape=False,
        undefined=StrictUndefined,
        finalize=_shown,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.clear()
    return environment


@functools.lru_cache(maxsize=256)
def _template(text: str) -> Template:
    return _environment().from_string(text)


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, Undefined):
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
