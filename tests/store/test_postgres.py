"""The database of a fleet: how it is opened, what it does when the server goes, and faults told plainly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from urllib.parse import quote

import psycopg
import pytest

from linkspan.errors import ConfigurationError
from linkspan.store import tenants
from linkspan.store.database import Database, OutcomeUnknown, StoreFault, Transaction
from linkspan.store.engines import password_in
from linkspan.store.postgres import open_postgres, translate
from tests.servers.postgres import Cluster, prepared
from tests.store.engines import Engine, Postgres, on_postgres

PUT = "INSERT INTO meta (name, value) VALUES (:name, :value)"
SECRET = "canary+pass word"


@pytest.fixture
def url(engine: Engine) -> str:
    """Where the database is."""
    assert isinstance(engine, Postgres)
    return str(engine.place)


async def put(db: Database, name: str) -> None:
    await db.execute(PUT, {"name": name, "value": b"x"})


async def names(db: Database) -> list[str]:
    return [row["name"] for row in await db.query("SELECT name FROM meta ORDER BY name")]


async def end_sessions(db: Database) -> None:
    """End every session of the same schema but the one that asks, as an administrator would."""
    await db.query(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'linkspan'"
        " AND pid <> pg_backend_pid() AND datname = current_database()"
    )


@pytest.mark.parametrize(
    ("sql", "translated"),
    [
        ("SELECT :a, :a_2", "SELECT %(a)s, %(a_2)s"),
        ("SELECT ':a', 'it''s :b', :c", "SELECT ':a', 'it''s :b', %(c)s"),
        ("SELECT a::text, 5 % 2, '5%'", "SELECT a::text, 5 %% 2, '5%%'"),
    ],
)
def test_parameters_are_named_as_psycopg_names_them(sql: str, translated: str) -> None:
    """Literals, casts and percent signs stay what they are."""
    assert translate(sql) == translated


def test_a_password_is_read_off_a_url_as_it_is_meant() -> None:
    """What logs must not show is the password itself, not how a URL writes it."""
    assert password_in(f"postgresql://u:{quote(SECRET, safe='')}@host/db") == SECRET
    assert password_in("postgresql://u:x?y@host/db") == "x?y"
    assert password_in("postgresql://host/db") is None
    assert password_in("postgresql://host:port/db?what") is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u:PASSWORD@127.0.0.1:1/db", "refused"),
        ("postgresql://u:PASSWORD@/db?host=/nowhere", "No such file"),
        ("postgresql://u:PASSWORD@127.0.0.1:port/db", "cannot be read"),
        ("postgresql://u:12/PASSWORD@127.0.0.1/db", "cannot be read"),
        ("postgresql://u:x@PASSWORD@127.0.0.1/db", "cannot be read"),
        ("postgresql://u:x/PASSWORD@127.0.0.1/db", "cannot be read"),
        ("postgresql://u:PASSWORD@127.0.0.1/db?no_such_option=1", "cannot be read"),
    ],
)
def test_a_url_that_leads_nowhere_is_told_without_its_password(url: str, words: str) -> None:
    """The error names the place and what the network said, and says where to look."""
    with pytest.raises(ConfigurationError, match=words) as told:
        open_postgres(url.replace("PASSWORD", quote(SECRET)))
    assert "postgresql://" in told.value.for_model()
    assert "s3cret" not in told.value.for_model()


@pytest.mark.e2e
def test_a_database_or_user_that_is_not_there_is_told(postgres: Cluster) -> None:
    """What the server said is in the error."""
    with pytest.raises(ConfigurationError, match='database "nowhere" does not exist'):
        open_postgres(postgres.url("nowhere"))
    with pytest.raises(ConfigurationError, match='role "nobody" does not exist'):
        open_postgres(postgres.url().replace("linkspan@", "nobody@"))


@pytest.mark.e2e
def test_a_standby_is_not_opened(postgres: Cluster) -> None:
    """A server that only reads is told at once, not at the first write."""
    with pytest.raises(ConfigurationError, match="session is read-only"):
        open_postgres(postgres.url(default_transaction_read_only="on"))


@pytest.mark.e2e
def test_a_database_that_cannot_hold_every_character_is_not_opened(postgres: Cluster) -> None:
    """The error says how one is made that can."""
    postgres.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    with pytest.raises(ConfigurationError, match="keeps text as LATIN1"):
        open_postgres(postgres.url("latin"))
    postgres.run("DROP DATABASE latin")


@on_postgres
async def test_its_place_holds_no_password(url: str) -> None:
    """What messages call it may be logged."""
    db = open_postgres(url.replace("linkspan@", f"linkspan:{quote(SECRET)}@"))
    assert db.place.startswith("postgresql://linkspan@/tmp/")
    assert "s3cret" not in f"{db.place} {db!r}"
    await db.aclose()


@on_postgres
async def test_time_outs_of_ours_and_options_of_the_url_hold_both(url: str) -> None:
    """Nothing waits for ever, and the operator has the last word."""

    def shown(tx: Transaction) -> dict[str, str]:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "search_path")
        return {name: tx.query(f"SHOW {name}")[0][name] for name in names}

    db = open_postgres(f"{url}{quote(' -c statement_timeout=7s')}")
    seen = await db.transaction(shown)
    assert seen.pop("search_path").startswith("t_")
    assert seen == {
        "statement_timeout": "7s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "30s",
    }
    await db.aclose()


@on_postgres
async def test_durable_writes_are_synced(db: Database) -> None:
    """A durable transaction waits for the disk; one that only reports does not, and neither sticks."""

    def synchronous(tx: Transaction) -> object:
        return tx.query("SHOW synchronous_commit")[0]["synchronous_commit"]

    seen = [await db.transaction(synchronous, durable=durable) for durable in (True, False, True)]
    assert seen == ["on", "off", "on"]


@on_postgres
async def test_a_character_that_it_cannot_hold_is_shown_as_a_sign(db: Database) -> None:
    """A NUL in what a client sent is no reason to lose a row."""
    await put(db, "a\0b")
    assert await names(db) == ["a␀b"]


@on_postgres
async def test_nothing_is_cached(db: Database) -> None:
    """There is no mark: a revoked token is over in every replica with its next call."""
    assert db.change_mark() is None


@on_postgres
async def test_work_that_collides_is_run_again(db: Database, other: Database) -> None:
    """Two that read what the other writes end as if one had come after the other."""
    await tenants.add(db, "acme", 1.0)
    both_read = threading.Barrier(2)
    runs: list[str] = []

    def work(name: str) -> Callable[[Transaction], int]:
        def run(tx: Transaction) -> int:
            runs.append(name)
            (row,) = tx.query("SELECT count(*) AS count FROM meta")
            if len(runs) <= 2:
                both_read.wait(10)
            tx.execute(PUT, {"name": name, "value": b"x"})
            return int(row["count"])

        return run

    async with asyncio.TaskGroup() as group:
        one = group.create_task(db.transaction(work("one")))
        two = group.create_task(other.transaction(work("two")))
    assert sorted([one.result(), two.result()]) == [0, 1]
    assert len(runs) == 3


@on_postgres
async def test_a_row_that_came_between_is_seen_by_the_second_try(db: Database, other: Database) -> None:
    """A single statement of another that takes the name meanwhile is answered, not stumbled over."""
    loop = asyncio.get_running_loop()
    runs: list[bool] = []

    def work(tx: Transaction) -> bool:
        there = bool(tx.query("SELECT 1 FROM meta WHERE name = 'a'"))
        runs.append(there)
        if len(runs) == 1:
            asyncio.run_coroutine_threadsafe(put(other, "a"), loop).result(10)
        if not there:
            tx.execute(PUT, {"name": "a", "value": b"mine"})
        return there

    assert await db.transaction(work)
    assert runs == [False, True]


@on_postgres
async def test_a_statement_that_failed_cannot_be_passed_over(db: Database) -> None:
    """Work that catches its own fault and goes on is not told that it was kept."""

    def work(tx: Transaction) -> None:
        tx.execute(PUT, {"name": "a", "value": b"x"})
        try:
            tx.execute("SELECT nonsense")
        except psycopg.Error:
            return

    with pytest.raises(RuntimeError, match="failed, and the work went on"):
        await db.transaction(work)
    assert await names(db) == []


@on_postgres
async def test_sessions_that_an_administrator_ended_are_not_noticed(db: Database, other: Database) -> None:
    """Reads and writes go on with new sessions, however many there were."""
    await asyncio.gather(*(put(db, str(number)) for number in range(8)))
    await end_sessions(other)
    assert len(await names(db)) == 8
    await end_sessions(other)
    await put(db, "after")
    assert len(await names(db)) == 9


@on_postgres
async def test_what_is_interrupted_in_the_middle_is_begun_again(db: Database, url: str) -> None:
    """Nothing of the first try was kept, so the work is run a second time."""
    single = open_postgres(url, pool_size=1)
    loop = asyncio.get_running_loop()
    runs = []

    def work(tx: Transaction) -> None:
        runs.append(1)
        tx.execute(PUT, {"name": "a", "value": b"x"})
        if len(runs) == 1:
            asyncio.run_coroutine_threadsafe(end_sessions(db), loop).result(10)
        tx.query("SELECT 1")

    await single.transaction(work)
    assert len(runs) == 2
    assert await names(single) == ["a"]
    await single.aclose()


@on_postgres
async def test_a_connection_lost_at_the_very_end_is_told(db: Database) -> None:
    """Whether a change was kept is not known then, and it is not done twice."""
    await db.execute(
        "CREATE FUNCTION quit() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$"
    )
    await db.execute(
        "CREATE CONSTRAINT TRIGGER quit AFTER INSERT ON meta DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION quit()"
    )
    with pytest.raises(OutcomeUnknown, match="whether it was kept is not known"):
        await put(db, "a")
    assert await names(db) == []


@on_postgres
async def test_a_row_that_stays_locked_is_told(db: Database, url: str) -> None:
    """Another program that never ends its transaction is named after the time-out; reading goes on."""
    await put(db, "a")
    hasty = open_postgres(url, busy_timeout=0.1)
    with psycopg.connect(url) as blocker:
        blocker.execute("UPDATE meta SET value = value")
        with pytest.raises(StoreFault, match="locked by another process") as told:
            await hasty.execute("UPDATE meta SET value = :x", {"x": b"y"})
        assert "pg_stat_activity" in told.value.for_model()
        assert await names(hasty) == ["a"]
        blocker.rollback()
    await hasty.execute("UPDATE meta SET value = :x", {"x": b"y"})
    await hasty.aclose()


@on_postgres
async def test_a_statement_that_takes_too_long_is_told(url: str) -> None:
    """It is cancelled at the server."""
    db = open_postgres(f"{url}{quote(' -c statement_timeout=50ms')}")
    with pytest.raises(StoreFault, match="took too long"):
        await db.query("SELECT pg_sleep(10)")
    assert await db.query("SELECT 1 AS one") == [{"one": 1}]
    await db.aclose()


@on_postgres
async def test_more_tasks_than_connections_take_their_turn(url: str) -> None:
    """Fifty tasks share two connections, and none is turned away."""
    db = open_postgres(url, pool_size=2)
    found = await asyncio.gather(*(db.query("SELECT 1 AS one") for _ in range(50)))
    assert found == [[{"one": 1}]] * 50
    await db.aclose()


@pytest.fixture
def stopped() -> Iterator[Cluster]:
    """A server of its own that does not run yet."""
    with prepared() as made:
        yield made


@pytest.mark.e2e
async def test_a_server_that_stops_is_told_and_one_that_comes_back_is_used(stopped: Cluster) -> None:
    """While it is away calls are refused plainly; when it is back the same process goes on."""
    with ExitStack() as stack:
        stack.enter_context(stopped.start())
        db = open_postgres(stopped.url(), busy_timeout=1.0)
        await db.execute("CREATE TABLE meta (name text, value bytea)")
        await put(db, "before")
        stack.close()
        with pytest.raises(StoreFault, match=r"nothing was written|not known"):
            await put(db, "while it is away")
        with pytest.raises(StoreFault):
            await names(db)
        stack.enter_context(stopped.start())
        await put(db, "after")
        assert await names(db) == ["after", "before"]
        await db.aclose()
