"""Writes the database of the version that is checked out as SQL: `python -m tests.releases.make`.

Run it when a version is released and commit what it writes; later versions must open it (see
tests/store/test_upgrade.py). A file that is there is a release: it is never written again.
"""

from __future__ import annotations

import asyncio
import base64
import random
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Final

from linkspan import __version__, spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.gateway.calls import CallInfo
from linkspan.settings import Settings
from tests.fakes.asgi import AsgiTransport
from tests.fakes.tracker import Tracker

HERE: Final = Path(__file__).parent
FILE: Final = HERE.parent / "fakes/tracker.yaml"
KEYS: Final = base64.b64encode(bytes(range(32))).decode()
"""The key that seals what is in the files beside this one."""
NOW: Final = 1_700_000_000.0
TENANTS: Final = ("acme", "globex")


async def fill(app: App) -> None:
    """Leave something in every table: two tenants, linked, with a token, a read and a write each."""
    create = app.catalog.tool("create_ticket")
    read = app.catalog.tool("list_tickets")
    assert create is not None
    assert read is not None
    for name in TENANTS:
        tenant = await app.tenants.add(name)
        await app.accounts.link(
            tenant,
            app.catalog.connectors["tracker"],
            secrets={"token": f"token-{name}"},
            verify=app.verifier,
        )
        await app.tokens.create(tenant, subject="codex", scopes=["read", "ticket.create"])
        caller = Principal(Tenant(name), "service", "codex")
        await app.gateway.call(caller, read, {}, info=CallInfo("req-1"))
        info = CallInfo("req-2", thread_id="thread", call_id="call")
        await app.gateway.call(caller, create, {"title": f"of {name}"}, info=info)


async def _make(home: Path) -> None:
    app = await build(
        Settings(home=home, keys=KEYS),
        catalog=spec.load([FILE], {}),
        transport=AsgiTransport(Tracker().app()),
        clock=lambda: NOW,
        random=random.Random(__version__).randbytes,
    )
    try:
        await fill(app)
    finally:
        await app.aclose()


def main() -> None:
    """Write the file of this version."""
    path = HERE / f"{__version__}.sql"
    if path.exists():
        sys.exit(f"{path.name} is there already: a release does not change")
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(_make(Path(home)))
        database = sqlite3.connect(Path(home) / "linkspan.sqlite")
        path.write_text("\n".join(database.iterdump()) + "\n")
        database.close()


if __name__ == "__main__":
    main()
