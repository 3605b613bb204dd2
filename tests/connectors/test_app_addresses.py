"""One address for all accounts of an app: docs/hooks.md as it stands, for GitHub, Slack and Linear."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.serving import Serving
from linkspan.settings import Settings
from linkspan.spec.recipe import read
from linkspan.vault.secret import Secret
from tests.connectors.test_deliveries import KEPT, NOW, SIGNED
from tests.servers.node import ROOT

SECRET: Final = "canary-secret-of-an-app"
TENANTS: Final = {"acme": ("7", "T1/U1", "org-1"), "globex": ("8", "T2/U9", "org-2")}
"""What each is at GitHub, Slack and Linear."""
EVENTS: Final = {
    "github": "ticket.labeled",
    "slack": "message.mentioned",
    "linear": "ticket.updated",
}


@dataclass
class Front:
    """Linkspan with both tenants linked to all three, and its port."""

    app: App
    client: httpx2.AsyncClient

    async def deliver(self, name: str, more: Mapping[str, Any], *, secret: str = SECRET) -> httpx2.Response:
        """Deliver the sample of a product, with these words besides."""
        wanted = EVENTS[name]
        sample = next(each for each in KEPT[name] if wanted in [told["event"] for told in each["tells"]])
        raw = json.dumps({**sample["body"], **more}).encode()
        headers = {**sample["headers"], **SIGNED[name](secret, raw, NOW), "X-GitHub-Delivery": "one"}
        return await self.client.post(f"/hooks/{name}", content=raw, headers=headers)

    async def arrived(self) -> dict[str, list[str]]:
        """Answer what came to whom."""
        found = {name: await self.app.arrivals.list(Tenant(name)) for name in TENANTS}
        return {
            name: sorted(f"{each.connector}.{each.event}" for each in arrivals)
            for name, arrivals in found.items()
        }


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    """The page's file, and a recipe for each product's event."""
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    block = next(part for part in page.split("```yaml\n")[1:] if part.startswith("linkspan: 1\n"))
    (tmp_path / "tools.yaml").write_text(block.partition("```")[0])
    catalog = spec.load([tmp_path / "tools.yaml"], {})
    recipes = {
        name: read(
            name, {"title": "Look", "entity": event.partition(".")[0], "on": f"{name}.{event}", "prompt": "x"}
        )
        for name, event in EVENTS.items()
    }
    app = await build(Settings(home=tmp_path / "home"), catalog=catalog, clock=lambda: NOW)
    app.gateway.replace_catalog(replace(app.catalog, recipes=recipes))
    for tenant, (github, slack, linear) in TENANTS.items():
        await app.tenants.add(tenant)
        for recipe in recipes:
            await app.recipes.enable(Principal(Tenant(tenant), "person", "bo"), recipe, {})
        for name, given, identity in (
            ("github", {"method": "bearer", "secrets": {"token": "canary-1"}}, github),
            ("slack", {"method": "bearer", "secrets": {"token": "canary-2"}}, slack),
            (
                "linear",
                {
                    "method": "header",
                    "secrets": {"key": "canary-3"},
                    "settings": {"organization": linear},
                },
                f"bot-of-{tenant}",
            ),
        ):
            account = await app.accounts.link(Tenant(tenant), app.catalog.connectors[name], **given)  # type: ignore[arg-type]
            await app.database.execute(  # as the product would have told whose credential it is
                "UPDATE accounts SET identity_id = :identity WHERE id = :id",
                {"identity": identity, "id": account.id},
            )
    for name in EVENTS:
        await app.hook_secrets.of_connector(name, Secret(SECRET))
    transport = httpx2.ASGITransport(app=Serving(app).asgi)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8640") as client:
        yield Front(app, client)
    await app.aclose()


async def test_each_delivery_finds_whose_it_is(front: Front) -> None:
    """The owner of the repository, the bot of the workspace, the organization; nobody's is nobody's."""
    owned = {"repository": {"full_name": "acme/shop", "owner": {"id": 8}}}
    bots = {"authorizations": [{"team_id": "T1", "user_id": "U1", "is_bot": True}]}
    assert (await front.deliver("github", owned)).json() == {"accepted": 1}
    assert (await front.deliver("slack", bots)).json() == {"accepted": 1}
    assert (await front.deliver("linear", {"organizationId": "org-2"})).json() == {"accepted": 1}
    assert await front.arrived() == {
        "acme": ["slack.message.mentioned"],
        "globex": ["github.ticket.labeled", "linear.ticket.updated"],
    }
    for name, more in (
        ("github", {"repository": {"full_name": "acme/shop", "owner": {"id": 9}}}),
        ("slack", {"authorizations": []}),
        ("linear", {"organizationId": "org-3"}),
        ("linear", {}),
    ):
        assert (await front.deliver(name, more)).json() == {"accepted": 0}
    assert sum(map(len, (await front.arrived()).values())) == 3


async def test_what_is_told_of_an_account_that_is_to_be_linked_again_is_kept(front: Front) -> None:
    """A product tells it once; one that was never proved hears nothing of what its settings name."""
    for name, state in (("slack", "needs_reauth"), ("linear", "validation_error")):
        await front.app.database.execute(
            "UPDATE accounts SET state = :state WHERE connector = :name", {"state": state, "name": name}
        )
    bots = {"authorizations": [{"team_id": "T1", "user_id": "U1", "is_bot": True}]}
    assert (await front.deliver("slack", bots)).json() == {"accepted": 1}
    assert (await front.deliver("linear", {"organizationId": "org-2"})).json() == {"accepted": 0}
    assert await front.arrived() == {"acme": ["slack.message.mentioned"], "globex": []}


async def test_whose_account_an_app_is_installed_in_is_not_who_writes(front: Front) -> None:
    """A person's own doing starts a run where the app is installed in the person's own account.

    Of an account whose own credential writes, the same is its own doing.
    """
    acted = {"repository": {"full_name": "acme/shop", "owner": {"id": 7}}, "sender": {"id": 7}}
    assert (await front.deliver("github", acted)).json() == {"accepted": 1}
    await front.app.database.execute(
        "UPDATE accounts SET method = 'github_app' WHERE connector = 'github'", {}
    )
    acted["issue"] = {"id": 3, "number": 9, "updated_at": "2026-11-02T09:00:00Z"}
    assert (await front.deliver("github", acted)).json() == {"accepted": 1}
    told = {each.outcome: each.state for each in await front.app.arrivals.list(Tenant("acme"))}
    assert told == {"Our own account did it.": "ignored", None: "pending"}


async def test_slacks_challenge_is_answered_at_the_address_of_the_app(front: Front) -> None:
    """Signed as every delivery, and with another secret told nothing."""
    asked = {"type": "url_verification", "challenge": "3eZbrw1aB", "event": None}
    answer = await front.deliver("slack", asked)
    assert (answer.status_code, answer.text) == (200, "3eZbrw1aB")
    assert (await front.deliver("slack", asked, secret="canary-another-secret")).status_code == 401
