"""Submodules: empty unless they are asked for, from one forge alone, looked at and never changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linkspan.codex.git.submodules import _address
from linkspan.codex.places import Author, Checkout, Extra, Repository
from linkspan.errors import NotFound, TooLarge
from tests.codex.git.conftest import ACME, RUN, Bench, commit_now
from tests.servers.git import File, git

SHOP = "https://forge.example/acme/shop.git"
NOWHERE = "1" * 40


@pytest.mark.parametrize(
    ("said", "url"),
    [
        ("../lib.git", "https://forge.example/acme/lib.git"),
        ("./lib", "https://forge.example/acme/shop.git/lib"),
        ("../../tools/lib.git", "https://forge.example/tools/lib.git"),
        ("https://forge.example/a/b", "https://forge.example/a/b"),
        ("git@forge.example:acme/lib.git", "https://forge.example/acme/lib.git"),
        ("ssh://git@forge.example/acme/lib.git", "https://forge.example/acme/lib.git"),
        ("../../../../evil", None),
        ("https://evil.example/a", None),
        ("https://forge.example:444/a", None),
        ("http://forge.example/a", None),
        ("https://me@forge.example/a", None),
        ("https://forge.example/a/../../b", None),
        ("git@evil.example:acme/lib.git", None),
        ("file:///etc", None),
        ("ext::sh -c x", None),
        ("--upload-pack=x", None),
        ("", None),
    ],
)
def test_addresses_are_at_the_same_forge(said: str, url: str | None) -> None:
    """As git reads them, with SSH's forms turned into https; whatever leads elsewhere is none."""
    assert _address(said, SHOP) == url


def modules(**urls: str) -> str:
    """Answer a .gitmodules."""
    return "".join(
        f'[submodule "{name}"]\n\tpath = {name}\n\turl = {url}\n\tupdate = !false\n'
        for name, url in urls.items()
    )


def shop_with(bench: Bench, **submodules: tuple[str, str]) -> Repository:
    """Make a shop with submodules, each with its address and commit."""
    files: dict[str, File] = {
        name: ("160000", commit.encode()) for name, (_url, commit) in submodules.items()
    }
    text = modules(**{name: url for name, (url, _commit) in submodules.items()})
    return bench.repository("acme/shop", {"README.md": "# Shop\n", ".gitmodules": text, **files})


async def prepared(bench: Bench, repository: Repository, *also: Extra, **bounds: int) -> Checkout:
    """Prepare a run that asks for these."""
    return await bench.places(**bounds).prepare(ACME, RUN, repository, bench.access(), also=also)


async def test_submodules_are_fetched_for_who_asks(bench: Bench) -> None:
    """At their commits, without those inside of them; what a run changes in one is not part of its change."""
    bench.server.repository("acme/lib")
    old = bench.server.commit("acme/lib", {"lib.py": "x = 1\n", "deeper": ("160000", NOWHERE.encode())})
    bench.server.commit("acme/lib", {"lib.py": "x = 2\n"})
    shop = shop_with(bench, lib=("../lib.git", old), other=("https://evil.example/x.git", NOWHERE))
    checkout = await prepared(bench, shop, "submodules")
    assert (checkout.path / "lib/lib.py").read_text() == "x = 1\n"
    assert checkout.left_out == ["The submodule other is not at the forge of this repository."]
    (checkout.path / "lib/lib.py").write_text("x = 3\n")
    (checkout.path / "lib/new.py").write_text("y = 3\n")
    (checkout.path / "README.md").write_text("# Café\n")
    change = await bench.places().change(checkout)
    assert [file.path for file in change.files] == ["README.md"]
    await commit_now(bench.places(), checkout, author=Author("Codex", "c@x.example"), message="A change")
    await bench.places().push(checkout, bench.access())
    pushed = git(bench.server.root / "acme/shop.git", "ls-tree", f"codex/{RUN}", "lib")
    assert pushed.split() == ["160000", "commit", old, "lib"]
    again = await prepared(bench, shop, "submodules")
    assert again == checkout


async def test_nobody_who_does_not_ask_has_them(bench: Bench) -> None:
    """They stay empty, and nothing is fetched."""
    bench.server.repository("acme/lib")
    lib = bench.server.commit("acme/lib", {"lib.py": "x = 1\n"})
    checkout = await prepared(bench, shop_with(bench, lib=("../lib.git", lib)))
    assert not (checkout.path / "lib/lib.py").exists()
    assert checkout.left_out == []
    assert len(list((bench.work / "acme/mirrors").glob("*.git"))) == 1


async def test_a_submodule_is_as_hostile_as_a_repository(bench: Bench, tmp_path: Path) -> None:
    """Its links lead nowhere, its filters run nothing, and all of it counts for the bounds."""
    ran = tmp_path / "ran"
    bench.server.repository("acme/lib")
    lib = bench.server.commit(
        "acme/lib",
        {
            "out": ("120000", b"/etc"),
            "up": ("120000", b"../../../.."),
            ".gitattributes": "* filter=evil\n",
            "config": f'[filter "evil"]\n\tsmudge = touch {ran}\n',
            "big": os.urandom(100_000),
        },
    )
    shop = shop_with(bench, lib=("../lib.git", lib), twin=("../lib.git", lib))
    checkout = await prepared(bench, shop, "submodules")
    assert sorted(path.name for path in (checkout.path / "lib").iterdir()) == [
        ".gitattributes", "big", "config"
    ]  # fmt: skip
    assert not ran.exists()
    await bench.places().discard(ACME, RUN)
    with pytest.raises(TooLarge, match="submodule twin has"):
        await prepared(bench, shop, "submodules", checkout_bytes=150_000)


async def test_a_submodule_that_is_not_there_is_said(bench: Bench) -> None:
    """By its path, in the words for a repository."""
    with pytest.raises(NotFound, match="submodule lib is not there"):
        await prepared(bench, shop_with(bench, lib=("../lib.git", NOWHERE)), "submodules")
