"""Hot reload of tools.yaml."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from linkspan import spec
from linkspan.reload import INTERVAL, Reloader
from linkspan.spec.catalog import Catalog

FILE = Path(__file__).parent / "fakes/tracker.yaml"


def watched(tmp_path: Path) -> tuple[Path, list[Catalog], Reloader]:
    """Answer a copy of the file, the catalogs handed over, and the reloader."""
    path = tmp_path / "tools.yaml"
    path.write_text(FILE.read_text())
    served: list[Catalog] = []
    return path, served, Reloader([path], lambda: spec.load([path], os.environ), served.append)


def test_an_edit_is_seen_well_within_two_seconds() -> None:
    """Two looks and a compile fit."""
    assert INTERVAL <= 0.5


async def test_a_good_edit_is_handed_over_once(tmp_path: Path) -> None:
    """And nothing is without an edit."""
    path, served, reloader = watched(tmp_path)
    assert not await reloader.look()
    path.write_text(path.read_text().replace("List tickets, oldest first", "List all tickets, oldest first"))
    assert await reloader.look()
    assert not await reloader.look()
    (catalog,) = served
    tool = catalog.tool("list_tickets")
    assert tool is not None
    assert tool.description.startswith("List all tickets")


async def test_a_bad_edit_is_reported_and_the_last_good_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has file, line and column; mending it serves again."""
    path, served, reloader = watched(tmp_path)
    good = path.read_text()
    path.write_text(good.replace("method", "methd").replace("GET /tickets\n", "GOT /tickets\n"))
    with caplog.at_level(logging.ERROR):
        assert not await reloader.look()
    assert served == []
    assert reloader.error is not None
    assert f"{path}:" in caplog.text
    assert "goes on serving" in caplog.text
    path.write_text(good + "\n")
    assert await reloader.look()
    assert reloader.error is None


async def test_a_deleted_file_changes_nothing(tmp_path: Path) -> None:
    """Editors delete and rename when they save."""
    path, served, reloader = watched(tmp_path)
    text = path.read_text()
    path.unlink()
    assert not await reloader.look()
    assert served == []
    path.write_text(text)
    assert await reloader.look()
