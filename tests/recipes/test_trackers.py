"""docs/recipes/trackers.md as it stands: tickets of Linear and of Jira, from a delivery to the merge."""

from __future__ import annotations

import functools
import hmac
import json
import os
import re
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from linkspan import spec
from linkspan.app import App, build
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Item, Page
from linkspan.runs.following import Following
from linkspan.runs.publishing import GatewayForge
from linkspan.settings import Settings, parse_egress
from tests.codex.conftest import served
from tests.fakes.engine import ScriptedEngine
from tests.fakes.forge import Forge
from tests.fakes.jira import ME, Jira, document, words_of
from tests.fakes.linear import Linear
from tests.fakes.places import FakePlaces
from tests.recipes.pages import part_of, tools_of
from tests.recipes.town import newest_approved, town
from tests.runs.conftest import ACME, BO, FORGE_TOKEN
from tests.runs.working import parts_of, working
from tests.servers.emulate import TOKEN, known_words, linear
from tests.servers.scripted_model import function_call, message, shell
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
BASE = "https://linkspan.example"
STATES = ["Todo/unstarted", "In Progress/started", "In Review/started", "Done/completed"]
SAID = ["Codex has started on this", "A change waits for somebody's word", "The till adds up again"]
REVIEWER = {"id": 2, "login": "ada"}


@dataclass
class Office:
    """Linkspan with a worker whose engine is scripted, and a forge behind it."""

    app: App
    url: str
    forge: Forge
    engine: ScriptedEngine
    places: FakePlaces
    accounts: dict[str, str] = field(default_factory=dict)

    async def told(self, connector: str, body: Any, headers: Mapping[str, str], signed: str) -> None:
        """Deliver what a product tells, and let it be worked."""
        raw, account = json.dumps(body).encode(), self.accounts[connector]
        secret = await self.app.hook_secrets.of_account(ACME, account)
        name, _, prefix = signed.partition(": ")
        proof = {name: prefix + hmac.digest(secret.reveal().encode(), raw, "sha256").hex()}
        async with httpx2.AsyncClient() as http:
            answer = await http.post(
                f"{self.url}/hooks/account/{account}", content=raw, headers={**headers, **proof}
            )
        assert answer.status_code == 200, answer.text
        await self.app.arrivals.work_due()

    async def from_github(self, event: str, action: str, **more: Any) -> None:
        """Deliver what GitHub tells of the pull request."""
        (pull,) = self.forge.repositories["acme/shop"].pulls
        body = {"action": action, "repository": {"full_name": "acme/shop"}, "pull_request": pull, **more}
        headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": uuid.uuid4().hex}
        await self.told("github", body, headers, "X-Hub-Signature-256: sha256=")

    async def reviewed_and_merged(self) -> None:
        """Let somebody ask for changes, Codex make them, and the pull request be merged."""
        repository = self.forge.repositories["acme/shop"]
        (pull,) = repository.pulls
        review = {"id": 7, "number": pull["number"], "user": REVIEWER, "state": "CHANGES_REQUESTED"}
        repository.reviews.append({**review, "body": "Add a test.", "commit_id": pull["head"]["sha"]})
        await self.from_github("pull_request_review", "submitted", review=review, sender=REVIEWER)
        again = await newest_approved(self.app, 2)
        assert any("Add a test." in each.text for each in self.engine.tasks[-1].materials)
        assert self.engine.tasks[-1].prompt.startswith("A reviewer asks for changes.")
        assert (again.goes_on, self.places.pushed) == (True, [again.branch])
        pull |= {"state": "closed", "merged_at": "2026-11-20T09:00:00Z"}
        await self.from_github("pull_request", "closed", sender=REVIEWER)


@asynccontextmanager
async def office(
    folder: Path, connectors: Mapping[str, Any], links: Mapping[str, Any], **more: Any
) -> AsyncIterator[Office]:
    """Start it with the page's file, and the products where they are in this test."""
    forge, places = Forge(tokens={FORGE_TOKEN: "acme"}), FakePlaces(folder / "home" / "work")
    forge.repository("acme/shop")
    with serving(forge.app()) as forge_url:
        forge.branches = lambda _name: {"main": "a" * 40, **dict.fromkeys(places.pushed, "b" * 40)}
        where = {"github": {"base_url": forge_url, "git": {"base_url": forge.git_url}}, **connectors}
        (folder / "places.yaml").write_text(yaml.safe_dump({"connectors": where, **more}))
        settings = Settings(home=folder / "home", egress=parse_egress("127.0.0.0/8"))
        catalog = spec.load([tools_of("trackers", folder), folder / "places.yaml"], {})
        app = await build(settings, catalog=catalog)
        await app.tenants.add("acme")
        async with served(app) as url:
            made = Office(app, url, forge, ScriptedEngine(), places)
            for name, given in {"github": {"secrets": {"token": FORGE_TOKEN}}, **links}.items():
                account = await app.accounts.link(
                    ACME, app.catalog.connectors[name], verify=app.verifier, **given
                )
                made.accounts[name] = account.id
            parts = parts_of(app, made)
            real = GatewayForge(app.gateway, app.accounts, base=BASE, mask=str, random=os.urandom)
            parts = replace(parts, forge=real)
            app.arrivals.following = Following(parts, app.runs)
            async with working(app, parts):
                yield made
        await app.aclose()


def team() -> dict[str, Any]:
    """Answer what is at Linear: a team whose ticket is given to Codex."""
    states = [dict(zip(("name", "type"), each.split("/"), strict=True)) for each in STATES]
    return {
        "users": [{"email": "codex@acme.example", "name": "codex", "admin": True}],
        "teams": [{"key": "ENG", "name": "Engineering", "states": states}],
        "issues": [
            {
                "team": "ENG",
                "title": "Wrong total",
                "description": "Twice.",
                "state": "Todo",
                "assignee": "codex@acme.example",
            }
        ],
    }


async def ask(app: App, account: str, key: str, **arguments: Any) -> Any:
    """Call `ENTITY.OPERATION` of an account, beside of what is tested."""
    tool = app.catalog.tool_for(key)
    assert tool is not None
    found = await app.gateway.call(BO, tool, {**arguments, "account": account}, info=CallInfo("test"))
    assert isinstance(found, Item | Page)
    return found.result


async def test_a_ticket_of_linear_goes_its_whole_way(tmp_path: Path) -> None:
    """Given to Codex, in progress, in review, sent back, done: in Linear, with comments at each."""
    with linear(tmp_path / "linear", **team()) as tracker:
        links = {"linear": {"method": "header", "secrets": {"key": TOKEN}}}
        async with office(tmp_path, {"linear": {"base_url": tracker}}, links, entities=known_words()) as made:
            asked = functools.partial(ask, made.app, made.accounts["linear"])
            (ticket,) = (each for each in await asked("ticket.list") if each["title"] == "Wrong total")
            of_team = {each["name"]: each["id"] for each in await asked("team.states", id=ticket["team"])}
            settings = {"working": "In Progress", "reviewing": "In Review", "done": "Done"}
            chosen = {name: of_team[state] for name, state in settings.items()}
            await made.app.recipes.enable(BO, "fix_linear", {"repository": "acme/shop", **chosen})
            note = (await asked("ticket.comment", id=ticket["id"], body="@codex: it must be 2"))["id"]
            told: dict[str, Any] = {"type": "Comment", "action": "create", "actor": {"id": "ada"}}
            told |= {
                "webhookTimestamp": int(time.time() * 1000),
                "data": {"id": note, "issueId": ticket["id"]},
            }
            await made.told("linear", told, {"Linear-Delivery": "zero"}, "Linear-Signature: ")
            (called,) = await made.app.arrivals.list(ACME)
            assert called.outcome == "fix_linear: we wrote that comment ourselves."
            event = {
                "type": "Issue",
                "action": "update",
                "actor": {"id": "ada"},
                "webhookTimestamp": int(time.time() * 1000),
                "data": {"id": ticket["id"], "updatedAt": "2026-11-20T08:00:00Z"},
            }
            for delivery in ("one", "two"):
                await made.told("linear", event, {"Linear-Delivery": delivery}, "Linear-Signature: ")
            await newest_approved(made.app, 1)
            assert "Twice." in made.engine.tasks[0].materials[0].text
            assert "it must be 2" in made.engine.tasks[0].materials[1].text
            (pull,) = made.forge.repositories["acme/shop"].pulls
            assert pull["title"] == f"{ticket['key']}: Wrong total"
            assert (await asked("ticket.get", id=ticket["id"]))["status"] == "in_progress"
            await made.reviewed_and_merged()
            assert (await asked("ticket.get", id=ticket["id"]))["status"] == "done"
            said = [
                re.split("[:.]", each["body"])[0] for each in await asked("ticket.comments", id=ticket["id"])
            ]
            assert said[0] == "@codex"
            assert said[1:] == [*SAID, "A reviewer asks for changes, and Codex goes on", *SAID[1:], "Merged"]


async def test_a_ticket_of_jira_goes_its_whole_way(tmp_path: Path) -> None:
    """Labelled, moved by transitions that are looked up, told in documents, done."""
    jira = Jira()
    issue = jira.issue("SHOP-1", "Wrong total", "Twice.", ["codex"])
    jira.issues["SHOP-1"]["customfield_10042"] = document({"type": "text", "text": "Two soups cost four."})
    own = yaml.safe_load(part_of("connectors/jira.md", "entities:"))
    with serving(jira.app()) as tracker:
        links = {
            "jira": {
                "method": "basic",
                "settings": {"cloud": str(uuid.UUID(int=7))},
                "secrets": {"username": "bot@acme.example", "password": "canary-jira"},
            }
        }
        async with office(tmp_path, {"jira": {"base_url": tracker}}, links, **own) as made:
            await made.app.recipes.enable(BO, "fix_jira", {"repository": "acme/shop", "askers": "ada"})
            jira.said("SHOP-1", "90", "Ada", "It must be 2.")
            jira.issue("SHOP-9", "Prices are in cents", "Never round them.", [])
            jira.links.append(frozenset({"SHOP-1", "SHOP-9"}))
            event = {"webhookEvent": "jira:issue_updated", "timestamp": 1, "issue": issue}
            headers = {"X-Atlassian-Webhook-Identifier": "one"}
            ours = {**event, "user": {"accountId": ME["accountId"]}}
            await made.told("jira", ours, headers, "X-Hub-Signature: sha256=")
            assert not await made.app.runs.list(BO)
            theirs = {**event, "timestamp": 2, "user": {"accountId": "ada"}}
            await made.told("jira", theirs, headers, "X-Hub-Signature: sha256=")
            await newest_approved(made.app, 1)
            assert "Twice." in made.engine.tasks[0].materials[0].text
            assert "Two soups cost four." in made.engine.tasks[0].materials[0].text
            assert "It must be 2." in made.engine.tasks[0].materials[1].text
            assert made.engine.tasks[0].materials[2].name == "linked of ticket SHOP-1"
            assert "Never round them." in made.engine.tasks[0].materials[2].text
            assert jira.moves == ["In Progress", "In Review"]
            await made.reviewed_and_merged()
            assert jira.moves == ["In Progress", "In Review", "In Progress", "In Review", "Done"]
            said = [re.split("[:.]", words_of(each["body"]))[0] for each in jira.comments["SHOP-1"][1:]]
            assert said == [*SAID, "A reviewer asks for changes, and Codex goes on", *SAID[1:], "Merged"]

            # Called in comments of a ticket without a label: by somebody, and by whom the tenant named.
            jira.issue("SHOP-2", "No receipt", "None is printed.", [])
            for number, who in (("91", "Eve"), ("92", "Ada")):
                told = jira.said("SHOP-2", number, who, "@Codex", f" please: {who}'s printer.")
                await made.told("jira", told, headers, "X-Hub-Signature: sha256=")
            last = await newest_approved(made.app, 3)
            assert last.entity_id == "SHOP-2"
            assert "@Codex please: Ada's printer." in made.engine.tasks[-1].materials[-1].text
            outcomes = [each.outcome for each in await made.app.arrivals.list(ACME, state="ignored")]
            assert "fix_jira: Eve called, whose word does not count (`by`)." in outcomes


async def test_a_comment_calls_codex_at_linear(tmp_path: Path) -> None:
    """Of whom the tenant named, on a ticket that is nobody's: Codex is given its words, and answers it."""
    there = Linear()
    issue = there.issue("ENG-7", "No receipt", "None is printed.")
    with serving(there.app()) as tracker:
        links = {"linear": {"method": "header", "secrets": {"key": TOKEN}}}
        async with office(tmp_path, {"linear": {"base_url": tracker}}, links) as made:
            states = {name: name for name in ("working", "reviewing", "done")}
            settings = {"repository": "acme/shop", "askers": "user-ada", **states}
            await made.app.recipes.enable(BO, "fix_linear", settings)
            for who in ("Eve", "Ada"):
                told = there.said(issue, who, f"@codex please: {who}'s printer.")
                told["webhookTimestamp"] = int(time.time() * 1000)
                await made.told("linear", told, {"Linear-Delivery": who}, "Linear-Signature: ")
            run = await newest_approved(made.app, 1)
            (ignored,) = await made.app.arrivals.list(ACME, state="ignored")
            assert ignored.outcome == "fix_linear: Eve called, whose word does not count (`by`)."
            assert (run.entity_id, run.source) == (issue["id"], "webhook:linear")
            asked = made.engine.tasks[0].materials[-1]
            assert asked.name == f"comment that asks for this, at ticket {issue['id']}"
            assert "@codex please: Ada's printer." in asked.text
            assert there.moves == ["working", "reviewing"]
            said = [re.split("[:.]", each["body"])[0] for each in issue["said"][2:]]
            assert said == SAID


async def test_codex_mends_what_a_ticket_of_linear_says(tmp_path: Path) -> None:
    """The real Codex, in a copy of a repository: a draft that names the ticket, which is in review then."""
    files = {"cart.py": "total = 2 * 2\n", "AGENTS.md": "Be brief.\n"}
    links: list[Any] = [("linear", {}, {"key": TOKEN})]
    with linear(tmp_path / "linear", **team()) as tracker:
        where = {"linear": {"base_url": tracker}}
        async with town(
            tmp_path, "trackers", files, connectors=where, links=links, entities=known_words()
        ) as place:
            asked = functools.partial(ask, place.app, place.accounts["linear"])
            (ticket,) = (each for each in await asked("ticket.list") if each["title"] == "Wrong total")
            of_team = {each["name"]: each["id"] for each in await asked("team.states", id=ticket["team"])}
            names = {"working": "In Progress", "reviewing": "In Review", "done": "Done"}
            chosen = {name: of_team[state] for name, state in names.items()}
            await place.app.recipes.enable(BO, "fix_linear", {"repository": "acme/shop", **chosen})
            place.model.prepare(
                [
                    [
                        function_call(
                            "list_comments_of_ticket", {"id": ticket["id"]}, namespace="mcp__linkspan"
                        )
                    ],
                    [shell("", "echo 'total = 2' > cart.py")],
                    [message("The total is counted once.")],
                ]
            )
            event = {
                "type": "Issue",
                "action": "update",
                "actor": {"id": "ada"},
                "webhookTimestamp": int(time.time() * 1000),
                "data": {"id": ticket["id"], "updatedAt": "2026-11-20T08:00:00Z"},
            }
            await place.deliver("linear", event, {"Linear-Delivery": "one"}, signed="Linear-Signature: ")
            (run,) = await place.runs(1)
            done = await place.approve(run.id)
            assert (done.state, done.error_message) == ("succeeded", None)
            assert "Twice." in place.model.turns[0].text
            assert place.git.show("acme/shop", f"codex/{run.id}:cart.py") == "total = 2"
            (pull,) = place.forge.repositories["acme/shop"].pulls
            assert (pull["title"], pull["draft"]) == (f"{ticket['key']}: Wrong total", True)
            there = await asked("ticket.get", id=ticket["id"])
            assert there["status_raw"] == "In Review"
            said = [each["body"] for each in await asked("ticket.comments", id=ticket["id"])]
            assert said[-1].startswith(f"The total is counted once.\n\n{pull['html_url']}")
