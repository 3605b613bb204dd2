"""What is kept for the next start of stdio holds only as long as nothing it was made from has changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linkspan.mcp_server import prepared

ANSWERS = {"tools/list legacy": '{"tools":[]}'}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tools.yaml"
    file.write_text("secret: ${DESK_KEY}\n")
    return file


@pytest.fixture
def kept(tmp_path: Path, file: Path) -> Path:
    path = prepared.cache_path(tmp_path / "home", file)
    prepared.write(path, [str(file)], {"DESK_KEY": "one"}, ANSWERS)
    return path


def test_what_was_kept_is_read(kept: Path) -> None:
    """While file, environment and version are the same."""
    assert prepared.read(kept, {"DESK_KEY": "one", "OTHER": "x"}) == ANSWERS


@pytest.mark.parametrize("environ", [{"DESK_KEY": "two"}, {"DESK_KEY": ""}, {}])
def test_another_environment_is_another_file(kept: Path, environ: dict[str, str]) -> None:
    """A variable that the file names counts as part of it, absent or empty."""
    assert prepared.read(kept, environ) is None


def test_an_edit_is_noticed(kept: Path, file: Path) -> None:
    """By content, whatever the time stamp says."""
    file.write_text("secret: ${DESK_KEY} \n")
    assert prepared.read(kept, {"DESK_KEY": "one"}) is None
    file.unlink()
    assert prepared.read(kept, {"DESK_KEY": "one"}) is None


def test_another_version_keeps_its_own(kept: Path) -> None:
    """An upgrade may list tools differently."""
    content = json.loads(kept.read_text())
    kept.write_text(json.dumps({**content, "version": "0.0.0"}))
    assert prepared.read(kept, {"DESK_KEY": "one"}) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 1, "version": null}'])
def test_a_broken_file_is_none(kept: Path, content: str) -> None:
    """It is written anew."""
    kept.write_text(content)
    assert prepared.read(kept, {"DESK_KEY": "one"}) is None


def test_nobody_else_may_read_it(kept: Path) -> None:
    """It holds digests of secrets and the operator's words."""
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    assert "one" not in kept.read_text()


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path, file: Path) -> None:
    """The next start is slower, that is all."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a directory should be")
    prepared.write(prepared.cache_path(blocked, file), [str(file)], {}, ANSWERS)
    assert prepared.read(prepared.cache_path(blocked, file), {}) is None


def test_every_tools_yaml_has_its_own(tmp_path: Path) -> None:
    """Two projects of one person do not overwrite each other."""
    paths = {prepared.cache_path(tmp_path, Path(name)) for name in ("/a/tools.yaml", "/b/tools.yaml")}
    assert len(paths) == 2
