"""What both engines promise: transactions, and writes of several processes that never undo each other."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter

import pytest

from linkspan.store import tenants
from linkspan.store.audit import find
from linkspan.store.database import Database, StoreFault, Transaction
from tests.store.engines import REFUSED, Engine
from tests.store.processes import SOURCE, run_together

PUT = "INSERT INTO meta (name, value) VALUES (:name, :value)"
COUNT = "SELECT count(*) AS count FROM meta WHERE name LIKE :like"


async def put(db: Database, name: str, **how: bool) -> None:
    await db.execute(PUT, {"name": name, "value": b"x"}, **how)


async def names(db: Database) -> list[str]:
    return [row["name"] for row in await db.query("SELECT name FROM meta ORDER BY name")]


async def test_values_come_back_as_they_were_given(db: Database) -> None:
    """Bytes, text with quotes and colons, numbers to the last bit, and nothing at all."""
    value = bytes(range(256))
    await db.execute(PUT, {"name": "it's 100% :name at 12:30 ␀ ü", "value": value})
    rows = await db.query(
        "SELECT name, value, 'literal :x 5%' AS literal FROM meta"
        " WHERE name LIKE '%:name%' AND value = :value",
        {"value": value},
    )
    assert rows == [{"name": "it's 100% :name at 12:30 ␀ ü", "value": value, "literal": "literal :x 5%"}]
    await tenants.add(db, "acme", 0.1 + 0.2)
    assert await tenants.everyone(db) == [("acme", 0.1 + 0.2)]


async def test_a_parameter_may_stand_twice_and_in_any_order(db: Database) -> None:
    """It is found by its name, wherever it stands."""
    sql = "SELECT name FROM meta WHERE value = :value AND (name = :name OR name < :name AND name > :least)"
    for name in ("a", "b", "c"):
        await put(db, name)
    rows = await db.query(sql + " ORDER BY name", {"least": "a", "name": "c", "value": b"x"})
    assert [row["name"] for row in rows] == ["b", "c"]


async def test_names_sort_by_code_point(db: Database) -> None:
    """The order is the same on every engine and in every locale."""
    for name in ("b", "a-b", "a", "ab", "B", "ä", "a_b", "0"):
        await put(db, name)
    assert await names(db) == ["0", "B", "a", "a-b", "a_b", "ab", "b", "ä"]


async def test_references_are_enforced(db: Database) -> None:
    """A row of a tenant that is not there is refused by the database itself."""
    with pytest.raises(REFUSED):
        await db.execute(
            "INSERT INTO calls (tenant, caller, call, tool, digest, owner, lease, expires)"
            " VALUES ('nobody', 'c', 'i', 't', 'd', 'o', 1, 2)"
        )


async def test_a_returning_clause_is_kept(db: Database, other: Database) -> None:
    """A write that is asked with `query` is committed like any other."""
    assert await db.query(PUT + " RETURNING name", {"name": "a", "value": b"x"}) == [{"name": "a"}]
    assert await names(other) == ["a"]


async def test_a_transaction_that_raises_leaves_nothing(db: Database) -> None:
    """What was written before the error is gone, and the next transaction works."""

    def work(tx: Transaction) -> None:
        tx.execute(PUT, {"name": "a", "value": b"x"})
        raise KeyError

    with pytest.raises(KeyError):
        await db.transaction(work)
    await put(db, "b")
    assert await names(db) == ["b"]


async def test_execute_many_is_one_transaction(db: Database) -> None:
    """Either all rows are stored or none."""
    rows = [{"name": name, "value": b"x"} for name in ("a", "b", "a")]
    with pytest.raises(REFUSED):
        await db.execute_many(PUT, rows)
    assert await names(db) == []
    await db.execute_many(PUT, rows[:2])
    assert await names(db) == ["a", "b"]


async def test_work_is_done_off_the_loop(db: Database) -> None:
    """The loop goes on while a transaction takes its time."""
    go = threading.Event()
    waiting = asyncio.ensure_future(db.transaction(lambda _tx: go.wait(10)))
    await asyncio.sleep(0)
    assert not waiting.done()
    go.set()
    assert await waiting is True


async def test_closing_finishes_what_is_queued(db: Database, engine: Engine) -> None:
    """Writes that were asked before the close are kept."""
    database = engine.open()
    writes = [asyncio.ensure_future(put(database, str(number))) for number in range(20)]
    await asyncio.sleep(0)
    await database.aclose()
    await asyncio.gather(*writes)
    assert len(await names(db)) == 20


async def test_a_killed_process_loses_no_committed_row(engine: Engine, db: Database) -> None:
    """What was committed, durable or not, is there after kill -9."""
    code = f"""
import asyncio, os, signal, sys
from pathlib import Path
from linkspan.store.engines import open_database

async def main(place):
    db = open_database(place if "://" in place else Path(place))
    await db.execute({PUT!r}, {{"name": "durable", "value": b"x"}})
    await db.execute({PUT!r}, {{"name": "behind", "value": b"x"}}, durable=False)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(sys.argv[1]))
"""
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(engine.place), env={"PYTHONPATH": str(SOURCE)}
    )
    assert await killed.wait() == -9
    assert await names(db) == ["behind", "durable"]


async def test_a_full_disk_is_told_and_loses_nothing(db: Database, engine: Engine) -> None:
    """The error says what is full and what to do; what was there stays, and with space writing goes on."""
    await put(db, "a")
    await engine.fill_disk(db)
    with pytest.raises(StoreFault, match=r"disk .* is full; nothing was written") as told:
        await db.execute(PUT, {"name": "b", "value": bytes(100_000)})
    assert told.value.for_model().endswith("then try again.")
    assert await names(db) == ["a"]
    await engine.free_disk(db)
    await put(db, "b")
    assert await names(db) == ["a", "b"]


async def test_a_read_only_database_is_told(db: Database, engine: Engine) -> None:
    """The error says that it is read-only, and reading goes on."""
    await put(db, "a")
    await engine.make_read_only(db)
    with pytest.raises(StoreFault, match="read-only; nothing was written"):
        await put(db, "b")
    assert await names(db) == ["a"]


async def test_reading_then_writing_never_loses_an_update(engine: Engine, db: Database) -> None:
    """Four processes that count one number up lose no step and meet no lock error."""
    code = """
def step(tx):
    rows = tx.query("SELECT value FROM meta WHERE name = 'n'")
    count = int(rows[0]["value"]) if rows else 0
    tx.execute("INSERT INTO meta (name, value) VALUES ('n', :v) ON CONFLICT (name) DO UPDATE SET value = :v",
               {"v": str(count + 1).encode()})

async def main(place, number):
    db = open_database(place)
    for _ in range(50):
        await db.transaction(step, durable=False)
    await db.aclose()
"""
    run_together(code, engine.place, count=4)
    assert (await db.query("SELECT value FROM meta"))[0]["value"] == b"200"


async def test_a_limit_that_is_counted_is_kept(engine: Engine, db: Database) -> None:
    """Work that counts rows and adds one while there are few never adds one too many, in any process.

    Two that count at once would each see room for one: only transactions that end as if they had run one
    after another keep such a limit.
    """
    code = """
def add(tx, number):
    (row,) = tx.query("SELECT count(*) AS count FROM meta WHERE name LIKE 'row-%'")
    if row["count"] < 5:
        tx.execute("INSERT INTO meta (name, value) VALUES (:name, :name2)",
                   {"name": f"row-{number}", "name2": b"x"})
        return True
    return False

async def main(place, number):
    db = open_database(place)
    added = await asyncio.gather(
        *(db.transaction(lambda tx, n=n: add(tx, f"{number}-{n}")) for n in range(8))
    )
    await db.aclose()
    return sum(added)
"""
    assert sum(json.loads(answer) for answer in run_together(code, engine.place, count=4)) == 5
    assert (await db.query(COUNT, {"like": "row-%"}))[0]["count"] == 5


async def test_a_lease_is_held_by_one(engine: Engine, db: Database) -> None:
    """Of four processes with four tasks each, one at a time has a lease that is taken with one statement.

    Every holder notes what it saw and counts up under the lease; a second holder would repeat a number.
    """
    code = """
TAKE = ("UPDATE meta SET value = :me WHERE name = 'lease' AND value = :free RETURNING name")

async def hold(db, me):
    free = b"free"
    while not await db.query(TAKE, {"me": me, "free": free}):
        await asyncio.sleep(0)
    (row,) = await db.query("SELECT value FROM meta WHERE name = 'count'")
    count = int(row["value"]) + 1
    await db.execute("UPDATE meta SET value = :count WHERE name = 'count'", {"count": str(count).encode()})
    assert await db.execute("UPDATE meta SET value = :free WHERE name = 'lease' AND value = :me",
                            {"me": me, "free": free}) == 1
    return count

async def main(place, number):
    db = open_database(place)
    seen = await asyncio.gather(*(hold(db, f"{number}-{task}".encode()) for task in range(4)))
    await db.aclose()
    return seen
"""
    await db.execute_many(PUT, [{"name": "lease", "value": b"free"}, {"name": "count", "value": b"0"}])
    answers = run_together(code, engine.place, count=4)
    seen = Counter(count for answer in answers for count in json.loads(answer))
    assert seen == dict.fromkeys(range(1, 17), 1)


async def test_no_audit_row_of_any_process_is_lost_or_doubled(engine: Engine, db: Database) -> None:
    """Four processes write two hundred rows each, now and behind; each is there once, under its own id."""
    code = """
from linkspan.store.audit import AuditRow, AuditWriter

def row(number, count):
    return AuditRow("acme", 1.0, "service", "ci", None, f"{number}-{count}", "mcp", "tool", "ticket",
                    None, None, None, 200, "ok", 1.0)

async def main(place, number):
    db = open_database(place)
    writer = AuditWriter(db, delay=0.001)
    for count in range(200):
        if count % 10:
            writer.write_behind(row(number, count))
        else:
            await writer.write(row(number, count))
    await writer.aclose()
    await db.aclose()
"""
    await tenants.add(db, "acme", 1.0)
    run_together(code, engine.place, count=4)
    entries = await find(db, "acme", limit=1000)
    assert Counter(entry.row.request_id for entry in entries) == {
        f"{number}-{count}": 1 for number in range(4) for count in range(200)
    }
    assert len({entry.id for entry in entries}) == 800
