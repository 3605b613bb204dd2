"""What people do at a run's page: decide, say something to Codex, end its turn or the run, try again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from linkspan.errors import InvalidArgument
from linkspan.runs.runs import Runs
from linkspan.store.approvals import Decision
from linkspan.store.runs import Run
from linkspan.web.oauth.forms import Form
from linkspan.web.watch.viewer import Viewer

VERBS: Final = ("decide", "steer", "interrupt", "cancel", "retry")
_DECISIONS: Final[Mapping[str, Decision]] = {"approve": "approve", "decline": "decline"}
_LONGEST_NOTE: Final = 1_000


async def do(runs: Runs, viewer: Viewer, run: str, verb: str, form: Form) -> Run:
    """Do it, and answer the run to look at then. Raises what the run says to it."""
    who, person = viewer.principal, viewer.person
    match verb:
        case "decide":
            decision = _DECISIONS.get(form.one("decision") or "")
            if decision is None:
                raise InvalidArgument("decision: must be approve or decline")
            note = (form.one("note") or "")[:_LONGEST_NOTE] or None
            question = form.one("approval") or (await runs.open_approval(who, run)).id
            await runs.decide(who, run, question, decision, person=person, note=note)
        case "steer":
            return await runs.steer(who, run, form.one("text") or "", person=person)
        case "interrupt":
            return await runs.interrupt(who, run, person=person)
        case "cancel":
            return await runs.cancel(who, run, person=person)
        case "retry":
            return await runs.retry(who, run, key=f"again:{run}", person=person)
    return await runs.get(who, run)
