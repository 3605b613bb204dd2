"""Where the keys come from, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.errors import ConfigurationError
from linkspan.vault.keys import Key, add_key, load_keys, new_key, parse_keys
from tests.store.processes import run_together

ONE, TWO = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def test_the_first_key_seals() -> None:
    """A comma list keeps its order."""
    keys = parse_keys(f"{TWO}, {ONE}", "LINKSPAN_KEYS")
    assert [key.material[0] for key in keys.all] == [2, 1]
    assert keys.first.material == bytes([2]) * 32


def test_a_key_is_known_by_its_digest() -> None:
    """Its id is the first four bytes of its SHA-256, and the key itself is never shown."""
    key = parse_keys(ONE, "LINKSPAN_KEYS").first
    assert key.id == hashlib.sha256(bytes([1]) * 32).digest()[:4]
    assert repr(key) == "Key()"


def test_lines_and_comments_are_read() -> None:
    """A key file may hold one key a line, and say what they are."""
    keys = parse_keys(f"# new\n{TWO}\n\n  # old\n{ONE}\n", "keys")
    assert [key.material[0] for key in keys.all] == [2, 1]


@given(st.binary(min_size=32, max_size=32))
def test_every_spelling_of_base64_is_the_same_key(material: bytes) -> None:
    """Standard or for URLs, with or without padding."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(material).decode()
        assert parse_keys(text, "k").first == parse_keys(text.rstrip("="), "k").first == Key(material)


@pytest.mark.parametrize(
    "bad", ["hunter2", base64.b64encode(bytes(31)).decode(), base64.b64encode(bytes(33)).decode(), "ü" * 43]
)
def test_a_bad_key_is_told_by_its_place(bad: str) -> None:
    """The message names which key it is and how one is made, and shows nothing of it."""
    with pytest.raises(ConfigurationError, match="LINKSPAN_KEYS: key 2 is not base64 of 32 bytes") as told:
        parse_keys(f"{ONE},{bad}", "LINKSPAN_KEYS")
    assert "openssl rand -base64 32" in told.value.for_model()
    assert bad not in told.value.for_model()


@pytest.mark.parametrize("empty", ["", " , ", "# nothing\n"])
def test_no_key_is_told(empty: str) -> None:
    """A variable or a file without any key is a mistake, not a wish for a new key."""
    with pytest.raises(ConfigurationError, match="LINKSPAN_KEYS holds no key"):
        parse_keys(empty, "LINKSPAN_KEYS")


def test_a_key_that_stands_twice_is_told() -> None:
    """Pasting the new key over the old one is noticed."""
    with pytest.raises(ConfigurationError, match="the same key twice"):
        parse_keys(f"{ONE},{ONE}", "LINKSPAN_KEYS")


def test_the_variable_wins_over_the_file(tmp_path: Path) -> None:
    """With LINKSPAN_KEYS no file is read or made."""
    keys = load_keys(ONE, tmp_path / "keys", may_create=True)
    assert keys.first.material == bytes([1]) * 32
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_is_made_once(tmp_path: Path) -> None:
    """The file and its directory are the owner's alone, and it is read the next time."""
    path = tmp_path / "home" / "keys"
    made = load_keys(None, path, may_create=True, random=lambda count: b"\x07" * count)
    assert made.first.material == b"\x07" * 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert load_keys(None, path, may_create=False).all == made.all


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    """A careless umask opens nothing."""
    before = os.umask(0)
    try:
        load_keys(None, tmp_path / "keys", may_create=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o600


def test_of_many_processes_one_makes_the_key(tmp_path: Path) -> None:
    """Four processes that start at once with no key all have the same one."""
    code = """
from linkspan.vault.keys import load_keys

async def main(path, number):
    return load_keys(None, path, may_create=True).first.id.hex()
"""
    path = tmp_path / "home" / "keys"
    answers = run_together(code, path, count=4)
    assert len(set(answers)) == 1
    assert list(path.parent.iterdir()) == [path]


def test_no_key_and_something_sealed_is_refused(tmp_path: Path) -> None:
    """A new key would not open what is there: the message says why and what to do; no key is made."""
    path = tmp_path / "keys"
    with pytest.raises(ConfigurationError, match="There is no key for what the database holds") as told:
        load_keys(None, path, may_create=False)
    assert "LINKSPAN_KEYS" in told.value.for_model()
    assert str(path) in told.value.for_model()
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The message says the command that mends it."""
    path = tmp_path / "keys"
    path.write_text(ONE)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="can be read by others") as told:
        load_keys(None, path, may_create=True)
    assert f"chmod 600 {path}" in told.value.for_model()


def test_a_key_file_that_is_a_directory_is_told(tmp_path: Path) -> None:
    """What cannot be read is named, not stumbled over."""
    (tmp_path / "keys").mkdir(mode=0o700)
    with pytest.raises(ConfigurationError, match=r"The key file .* cannot be read: Is a directory"):
        load_keys(None, tmp_path / "keys", may_create=True)


def test_a_home_that_takes_no_key_file_is_told(tmp_path: Path) -> None:
    """A directory that cannot be written to is named with the ways out."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"The key file .* cannot be (read|made): Not a directory"):
        load_keys(None, tmp_path / "file" / "keys", may_create=True)


def test_new_keys_are_random() -> None:
    """Two new keys differ, and both are taken."""
    one, two = new_key(), new_key()
    assert one != two
    assert len(parse_keys(f"{one},{two}", "LINKSPAN_KEYS").all) == 2


def test_a_key_is_added_in_front(tmp_path: Path) -> None:
    """It seals from then on, those before it still open, and the file stays its owner's alone."""
    path = tmp_path / "keys"
    before = load_keys(None, path, may_create=True)
    after = add_key(path)
    assert after.all[1:] == before.all
    assert add_key(path).all[1:] == after.all
    assert path.read_text().startswith("# Seals the credentials")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_keys_that_several_processes_add_are_all_kept(tmp_path: Path) -> None:
    """Four at once: no key that one of them may already have used is lost."""
    path = tmp_path / "keys"
    load_keys(None, path, may_create=True)
    code = """
from linkspan.vault.keys import add_key

async def main(path, number):
    return [add_key(path).first.id.hex() for _ in range(5)]
"""
    run_together(code, path, count=4)
    assert len(load_keys(None, path, may_create=False).all) == 21
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_leaves_the_key_file_as_it_was(tmp_path: Path) -> None:
    """A key that cannot be added is told, and none is lost."""
    path = tmp_path / "keys"
    load_keys(None, path, may_create=True)
    before = path.read_bytes()
    code = """
import resource, signal
from linkspan.errors import ConfigurationError
from linkspan.vault.keys import add_key

async def main(path, number):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
    try:
        add_key(path)
    except ConfigurationError as error:
        return error.for_model()
"""
    (told,) = run_together(code, path, count=1)
    assert "it is as it was" in told
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
