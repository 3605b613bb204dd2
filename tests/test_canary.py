"""A secret that is left behind is found, wherever it lies: this keeps the search itself honest."""

from __future__ import annotations

import base64
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.canary import WORD, Watched, finds, gone, nothing_in
from tests.servers.node import ROOT

SECRET = f"{WORD}-of-acme"
TOKEN = "lsk_tenant_" + "a1" * 6 + "_" + "A" * 43


@pytest.fixture(autouse=True)
def _tidy(tmp_path: Path) -> Iterator[None]:
    """Leave nothing of this behind: the run is searched too."""
    yield
    for file in tmp_path.rglob("*"):
        if file.is_file() and not file.is_symlink():
            file.unlink()


@pytest.mark.parametrize(
    "planted", [SECRET, TOKEN, "whsec_" + "A" * 43, "-----BEGIN RSA " + "PRIVATE KEY-----"]
)
def test_every_kind_of_secret_is_found(planted: str, tmp_path: Path) -> None:
    """With its file and its place, among much else, and once a file."""
    file = tmp_path / "deep" / "below" / "some.log"
    file.parent.mkdir(parents=True)
    file.write_bytes(os.urandom(100_000).replace(b"c", b"d") + f" {planted} {planted}".encode())
    (tmp_path / "empty").touch()
    (found,) = finds(tmp_path)
    assert (found.file, found.offset) == (file, 100_001)
    file.unlink()
    assert list(finds(tmp_path)) == []


@pytest.mark.parametrize("before", range(6))
def test_base64_hides_nothing(before: int, tmp_path: Path) -> None:
    """Wherever the word falls among the groups of three."""
    (tmp_path / "header").write_bytes(base64.b64encode(b"u" * before + SECRET.encode()))
    assert len(list(finds(tmp_path))) == 1


def test_a_deleted_row_is_found(tmp_path: Path) -> None:
    """The bytes of a database file are read, not its tables."""
    database = sqlite3.connect(tmp_path / "x.sqlite")
    database.execute("PRAGMA secure_delete = OFF")
    database.execute("CREATE TABLE t (v TEXT)")
    database.execute("INSERT INTO t VALUES (?)", (SECRET,))
    database.commit()
    database.execute("DELETE FROM t")
    database.commit()
    database.close()
    assert len(list(finds(tmp_path))) == 1


def test_what_goes_is_read_before(tmp_path: Path) -> None:
    """A folder that is removed within the run."""
    gone(tmp_path)
    (tmp_path / "log").write_text(SECRET)
    with pytest.raises(AssertionError, match="log: at byte 0"):
        gone(tmp_path)


async def test_answers_are_watched() -> None:
    """Over the pieces in which they are sent, and their headers; new tokens may be shown."""

    def answering(*messages: dict[str, object]) -> Watched:
        async def app(scope: object, receive: object, send: object) -> None:
            for message in messages:
                await send(message)  # type: ignore[operator]

        return Watched(app)

    async def send(message: object) -> None:
        pass

    start = {"type": "http.response.start", "headers": [(b"x", SECRET.encode())]}
    pieces = [{"type": "http.response.body", "body": part.encode()} for part in (SECRET[:3], SECRET[3:])]
    for wrong in ([start], pieces):
        with pytest.raises(AssertionError, match="/here"):
            await answering(*wrong)({"path": "/here"}, None, send)
    await answering({"type": "http.response.body", "body": TOKEN.encode()})({"path": "/"}, None, send)
    with pytest.raises(AssertionError, match="what was printed"):
        nothing_in(f"key: {SECRET}", "what was printed")


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["-n", "1"]], ids=["alone", "with workers"])
@pytest.mark.parametrize("planted", [SECRET, "nothing"])
def test_a_run_that_leaves_a_secret_fails(planted: str, words: list[str], tmp_path: Path) -> None:
    """Though all its tests went well; the summary says where it is."""
    test = f"def test_it(tmp_path):\n    (tmp_path / 'planted').write_text({planted!r})\n"
    (tmp_path / "test_one.py").write_text(test)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.left_behind", *words, "--basetemp", tmp_path / "left"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == (1 if planted == SECRET else 0)
    assert ("planted: at byte 0" in done.stdout) == (planted == SECRET)
