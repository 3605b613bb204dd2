"""A seeded desk, and clients for its API and its pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from desk.app import build, desk_of
from desk.seed import issue_tokens, seed
from desk.service import Desk
from desk.store import Store

BASE = "http://127.0.0.1:8650"


@dataclass
class Clock:
    """Time that passes when a test says so."""

    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Receiver:
    """Somebody who gets webhooks: keeps what came, answers what it is told to."""

    statuses: list[int] = field(default_factory=list)
    got: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        self.got.append((url, headers, body))
        status = self.statuses.pop(0) if self.statuses else 204
        if status == 0:
            raise ConnectionRefusedError
        return status


@dataclass
class Counter:
    """The desk, its tokens, and ways to talk to it."""

    app: Starlette
    clock: Clock
    tokens: dict[str, dict[str, str]]
    admin_token: str
    open: list[httpx2.AsyncClient] = field(default_factory=list)

    @property
    def desk(self) -> Desk:
        return desk_of(self.app)

    def client(self, token: str | None = None, base: str = f"{BASE}/api/v1") -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        made = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app), base_url=base, headers=headers
        )
        self.open.append(made)
        return made

    def api(self, who: str = "acme/codex") -> httpx2.AsyncClient:
        """A client of the API with somebody's token."""
        org, login = who.split("/")
        return self.client(self.tokens[org][login])

    async def page(self, who: str = "acme/mara") -> httpx2.AsyncClient:
        """A browser in which somebody signed in."""
        browser = self.client(base=BASE)
        answer = await browser.post("/sign-in", data={"user": who})
        assert answer.status_code == 303
        return browser

    async def switch(self, mode: str, **settings: Any) -> None:
        """Make the next calls go wrong."""
        admin = self.client(self.admin_token, BASE)
        assert (await admin.post(f"/_switch/{mode}", json=settings)).status_code == 201


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A desk's file with the sample data, and its tokens; made once, copied for each test."""
    path = tmp_path_factory.mktemp("desk") / "desk.sqlite"
    store = Store(path, clock=Clock())
    seed(store)
    made = issue_tokens(store)
    store.close()
    return path, made


@pytest.fixture
async def counter(seeded: tuple[Path, dict[str, Any]], tmp_path: Path) -> AsyncIterator[Counter]:
    path, made = seeded
    clock = Clock()
    store = Store(Path(shutil.copy(path, tmp_path)), clock=clock)
    counter = Counter(build(store, BASE, post=None), clock, made["tokens"], made["admin_token"])
    yield counter
    for client in counter.open:
        await client.aclose()
    store.close()


@pytest.fixture
def csrf() -> Callable[[str], str]:
    """Finds the token of a page's forms."""

    def find(html: str) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', html)
        assert found
        return found[1]

    return find
