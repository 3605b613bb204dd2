"""Publishing at GitLab and Bitbucket: real git over TLS, the built-in connectors, forges that behave."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from linkspan import spec
from linkspan.app import App, build
from linkspan.codex.git.places import GitPlaces
from linkspan.codex.git.program import Git
from linkspan.net.egress import EgressGuard
from linkspan.net.egress_proxy import EgressProxy
from linkspan.runs.ports import Publication
from linkspan.runs.publishing import GatewayForge
from linkspan.settings import Settings, parse_egress
from linkspan.vault.redact import Redactor
from tests.codex.git.conftest import commit_now
from tests.fakes.asgi import AsgiTransport
from tests.fakes.forges import Bitbucket, GitLab
from tests.runs.test_publishing import ACME, ADA, BASE, BRANCH, RUN
from tests.servers.authority import Authority
from tests.servers.git import GitServer, git_server

pytestmark = pytest.mark.slow


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@dataclass
class Bench:
    """A worker that is linked to one forge."""

    app: App
    forge: GitLab | Bitbucket
    git: GitServer
    places: GitPlaces
    publisher: GatewayForge

    @property
    def opened(self) -> list[dict[str, Any]]:
        """What the forge has."""
        return self.forge.merge_requests if isinstance(self.forge, GitLab) else self.forge.pull_requests


@pytest.fixture
def git(tmp_path: Path) -> Iterator[tuple[GitServer, Authority]]:
    """A git server that knows the account by the names that the connectors tell it."""
    for name in ("tls", "repositories"):
        (tmp_path / name).mkdir()
    authority = Authority(tmp_path / "tls")
    with git_server(tmp_path / "repositories", authority) as made:
        made.people = dict.fromkeys(("oauth2", "x-token-auth"), "canary-forge-token")
        made.repository("acme/shop", {"cart.py": "total = 2 * sum(prices)\n"})
        yield made, authority


@pytest.fixture
async def bench(
    request: pytest.FixtureRequest, git: tuple[GitServer, Authority], tmp_path: Path
) -> AsyncIterator[Bench]:
    """An installation whose tools.yaml uses the built-in connector, linked for the tenant acme."""
    server, authority = git
    name = request.param
    kind = GitLab if name == "gitlab" else Bitbucket
    forge = kind(server.url, server.branches)
    words: dict[str, Any] = {"use": name, "git": {"base_url": server.url}}
    head = {"linkspan": 1, "name": "shop", "instructions": "List pull requests and repositories."}
    file = tmp_path / "tools.yaml"
    file.write_text(yaml.safe_dump({**head, "connectors": {name: words}}))
    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([file], {}),
        transport=AsgiTransport(forge.app()),
        clock=lambda: 1_800_000_000.0,
    )
    try:
        secrets = {"key" if name == "gitlab" else "token": forge.token}
        await app.accounts.link(
            await app.tenants.add("acme"),
            app.catalog.connectors[name],
            method="header" if name == "gitlab" else "bearer",
            secrets=secrets,
            settings={} if name == "gitlab" else {"workspace": "acme"},
            verify=app.verifier,
        )
        proxy = EgressProxy(EgressGuard(parse_egress(server.url.removeprefix("https://"))), random=os.urandom)

        async def sleep(_seconds: float) -> None:
            return None

        publisher = GatewayForge(
            app.gateway, app.accounts, base=BASE, mask=Redactor().mask, random=os.urandom, sleep=sleep
        )
        places = GitPlaces(tmp_path / "work", proxy, clock=lambda: 1_800_000_000.0, git=Git(authority.root))
        yield Bench(app, forge, server, places, publisher)
        await proxy.aclose()
    finally:
        await app.aclose()


@pytest.mark.parametrize(
    ("bench", "repository", "told", "title"),
    [
        ("gitlab", "42", {"id": "42#1", "url": "/acme/shop/-/merge_requests/1"}, "Draft: Fix the total"),
        (
            "bitbucket",
            "acme/shop",
            {"id": "acme/shop#1", "url": "/acme/shop/pull-requests/1"},
            "Fix the total",
        ),
    ],
    indirect=["bench"],
)
async def test_a_change_becomes_one_pull_request(
    bench: Bench, repository: str, told: dict[str, str], title: str
) -> None:
    """The branch is pushed and a draft opened; an answer that was lost and a second asking open no other."""
    found, access = await bench.publisher.locate(ACME, repository, run=RUN, person=None)
    assert (found.clone_url, found.default_branch) == (f"{bench.git.url}/acme/shop.git", "main")
    checkout = await bench.places.prepare(ACME, RUN, found, access)
    (checkout.path / "cart.py").write_text("total = sum(prices)\n")
    await commit_now(bench.places, checkout, author=ADA, message=f"Fix the total\n\nLinkspan-Run: {RUN}")
    await bench.places.push(checkout, access)
    publication = Publication(
        tenant=ACME, run=RUN, checkout=checkout, access=None, change=await bench.places.change(checkout),
        title="Fix the total", body="It was counted twice.", draft=True, owner=None,
        person="ada@acme.example",
    )  # fmt: skip
    bench.forge.lose_next = True
    opened = await bench.publisher.open_pull_request(publication)
    assert opened["id"] == told["id"] and opened["url"] == bench.git.url + told["url"]
    assert (opened["state"], opened["draft"]) == ("draft", True)
    assert opened["head_sha"] == bench.git.branches("acme/shop")[BRANCH]
    (made,) = bench.opened
    assert made["title"] == title and RUN in made["description"]
    bench.opened[0]["state"] = "closed" if isinstance(bench.forge, GitLab) else "DECLINED"
    assert (await bench.publisher.open_pull_request(publication))["id"] == told["id"]
    assert len(bench.opened) == 1 and bench.git.pushes == ["acme/shop"]


@pytest.mark.parametrize("bench", ["bitbucket"], indirect=True)
async def test_git_is_told_another_name_than_the_api(bench: Bench) -> None:
    """An API token of Bitbucket goes with an e-mail address to the API, and with a fixed name to git."""
    (account,) = await bench.app.accounts.list(ACME)
    await bench.app.accounts.unlink(ACME, account.id)
    await bench.app.accounts.link(
        ACME,
        bench.app.catalog.connectors["bitbucket"],
        method="basic",
        secrets={"username": "codex@acme.example", "password": bench.forge.token},
        settings={"workspace": "acme"},
        verify=bench.app.verifier,
    )
    _, access = await bench.publisher.locate(ACME, "acme/shop", run=RUN, person=None)
    assert access is not None and access.username == "x-bitbucket-api-token-auth"
