"""The steps of a run. Each may be done again after a crash, and ends the same way; none knows the journal.

A step answers a verdict: go on, wait for a person, or the end with a sentence. Whatever it does elsewhere it
looks for first, and right before it does it, it makes sure that the run is still its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, Final

from linkspan.accounts.principal import Tenant
from linkspan.codex.engine import Access, Engine, Failure, Limits, Outcome, Task, Thread
from linkspan.errors import Internal, LinkspanError, NotFound
from linkspan.runs.about import thread_of
from linkspan.runs.asking import Asking
from linkspan.runs.context import Context, texts_of
from linkspan.runs.gathering import Gathering
from linkspan.runs.hosting import POLL, RunHost
from linkspan.runs.ids import approval_id
from linkspan.runs.lease import Lease, LostError, give_up
from linkspan.runs.observed import tell_ended
from linkspan.runs.outlet import Outlet, Parts
from linkspan.runs.remembering import remember
from linkspan.runs.verdicts import GO_ON, End, cancelled, failed
from linkspan.runs.writing import EventWriter
from linkspan.spec.recipe import Moment, Recipe
from linkspan.spec.templates import render
from linkspan.store import approvals as approval_rows
from linkspan.store import runs as rows
from linkspan.store.runs import Run

log = logging.getLogger("linkspan.runs")
Json = dict[str, Any]
Point = Callable[[str], None]
_TOKEN_GRACE: Final = 3_600.0
_LONGEST_SUMMARY: Final = 60_000
_PARTINGS: Final[dict[str, Moment]] = {
    "declined": "declined",
    "cancelled": "cancelled",
    "superseded": "superseded",
}


class Work:
    """Works runs that this worker has taken."""

    def __init__(self, parts: Parts, worker: str) -> None:
        self._p = parts
        self._out = Outlet(parts)
        self._asking = Asking(parts)
        self._gathering = Gathering(parts.reader, parts.db, parts.kept)
        self._writer = EventWriter(parts.db)
        self.worker, self.tracer = worker, parts.telemetry.tracer

    async def take(self, tenant: str, run: str) -> Lease | None:
        """Take a run, whoever had it; None when it has ended."""
        taken = await rows.take(self._p.db, tenant, run, worker=self.worker, now=self._p.clock())
        if taken is None:
            return None
        bell = self._p.bell.of(taken.id)
        p = self._p
        try:
            return Lease(p.db, taken, clock=p.clock, mask=p.mask, bell=bell, writer=self._writer)
        except Exception:
            log.exception("run %s of tenant %s cannot be worked", taken.id, taken.tenant)
            await self._give_up(taken)
            return None

    async def has_asked(self, tenant: str, run: str) -> bool:
        """Tell whether a run waits for its decision, or has it: then the first part of its work is over."""
        found = await rows.find(self._p.db, tenant, run)
        if found is None or found.state not in ("waiting_approval", "publishing"):
            return False
        return await approval_rows.find(self._p.db, tenant, approval_id(run, "publish")) is not None

    async def gather(self, lease: Lease) -> Json:
        """Read the thing and what belongs to it."""
        if (await lease.look()).stop is not None:
            return cancelled(lease.run.stopped_by).plain()
        await lease.enter("preparing")
        self._p.point("gather")
        try:
            context, columns = await self._gathering.read(lease.run, lease.recipe)
        except LinkspanError as error:
            return failed(error, doing=f"The {lease.run.entity} could not be read").plain()
        for sentence in context.missing:
            await lease.note("warning", message=f"It goes on without what could not be read: {sentence}")
        await self._out.keep(lease, "context", "application/json", context.dump())
        await lease.change(**columns)
        return GO_ON

    async def begin(self, lease: Lease) -> Json:
        """Tell the thing that work begins."""
        self._p.point("before_started")
        await self._p.write_back.tell(lease, "started", await self._context(lease))
        self._p.point("after_started")
        return GO_ON

    async def prepare(self, lease: Lease) -> Json:
        """Make the working tree."""
        if (await lease.look()).stop is not None:
            return cancelled(lease.run.stopped_by).plain()
        if lease.run.repository is None:
            return GO_ON
        self._p.point("prepare")
        try:
            checkout, _access = await self._out.checkout(lease)
        except LinkspanError as error:
            return failed(error, doing=f"The repository {lease.run.repository} could not be prepared").plain()
        await lease.change(base_commit=checkout.base_commit, base_branch=checkout.base_branch)
        await lease.note("prepared", repository=lease.run.repository, base_commit=checkout.base_commit)
        for title, file in lease.recipe.files_of(lease.run.plan["settings"]).items():
            if file not in checkout.texts:
                place = f"{lease.run.repository} at {checkout.base_branch}"
                await lease.note("warning", message=f"{title}: there is no {file} in {place}.")
        for sentence in checkout.left_out:
            await lease.note("warning", message=sentence)
        self._p.point("prepared")
        return GO_ON

    async def codex(self, lease: Lease) -> Json:
        """Let the engine work, watched for whether somebody wants it to end."""
        engine = self._p.engines.get(lease.run.engine)
        if engine is None:
            return failed(Internal(f"there is no engine {lease.run.engine} here"), doing="Codex").plain()
        if (await lease.look()).stop is not None:
            return cancelled(lease.run.stopped_by).plain()
        seconds = lease.recipe.seconds - lease.run.spent_seconds
        if seconds <= 0:
            return _timed_out(lease).plain()
        tenants = await self._p.tokens.seconds_left(lease.run)
        if tenants is not None and tenants < seconds:
            seconds = tenants
            if seconds <= 0:
                return _out_of_time(lease).plain()
        try:
            task = await self._task(lease, seconds)
        except LinkspanError as error:
            return failed(error, doing=f"The repository {lease.run.repository} could not be prepared").plain()
        await self._withdraw(lease)
        await lease.enter("running")
        host = RunHost(
            self._p.db, lease, self._p.bell, clock=self._p.clock, keep_rollout=self._rollout_keeper(lease)
        )
        self._p.point("codex")
        began = self._p.clock()
        outcome = await self._until_stopped(lease, engine, task, host)
        await self._withdraw(lease)
        spent = lease.run.spent_seconds + max(self._p.clock() - began, 0.0)
        if outcome is None:
            await lease.change(spent_seconds=spent)
            return cancelled((await lease.look()).stopped_by).plain()
        self._p.point("worked")
        late = _out_of_time if tenants == seconds else _timed_out
        return await self._judge(lease, outcome, host, spent, late)

    async def collect(self, lease: Lease) -> Json:
        """Keep what was changed, by git's own account."""
        if lease.run.repository is None:
            return GO_ON
        try:
            checkout, _access = await self._out.checkout(lease)
            change = await self._p.places.change(checkout)
        except LinkspanError as error:
            return failed(error, doing="What Codex changed could not be read").plain()
        await self._out.keep(lease, "diff", "text/x-diff; charset=utf-8", change.diff.encode())
        files = [
            {
                "path": each.path,
                "status": each.status,
                "additions": each.additions,
                "deletions": each.deletions,
            }
            for each in change.files
        ]
        await lease.change(tree=change.tree)
        await lease.note("change", files=files, truncated=change.truncated, tree=change.tree)
        for sentence in change.left_out:
            await lease.note("warning", message=sentence)
        self._p.point("collected")
        if change.truncated and (lease.recipe.publish.how == "patch" or thread_of(lease.run)):
            message = "The change is larger than the diff that is kept, so it would be no whole patch."
            return End("failed", "too_large", message).plain()
        if not change and lease.recipe.publish.how in ("pull_request", "patch"):
            message = "Codex ended without changing a file, so there is nothing to publish."
            return End("failed", "nothing_to_publish", message).plain()
        return GO_ON

    async def ask(self, lease: Lease) -> Json:
        """Ask a person whether it may be published. The run is put down meanwhile."""
        if not lease.recipe.asks_before_publishing:
            return GO_ON
        return await self._asking.ask(lease, await self._context(lease))

    async def heed(self, lease: Lease) -> Json:
        """Do as the person has decided; nobody's word by the deadline is a no."""
        return await self._asking.heed(lease)

    async def publish(self, lease: Lease) -> Json:
        """Let the change out: once, whatever dies when."""
        how = lease.recipe.publish.how
        if how == "nothing":
            return GO_ON
        if (await lease.look()).stop is not None:
            return cancelled(lease.run.stopped_by).plain()
        await lease.enter("publishing")
        self._p.point("publish")
        try:
            await self._out.publish(lease, await self._context(lease))
        except LinkspanError as error:
            return failed(error, doing="The change could not be published").plain()
        self._p.point("published")
        return GO_ON

    async def finish(self, lease: Lease) -> Json:
        """Tell the thing how it went."""
        self._p.point("before_finished")
        await self._p.write_back.tell(lease, "finished", await self._context(lease))
        self._p.point("after_finished")
        return GO_ON

    async def part(self, lease: Lease, end: End) -> Json:
        """Tell the thing that it came to no good end, in the words for that end."""
        await lease.change(error_code=end.code, error_message=end.message)
        self._p.point("before_failed")
        moment = _PARTINGS.get(end.code or "", "failed")
        await self._p.write_back.tell(lease, moment, await self._context(lease))
        self._p.point("after_failed")
        return GO_ON

    async def close(self, lease: Lease, end: End) -> None:
        """End the run: no token of it opens anything, none of its files is left, and its state says how.

        Whatever fails at that, it has ended.
        """
        try:
            await self._close(lease, end)
        except Exception:
            log.exception("run %s of tenant %s could not be closed", lease.run.id, lease.run.tenant)
            await self._give_up(lease.run)

    async def _close(self, lease: Lease, end: End) -> None:
        await self._p.tokens.revoke(lease.run)
        await self._withdraw(lease, everything=True)
        self._p.point("closing")
        await self._remember(lease, end)
        try:
            await self._p.places.discard(Tenant(lease.run.tenant), lease.run.id)
        except (OSError, LinkspanError) as error:
            log.warning("the files of run %s stay: %s", lease.run.id, error)
        await lease.enter(
            end.state,
            told={"code": end.code, "message": end.message},
            error_code=end.code,
            error_message=end.message,
            worker=None,
        )
        tell_ended(lease.run, self._p.telemetry)
        self._p.bell.ring()

    async def _give_up(self, run: Run) -> None:
        try:
            ended = await give_up(self._p.db, run, now=self._p.clock())
        except LinkspanError as error:
            log.warning("run %s stays open until a worker looks at all of them: %s", run.id, error.message)
            return
        if ended is not None:
            tell_ended(ended, self._p.telemetry)
            self._p.bell.ring()

    async def tidy(self) -> None:
        """Remove from the disk what no run needs any more."""
        await self._out.tidy()

    async def _withdraw(self, lease: Lease, *, everything: bool = False) -> None:
        """Decline what was asked and is waited for no more: by who worked the run before, or at its end."""
        run, now = lease.run, self._p.clock()
        gone = await approval_rows.withdraw(
            self._p.db, run.tenant, run.id, now, epoch=lease.epoch, everything=everything
        )
        if gone is None:
            raise LostError

    async def _remember(self, lease: Lease, end: End) -> None:
        """Keep the transcript, and the words by which the run is found.

        They are for later readers: a run that is over does not stay open for them.
        """
        run = await lease.look()
        try:
            if not await remember(self._p.db, self._p.kept, run, ending=end.message, epoch=lease.epoch):
                await lease.check()
        except LinkspanError as error:
            log.warning("the transcript of run %s could not be kept: %s", run.id, error.message)
        except Exception:
            log.exception("the transcript of run %s could not be kept", run.id)

    async def _until_stopped(self, lease: Lease, engine: Engine, task: Task, host: RunHost) -> Outcome | None:
        """Answer how the work ended; None when somebody wanted it to end, and it has."""
        working = asyncio.create_task(engine.work(task, host))
        try:
            while True:
                ringing = asyncio.create_task(self._p.bell.wait(POLL))
                await asyncio.wait((working, ringing), return_when=asyncio.FIRST_COMPLETED)
                ringing.cancel()
                if working.done():
                    return working.result()
                if (await lease.look()).stop is not None:
                    return None
        finally:
            if not working.done():
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)
            await lease.flush()

    async def _judge(
        self, lease: Lease, outcome: Outcome, host: RunHost, spent: float, late: Callable[[Lease], End]
    ) -> Json:
        """Keep what the engine answered, and say how the run goes on; `late` is for who took too long."""
        message = _said(outcome).strip()[:_LONGEST_SUMMARY]
        columns: Json = {"spent_seconds": spent, "versions": dict(outcome.versions)}
        if message:
            columns["summary"] = message
        if outcome.thread is not None:
            columns["thread_id"] = outcome.thread.id
            if outcome.thread.rollout:
                await self._out.keep(lease, "rollout", "application/jsonl", outcome.thread.rollout)
        if "model" in outcome.versions:
            columns["model"] = outcome.versions["model"]
        await lease.change(**columns)
        await self._out.keep(
            lease, "log", "text/plain; charset=utf-8", self._p.mask(_log_of(outcome)).encode()
        )
        if outcome.output is not None:
            text = json.dumps(outcome.output, ensure_ascii=False)
            await self._out.keep(lease, "output", "application/json", text.encode())
        if host.ended_by is not None:
            return cancelled(host.ended_by).plain()
        if outcome.status == "failed":
            failure = outcome.failure or Failure("internal", "Codex ended with a failure.")
            if failure.code == "upstream_timeout":
                return late(lease).plain()
            return End("failed", failure.code, failure.message).plain()
        return GO_ON

    async def _task(self, lease: Lease, seconds: float) -> Task:
        run, recipe = lease.run, lease.recipe
        expires = self._p.clock() + seconds + recipe.approve_within + _TOKEN_GRACE
        checkout = (await self._out.checkout(lease))[0] if run.repository is not None else None
        pair = await self._p.tokens.issue(run, expires=expires)
        context = await self._context(lease)
        names = {
            "settings": run.plan["settings"],
            "tenant": {"name": run.tenant},
            "run": {"id": run.id},
        }
        tools = None
        if pair.tools is not None:
            tools = Access(f"{self._p.base_url}/t/{run.tenant}/mcp", pair.tools)
        return Task(
            run=run.id,
            tenant=Tenant(run.tenant),
            folder=self._p.work / run.tenant / "runs" / run.id,
            prompt=_said_to(run, render(_prompt(run, recipe), names).strip()),
            model=Access(f"{self._p.base_url}/codex/v1", pair.model),
            limits=Limits(seconds, await self._p.tokens.left(run)),
            tools=tools,
            workspace=checkout.path if checkout else None,
            base_commit=checkout.base_commit if checkout else None,
            hands_in=recipe.publish.how in ("pull_request", "patch") or thread_of(run) is not None,
            house_rules=checkout.house_rules if checkout else None,
            materials=(*context.told, *texts_of(recipe, run.plan["settings"], checkout)),
            model_name=recipe.model,
            effort=recipe.effort,
            approve_commands=recipe.asks_commands,
            network=recipe.network,
            output_schema=recipe.output,
            thread=await self._thread(run),
        )

    async def _thread(self, run: Run) -> Thread | None:
        """Answer the conversation to go on with: this run's own, or the one that it was forked from."""
        if run.thread_id is None:
            return None
        for owner in (run.id, run.parent):
            if owner is not None:
                try:
                    _artifact, rollout = await self._p.kept.take(run.tenant, owner, "rollout")
                except NotFound:
                    continue
                return Thread(run.thread_id, rollout)
        return Thread(run.thread_id)

    async def _context(self, lease: Lease) -> Context:
        try:
            _artifact, data = await self._p.kept.take(lease.run.tenant, lease.run.id, "context")
        except NotFound:
            return Context()
        return Context.load(data)

    def _rollout_keeper(self, lease: Lease) -> Callable[[bytes], Any]:
        async def keep(rollout: bytes) -> None:
            await self._out.keep(lease, "rollout", "application/jsonl", rollout)

        return keep


def _said(outcome: Outcome) -> str:
    """Answer the last words for people: of a structured answer what it says of the whole."""
    summary = outcome.output.get("summary") if isinstance(outcome.output, dict) else None
    return summary if isinstance(summary, str) else outcome.message


def _log_of(outcome: Outcome) -> str:
    """Answer what an operator reads of a stay in the engine: what it was, its end, and its complaints."""
    made_by = ", ".join(f"{name} {version}" for name, version in outcome.versions.items())
    failure = outcome.failure
    ended = outcome.status if failure is None else f"{outcome.status}: {failure.code}: {failure.message}"
    return "\n".join(line for line in (made_by, ended, "", outcome.log) if line or outcome.log).strip() + "\n"


def _said_to(run: Run, prompt: str) -> str:
    """Answer what Codex is told: a person's words say it alone where it knows the recipe's already."""
    words = run.plan.get("words")
    if words is None:
        return prompt
    return str(words) if run.parent is not None else f"{prompt}\n\n{words}"


def _prompt(run: Run, recipe: Recipe) -> str:
    """Answer what Codex is told: after a review something else than at the beginning."""
    followed = recipe.follow.prompt if run.goes_on and recipe.follow is not None else None
    return followed or recipe.prompt


def _timed_out(lease: Lease) -> End:
    minutes = lease.recipe.seconds / 60
    return End("timed_out", "timed_out", f"Codex did not finish within {minutes:g} minutes.")


def _out_of_time(lease: Lease) -> End:
    message = f"Tenant {lease.run.tenant} has used up its minutes: `runs.budget` in tools.yaml bounds them."
    return End("failed", "quota_exceeded", message)
