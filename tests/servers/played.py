"""Runs as people see them, played without Codex: each event is stored as a worker stores it.

A page cannot tell the difference, and a test says when what happens.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from anyio.from_thread import BlockingPortal, start_blocking_portal

from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build, load_catalog
from linkspan.runs.ids import approval_id
from linkspan.runs.lease import Lease
from linkspan.settings import Settings
from linkspan.store import recipes as recipe_rows
from linkspan.store import run_events as event_rows
from linkspan.store import runs as run_rows
from linkspan.store.approvals import Approval, ApprovalKind
from linkspan.store.recipes import RecipeSettings
from linkspan.store.runs import State
from tests.servers.linkspan import Linkspan

RECIPE: Final = "fix_ticket"
Asked = list[tuple[str, dict[str, Any]]]


@dataclass
class Played:
    """One run, and whoever plays its worker."""

    stage: Stage
    id: str
    lease: Lease

    def tell(self, kind: str, **data: Any) -> None:
        """Let something happen."""
        self.stage.portal.call(self._tell, [(kind, data)])

    def tell_all(self, events: Asked) -> None:
        """Let many things happen at once."""
        self.stage.portal.call(self._tell, events)

    def item(self, item: str, type_: str, *, completed: bool = True, **more: Any) -> None:
        """Let an item begin, or end."""
        kind = "item_completed" if completed else "item_started"
        self.tell(kind, item={"id": item, "type": type_, **more})

    def enter(self, state: State, **columns: Any) -> None:
        """Let it enter a state."""
        self.stage.portal.call(self._enter, state, columns)

    def keep(self, name: str, text: str) -> None:
        """Let it have made something."""
        self.stage.portal.call(self._keep, name, text)

    def ask(self, kind: ApprovalKind, reason: str, **data: Any) -> str:
        """Let it ask a person; answers the question's id."""
        return str(self.stage.portal.call(self._ask, kind, reason, data))

    async def _tell(self, events: Asked) -> None:
        now = time.time()
        run = self.lease.run
        for start in range(0, len(events), 5_000):
            batch = [(now, kind, data) for kind, data in events[start : start + 5_000]]
            await event_rows.append(self.stage.app.database, run.tenant, run.id, batch, epoch=run.epoch)

    async def _enter(self, state: State, columns: dict[str, Any]) -> None:
        await self.lease.enter(state, **columns)

    async def _keep(self, name: str, text: str) -> None:
        run = self.lease.run
        kept = self.stage.app.kept
        assert await kept.put(run.tenant, run.id, name, "text/plain", text.encode(), epoch=run.epoch)

    async def _ask(self, kind: ApprovalKind, reason: str, data: dict[str, Any]) -> str:
        run, now = self.lease.run, time.time()
        asked = Approval(
            run.tenant, approval_id(run.id, f"{kind}{now}"), run.id, kind, reason, data, now, now + 3600
        )
        await self.lease.ask(asked)
        await self.lease.enter("waiting_approval", worker=None)
        return asked.id


@dataclass
class Stage:
    """Where runs are played: the store of a Linkspan that may serve meanwhile."""

    app: App
    portal: BlockingPortal
    operator: Principal = field(default_factory=lambda: Principal(Tenant("acme"), "operator", "root"))

    def begin(self, ticket: str, title: str = "", *, person: str = "anna") -> Played:
        """Ask for a run, and take it."""
        return self.portal.call(self._begin, ticket, title, person)

    def take(self, run: str) -> Played:
        """Take a run that somebody else has asked for."""
        return self.portal.call(self._take, run)

    async def enable(self) -> None:
        """Turn the recipe on; there is no forge that could be asked for the repository."""
        said = RecipeSettings(
            "acme", RECIPE, True, {"repository": "acme/harbour"}, "operator", "root", time.time()
        )
        assert await recipe_rows.keep(self.app.database, said)

    async def _begin(self, ticket: str, title: str, person: str) -> Played:
        run = await self.app.runs.start(
            self.operator, RECIPE, source="button", entity_id=ticket, person=person
        )
        return await self._take(run.id, title)

    async def _take(self, run: str, title: str = "") -> Played:
        taken = await run_rows.take(self.app.database, "acme", run, worker="played", now=time.time())
        assert taken is not None
        bell = self.app.runs.bell.of(taken.id)
        lease = Lease(self.app.database, taken, clock=time.time, mask=lambda text: text, bell=bell)
        await lease.change(
            entity_title=title or None, repository="acme/harbour", branch=f"codex/{run}", model="gpt-test"
        )
        return Played(self, run, lease)


@contextlib.contextmanager
def stage(linkspan: Linkspan) -> Iterator[Stage]:
    """Open the store of a Linkspan that has a tenant acme, and turn the recipe on."""
    settings = Settings(home=linkspan.home, config=Path(str(linkspan.config)))

    async def opened() -> App:
        return await build(settings, catalog=load_catalog(settings))

    with start_blocking_portal("asyncio") as portal:
        played = Stage(portal.call(opened), portal)
        portal.call(played.enable)
        try:
            yield played
        finally:
            portal.call(played.app.aclose)


def whole(run: Played) -> None:
    """Play a run from its first event to the question whether to publish."""
    run.enter("running", total_tokens=1000, input_tokens=900, output_tokens=100)
    run.tell("plan", steps=[{"step": "Find the cause", "status": "completed"},
                            {"step": "Write a test", "status": "inProgress"},
                            {"step": "Put it right", "status": "pending"}])  # fmt: skip
    run.item("r1", "reasoning", summary=["The clock is an hour late in summer."])
    run.item("c1", "commandExecution", command="pytest -q", exitCode=1, aggregatedOutput="1 failed\n" * 3)
    answer = {"content": [{"type": "text", "text": "HC-103: open"}]}
    run.item("t1", "mcpToolCall", tool="get_ticket", status="completed", arguments={"id": "1"}, result=answer)
    run.item("f1", "fileChange", status="completed",
             changes=[{"path": "cafe/orders.py", "kind": {"type": "update"}, "diff": ""}])  # fmt: skip
    run.tell("steered", by="person:anna", text="Leave the menu as it is.")
    run.item("m1", "agentMessage", text="I found it: <b>the till</b> adds no hour.\n\nNow the test passes.")
    run.tell("usage", input_tokens=900, output_tokens=100, total_tokens=1000)
    run.keep("diff", DIFF)
    run.tell("change", files=[{"path": "cafe/orders.py", "additions": 2, "deletions": 1}], truncated=False)
    run.ask("publish", "Codex has finished. May this become a pull request?", files=1)


DIFF: Final = """\
diff --git a/cafe/orders.py b/cafe/orders.py
index 1111111..2222222 100644
--- a/cafe/orders.py
+++ b/cafe/orders.py
@@ -1,4 +1,5 @@ def closes():
 # When the till closes
 def closes(opens, hours):
-    return opens + hours
+    until = opens + hours  # "<script>alert(1)</script>"
+    return until if hours < 24 else None
     # that is all
diff --git a/tests/test_orders.py b/tests/test_orders.py
new file mode 100644
--- /dev/null
+++ b/tests/test_orders.py
@@ -0,0 +1,2 @@
+def test_it():
+    assert closes(1, 2) == 3
"""
