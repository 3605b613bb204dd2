"""Git LFS: pointers stay unless they are asked for; what comes is what the commit names, or does not come."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from linkspan.codex.git import lfs
from linkspan.codex.git.lfs import read_pointer
from linkspan.codex.places import Author, Checkout, Extra, Repository
from linkspan.net.egress import EgressGuard
from linkspan.net.egress_proxy import EgressProxy
from linkspan.settings import parse_egress
from tests.codex.git.conftest import ACME, RUN, Bench, commit_now, ours
from tests.servers.authority import Authority
from tests.servers.git import File, GitServer, git, git_server
from tests.servers.lfs import Lfs, pointer, pointer_of

pytestmark = pytest.mark.slow
AUTHOR = Author("Codex", "codex@x.example")
BENT = Callable[[dict[str, Any]], object]


@dataclass
class Objects:
    """A forge with LFS, and another place that keeps objects, which may be reached as well."""

    bench: Bench
    lfs: Lfs
    store: Lfs

    async def prepare(self, repository: Repository, *also: Extra, **bounds: int) -> Checkout:
        access = self.bench.access()
        return await self.bench.places(**bounds).prepare(ACME, RUN, repository, access, also=also)


@pytest.fixture
async def objects(server: tuple[GitServer, Authority], tmp_path: Path) -> AsyncIterator[Objects]:
    """Both vouched for by one authority, on two ports: two origins."""
    made, authority = server
    (tmp_path / "store").mkdir()
    with git_server(tmp_path / "store", authority) as store:
        allowed = ",".join(each.url.removeprefix("https://") for each in (made, store))
        proxy = EgressProxy(EgressGuard(parse_egress(allowed)), random=os.urandom)
        made.lfs, store.lfs = Lfs(made.url), Lfs(store.url)
        yield Objects(Bench(made, tmp_path / "work", authority, proxy), made.lfs, store.lfs)
        await proxy.aclose()


def names(checkout: Checkout) -> list[str]:
    return sorted(path.name for path in checkout.path.iterdir() if path.name != ".git")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        pointer(b"x").replace(b"spec/v1", b"spec/v2"),
        pointer(b"x").replace(b"size 1", b"size 01"),
        pointer(b"x").replace(b"size 1", b"size -1"),
        pointer(b"").strip(),
        pointer(b"x") + b"more\n",
        pointer(b"x").replace(b"oid", b"ext-0-x sha256:00\noid"),
        pointer(b"x").replace(b"sha256", b"sha512"),
    ],
)
def test_what_is_no_pointer_is_a_file(text: bytes) -> None:
    """Of another version, with extensions, or with anything else in it."""
    assert read_pointer(text) is None


async def test_objects_come_to_who_asks_and_are_no_change(objects: Objects) -> None:
    """With modes kept, each object once, and the account's credential shown at its own forge alone."""
    big, small = os.urandom(3_000_000), b"\x00\x01small"
    there = f"{objects.store.url}/lfs-objects/{hashlib.sha256(small).hexdigest()}"
    shown = {"href": there, "header": {"X-Ticket": "good", "Host": "evil.example"}}
    small_pointer = objects.lfs.add(small, lambda told: told["actions"].update(download=shown))
    objects.store.add(small)
    files: dict[str, File] = {
        "README.md": "# Shop\n",
        "big.bin": objects.lfs.add(big),
        "twin.bin": pointer(big),
        "tools/small": ("100755", small_pointer),
        ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
        ".lfsconfig": "[lfs]\n\turl = https://evil.example/lfs\n",
    }
    shop = objects.bench.repository("acme/shop", files)
    checkout = await objects.prepare(shop, "lfs")
    assert checkout.left_out == []
    assert (checkout.path / "big.bin").read_bytes() == (checkout.path / "twin.bin").read_bytes() == big
    assert (checkout.path / "tools/small").read_bytes() == small
    assert (checkout.path / "tools/small").stat().st_mode & 0o111
    assert [len(question) for question in objects.lfs.asked] == [2]
    assert len(objects.lfs.fetched) == len(objects.store.fetched) == 1
    assert "authorization" in objects.lfs.fetched[0][1]
    assert "authorization" not in objects.store.fetched[0][1]
    assert objects.store.fetched[0][1]["host"] == objects.store.url.removeprefix("https://")
    assert not await objects.bench.places().change(checkout)
    assert git(checkout.path, "status", "--porcelain") == ""
    assert not (ours(checkout) / "lfs").exists()
    assert await objects.prepare(shop, "lfs") == checkout


async def test_pointers_stay_for_who_does_not_ask(objects: Objects) -> None:
    """Nobody is asked for anything."""
    shop = objects.bench.repository("acme/shop", {"a.bin": objects.lfs.add(b"content")})
    checkout = await objects.prepare(shop, "submodules")
    assert (checkout.path / "a.bin").read_bytes() == pointer(b"content")
    assert (checkout.left_out, objects.lfs.asked) == ([], [])
    (checkout.path / "a.bin").write_text("a file like any other\n")
    assert [file.path for file in (await objects.bench.places().change(checkout)).files] == ["a.bin"]


async def test_what_a_run_does_to_such_files_is_published_as_far_as_it_goes(objects: Objects) -> None:
    """A new content is left out in words; one that is gone, moved or copied needs no upload."""
    files: dict[str, File] = {
        f"{name}.bin": objects.lfs.add(name.encode() * 50)
        for name in ("changed", "gone", "moved", "linked", "folder", "again", "still")
    }
    shop = objects.bench.repository("acme/shop", files)
    checkout = await objects.prepare(shop, "lfs")
    path = checkout.path
    (path / "changed.bin").write_bytes(b"CHANGED" * 50)
    (path / "gone.bin").unlink()
    (path / "moved.bin").rename(path / "here.bin")
    (path / "linked.bin").unlink()
    (path / "linked.bin").symlink_to("still.bin")
    (path / "folder.bin").unlink()
    (path / "folder.bin").mkdir()
    (path / "folder.bin/new.txt").write_text("new\n")
    (path / "again.bin").write_bytes(pointer(b"again" * 50))
    change = await objects.bench.places().change(checkout)
    assert [(file.path, file.status) for file in change.files] == [
        ("folder.bin", "deleted"),
        ("folder.bin/new.txt", "added"),
        ("gone.bin", "deleted"),
        ("here.bin", "renamed"),
    ]
    (sentence,) = change.left_out
    assert sentence == (
        "2 LFS files (changed.bin, linked.bin) were changed by the run: that is left out, since nothing is"
        " uploaded to LFS."
    )
    await commit_now(objects.bench.places(), checkout, author=AUTHOR, message="A change")
    await objects.bench.places().push(checkout, objects.bench.access())
    root = objects.bench.server.root / "acme/shop.git"
    for name, content in (("here", "moved"), ("changed", "changed"), ("linked", "linked")):
        told = git(root, "cat-file", "blob", f"codex/{RUN}:{name}.bin")
        assert told == pointer(content.encode() * 50).decode().strip()


def href(url: str) -> BENT:
    """Say that an object is somewhere else."""
    return lambda told: told["actions"]["download"].update(href=url)


async def test_a_hostile_forge_gets_nothing_in_and_nothing_out(objects: Objects) -> None:
    """What is not as it should be stays a pointer, with the reason; a good object beside it comes."""
    forge, store = objects.lfs, objects.store
    password = objects.bench.access().password.reveal()
    port = objects.bench.server.url.rpartition(":")[2]
    tricks: dict[str, tuple[BENT | None, str]] = {
        "other": (None, "sent something else"),
        "long": (None, "sent more than its"),
        "short": (None, "sent something else"),
        "status": (None, "answered 500"),
        "size": (lambda told: told.update(size=10**12), "with another size"),
        "missing": (lambda told: told.update(error={"code": 404}), "does not have it"),
        "refused": (lambda told: told.update(error={"code": 403}), "refused it (403)"),
        "nowhere": (lambda told: told.update(actions={}), "does not say where it is"),
        "local": (href("file:///etc/passwd"), "an address that is none"),
        "user": (href("https://me@forge.example/x"), "an address that is none"),
        "open": (href("http://forge.example/x"), "without TLS"),
        "loopback": (href("https://127.0.0.1:1/x"), "not a public internet address"),
        "metadata": (href("https://169.254.169.254/latest"), "not a public internet address"),
        "sent-on": (href(f"{store.url}/lfs-objects/sent-on"), "not a public internet address"),
        "sent-open": (href(f"{store.url}/lfs-objects/sent-open"), "without TLS"),
        "round": (href(f"{store.url}/lfs-objects/round"), "sent on more than 3 times"),
        "header": (
            lambda told: told["actions"]["download"].update(header={"X-A": "b\r\nX-C: d"}),
            "a header to be shown that is none",
        ),
        "stolen": (
            lambda told: told["actions"]["download"].update(
                href=f"{store.url}/lfs-objects/stolen", header={"X-Token": f"Bearer {password}"}
            ),
            "credential to be shown elsewhere",
        ),
    }
    content = {name: f"content of {name}".encode() for name in (*tricks, "good")}
    ids = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    files: dict[str, File] = {
        name: forge.add(data, tricks[name][0] if name in tricks else None) for name, data in content.items()
    }
    forge.sent[ids["other"]] = (200, {}, b"another".ljust(len(content["other"])))
    forge.sent[ids["long"]] = (200, {}, content["long"] + b"x" * 5_000_000)
    forge.sent[ids["short"]] = (200, {}, content["short"][:-1])
    forge.sent[ids["status"]] = (500, {}, content["status"])
    store.sent["sent-on"] = (302, {"location": f"https://localhost:{port}/x"}, b"")
    store.sent["sent-open"] = (302, {"location": "http://forge.example/x"}, b"")
    store.sent["round"] = (307, {"location": "round"}, b"")
    checkout = await objects.prepare(objects.bench.repository("acme/shop", files), "lfs")
    assert (checkout.path / "good").read_bytes() == content["good"]
    reasons: dict[str, str] = {}
    for sentence in checkout.left_out:
        who, _, reason = sentence.partition(": ")
        reasons.update(dict.fromkeys(re.findall(r"[a-z-]+", who), reason))
    for name, (_bend, reason) in tricks.items():
        assert (checkout.path / name).read_bytes() == pointer(content[name]), name
        assert reason in reasons[name], name
    assert password not in str(checkout.left_out)
    assert not any("authorization" in headers for _path, headers in store.fetched)
    assert not any("stolen" in path for path, _headers in store.fetched)
    assert not await objects.bench.places().change(checkout)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((401, {}, b"{}"), "the forge answered 401"),
        ((302, {"location": "https://127.0.0.1:1/"}, b""), "the forge answered 302"),
        ((200, {}, b"<html>"), "something that is not of Git LFS"),
        ((200, {}, b"[" * 100_000), "something that is not of Git LFS"),
        ((200, {}, b'{"objects": [1, {"oid": 2}]}'), "the forge said nothing of it"),
        ((200, {}, b'{"transfer": "tus", "objects": []}'), "in a way that is not known here"),
        ((200, {}, b" " * 4_000_001), "is larger than"),
    ],
)
async def test_a_question_that_fails_leaves_pointers(
    objects: Objects, answer: tuple[int, dict[str, str], bytes], reason: str
) -> None:
    """The run goes on with them, and is told why."""
    shop = objects.bench.repository(
        "acme/shop", {"a.bin": objects.lfs.add(b"one"), "b.bin": objects.lfs.add(b"2")}
    )
    objects.lfs.batch = answer
    checkout = await objects.prepare(shop, "lfs")
    (sentence,) = checkout.left_out
    assert sentence.startswith("2 LFS files (a.bin, b.bin) stay pointers: ")
    assert reason in sentence
    assert (checkout.path / "a.bin").read_bytes() == pointer(b"one")


async def test_who_is_busy_is_asked_again_within_bounds(objects: Objects) -> None:
    """After as long as Retry-After says; not if that is more than a minute, nor for ever."""
    forge, bench = objects.lfs, objects.bench
    content = {name: name.encode() for name in ("soon", "untold", "late", "never")}
    ids = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    forge.busy = {
        "batch": [(429, {"retry-after": "3"}, b""), (503, {}, b"")],
        ids["soon"]: [(503, {"retry-after": "5"}, b"")],
        ids["untold"]: [(503, {}, b"")] * 3,
        ids["late"]: [(429, {"retry-after": "600"}, b"")],
        ids["never"]: [(503, {"retry-after": "11"}, b"")] * 9,
    }
    files: dict[str, File] = {name: forge.add(data) for name, data in content.items()}
    checkout = await objects.prepare(bench.repository("acme/shop", files), "lfs")
    for name in ("soon", "untold"):
        assert (checkout.path / name).read_bytes() == content[name], name
    host = bench.server.url.removeprefix("https://").partition(":")[0]
    assert sorted(checkout.left_out) == [
        f"The LFS file late stays a pointer: {host} answered 429, until 10 minutes from now.",
        f"The LFS file never stays a pointer: {host} answered 503, 4 times.",
    ]
    assert bench.waited[:2] == [3.0, 2.0]
    assert sorted(bench.waited[2:]) == [1.0, 2.0, 4.0, 5.0, 11.0, 11.0, 11.0]
    assert len(forge.busy[ids["never"]]) == 5


def busy(*codes: int) -> BENT:
    """Refuse an object with each of these, and then hand it out."""
    left = list(codes)
    return lambda told: told.update(error={"code": left.pop(0), "message": "Not now"}) if left else None


async def test_an_object_that_is_refused_for_now_is_asked_for_again_alone(objects: Objects) -> None:
    """Within the bounds of a whole answer; those beside it come."""
    forge = objects.lfs
    files: dict[str, File] = {
        "good": forge.add(b"good"),
        "soon": forge.add(b"soon", busy(429)),
        "later": forge.add(b"later", busy(503, 429)),
        "never": forge.add(b"never", busy(*[429] * 9)),
    }
    checkout = await objects.prepare(objects.bench.repository("acme/shop", files), "lfs")
    for name in ("good", "soon", "later"):
        assert (checkout.path / name).read_bytes() == name.encode(), name
    assert checkout.left_out == ["The LFS file never stays a pointer: the forge refused it (429), 4 times."]
    assert [len(question) for question in forge.asked] == [4, 3, 2, 1]
    assert objects.bench.waited == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ((401, {}, b"{}"), "the forge answered 401 when it was asked for them"),
        (
            (429, {"retry-after": "600"}, b""),
            "the forge answered 429 when it was asked for them, until 10 minutes from now",
        ),
        ((200, {}, b"<html>"), "the forge answered with something that is not of Git LFS"),
    ],
)
async def test_a_second_question_that_fails_takes_nothing_from_the_first(
    objects: Objects, second: tuple[int, dict[str, str], bytes], reason: str
) -> None:
    """Only what was refused stays a pointer."""
    forge = objects.lfs

    def refuse(told: dict[str, Any]) -> None:
        told["error"] = {"code": 429}
        forge.batch = second

    files: dict[str, File] = {"good": forge.add(b"good"), "busy": forge.add(b"busy", refuse)}
    checkout = await objects.prepare(objects.bench.repository("acme/shop", files), "lfs")
    assert (checkout.path / "good").read_bytes() == b"good"
    assert checkout.left_out == [f"The LFS file busy stays a pointer: {reason}."]
    assert objects.bench.waited == [1.0]


async def test_whether_a_file_is_executable_is_published_without_an_upload(objects: Objects) -> None:
    """Of a file in its place, and of one that was copied."""
    files: dict[str, File] = {
        "plain": objects.lfs.add(b"plain"),
        "tool": ("100755", objects.lfs.add(b"tool")),
        "same": ("100755", objects.lfs.add(b"same")),
    }
    checkout = await objects.prepare(objects.bench.repository("acme/shop", files), "lfs")
    path = checkout.path
    assert [os.access(path / name, os.X_OK) for name in ("plain", "tool", "same")] == [False, True, True]
    (path / "plain").chmod(0o755)
    (path / "tool").chmod(0o644)
    (path / "copy").write_bytes(b"same")
    (path / "copy").chmod(0o644)
    change = await objects.bench.places().change(checkout)
    assert not change.left_out
    await commit_now(objects.bench.places(), checkout, author=AUTHOR, message="Other modes")
    await objects.bench.places().push(checkout, objects.bench.access())
    root = objects.bench.server.root / "acme/shop.git"
    told = [line.split() for line in git(root, "ls-tree", f"codex/{RUN}").splitlines()]
    assert {line[3]: line[0] for line in told} == {
        "plain": "100755",
        "tool": "100644",
        "same": "100755",
        "copy": "100644",
    }
    assert git(root, "cat-file", "blob", f"codex/{RUN}:tool") == pointer(b"tool").decode().strip()


async def test_everything_together_stays_within_the_bounds_of_a_checkout(objects: Objects) -> None:
    """By what the commit says, before anything is fetched: an absurd size is not even asked for."""
    files: dict[str, File] = {
        "a.bin": objects.lfs.add(b"a" * 60_000),
        "b.bin": objects.lfs.add(b"b" * 60_000),
        "c.bin": objects.lfs.add(b"c" * 30_000),
        "huge.bin": pointer_of("0" * 64, 10**17),
    }
    shop = objects.bench.repository("acme/shop", files)
    checkout = await objects.prepare(shop, "lfs", checkout_bytes=100_000)
    assert [(checkout.path / name).stat().st_size > 1_000 for name in names(checkout)] == [
        True,
        False,
        True,
        False,
    ]
    (sentence,) = checkout.left_out
    assert sentence.startswith("2 LFS files (b.bin, huge.bin) stay pointers: with it")
    assert "LINKSPAN_MAX_CHECKOUT_BYTES" in sentence
    assert [len(question) for question in objects.lfs.asked] == [2]


async def test_many_objects_are_asked_for_a_hundred_at_a_time(objects: Objects) -> None:
    """As forges have it."""
    files: dict[str, File] = {f"{at:03}.bin": objects.lfs.add(f"object {at}".encode()) for at in range(130)}
    checkout = await objects.prepare(objects.bench.repository("acme/shop", files), "lfs")
    assert [len(question) for question in objects.lfs.asked] == [100, 30]
    assert (checkout.path / "129.bin").read_bytes() == b"object 129"


async def test_nobody_is_waited_for_for_ever(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not here when the time is over stays a pointer."""
    monkeypatch.setattr(lfs, "SECONDS", 0.0)
    shop = objects.bench.repository("acme/shop", {"a.bin": objects.lfs.add(b"one"), "b.bin": pointer(b"one")})
    checkout = await objects.prepare(shop, "lfs")
    assert checkout.left_out == [
        "2 LFS files (a.bin, b.bin) stay pointers: not all of them were here within 0 seconds."
    ]
    assert (checkout.path / "b.bin").read_bytes() == pointer(b"one")
    assert not await objects.bench.places().change(checkout)
