"""A worker that works on one task and says what it is told, to be killed: FOLDER URL [CODEX]."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from linkspan.accounts.principal import Tenant
from linkspan.codex.app_server.engine import AppServer
from linkspan.codex.engine import Access, Event, Limits, Task, Thread
from linkspan.settings import CodexSettings
from linkspan.vault.secret import Secret
from tests.codex.app_server.conftest import Watcher


class Talker(Watcher):
    """Prints a line for everything."""

    async def tell(self, event: Event) -> None:
        """Print an event."""
        print(json.dumps({"kind": event.kind, "data": event.data}), flush=True)  # noqa: T201

    async def holds(self) -> bool:
        """Until somebody puts a note beside the checkout that the run is theirs."""
        return not await asyncio.to_thread((Path(sys.argv[1]) / "taken").exists)

    async def began(self, thread: Thread) -> None:
        """Print the thread."""
        print(json.dumps({"kind": "began", "id": thread.id}), flush=True)  # noqa: T201


def main() -> None:
    """Work."""
    folder, url = Path(sys.argv[1]), sys.argv[2]
    task = Task(
        run="run_1",
        tenant=Tenant("acme"),
        folder=folder,
        prompt="Do what the script says.",
        model=Access(f"{url}/v1", Secret("run-token-canary")),
        limits=Limits(seconds=60),
        workspace=folder / "checkout",
        model_name="scripted-model",
    )
    engine = AppServer(CodexSettings(binary=sys.argv[3] if len(sys.argv) > 3 else None))
    asyncio.run(engine.work(task, Talker()))


if __name__ == "__main__":
    main()
