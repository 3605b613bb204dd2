"""What tests of git share: a real server behind TLS, and places that reach it through the egress proxy."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from linkspan.accounts.principal import Tenant
from linkspan.codex.git.places import GitPlaces
from linkspan.codex.git.program import Git
from linkspan.codex.git.tree import Bounds
from linkspan.codex.places import Author, Checkout, GitAccess, Repository
from linkspan.net.egress import EgressGuard
from linkspan.net.egress_proxy import EgressProxy
from linkspan.settings import parse_egress
from linkspan.vault.secret import Secret
from tests.servers.authority import Authority
from tests.servers.git import File, GitServer, git_server

ACME = Tenant("acme")
RUN = "run_abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop is enough: what is slow here is git."""
    return "asyncio"


@dataclass
class Bench:
    """A git server, and the places of a worker that works with it."""

    server: GitServer
    work: Path
    authority: Authority
    proxy: EgressProxy
    now: list[float] = field(default_factory=lambda: [1_800_000_000.0])
    waited: list[float] = field(default_factory=list)
    """Seconds for which somebody wanted to wait."""

    def places(self, **bounds: int) -> GitPlaces:
        return GitPlaces(
            self.work,
            self.proxy,
            clock=lambda: self.now[0],
            git=Git(ca_file=self.authority.root),
            bounds=Bounds(**bounds),
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)

    def repository(self, name: str = "acme/shop", files: dict[str, File] | None = None) -> Repository:
        """Make a repository at the server and answer it as the forge tells it."""
        self.server.repository(name, {"README.md": "# Shop\n"} if files is None else files)
        return self.known(name)

    def known(self, name: str = "acme/shop") -> Repository:
        return Repository(name, self.server.clone_url(name), "main")

    def access(self, password: str = "canary-forge-token", name: str = "x-access-token") -> GitAccess:
        return GitAccess(self.server.url, name, Secret(password))

    async def prepare(
        self, repository: Repository, *, run: str = RUN, base_branch: str | None = None, **bounds: int
    ) -> Checkout:
        return await self.places(**bounds).prepare(
            ACME, run, repository, self.access(), base_branch=base_branch
        )


async def commit_now(places: GitPlaces, checkout: Checkout, *, author: Author, message: str) -> str:
    """Commit what the working tree is at this moment."""
    shown = await places.change(checkout)
    return await places.commit(checkout, author=author, message=message, tree=shown.tree)


def ours(checkout: Checkout) -> Path:
    """Answer the directory of a run that nobody but us writes."""
    return checkout.path.parents[2] / "repositories" / checkout.path.parent.name


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[GitServer, Authority]]:
    """A git server and who vouches for it."""
    (tmp_path / "tls").mkdir()
    (tmp_path / "repositories").mkdir()
    authority = Authority(tmp_path / "tls")
    with git_server(tmp_path / "repositories", authority) as made:
        yield made, authority


@pytest.fixture
async def bench(server: tuple[GitServer, Authority], tmp_path: Path) -> AsyncIterator[Bench]:
    """A worker whose operator allows the server's address and nothing else."""
    made, authority = server
    proxy = EgressProxy(EgressGuard(parse_egress(made.url.removeprefix("https://"))), random=os.urandom)
    yield Bench(made, tmp_path / "work", authority, proxy)
    await proxy.aclose()
