"""What a browser opens: the runs of a tenant, and each run with all that happened in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from linkspan.accounts.principal import Tenant
from linkspan.errors import NotFound
from linkspan.runs.about import recipe_of, thread_of
from linkspan.runs.checks import Checks
from linkspan.runs.runs import Runs
from linkspan.store import run_events as event_rows
from linkspan.store.approvals import Approval
from linkspan.store.database import Database
from linkspan.store.outbox import iso
from linkspan.store.run_events import RunEvent
from linkspan.store.runs import STATES as ALL_STATES
from linkspan.store.runs import Run
from linkspan.web.pages import HEADERS, page, written
from linkspan.web.watch.diffs import FileChange, files_of
from linkspan.web.watch.entries import STATES, TOLD, entry_of
from linkspan.web.watch.published import SAFE, standing_of
from linkspan.web.watch.viewer import Viewer, hears

AT_ONCE: Final = 300
"""Entries that a page has at first, and that each look further back adds."""
_LISTED: Final = 50
_FEW_LINES: Final = 400
_MANY_LINES: Final = 1_500
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
)
_KINDS: Final[Mapping[str, str]] = {
    "command": "A command",
    "file_change": "A change of files",
    "permissions": "More than the sandbox allows",
    "publish": "Publishing what was made",
}


@dataclass(frozen=True, slots=True)
class Ground:
    """Where runs are shown: to the people of a tenant, at the console, or in a product's page."""

    tenant: Tenant
    runs: str
    """The path of the list; that of a run is below it."""
    home: str | None = None
    """Where whoever looks finds themselves; None where there is no such page."""
    ancestors: str = "'none'"
    """Whose frames may show it."""
    entities: str | None = None
    """The path below which the things are that runs are about; None where they are not shown."""

    @property
    def is_framed(self) -> bool:
        """Whether it is in a product's page."""
        return self.ancestors != "'none'"


class Pages:
    """Makes the pages of runs, and the parts of them that are fetched again."""

    def __init__(self, runs: Runs, checks: Checks, db: Database) -> None:
        self._runs = runs
        self._checks = checks
        self._db = db

    async def listed(self, request: Request, ground: Ground, viewer: Viewer) -> Response:
        """Answer the page with the tenant's runs, the one that changed last first."""
        query = request.query_params
        state = query.get("state", "")
        before = place_of(query.get("before"))
        found = await self._runs.list(
            viewer.principal, states=[state] if state in ALL_STATES else (), before=before, limit=_LISTED + 1
        )
        shown = found[:_LISTED]
        values = {
            **_frame(ground, viewer, f"Runs of {ground.tenant}"),
            "runs": [_line(run) for run in shown],
            "states": {name: word for name, (word, _tone) in STATES.items()},
            "state": state if state in ALL_STATES else "",
            "older": f"{shown[-1].updated!r}:{shown[-1].id}" if len(found) > _LISTED else None,
        }
        return page("run/list.html", values, headers=headers())

    async def show(self, ground: Ground, viewer: Viewer, run: str) -> Response:
        """Answer a run's page."""
        found = await self._runs.get(viewer.principal, run)
        values = {
            **_frame(ground, viewer, _title(found)),
            "id": found.id,
            "body": Markup(await self._body(ground, viewer, found)),  # noqa: S704 (a template wrote it)
        }
        return page("run/page.html", values, headers=headers())

    async def body(self, ground: Ground, viewer: Viewer, run: str) -> Response:
        """Answer all that is in a run's page."""
        found = await self._runs.get(viewer.principal, run)
        return _part(await self._body(ground, viewer, found))

    async def aside(self, ground: Ground, viewer: Viewer, run: str) -> Response:
        """Answer what stands beside what happened: state, questions, what was made, and what can be done."""
        found = await self._runs.get(viewer.principal, run)
        return _part(written("run/aside.html", await self._beside(ground, viewer, found)))

    async def changes(self, viewer: Viewer, run: str, file: int | None = None) -> Response:
        """Answer the change as it is now; or of one of its files, counted from 1, what it does there."""
        found = await self._runs.get(viewer.principal, run)
        if file is not None:
            files, _left = files_of(await self._diff(viewer, found))
            if not 0 < file <= len(files):
                raise NotFound("The change has no such file any more")
            return _part(written("run/file.html", {"file": files[file - 1]}))
        return _part(written("run/changes.html", await self._changes(viewer, found)))

    async def checks(self, viewer: Viewer, run: str) -> Response:
        """Answer how the pull request stands at its forge now."""
        return _part(written("run/checks.html", await standing_of(self._checks, viewer, self._runs, run)))

    async def earlier(self, viewer: Viewer, run: str, before: int) -> Response:
        """Answer entries from before an event."""
        found = await self._runs.get(viewer.principal, run)
        return _part(written("run/entries.html", await self._entries(found, before)))

    async def _body(self, ground: Ground, viewer: Viewer, run: Run) -> str:
        entries = await self._entries(run, run.events + 1)
        values = {
            **await self._beside(ground, viewer, run),
            **entries,
            **await self._changes(viewer, run),
            "last": await self._resume(run),
            "is_live": not run.is_finished,
        }
        return written("run/body.html", values)

    async def _entries(self, run: Run, before: int) -> dict[str, Any]:
        told = await event_rows.of_kinds(self._db, run.tenant, run.id, TOLD, before=before, limit=AT_ONCE + 1)
        shown = told[-AT_ONCE:]
        made = [entry for entry in map(entry_of, shown) if entry is not None]
        return {"entries": made, "earlier": shown[0].seq if len(told) > AT_ONCE else None}

    async def _resume(self, run: Run) -> int:
        """Answer after which event whoever watches goes on: where the first of what is under way began."""
        if run.is_finished:
            return run.events
        latest = await event_rows.of_kinds(
            self._db, run.tenant, run.id, ("item_started", "item_completed"), before=run.events + 1, limit=100
        )
        started: dict[str, int] = {}
        for event in latest:
            item = str((event.data.get("item") or {}).get("id"))
            if event.kind == "item_started":
                started[item] = event.seq
            else:
                started.pop(item, None)
        return min(started.values(), default=run.events + 1) - 1

    async def _beside(self, ground: Ground, viewer: Viewer, run: Run) -> dict[str, Any]:
        approvals = await self._runs.approvals(viewer.principal, run.id)
        plan = await event_rows.of_kinds(
            self._db, run.tenant, run.id, ("plan",), before=run.events + 1, limit=1
        )
        waiting = [each for each in approvals if each.decision is None and not run.is_finished]
        files = [each.name for each in await self._runs.artifacts(viewer.principal, run.id)]
        return {
            "run": run,
            "id": run.id,
            "do": f"{ground.runs}/{run.id}",
            "thing": _thing(ground, run),
            "seal": viewer.seal,
            "state": STATES[run.state],
            "title": _title(run),
            "recipe": recipe_of(run).title,
            "asked": run.person or run.asker,
            "times": _times(run),
            "questions": [_question(each) for each in waiting],
            "answered": [_answered(each) for each in approvals if each.decision is not None],
            "why_not": viewer.why_not_decide(run),
            "plan": plan_of(plan, over=run.is_finished),
            "pull_request": pull_request_of(run),
            "may_ask_forge": bool((run.pull_request or {}).get("id")),
            "files_made": files,
            "usage": _used(run),
            "may_steer": viewer.may("run.steer") and hears(run),
            "may_cancel": viewer.may("run.cancel") and not run.is_finished and run.stop is None,
            "may_retry": viewer.session
            and viewer.may("run.start")
            and run.state in _AGAIN
            and thread_of(run) is None,
        }

    async def _changes(self, viewer: Viewer, run: Run) -> dict[str, Any]:
        files, left = files_of(await self._diff(viewer, run))
        return {
            "changed": files,
            "left": left,
            "additions": sum(each.additions for each in files),
            "deletions": sum(each.deletions for each in files),
            "open": _opened(files),
            "id": run.id,
        }

    async def _diff(self, viewer: Viewer, run: Run) -> str:
        """Answer git's own account of the change where it is made, and Codex's before."""
        try:
            return (await self._runs.artifact(viewer.principal, run.id, "diff"))[1].decode(errors="replace")
        except NotFound:
            latest = await event_rows.of_kinds(
                self._db, run.tenant, run.id, ("diff",), before=run.events + 1, limit=1
            )
            return str(latest[0].data.get("diff") or "") if latest else ""


_AGAIN: Final = ("failed", "cancelled", "timed_out")


def headers(ancestors: str = "'none'") -> dict[str, str]:
    """Answer the headers of these pages: our own script and no other, in the frames of those who may."""
    policy = _POLICY.format(ancestors=ancestors)
    return {"Content-Security-Policy": policy, "Referrer-Policy": "same-origin"}


def frame(ground: Ground, run: str) -> Response:
    """Answer the page in a product's frame, which has nothing in it until its script shows a token."""
    values = {**_frame(ground, None, "A run of Codex"), "id": run, "body": "", "framed": True}
    return page("run/page.html", values, headers=headers(ground.ancestors))


def _used(run: Run) -> list[tuple[str, str]]:
    """Answer what it used, as names and values: the first is told anew while it lives."""
    if not run.total_tokens:
        return [("Used", "nothing yet")]
    cached = f" ({run.cached_input_tokens:,} of them known)" if run.cached_input_tokens else ""
    told = [
        ("Used", f"{run.total_tokens:,} tokens"),
        ("Of them", f"{run.input_tokens:,} read{cached}, {run.output_tokens:,} written"),
    ]
    return told if run.cost is None else [*told, ("Cost", f"{run.cost:,.2f}")]


def _frame(ground: Ground, viewer: Viewer | None, title: str) -> dict[str, Any]:
    return {
        "tenant": ground.tenant,
        "runs_path": ground.runs,
        "home": ground.home,
        "places": viewer.places if viewer is not None else (),
        "viewer": viewer.name if viewer is not None else None,
        "title": title,
        "framed": ground.is_framed,
    }


def _part(text: str) -> Response:
    return HTMLResponse(text, headers={**HEADERS, **headers()})


def _thing(ground: Ground, run: Run) -> str | None:
    """Answer where the thing is that a run is about."""
    if ground.entities is None or run.entity is None or run.entity_id is None:
        return None
    return f"{ground.entities}/{run.entity}/{quote(run.entity_id, safe='')}"


def _title(run: Run) -> str:
    return " ".join(f"{run.entity_id or ''} {run.entity_title or ''}".split()) or recipe_of(run).title


def _line(run: Run) -> dict[str, Any]:
    word, tone = STATES[run.state]
    return {
        "id": run.id,
        "title": _title(run),
        "recipe": recipe_of(run).title,
        "state": word,
        "tone": tone,
        "asked": run.person or run.asker,
        "updated": iso(run.updated),
        "when": _moment(run.updated),
    }


def _times(run: Run) -> list[tuple[str, str, str]]:
    known = (("Asked for", run.created), ("Begun", run.started), ("Ended", run.finished))
    return [(name, str(iso(at)), _moment(at)) for name, at in known if at is not None]


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d %b %Y, %H:%M UTC")


def _question(asked: Approval) -> dict[str, Any]:
    data = asked.data
    changes = [str(each.get("path")) for each in data.get("changes") or () if isinstance(each, Mapping)]
    return {
        "id": asked.id,
        "kind": _KINDS[asked.kind],
        "is_publish": asked.kind == "publish",
        "reason": asked.reason,
        "command": data.get("command"),
        "changes": changes,
        "permissions": json.dumps(data["permissions"], indent=2) if data.get("permissions") else None,
        "deadline": str(iso(asked.deadline)),
        "until": _moment(asked.deadline),
    }


def _answered(asked: Approval) -> dict[str, Any]:
    words = {"approve": "approved", "decline": "declined", "cancel": "declined"}
    nobody = asked.decided_by_kind in ("deadline", "withdrawn")
    return {
        "kind": _KINDS[asked.kind],
        "decision": "nobody answered" if nobody else words[str(asked.decision)],
        "by": None if nobody else asked.person or asked.decided_by,
        "note": asked.note,
    }


def plan_of(latest: list[RunEvent], *, over: bool = False) -> list[dict[str, str]]:
    """Answer the plan as it was told last; in a run that is over, what was not done is left open."""
    steps = latest[0].data.get("steps") or [] if latest else []
    now, later = ("open", "open") if over else ("now", "to do")
    words = {"completed": "done", "inProgress": now, "in_progress": now}
    return [
        {"step": str(each.get("step")), "status": words.get(str(each.get("status")), later)}
        for each in steps
        if isinstance(each, Mapping)
    ]


def pull_request_of(run: Run) -> dict[str, str] | None:
    """Answer what was published; only an address that a browser opens as a page becomes a link."""
    made = run.pull_request
    url = str(made.get("url") or "") if made else ""
    if made is None or not url.startswith(SAFE):
        return None
    number = f"{run.repository or ''}#{made['number']}" if made.get("number") else ""
    return {"url": url, "title": str(made.get("title") or number or made.get("id") or url)}


def _opened(files: list[FileChange]) -> int:
    """Answer how many files are shown open: all of a small change, or the first of a large one."""
    if sum(len(each.raw) for each in files) <= _FEW_LINES:
        return len(files)
    return int(bool(files) and len(files[0].raw) <= _MANY_LINES)


def place_of(text: str | None) -> tuple[float, str] | None:
    """Answer the change and the id of the run that a list of runs goes on from; None for what is none."""
    at, _, run = (text or "").partition(":")
    try:
        return (float(at), run) if run else None
    except ValueError:
        return None
