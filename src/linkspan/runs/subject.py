"""What a review is of: one state of a pull request, what is new in it, and what was said of it.

It is read once, when the run begins, and kept with it: what is published later refers to the lines that the
model saw, and to the commit that has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import quote

from linkspan.codex.engine import Material
from linkspan.errors import Conflict, Forbidden, LinkspanError, NotFound
from linkspan.runs.context import Context, Json, Reader
from linkspan.store import runs as rows
from linkspan.store.database import Database
from linkspan.store.runs import Run
from linkspan.text.diffs import Hunk, Side, added, hunks_of, numbered

ENTITY: Final = "pull_request"
OVER: Final = ("merged", "closed")
"""States of a pull request with which nothing is to be done any more."""
_MOST_DIFF: Final = 400_000
"""Characters of all patches that the model is shown."""
_MOST_SAID: Final = 60_000
_LOOKED_THROUGH: Final = 50
"""Earlier runs among which the last review is looked for."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """What a pull request changes of one file."""

    path: str
    status: str
    previous_path: str | None = None
    patch: str | None = field(default=None, repr=False)
    """Its hunks; None where the forge shows none: a binary file, or one that is too large."""

    @property
    def hunks(self) -> tuple[Hunk, ...]:
        """Its hunks, read."""
        return hunks_of(self.patch or "")


@dataclass(frozen=True, slots=True)
class Thread:
    """What was said at a place of a pull request."""

    path: str
    line: int | None
    """On its side of the newest state; None where that line is not there any more."""
    side: Side
    resolved: bool
    texts: tuple[str, ...] = field(repr=False)
    authors: tuple[str, ...] = ()
    start_line: int | None = None

    def covers(self, path: str, side: Side, line: int) -> bool:
        """Tell whether it is at a line."""
        return (
            self.line is not None
            and (path, side) == (self.path, self.side)
            and (self.start_line or self.line) <= line <= self.line
        )


@dataclass(frozen=True, slots=True)
class Subject:
    """A state of a pull request."""

    id: str
    repository: str
    base: str
    head_sha: str
    files: tuple[FileChange, ...]
    threads: tuple[Thread, ...] = ()
    since: str | None = None
    """The commit that was reviewed before, when this one goes on from it."""
    fresh: tuple[FileChange, ...] = ()
    """What came since."""

    def dump(self) -> Json:
        """Answer it as it is kept."""
        return asdict(self)

    @staticmethod
    def load(kept: Mapping[str, Any]) -> Subject:
        """Read what was kept."""
        return Subject(
            **{
                **kept,
                "files": tuple(FileChange(**each) for each in kept["files"]),
                "fresh": tuple(FileChange(**each) for each in kept["fresh"]),
                "threads": tuple(
                    Thread(**{**each, "texts": tuple(each["texts"]), "authors": tuple(each["authors"])})
                    for each in kept["threads"]
                ),
            }
        )

    def is_fresh(self, path: str, start: int, line: int) -> bool:
        """Tell whether lines of the new side came since the last review; before a first one all did."""
        if self.since is None:
            return True
        return any(
            first <= line and start <= last
            for file in self.fresh
            if file.path == path
            for first, last in added(file.hunks)
        )

    def file(self, path: str) -> FileChange | None:
        """Answer what is changed of a file, by its name or the one that it had."""
        found = next((file for file in self.files if file.path == path), None)
        return found or next((file for file in self.files if file.previous_path == path), None)


class Subjects:
    """Reads what reviews are of."""

    def __init__(self, reader: Reader, db: Database) -> None:
        self._reader = reader
        self._db = db

    async def read(self, run: Run, context: Context) -> Subject:
        """Answer the state that a run is to review.

        Raises `Conflict` when it is merged or closed, `Forbidden` when it is of another repository than the
        tenant has named, and what a call of the gateway raises.
        """
        item = context.entity or {}
        identified, repository = str(run.entity_id), str(item.get("repository") or "")
        if item.get("state") in OVER:
            raise Conflict(f"{identified} is {item['state']}: there is nothing to review")
        if run.repository is not None and repository != run.repository:
            raise Forbidden(
                f"{identified} is not in {run.repository}, the repository that the recipe was turned on for",
                hint=f"Change it with: linkspan recipe enable {run.recipe} --setting ...",
            )
        head = str(item.get("head_sha") or "")
        files = await self._every(run, "pull_request.files", {"id": identified})
        since, fresh = await self._since(run, identified, head)
        return Subject(
            id=identified,
            repository=repository,
            base=str(item.get("base") or ""),
            head_sha=head,
            files=tuple(map(_file, files)),
            threads=tuple(map(_thread, await self._if_told(run, "pull_request.threads", identified))),
            since=since,
            fresh=fresh,
        )

    async def materials(self, run: Run, subject: Subject) -> list[Material]:
        """Answer it for the model: the change with its lines' numbers, what is new, what was said."""
        source = f"linkspan://{ENTITY}/{quote(subject.id, safe='')}"
        made = [Material(f"change of {subject.id}", source, _shown_change(subject))]
        if subject.since is not None:
            made.append(Material(f"what is new in {subject.id}", source, _shown_fresh(subject)))
        return [*made, *await self._said(run, subject.id, subject.threads)]

    async def discussion(self, run: Run, identified: str) -> list[Material]:
        """Answer for the model what was said of a pull request, at its lines and below it."""
        threads = await self._if_told(run, "pull_request.threads", identified)
        return await self._said(run, identified, tuple(map(_thread, threads)))

    async def _said(self, run: Run, identified: str, threads: Sequence[Thread]) -> list[Material]:
        said = [*_shown_threads(threads)]
        told = await self._if_told(run, "pull_request.comments", identified)
        said += [f"{_name(each.get('author'))}: {each.get('body')}" for each in told]
        source = f"linkspan://{ENTITY}/{quote(identified, safe='')}"
        text = "\n\n".join(said)[:_MOST_SAID]
        return [Material(f"discussion of {identified}", source, text)] if said else []

    async def _since(self, run: Run, identified: str, head: str) -> tuple[str | None, tuple[FileChange, ...]]:
        """Answer the commit that this recipe reviewed before, and what came since.

        After a forced push nothing can be told by that, and the whole is looked at once more.
        """
        before = await rows.listed(
            self._db,
            run.tenant,
            states=("succeeded",),
            recipe=run.recipe,
            entity=ENTITY,
            entity_id=identified,
            limit=_LOOKED_THROUGH,
        )
        last = next((each.base_commit for each in before if each.base_commit is not None), None)
        if last is None or not self._reader.has("pull_request.compare"):
            return None, ()
        try:
            found = await self._reader.call(
                run, "pull_request.compare", {"id": identified, "since": last, "until": head}
            )
        except NotFound:
            return None, ()
        told: Any = found.result
        if not isinstance(told, dict) or told.get("status") not in ("ahead", "identical"):
            return None, ()
        return last, tuple(map(_file, told.get("files") or ()))

    async def _every(self, run: Run, key: str, arguments: Json) -> list[Json]:
        return await self._reader.pages(run, key, arguments)

    async def _if_told(self, run: Run, key: str, identified: str) -> list[Json]:
        """Answer a list that only some forges have, and that a review can do without."""
        if not self._reader.has(key):
            return []
        try:
            return await self._every(run, key, {"id": identified})
        except LinkspanError as error:
            if error.code in ("rate_limited", "upstream_timeout"):
                raise
            return []


def _file(told: Json) -> FileChange:
    return FileChange(
        path=str(told.get("path") or ""),
        status=str(told.get("status") or "modified"),
        previous_path=told.get("previous_path"),
        patch=told.get("patch"),
    )


def _thread(told: Json) -> Thread:
    comments: Sequence[Json] = told.get("comments") or ()
    return Thread(
        path=str(told.get("path") or ""),
        line=None if told.get("outdated") else told.get("line"),
        side="LEFT" if told.get("side") == "LEFT" else "RIGHT",
        resolved=bool(told.get("resolved")),
        texts=tuple(str(each.get("body") or "") for each in comments),
        authors=tuple(_name(each.get("author")) for each in comments),
        start_line=told.get("start_line"),
    )


def _name(author: Any) -> str:
    return str((author or {}).get("name") or "somebody") if isinstance(author, dict) else str(author or "")


def _shown_change(subject: Subject) -> str:
    parts = [
        "Each line has its number in the old file (side LEFT) and in the new one (side RIGHT) before it.",
    ]
    left = _MOST_DIFF
    for file in subject.files:
        was = f" (was {file.previous_path})" if file.previous_path else ""
        text = numbered(file.hunks) if file.patch else "(the forge shows no lines of it)"
        if len(text) > left:
            text = "(more than can be shown here: read it in the checkout)"
        left -= len(text)
        parts.append(f"## {file.path}{was}: {file.status}\n\n{text}")
    return "\n\n".join(parts)


def _shown_fresh(subject: Subject) -> str:
    parts = [f"It was reviewed at {subject.since}. New since then are these lines of the new side:"]
    for file in subject.fresh:
        ranges = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in added(file.hunks))
        parts.append(f"- {file.path}: {ranges or file.status}")
    return "\n".join(parts) if len(parts) > 1 else f"{parts[0]} none"


def _shown_threads(threads: Sequence[Thread]) -> Iterator[str]:
    for thread in threads:
        place = f"{thread.path}:{thread.line}" if thread.line is not None else f"{thread.path} (outdated)"
        state = "resolved" if thread.resolved else "open"
        words = "\n".join(f"  {who}: {text}" for who, text in zip(thread.authors, thread.texts, strict=False))
        yield f"{state} thread at {place} ({thread.side})\n{words}"
