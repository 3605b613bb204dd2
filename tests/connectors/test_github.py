"""The built-in connector for GitHub: every operation, against a forge of ours and against emulate."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.responses import JSONResponse, Response

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.codex.places import Change, Checkout, Repository
from linkspan.errors import Forbidden, InvalidArgument, NeedsReauth, NotFound, RateLimited
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import DryRun, Item, Page
from linkspan.net.pacing import Paces
from linkspan.runs.ports import Publication
from linkspan.runs.publishing import GatewayForge
from linkspan.settings import Settings, parse_egress
from linkspan.spec.catalog import Catalog
from linkspan.vault.redact import Redactor
from tests.fakes import forge as fake
from tests.fakes.asgi import AsgiTransport
from tests.fakes.forge import Forge
from tests.servers.emulate import TOKEN, github

RUN = "run_abcdefghijklmnopqrstuvwxyz"
ACME = Principal(Tenant("acme"), "service", "tests")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop is enough here."""
    return "asyncio"


@dataclass
class Bench:
    """An installation that uses the connector."""

    app: App
    branch: Callable[[str], None]
    checked: Callable[[str, dict[str, Any]], None]
    """Let CI say of the head of a branch what it checked."""
    forge: Forge | None = None
    ahead: list[float] = field(default_factory=lambda: [0.0])
    """Seconds that the clock of what GitHub allows is ahead, with the forge of ours."""

    async def call(self, key: str, **arguments: Any) -> Any:
        tool = self.app.catalog.tool_for(key)
        assert tool is not None
        found = await self.app.gateway.call(ACME, tool, arguments, info=CallInfo("req-1"))
        return found.result if isinstance(found, Item | Page) else found

    async def every(self, key: str, **arguments: Any) -> list[Any]:
        tool = self.app.catalog.tool_for(key)
        assert tool is not None
        found: list[Any] = []
        while True:
            page = await self.app.gateway.call(ACME, tool, arguments, info=CallInfo("req-1"))
            assert isinstance(page, Page)
            found += page.result
            if page.next_cursor is None:
                return found
            arguments["cursor"] = page.next_cursor


def catalog_of(tmp_path: Path, words: dict[str, Any], environ: dict[str, str] | None = None) -> Catalog:
    file = tmp_path / "tools.yaml"
    head = {
        "linkspan": 1,
        "name": "shop",
        "instructions": "List pull requests and tickets of GitHub.",
        "connectors": {"github": {"use": "github", **words}},
    }
    file.write_text(yaml.safe_dump(head))
    return spec.load([file], environ or {})


async def linked(app: App, token: str) -> None:
    connector = app.catalog.connectors["github"]
    account = await app.accounts.link(
        Tenant("acme"), connector, secrets={"token": token}, verify=app.verifier
    )
    assert account.identity_label == "acme"


@pytest.fixture
def emulated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Somebody else's GitHub."""
    with github(tmp_path / "emulate") as made:
        yield made


@pytest.fixture(params=["ours", pytest.param("emulate", marks=pytest.mark.e2e)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """The connector with each of the two behind it, linked by a token."""
    if request.param == "emulate":
        server = request.getfixturevalue("emulated")
        place = server.url.removeprefix("http://")
        settings = Settings(home=tmp_path / "home", egress=parse_egress(place))
        app = await build(settings, catalog=catalog_of(tmp_path, {"base_url": server.url}))
        await app.tenants.add("acme")
        await linked(app, TOKEN)
        yield Bench(app, server.branch, server.checked)
    else:
        forge, ahead = Forge(), [0.0]
        repository = forge.repository("acme/shop")
        app = await build(
            Settings(home=tmp_path / "home"),
            catalog=catalog_of(tmp_path, {"base_url": forge.url}),
            transport=AsgiTransport(forge.app()),
            paces=Paces(clock=lambda: time.monotonic() + ahead[0]),
        )
        await app.tenants.add("acme")
        await linked(app, "canary-forge-token")

        def branch(name: str) -> None:
            repository.branches[name] = f"{len(repository.branches):040x}"

        def checked(name: str, check: dict[str, Any]) -> None:
            number = len(repository.checks) + 1
            address = f"{forge.url}/repos/acme/shop/check-runs/{number}"
            repository.checks.append(
                {"id": number, "head_sha": repository.branches[name], "url": address, **check}
            )

        yield Bench(app, branch, checked, forge, ahead)
    await app.aclose()


async def test_a_repository(bench: Bench) -> None:
    """By its id, and what is not there is not found."""
    found = await bench.call("repository.get", id="acme/shop")
    assert (found["id"], found["owner"], found["default_branch"]) == ("acme/shop", "acme", "main")
    assert found["clone_url"].endswith("/acme/shop.git")
    asked = await bench.call("repository.get", id="acme/shop", remote_data=True)
    assert asked["remote_data"]["full_name"] == "acme/shop"
    with pytest.raises(NotFound):
        await bench.call("repository.get", id="acme/nothing")


async def test_a_pull_request_from_its_creation_to_its_end(bench: Bench) -> None:
    """Created, found by its branch, commented, renamed, closed; a second one of the branch is refused."""
    bench.branch("codex/fix")
    place = {"owner": "acme", "repo": "shop"}
    words = {"title": "Fix", "description": "Why.", "head": "codex/fix", "base": "main"}
    made = await bench.call("pull_request.create", **place, **words, draft=True)
    assert (made["title"], made["description"], made["state"], made["head"]) == (
        "Fix",
        "Why.",
        "draft",
        "codex/fix",
    )
    assert made["id"] == f"acme/shop#{made['number']}"
    (found,) = await bench.every("pull_request.list", **place, which="all", **{"from": "acme:codex/fix"})
    assert found["id"] == made["id"]
    assert await bench.every("pull_request.list", **place, **{"from": "acme:other"}) == []
    if bench.forge is not None:  # emulate opens a second one
        with pytest.raises(InvalidArgument, match="A pull request already exists for acme:codex/fix"):
            await bench.call("pull_request.create", **place, **words)
    said = await bench.call("pull_request.comment", id=made["id"], body="Well **done**.")
    assert said["body"].startswith("Well **done**.")
    (comment,) = await bench.every("pull_request.comments", id=made["id"])
    assert comment["id"] == said["id"]
    await bench.call("pull_request.update", id=made["id"], title="Fix it", state="closed")
    assert (await bench.call("pull_request.get", id=made["id"]))["state"] == "closed"
    assert await bench.every("pull_request.list", **place) == []
    assert len(await bench.every("pull_request.list", **place, which="closed")) == 1


async def test_a_review(bench: Bench) -> None:
    """It comments, and is there when one looks."""
    bench.branch("codex/fix")
    made = await bench.call(
        "pull_request.create", owner="acme", repo="shop", title="Fix", head="codex/fix", base="main"
    )
    said = await bench.call("pull_request.review", id=made["id"], event="comment", body="Looks right.")
    assert (said["state"], said["body"]) == ("commented", "Looks right.")
    (found,) = await bench.every("pull_request.reviews", id=made["id"])
    assert (found["id"], found["event"]) == (said["id"], "comment")


async def test_issues_as_tickets(bench: Bench) -> None:
    """Created, listed to the last page without pull requests, read, changed, commented."""
    bench.branch("codex/fix")
    place = {"owner": "acme", "repo": "shop"}
    await bench.call("pull_request.create", **place, title="Fix", head="codex/fix", base="main")
    for number in range(5):
        await bench.call("ticket.create", **place, title=f"Broken {number}", description="It **is**.")
    listed = await bench.every("ticket.list", **place, limit=2)
    assert [ticket["title"] for ticket in listed] == [f"Broken {number}" for number in (4, 3, 2, 1, 0)]
    found = await bench.call("ticket.get", id=listed[0]["id"])
    assert (found["description"], found["status"], found["key"]) == ("It **is**.", "todo", listed[0]["id"])
    await bench.call("ticket.update", id=found["id"], status="done")
    assert (await bench.call("ticket.get", id=found["id"]))["status"] == "done"
    assert len(await bench.every("ticket.list", **place)) == 4
    said = await bench.call("ticket.comment", id=found["id"], body="Done.")
    assert [each["id"] for each in await bench.every("ticket.comments", id=found["id"])] == [said["id"]]
    assert len(await bench.call("ticket.search", query="repo:acme/shop Broken")) == 5


async def test_checks_of_a_commit(bench: Bench) -> None:
    """What CI said of a branch, by the branch's name or the commit's; none of another branch's."""
    bench.branch("codex/fix")
    found = {"title": "1 failed", "summary": "x"}
    ended = {"name": "test", "status": "completed", "conclusion": "failure", "output": found}
    bench.checked("codex/fix", ended)
    bench.checked("codex/fix", {"name": "lint", "status": "in_progress"})
    place = {"owner": "acme", "repo": "shop"}
    listed = {each["name"]: each for each in await bench.every("check.list", **place, ref="codex/fix")}
    assert {name: (each["status"], each["conclusion"]) for name, each in listed.items()} == {
        "test": ("completed", "failure"),
        "lint": ("in_progress", None),
    }
    failed = listed["test"]
    assert (failed["summary"], failed["repository"]) == ("1 failed\n\nx", "acme/shop")
    (same,) = await bench.every("check.list", **place, ref=failed["commit_sha"], name="test")
    assert same["id"] == failed["id"]
    assert await bench.every("check.list", **place, ref="main") == []
    if bench.forge is None:  # emulate has no commit statuses
        return
    sha = failed["commit_sha"]
    for state, conclusion in [("pending", None), ("success", "success")]:
        said = await bench.call("check.report", **place, sha=sha, state=state, text="Codex looked.")
        assert (said["name"], said["conclusion"], said["commit_sha"]) == ("linkspan", conclusion, sha)
        (status,) = await bench.every("check.statuses", **place, ref="codex/fix")
        assert (status["id"], status["summary"]) == (said["id"], "Codex looked.")
    with pytest.raises(InvalidArgument, match="No commit found for SHA"):
        await bench.call("check.report", **place, sha="f" * 40, state="error")


async def test_what_github_refuses_is_told(bench: Bench) -> None:
    """Credential, right and values, in its own words; nothing else is tried."""
    forge = bench.forge
    if forge is None:  # emulate takes every token for its first user, and has no switch for the rest
        return
    for fault, kind, words in [
        (
            JSONResponse({"message": "Bad credentials"}, 401),
            NeedsReauth,
            "refused the credential: Bad credentials",
        ),
        (JSONResponse({"message": "Must have admin rights"}, 403), Forbidden, "Must have admin rights"),
        (
            fake.invalid([{"message": "Title is too long"}]),
            InvalidArgument,
            "Validation Failed; Title is too long",
        ),
    ]:
        forge.faults.append(fault)
        with pytest.raises(kind, match=words):
            await bench.call("ticket.create", owner="acme", repo="shop", title="x")
        assert not forge.faults
        bench.ahead[0] += 4000  # Longer than any refusal is heeded.
        if kind is NeedsReauth:
            (account,) = await bench.app.accounts.list(Tenant("acme"))
            await bench.app.accounts.verify(
                Tenant("acme"), account.id, bench.app.catalog.connectors["github"], bench.app.verifier
            )
    assert forge.counts["issues"] == 0


@pytest.mark.parametrize("bench", ["ours"], indirect=True)  # emulate's is spent in tests/e2e/test_emulated.py
@pytest.mark.parametrize("answer", [fake.primary_limit(4_000_000_000), fake.secondary_limit(600)])
async def test_a_limit_of_github_is_told(bench: Bench, answer: Response) -> None:
    """Of the hour and of the moment: both are a 403, and what is asked after it is not even sent."""
    forge = bench.forge
    assert forge is not None
    forge.faults.append(answer)
    for _ in range(2):
        with pytest.raises(RateLimited):
            await bench.call("ticket.create", owner="acme", repo="shop", title="x")
    assert (forge.faults, forge.counts["POST issues"]) == ([], 1)


@pytest.mark.parametrize("bench", ["ours"], indirect=True)  # emulate gives no ETags
async def test_what_has_not_changed_is_not_sent_again(bench: Bench) -> None:
    """GitHub counts no read that it answers 304: the same comes of it, and what was changed since is seen."""
    assert bench.forge is not None
    made = await bench.call("ticket.create", owner="acme", repo="shop", title="Broken")
    first = await bench.call("ticket.get", id=made["id"])
    assert bench.forge.counts["304"] == 0
    assert await bench.call("ticket.get", id=made["id"]) == first
    assert bench.forge.counts["304"] == 1
    await bench.call("ticket.update", id=made["id"], title="Mended")
    assert (await bench.call("ticket.get", id=made["id"]))["title"] == "Mended"
    assert bench.forge.counts["304"] == 1


async def test_an_id_cannot_leave_its_place(bench: Bench) -> None:
    """Owner, name and number are checked before anything is sent."""
    for id_ in ("acme/shop", "acme/shop#x", "../x#1", "acme/../user#1", "acme/shop#1/comments", "a%2Fb/c#1"):
        with pytest.raises(InvalidArgument):
            await bench.call("pull_request.get", id=id_)


async def test_a_dry_run_shows_the_request(bench: Bench) -> None:
    """With GitHub's version header, and without the credential."""
    shown = await bench.call(
        "pull_request.create", owner="acme", repo="shop", title="x", head="a", base="main", dry_run=True
    )
    assert isinstance(shown, DryRun)
    assert shown.request["headers"]["X-GitHub-Api-Version"] == "2022-11-28"
    assert shown.request["body"] == {"title": "x", "head": "a", "base": "main"}
    assert "canary" not in str(shown.request)


# What a tools.yaml makes of it ----------------------------------------------------------------------------


def test_ways_to_connect_follow_the_client(tmp_path: Path) -> None:
    """A token needs nothing; signing in needs a client, a GitHub App a key; the best comes first."""
    assert [way.type for way in catalog_of(tmp_path, {}).connectors["github"].auth] == ["bearer"]
    client = {"id": "Iv1.abc", "secret": "${GITHUB_SECRET}"}
    environ = {"GITHUB_SECRET": "canary-secret", "GITHUB_KEY": "canary-key"}
    found = catalog_of(tmp_path, {"client": client}, environ).connectors["github"]
    assert [way.type for way in found.auth] == ["oauth2", "bearer"]
    client["private_key"] = "${GITHUB_KEY}"
    found = catalog_of(tmp_path, {"client": client}, environ).connectors["github"]
    assert [way.type for way in found.auth] == ["github_app", "oauth2", "bearer"]
    assert found.auth[0].verify is not None
    assert found.auth[2].verify is None


def test_only_the_entities_that_are_wanted(tmp_path: Path) -> None:
    """A desk's customers do not find GitHub's issues among their tickets unless that was meant."""
    catalog = catalog_of(tmp_path, {"entities": ["repository", "pull_request", "review", "comment"]})
    assert "ticket" not in catalog.entities
    assert catalog.tool_for("pull_request.review") is not None
    git = catalog.connectors["github"].git
    assert git is not None
    assert git.username == "x-access-token"


def test_under_another_name_and_beside_a_file_of_ones_own(tmp_path: Path) -> None:
    """Two forges are two connectors; what the file says of an entity goes before."""
    file = tmp_path / "tools.yaml"
    file.write_text(
        """
linkspan: 1
name: two
instructions: List tickets and pull requests.
connectors:
  cloud: {use: github}
  inside: {use: github, base_url: https://git.acme.example/api/v3, git: {base_url: "https://git.acme.example"}}
entities:
  ticket:
    title: Issue
    sources:
      inside: {operations: {list: {description: List tickets of the forge inside.}}}
"""
    )
    catalog = spec.load([file], {})
    assert catalog.entities["ticket"].title == "Issue"
    assert set(catalog.entities["ticket"].connectors) == {"cloud", "inside"}
    listed = catalog.tool_for("ticket.list")
    assert listed is not None
    assert "List tickets of the forge inside." in listed.operations["inside"].description
    assert "List the issues" in listed.operations["cloud"].description


# Publishing ------------------------------------------------------------------------------------------------


async def test_publishing_finds_its_pull_request_again(bench: Bench) -> None:
    """Asked twice, with another pull request in between, there is one; git's part is tested elsewhere."""
    bench.branch(f"codex/{RUN}")
    bench.branch("other")
    publisher = GatewayForge(
        bench.app.gateway,
        bench.app.accounts,
        base="https://linkspan.example",
        mask=Redactor().mask,
        random=os.urandom,
    )
    repository = Repository("acme/shop", "https://github.com/acme/shop.git", "main")
    checkout = Checkout(RUN, Path("/nowhere"), repository, "main", "0" * 40)
    publication = Publication(
        tenant=Tenant("acme"),
        run=RUN,
        checkout=checkout,
        access=None,
        change=Change("", (), "c0ffee"),
        title="Fix the total",
        body="It was counted twice.",
        draft=True,
        owner=None,
        person="ada",
    )
    first = await publisher.open_pull_request(publication)
    await bench.call("pull_request.create", owner="acme", repo="shop", title="y", head="other", base="main")
    assert await publisher.open_pull_request(publication) == first
    assert first["state"] == "draft"
    listed = await bench.every("pull_request.list", owner="acme", repo="shop", which="all")
    assert len(listed) == 2
    ours = next(each for each in listed if each["id"] == first["id"])
    assert ours["description"].endswith(f"<!-- linkspan:{RUN} -->")
