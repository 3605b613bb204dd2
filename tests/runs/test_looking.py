"""Looking for work, and what an operator reads when that fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from linkspan.runs.bell import Bell
from linkspan.runs.looking import keep_looking
from linkspan.store.database import StoreFault


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.mark.anyio
async def test_what_fails_is_said_once_and_again_when_it_works(caplog: pytest.LogCaptureFixture) -> None:
    """In a line each: what it means, why, and what happens next; a fault of ours with its trace."""
    faults: list[Exception | None] = [
        None,
        StoreFault("the database cannot be reached."),
        StoreFault("the database cannot be reached."),
        None,
        None,
        KeyError("ours"),
        None,
    ]
    done = asyncio.Event()

    async def look() -> None:
        fault = faults.pop(0)
        if not faults:
            done.set()
        if fault is not None:
            raise fault

    with caplog.at_level(logging.INFO, "linkspan.runs"):
        task = asyncio.create_task(keep_looking("runs", look, Bell(), 0.0))
        async with asyncio.timeout(30):
            await done.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    told = [(each.levelname, each.getMessage(), each.exc_info is not None) for each in caplog.records]
    why = "the database cannot be reached (tried again every 0 s)"
    assert told[:3] == [
        ("ERROR", f"runs cannot be looked for, so nothing new is begun here: {why}", False),
        ("WARNING", "runs can be looked for again", False),
        ("ERROR", "looking for runs failed by a fault of ours; it is tried again", True),
    ]
