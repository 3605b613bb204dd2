"""The keys are tried at start."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from linkspan.accounts.unlock import unlock
from linkspan.errors import ConfigurationError
from linkspan.store.database import Database
from linkspan.vault.seal import Vault
from tests.store.engines import Engine
from tests.store.processes import run_together

ONE, TWO = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


async def start(db: Database, home: Path, keys: str | None = None) -> Vault:
    return await unlock(db, keys=keys, keys_path=home / "keys", random=os.urandom)


async def test_a_new_home_gets_a_key_and_keeps_it(db: Database, home: Path) -> None:
    """What the first start sealed the second one opens."""
    sealed = (await start(db, home)).seal("p", "t", "r", b"secret")
    assert (await start(db, home)).open("p", "t", "r", sealed) == b"secret"


async def test_a_lost_key_file_stops_the_start(db: Database, home: Path) -> None:
    """A new key would open nothing: the message says what to do, and no key is made."""
    await start(db, home)
    (home / "keys").unlink()
    with pytest.raises(ConfigurationError, match="There is no key for what the database holds"):
        await start(db, home)
    assert not (home / "keys").exists()


async def test_another_key_stops_the_start(db: Database, home: Path) -> None:
    """The message names the source, both key ids and the way out."""
    await start(db, home, ONE)
    with pytest.raises(ConfigurationError, match=r"The keys of LINKSPAN_KEYS \(\w{8}\) do not open") as told:
        await start(db, home, TWO)
    assert "LINKSPAN_KEYS=new,old" in told.value.for_model()
    assert TWO not in told.value.for_model()


async def test_a_variable_that_hides_the_key_file_stops_the_start(db: Database, home: Path) -> None:
    """A key in the environment of a home that has its own is noticed before anything is sealed with it."""
    await start(db, home)
    with pytest.raises(ConfigurationError, match="do not open"):
        await start(db, home, ONE)


async def test_a_new_key_in_front_of_the_old_one_is_taken(db: Database, home: Path) -> None:
    """Changing the key begins like that."""
    sealed = (await start(db, home, ONE)).seal("p", "t", "r", b"secret")
    vault = await start(db, home, f"{TWO},{ONE}")
    assert vault.open("p", "t", "r", sealed) == b"secret"


async def test_many_processes_that_start_at_once_agree(home: Path, engine: Engine) -> None:
    """Four processes at a new home all start, and each opens what the others sealed."""
    code = f"""
from linkspan.accounts.unlock import unlock

async def main(place, number):
    db = open_database(place)
    await migrate(db)
    vault = await unlock(db, keys=None, keys_path=Path({str(home / "keys")!r}), random=os.urandom)
    await db.aclose()
    return vault.seal("p", "t", "r", b"secret").hex()
"""
    sealed = [bytes.fromhex(json.loads(answer)) for answer in run_together(code, engine.place, count=4)]
    assert len({each[1:5] for each in sealed}) == 1
