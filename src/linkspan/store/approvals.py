"""What only a person may answer, and who answered it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from linkspan.store import run_news, runs
from linkspan.store.database import Database, Row, Transaction

ApprovalKind = Literal["command", "file_change", "permissions", "publish"]
Decision = Literal["approve", "decline", "cancel"]


@dataclass(frozen=True, slots=True)
class Approval:
    """One question of a run. Without a decision by its deadline it is declined."""

    tenant: str
    id: str
    run: str
    kind: ApprovalKind
    reason: str
    data: Mapping[str, Any] = field(repr=False)
    created: float
    deadline: float
    decision: Decision | None = None
    decided_by_kind: str | None = None
    decided_by: str | None = None
    person: str | None = None
    """For whom a service decided; the one who decided, where that is a person."""
    note: str | None = None
    decided: float | None = None

    def is_open(self, now: float) -> bool:
        """Whether somebody may still decide."""
        return self.decision is None and now < self.deadline


async def ask(db: Database, approval: Approval, *, epoch: int) -> Approval | None:
    """Store a question, and answer it as it stands: asked again, it may be decided already.

    None when somebody else took the run since.
    """
    values = {**{name: getattr(approval, name) for name in _KEPT}, "data": json.dumps(dict(approval.data))}

    def work(tx: Transaction) -> Approval | None:
        if not runs.held(tx, approval.tenant, approval.run, epoch):
            return None
        added = tx.execute(
            f"INSERT INTO approvals ({', '.join(_KEPT)}) VALUES ({', '.join(f':{name}' for name in _KEPT)})"  # noqa: S608
            " ON CONFLICT (tenant, id) DO NOTHING",
            values,
        )
        run = runs.inside(tx, approval.tenant, approval.run) if added == 1 else None
        if run is not None:
            run_news.record_question(tx, run, approval, now=approval.created)
        (row,) = tx.query("SELECT * FROM approvals WHERE tenant = :tenant AND id = :id", values)
        return _approval(row)

    return await db.transaction(work, quiet=True)


async def find(db: Database, tenant: str, approval: str) -> Approval | None:
    """Answer a question of the tenant."""
    rows = await db.query(
        "SELECT * FROM approvals WHERE tenant = :tenant AND id = :id", {"tenant": tenant, "id": approval}
    )
    return _approval(rows[0]) if rows else None


async def of_run(db: Database, tenant: str, run: str) -> list[Approval]:
    """Answer what a run has asked, in order."""
    rows = await db.query(
        "SELECT * FROM approvals WHERE tenant = :tenant AND run = :run ORDER BY created, id",
        {"tenant": tenant, "run": run},
    )
    return [_approval(row) for row in rows]


async def decide(
    db: Database,
    tenant: str,
    approval: str,
    decision: Decision,
    *,
    kind: str,
    who: str,
    person: str | None,
    note: str | None,
    now: float,
) -> Approval | None:
    """Store the first decision that comes before the deadline; None when there was one, or it is too late."""
    rows = await db.transaction(
        lambda tx: tx.query(
            "UPDATE approvals SET decision = :decision, decided_by_kind = :kind, decided_by = :who,"
            " person = :person, note = :note, decided = :now"
            " WHERE tenant = :tenant AND id = :id AND decision IS NULL AND deadline > :now RETURNING *",
            {
                "tenant": tenant,
                "id": approval,
                "decision": decision,
                "kind": kind,
                "who": who,
                "person": person,
                "note": note,
                "now": now,
            },
        ),
        quiet=True,
    )
    return _approval(rows[0]) if rows else None


async def expire(db: Database, tenant: str, approval: str, now: float) -> Approval | None:
    """Decline what nobody has decided by its deadline; None when it is decided, or not yet due."""
    rows = await db.transaction(
        lambda tx: tx.query(
            "UPDATE approvals SET decision = 'decline', decided_by_kind = 'deadline', decided_by = 'nobody',"
            " decided = :now WHERE tenant = :tenant AND id = :id AND decision IS NULL AND deadline <= :now"
            " RETURNING *",
            {"tenant": tenant, "id": approval, "now": now},
        ),
        quiet=True,
    )
    return _approval(rows[0]) if rows else None


async def withdraw(
    db: Database, tenant: str, run: str, now: float, *, epoch: int, everything: bool
) -> int | None:
    """Decline what a run asked and nobody decided, since nobody waits for it any more; answer how many.

    Without `everything` the question whether to publish stays. None when somebody else took the run since:
    its questions are theirs.
    """
    kept = "" if everything else " AND kind <> 'publish'"

    def work(tx: Transaction) -> int | None:
        if not runs.held(tx, tenant, run, epoch):
            return None
        return tx.execute(
            "UPDATE approvals SET decision = 'decline', decided_by_kind = 'withdrawn', decided_by = 'nobody',"  # noqa: S608
            f" decided = :now WHERE tenant = :tenant AND run = :run AND decision IS NULL{kept}",
            {"tenant": tenant, "run": run, "now": now},
        )

    return await db.transaction(work, quiet=True)


async def settle(db: Database, now: float) -> list[tuple[str, str]]:
    """Answer tenant and run of every publication that is decided or overdue, while its run waits for it."""
    rows = await db.query(
        "SELECT a.tenant, a.run FROM approvals a JOIN runs r ON r.tenant = a.tenant AND r.id = a.run"
        " WHERE r.finished IS NULL AND r.state = 'waiting_approval' AND a.kind = 'publish'"
        " AND (a.decision IS NOT NULL OR a.deadline <= :now OR r.stop IS NOT NULL)",
        {"now": now},
    )
    return [(row["tenant"], row["run"]) for row in rows]


_KEPT = ("tenant", "id", "run", "kind", "reason", "data", "created", "deadline")


def _approval(row: Row) -> Approval:
    return Approval(**{**row, "data": json.loads(row["data"])})
