"""The first page: what runs, what waits for somebody, what is broken."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from linkspan.store import overview as rows
from linkspan.store.overview import AccountFilter
from linkspan.web.console.accounts import STATES as ACCOUNT_STATES
from linkspan.web.console.accounts import account_row
from linkspan.web.console.door import PATH, Visit
from linkspan.web.console.runs import RUN_COLUMNS, run_row
from linkspan.web.console.shape import Cell, Facts, Table, Tone, Value, onward
from linkspan.web.watch.entries import STATES

_SHOWN = 10
_LATELY = 7 * 86_400.0
"""Seconds for which a run that failed is something to look at."""
_FAILED = ("failed", "timed_out")
_GOING_ON = ("queued", "preparing", "running", "publishing")


async def show(visit: Visit) -> Response:
    """Answer the overview."""
    parts, only = visit.parts, visit.admin.only
    db, private = parts.database, visit.admin.may("operator")
    counts = await rows.run_counts(db, tenant=only)
    waiting = await rows.runs(db, tenant=only, states=("waiting_approval",), private=private, limit=_SHOWN)
    going = await rows.runs(db, tenant=only, states=_GOING_ON, private=private, limit=_SHOWN)
    failed = await rows.runs(db, tenant=only, states=_FAILED, private=private, limit=_SHOWN)
    failed = [run for run in failed if run.updated > parts.clock() - _LATELY]
    more = onward(f"{PATH}/runs", {"state": "failed"}) if len(failed) == _SHOWN else None
    broken = await rows.accounts(db, AccountFilter(tenant=only, state="needs_reauth"), limit=_SHOWN)
    accounts = await rows.account_counts(db, tenant=only)
    given_up = await parts.outbox.list(tenant=only, state="dead", limit=100)
    dead = len(given_up)
    ready = await parts.readiness()
    facts: list[tuple[str, Value]] = [
        *((STATES[state][0], _run_count(state, counts)) for state in STATES if counts.get(state)),
        ("Accounts", _accounts(accounts)),
        ("Deliveries given up", Cell(f"{dead}{'+' if dead == 100 else ''}", f"{PATH}/deliveries?state=dead",
                                     "bad" if dead else "good")),
        ("tools.yaml", _tools(ready)),
    ]  # fmt: skip
    return visit.show(
        "Overview",
        [
            Table("Waits for somebody", RUN_COLUMNS, [run_row(run) for run in waiting], "Nothing does."),
            Table("Is broken", ("Account", "Tenant", "Connector", "State", "Why"),
                  [account_row(each) for each in broken], "No account needs to be linked again."),
            Table("Failed in the last seven days", RUN_COLUMNS, [run_row(run) for run in failed],
                  "No run did.", more=more),
            Table("Runs now", RUN_COLUMNS, [run_row(run) for run in going], "No run is under way."),
            Facts("In numbers", facts),
        ],
    )  # fmt: skip


def _run_count(state: str, counts: Mapping[str, int]) -> Cell:
    tone: Tone = "asks" if state == "waiting_approval" else ""
    count = counts[state]
    return Cell(f"{count} run{'' if count == 1 else 's'}", onward(f"{PATH}/runs", {"state": state}), tone)


def _accounts(counts: Mapping[str, int]) -> Cell:
    told = ", ".join(
        f"{counts[state]} {word}" for state, (word, _) in ACCOUNT_STATES.items() if state in counts
    )
    return Cell(told or "none", f"{PATH}/accounts")


def _tools(ready: Mapping[str, object]) -> Cell:
    if not ready.get("ready"):
        return Cell(str(ready.get("why") or "not ready"), tone="bad")
    told = str(ready.get("tools_yaml"))
    return Cell(told, tone="good" if told == "good" else "bad")
