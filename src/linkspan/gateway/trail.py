"""What is kept of a call: who, what, which thing, how it ended. No values, no secrets."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from linkspan import errors
from linkspan.accounts.principal import Principal
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.log_bodies import Collected, LogBodies
from linkspan.net.messages import Response
from linkspan.spec.catalog import RequestPlan, Tool
from linkspan.store import audit, tenants
from linkspan.store.audit import AuditRow, AuditWriter
from linkspan.store.database import Database
from linkspan.telemetry import SILENT, CallEnded, Telemetry
from linkspan.telemetry.tracer import NO_SPAN, Span
from linkspan.wire import Outgoing

log = logging.getLogger("linkspan.gateway")
_ROUND: Final = 600.0


class Trail:
    """Collects the audit row of one call while it runs."""

    __slots__ = (
        "account", "bodies", "connector", "entity_id", "has_written", "info", "outcome", "principal", "span",
        "started", "steps", "tool", "upstream_status",
    )  # fmt: skip

    def __init__(
        self, principal: Principal, tool: Tool, info: CallInfo, started: float, connector: str
    ) -> None:
        self.principal = principal
        self.tool = tool
        self.info = info
        self.started = started
        self.connector = connector
        self.account: str | None = None
        self.entity_id: str | None = None
        self.upstream_status: int | None = None
        self.outcome = "ok"
        self.span: Span = NO_SPAN
        self.bodies: Collected | None = None
        """What is kept of bodies, where an operator wants it."""
        self.has_written = False
        """Whether a step of several has changed something."""
        self.steps: list[str] = []
        """What was sent, in its order, as tools.yaml has it."""

    def settled(self, connector: str, account: str, arguments: Mapping[str, Any]) -> None:
        """Note where the call goes and which thing it is about."""
        self.connector, self.account = connector, account
        thing = arguments.get("id")
        if isinstance(thing, str):
            self._is_about(thing)

    def ended(self, thing: Any) -> None:
        """Note which thing was created: before the call it had no id."""
        made = thing.get("id") if self.tool.key.endswith(".create") and isinstance(thing, Mapping) else None
        if self.entity_id is None and isinstance(made, str | int):
            self._is_about(str(made))

    def _is_about(self, thing: str) -> None:
        self.entity_id = thing[:200].encode(errors="replace").decode()

    def sent(self, plan: RequestPlan, status: int | None) -> None:
        """Note a request and how it was answered, if it was."""
        self.steps.append(f"{plan.line} {status if status is not None else '-'}")

    def exchanged(self, plan: RequestPlan, outgoing: Outgoing, response: Response) -> None:
        """Keep the bodies, where they are wanted."""
        if self.bodies is not None:
            self.bodies.exchanged(plan.line, outgoing.headers, outgoing.body, response)

    def failed(self, error: errors.LinkspanError) -> None:
        """Note how the call failed."""
        self.outcome = error.code
        if error.upstream_status is not None:
            self.upstream_status = error.upstream_status


class Trails:
    """Writes audit rows: of reads behind (at most 50 ms), of writes before the answer."""

    def __init__(
        self, writer: AuditWriter, telemetry: Telemetry = SILENT, *, bodies: LogBodies | None = None
    ) -> None:
        self._writer = writer
        self._bodies = bodies
        self._telemetry = telemetry

    async def settled(self, trail: Trail, connector: str, account: str, arguments: Mapping[str, Any]) -> None:
        """Note where the call goes and which thing it is about, and whether its bodies are kept."""
        trail.settled(connector, account, arguments)
        if self._bodies is not None:
            trail.bodies = await self._bodies.of_call(trail.principal.tenant, account)

    def span(self, trail: Trail) -> AbstractContextManager[Span]:
        """Begin the span of a call; a run's calls are parts of the run's trace."""
        tracer = self._telemetry.tracer
        if not tracer.is_on:
            return tracer.span("")
        who = trail.principal
        told = {
            "linkspan.tenant": who.tenant,
            "linkspan.entity": trail.tool.entity,
            "linkspan.via": trail.info.via,
            "gen_ai.tool.name": trail.tool.name,
            "linkspan.request_id": trail.info.request_id,
        }
        return tracer.span(trail.tool.name, told, run=who.subject if who.kind == "run" else None)

    def _tell(self, trail: Trail, seconds: float) -> None:
        info, principal = trail.info, trail.principal
        trail.span.set("linkspan.connector", trail.connector)
        trail.span.set("linkspan.outcome", trail.outcome)
        if trail.outcome not in ("ok", "dry_run"):
            trail.span.failed(trail.outcome)
        self._telemetry.call_ended(
            CallEnded(
                tenant=principal.tenant,
                principal=f"{principal.kind}:{principal.subject}",
                tool=trail.tool.name,
                entity=trail.tool.entity,
                connector=trail.connector,
                account=trail.account,
                via=info.via,
                outcome=trail.outcome,
                status=trail.upstream_status,
                seconds=seconds,
                request_id=info.request_id,
                writes=trail.tool.kind != "read",
            )
        )

    async def close(self, trail: Trail, now: float) -> None:
        """Write the row of a call that ended at `now`."""
        info, principal = trail.info, trail.principal
        self._tell(trail, now - trail.started)
        row = AuditRow(
            tenant=principal.tenant,
            time=trail.started,
            principal_kind=principal.kind,
            principal_subject=principal.subject,
            token_id=principal.token_id,
            request_id=info.request_id,
            via=info.via,
            tool=trail.tool.name,
            entity=trail.tool.entity,
            entity_id=trail.entity_id,
            connector=trail.connector,
            account=trail.account,
            upstream_status=trail.upstream_status,
            outcome=trail.outcome,
            duration_ms=round((now - trail.started) * 1000, 3),
            thread_id=info.thread_id,
            turn_id=info.turn_id,
            call_id=info.call_id,
            steps=json.dumps(trail.steps) if len(trail.steps) > 1 else None,
            bodies=None if self._bodies is None else self._bodies.keep(principal.tenant, trail.bodies),
        )
        if trail.tool.kind == "read":
            self._writer.write_behind(row)
        else:
            await self._writer.write(row)


class TrailKeeper:
    """Deletes rows that are older than they are to be kept, of every tenant."""

    def __init__(
        self,
        db: Database,
        *,
        keep: float | None,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        bodies: LogBodies | None = None,
    ) -> None:
        """`keep` is in seconds; None: for ever. `bodies` go with their rows, or sooner."""
        self._bodies = bodies
        self._db = db
        self._keep = keep
        self._clock = clock
        self._sleep = sleep

    async def run(self) -> None:
        """Look every ten minutes until cancelled; what fails is logged and done at another time."""
        while self._keep is not None or self._bodies is not None:
            try:
                await self.look()
            except errors.LinkspanError as error:
                log.error("old rows of the audit log could not be deleted: %s", error.message)
            await self._sleep(_ROUND)

    async def look(self) -> int:
        """Delete what is too old; answer how many rows that were."""
        if self._bodies is not None:
            await self._bodies.forget(self._keep)
        if self._keep is None:
            return 0
        gone, before = 0, self._clock() - self._keep
        for tenant, _created in await tenants.everyone(self._db):
            while count := await audit.forget(self._db, tenant, before):
                gone += count
                await self._sleep(0)
        return gone
