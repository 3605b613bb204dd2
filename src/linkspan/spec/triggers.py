"""Checks of the events that recipes name: they are told, and are about what the recipe is on."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

from linkspan.spec import language
from linkspan.spec.catalog import Tool
from linkspan.spec.events import Event
from linkspan.spec.expressions import BadExpression, compile_predicate
from linkspan.spec.leaves import Leaves
from linkspan.spec.yaml import Path

_TRIGGER: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}\.[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_OF_BOTH: Final = ("concurrency", "limit", "stop")
"""Words for whatever starts a recipe, events of `on` and mentions."""


def comments_of(find: Callable[[str], Tool | None], entity: str) -> tuple[str, str] | None:
    """Answer how the comments of a thing are listed: the operation, and its argument for the thing's id."""
    if find(f"{entity}.comments") is not None:
        return f"{entity}.comments", "id"
    listed = find("comment.list")
    if listed is not None and entity in listed.input_schema.get("properties", {}):
        return "comment.list", entity
    return None


class TriggerChecks:
    """Checks what starts, ends and follows runs; mistakes go to the problems."""

    def __init__(
        self,
        written: Mapping[str, Collection[str] | None],
        find: Callable[[str], Tool | None],
        connectors: Mapping[str, Mapping[str, Event]],
        leaves: Leaves,
    ) -> None:
        """`written` holds the fields that sources say of each entity, None where they are in doubt.

        `find` answers an operation by its key; `connectors` holds the events of each, by name.
        """
        self._written = written
        self._find = find
        self._connectors = connectors
        self._problems = leaves.problems

    def check(self, form: language.Recipe, path: Path) -> None:
        """Check what starts a recipe, and what ends its runs."""
        if form.on is not None:
            self.events(form.entity, form.on, (*path, "on"))
        is_started = form.on is not None or self._is_there((*path, "on"))
        for word in ("when", "debounce", *_OF_BOTH):
            by_mention = word in _OF_BOTH and form.mention is not None
            if not is_started and not by_mention and word in form.model_fields_set:
                message = f"{word} belongs to `on`, which is not there"
                self._problems.add((*path, word), "missing_key", message, key=True)
        roots = self.read_by(f"{form.entity}.get", form.entity)
        self.condition(form.when, (*path, "when"), roots)
        if form.mention is not None:
            here = (*path, "mention", "on")
            self.events(form.entity, form.mention.on, here, are_comments=True)
            way = comments_of(self._find, form.entity) if form.entity is not None else None
            said = self.read_by(way[0], "comment") if way is not None else None
            self.condition(form.mention.by, (*path, "mention", "by"), said, form.settings)
        if form.stop is not None:
            here = (*path, "stop")
            self.events(form.entity, form.stop.on, (*here, "on") if self._is_there((*here, "on")) else here)
            self.condition(form.stop.when, (*here, "when"), roots)
            if form.stop.once and form.stop.when is not None:
                message = "what is over is told by the events alone: once and when exclude each other"
                self._problems.add((*here, "once"), "conflict", message, key=True)

    def events(
        self, on: str | None, said: str | list[str], path: Path, *, are_comments: bool = False
    ) -> None:
        """Check events of an entity; `are_comments`: each has to say which comment told of it."""
        if isinstance(said, str):
            self._event(on, said, path, are_comments)
            return
        if not said:
            self._problems.add(path, "bad_value", "names no event")
        for index, name in enumerate(said):
            if name in said[:index]:
                self._problems.add((*path, index), "conflict", f"{name} stands here twice")
            self._event(on, name, (*path, index), are_comments)

    def _event(self, on: str | None, said: str, path: Path, is_comment: bool) -> None:
        if not _TRIGGER.fullmatch(said):
            message = "must be CONNECTOR.ENTITY.EVENT, such as desk.ticket.assigned"
            self._problems.add(path, "bad_value", message)
            return
        connector, entity, event = said.split(".")
        if connector not in self._connectors:
            message = f"there is no connector {connector!r}"
            self._problems.add(path, "unknown_connector", message, words=self._connectors, word=connector)
        elif on is None:
            message = f"an event of {entity} starts a recipe on it: the word 'entity' is missing"
            self._problems.add(path, "missing_key", message)
        elif entity != on:
            message = f"an event of {entity} does not start a recipe on {on}"
            self._problems.add(path, "conflict", message)
        elif (known := self._connectors[connector]) and f"{entity}.{event}" not in known:
            message = f"{connector} tells no event {entity}.{event}"
            offset = len(connector) + 1
            self._problems.add(
                path, "unknown_event", message, words=known, word=f"{entity}.{event}", offset=offset
            )
        elif is_comment and known and known[f"{entity}.{event}"].comment is None:
            message = f"{said} names no comment: its event has no word 'comment'"
            told = [f"{connector}.{name}" for name, each in known.items() if each.comment is not None]
            self._problems.add(path, "bad_value", message, words=told, word=said)

    def read_by(self, key: str, entity: str | None) -> Collection[str] | None:
        """Answer the fields of what an operation reads; None when nothing says what they are."""
        tool = self._find(key)
        result = ((tool.output_schema if tool else None) or {}).get("properties", {}).get("result", {})
        shown = (result.get("items") or result).get("properties")
        written = self._written.get(entity or "", ())
        if not shown or written is None:
            return None
        return tuple(dict.fromkeys(name for name in (*shown, *written) if name != "remote_data"))

    def condition(
        self,
        text: str | None,
        path: Path,
        roots: Collection[str] | None,
        settings: Collection[str] | None = None,
    ) -> None:
        """Check an expression that tells whether something counts: it begins with fields of what is read.

        What misspells one would never hold, and nobody would be told. `settings` may stand beside them.
        """
        if text is None:
            return
        if settings is not None and roots is not None:
            roots = (*roots, "settings")
        below = {"settings": settings} if settings is not None else {}
        try:
            compile_predicate(text, roots=roots if text.strip() != "@" else None, below=below)
        except BadExpression as error:
            self._problems.add(
                path, "bad_expression", error.message, offset=error.offset,
                word=error.word, words=error.words or None,
            )  # fmt: skip

    def _is_there(self, path: Path) -> bool:
        return self._problems.root.find(path)[1] == len(path)
