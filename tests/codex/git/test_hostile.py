"""Repositories and runs that mean harm: nothing of theirs is run by us, and nothing of ours is told."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from linkspan.accounts.principal import Tenant
from linkspan.codex.git.mirror import size_of
from linkspan.codex.git.places import GitPlaces
from linkspan.codex.places import Author, Checkout, Repository
from linkspan.errors import EgressRefused, Forbidden, InvalidArgument, LinkspanError, TooLarge
from tests.codex.git.conftest import ACME, RUN, Bench, commit_now, ours
from tests.servers.git import File, git, git_server

pytestmark = pytest.mark.slow

ADA = Author("Ada", "ada@acme.example")
BRANCH = f"codex/{RUN}"


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that leaves a file when it is run, whatever it is given."""
    (tmp_path / "caught").mkdir()
    program = tmp_path / "trap.sh"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> "{tmp_path}/caught/it"\ncat\n')
    program.chmod(0o755)
    return program


def caught(trap: Path) -> bool:
    return (trap.parent / "caught/it").exists()


def config_of(trap: Path) -> str:
    """Answer a git configuration in which every word that names a program names the trap."""
    return f"""
[core]
\trepositoryformatversion = 0
\tfsmonitor = {trap}
\thooksPath = {trap.parent}/hooks
\tsshCommand = {trap}
\tpager = {trap}
\teditor = {trap}
\taskPass = {trap}
\tattributesFile = {trap.parent}/attributes
[filter "evil"]
\tclean = {trap}
\tsmudge = {trap}
\tprocess = {trap}
\trequired = true
[diff]
\texternal = {trap}
[diff "evil"]
\ttextconv = {trap}
\tcommand = {trap}
[credential]
\thelper = {trap}
[include]
\tpath = {trap.parent}/more
[remote "origin"]
\turl = ext::{trap}
"""


EVIL: dict[str, File] = {
    ".gitattributes": "* filter=evil diff=evil\n*.bin filter=lfs diff=lfs merge=lfs -text\n*.hidden -diff\n",
    "a.txt": "one\n",
    "b.hidden": "two\n",
    "large.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 9999999\n",
    ".gitconfig": "[core]\n\tfsmonitor = /bin/false\n",
    ".lfsconfig": "[lfs]\n\turl = http://127.0.0.1:1/\n",
    "hooks/post-checkout": ("100755", b"#!/bin/sh\nexit 1\n"),
    ".husky/pre-push": ("100755", b"#!/bin/sh\nexit 1\n"),
    ".githooks/pre-commit": ("100755", b"#!/bin/sh\nexit 1\n"),
}


async def finish(bench: Bench, checkout: Checkout) -> str:
    """Take every step that git is needed for after a run; answer the diff."""
    places = bench.places()
    change = await places.change(checkout)
    await commit_now(places, checkout, author=ADA, message="x")
    await places.push(checkout, bench.access())
    return change.diff


async def test_attributes_and_configuration_of_a_repository_run_nothing(bench: Bench, trap: Path) -> None:
    """Filters, diff drivers, LFS and hooks that a repository brings are text like any other."""
    checkout = await bench.prepare(bench.repository(files=EVIL))
    assert (checkout.path / "large.bin").read_text().startswith("version https://git-lfs")
    (checkout.path / "a.txt").write_text("ONE\n")
    (checkout.path / "b.hidden").write_text("TWO\n")
    diff = await finish(bench, checkout)
    assert "-one\n+ONE\n" in diff
    assert "-two\n+TWO\n" in diff, "an attribute must not hide a change"
    assert not caught(trap)


async def test_a_run_that_writes_into_git_directories_runs_nothing(bench: Bench, trap: Path) -> None:
    """Where a sandbox did not hold: we never read the `.git` of the checkout, nor one that lies deeper."""
    hooks = trap.parent / "hooks"
    hooks.mkdir()
    for name in ("pre-commit", "post-commit", "pre-push", "reference-transaction", "post-index-change"):
        (hooks / name).symlink_to(trap)
    inner = bench.server.repository("acme/inner", {"x": "x"})
    head = git(inner, "rev-parse", "main")
    files: dict[str, File] = {
        **EVIL,
        ".gitmodules": '[submodule "sub"]\n\tpath = sub\n\turl = ext::sh -c true\n\tignore = none\n',
        "sub": ("160000", head.encode()),
    }
    checkout = await bench.prepare(bench.repository(files=files))
    config = config_of(trap)
    (checkout.path / ".git/config").write_text(config)
    (checkout.path / ".git/hooks").mkdir(exist_ok=True)
    (checkout.path / ".git/hooks/pre-push").symlink_to(trap)
    for place in ("sub", "made/inside"):
        (checkout.path / place).mkdir(parents=True, exist_ok=True)
        git(checkout.path / place, "init", "--quiet")
        (checkout.path / place / "file").write_text("y")
        git(checkout.path / place, "add", "file")
        git(checkout.path / place, "commit", "--quiet", "-m", "x")
        (checkout.path / place / ".git/config").write_text(config)
    (checkout.path / "a.txt").write_text("ONE\n")
    diff = await finish(bench, checkout)
    assert "+ONE" in diff
    assert "Subproject" not in diff
    listed = git(bench.server.root / "acme/shop.git", "ls-tree", "-r", "--name-only", BRANCH)
    assert "made" not in listed
    assert f"160000 commit {head}\tsub" in git(bench.server.root / "acme/shop.git", "ls-tree", BRANCH, "sub")
    assert not caught(trap)


async def test_the_place_itself_may_not_be_swapped_for_another(bench: Bench, trap: Path) -> None:
    """A `.git` that is a file and points elsewhere, or is gone, makes no difference."""
    checkout = await bench.prepare(bench.repository())
    (checkout.path / ".git").rename(checkout.path.parent / "moved")
    elsewhere = trap.parent / "elsewhere"
    elsewhere.mkdir()
    git(elsewhere, "init", "--quiet", "--bare")
    (elsewhere / "config").write_text(config_of(trap))
    (checkout.path / ".git").write_text(f"gitdir: {elsewhere}\n")
    (checkout.path / "new").write_text("x")
    assert "+x" in await finish(bench, checkout)
    assert not caught(trap)


async def test_a_checkout_that_was_swapped_for_a_link_is_not_read(bench: Bench) -> None:
    """The run's own directory may be its own user's: what it leads to instead is not the repository's."""
    outside = bench.work.parent / "private"
    outside.mkdir()
    (outside / "key").write_text("secret key")
    checkout = await bench.prepare(bench.repository())
    assert not (checkout.path.parent / "git").exists()
    checkout.path.rename(checkout.path.parent / "moved")
    checkout.path.symlink_to(outside)
    with pytest.raises(InvalidArgument, match="is not here any more"):
        await bench.places().change(checkout)
    again = await bench.prepare(bench.known())
    assert not again.path.is_symlink()
    assert (outside / "key").exists()


async def test_links_out_of_the_tree_lead_nowhere(bench: Bench) -> None:
    """They are not put on the disk, also by way of others, and the commit keeps them as they were."""
    outside = bench.work.parent / "keys"
    outside.write_text("secret key")
    files: dict[str, File] = {
        "inside.txt": "in\n",
        "good": ("120000", b"inside.txt"),
        "dangling": ("120000", b"nowhere"),
        "absolute": ("120000", os.fsencode(outside)),
        "up": ("120000", b"../../../../../keys"),
        "d/first": ("120000", b"../second"),
        "second": ("120000", b".."),
        "loop": ("120000", b"loop"),
        "git": ("120000", b".git/config"),
    }
    checkout = await bench.prepare(bench.repository(files=files))
    there = {
        str(path.relative_to(checkout.path)) for path in checkout.path.rglob("*") if ".git/" not in str(path)
    }
    assert {"good", "dangling", "inside.txt"} <= there
    assert not there & {"absolute", "up", "second", "d/first"}
    (checkout.path / "made").symlink_to(outside)
    (checkout.path / "inside.txt").unlink()
    (checkout.path / "inside.txt").symlink_to("/etc/passwd")
    diff = await finish(bench, checkout)
    assert "secret key" not in diff
    assert "root:" not in diff
    kept = git(bench.server.root / "acme/shop.git", "ls-tree", "-r", "--name-only", BRANCH).splitlines()
    assert set(files) <= set(kept)
    assert git(bench.server.root / "acme/shop.git", "show", f"{BRANCH}:made") == str(outside)


async def test_a_directory_that_becomes_a_link_is_not_followed(bench: Bench) -> None:
    """What lies behind a link that a run made is not taken for the repository's."""
    outside = bench.work.parent / "private"
    outside.mkdir()
    (outside / "a").write_text("secret key")
    checkout = await bench.prepare(bench.repository(files={"d/a": "1\n", "e": "2\n"}))
    (checkout.path / "d/a").unlink()
    (checkout.path / "d").rmdir()
    (checkout.path / "d").symlink_to(outside)
    diff = await finish(bench, checkout)
    assert "secret key" not in diff
    assert git(bench.server.root / "acme/shop.git", "ls-tree", "-r", "--name-only", BRANCH) == "d\ne"


async def test_agents_md_that_is_a_link_is_no_house_rule(bench: Bench) -> None:
    """It is read from the commit, where a link is its target's name."""
    files: dict[str, File] = {"AGENTS.md": ("120000", b"/etc/passwd"), "x": "x"}
    checkout = await bench.prepare(bench.repository(files=files))
    assert checkout.house_rules is None


@pytest.mark.parametrize(
    "path", ["../../escaped", ".git/config", ".GIT/config", "a/../../b", ".git\u200c/x", "git~1/x"]
)
async def test_paths_that_lead_out_are_not_checked_out(bench: Bench, path: str, trap: Path) -> None:
    """A tree that was made by hand holds names that git itself would not make; nothing of it is written."""
    repository = bench.repository()
    where = bench.server.root / "acme/shop.git"
    blob = git(where, "hash-object", "-w", "--stdin", stdin=config_of(trap).encode())
    tree = ""
    for name in reversed(path.split("/")):
        entry = f"40000 {name}\0" if tree else f"100644 {name}\0"
        data = entry.encode() + bytes.fromhex(tree or blob)
        tree = git(where, "hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=data)
    bench.server.commit_tree("acme/shop", tree)
    with pytest.raises(LinkspanError) as refused:
        await bench.prepare(repository)
    assert isinstance(refused.value, Forbidden)
    assert "holds a path that git does not put on a disk" in refused.value.message
    assert not list(bench.work.parent.rglob("escaped"))
    assert not caught(trap)


@pytest.mark.parametrize(
    "branch",
    ["feature/ünï#1;$(touch${IFS}x)`id`", "a'b\"c", "--upload-pack=touch", "main;id", "HEAD", "@"],
)
async def test_branches_with_odd_names(bench: Bench, branch: str) -> None:
    """They are names and nothing else: what git allows works, what it does not is refused in plain words."""
    repository = bench.repository()
    bench.server.commit("acme/shop", {"here": branch}, branch=branch)
    checkout = await bench.prepare(repository, base_branch=branch)
    assert (checkout.path / "here").read_text() == branch
    assert not list(bench.work.rglob("x"))


@pytest.mark.parametrize("branch", ["a b", "../up", "a..b", "x:refs/heads/main", "*", "a\nb", "a\0b", "~1"])
async def test_what_is_no_branch_reaches_no_command_line(bench: Bench, branch: str) -> None:
    """Nothing is asked of the forge for it."""
    repository = bench.repository()
    with pytest.raises(InvalidArgument, match="a name that no branch can have"):
        await bench.prepare(repository, base_branch=branch)
    assert bench.server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/acme/shop.git",
        "http://127.0.0.1/acme/shop.git",
        "ssh://git@127.0.0.1/acme/shop.git",
        "git@github.com:acme/shop.git",
        "ext::sh -c touch% x",
        "file:///etc",
        "/etc",
        "--upload-pack=touch x",
        "{origin}@evil.example/x.git",
        "{origin}.evil.example/x.git",
        "{origin}/acme/shop.git?x=y",
        "https://user:pw@127.0.0.1/x.git",
        "{origin}/a/../../b.git",
    ],
)
async def test_git_goes_only_where_the_account_was_linked(bench: Bench, url: str) -> None:
    """Another origin, another protocol, a user in the URL: refused before git is started."""
    repository = Repository("acme/shop", url.replace("{origin}", bench.server.url), "main")
    with pytest.raises(InvalidArgument, match="an address that git is not sent to"):
        await bench.prepare(repository)
    assert bench.server.requests == []


async def test_a_redirect_to_elsewhere_takes_nothing_along(bench: Bench, tmp_path: Path) -> None:
    """A forge that sends git away finds that the proxy does not let it go there."""
    repository = bench.repository()
    (tmp_path / "elsewhere").mkdir()
    with git_server(tmp_path / "elsewhere", bench.authority) as elsewhere:
        elsewhere.repository("acme/shop", {"README.md": "not yours"})
        bench.server.redirect = elsewhere.url
        with pytest.raises(EgressRefused, match=r"Connections to 127\.0\.0\.1:\d+ are not allowed here"):
            await bench.prepare(repository)
        assert elsewhere.requests == []
    bench.server.redirect = None
    assert (await bench.prepare(repository)).path.exists()


async def test_a_huge_file_of_the_run_is_not_read(bench: Bench) -> None:
    """It is measured first; the sentence names it."""
    checkout = await bench.prepare(bench.repository())
    dump = checkout.path / "core.dump"
    with dump.open("wb") as file:
        file.truncate(40_000_000_000)
    with pytest.raises(TooLarge, match=r"core\.dump, which the run made or changed, has 40,000 MB"):
        await bench.places().change(checkout)
    dump.unlink()
    assert size_of(ours(checkout)) < 1_000_000


async def test_what_is_no_file_is_left_out(bench: Bench) -> None:
    """Pipes and sockets do not hold up the commit, in the place of a file either."""
    checkout = await bench.prepare(bench.repository(files={"a": "1", "b": "2"}))
    (checkout.path / "a").unlink()
    os.mkfifo(checkout.path / "a")
    os.mkfifo(checkout.path / "pipe")
    change = await asyncio.wait_for(bench.places().change(checkout), 60)
    assert [(file.path, file.status) for file in change.files] == [("a", "deleted")]


async def test_a_name_that_others_take_for_git_is_left_out(bench: Bench) -> None:
    """It is not committed for somebody else's machine to check out."""
    checkout = await bench.prepare(bench.repository())
    (checkout.path / ".GIT").mkdir()
    (checkout.path / ".GIT/config").write_text("[core]\n\tfsmonitor = x\n")
    (checkout.path / "new").write_text("x")
    assert [file.path for file in (await bench.places().change(checkout)).files] == ["new"]


async def test_odd_file_names_are_told_as_they_are(bench: Bench) -> None:
    """Line ends, tabs, quotes and bytes that are no text neither break the list nor pass for another file."""
    names = [
        b"new\nline",
        b"tab\there",
        b'quo"te',
        b"not \xff text",
        b"-rf",
        b"\xc3\xa9",
        b" ",
        b":(top)x",
        b"*",
    ]
    checkout = await bench.prepare(bench.repository())
    for name in names:
        (checkout.path / os.fsdecode(name)).write_bytes(b"x\n")
    change = await bench.places().change(checkout)
    assert sorted(file.path for file in change.files) == sorted(
        name.decode(errors="backslashreplace") for name in names
    )
    await finish(bench, checkout)


@pytest.mark.slow
async def test_a_hundred_thousand_files_are_counted_and_not_written(bench: Bench) -> None:
    """The default limit, with a repository that is over it."""
    path = bench.server.repository("acme/many")
    lines = [
        "blob\nmark :1\ndata 1\nx\ncommit refs/heads/main\ncommitter A <a@b.c> 1800000000 +0000\ndata 1\nx\n"
    ]
    lines += [f"M 100644 :1 d{number % 100}/f{number}\n" for number in range(100_001)]
    git(path, "fast-import", "--quiet", stdin="".join(lines).encode())
    with pytest.raises(TooLarge, match="acme/many has more than the 100,000 files"):
        await bench.prepare(bench.known("acme/many"))
    assert not (bench.work / "acme/runs" / RUN / "checkout").exists()


async def test_a_small_commit_that_unfolds_into_billions_of_files(bench: Bench) -> None:
    """Ten trees of ten times the same tree each: counted until the limit and no further."""
    path = bench.server.repository("acme/bomb")
    blob = git(path, "hash-object", "-w", "--stdin", stdin=b"x")
    tree, mode = blob, "100644 blob"
    for _ in range(10):
        listed = "".join(f"{mode} {tree}\tf{number}\n" for number in range(10))
        tree, mode = git(path, "mktree", stdin=listed.encode()), "040000 tree"
    bench.server.commit_tree("acme/bomb", tree)
    with pytest.raises(TooLarge, match="acme/bomb has more than the 1,000 files"):
        await bench.prepare(bench.known("acme/bomb"), checkout_files=1_000)


# The credential --------------------------------------------------------------------------------------------


async def test_the_credential_is_nowhere_but_on_the_wire(bench: Bench, tmp_path: Path) -> None:
    """Not on the disk, in no argument, in no environment; and git's children see none either."""
    seen = tmp_path / "seen"
    seen.mkdir()
    shim = tmp_path / "bin"
    shim.mkdir()
    real = git(tmp_path, "--exec-path")
    (shim / "git").write_text(
        f'#!/bin/sh\nn=$$\ntr "\\0" "\\n" < /proc/$n/environ > "{seen}/$n.env"\n'
        f'tr "\\0" "\\n" < /proc/$n/cmdline > "{seen}/$n.args"\nexec "{real}/git" "$@"\n'
    )
    (shim / "git").chmod(0o755)
    checkout = await bench.prepare(bench.repository())
    (checkout.path / "new").write_text("x")
    places = bench.places()
    await commit_now(places, checkout, author=ADA, message="x")
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{shim}:{before}"
    try:
        await places.push(checkout, bench.access())
        await places.prepare(ACME, "run_two", bench.known(), bench.access())
    finally:
        os.environ["PATH"] = before
    told = "".join(path.read_text() for path in seen.iterdir())
    assert "ls-remote" in told
    assert "push" in told
    assert "canary-forge-token" not in told
    assert {user for _, _, user in bench.server.requests} == {None, "x-access-token"}
    for path in bench.work.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert b"canary-forge-token" not in path.read_bytes(), path


async def test_nothing_of_our_environment_reaches_git(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an operator's shell has for git, and what it keeps secret, is not handed on."""
    for name, value in {
        "GIT_TRACE_CURL": str(tmp_path / "trace"),
        "GIT_TRACE": str(tmp_path / "trace"),
        "GIT_SSH_COMMAND": "touch x",
        "GIT_EXTERNAL_DIFF": "touch x",
        "GIT_CONFIG_PARAMETERS": "'core.fsmonitor=touch x'",
        "https_proxy": "http://127.0.0.1:1",
        "OPENAI_API_KEY": "sk-secret",
    }.items():
        monkeypatch.setenv(name, value)
    checkout = await bench.prepare(bench.repository())
    (checkout.path / "new").write_text("x")
    await finish(bench, checkout)
    assert not (tmp_path / "trace").exists()


async def test_a_credential_with_a_line_end_is_refused(bench: Bench) -> None:
    """It could say more to git than a password."""
    repository = bench.repository()
    with pytest.raises(InvalidArgument, match="A line end cannot stand in git's credential"):
        await bench.places().prepare(ACME, RUN, repository, bench.access("a\nhost=evil.example"))


async def test_runs_of_tenants_do_not_meet(bench: Bench) -> None:
    """The same run id at two tenants is two places, readable by nobody else on the machine."""
    repository = bench.repository()
    places: GitPlaces = bench.places()
    mine = await places.prepare(ACME, RUN, repository, bench.access())
    theirs = await places.prepare(Tenant("globex"), RUN, repository, bench.access())
    assert mine.path != theirs.path
    await places.discard(ACME, RUN)
    assert theirs.path.exists()
    for path in (theirs.path, theirs.path.parent, ours(theirs) / "git", bench.work / "globex/mirrors"):
        assert path.stat().st_mode & 0o066 == 0, path
    assert (bench.work / "globex/runs").stat().st_mode & 0o777 == 0o711
