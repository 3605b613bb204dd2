"""Programs of one stay in a run's folder, and those of another one there."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from linkspan.codex.app_server.process import STAY, Process, at_work_in, descendants, end_all
from tests.servers.serving import wait_until

LASTING = "setsid sleep 300 & setsid sleep 300 & exec cat"
"""Two children that left, and lost their parent when the program is gone."""


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


async def start(folder: Path, stay: str, *, holds: bool) -> Process:
    """Start a program with two children in a run's folder."""

    async def told() -> bool:
        return holds

    env = {"PATH": os.environ["PATH"], STAY: stay}
    before = len(list(at_work_in(folder)))
    process = await Process.start(["sh", "-c", LASTING], env=env, cwd=folder, folder=folder, holds=told)
    there = lambda: len(list(at_work_in(folder))) >= before + 3  # noqa: E731
    await asyncio.to_thread(wait_until, there, what="its children", seconds=30)
    return process


async def test_who_lost_a_run_ends_its_own_and_nobody_elses(tmp_path: Path) -> None:
    """Also those of its own that left their session; the other's program and its children stay."""
    old = await start(tmp_path, "1.1", holds=False)
    new = await start(tmp_path, "2.1", holds=True)
    await old.stop()
    try:
        assert new.exit_code is None
        await asyncio.to_thread(
            wait_until, lambda: len(list(at_work_in(tmp_path))) == 3, what="the other three alone", seconds=30
        )
    finally:
        await new.stop()
    await asyncio.to_thread(wait_until, lambda: not list(at_work_in(tmp_path)), what="the end", seconds=30)


async def test_who_has_a_run_ends_whatever_works_in_its_folder(tmp_path: Path) -> None:
    """Leftovers of a stay before, and what took the mark off."""
    stray = await asyncio.create_subprocess_exec("sleep", "300", cwd=tmp_path)
    mine = await start(tmp_path, "1.1", holds=True)
    await mine.stop()
    assert await asyncio.wait_for(stray.wait(), 30) != 0


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text()
    return ""


async def test_who_took_the_pipes_along_is_not_waited_for(tmp_path: Path) -> None:
    """A program that has to be killed is gone, and its pipes are closed, while another's child holds them."""

    async def lost() -> bool:
        return False

    env = {"PATH": os.environ["PATH"], STAY: "1.1"}
    script = f"(env -u {STAY} setsid sleep 300 &); exec sleep 300"
    process = await Process.start(["sh", "-c", script], env=env, cwd=tmp_path, folder=tmp_path, holds=lost)

    def both_sleep() -> bool:
        at_work = [_name(pid) for pid in at_work_in(tmp_path)]
        return at_work == ["sleep\n"] * 2 and not list(descendants(process.pid))

    await asyncio.to_thread(wait_until, both_sleep, what="both sleeps", seconds=30)
    parted = set(at_work_in(tmp_path)) - {process.pid}
    try:
        async with asyncio.timeout(60):
            await process.stop()
        assert await process.read_line() == b""
        assert set(at_work_in(tmp_path)) == parted
    finally:
        end_all(parted)
