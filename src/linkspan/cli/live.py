"""`check --live`: one read call per entity, and what came back held against what is mapped."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from linkspan.errors import LinkspanError
from linkspan.spec import answers

if TYPE_CHECKING:
    from linkspan.accounts.principal import Principal
    from linkspan.app import App
    from linkspan.gateway.results import Page
    from linkspan.gateway.watch import Watch
    from linkspan.spec.catalog import Operation, Tool

Seen = tuple[str, str, dict[str, Any], "Watch"]
"""A call, its connector, its arguments, and what was sent and came."""
_RESERVED = frozenset({"cursor", "limit", "account", "dry_run", "remote_data"})


@dataclass(slots=True)
class Look:
    """What one call of one operation at one connector told."""

    call: str
    connector: str
    state: str = "ok"
    """ok | warn | bad | not_called"""
    items: int = 0
    pages: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    always_null: list[str] = field(default_factory=list)
    unmapped_words: dict[str, dict[str, int]] = field(default_factory=dict)
    not_mapped: list[str] = field(default_factory=list)
    error: str | None = None
    """Its code."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    def bad(self, problem: str) -> None:
        """Tell what has to be mended."""
        self.state = "bad"
        self.problems.append(problem)


class LiveCheck:
    """Reads as a tenant would. It makes no call that is not a read."""

    def __init__(
        self,
        app: App,
        principal: Principal,
        given: Mapping[str, str],
        *,
        pages: int,
        seen: list[Seen] | None = None,
    ) -> None:
        self._app = app
        self._principal = principal
        self._given = given
        self._pages = pages
        self._seen = seen
        self._ids: dict[tuple[str, str], str] = {}
        """The first id that was seen, by connector and entity."""
        self.looks: list[Look] = []

    async def run(self) -> list[Look]:
        """Look at every entity at every connector that an account is linked at."""
        accounts: dict[str, str] = {}
        for account in await self._app.accounts.list(self._principal.tenant):
            accounts.setdefault(account.connector, account.id)
        reads = [tool for tool in self._app.catalog.tools if tool.kind == "read" and tool.operations]
        lists = [tool for tool in reads if any(each.is_list for each in tool.operations.values())]
        # What needs no argument comes first: its items bring the ids that others ask for.
        lists.sort(key=lambda tool: len(tool.input_schema.get("required", ())))
        gets = [tool for tool in reads if tool.operation == "get"]
        waiting = [(tool, connector) for tool in (*lists, *gets) for connector in tool.operations]
        while waiting:
            known = len(self._ids)
            waiting = [
                (tool, connector)
                for tool, connector in waiting
                if not await self._is_called(tool, connector, accounts.get(connector))
            ]
            if len(self._ids) == known:
                break
            self.looks = [look for look in self.looks if look.state != "not_called"]
        return self.looks

    async def _is_called(self, tool: Tool, connector: str, account: str | None) -> bool:
        """Call it; answers whether it had what it needs."""
        operation = tool.operations[connector]
        if operation.is_list and operation.name != "list" and (connector, tool.entity) in self._ids:
            return True  # the list was read already: one call is enough
        look = Look(tool.key, connector)
        self.looks.append(look)
        arguments, missing = self._arguments(operation)
        if missing:
            look.state = "not_called"
            look.notes.append(f"it needs {', '.join(missing)}: give it with --arg {missing[0]}=VALUE")
            return False
        if account is not None:
            arguments["account"] = account
        await self._look(tool, operation, arguments, look)
        return True

    def _arguments(self, operation: Operation) -> tuple[dict[str, Any], list[str]]:
        """Fill what is required: from what was given, or with the first thing that such a name means."""
        arguments: dict[str, Any] = {}
        missing: list[str] = []
        needed = operation.schema.get("required", ())
        properties = operation.schema.get("properties", {})
        for name in properties:
            if name in _RESERVED:
                continue
            entity = operation.entity if name == "id" else name.removesuffix("_id")
            if name in self._given:
                number = properties[name].get("type") in ("integer", "number") and self._given[name].isdigit()
                arguments[name] = int(self._given[name]) if number else self._given[name]
            elif name in needed:
                known = self._ids.get((operation.connector, entity))
                if known is None:
                    missing.append(name)
                else:
                    arguments[name] = known
        return arguments, missing

    async def _look(self, tool: Tool, operation: Operation, arguments: dict[str, Any], look: Look) -> None:
        from linkspan.gateway.results import Item, Page
        from linkspan.gateway.watch import Watch

        watch = Watch()
        if self._seen is not None:
            self._seen.append((tool.key, operation.connector, arguments, watch))
        try:
            answer = await self._call(tool, arguments, watch)
            if isinstance(answer, Page):
                await self._read_on(tool, arguments, answer, watch, look)
                if not answer.result:
                    self._say_empty(watch, look)
                elif isinstance(answer.result[0], dict) and answer.result[0].get("id"):
                    self._ids.setdefault((operation.connector, tool.entity), str(answer.result[0]["id"]))
            elif not isinstance(answer, Item):
                look.notes.append("it answers content, which has no fields")
        except LinkspanError as error:
            look.error = error.code
            look.bad(error.message)
            if error.hint:
                look.notes.append(error.hint)
            self._say_lists(operation, watch, look)
            return
        operation = watch.as_called(operation)
        found = answers.findings(operation, [thing for thing in watch.things if thing is not None])
        look.items, look.always_null = found.items, found.always_null
        look.unmapped_words, look.not_mapped = found.unmapped_words, found.unused
        for name, words in found.unmapped_words.items():
            shown = ", ".join(f"{answers.short(word)} ({count})" for word, count in words.items())
            look.bad(f"{name}: the product's words {shown} are not in values, and become unknown")
        for name, kind in found.flattened.items():
            look.bad(
                f"{name}: a {kind} was found and became a text; say what is meant of it, such as its name"
            )
        if found.items and operation.shape is not None and "id" in found.always_null:
            look.bad("no item has an id: what `id` or `identity` says is not there")
        elif found.items and found.always_null and look.state == "ok":
            look.state = "warn"

    async def _call(self, tool: Tool, arguments: Mapping[str, Any], watch: Watch) -> Any:
        from linkspan.gateway.calls import CallInfo

        info = CallInfo(request_id=secrets.token_hex(8), via="cli", watch=watch)
        return await self._app.gateway.call(self._principal, tool, arguments, info=info)

    async def _read_on(
        self, tool: Tool, arguments: dict[str, Any], page: Page, watch: Watch, look: Look
    ) -> None:
        """Read a few pages on: a list that shows the same again would never end."""
        look.pages = 1
        seen = [page.result]
        while page.next_cursor is not None and look.pages < self._pages:
            page = await self._call(tool, {**arguments, "cursor": page.next_cursor}, watch)
            look.pages += 1
            if page.result and page.result in seen:
                look.bad(
                    f"page {look.pages} shows the same items as one before it, so the list never ends:"
                    " what `pagination` sends has no effect"
                )
                return
            seen.append(page.result)
        if page.next_cursor is None and look.pages == 1 and watch.exchanges:
            for path, total in answers.totals_in(watch.exchanges[-1].data):
                if total > len(watch.things):
                    look.bad(
                        f"{len(watch.things)} came and {path} is {total}: the list goes on, and"
                        " `pagination` does not say how"
                    )
                    return
        if page.next_cursor is not None:
            look.notes.append(f"it goes on after {look.pages} pages; --pages N reads further")

    def _say_empty(self, watch: Watch, look: Look) -> None:
        look.state = "warn"
        look.notes.append("the list was empty, so nothing could be held against it")

    def _say_lists(self, operation: Operation, watch: Watch, look: Look) -> None:
        """Say where lists are in an answer whose list was not found."""
        if not watch.exchanges or not operation.is_list:
            return
        last = watch.exchanges[-1]
        if last.status >= 300:
            return
        found = [f"{path} ({size})" for path, size in answers.lists_in(last.data)]
        where = f"lists in the answer: {', '.join(found[:10])}" if found else "there is no list in the answer"
        look.notes.append(f"items: {operation.where} finds no list; {where}")


def print_looks(looks: list[Look]) -> None:
    """Print them for people."""
    for look in looks:
        pages = f", {look.pages} pages" if look.pages > 1 else ""
        counted = f": {look.items} item{'s' * (look.items != 1)}{pages}" if look.state != "not_called" else ""
        click.echo(f"{look.state.replace('_', ' '):<10} {look.call} at {look.connector}{counted}")
        for problem in look.problems:
            click.echo(f"    {problem}")
        for note in look.notes:
            click.echo(f"    {note}")
        if look.always_null:
            click.echo(f"    null in every item: {', '.join(look.always_null)}")
        if look.not_mapped:
            click.echo(f"    mapped to nothing: {', '.join(map(str, map(answers.short, look.not_mapped)))}")


def exit_code_of(looks: list[Look]) -> int:
    """Answer 0 for nothing to mend, 1 for a mistake, 3 where nothing was reached for want of an account."""
    bad = [look for look in looks if look.state == "bad"]
    if bad and all(look.error in ("not_linked", "needs_reauth") for look in bad):
        return 3
    return 1 if bad else 0
