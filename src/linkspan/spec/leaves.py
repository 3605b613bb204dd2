"""Compiles the leaves of tools.yaml: texts with `${VARIABLE}`, expressions, `$references` and templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from linkspan.spec import converters, mapping, phrases, references
from linkspan.spec.catalog import ABSENT, Getter, Predicate, Template, Value
from linkspan.spec.durations import DURATION, seconds
from linkspan.spec.expressions import ANSWER, BadExpression, compile_getter, compile_predicate
from linkspan.spec.problems import Problems
from linkspan.spec.references import Lookup
from linkspan.spec.yaml import Path
from linkspan.text import formats

_VARIABLE = re.compile(r"(?<!\$)((?:\$\$)*)\$\{([^}]*)\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*)\Z")
_REFERENCE_WORDS = ("$", "as", "format", "date", "join", "list", "minus", "plus")
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")


class Names(Protocol):
    """What references may name in one place: an operation's arguments and its connector's settings."""

    def argument(self, name: str, path: Path, *, offset: int, in_path: bool) -> Lookup | None:
        """Answer how to look it up, typed and in the product's words; None after telling a problem."""
        ...


class Leaves:
    """Compiles leaf texts of one file set; every mistake goes to `problems`."""

    def __init__(self, problems: Problems, environ: Mapping[str, str]) -> None:
        self.problems = problems
        self.environ = environ
        self.variables: set[str] = set()
        """The variables that were used: a part of the catalog's version."""

    def text(self, path: Path, text: str) -> str:
        """Replace `${VARIABLE}` from the given environment."""
        if "${" not in text:
            return text

        def replace(found: re.Match[str]) -> str:
            name = found[2]
            offset = found.end(1)
            if not _VARIABLE_NAME.match(name):
                self.problems.add(
                    path, "bad_variable", f"${{{name}}} is not a variable's name", offset=offset
                )
                return ""
            self.variables.add(name)
            if name not in self.environ:
                self.problems.add(
                    path,
                    "missing_variable",
                    f"the environment has no variable {name}",
                    offset=offset,
                    word=name,
                    words=[known for known in self.environ if known.startswith(name[:3])],
                )
            return found[1] + self.environ.get(name, "")

        return _VARIABLE.sub(replace, text)

    def getter(self, path: Path, text: str | None, roots: Collection[str] | None = None) -> Getter | None:
        """Compile an expression; None after telling a problem, or when there is none."""
        if text is None:
            return None
        try:
            return compile_getter(text, roots=roots)
        except BadExpression as error:
            self._tell(path, text, error)
            return None

    def predicate(self, path: Path, text: str | None) -> Predicate | None:
        """Compile an answer-rooted condition."""
        if text is None:
            return None
        try:
            return compile_predicate(text, roots=ANSWER)
        except BadExpression as error:
            self._tell(path, text, error)
            return None

    def _tell(self, path: Path, text: str, error: BadExpression) -> None:
        offset = error.offset + (len(text) - len(text.lstrip()))
        position = f" (at character {offset + 1})" if offset else ""
        message = f"not a good JMESPath expression: {error.message}{position}"
        self.problems.add(
            path, "bad_expression", message, offset=offset, word=error.word, words=error.words or None
        )

    def pattern(self, path: Path, text: str | None) -> re.Pattern[str] | None:
        """Compile a regular expression that whole values must match; None after telling a problem."""
        if text is None:
            return None
        try:
            return re.compile(text)
        except (re.error, RecursionError, OverflowError) as error:
            offset = getattr(error, "pos", None) or 0
            self.problems.add(path, "bad_pattern", f"not a regular expression: {error}", offset=offset)
            return None

    # Values: queries and bodies

    def value(self, path: Path, tree: Any, names: Names, *, top: bool = False) -> Value:
        """Compile a YAML tree whose leaf texts may be `$references`."""
        value, is_constant = self._value(path, tree, names, top)
        return references.constant(value) if is_constant else value

    def _value(self, path: Path, tree: Any, names: Names, top: bool) -> tuple[Any, bool]:
        if isinstance(tree, str):
            return self._text_value(path, tree, names)
        if isinstance(tree, dict):
            if "$" in tree:
                return self._reference_value(path, tree, names), False
            if phrases.is_clauses(tree):
                return phrases.compile_clauses(tree, names, self, path), False
            if phrases.is_mapped(tree):
                return phrases.compile_mapped(tree, names, self, path), False
            members = [(key, self._value((*path, key), below, names, False)) for key, below in tree.items()]
            if all(is_constant for _, (_, is_constant) in members):
                return {key: value for key, (value, _) in members}, True
            return references.mapping([(key, _callable(found)) for key, found in members], top=top), False
        if isinstance(tree, list):
            items = [self._value((*path, index), below, names, False) for index, below in enumerate(tree)]
            if all(is_constant for _, is_constant in items):
                return [value for value, _ in items], True
            return references.sequence([_callable(found) for found in items]), False
        return tree, True

    def _text_value(self, path: Path, text: str, names: Names) -> tuple[Any, bool]:
        if text.startswith("$$"):
            return self.text(path, text[1:]) if not text.startswith("$${") else text[1:], True
        if text.startswith("$") and not text.startswith("${"):
            return self._reference(path, text, names) or references.constant(ABSENT), False
        return self.text(path, text), True

    def _reference(self, path: Path, text: str, names: Names) -> Lookup | None:
        found = _REFERENCE.match(text)
        if found is None:
            message = f"{text!r} is not a reference: write $name for an argument, $$ for a dollar"
            self.problems.add(path, "bad_reference", message)
            return None
        return names.argument(found[1], path, offset=1, in_path=False)

    def _reference_value(self, path: Path, tree: dict[str, Any], names: Names) -> Value:
        for key in tree:
            if key not in _REFERENCE_WORDS:
                self.problems.add(
                    (*path, key), "unknown_key", f"there is no word {key!r} here",
                    words=_REFERENCE_WORDS, word=key, key=True,
                )  # fmt: skip
        name = tree["$"]
        if not isinstance(name, str):
            self.problems.add((*path, "$"), "wrong_type", "must be an argument's name")
            return references.constant(ABSENT)
        look_up = self._reference((*path, "$"), f"${name.removeprefix('$')}", names)
        if look_up is None:
            return references.constant(ABSENT)
        convert = self.conversion(path, tree)
        if (shift := self._shift(path, tree, name.removeprefix("$"))) is not None:
            look_up = references.converted(look_up, shift)
        join, as_list = tree.get("join"), tree.get("list", False)
        if join is not None and not isinstance(join, str):
            self.problems.add((*path, "join"), "wrong_type", "must be text, such as ','")
            join = None
        if not isinstance(as_list, bool):
            self.problems.add((*path, "list"), "wrong_type", "must be true or false")
        return references.converted(look_up, _finisher(convert, join, as_list is True))

    def _shift(self, path: Path, tree: dict[str, Any], name: str) -> Callable[[Any], Any] | None:
        """Answer what moves the time of the call back or on."""
        given = [key for key in ("minus", "plus") if key in tree]
        for key in given[1:]:
            message = "the time is moved once; minus is here too"
            self.problems.add((*path, key), "conflict", message, key=True)
        if not given:
            return None
        key, word = given[0], tree[given[0]]
        if name != "now":
            message = f"{key} belongs to $now, the time of the call"
            self.problems.add((*path, key), "conflict", message, key=True)
        elif not isinstance(word, str) or not DURATION.fullmatch(word):
            self.problems.add((*path, key), "bad_value", "must be a duration, such as 30s, 5m or 2h")
        else:
            off = seconds(word) if key == "plus" else -seconds(word)
            return lambda value: converters.shifted(value, off)
        return None

    def condition(self, path: Path, text: str, names: Names) -> Value:
        """Compile a `$reference` that decides whether something is sent."""
        if not text.startswith("$") or text.startswith(("$$", "${")):
            self.problems.add(path, "bad_reference", "when is a reference, such as $title")
            return references.constant(ABSENT)
        return self.value(path, text, names)

    def conversion(self, path: Path, tree: Mapping[str, Any]) -> Callable[[Any], Any] | None:
        """Answer what the words `as`, `format` and `date` of a reference make of its value."""
        given = [key for key in ("as", "format", "date") if key in tree]
        for key in given[1:]:
            message = f"a value is converted once; {given[0]} is here too"
            self.problems.add((*path, key), "conflict", message, key=True)
        if not given:
            return None
        key, word = given[0], tree[given[0]]
        if key == "date":
            if not isinstance(word, str):
                self.problems.add((*path, key), "wrong_type", "must be text, such as '%d.%m.%Y'")
            elif mapping.check_date(word, self, (*path, key)):
                return mapping.date_writer(word)
            return None
        known = converters.SENDING if key == "as" else formats.WRITING
        if not isinstance(word, str) or word not in known:
            message = f"cannot be {word!r}; it is one of {', '.join(known)}"
            if key == "as" and word in formats.WRITING:
                message += f"; a markup is said with format: {word}"
            self.problems.add((*path, key), "bad_enum", message, words=known, word=str(word))
            return None
        return known[word]

    # Templates: paths, base URLs, headers, texts

    def path_template(self, path: Path, text: str, names: Names, *, start: int) -> Template:
        """Compile a request's path. `start` is where it begins in the text at `path`."""
        parts: list[tuple[str | None, Any]] = []
        for name, literal, offset in self.placeholders(path, text, start):
            if name is None:
                parts.append((None, literal))
            elif look_up := names.argument(name, path, offset=start + offset + 1, in_path=True):
                parts.append((name, look_up))
        return references.UrlTemplate(tuple(parts))

    def header(self, path: Path, value: Any, names: Names) -> Value:
        """Compile a header's value: text with `{placeholders}`, or one `$reference`."""
        if not isinstance(value, str):
            return references.constant(_scalar_text(value))
        if value.startswith("$") and not value.startswith(("$$", "${")):
            look_up = self._reference(path, value, names)
            return references.header_template([(value[1:], look_up)] if look_up else [])
        text = value[1:] if value.startswith("$$") else value
        parts: list[tuple[str | None, Any]] = []
        for name, written, offset in self.placeholders(path, text, 0):
            if name is None:
                literal = self.text(path, written)
                if not literal.isascii() or not literal.isprintable():
                    self.problems.add(path, "bad_header", "a header holds printable ASCII only")
                parts.append((None, literal))
            elif look_up := names.argument(name, path, offset=offset + 1, in_path=False):
                parts.append((name, look_up))
        if all(name is None for name, _ in parts):
            return references.constant("".join(part for _, part in parts).strip())
        return references.header_template(parts)

    def placeholders(self, path: Path, text: str, start: int) -> list[tuple[str | None, str, int]]:
        """Split at `{name}`: (name or None, literal text, offset)."""
        # ${VARIABLE} is not a placeholder: keep it whole until its literal is replaced.
        masked = _VARIABLE.sub(lambda found: found[0].replace("{", "\x01").replace("}", "\x02"), text)
        try:
            parts = references.split_placeholders(masked)
        except ValueError as error:
            self.problems.add(
                path, "bad_placeholder", "a { or } stands alone here", offset=start + int(error.args[0])
            )
            return []
        return [
            (name, literal.replace("\x01", "{").replace("\x02", "}"), offset)
            for name, literal, offset in parts
        ]

    def content_text(
        self, path: Path, text: str, roots: Collection[str], used: Callable[[str], None]
    ) -> Value:
        """Compile a text with `{{ expression }}` over arguments, `settings`, `answer` and `elicit`."""
        parts: list[str | Getter] = []
        for expression, literal, offset in references.split_mustaches(text):
            if expression is None:
                parts.append(self.text(path, literal))
                continue
            try:
                getter = compile_getter(expression, roots=roots)
            except BadExpression as error:
                self.problems.add(
                    path, "bad_expression", f"in {{{{ {expression} }}}}: {error.message}",
                    offset=offset, word=error.word, words=error.words or None,
                )  # fmt: skip
                continue
            for root in roots:
                if re.search(rf"(?<![\w.]){re.escape(root)}\b", expression):
                    used(root)
            parts.append(getter)
        return references.text_template(parts)


def _callable(found: tuple[Any, bool]) -> Value:
    value, is_constant = found
    return references.constant(value) if is_constant else value


def _finisher(convert: Callable[[Any], Any] | None, join: str | None, as_list: bool) -> Callable[[Any], Any]:
    def finish(value: Any) -> Any:
        values = value if isinstance(value, list) else [value]
        if convert is not None:
            values = [convert(part) for part in values]
        if join is not None:
            return join.join(_scalar_text(part) for part in values)
        return values if as_list or isinstance(value, list) else values[0]

    return finish


def _scalar_text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
