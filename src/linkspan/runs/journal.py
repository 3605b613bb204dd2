"""The journal of runs: DBOS, which remembers what steps of which run are done, in this process or another.

Imported only where runs are worked. Its tables stand beside ours: in the same SQLite file, or in a schema of
the same PostgreSQL database. What it keeps of a run is its tenant and id, and the verdict of each step.

A run is two workflows, `RUN` until it waits for a person, and `RUN.out` from the decision on, so that a run
that waits for a day is nobody's work and takes nobody's turn.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from dbos import DBOS, DBOSConfig, DBOSConfiguredInstance, Serializer, SetEnqueueOptions, SetWorkflowID

from linkspan.errors import Internal, LinkspanError
from linkspan.runs.lease import Lease
from linkspan.runs.observed import Step, traced
from linkspan.runs.verdicts import BROKEN, End, end_of
from linkspan.runs.work import Work

log = logging.getLogger("linkspan.runs")
QUEUE: Final = "runs"
NAME: Final = "linkspan"
VERSION: Final = "1"
"""What workflows that are under way were begun with. To be raised when steps change their order or meaning:
then those of the former version go on only where that program still runs."""
_AGAIN: Final = 1.0
"""Seconds after which a run that could not be taken is tried again."""
_UNDER_WAY: Final = ["PENDING", "ENQUEUED"]
Json = dict[str, Any]


def out_of(run: str) -> str:
    """Answer the second workflow's id."""
    return f"{run}.out"


def run_of(workflow: str) -> str:
    """Answer the run that a workflow is of."""
    return workflow.removesuffix(".out")


class PlainJson(Serializer):
    """What the journal keeps: names and verdicts as JSON; of a fault only its kind, for it may quote."""

    def name(self) -> str:
        """Answer what rows say of it."""
        return "linkspan_json"

    def serialize(self, data: Any) -> str:
        """Write names, verdicts or a fault."""
        if isinstance(data, BaseException):
            return json.dumps({"fault": type(data).__name__})
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:
        """Read them again."""
        data = json.loads(serialized_data)
        if isinstance(data, dict) and data.keys() == {"fault"}:
            return Internal(f"a step ended with {data['fault']}")
        if isinstance(data, dict) and data.keys() == {"args", "kwargs"}:
            return {**data, "args": tuple(data["args"])}  # DBOS puts the instance before them
        return data


class Journal:
    """DBOS in this process. There can be one at a time: it keeps its registry for the process (contracts)."""

    def __init__(
        self,
        work: Work,
        *,
        at_once: int,
        per_tenant: int,
        everywhere: int | None = None,
        database: Path | str,
        schema: str = "dbos",
        polling: float = 0.5,
    ) -> None:
        self._work = work
        most = max(at_once, per_tenant) if everywhere is None else everywhere
        self._at_once = min(at_once, most)  # DBOS takes no narrower bound of the whole than of a part
        self._per_tenant = min(per_tenant, most)
        self._everywhere = everywhere
        self._database = database
        self._schema = schema
        self._polling = polling
        self._running: set[asyncio.Task[Any]] = set()
        self._workflows: Any = None

    async def open(self) -> None:
        """Make its tables where they are missing, and begin to work what is enqueued."""
        logger = logging.getLogger("dbos")
        logger.addHandler(logging.NullHandler())  # or it would print by itself
        config: DBOSConfig = {
            "name": NAME,
            "system_database_url": _url(self._database),
            "dbos_system_schema": self._schema,
            "application_version": VERSION,
            "executor_id": self._work.worker,
            "log_level": "ERROR",
            "enable_otlp": False,
            "run_migrations": True,
            "use_listen_notify": False,
            "sys_db_pool_size": 5,
            "serializer": PlainJson(),
        }
        DBOS(config=config)
        logger.propagate = True
        self._workflows = _workflows(self)
        DBOS.launch()
        await DBOS.register_queue_async(
            QUEUE,
            worker_concurrency=self._at_once,
            global_concurrency=self._everywhere,
            partition_concurrency=self._per_tenant,
            polling_interval_sec=self._polling,
            on_conflict="always_update",
        )

    async def aclose(self) -> None:
        """Stop working: steps under way are interrupted, and go on elsewhere or another time."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)

    async def enqueue(self, tenant: str, run: str) -> None:
        """Let a run be worked, by whoever comes first; once, however often it is said."""
        await self._enqueue(run, self._workflows.work, tenant, run)

    async def enqueue_out(self, tenant: str, run: str) -> None:
        """Let a run go on from its decision."""
        await self._enqueue(out_of(run), self._workflows.out, tenant, run)

    async def left_by_the_dead(self, living: set[str]) -> list[str]:
        """Answer workflows that were under way at workers who live no more."""
        pending = await DBOS.list_workflows_async(
            status="PENDING", queue_name=[QUEUE, "_dbos_internal_queue"], load_input=False, load_output=False
        )
        return [each.workflow_id for each in pending if each.executor_id not in living]

    async def state_of(self, workflow: str) -> str | None:
        """Answer whether a workflow is `PENDING`, `ENQUEUED`, `SUCCESS` …; None: there is none."""
        status = await DBOS.get_workflow_status_async(workflow)
        return status.status if status else None

    async def resume(self, workflow: str) -> None:
        """Let a workflow go on from its last step, at whoever comes first."""
        await DBOS.resume_workflow_async(workflow, queue_name=QUEUE)

    async def forget(self, workflows: list[str]) -> None:
        """Delete what is remembered of workflows that have ended."""
        if workflows:
            await DBOS.delete_workflows_async(workflows)

    async def ended(self, *, skip: int = 0, limit: int = 100) -> list[str]:
        """Answer some workflows that have ended, oldest first, after the first `skip` of them."""
        found = await DBOS.list_workflows_async(
            status=["SUCCESS", "ERROR", "CANCELLED"],
            limit=limit,
            offset=skip,
            load_input=False,
            load_output=False,
        )
        return [each.workflow_id for each in found]

    async def _enqueue(self, workflow: str, function: Any, tenant: str, run: str) -> None:
        with SetWorkflowID(workflow), SetEnqueueOptions(queue_partition_key=tenant):
            await DBOS.enqueue_workflow_async(QUEUE, function, tenant, run)

    async def work(self, tenant: str, run: str) -> None:
        """Work a run until it waits for a person, or to its end."""
        steps = self._work
        await self._through(
            tenant,
            run,
            (
                ("gather", steps.gather),
                ("begin", steps.begin),
                ("prepare", steps.prepare),
                ("codex", steps.codex),
                ("collect", steps.collect),
                ("ask", steps.ask),
                ("publish", steps.publish),
                ("finish", steps.finish),
            ),
            is_first=True,
        )

    async def out(self, tenant: str, run: str) -> None:
        """Work a run from its decision to its end."""
        steps = self._work
        await self._through(
            tenant, run, (("heed", steps.heed), ("publish", steps.publish), ("finish", steps.finish))
        )

    async def _through(
        self, tenant: str, run: str, steps: tuple[tuple[str, Step], ...], *, is_first: bool = False
    ) -> None:
        """Take the run, and go through its steps; those that are done are not done again."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._running.add(task)
        try:
            lease = await self._take(tenant, run, is_first=is_first)
            if lease is None:
                return
            try:
                end = await self._steps(lease, steps)
            except Exception:
                log.exception("run %s of tenant %s failed inside Linkspan", run, tenant)
                end = BROKEN
            if end is not None:
                # Not a step: done again it finds that the run has ended, or ends it.
                await self._work.close(lease, end)
        finally:
            self._running.discard(task)

    async def _take(self, tenant: str, run: str, *, is_first: bool) -> Lease | None:
        """Take the run, however long its row cannot be had: a workflow that ended now would begin no more."""
        is_failing = False
        while True:
            try:
                if is_first and await self._work.has_asked(tenant, run):
                    return None
                return await self._work.take(tenant, run)
            except LinkspanError as error:
                if not is_failing:
                    log.error("run %s of tenant %s cannot be taken: %s", run, tenant, error.message)
                is_failing = True
                await asyncio.sleep(_AGAIN)

    async def _steps(self, lease: Lease, steps: tuple[tuple[str, Step], ...]) -> End | None:
        for name, step in steps:
            verdict: Json = await DBOS.run_step_async(
                {"name": name}, traced(self._work.tracer, name, step), lease
            )
            if verdict.get("wait"):
                return None
            end = end_of(verdict)
            if end is not None:
                await DBOS.run_step_async({"name": "part"}, self._work.part, lease, end)
                return end
        return End("succeeded")


def _workflows(journal: Journal) -> Any:
    """Declare the workflows to DBOS's registry, which was emptied when the last journal closed."""

    @DBOS.dbos_class(class_name="Runs")
    class Workflows(DBOSConfiguredInstance):
        @DBOS.workflow(name="work")
        async def work(self, tenant: str, run: str) -> None:
            await journal.work(tenant, run)

        @DBOS.workflow(name="out")
        async def out(self, tenant: str, run: str) -> None:
            await journal.out(tenant, run)

    return Workflows(NAME)


def _url(database: Path | str) -> str:
    if isinstance(database, Path):
        return sqlalchemy.URL.create("sqlite", database=str(database)).render_as_string(hide_password=False)
    return database
