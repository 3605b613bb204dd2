"""What runs make, sealed: the one place where it is put away and taken out again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from linkspan.errors import NotFound
from linkspan.store import artifacts as rows
from linkspan.store.artifacts import Artifact, artifact_id
from linkspan.store.database import Database
from linkspan.vault.seal import Vault

_PURPOSE: Final = "artifact"


class Kept:
    """Keeps the artifacts of runs: context, diff, patch, rollout, output, log, transcript."""

    def __init__(self, db: Database, vault: Vault, *, clock: Callable[[], float]) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock

    async def put(
        self, tenant: str, run: str, name: str, media_type: str, data: bytes, *, epoch: int | None
    ) -> bool:
        """Keep something in place of what had its name; False when somebody else took the run since."""
        sealed = await self._vault.seal_stored(_PURPOSE, tenant, artifact_id(run, name), data)
        now = self._clock()
        made = Artifact(tenant, run, name, media_type, len(data), now, now, sealed)
        return await rows.put(self._db, made, epoch=epoch)

    async def take(self, tenant: str, run: str, name: str) -> tuple[Artifact, bytes]:
        """Answer what was kept. Raises `NotFound` that says what there is."""
        found = await rows.find(self._db, tenant, run, name)
        if found is None:
            there = [each.name for each in await self.of_run(tenant, run)]
            raise no_artifact(run, name, there)
        return found, await self._vault.open_stored(_PURPOSE, tenant, found.id, found.sealed)

    async def of_run(self, tenant: str, run: str) -> Sequence[Artifact]:
        """Answer what was kept of a run, without the bytes."""
        return await rows.of_run(self._db, tenant, run)


def no_artifact(run: str, name: str, there: Sequence[str]) -> NotFound:
    """Answer the error for what a run has not made, or for who asks has not."""
    return NotFound(f"{run} has no {name!r}", hint=f"It has: {', '.join(there) or 'nothing yet'}.")
