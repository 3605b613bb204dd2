"""Databases of released versions are opened and brought up to date; tests/releases has them."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.rotation import Rotation, master_keys
from linkspan.accounts.unlock import read_ring
from linkspan.app import App, build
from linkspan.errors import ConfigurationError
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Item
from linkspan.settings import Settings
from linkspan.store.audit import find
from linkspan.store.migrations import MIGRATIONS
from linkspan.store.sqlite import open_sqlite
from linkspan.vault.keys import new_key
from tests.fakes.asgi import AsgiTransport
from tests.fakes.tracker import Tracker
from tests.releases.make import FILE, HERE, KEYS, NOW, TENANTS
from tests.store.processes import run_together

RELEASES = sorted(HERE.glob("*.sql"))


@pytest.fixture(params=RELEASES, ids=lambda path: path.stem)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The home of an installation of a released version."""
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    released: Path = request.param
    database = sqlite3.connect(made / "linkspan.sqlite")
    database.executescript(released.read_text())
    database.close()
    (made / "linkspan.sqlite").chmod(0o600)
    return made


async def opened(home: Path, keys: str = KEYS) -> App:
    """Open it as this version does."""
    return await build(
        Settings(home=home, keys=keys),
        catalog=spec.load([FILE], {}),
        transport=AsgiTransport(Tracker().app()),
        clock=lambda: NOW + 60,
    )


def rows(home: Path) -> dict[str, list[tuple[object, ...]]]:
    """Answer what is in every table."""
    database = sqlite3.connect(home / "linkspan.sqlite")
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: database.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    database.close()
    return found


async def test_everything_of_a_release_is_there(home: Path) -> None:
    """Tenants, accounts that open, tokens, the audit log, and answers of writes that are not done again."""
    app = await opened(home)
    for name in TENANTS:
        tenant = Tenant(name)
        (linked,) = await app.accounts.list(tenant)
        assert linked.state == "active"
        caller = Principal(tenant, "service", "codex")
        credential = await app.accounts.credential(caller, app.catalog.connectors["tracker"])
        assert credential.secrets["token"].reveal() == f"token-{name}"
        assert [token.subject for token in await app.tokens.list(tenant)] == ["codex"]
        assert len(await find(app.database, tenant)) == 2
        create = app.catalog.tool("create_ticket")
        assert create is not None
        again = await app.gateway.call(
            caller,
            create,
            {"title": f"of {name}"},
            info=CallInfo("req-3", thread_id="thread", call_id="call"),
        )
        assert isinstance(again, Item)
        assert again.result["title"] == f"of {name}"
    await app.aclose()


async def test_a_release_can_change_its_keys_at_once(home: Path) -> None:
    """What it sealed with the master key itself is sealed with the tenants' own keys afterwards."""
    app = await opened(home)
    new = new_key()
    ring = await read_ring(app.database, keys=f"{new},{KEYS}", keys_path=home / "keys", random=os.urandom)
    done = await Rotation(
        app.database, ring, keys_path=None, clock=lambda: NOW + 120, random=os.urandom
    ).run()
    assert (done.values, done.unreadable) == (4, 0)
    assert [key.values for key in await master_keys(app.database, ring.all)] == [4, 0]
    await app.aclose()
    after = await opened(home, new)
    caller = Principal(Tenant("acme"), "service", "codex")
    credential = await after.accounts.credential(caller, after.catalog.connectors["tracker"])
    assert credential.secrets["token"].reveal() == "token-acme"
    await after.aclose()


async def test_a_release_is_not_opened_with_another_key(home: Path) -> None:
    """Its own is asked for, and nothing is made in its place."""
    with pytest.raises(ConfigurationError, match="do not open what the database holds"):
        await opened(home, new_key())
    await (await opened(home)).aclose()


async def test_a_disk_that_is_full_while_migrating_loses_nothing(home: Path) -> None:
    """It is said plainly, every row is as it was, and with space the same start goes through."""
    before = rows(home)
    code = """
import resource, signal
from linkspan.store.database import StoreFault

async def main(place, number):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    db = open_database(place)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
    try:
        await migrate(db)
    except StoreFault as fault:
        return fault.for_model()
"""
    (answer,) = run_together(code, home / "linkspan.sqlite", count=1)
    assert "nothing was written" in answer
    assert "then try again" in answer
    assert rows(home) == before
    await (await opened(home)).aclose()
    assert len(rows(home)["migrations"]) == len(MIGRATIONS)


async def test_a_database_that_may_not_grow_while_migrating_loses_nothing(home: Path) -> None:
    """Wherever in the migration the space ends: with every number of further pages it is all or nothing."""
    path = home / "linkspan.sqlite"
    before = rows(home)
    db = open_sqlite(path)
    (pages,) = (await db.query("SELECT page_count AS count FROM pragma_page_count()"))[0].values()
    await db.aclose()
    for more in (0, 1, 2, 5, 10, 20):
        code = f"""
from linkspan.store.database import StoreFault

async def main(place, number):
    db = open_database(place)
    await db.transaction(lambda tx: tx.query("PRAGMA max_page_count = {pages + more}"))
    try:
        await migrate(db)
    except StoreFault as fault:
        return fault.message
"""
        (answer,) = run_together(code, path, count=1)
        assert "is full; nothing was written" in answer
        assert rows(home) == before


def test_the_first_tables_stay_as_they_were_released(home: Path) -> None:
    """A migration that was released is not edited: it makes exactly the tables of its release."""
    fresh = sqlite3.connect(":memory:")
    for statement in MIGRATIONS[0]:
        fresh.execute(statement.format(blob="blob", serial="integer PRIMARY KEY AUTOINCREMENT", text="text"))
    made = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'migrations' ORDER BY name"
    released = sqlite3.connect(home / "linkspan.sqlite")
    if released.execute("SELECT max(number) FROM migrations").fetchone() == (1,):
        assert _plain(released.execute(made)) == _plain(fresh.execute(made))
    fresh.close()
    released.close()


def _plain(rows: sqlite3.Cursor) -> list[tuple[str, str]]:
    return [(name, " ".join(sql.split())) for name, sql in rows]
