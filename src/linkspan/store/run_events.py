"""What happened in runs, in order, and what people said to them meanwhile.

Events are numbered by the run's own row, in the transaction that stores them, so that there is no gap and no
two have one number, whoever writes. They come in bursts and are stored in batches; one that is lost with the
machine's power was only a report, so they are not durable by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from linkspan.store.database import Database, Row, Transaction

WordKind = Literal["steer", "interrupt", "look"]


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing that happened. `kind` is one of an engine's, or of ours."""

    seq: int
    time: float
    kind: str
    data: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody said to a run."""

    id: int
    kind: WordKind
    words: str = field(repr=False)
    who: str


async def append(
    db: Database,
    tenant: str,
    run: str,
    events: Sequence[tuple[float, str, Mapping[str, Any]]],
    *,
    epoch: int | None,
    turns: int = 0,
    items: int = 0,
    durable: bool = False,
) -> int | None:
    """Store events (time, kind, data) and answer the number of the last one.

    None when the run is not there, or somebody else took it since; `epoch` None is for what people and other
    processes do to a run that they have not taken.
    """
    return await db.transaction(
        lambda tx: add(tx, tenant, run, events, epoch=epoch, turns=turns, items=items),
        durable=durable,
        quiet=True,
    )


def add(
    tx: Transaction,
    tenant: str,
    run: str,
    events: Sequence[tuple[float, str, Mapping[str, Any]]],
    *,
    epoch: int | None,
    turns: int = 0,
    items: int = 0,
) -> int | None:
    """Store events inside a transaction; see `append`."""
    fence = "" if epoch is None else " AND epoch = :epoch AND finished IS NULL"
    values = {"tenant": tenant, "id": run, "count": len(events), "turns": turns, "items": items}
    found = tx.query(
        "UPDATE runs SET events = events + :count, turns = turns + :turns, items = items + :items,"  # noqa: S608
        f" updated = :time WHERE tenant = :tenant AND id = :id{fence} RETURNING events",
        {**values, "time": events[-1][0], **({} if epoch is None else {"epoch": epoch})},
    )
    if not found:
        return None
    last: int = found[0]["events"]
    tx.execute_many(
        "INSERT INTO run_events (tenant, run, seq, time, kind, data)"
        " VALUES (:tenant, :run, :seq, :time, :kind, :data)",
        [
            {
                "tenant": tenant,
                "run": run,
                "seq": last - len(events) + number,
                "time": time,
                "kind": kind,
                "data": _written(data),
            }
            for number, (time, kind, data) in enumerate(events, start=1)
        ],
    )
    return last


def as_read(events: Sequence[tuple[float, str, Mapping[str, Any]]], last: int) -> list[RunEvent]:
    """Answer events that were just stored as `after` would; `last` is the number of the last one."""
    first = last - len(events) + 1
    return [
        RunEvent(seq, time, kind, json.loads(_written(data)))
        for seq, (time, kind, data) in enumerate(events, start=first)
    ]


async def news(
    db: Database, tenant: str, run: str, seq: int | None, *, limit: int = 500
) -> tuple[int, bool, list[RunEvent]] | None:
    """Answer how many events a run has, whether it has ended, and its events after a number (None: none).

    One look for all of it, since whoever watches looks often. None: there is no such run.
    """
    rows = await db.query(
        "SELECT r.events, CASE WHEN r.finished IS NULL THEN 0 ELSE 1 END AS is_over,"
        " e.seq, e.time, e.kind, e.data FROM runs r LEFT JOIN run_events e"
        " ON e.tenant = r.tenant AND e.run = r.id AND e.seq > :seq AND e.seq <= r.events"
        " WHERE r.tenant = :tenant AND r.id = :run ORDER BY e.seq LIMIT :limit",
        {"tenant": tenant, "run": run, "seq": 2**31 - 1 if seq is None else seq, "limit": limit},
    )
    if not rows:
        return None
    told = [_event(row) for row in rows if row["seq"] is not None]
    return rows[0]["events"], bool(rows[0]["is_over"]), told


async def after(db: Database, tenant: str, run: str, seq: int, *, limit: int = 500) -> list[RunEvent]:
    """Answer the events of a run after that number, in order."""
    rows = await db.query(
        "SELECT seq, time, kind, data FROM run_events WHERE tenant = :tenant AND run = :run AND seq > :seq"
        " ORDER BY seq LIMIT :limit",
        {"tenant": tenant, "run": run, "seq": seq, "limit": limit},
    )
    return [_event(row) for row in rows]


async def of_kinds(
    db: Database, tenant: str, run: str, kinds: Sequence[str], *, before: int, limit: int
) -> list[RunEvent]:
    """Answer the latest events of some kinds from before a number, in order."""
    names = {f"kind{number}": kind for number, kind in enumerate(kinds)}
    rows = await db.query(
        "SELECT seq, time, kind, data FROM run_events WHERE tenant = :tenant AND run = :run"  # noqa: S608
        f" AND seq < :before AND kind IN ({', '.join(f':{name}' for name in names)})"
        " ORDER BY seq DESC LIMIT :limit",
        {"tenant": tenant, "run": run, "before": before, "limit": limit, **names},
    )
    return [_event(row) for row in reversed(rows)]


async def say(
    db: Database, tenant: str, run: str, *, kind: WordKind, words: str, who: str, now: float
) -> None:
    """Leave words for whoever works the run."""
    await db.execute(
        "INSERT INTO run_words (tenant, run, kind, words, who, created)"
        " VALUES (:tenant, :run, :kind, :words, :who, :now)",
        {"tenant": tenant, "run": run, "kind": kind, "words": words, "who": who, "now": now},
        quiet=True,
    )


async def hear(db: Database, tenant: str, run: str, *, epoch: int, now: float) -> list[Word]:
    """Take the words that nobody has taken yet, in the order in which they were said.

    Nobody but who has the run hears any.
    """
    rows = await db.query(
        "SELECT id FROM run_words WHERE tenant = :tenant AND run = :run AND taken IS NULL LIMIT 1",
        {"tenant": tenant, "run": run},
    )
    if not rows:
        return []
    taken = await db.transaction(
        lambda tx: tx.query(
            "UPDATE run_words SET taken = :now WHERE tenant = :tenant AND run = :run AND taken IS NULL"
            " AND EXISTS (SELECT 1 FROM runs r WHERE r.tenant = :tenant AND r.id = :run AND r.epoch = :epoch)"
            " RETURNING id, kind, words, who",
            {"tenant": tenant, "run": run, "epoch": epoch, "now": now},
        ),
        quiet=True,
    )
    return sorted((Word(**row) for row in taken), key=lambda word: word.id)


def _written(data: Mapping[str, Any]) -> str:
    return json.dumps(dict(data), separators=(",", ":"), default=str)


def _event(row: Row) -> RunEvent:
    return RunEvent(row["seq"], row["time"], row["kind"], json.loads(row["data"]))
