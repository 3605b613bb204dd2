"""docs/recipes/ticket_to_pr.md at a GitHub that somebody else wrote, which tells of everything by itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from linkspan import spec
from linkspan.app import App, build
from linkspan.codex.places import Checkout, GitAccess
from linkspan.runs.following import Following
from linkspan.runs.hooks import OWN
from linkspan.runs.publishing import GatewayForge
from linkspan.settings import Settings, parse_egress
from tests.codex.conftest import served
from tests.fakes.engine import ScriptedEngine
from tests.fakes.places import FakePlaces
from tests.recipes.pages import tools_of
from tests.recipes.town import newest_approved
from tests.runs.conftest import ACME, BO
from tests.runs.shop import KEY, working_at
from tests.runs.working import parts_of, working
from tests.servers.authority import Authority
from tests.servers.emulate import ANOTHER, TOKEN, Emulate, WithGit, github
from tests.servers.git import git_server
from tests.servers.node import ROOT
from tests.servers.scripted_model import ScriptedModel, message, shell
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
PATIENCE = 120.0
BASE = "https://linkspan.example"
GIT = "https://git.example"


@dataclass
class PushingPlaces(FakePlaces):
    """Working trees whose branches come to be at the forge."""

    hub: Emulate | None = None

    async def push(self, checkout: Checkout, access: GitAccess | None, *, onto: str | None = None) -> str:
        """Push, and let the forge have the branch."""
        is_new = (onto or f"codex/{checkout.run}") not in self.pushed
        branch = await super().push(checkout, access, onto=onto)
        if is_new and self.hub is not None:
            await asyncio.to_thread(self.hub.branch, branch, file=f"{checkout.run}.py")
        return branch


@dataclass
class Desk:
    """Linkspan at work, and a GitHub that delivers to it."""

    app: App
    hub: Emulate
    engine: ScriptedEngine
    places: PushingPlaces
    forge: Any = None

    async def ask(self, method: str, path: str, body: Any = None, *, token: str = ANOTHER) -> Any:
        """Do something at GitHub, as ada."""
        return await asyncio.to_thread(self.hub.ask, method, f"/repos/acme/shop{path}", body, token=token)

    async def comments(self, count: int) -> list[str]:
        """Answer what the issue was told, once there are so many comments."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = await self.ask("GET", "/issues/1/comments")
                if len(found) >= count:
                    return [str(each["body"]) for each in found]
                await self.app.runs.bell.wait(0.2)


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    """Start both, with a webhook that GitHub keeps and signs."""
    with github(folder / "github", git_url=GIT) as hub:
        where = {"github": {"base_url": hub.url, "git": {"base_url": GIT}}}
        (folder / "places.yaml").write_text(yaml.safe_dump({"connectors": where}))
        settings = Settings(home=folder / "home", egress=parse_egress("127.0.0.0/8"))
        catalog = spec.load([tools_of("ticket_to_pr", folder), folder / "places.yaml"], {})
        app = await build(settings, catalog=catalog)
        await app.tenants.add("acme")
        known = app.catalog.connectors["github"]
        account = await app.accounts.link(ACME, known, secrets={"token": TOKEN}, verify=app.verifier)
        await app.recipes.enable(BO, "fix_ticket", {"repositories": "acme/shop"})
        secret = await app.hook_secrets.of_account(ACME, account.id)
        async with served(app) as url:
            made = Desk(app, hub, ScriptedEngine(), PushingPlaces(settings.home / "work", hub=hub))
            forge = GatewayForge(app.gateway, app.accounts, base=BASE, mask=str, random=os.urandom)
            parts = replace(parts_of(app, made), forge=forge)
            app.arrivals.following = Following(parts, app.runs)
            hub.hook(f"{url}/hooks/account/{account.id}", secret.reveal())
            looking = asyncio.create_task(app.arrivals.run())
            try:
                async with working(app, parts):
                    yield made
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
        await app.aclose()


async def test_an_issue_goes_its_whole_way_at_a_foreign_github(tmp_path: Path) -> None:
    """Assigned, done, sent back, approved, merged, each told by its own webhook; and another with a label."""
    async with desk(tmp_path) as made:
        issue = await made.ask("POST", "/issues", {"title": "Wrong total", "body": "Counted twice."})
        await made.ask("POST", "/issues/1/comments", {"body": "It must be 2."})
        await made.ask("PATCH", "/issues/1", {"assignees": ["codex-bot"]}, token=TOKEN)
        await made.ask("PATCH", "/issues/1", {"assignees": []}, token=TOKEN)
        assert issue["number"] == 1
        await made.ask("PATCH", "/issues/1", {"assignees": ["codex-bot"]})
        first = await newest_approved(made.app, 1)
        assert "Counted twice." in made.engine.tasks[0].materials[0].text
        (pull,) = await made.ask("GET", "/pulls")
        assert (pull["title"], pull["head"]["ref"]) == ("Wrong total", first.branch)
        assert "Closes acme/shop#1" in pull["body"]
        review = {"event": "REQUEST_CHANGES", "body": "Say that it is cents."}
        await made.ask("POST", f"/pulls/{pull['number']}/reviews", review)
        second = await newest_approved(made.app, 2)
        assert (second.parent, second.branch, second.thread_id) == (first.id, first.branch, first.thread_id)
        assert any("Say that it is cents." in each.text for each in made.engine.tasks[-1].materials)
        await made.ask("POST", f"/pulls/{pull['number']}/reviews", {"event": "APPROVE", "body": "Good."})
        await made.comments(8)
        await made.ask("PATCH", f"/pulls/{pull['number']}", {"draft": False}, token=TOKEN)
        await made.ask("PUT", f"/pulls/{pull['number']}/merge", {})
        said = [text.partition(":")[0] for text in await made.comments(9)]
        assert said[0] == "It must be 2."
        assert said[1:3] == ["Codex has started on this", "A change waits for somebody's word"]
        assert said[4:6] == ["A reviewer asks for changes, and Codex goes on", said[2]]
        assert said[7:] == ["Approved", "Merged"]
        assert (await made.ask("GET", "/issues/1"))["state"] == "closed"
        assert len(await made.app.runs.list(BO)) == 2
        await made.ask("POST", "/issues", {"title": "No receipt", "body": "None is printed."})
        number = (await made.ask("GET", "/issues"))[0]["number"]
        await made.ask("POST", f"/issues/{number}/labels", {"labels": ["codex"]})
        assert (await newest_approved(made.app, 3)).entity_id == f"acme/shop#{number}"
        ignored = [each.outcome for each in await made.app.arrivals.list(ACME, state="ignored")]
        assert OWN in ignored


async def test_codex_mends_what_an_issue_there_says(tmp_path: Path) -> None:
    """Assigned there, and mended by the real Codex with real git: a draft that closes the issue."""
    for name in ("tls", "repositories"):
        (tmp_path / name).mkdir()
    authority, model = Authority(tmp_path / "tls"), ScriptedModel()
    home = ROOT / ".work" / f"hub-{uuid.uuid4().hex[:12]}"  # Codex refuses a home below /tmp
    with ExitStack() as stack:
        server = stack.enter_context(git_server(tmp_path / "repositories", authority))
        server.people = {"x-access-token": TOKEN}
        server.repository("acme/shop", {"cart.py": "total = 2 * 2\n", "AGENTS.md": "Be brief.\n"})
        hub = stack.enter_context(github(tmp_path / "github", git_url=server.url))
        beside = WithGit(hub, server.branches)
        server.pushed = beside.pushed
        where = {
            "github": {
                "base_url": stack.enter_context(serving(beside)),
                "git": {"base_url": server.url},
            },
            "openai": {"base_url": f"{stack.enter_context(serving(model))}/v1"},
        }
        (tmp_path / "places.yaml").write_text(yaml.safe_dump({"connectors": where}))
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        settings = Settings(home=home, egress=parse_egress("127.0.0.0/8"))
        catalog = spec.load([tools_of("ticket_to_pr", tmp_path), tmp_path / "places.yaml"], {})
        app = await build(settings, catalog=catalog)
        await app.tenants.add("acme")
        known = app.catalog.connectors
        account = await app.accounts.link(
            ACME, known["github"], secrets={"token": TOKEN}, verify=app.verifier
        )
        await app.accounts.link(ACME, known["openai"], secrets={"token": KEY})
        await app.recipes.enable(BO, "fix_ticket", {"repositories": "acme/shop"})
        secret = await app.hook_secrets.of_account(ACME, account.id)
        async with served(app) as url, working_at(app, url, authority):
            hub.hook(f"{url}/hooks/account/{account.id}", secret.reveal())
            made = Desk(app, hub, ScriptedEngine(), PushingPlaces(home / "work"))
            model.prepare(
                [[shell("", "echo 'total = 2' > cart.py")], [message("The total is counted once.")]]
            )
            await made.ask("POST", "/issues", {"title": "Wrong total", "body": "Counted twice."})
            await made.ask("POST", "/issues/1/comments", {"body": "It must be 2."})
            await made.ask("PATCH", "/issues/1", {"assignees": ["codex-bot"]})
            run = await newest_approved(made.app, 1)
            assert "Counted twice." in model.turns[0].text
            assert "It must be 2." in model.turns[0].text
            branch = f"codex/{run.id}"
            assert server.show("acme/shop", f"{branch}:cart.py") == "total = 2"
            (pull,) = await made.ask("GET", "/pulls")
            assert (pull["title"], pull["draft"], pull["head"]["ref"]) == ("Wrong total", True, branch)
            assert "The total is counted once.\n\nCloses acme/shop#1" in pull["body"]
            *_, finished = await made.comments(4)
            assert finished.startswith(f"The total is counted once.\n\n{pull['html_url']}")
        await app.aclose()
