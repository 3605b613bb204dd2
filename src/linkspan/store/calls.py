"""Writes that are done once: who repeats one gets its answer, and nobody ever does it twice.

A call is begun before anything is sent and finished with its answer. Its row is there for a day. If it was
never finished, its process died, or the machine did, after the write may have been made: then its lease runs
out and every repetition is told that the outcome is unknown. Guessing would write twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from linkspan.errors import NotFound
from linkspan.store import tenants
from linkspan.store.database import Database, Transaction

KEPT = 86_400.0
"""Seconds that an answer can be asked for again."""


@dataclass(frozen=True, slots=True)
class Call:
    """A write that may come twice: whose, and what exactly.

    `caller` is the principal within the tenant, `id` what the client calls it, `digest` tells its arguments
    apart from others. Those of the management API have their own table: some are of no tenant, and one makes
    a tenant.
    """

    tenant: str | None
    caller: str
    id: str
    tool: str
    digest: str
    table: Literal["calls", "api_calls"] = "calls"

    @property
    def whose(self) -> str:
        """The condition that its tenant is this one, or that it has none."""
        return "tenant IS NULL" if self.tenant is None else "tenant = :tenant"

    @property
    def place(self) -> dict[str, Any]:
        """What names its row."""
        return {"tenant": self.tenant, "caller": self.caller, "call": self.id}


@dataclass(frozen=True, slots=True)
class First:
    """The call has not been there: do it, then `finish` it, or `forget` it if surely nothing was done."""

    owner: str


@dataclass(frozen=True, slots=True)
class Done:
    """The call was made and this came of it."""

    answer: bytes


@dataclass(frozen=True, slots=True)
class Running:
    """Somebody is at it, at most until `until` (epoch seconds)."""

    until: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """The call was begun and never finished."""


@dataclass(frozen=True, slots=True)
class Different:
    """The id was used for another tool or with other arguments."""


Begun = First | Done | Running | Unknown | Different


async def begin(db: Database, call: Call, *, owner: str, now: float, lease: float) -> Begun:
    """Begin a call, or say what became of it. `owner` is random; `lease` is how many seconds it may take.

    Raises `NotFound` when there is no such tenant.
    """

    def work(tx: Transaction) -> Begun:
        tx.execute(
            f"DELETE FROM {call.table} WHERE {call.whose} AND expires <= :now",  # noqa: S608
            {"tenant": call.tenant, "now": now},
        )
        rows = tx.query(
            f"SELECT tool, digest, lease, answer FROM {call.table}"  # noqa: S608
            f" WHERE {call.whose} AND caller = :caller AND call = :call",
            call.place,
        )
        if rows:
            row = rows[0]
            if (row["tool"], row["digest"]) != (call.tool, call.digest):
                return Different()
            if row["answer"] is not None:
                return Done(bytes(row["answer"]))
            return Running(row["lease"]) if now < row["lease"] else Unknown()
        if call.tenant is not None and not tenants.known(tx, call.tenant):
            raise NotFound(f"There is no tenant {call.tenant!r}", hint="See: linkspan tenant list")
        tx.execute(
            f"INSERT INTO {call.table} (tenant, caller, call, tool, digest, owner, lease, answer, expires)"  # noqa: S608
            " VALUES (:tenant, :caller, :call, :tool, :digest, :owner, :lease, NULL, :expires)",
            {
                **call.place,
                "tool": call.tool,
                "digest": call.digest,
                "owner": owner,
                "lease": now + lease,
                "expires": now + KEPT,
            },
        )
        return First(owner)

    return await db.transaction(work, quiet=True)


async def finish(db: Database, call: Call, first: First, answer: bytes) -> bool:
    """Keep the (sealed) answer of a call that was begun; False when it is no longer this owner's."""
    changed = await db.execute(
        f"UPDATE {call.table} SET answer = :answer WHERE {call.whose} AND caller = :caller AND call = :call"  # noqa: S608
        " AND owner = :owner AND answer IS NULL",
        {**call.place, "owner": first.owner, "answer": answer},
        quiet=True,
    )
    return changed == 1


async def give_up(db: Database, call: Call, first: First, now: float) -> bool:
    """End the lease of a call that was begun and will not be finished: its outcome is unknown from now on."""
    changed = await db.execute(
        f"UPDATE {call.table} SET lease = :now WHERE {call.whose} AND caller = :caller AND call = :call"  # noqa: S608
        " AND owner = :owner AND answer IS NULL",
        {**call.place, "owner": first.owner, "now": now},
        quiet=True,
    )
    return changed == 1


async def forget(db: Database, call: Call, first: First) -> bool:
    """Let a call be made again, because it is certain that nothing was done."""
    gone = await db.execute(
        f"DELETE FROM {call.table} WHERE {call.whose} AND caller = :caller AND call = :call"  # noqa: S608
        " AND owner = :owner AND answer IS NULL",
        {**call.place, "owner": first.owner},
        quiet=True,
    )
    return gone == 1
