"""What a run made: sealed, for it holds a customer's code and words."""

from __future__ import annotations

from dataclasses import dataclass, field

from linkspan.store.database import Database, Row


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of a run: context, diff, patch, rollout, output, log, transcript. Its id is `RUN/NAME`."""

    tenant: str
    run: str
    name: str
    media_type: str
    size: int
    """Bytes, before it was sealed."""
    created: float
    updated: float
    sealed: bytes = field(default=b"", repr=False)
    """Empty in lists."""

    @property
    def id(self) -> str:
        """What it is sealed as."""
        return artifact_id(self.run, self.name)


def artifact_id(run: str, name: str) -> str:
    """Answer an artifact's id."""
    return f"{run}/{name}"


async def put(db: Database, artifact: Artifact, *, epoch: int | None) -> bool:
    """Store an artifact in place of what had its name; False when somebody else took the run since."""
    values = {
        name: getattr(artifact, name)
        for name in ("tenant", "id", "run", "name", "media_type", "size", "sealed", "created", "updated")
    }
    fence = "" if epoch is None else " AND epoch = :epoch AND finished IS NULL"

    changed = await db.execute(
        "INSERT INTO artifacts (tenant, id, run, name, media_type, size, sealed, created, updated)"  # noqa: S608
        " SELECT :tenant, :id, :run, :name, :media_type, :size, :sealed, :created, :updated"
        f" FROM runs WHERE tenant = :tenant AND id = :run{fence}"
        " ON CONFLICT (tenant, id) DO UPDATE SET media_type = excluded.media_type, size = excluded.size,"
        " sealed = excluded.sealed, updated = excluded.updated",
        {**values, **({} if epoch is None else {"epoch": epoch})},
        quiet=True,
    )
    return changed == 1


async def find(db: Database, tenant: str, run: str, name: str) -> Artifact | None:
    """Answer one artifact with its bytes."""
    rows = await db.query(
        "SELECT * FROM artifacts WHERE tenant = :tenant AND id = :id",
        {"tenant": tenant, "id": artifact_id(run, name)},
    )
    return _artifact(rows[0]) if rows else None


async def of_run(db: Database, tenant: str, run: str) -> list[Artifact]:
    """Answer what a run made, without the bytes."""
    rows = await db.query(
        "SELECT tenant, id, run, name, media_type, size, created, updated FROM artifacts"
        " WHERE tenant = :tenant AND run = :run ORDER BY name",
        {"tenant": tenant, "run": run},
    )
    return [_artifact(row) for row in rows]


def _artifact(row: Row) -> Artifact:
    plain = {name: value for name, value in row.items() if name not in ("id", "sealed")}
    return Artifact(**plain, sealed=bytes(row.get("sealed") or b""))
