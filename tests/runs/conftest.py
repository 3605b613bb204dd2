"""Linkspan before a real desk in this process, with recipes turned on for its first customer."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from desk.app import build as build_desk
from desk.app import desk_of
from desk.seed import issue_tokens, seed
from desk.store import Store
from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.settings import Settings
from linkspan.spec.catalog import Catalog
from tests.fakes.asgi import AsgiTransport
from tests.fakes.forge import Forge
from tests.fakes.receiver import Receiver
from tests.servers.node import ROOT

RECIPES = Path(__file__).parent / "recipes.yaml"
DESK = "http://127.0.0.1:8650"
FORGE_TOKEN = "canary-forge-token"
NOW = 1_800_000_000.0
ACME = Tenant("acme")
BO = Principal(ACME, "person", "bo")
SHOP = Principal(ACME, "service", "shop")
OPERATOR = Principal(ACME, "operator", "root")


@dataclass
class House:
    """One open application with the tenants acme and globex, each linked to its desk."""

    app: App
    desk: Any
    transport: AsgiTransport
    now: list[float] = field(default_factory=lambda: [NOW])
    hooks: Receiver = field(default_factory=Receiver)
    """Takes what webhooks at https://hooks.example are told."""
    forge: Forge = field(default_factory=Forge)
    """What acme's GitHub account leads to."""

    async def enable(self, recipe: str, principal: Principal = BO, **settings: Any) -> None:
        """Turn a recipe on."""
        given = {"repository": "acme/cafe", **settings} if recipe != "look" else settings
        await self.app.recipes.enable(principal, recipe, given)


def by_host(apps: Mapping[str, ASGIApp]) -> ASGIApp:
    """Answer an application that is several, each with its own host."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        host = dict(scope["headers"])[b"host"].decode()
        await apps[host](scope, receive, send)

    return app


def catalog() -> Catalog:
    """Answer the desk's catalog with the recipes."""
    return spec.load([ROOT / "tools.yaml", RECIPES], {})


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A desk's file with the sample data, and its tokens; made once, copied for each test."""
    path = tmp_path_factory.mktemp("desk") / "desk.sqlite"
    store = Store(path, clock=lambda: NOW)
    seed(store)
    made = issue_tokens(store)
    store.close()
    return path, made


@pytest.fixture
async def house(seeded: tuple[Path, dict[str, Any]], tmp_path: Path) -> AsyncIterator[House]:
    """An application over real parts; only the desk is in-process."""
    path, made = seeded
    store = Store(Path(shutil.copy(path, tmp_path)), clock=lambda: NOW)
    desk = build_desk(store, DESK, post=None)
    forge = Forge(url="https://api.github.com", git_url="https://github.com", tokens={FORGE_TOKEN: "acme"})
    forge.repository("acme/cafe")
    hooks = Receiver()
    hosts: dict[str, ASGIApp] = {
        "127.0.0.1:8650": desk,
        "api.github.com": forge.app(),
        "hooks.example": hooks,
    }
    transport = AsgiTransport(by_host(hosts))
    now = [NOW]
    app = await build(
        Settings(home=tmp_path / "home"), catalog=catalog(), transport=transport, clock=lambda: now[0]
    )
    for name in ("acme", "globex"):
        tenant = await app.tenants.add(name)
        await app.accounts.link(
            tenant,
            app.catalog.connectors["desk"],
            settings={"site": DESK},
            secrets={"token": made["tokens"][name]["codex"]},
            verify=app.verifier,
        )
    await app.accounts.link(ACME, app.catalog.connectors["github"], secrets={"token": FORGE_TOKEN})
    yield House(app, desk_of(desk), transport, now, hooks, forge)
    await app.aclose()
    store.close()
