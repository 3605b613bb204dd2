"""The audit log: what is kept, when, and how it is read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from linkspan.store import tenants
from linkspan.store.audit import AuditFilter, AuditRow, AuditWriter, find
from linkspan.store.database import Database
from tests.store.engines import Engine, on_sqlite
from tests.store.rows import entry


@pytest.fixture(autouse=True)
async def acme(db: Database) -> None:
    """The tenants of these tests."""
    await tenants.add(db, "acme", 1.0)
    await tenants.add(db, "bolt", 1.0)


@pytest.fixture
async def writer(db: Database) -> AsyncIterator[AuditWriter]:
    """A writer whose rows wait until it is flushed."""
    writer = AuditWriter(db, delay=3600.0, retry=3600.0, capacity=3)
    yield writer
    await writer.aclose()


async def rows(db: Database, tenant: str = "acme", **wanted: Any) -> list[AuditRow]:
    return [found.row for found in await find(db, tenant, AuditFilter(**wanted))]


async def test_a_row_comes_back_as_it_was_written(db: Database, writer: AuditWriter) -> None:
    """Every column."""
    await writer.write(entry("acme"))
    assert await rows(db) == [entry("acme")]


async def test_a_write_is_stored_before_it_returns(
    db: Database, other: Database, writer: AuditWriter
) -> None:
    """Another process sees the row of a write as soon as the call goes on."""
    await writer.write(entry("acme", tool="create_ticket"))
    assert len(await rows(other)) == 1


async def test_reads_are_written_behind_and_together(db: Database, writer: AuditWriter) -> None:
    """They wait for the delay, keep their order, and all go in one batch."""
    for number in range(3):
        writer.write_behind(entry("acme", entity_id=str(number)))
    assert await rows(db) == []
    await writer.flush()
    assert [row.entity_id for row in await rows(db)] == ["2", "1", "0"]


async def test_what_is_written_behind_arrives_by_itself(db: Database) -> None:
    """Nobody has to flush: the rows are there after the delay."""
    writer = AuditWriter(db, delay=0.001)
    async with asyncio.timeout(10):
        for stored in (1, 2):
            writer.write_behind(entry("acme"))
            while len(await rows(db)) < stored:
                pass  # each look gives the loop its turn
    await writer.aclose()


async def test_closing_writes_what_waits(db: Database) -> None:
    """Nothing is lost when the program stops."""
    writer = AuditWriter(db, delay=3600.0)
    writer.write_behind(entry("acme"))
    await writer.aclose()
    assert len(await rows(db)) == 1


async def test_flushing_waits_for_a_batch_that_is_under_way(db: Database) -> None:
    """After a flush everything that was given before is stored."""
    writer = AuditWriter(db, delay=0.0)
    writer.write_behind(entry("acme"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    writer.write_behind(entry("acme"))
    await writer.flush()
    assert len(await rows(db)) == 2
    await writer.aclose()


@on_sqlite
async def test_the_audit_throws_no_cache_away(db: Database, writer: AuditWriter) -> None:
    """A call's own row must not make the next call look everything up again."""
    before = db.change_mark()
    await writer.write(entry("acme"))
    writer.write_behind(entry("acme"))
    await writer.flush()
    assert db.change_mark() == before


async def test_a_tenant_that_was_removed_meanwhile_leaves_nothing(db: Database, writer: AuditWriter) -> None:
    """Its waiting rows are dropped; those of others in the batch are kept."""
    writer.write_behind(entry("acme"))
    writer.write_behind(entry("bolt"))
    await tenants.remove(db, "acme")
    await writer.flush()
    assert await rows(db) == []
    assert len(await rows(db, "bolt")) == 1


async def test_a_full_disk_keeps_rows_until_there_is_space(
    db: Database, engine: Engine, writer: AuditWriter, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls are answered, rows wait and are written later, and the log says so once."""
    await engine.fill_disk(db)
    big = "x" * 20_000
    await writer.write(entry("acme", entity_id=big + "1"))
    writer.write_behind(entry("acme", entity_id=big + "2"))
    await writer.flush()
    assert await rows(db) == []
    ours = [record for record in caplog.records if record.name.startswith("linkspan")]
    assert [record.levelno for record in ours] == [logging.ERROR]
    assert "is full" in caplog.text
    await engine.free_disk(db)
    await writer.flush()
    assert [(row.entity_id or "")[-1] for row in await rows(db)] == ["2", "1"]


async def test_a_disk_that_stays_full_costs_the_oldest_rows(
    db: Database, engine: Engine, writer: AuditWriter, caplog: pytest.LogCaptureFixture
) -> None:
    """No more rows are held than the capacity, and how many were lost is said when writing works again."""
    await engine.fill_disk(db)
    for number in range(5):
        writer.write_behind(entry("acme", entity_id="x" * 20_000 + str(number)))
        await writer.flush()
    await engine.free_disk(db)
    await writer.flush()
    assert [(row.entity_id or "")[-1] for row in await rows(db)] == ["4", "3", "2"]
    assert "2 audit rows were lost" in caplog.text


async def test_rows_that_cannot_be_written_at_the_end_are_counted(
    db: Database, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says how many are lost when the program stops on a full disk."""
    writer = AuditWriter(db, delay=3600.0)
    await engine.fill_disk(db)
    writer.write_behind(entry("acme", entity_id="x" * 20_000))
    await writer.aclose()
    assert "1 audit rows could not be written" in caplog.text
    await engine.free_disk(db)


async def test_tenants_do_not_read_each_others_log(db: Database, writer: AuditWriter) -> None:
    """Whatever is asked, the rows are the tenant's own."""
    await writer.write(entry("acme"))
    assert await rows(db, "bolt") == []
    assert await rows(db, "bolt", tool="get_ticket") == []


@pytest.mark.parametrize(
    "wanted",
    [
        {"tool": "other"},
        {"entity": "other"},
        {"entity_id": "other"},
        {"outcome": "forbidden"},
        {"principal_kind": "service"},
        {"principal_subject": "eve"},
        {"token_id": "other"},
        {"request_id": "other"},
        {"connector": "other"},
        {"account": "other"},
        {"thread_id": "other"},
        {"turn_id": "other"},
        {"call_id": "other"},
        {"since": 5.0},
        {"since": 5.0, "tool": "get_ticket"},
    ],
    ids=str,
)
async def test_rows_are_found_by_what_is_asked(
    db: Database, writer: AuditWriter, wanted: dict[str, Any]
) -> None:
    """Each filter finds the row that fits and not the one that does not."""
    fitting = entry(
        "acme",
        **{
            {"since": "time"}.get(name, name): 5.0 if name == "since" else value
            for name, value in wanted.items()
        },
    )
    await writer.write(entry("acme"))
    await writer.write(fitting)
    assert await rows(db, **wanted) == [fitting]


async def test_until_leaves_out_what_came_later(db: Database, writer: AuditWriter) -> None:
    """The end of a span is not part of it."""
    for time in (1.0, 2.0, 3.0):
        await writer.write(entry("acme", time=time))
    assert [row.time for row in await rows(db, since=1.0, until=3.0)] == [2.0, 1.0]


async def test_a_long_log_is_read_in_pages(db: Database, writer: AuditWriter) -> None:
    """Each page goes on before the last id of the one before it."""
    for number in range(5):
        await writer.write(entry("acme", entity_id=str(number)))
    first = await find(db, "acme", limit=2)
    second = await find(db, "acme", limit=10, before=first[-1].id)
    assert [found.row.entity_id for found in first + second] == ["4", "3", "2", "1", "0"]
