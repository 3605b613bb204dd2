"""What the thing is told of its run: one comment of each kind, and new values of its fields.

A tracker takes a comment twice if it is told twice, and a worker may die between the telling and the note of
it. So each comment ends with a line that names the run and the kind, and before one is made the comments that
are there are looked through for it. Where they cannot be listed, the gateway's memory of writes stands in:
then a comment may be missing after a crash, and is never there twice.

What is written is an operator's text. What is filled into it was written by others: by a model, or by whoever
may write a ticket or cause an alert. Their words stay words: an operator's link beside them is the only one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from linkspan.errors import Conflict, LinkspanError, RateLimited, UpstreamError, UpstreamTimeout
from linkspan.runs.context import WAITS, Context, Json, Reader
from linkspan.runs.lease import Lease
from linkspan.runs.marks import letters_of
from linkspan.runs.shown import run_url
from linkspan.spec.catalog import Catalog
from linkspan.spec.recipe import Aftermath, Back, Moment, Notice
from linkspan.spec.templates import render
from linkspan.store.runs import Run

_KINDS: Final[Mapping[Moment | Aftermath, str]] = {
    "started": "started",
    "waiting": "waits",
    "finished": "finished",
    "merged": "was merged",
    "closed": "was closed",
    "approved": "was approved",
    "changes_requested": "was sent back",
}
_ID: Final = re.compile(r"\s*\{\{\s*(\w+)\.(?:id|key|\w+_id)\s*\}\}\s*")
_URL: Final = re.compile(r"https?://[^\s<>\[\]()\"'`\\|*]{1,2000}")


class Told(Protocol):
    """A run of which something is told, and who makes sure of it."""

    @property
    def run(self) -> Run:
        """The run."""
        ...

    async def check(self) -> None:
        """Raise when it is somebody else's by now."""
        ...

    async def note(self, kind: str, **data: Any) -> None:
        """Store an event of it."""
        ...


class WriteBack:
    """Tells things of their runs."""

    def __init__(
        self,
        reader: Reader,
        catalog: Callable[[], Catalog],
        *,
        clean: Callable[[str], str],
        plain: Callable[[str], str],
        bare: Callable[[str], str],
        base: str,
    ) -> None:
        """`clean` filters what a model wrote, and `plain` what a stranger wrote.

        `bare` takes secrets out of whatever is filled in, and ends it. `base` is the URL that people know us
        by.
        """
        self._reader = reader
        self._catalog = catalog
        self._clean = clean
        self.plain = plain
        self._bare = bare
        self._base = base

    async def tell(self, lease: Lease, moment: Moment, context: Context) -> None:
        """Write what the recipe says of a moment. What fails is told as an event, and ends nothing."""
        for number, notice in enumerate(lease.recipe.notices):
            if moment in notice.moments:
                await self._notify(lease, f"{lease.run.id}:notify:{number}:{moment}", notice, context)
        back, follow = lease.recipe.back(moment), lease.recipe.follow
        if lease.run.goes_on and moment == "started" and follow is not None:
            back = follow.backs.get("changes_requested", back)
        await self.write(lease, moment, back, context)

    async def write(self, of: Told, moment: Moment | Aftermath, back: Back, context: Context) -> None:
        """Write something into the thing, once for each moment of a run; what fails is told as an event."""
        if not back or of.run.entity is None:
            return
        try:
            if back.comment is not None:
                await self._comment(of, moment, back.comment, context)
            if back.update:
                await self._update(of, back.update, context)
        except LinkspanError as error:
            await of.note("warning", message=f"{of.run.entity} was not told: {error.message}")

    async def _notify(self, lease: Lease, call_id: str, notice: Notice, context: Context) -> None:
        """Tell somebody else. The gateway's memory of writes sees to it that it happens once."""
        given = self._filled(lease.run, context, notice.arguments)
        try:
            await lease.check()
            elsewhere = replace(lease.run, account=None)  # the run's is where its thing is
            await self._reader.call(elsewhere, notice.call, given, call_id=call_id, patient=False)
        except LinkspanError as error:
            await lease.note("warning", message=f"{notice.call} was not called: {error.message}")

    def values(self, run: Run, context: Context) -> Json:
        """Answer what texts for people may name."""
        values: Json = {
            "settings": run.plan["settings"],
            "tenant": {"name": run.tenant},
            "run": {
                "id": run.id,
                "url": run_url(self._base, run.tenant, run.id),
                "state": run.state,
                "summary": self._clean(run.summary or ""),
                "person": _words(run.person, self.plain),
                "error": {"code": run.error_code, "message": _filtered(run.error_message, self._clean)},
            },
            "pull_request": dict(run.pull_request or {"url": None, "number": None}),
        }
        if run.entity is not None:
            values[run.entity] = _Fields(context.entity or {}, self.plain)
        return values

    async def _comment(self, of: Told, moment: Moment | Aftermath, template: str, context: Context) -> None:
        run = of.run
        text = self._bare(render(template, self.values(run, context))).strip()
        if not text:
            return
        line = _line(run, moment)
        listed = self._catalog().tool_for("comment.list")
        can_look = listed is not None and run.entity in listed.input_schema.get("properties", {})
        arguments = {"id": run.entity_id, "body": f"{text}\n\n{line}"}
        if not can_look:
            await self._comment_blindly(of, moment, arguments)
            return
        for wait in (*WAITS, None):
            there = await self._reader.every(run, "comment", {str(run.entity): run.entity_id})
            if any(letters_of(line) in letters_of(str(each.get("body") or "")) for each in there):
                return
            await of.check()
            try:
                await self._reader.call(run, f"{run.entity}.comment", arguments, patient=False)
            except (RateLimited, UpstreamTimeout, UpstreamError) as error:
                # It may have been made all the same: look again before another attempt.
                if wait is None:
                    raise
                await self._reader.sleep(max(wait, error.retry_after or 0.0))
            else:
                return

    async def _comment_blindly(self, of: Told, moment: Moment | Aftermath, arguments: Json) -> None:
        await of.check()
        try:
            await self._reader.call(
                of.run,
                f"{of.run.entity}.comment",
                arguments,
                call_id=f"{of.run.id}:{moment}",
                patient=False,
            )
        except Conflict:
            await of.note("warning", message=f"whether the comment ({moment}) was made is not known")

    async def _update(self, of: Told, fields: Mapping[str, Any], context: Context) -> None:
        given = self._filled(of.run, context, fields)
        await of.check()
        await self._reader.call(of.run, f"{of.run.entity}.update", {"id": of.run.entity_id, **given})

    def _filled(self, run: Run, context: Context, fields: Mapping[str, Any]) -> Json:
        """Answer fields or arguments: what they name may come from a product or a model.

        It is filtered and bounded as texts are. An id that is all of one is for a product and not for
        people, and is filled in as it is.
        """
        values = self.values(run, context)
        exact = {str(run.entity): context.entity or {}}

        def filled(value: Any) -> Any:
            if not isinstance(value, str) or "{" not in value:
                return value
            found = _ID.fullmatch(value)
            is_exact = found is not None and found[1] == run.entity
            return self._bare(render(value, exact if is_exact else values))

        return {name: filled(value) for name, value in fields.items()}


class _Fields(Mapping[str, Any]):
    """The fields of a thing for people, each filtered when a text names it: a thing may be a whole tree."""

    def __init__(self, known: Mapping[str, Any], plain: Callable[[str], str]) -> None:
        self._known = known
        self._plain = plain

    def __getitem__(self, name: str) -> Any:
        """Answer a field."""
        return _field(name, self._known[name], self._plain)

    def __iter__(self) -> Iterator[str]:
        """Go through their names."""
        return iter(self._known)

    def __len__(self) -> int:
        """Count them."""
        return len(self._known)


def _field(name: str, value: Any, plain: Callable[[str], str]) -> Any:
    """Answer a field of a thing for people; an address stays one, as long as it is nothing else."""
    is_address = isinstance(value, str) and _URL.fullmatch(value) is not None
    return value if is_address and (name == "url" or name.endswith("_url")) else _words(value, plain)


def _words(value: Any, plain: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {name: _field(str(name), each, plain) for name, each in value.items()}
    return [_words(each, plain) for each in value] if isinstance(value, list | tuple) else value


def _filtered(text: str | None, clean: Callable[[str], str]) -> str | None:
    """Answer a sentence that may quote a product, a file's name or a model."""
    return None if text is None else clean(text)


def _line(run: Run, moment: Moment | Aftermath) -> str:
    """Answer the last line of a comment: what it is of, and who asked."""
    asked = f", asked for by {' '.join(_letters(run.person).split())}" if run.person else ""
    return f"Codex run {run.id} {_KINDS.get(moment, 'ended')}{asked}."


def _letters(name: str | None) -> str:
    # A name must neither format anything nor call anybody.
    return re.sub(r"[^\w .-]|_", " ", (name or "").partition("@")[0])[:80]
