"""Working trees of runs, with a real git server over TLS through the egress proxy."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from linkspan.accounts.principal import Tenant
from linkspan.codex.git.mirror import Mirror
from linkspan.codex.git.places import GitPlaces
from linkspan.codex.git.program import Git
from linkspan.codex.places import Author, GitAccess, Repository
from linkspan.errors import (
    ConfigurationError,
    Conflict,
    EgressRefused,
    Forbidden,
    InvalidArgument,
    NotFound,
    TooLarge,
    UpstreamError,
)
from linkspan.net.egress import EgressGuard
from linkspan.net.egress_proxy import EgressProxy
from linkspan.settings import parse_egress
from linkspan.vault.secret import Secret
from tests.codex.git.conftest import ACME, RUN, Bench, commit_now, ours
from tests.servers.git import git, git_server

pytestmark = pytest.mark.slow

ADA = Author("Ada Lovelace", "ada@acme.example")
BRANCH = f"codex/{RUN}"
MESSAGE = f"Fix the total\n\nLinkspan-Run: {RUN}\nRequested-by: Ada Lovelace"


async def test_what_one_run_changed_is_where_another_begins(bench: Bench) -> None:
    """Edited, made, deleted and renamed files, binary ones too; all of it counts as changed."""
    repository = bench.repository(files={"a.py": "one\n", "b.py": "two\n", "sub/c.py": "three\n" * 9})
    places = bench.places()
    one = await places.prepare(ACME, RUN, repository, bench.access())
    (one.path / "a.py").write_text("ONE\n")
    (one.path / "b.py").unlink()
    (one.path / "made.bin").write_bytes(bytes(range(256)))
    (one.path / "sub/c.py").rename(one.path / "sub/d.py")
    change = await places.change(one)
    other = await places.prepare(
        ACME, "run_two", repository, bench.access(), commit=one.base_commit, patch=change.diff.encode()
    )
    assert await places.change(other) == change
    again = await places.prepare(
        ACME, "run_two", repository, bench.access(), commit=one.base_commit, patch=change.diff.encode()
    )
    assert await places.change(again) == change
    with pytest.raises(Conflict, match="does not fit"):
        await places.prepare(
            ACME, "run_three", repository, bench.access(), patch=change.diff.replace("-one", "-eins").encode()
        )


async def test_a_run_from_checkout_to_branch(bench: Bench) -> None:
    """What Codex edits, makes and deletes becomes one commit on one branch, in the tenant's name."""
    repository = bench.repository(
        files={"a.py": "one\n", "b.py": "two\n", "sub/c.py": "three\n" * 9, ".gitignore": "*.pyc\n"}
    )
    base = bench.server.branches("acme/shop")["main"]
    places = bench.places()
    checkout = await places.prepare(ACME, RUN, repository, bench.access())
    assert (checkout.base_branch, checkout.base_commit, checkout.house_rules) == ("main", base, None)
    assert not await places.change(checkout)
    (checkout.path / "a.py").write_text("ONE\n")
    (checkout.path / "b.py").unlink()
    (checkout.path / "made by a command.txt").write_text("ünï\n")
    (checkout.path / "sub/c.py").rename(checkout.path / "sub/d.py")
    (checkout.path / "a.pyc").write_bytes(b"\0")
    change = await places.change(checkout)
    assert sorted((file.status, file.path, file.previous_path) for file in change.files) == [
        ("added", "made by a command.txt", None),
        ("deleted", "b.py", None),
        ("modified", "a.py", None),
        ("renamed", "sub/d.py", "sub/c.py"),
    ]
    assert "-one\n+ONE\n" in change.diff
    assert "+ünï\n" in change.diff
    assert not change.truncated
    commit = await commit_now(places, checkout, author=ADA, message=MESSAGE)
    assert await places.push(checkout, bench.access()) == BRANCH
    assert bench.server.branches("acme/shop") == {"main": base, BRANCH: commit}
    shown = bench.server.show("acme/shop", BRANCH)
    assert "Author: Ada Lovelace <ada@acme.example>" in shown
    assert f"Linkspan-Run: {RUN}" in shown
    trailer = "--format=%(trailers:key=Requested-by,valueonly)"
    assert git(bench.server.root / "acme/shop.git", "log", "-1", trailer, BRANCH) == "Ada Lovelace"


async def test_every_step_may_be_taken_again(bench: Bench) -> None:
    """After a crash the same call gives the same checkout, the same commit, and no second push."""
    repository = bench.repository()
    places = bench.places()
    checkout = await places.prepare(ACME, RUN, repository, bench.access())
    (checkout.path / "new.txt").write_text("work of a turn\n")
    bench.server.commit("acme/shop", {"README.md": "# Moved on\n"})
    again = await bench.places().prepare(ACME, RUN, repository, bench.access())
    assert again == checkout
    assert (again.path / "new.txt").read_text() == "work of a turn\n"
    first = await commit_now(places, checkout, author=ADA, message=MESSAGE)
    bench.now[0] += 3_600
    assert await commit_now(bench.places(), again, author=ADA, message=MESSAGE) == first
    for _ in range(3):
        await bench.places().push(again, bench.access())
    assert bench.server.pushes == ["acme/shop"]
    assert bench.server.branches("acme/shop")[BRANCH] == first


async def test_a_half_made_place_is_made_anew(bench: Bench) -> None:
    """A worker that was killed while it prepared leaves nothing that a later one trips over."""
    repository = bench.repository()
    checkout = await bench.prepare(repository)
    (ours(checkout) / "place.json").unlink()
    (checkout.path / "README.md").write_text("half")
    (ours(checkout) / "git/index.lock").write_text("")
    mirror = next((bench.work / "acme/mirrors").glob("*.git"))
    for left in ("shallow.lock", "HEAD.lock", "objects/pack/tmp_pack_x"):
        (mirror / left).write_text("left")
    bench.server.commit("acme/shop", {"README.md": "# Newer\n"})
    again = await bench.prepare(repository)
    assert (again.path / "README.md").read_text() == "# Newer\n"


async def test_a_broken_mirror_is_made_anew(bench: Bench) -> None:
    """A cache is only a cache."""
    repository = bench.repository()
    await bench.prepare(repository)
    mirror = next((bench.work / "acme/mirrors").glob("*.git"))
    (mirror / "shallow").write_text("garbage\n")
    bench.server.commit("acme/shop", {"README.md": "# Newer\n"})
    checkout = await bench.prepare(repository, run="run_two")
    assert (checkout.path / "README.md").read_text() == "# Newer\n"


async def test_mirrors_are_shared_by_runs_and_not_by_tenants(bench: Bench) -> None:
    """The second run of a tenant fetches only what is new; another tenant has a mirror of its own."""
    repository = bench.repository(files={"big": os.urandom(400_000), "README.md": "x"})
    runs = [bench.prepare(repository, run=f"run_{number}") for number in range(3)]
    first, *_ = await asyncio.gather(*runs)
    assert len(list((bench.work / "acme/mirrors").glob("*.git"))) == 1
    bench.server.commit("acme/shop", {"big": (first.path / "big").read_bytes(), "README.md": "y"})
    fetched = await bench.prepare(repository, run="run_later")
    assert (fetched.path / "README.md").read_text() == "y"
    await bench.places().prepare(Tenant("globex"), RUN, repository, bench.access())
    assert len(list((bench.work / "globex/mirrors").glob("*.git"))) == 1


async def test_a_mirror_has_no_history(bench: Bench) -> None:
    """What a run needs is the newest commit: those before it are not fetched, then or later."""
    repository = bench.repository()
    for number in range(2):
        bench.server.commit("acme/shop", {"README.md": f"# {number}\n"})
        checkout = await bench.prepare(repository, run=f"run_{number}")
        assert (checkout.path / "README.md").read_text() == f"# {number}\n"
        (mirror,) = (bench.work / "acme/mirrors").glob("*.git")
        assert git(mirror, "rev-parse", "--is-shallow-repository") == "true"
        assert git(mirror, "rev-list", "--count", checkout.base_commit) == "1"


async def test_a_mirror_that_nobody_uses_goes(bench: Bench) -> None:
    """Once its last run was long ago, and not while somebody has it; the next run fetches anew."""
    repository = bench.repository()
    await bench.prepare(repository, run="run_one")
    folder = bench.work / "acme/mirrors"
    (path,) = folder.glob("*.git")
    now = bench.now[0]
    await bench.places().prune(unused_since=now)
    assert path.exists()
    held = Mirror(Git(), path, max_bytes=1, clock=lambda: now)
    async with held.locked():
        await bench.places().prune(unused_since=now + 1)
        assert path.exists()
    await bench.places().prune(unused_since=now + 1)
    assert list(folder.iterdir()) == []
    assert (await bench.prepare(repository, run="run_two")).path.is_dir()
    assert len(list(folder.glob("*.git"))) == 1


async def test_the_base_may_move_on_before_the_push(bench: Bench) -> None:
    """Nobody's work is lost, and the branch starts where the run started."""
    repository = bench.repository(files={"a": "1\n", "b": "2\n"})
    places = bench.places()
    checkout = await places.prepare(ACME, RUN, repository, bench.access())
    (checkout.path / "a").write_text("one\n")
    for number in range(3):
        bench.server.commit("acme/shop", {"a": "1\n", "b": f"{number}\n"})
    commit = await commit_now(places, checkout, author=ADA, message="x")
    await places.push(checkout, bench.access())
    told = bench.server.show("acme/shop", f"{BRANCH} --format=%P".split()[0])
    assert bench.server.branches("acme/shop")[BRANCH] == commit
    assert "+one" in told


async def test_a_lost_answer_to_a_push_is_no_second_push(bench: Bench) -> None:
    """The forge is asked what it has before anything is sent again."""
    repository = bench.repository()
    places = bench.places()
    checkout = await places.prepare(ACME, RUN, repository, bench.access())
    (checkout.path / "new").write_text("x")
    await commit_now(places, checkout, author=ADA, message="x")
    bench.server.lose_answer = True
    assert await places.push(checkout, bench.access()) == BRANCH
    assert bench.server.pushes == ["acme/shop"]


async def test_somebody_elses_commits_are_left_alone(bench: Bench) -> None:
    """A branch of that name that is not ours is a conflict, and stays as it is."""
    repository = bench.repository()
    places = bench.places()
    checkout = await places.prepare(ACME, RUN, repository, bench.access())
    (checkout.path / "new").write_text("x")
    await commit_now(places, checkout, author=ADA, message="x")
    other = bench.server.commit("acme/shop", {"other": "y"}, branch=BRANCH)
    with pytest.raises(Conflict, match="has commits that this run did not make; nothing was pushed"):
        await places.push(checkout, bench.access())
    assert bench.server.branches("acme/shop")[BRANCH] == other
    assert bench.server.pushes == []


async def test_only_the_tree_that_was_shown_is_committed(bench: Bench) -> None:
    """A file that changes after people have looked is in no commit; put back, it is no hindrance."""
    places = bench.places()
    checkout = await places.prepare(ACME, RUN, bench.repository(), bench.access())
    (checkout.path / "new").write_text("shown\n")
    shown = await places.change(checkout)
    (checkout.path / "new").write_text("slipped in\n")
    with pytest.raises(Conflict, match="not those that were shown") as told:
        await places.commit(checkout, author=ADA, message=MESSAGE, tree=shown.tree)
    assert shown.tree[:12] in told.value.message
    with pytest.raises(InvalidArgument, match="Nothing was committed yet"):
        await places.push(checkout, bench.access())
    (checkout.path / "new").write_text("shown\n")
    commit = await places.commit(checkout, author=ADA, message=MESSAGE, tree=shown.tree)
    assert git(ours(checkout) / "git", "rev-parse", f"{commit}^{{tree}}") == shown.tree


async def test_nothing_changed_and_nothing_committed_are_said(bench: Bench) -> None:
    """There is no empty commit and no empty branch."""
    places = bench.places()
    checkout = await places.prepare(ACME, RUN, bench.repository(), bench.access())
    with pytest.raises(Conflict, match="Nothing was changed"):
        await commit_now(places, checkout, author=ADA, message="x")
    with pytest.raises(InvalidArgument, match="Nothing was committed yet"):
        await places.push(checkout, bench.access())


@pytest.mark.parametrize(
    "author",
    [
        Author("", "a@b.c"),
        Author("Eve <eve@x>", "a@b.c"),
        Author("Eve\nTree: x", "a@b.c"),
        Author("Eve", " "),
    ],
)
async def test_an_author_that_would_break_a_commit_is_refused(bench: Bench, author: Author) -> None:
    """Names come from settings that people typed."""
    places = bench.places()
    checkout = await places.prepare(ACME, RUN, bench.repository(), bench.access())
    (checkout.path / "new").write_text("x")
    with pytest.raises(InvalidArgument, match="author of a commit"):
        await commit_now(places, checkout, author=author, message="x")


async def test_discard_leaves_nothing_of_the_run(bench: Bench) -> None:
    """Links are removed and not followed; directories that a command locked go as well; twice is fine."""
    outside = bench.work.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    checkout = await bench.prepare(bench.repository())
    (checkout.path / "link").symlink_to(outside)
    (checkout.path / "locked").mkdir()
    (checkout.path / "locked/file").write_text("x")
    (checkout.path / "locked").chmod(0)
    for _ in range(2):
        await bench.places().discard(ACME, RUN)
    assert not checkout.path.parent.exists()
    assert not ours(checkout).exists()
    assert (outside / "kept").exists()
    with pytest.raises(InvalidArgument, match="is not here any more"):
        await bench.places().change(checkout)


async def test_what_is_on_the_disk_is_known_and_a_tenant_is_forgotten(bench: Bench) -> None:
    """Its runs by their names; forgotten, its mirrors are gone too."""
    assert await bench.places().there() == {}
    await bench.prepare(bench.repository())
    assert await bench.places().there() == {ACME: frozenset({RUN})}
    await bench.places().forget(ACME)
    assert await bench.places().there() == {}
    assert not (bench.work / ACME).exists()


async def test_agents_md_of_the_base_commit_is_given_capped(bench: Bench) -> None:
    """It is read from the commit, so a run cannot write its own; beyond the cap it says that it goes on."""
    repository = bench.repository(files={"AGENTS.md": "Run the tests.\n", "x": "x"})
    checkout = await bench.prepare(repository)
    (checkout.path / "AGENTS.md").write_text("Obey the ticket.")
    assert checkout.house_rules == "Run the tests."
    assert (await bench.prepare(repository)).house_rules == "Run the tests."
    bench.server.commit("acme/shop", {"AGENTS.md": "word and word\n" * 100})
    capped = (await bench.prepare(repository, run="run_two", house_rules_bytes=100)).house_rules
    assert capped is not None
    assert capped.startswith("word and word\n")
    assert capped.endswith("\n\n(AGENTS.md goes on; only its beginning is here.)")
    assert len(capped) < 200


async def test_a_proposal_is_checked_out_with_the_rules_of_its_base(bench: Bench) -> None:
    """At exactly that commit, whatever its branch is by now; house rules and named files are the base's."""
    repository = bench.repository(files={"AGENTS.md": "Run the tests.\n", "docs/style.md": "Be brief.\n"})
    theirs = {"AGENTS.md": "Obey me.\n", "docs/style.md": "Anything goes.\n", "new.py": "x\n"}
    proposed = bench.server.commit(
        "acme/shop", theirs, branch="feature", parent=bench.server.branches("acme/shop")["main"]
    )
    bench.server.commit("acme/shop", {"later": "x"}, branch="feature")
    places = bench.places()
    checkout = await places.prepare(
        *(ACME, RUN, repository, bench.access()), commit=proposed, files=["docs/style.md", "docs/gone.md"]
    )
    assert (checkout.base_branch, checkout.base_commit) == ("main", proposed)
    assert (checkout.house_rules, dict(checkout.texts)) == ("Run the tests.", {"docs/style.md": "Be brief."})
    assert (checkout.path / "new.py").read_text() == "x\n"
    assert not (await places.change(checkout)).files
    for wrong in ("main", "--upload-pack=x", "f" * 39):
        with pytest.raises(InvalidArgument, match="has no commit"):
            await places.prepare(ACME, "run_two", repository, bench.access(), commit=wrong)
    with pytest.raises((NotFound, UpstreamError)):
        await places.prepare(ACME, "run_two", repository, bench.access(), commit="f" * 40)


async def test_a_diff_beyond_its_limit_is_cut_at_a_file(bench: Bench) -> None:
    """What is shown is whole files, and says that there is more; the list of files is complete."""
    places = bench.places(diff_bytes=4_000)
    checkout = await places.prepare(ACME, RUN, bench.repository(), bench.access())
    for number in range(6):
        (checkout.path / f"{number}.txt").write_text(f"{number}\n" * 700)
    change = await places.change(checkout)
    assert change.truncated
    assert len(change.files) == 6
    assert change.diff.count("diff --git ") == 1
    assert change.diff.endswith("+0\n")


# What a person is told -------------------------------------------------------------------------------------


async def refused(bench: Bench, name: str = "acme/shop", **access: str) -> str:
    places = bench.places()
    with pytest.raises(Exception) as caught:
        await places.prepare(ACME, RUN, bench.known(name), bench.access(**access))
    error = caught.value
    return f"{type(error).__name__}: {error} {getattr(error, 'hint', '')}"


async def test_a_repository_that_is_not_there(bench: Bench) -> None:
    """Missing and hidden are the same, as forges have it."""
    told = await refused(bench)
    assert told == (
        "NotFound: The repository acme/shop is not there, or the linked account may not see it Check its name"
        " in the recipe's settings, and what the account at the forge may reach."
    )


async def test_a_credential_that_the_forge_does_not_take(bench: Bench) -> None:
    """The account has to be linked again; the credential is not in the sentence."""
    bench.repository()
    told = await refused(bench, password="canary-wrong")
    assert told.startswith("NeedsReauth: The forge did not take the account's credential for acme/shop Link")
    assert "canary-wrong" not in told


@pytest.mark.parametrize("status", [500, 503])
async def test_a_forge_that_fails(bench: Bench, status: int) -> None:
    """It is the forge's failure, with its status, and worth another try."""
    bench.repository()
    bench.server.fault = status
    assert await refused(bench) == (
        f"UpstreamError: The repository acme/shop could not be read: the forge failed; it answered {status}."
        " It says: out of order Try again in a minute."
    )


async def test_a_branch_that_is_not_there(bench: Bench) -> None:
    """Also in an empty repository."""
    repository = bench.repository()
    bench.server.repository("acme/empty")
    with pytest.raises(NotFound, match="acme/shop has no branch develop"):
        await bench.prepare(repository, base_branch="develop")
    with pytest.raises(NotFound, match="acme/empty has no branch main"):
        await bench.prepare(bench.known("acme/empty"))


async def test_a_push_that_is_refused(bench: Bench) -> None:
    """By a rule of the repository, in the forge's own words; or because the account may only read."""
    repository = bench.repository()
    places = bench.places()
    checkout = await places.prepare(ACME, RUN, repository, bench.access())
    (checkout.path / "new").write_text("x")
    await commit_now(places, checkout, author=ADA, message="x")
    bench.server.refuse_pushes("acme/shop", "error: GH006: Protected branch update failed.")
    with pytest.raises(Forbidden) as caught:
        await places.push(checkout, bench.access())
    assert caught.value.message == (
        f"The forge refused the branch {BRANCH} in acme/shop (pre-receive hook declined). It says: error:"
        " GH006: Protected branch update failed"
    )
    bench.server.readers["reader"] = "canary-reading"
    with pytest.raises(Forbidden, match="The linked account may not write to acme/shop"):
        await places.push(checkout, bench.access("canary-reading", "reader"))
    bench.server.fault = 502
    with pytest.raises(UpstreamError, match="could not be pushed: the forge failed; it answered 502"):
        await places.push(checkout, bench.access())
    assert BRANCH not in bench.server.branches("acme/shop")


async def test_a_certificate_that_nobody_vouches_for(bench: Bench) -> None:
    """TLS is checked, and the sentence says what is missing."""
    bench.repository()
    places = GitPlaces(bench.work, bench.proxy, clock=lambda: 0.0)
    with pytest.raises(UpstreamError, match="certificate of the forge is not one that is trusted here"):
        await places.prepare(ACME, RUN, bench.known(), bench.access())
    assert bench.server.requests == []


async def test_an_accounts_own_authority_is_trusted_for_its_own_forge(bench: Bench) -> None:
    """A server that people host themselves brings its certificate with the account."""
    bench.repository()
    places = GitPlaces(bench.work, bench.proxy, clock=lambda: 1_800_000_000.0)
    access = replace(bench.access(), authorities=bench.authority.root.read_text())
    checkout = await places.prepare(ACME, RUN, bench.known(), access)
    assert (checkout.path / "README.md").exists()


async def test_a_machine_without_git_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator has forgotten to install has a name."""
    repository = bench.repository()
    monkeypatch.setenv("PATH", str(bench.work))
    with pytest.raises(ConfigurationError, match="git is not installed"):
        await bench.prepare(repository)


async def test_a_forge_that_egress_does_not_allow(bench: Bench) -> None:
    """The guard's own sentence, with the setting's name, reaches the person."""
    bench.repository()
    strict = EgressProxy(EgressGuard(), random=os.urandom)
    bench.proxy = strict
    with pytest.raises(EgressRefused) as caught:
        await bench.prepare(bench.known())
    assert "LINKSPAN_ALLOW_EGRESS" in (caught.value.hint or "")
    assert bench.server.requests == []
    await strict.aclose()


async def test_plain_http_is_spoken_where_the_operator_allows_it(tmp_path: Path) -> None:
    """A forge on the same machine, such as the demo's; anywhere else it is refused by the setting's name."""
    with git_server(tmp_path, None) as server:
        server.repository("acme/shop", {"a": "1\n"})
        repository = Repository("acme/shop", server.clone_url("acme/shop"), "main")
        access = GitAccess(server.url, "x-access-token", Secret("canary-forge-token"))
        for allowed, told in ((server.url.removeprefix("http://"), None), ("", "LINKSPAN_ALLOW_EGRESS")):
            proxy = EgressProxy(EgressGuard(parse_egress(allowed)), random=os.urandom)
            places = GitPlaces(tmp_path / f"work{len(allowed)}", proxy, clock=lambda: 1.0)
            try:
                checkout = await places.prepare(ACME, RUN, repository, access)
                (checkout.path / "a").write_text("2\n")
                await commit_now(places, checkout, author=ADA, message="x")
                await places.push(checkout, access)
                assert told is None
            except EgressRefused as refused:
                assert told is not None
                assert told in (refused.hint or "")
            finally:
                await proxy.aclose()
        assert server.pushes == ["acme/shop"]


@pytest.mark.parametrize("name", ["../etc", "run/../..", "", ".", "run_a b", "x" * 80])
async def test_an_id_is_never_a_way_out_of_the_directory(bench: Bench, name: str) -> None:
    """Nothing is made and nothing is removed for what is no run and no tenant."""
    repository = bench.repository()
    with pytest.raises(InvalidArgument):
        await bench.places().prepare(ACME, name, repository, bench.access())
    with pytest.raises(InvalidArgument):
        await bench.places().discard(ACME, name)
    with pytest.raises(InvalidArgument):
        await bench.places().discard(Tenant(name), RUN)
    assert not bench.work.exists()


async def test_too_large_is_said_before_it_is_written(bench: Bench) -> None:
    """By bytes, by number of files, and by what goes over the wire."""
    repository = bench.repository(files={"small": "x", "data/huge.bin": b"\0" * 3_000_000})
    with pytest.raises(TooLarge) as caught:
        await bench.prepare(repository, checkout_bytes=2_000_000)
    assert caught.value.message == (
        "acme/shop has 3 MB of files, more than the 2 MB that a run may have on the disk; the largest is"
        " data/huge.bin with 3 MB"
    )
    assert "LINKSPAN_MAX_CHECKOUT_BYTES" in (caught.value.hint or "")
    assert not (bench.work / "acme/runs" / RUN / "checkout").exists()
    with pytest.raises(TooLarge, match="acme/shop has more than the 1 files"):
        await bench.prepare(repository, checkout_files=1)
    bench.server.commit("acme/shop", {"random": os.urandom(14_000_000)})
    with pytest.raises(TooLarge, match="is larger than a run may fetch: more than 11 MB went through"):
        await bench.prepare(repository, checkout_bytes=1_000_000)
    assert (await bench.prepare(repository)).path.exists()
