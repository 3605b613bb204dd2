"""A checkout that goes to a sandbox and what comes back: the script there is really run, and lied to here."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linkspan.codex import parcel, parcel_there
from linkspan.codex.parcel import pack, unpack_into
from linkspan.errors import Conflict, InvalidArgument, LinkspanError, TooLarge

BASE = "c0ffee" * 6 + "c0ff"


def checkout_at(folder: Path) -> Path:
    """Make a checkout with all that git knows of: files, programs, links, odd names."""
    made = folder / "checkout"
    (made / "lib").mkdir(parents=True)
    (made / "lib" / "till.py").write_text("total = 2\n")
    (made / "old.txt").write_text("old\n")
    (made / "run.sh").write_text("#!/bin/sh\n")
    (made / "run.sh").chmod(0o755)
    (made / "here").symlink_to("lib/till.py")
    (made / ".gitignore").write_text("build/\n")
    (made / "na\udcefve.txt").write_text("bytes\n")
    for name in (".git", ".codex"):
        (made / name).mkdir()
        (made / name / "config").write_text("[never = 1]\n")
    return made


def sent_to(folder: Path, checkout: Path) -> Path:
    """Send a checkout to a folder that is in the place of a sandbox, and unpack it there."""
    there = folder / "workspace"
    there.mkdir()
    (there / "checkout.tar.gz").write_bytes(pack(checkout))
    shutil.copy(parcel_there.__file__, there / "linkspan.py")
    assert ran(there, "take", BASE)[0] == 0
    return there


def ran(there: Path, *words: str) -> tuple[int, str]:
    """Run the script there."""
    done = subprocess.run(
        [sys.executable, "-I", str(there / "linkspan.py"), *words], capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode()


def packed(**told: Any) -> bytes:
    """Pack what somebody says was changed."""
    return gzip.compress(json.dumps({"base": BASE, "gone": [], "files": [], **told}).encode())


def test_what_was_changed_there_is_changed_here(tmp_path: Path) -> None:
    """Files, programs, links, odd names, what is gone; not what git ignores, nor what is git's."""
    ours = checkout_at(tmp_path)
    there = sent_to(tmp_path, ours)
    work = there / "checkout"
    assert not (work / ".codex").exists()
    assert (work / "na\udcefve.txt").read_text() == "bytes\n"
    (work / "lib" / "till.py").write_bytes(b"total = 3\n\xff")
    (work / "old.txt").unlink()
    (work / "here").unlink()
    (work / "here").mkdir()
    (work / "here" / "new.py").write_text("x = 1\n")
    (work / "tool").write_text("#!/bin/sh\n")
    (work / "tool").chmod(0o700)
    (work / "link").symlink_to("/etc/hostname")
    (work / "run.sh").chmod(0o644)
    (work / "build").mkdir()
    (work / "build" / "junk.o").write_text("junk\n")
    (work / ".codex").mkdir()
    (work / ".codex" / "config.toml").write_text("[mcp_servers.x]\n")
    code, said = ran(there, "hand_in")
    assert code == 0
    assert "changed: lib/till.py" in said and "removed: old.txt" in said and "junk" not in said
    back = (there / "outputs" / "change.json.gz").read_bytes()
    for _ in range(2):
        left_out = unpack_into(ours, back, BASE)
        assert left_out == [".codex/config.toml was changed, and is left out."]
        assert (ours / "lib" / "till.py").read_bytes() == b"total = 3\n\xff"
        assert not (ours / "old.txt").exists()
        assert (ours / "here" / "new.py").read_text() == "x = 1\n"
        assert (ours / "tool").stat().st_mode & 0o777 == 0o755
        assert (ours / "run.sh").stat().st_mode & 0o100 == 0
        assert str((ours / "link").readlink()) == "/etc/hostname"
        assert not (ours / "build").exists()
        assert (ours / ".codex" / "config").read_text() == "[never = 1]\n"
        assert not (ours / ".codex" / "config.toml").exists()


def test_nothing_that_was_changed_is_a_change_too(tmp_path: Path) -> None:
    """It is handed in, and changes nothing."""
    ours = checkout_at(tmp_path)
    there = sent_to(tmp_path, ours)
    assert ran(there, "hand_in") == (0, "Handed in: 0 changed, 0 removed.\n")
    assert unpack_into(ours, (there / "outputs" / "change.json.gz").read_bytes(), BASE) == []
    assert (ours / "lib" / "till.py").read_text() == "total = 2\n"


def test_too_much_is_refused_in_words_for_the_model(tmp_path: Path) -> None:
    """And what was handed in before is taken back, so that it is not taken for the whole."""
    there = sent_to(tmp_path, checkout_at(tmp_path))
    assert ran(there, "hand_in")[0] == 0
    for number in range(parcel_there.MOST_FILES + 1):
        (there / "checkout" / f"{number}.tmp").touch()
    code, said = ran(there, "hand_in")
    assert code == 1
    assert said.startswith(f"NOT HANDED IN: {parcel_there.MOST_FILES + 1} files are new or changed, 0.tmp")
    assert not (there / "outputs" / "change.json.gz").exists()


def test_a_checkout_that_is_too_large_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what works with it instead."""
    monkeypatch.setattr(parcel, "MOST_PACKED", 50)
    with pytest.raises(TooLarge, match="are sent to OpenAI") as caught:
        pack(checkout_at(tmp_path))
    assert caught.value.hint is not None
    assert "app_server" in caught.value.hint


FILE = {"kind": "file", "data": "eA=="}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("no gzip", InvalidArgument),
        ([], InvalidArgument),
        ({"base": "f" * 40}, Conflict),
        ({"files": None}, InvalidArgument),
        ({"files": [{"path": "a"}]}, InvalidArgument),
        ({"files": [{**FILE, "path": 7}]}, InvalidArgument),
        ({"files": [{**FILE, "path": "a", "data": "!"}]}, InvalidArgument),
        ({"files": [{**FILE, "path": "/etc/passwd"}]}, InvalidArgument),
        ({"files": [{**FILE, "path": "../out"}]}, InvalidArgument),
        ({"files": [{**FILE, "path": "lib/../../out"}]}, InvalidArgument),
        ({"files": [{**FILE, "path": "a\0b"}]}, InvalidArgument),
        ({"gone": ["../out"]}, InvalidArgument),
        ({"files": [{**FILE, "path": "out/file"}]}, InvalidArgument),
        ({"gone": "x" * 64_000_001}, TooLarge),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_change_of_this_checkout_changes_nothing(
    said: Any, kind: type[LinkspanError], tmp_path: Path
) -> None:
    """Another commit's, names and links that lead out, what is no form of ours, and bombs."""
    ours, out = checkout_at(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("mine\n")
    (ours / "out").symlink_to(out)
    back = packed(**said) if isinstance(said, dict) else gzip.compress(json.dumps(said).encode())
    if said == "no gzip":
        back = b"no gzip"
    with pytest.raises(kind):
        unpack_into(ours, back, BASE)
    assert (out / "file").read_text() == "mine\n"
    assert (ours / "lib" / "till.py").read_text() == "total = 2\n"


def test_what_is_gits_stays_as_it_is(tmp_path: Path) -> None:
    """Also spelled otherwise, and below; what is said to be gone behind a link stays, too."""
    ours, out = checkout_at(tmp_path), tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("mine\n")
    (ours / "out").symlink_to(out)
    paths = [".git/config", ".GIT/hooks/post-checkout", "lib/.git/config"]
    back = packed(files=[{**FILE, "path": path} for path in paths], gone=[".git/config", "out/file", "none"])
    assert len(unpack_into(ours, back, BASE)) == 4
    assert (ours / ".git" / "config").read_text() == "[never = 1]\n"
    assert not (ours / "lib" / ".git").exists()
    assert (out / "file").read_text() == "mine\n"
