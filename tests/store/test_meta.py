"""Named values of the installation."""

from __future__ import annotations

from linkspan.store import meta
from linkspan.store.database import Database


async def test_the_first_value_stays(db: Database, other: Database) -> None:
    """Of two that store a value at once, both learn the one that stayed."""
    assert await meta.read(db, "probe") is None
    assert await meta.keep_first(db, "probe", b"one") == b"one"
    assert await meta.keep_first(other, "probe", b"two") == b"one"
    assert await meta.read(db, "probe") == b"one"
