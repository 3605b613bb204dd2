"""Runs that are to start: what stands in the way of one, and writing it down.

On one thing a recipe works once at a time. A thing is known by its id and by where it is: of two accounts
that a tenant shares, or that are at two addresses, each has its own HC-103. An account of a person's own is
another way to what the tenant's shared one sees, so by it the thing is the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from linkspan.store import run_events, run_news, tenants
from linkspan.store.database import Database, Row, Transaction
from linkspan.store.runs import COLUMNS, Run, inside, run_of, written

_PLACES: Final = """
SELECT connector, subject, settings FROM accounts WHERE tenant = :tenant AND id IN (:one, :other)
"""
_WAITING: Final = """
SELECT count(*) AS number FROM runs WHERE tenant = :tenant AND finished IS NULL AND state = 'queued'
"""


async def add(
    db: Database,
    run: Run,
    *,
    told: Mapping[str, Any] | None = None,
    said: Mapping[str, Any] | None = None,
    readers: Sequence[str] = (),
    most_waiting: int | None = None,
) -> tuple[Run, bool] | Literal["full"] | None:
    """Store a new run, and answer it and True; or who stands in its way, and False.

    That is the one with its id, or another one of its recipe that goes on for its thing; not for a turn of a
    conversation, which several people may have on one thing. None when there is no such tenant. `readers` are
    the people who may look at one that is private. "full" when the tenant has `most_waiting` already that
    wait for their turn. `told` is its first event, `said` what somebody said to Codex with it.
    """

    def work(tx: Transaction) -> tuple[Run, bool] | Literal["full"] | None:
        if not tenants.known(tx, run.tenant):
            return None
        there = inside(tx, run.tenant, run.id)
        if there is None and run.entity_id is not None and "thread" not in run.plan:
            there = _active(tx, run.tenant, run.recipe, run.entity_id, run.account)
        if there is not None:
            return there, False
        if most_waiting is not None and _count(tx.query(_WAITING, {"tenant": run.tenant})) >= most_waiting:
            return "full"
        (row,) = tx.query(
            f"INSERT INTO runs ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{n}' for n in COLUMNS)})"  # noqa: S608
            " ON CONFLICT (tenant, id) DO NOTHING RETURNING *",
            written({name: getattr(run, name) for name in COLUMNS}),
        )
        kept = run_of(row)
        if told is not None:
            first = [(run.created, "state", told), *([(run.created, "steered", said)] if said else ())]
            run_events.add(tx, run.tenant, run.id, first, epoch=None)
            kept = replace(kept, events=len(first))
        tx.execute_many(
            "INSERT INTO run_readers (tenant, run, person) VALUES (:tenant, :run, :person)",
            [{"tenant": run.tenant, "run": run.id, "person": person} for person in dict.fromkeys(readers)],
        )
        run_news.record(tx, kept, now=run.created)
        return kept, True

    return await db.transaction(work, quiet=True)


async def active_on(
    db: Database, tenant: str, recipe: str, entity_id: str | None, *, account: str | None = None
) -> Run | None:
    """Answer the run of a recipe that goes on for a thing (or for nothing, where that is None).

    `account` is where the thing is; None: it is not known, and may be where any run has it.
    """
    return await db.transaction(lambda tx: _active(tx, tenant, recipe, entity_id, account), quiet=True)


async def is_one_place(db: Database, tenant: str, one: str | None, other: str | None) -> bool:
    """Tell whether one id means one thing by these two accounts, as far as anybody knows."""
    if _may_be_one(one, other):
        return True
    return _are_one(await db.query(_PLACES, {"tenant": tenant, "one": one, "other": other}))


async def started_by_events(db: Database, tenant: str, recipe: str, entity_id: str, since: float) -> int:
    """Answer how many runs of a recipe events have started for a thing since a time."""
    rows = await db.query(
        "SELECT count(*) AS number FROM runs WHERE tenant = :tenant AND recipe = :recipe"
        " AND entity_id = :entity_id AND created > :since AND source LIKE 'webhook:%'",
        {"tenant": tenant, "recipe": recipe, "entity_id": entity_id, "since": since},
    )
    return _count(rows)


async def last_by_events(
    db: Database, tenant: str, recipe: str, entity_id: str, *, account: str
) -> Run | None:
    """Answer the run of a recipe that events started last for a thing at an account."""
    rows = await db.query(
        "SELECT * FROM runs WHERE tenant = :tenant AND recipe = :recipe AND entity_id = :entity_id"
        " AND (account IS NULL OR account = :account) AND source LIKE 'webhook:%'"
        " ORDER BY created DESC, id DESC LIMIT 1",
        {"tenant": tenant, "recipe": recipe, "entity_id": entity_id, "account": account},
    )
    return run_of(rows[0]) if rows else None


async def waiting(db: Database, tenant: str) -> int:
    """Answer how many runs of a tenant wait for their turn."""
    return _count(await db.query(_WAITING, {"tenant": tenant}))


def _active(
    tx: Transaction, tenant: str, recipe: str, entity_id: str | None, account: str | None
) -> Run | None:
    """Answer the oldest run of a recipe that goes on for the same thing, if there is one."""
    thing, named = ("IS NULL", {}) if entity_id is None else ("= :entity_id", {"entity_id": entity_id})
    rows = tx.query(
        f"SELECT * FROM runs WHERE tenant = :tenant AND recipe = :recipe AND entity_id {thing}"  # noqa: S608
        " AND finished IS NULL ORDER BY created, id",
        {"tenant": tenant, "recipe": recipe, **named},
    )
    there = (run_of(row) for row in rows)
    return next((run for run in there if _is_one_place(tx, tenant, run.account, account)), None)


def _is_one_place(tx: Transaction, tenant: str, one: str | None, other: str | None) -> bool:
    if _may_be_one(one, other):
        return True
    return _are_one(tx.query(_PLACES, {"tenant": tenant, "one": one, "other": other}))


def _may_be_one(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _are_one(found: Sequence[Row]) -> bool:
    if len(found) < 2:  # one of them was unlinked
        return False
    first, second = ((each["connector"], json.loads(each["settings"])) for each in found)
    return first == second and any(each["subject"] is not None for each in found)


def _count(rows: Sequence[Row]) -> int:
    return int(rows[0]["number"])
