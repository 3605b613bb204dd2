"""Runs: what was asked, where it is, and how it ended.

Whoever works a run has taken it, and with it the next `epoch` of its row; every write of theirs names the
epoch that they took. A worker that was taken for dead and comes back finds another one there, and writes
nothing. Nothing here is cached by anybody, so every write is quiet.

Every query takes a tenant; what workers ask for all tenants at once is in run_turns.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal, get_args

from linkspan.store import run_news
from linkspan.store.database import Database, Row, Transaction

State = Literal[
    "queued",
    "preparing",
    "running",
    "waiting_approval",
    "publishing",
    "succeeded",
    "failed",
    "cancelled",
    "timed_out",
]
STATES: Final[tuple[State, ...]] = get_args(State)
FINISHED: Final[tuple[State, ...]] = ("succeeded", "failed", "cancelled", "timed_out")
ParentHow = Literal["retry", "fork", "review"]
_JSON: Final = ("plan", "pull_request", "versions")


@dataclass(frozen=True, slots=True)
class Run:
    """One piece of work for Codex. Times are epoch seconds."""

    tenant: str
    id: str
    source: str
    """The door it came through: api, mcp, cli, button, or `webhook:NAME`."""
    asker_kind: str
    asker: str
    """Which principal asked."""
    person: str | None
    """For whom a service asked; the asker itself, where that is a person."""
    recipe: str
    plan: Mapping[str, Any] = field(repr=False)
    """What was settled when it was asked for: the recipe, and the tenant's settings."""
    state: State
    created: float
    updated: float
    entity: str | None = None
    entity_id: str | None = None
    entity_title: str | None = None
    entity_url: str | None = None
    """Its page for people, where the product says one."""
    account: str | None = None
    """Where the entity is, if that had to be said."""
    engine: str = "app_server"
    model: str | None = None
    repository: str | None = None
    base_branch: str | None = None
    base_commit: str | None = None
    branch: str | None = None
    tree: str | None = None
    """git's id of all its files, as they were when its diff was kept: no other is published."""
    thread_id: str | None = None
    turns: int = 0
    items: int = 0
    events: int = 0
    """How many events it has; the number of the last one."""
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cost: float | None = None
    """In the operator's currency; None without a price for its model."""
    spent_seconds: float = 0.0
    """Of its budget, in stays in the engine that are over."""
    pull_request: Mapping[str, Any] | None = None
    summary: str | None = field(default=None, repr=False)
    error_code: str | None = None
    error_message: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    parent: str | None = None
    parent_how: ParentHow | None = None
    stop: str | None = None
    """`cancel` once somebody has asked that it ends."""
    stopped_by: str | None = None
    private_to: str | None = None
    """The person whose own accounts it may read with; None: it reads with those that the tenant shares."""
    epoch: int = 0
    worker: str | None = None
    started: float | None = None
    finished: float | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it goes on with a pull request that is there, because a review asked for changes."""
        return self.parent_how == "review"

    @property
    def is_finished(self) -> bool:
        """Whether it has ended."""
        return self.state in FINISHED


COLUMNS: Final = tuple(each.name for each in fields(Run))
_CHANGED: Final = frozenset(COLUMNS) - {"tenant", "id", "epoch", "events", "created"}


async def find(db: Database, tenant: str, run: str) -> Run | None:
    """Answer a run of the tenant."""
    rows = await db.query("SELECT * FROM runs WHERE tenant = :tenant AND id = :id", _key(tenant, run))
    return run_of(rows[0]) if rows else None


async def listed(
    db: Database,
    tenant: str,
    *,
    states: Sequence[str] = (),
    recipe: str | None = None,
    entity: str | None = None,
    entity_id: str | None = None,
    branch: str | None = None,
    thread: str | None = None,
    asker: str | None = None,
    reader: str | None = None,
    updated_after: float | None = None,
    after: tuple[float, str] | None = None,
    before: tuple[float, str] | None = None,
    limit: int = 100,
) -> list[Run]:
    """Answer runs that fit, the one that changed last first.

    `reader` leaves out private ones that this person may not look at; None: somebody who may look at all.
    With `updated_after` or `after` (the change and the id of the last one that was seen) they come in the
    order of their changes, oldest first, for whoever follows them; with `before`, those changed earlier.
    """
    given = {"recipe": recipe, "entity": entity, "entity_id": entity_id, "branch": branch, "person": asker}
    given |= {"thread_id": thread}
    asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    clauses = ["tenant = :tenant", *(f"{name} = :{name}" for name in asked), *open_to(reader)]
    if states:
        clauses.append(f"state IN ({', '.join(f':state{index}' for index in range(len(states)))})")
        asked |= {f"state{index}": state for index, state in enumerate(states)}
    forwards = updated_after is not None or after is not None
    if updated_after is not None:
        clauses.append("updated > :updated_after")
        asked["updated_after"] = updated_after
    for place, sign in ((after, ">"), (before, "<")):
        if place is not None:
            clauses.append(f"(updated, id) {sign} (:place, :place_id)")
            asked |= {"place": place[0], "place_id": place[1]}
    order = "updated, id" if forwards else "updated DESC, id DESC"
    rows = await db.query(
        f"SELECT * FROM runs WHERE {' AND '.join(clauses)} ORDER BY {order} LIMIT :limit",  # noqa: S608
        {**asked, **_reads(reader), "tenant": tenant, "limit": limit},
    )
    return [run_of(row) for row in rows]


async def with_terms(
    db: Database,
    tenant: str,
    terms: Sequence[str],
    *,
    reader: str | None = None,
    before: tuple[float, str] | None = None,
    limit: int = 50,
) -> list[Run]:
    """Answer runs in which every term begins a word, the one that changed last first (see run_terms)."""
    clauses = ["tenant = :tenant", *open_to(reader)]
    values: dict[str, Any] = {**_reads(reader), "tenant": tenant, "limit": limit}
    for number, term in enumerate(terms):
        clauses.append(
            "id IN (SELECT run FROM run_terms WHERE tenant = :tenant"  # noqa: S608
            f" AND term >= :from{number} AND term < :to{number})"
        )
        values |= {f"from{number}": term, f"to{number}": f"{term}\U0010ffff"}
    if before is not None:
        clauses.append("(updated, id) < (:place, :place_id)")
        values |= {"place": before[0], "place_id": before[1]}
    rows = await db.query(
        f"SELECT * FROM runs WHERE {' AND '.join(clauses)} ORDER BY updated DESC, id DESC LIMIT :limit",  # noqa: S608
        values,
    )
    return [run_of(row) for row in rows]


async def of_threads(db: Database, tenant: str, threads: Sequence[str]) -> list[Run]:
    """Answer the runs whose conversations these are, oldest first."""
    if not threads:
        return []
    names = {f"thread{number}": thread for number, thread in enumerate(threads)}
    rows = await db.query(
        f"SELECT * FROM runs WHERE tenant = :tenant AND thread_id IN ({', '.join(f':{n}' for n in names)})"  # noqa: S608
        " ORDER BY created, id",
        {**names, "tenant": tenant},
    )
    return [run_of(row) for row in rows]


async def take(db: Database, tenant: str, run: str, *, worker: str, now: float) -> Run | None:
    """Take a run that has not ended, whoever had it; answer it with its new epoch. None: it has ended."""
    rows = await db.transaction(
        lambda tx: tx.query(
            "UPDATE runs SET epoch = epoch + 1, worker = :worker, updated = :now,"
            " started = coalesce(started, :now)"
            " WHERE tenant = :tenant AND id = :id AND finished IS NULL RETURNING *",
            {**_key(tenant, run), "worker": worker, "now": now},
        ),
        quiet=True,
    )
    return run_of(rows[0]) if rows else None


async def change(db: Database, tenant: str, run: str, epoch: int, now: float, **columns: Any) -> Run | None:
    """Change columns of a run for whoever took that epoch; None when somebody took it since, or it ended."""
    return await db.transaction(lambda tx: changed(tx, tenant, run, epoch, now, **columns), quiet=True)


def changed(tx: Transaction, tenant: str, run: str, epoch: int, now: float, **columns: Any) -> Run | None:
    """Do the same inside a transaction."""
    unknown = columns.keys() - _CHANGED
    if unknown:
        raise ValueError(f"no columns of a run: {', '.join(unknown)}")
    sets = "".join(f", {name} = :{name}" for name in columns)
    found = tx.query(
        f"UPDATE runs SET updated = :now{sets} WHERE tenant = :tenant AND id = :id"  # noqa: S608
        " AND epoch = :epoch AND finished IS NULL RETURNING *",
        {**written(columns), **_key(tenant, run), "epoch": epoch, "now": now},
    )
    return run_of(found[0]) if found else None


async def move_on(db: Database, tenant: str, run: str, epoch: int) -> bool:
    """Take a run away from whoever took that epoch; True for the one of several that does it."""
    moved = await db.execute(
        "UPDATE runs SET epoch = epoch + 1 WHERE tenant = :tenant AND id = :id AND epoch = :epoch"
        " AND finished IS NULL",
        {**_key(tenant, run), "epoch": epoch},
        quiet=True,
    )
    return moved == 1


async def holds(db: Database, tenant: str, run: str, epoch: int) -> bool:
    """Tell whether whoever took that epoch still has the run."""
    return bool(await db.query(_HELD, {**_key(tenant, run), "epoch": epoch}))


def held(tx: Transaction, tenant: str, run: str, epoch: int) -> bool:
    """Tell the same inside a transaction, for what is written in it."""
    return bool(tx.query(_HELD, {**_key(tenant, run), "epoch": epoch}))


_HELD: Final = (
    "SELECT 1 FROM runs WHERE tenant = :tenant AND id = :id AND epoch = :epoch AND finished IS NULL"
)


async def note_pull_request(
    db: Database, tenant: str, run: str, pull_request: Mapping[str, Any], *, now: float
) -> bool:
    """Keep where a run's pull request stands, after the run has ended. False: it has not, or is not there."""

    def work(tx: Transaction) -> bool:
        changed = tx.query(
            "UPDATE runs SET pull_request = :pull_request, updated = :now"
            " WHERE tenant = :tenant AND id = :id AND finished IS NOT NULL RETURNING *",
            {**_key(tenant, run), "pull_request": json.dumps(dict(pull_request)), "now": now},
        )
        return bool(changed)

    return await db.transaction(work, quiet=True)


async def ask_to_stop(
    db: Database,
    tenant: str,
    run: str,
    *,
    who: str,
    code: str = "cancelled",
    message: str | None = None,
    now: float,
) -> Run | None:
    """Note that a run is to end; one that nobody has taken yet ends at once, with that message.

    None: it has ended already.
    """

    def work(tx: Transaction) -> list[Row]:
        values = {**_key(tenant, run), "who": who, "now": now}
        ending = {**values, "code": code, "message": message}
        ended = tx.query(
            "UPDATE runs SET state = 'cancelled', stop = 'cancel', stopped_by = :who, finished = :now,"
            " updated = :now, epoch = epoch + 1, error_code = :code, error_message = :message"
            " WHERE tenant = :tenant AND id = :id AND state = 'queued' AND epoch = 0 RETURNING *",
            ending,
        )
        if ended:
            run_news.record(tx, run_of(ended[0]), now=now)
            return ended
        return tx.query(
            "UPDATE runs SET stop = 'cancel', stopped_by = coalesce(stopped_by, :who), updated = :now"
            " WHERE tenant = :tenant AND id = :id AND finished IS NULL RETURNING *",
            values,
        )

    rows = await db.transaction(work, quiet=True)
    return run_of(rows[0]) if rows else None


def inside(tx: Transaction, tenant: str, run: str) -> Run | None:
    """Answer a run inside a transaction."""
    found = tx.query("SELECT * FROM runs WHERE tenant = :tenant AND id = :id", _key(tenant, run))
    return run_of(found[0]) if found else None


def count_usage(
    tx: Transaction, tenant: str, run: str, tokens: Mapping[str, int], cost: float | None
) -> Run | None:
    """Add what a call of the model took, inside a transaction, and answer the run."""
    rows = tx.query(
        "UPDATE runs SET input_tokens = input_tokens + :input_tokens,"
        " cached_input_tokens = cached_input_tokens + :cached_input_tokens,"
        " output_tokens = output_tokens + :output_tokens, total_tokens = total_tokens + :total_tokens,"
        " cost = CASE WHEN CAST(:cost AS double precision) IS NULL THEN cost"
        " ELSE coalesce(cost, 0) + :cost END"
        " WHERE tenant = :tenant AND id = :id RETURNING *",
        {**_key(tenant, run), **tokens, "cost": cost},
    )
    return run_of(rows[0]) if rows else None


async def worked_seconds(db: Database, tenant: str, since: float) -> float:
    """Answer how long engines worked for the tenant's runs that were asked for since then and are kept."""
    (row,) = await db.query(
        "SELECT coalesce(sum(spent_seconds), 0) AS seconds FROM runs"
        " WHERE tenant = :tenant AND updated >= :since AND created >= :since",
        {"tenant": tenant, "since": since},
    )
    return float(row["seconds"])


async def sweep(db: Database, *, finished_before: float) -> int:
    """Delete runs that ended before a time, with all that was kept of them; usage stays. Answer how many."""

    def work(tx: Transaction) -> int:
        old = {"time": finished_before}
        if not tx.query("SELECT 1 FROM runs WHERE finished < :time LIMIT 1", old):
            tx.execute("DELETE FROM tokens WHERE kind = 'run' AND expires < :time", old)
            return 0
        for table in ("run_events", "run_words", "run_terms", "run_readers", "approvals", "artifacts"):
            tx.execute(
                f"DELETE FROM {table} WHERE EXISTS (SELECT 1 FROM runs r WHERE r.tenant = {table}.tenant"  # noqa: S608
                f" AND r.id = {table}.run AND r.finished < :time)",
                old,
            )
        tx.execute("DELETE FROM tokens WHERE kind = 'run' AND expires < :time", old)
        return tx.execute("DELETE FROM runs WHERE finished < :time", old)

    return await db.transaction(work, quiet=True)


def open_to(reader: str | None) -> list[str]:
    """Answer the clause that leaves out what a person may not look at."""
    if reader is None:
        return []
    readers = "SELECT 1 FROM run_readers r WHERE r.tenant = runs.tenant AND r.run = runs.id"
    return [f"(private_to IS NULL OR EXISTS ({readers} AND r.person = :reader))"]


def _reads(reader: str | None) -> dict[str, str]:
    return {} if reader is None else {"reader": reader}


def _key(tenant: str, run: str) -> dict[str, str]:
    return {"tenant": tenant, "id": run}


def written(values: Mapping[str, Any]) -> dict[str, Any]:
    """Answer columns as a row has them."""
    return {
        name: json.dumps(dict(value), separators=(",", ":")) if name in _JSON and value is not None else value
        for name, value in values.items()
    }


def run_of(row: Row) -> Run:
    """Read a row."""
    read = {name: json.loads(row[name]) if row[name] is not None else None for name in _JSON}
    return Run(**{**row, **read})
