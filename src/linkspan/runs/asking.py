"""Asking a person whether a change may be published, and heeding the answer."""

from __future__ import annotations

from linkspan.errors import Internal
from linkspan.runs.context import Context, Json
from linkspan.runs.hosting import POLL
from linkspan.runs.ids import approval_id
from linkspan.runs.lease import Lease
from linkspan.runs.outlet import Parts
from linkspan.runs.verdicts import GO_ON, WAIT, End, cancelled, name_of
from linkspan.store import approvals as approval_rows
from linkspan.store.approvals import Approval


class Asking:
    """The steps around a question."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts

    async def ask(self, lease: Lease, context: Context) -> Json:
        """Ask, and tell the thing that it waits."""
        run, now = lease.run, self._p.clock()
        what = "a review" if lease.recipe.publish.how == "review" else "a pull request"
        what = "what a review asked for" if run.goes_on else what
        shown = {
            "repository": run.repository,
            "branch": run.branch,
            "base_branch": run.base_branch,
            "base_commit": run.base_commit,
            "tree": run.tree,
        }
        await lease.ask(
            Approval(
                run.tenant,
                approval_id(run.id, "publish"),
                run.id,
                "publish",
                f"Publish {what} to {run.repository}?",
                shown,
                now,
                now + lease.recipe.approve_within,
            ),
            **shown,
        )
        await self._p.write_back.tell(lease, "waiting", context)
        self._p.point("asked")
        await lease.enter("waiting_approval", worker=None)
        return WAIT

    async def heed(self, lease: Lease) -> Json:
        """Do as the person has decided; nobody's word by the deadline is a no."""
        if (await lease.look()).stop is not None:
            return cancelled(lease.run.stopped_by).plain()
        found = await self._decision(lease)
        if found.decision == "approve":
            return GO_ON
        if found.decided_by_kind == "deadline":
            hours = lease.recipe.approve_within / 3600
            message = f"Nobody decided within {hours:g} hours whether to publish it, so it was declined."
            return End("timed_out", "declined", message).plain()
        who = name_of(f"{found.decided_by_kind}:{found.person or found.decided_by}")
        note = f" {found.note.strip()}" if found.note else ""
        return End("cancelled", "declined", f"{who} declined to publish it.{note}").plain()

    async def _decision(self, lease: Lease) -> Approval:
        """Answer the question whether to publish with its answer, which is there or due."""
        tenant, identified = lease.run.tenant, approval_id(lease.run.id, "publish")
        while True:
            await approval_rows.expire(self._p.db, tenant, identified, self._p.clock())
            found = await approval_rows.find(self._p.db, tenant, identified)
            if found is None:
                raise Internal(f"{lease.run.id} has asked nothing")
            if found.decision is not None:
                return found
            await self._p.bell.wait(POLL)
