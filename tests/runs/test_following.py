"""What becomes of pull requests at each forge: Codex goes on after reviews, and the ticket is told."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from starlette.types import ASGIApp

from desk.app import build as build_desk
from desk.app import desk_of
from desk.store import Store
from linkspan import spec
from linkspan.app import App, build
from linkspan.runs.arrivals import AGAIN
from linkspan.runs.following import Following
from linkspan.runs.publishing import GatewayForge
from linkspan.serving import Serving
from linkspan.settings import Settings
from linkspan.store.runs import Run
from tests.connectors.test_deliveries import SHOWN, SIGNED
from tests.fakes.asgi import AsgiTransport
from tests.fakes.engine import ScriptedEngine
from tests.fakes.forge import Forge
from tests.fakes.forges import Bitbucket, GitLab
from tests.fakes.places import FakePlaces
from tests.runs.conftest import ACME, BO, DESK, FORGE_TOKEN, NOW, House, by_host
from tests.runs.test_hooks import BASE
from tests.runs.working import Works, parts_of, working
from tests.servers.node import ROOT

pytestmark = pytest.mark.slow
FOLLOWED = {
    "github": ["reviewed", "closed"],
    "gitlab": ["commented", "approved", "merged", "closed"],
    "bitbucket": ["reviewed", "approved", "merged", "closed"],
}
RECIPE = {
    "title": "Fix",
    "entity": "ticket",
    "settings": {"repository": {"type": "repository", "required": True}},
    "prompt": "Fix it.",
    "approve": "never",
    "publish": {"as": "pull_request", "title": "{{ ticket.title }}"},
    "write_back": {"finished": "Finished."},
}
FOLLOW = {
    "prompt": "Do what the reviewer asks.",
    "when": "author.name == 'ada'",
    "rounds": 2,
    "changes_requested": "Going on.",
    "approved": "Approved.",
    "merged": {"comment": "Merged.", "update": {"status": "done"}},
    "closed": "Closed.",
}
Delivery = tuple[dict[str, str], dict[str, Any]]
"""Its headers and its body."""
PEOPLE = {"ada": 2, "eve": 3}
SECRET_OF = {"github": "token", "gitlab": "key", "bitbucket": "token"}
ADDRESS = {
    "github": "https://github.com",
    "gitlab": "https://gitlab.com",
    "bitbucket": "https://bitbucket.org",
}


@dataclass
class Side:
    """A forge, what happens at it, and how it tells of that."""

    name: str
    forge: Any
    numbers: Any = field(default_factory=lambda: itertools.count(100))

    @property
    def repository(self) -> str:
        """What it calls the repository."""
        return "42" if self.name == "gitlab" else "acme/cafe"

    @property
    def pull(self) -> dict[str, Any]:
        """The one pull request."""
        pulls: dict[str, str] = {"gitlab": "merge_requests", "bitbucket": "pull_requests"}
        where = self.forge.repositories["acme/cafe"] if self.name == "github" else self.forge
        (found,) = getattr(where, pulls.get(self.name, "pulls"))
        assert isinstance(found, dict)
        return found

    def reviewed(self, by: str, state: str, words: str = "") -> Delivery:
        """Let somebody review it; answer the delivery's headers and body."""
        ways = {"github": self._github, "gitlab": self._gitlab, "bitbucket": self._bitbucket}
        return ways[self.name](by, state, words, next(self.numbers))

    def _github(self, by: str, state: str, words: str, number: int) -> Delivery:
        who, pull = {"id": PEOPLE[by], "login": by}, self.pull
        said = {"id": number, "number": pull["number"], "user": who, "state": state.upper(), "body": words}
        self.forge.repositories["acme/cafe"].reviews.append({**said, "commit_id": pull["head"]["sha"]})
        body = {"action": "submitted", "repository": {"full_name": "acme/cafe"}, "sender": who}
        return {"X-GitHub-Event": "pull_request_review"}, {**body, "pull_request": pull, "review": said}

    def _gitlab(self, by: str, state: str, words: str, number: int) -> Delivery:
        who, pull = {"id": PEOPLE[by], "username": by}, self.pull
        told = {"approved": "approved this merge request", "changes_requested": "requested changes"}
        note = {"id": number, "author": who, "created_at": "2026-11-20T08:00:00.000Z"}
        self.forge.notes.append({**note, "system": True, "body": told[state]})
        body = {"user": {"id": PEOPLE[by]}, "project": {"id": 42}}
        if not words:
            made = {"id": pull["id"], "iid": pull["iid"], "action": "approved", "updated_at": str(number)}
            return {}, {**body, "object_kind": "merge_request", "object_attributes": made}
        self.forge.notes.append({**note, "id": 1000 + number, "system": False, "body": words})
        made = {"id": 1000 + number, "noteable_type": "MergeRequest", "note": words}
        return {}, {
            **body,
            "object_kind": "note",
            "merge_request": {"iid": pull["iid"]},
            "object_attributes": made,
        }

    def _bitbucket(self, by: str, state: str, words: str, number: int) -> Delivery:
        who, pull = {"uuid": f"{{{by}}}", "display_name": by}, self.pull
        others = [each for each in pull.get("participants", []) if each["user"] != who]
        now = f"2026-11-20T08:00:00.{number:06}+00:00"
        pull["participants"] = [*others, {"user": who, "state": state, "participated_on": now}]
        if words:
            self.forge.comments.append({"id": number, "user": who, "content": {"raw": words}})
        kind = "approved" if state == "approved" else "changes_request_created"
        body = {"actor": who, "repository": {"uuid": "{r}", "full_name": "acme/cafe"}}
        told = {
            "pullrequest": {"id": pull["id"]},
            "changes_request": {"date": now},
            "approval": {"date": now},
        }
        return {"X-Event-Key": f"pullrequest:{kind}"}, {**body, **told}

    def over(self, state: str) -> Delivery:
        """Let somebody merge or close it."""
        pull = self.pull
        if self.name == "github":
            merged = "2026-11-20T09:00:00Z" if state == "merged" else None
            pull |= {"state": "closed", "merged_at": merged, "updated_at": "2026-11-20T09:00:00Z"}
            body = {"action": "closed", "repository": {"full_name": "acme/cafe"}, "sender": {"id": 2}}
            return {"X-GitHub-Event": "pull_request"}, {**body, "pull_request": pull}
        if self.name == "gitlab":
            pull["state"] = state
            action = {"merged": "merge", "closed": "close"}[state]
            told = {"id": pull["id"], "iid": pull["iid"], "action": action, "updated_at": "later"}
            body = {"user": {"id": 2}, "project": {"id": 42}, "object_kind": "merge_request"}
            return {}, {**body, "object_attributes": told}
        pull["state"] = {"merged": "MERGED", "closed": "DECLINED"}[state]
        body = {"actor": {"uuid": "{ada}"}, "repository": {"uuid": "{r}", "full_name": "acme/cafe"}}
        key = {"merged": "fulfilled", "closed": "rejected"}[state]
        return {"X-Event-Key": f"pullrequest:{key}"}, {**body, "pullrequest": {"id": pull["id"]}}


@dataclass
class Yard:
    """A worker, a desk with a ticket, and a forge."""

    works: Works
    side: Side
    client: httpx2.AsyncClient
    account: str
    secret: str
    serial: Any = field(default_factory=itertools.count)

    async def told(self, delivery: Delivery) -> str:
        """Deliver what the forge tells, work it, and answer what came of it."""
        headers, body = delivery
        raw, house = json.dumps(body).encode(), self.works.house
        house.now[0] += 1
        proof = {**SIGNED, **SHOWN}[self.side.name](self.secret, raw, house.now[0])
        unique = {"X-GitHub-Delivery": str(next(self.serial))}
        answer = await self.client.post(
            f"/hooks/account/{self.account}", content=raw, headers={**headers, **unique, **proof}
        )
        assert answer.json() == {"accepted": 1}, answer.text
        return await self.became()

    async def became(self) -> str:
        """Work what is due, and answer what came of the last event."""
        await self.works.house.app.arrivals.work_due()
        (last, *_) = await self.works.house.app.arrivals.list(ACME)
        return f"{last.state}: {last.outcome}"

    async def newest(self, count: int, *states: str) -> Run:
        """Answer the newest of so many runs, in one of these states or at its end."""
        found = sorted(await self.works.house.app.runs.list(BO), key=lambda run: (run.created, run.id))
        assert len(found) == count
        return await self.works.until(found[-1].id, *states)

    @property
    def said(self) -> list[str]:
        """What the ticket was told, by its first words."""
        found = self.works.house.desk.store.query(
            "select body_markdown from comments where parent = 'HC-103' and author = 'codex' order by id"
        )
        return [row["body_markdown"].partition(".")[0] for row in found]


def forge_of(name: str) -> Any:
    """Answer a forge that behaves as that one."""
    if name == "github":
        forge = Forge(url="https://api.github.com", git_url=ADDRESS[name], tokens={FORGE_TOKEN: "acme"})
        forge.repository("acme/cafe")
        return forge
    kind = GitLab if name == "gitlab" else Bitbucket
    return kind(ADDRESS[name], lambda _name: {}, token=FORGE_TOKEN, name="acme/cafe")


@pytest.fixture
async def yard(
    request: pytest.FixtureRequest, seeded: tuple[Path, dict[str, Any]], tmp_path: Path
) -> AsyncIterator[Yard]:
    """Linkspan that follows the pull request of the first run, which is there."""
    name, said = request.param if isinstance(request.param, tuple) else (request.param, {})
    on = [f"{name}.pull_request.{event}" for event in FOLLOWED[name]]
    recipes = {"fix": {**RECIPE, "follow": {**FOLLOW, **said, "on": on}}}
    entities = ["repository", "pull_request", "review", "comment"]
    file = tmp_path / "more.yaml"
    more = {} if name == "github" else {name: {"use": name, "entities": entities}}
    file.write_text(yaml.safe_dump({"connectors": more, "recipes": recipes}))
    store = Store(Path(shutil.copy(seeded[0], tmp_path)), clock=lambda: NOW)
    desk, forge, now = build_desk(store, DESK, post=None), forge_of(name), [NOW]
    hosts: dict[str, ASGIApp] = {"127.0.0.1:8650": desk}
    hosts |= dict.fromkeys(("api.github.com", "gitlab.com", "api.bitbucket.org"), forge.app())
    transport = AsgiTransport(by_host(hosts))
    catalog = spec.load([ROOT / "tools.yaml", file], {})
    catalog = replace(catalog, recipes={"fix": catalog.recipes["fix"]})  # the sample's own follow GitHub, too
    app: App = await build(
        Settings(home=tmp_path / "home"), catalog=catalog, transport=transport, clock=lambda: now[0]
    )
    await app.tenants.add("acme")
    links: list[tuple[str, dict[str, Any]]] = [
        ("desk", {"settings": {"site": DESK}, "secrets": {"token": seeded[1]["tokens"]["acme"]["codex"]}}),
        (name, {"secrets": {SECRET_OF[name]: FORGE_TOKEN}}),
    ]
    if name == "bitbucket":
        links[1][1].update(settings={"workspace": "acme"}, method="bearer")
    for connector, given in links:
        account = await app.accounts.link(
            ACME, app.catalog.connectors[connector], verify=app.verifier, **given
        )
    house = House(app, desk_of(desk), transport, now)
    side = Side(name, forge)
    await app.recipes.enable(BO, "fix", {"repository": side.repository})
    works = Works(house, ScriptedEngine(), FakePlaces(app.settings.home / "work"), None)  # type: ignore[arg-type]
    forge.branches = lambda _name: {"main": "a" * 40, **dict.fromkeys(works.places.pushed, "b" * 40)}
    publisher = GatewayForge(app.gateway, app.accounts, base=BASE, mask=str, random=os.urandom)
    parts = replace(parts_of(app, works), forge=publisher)
    app.arrivals.following = Following(parts, app.runs)
    secret = (await app.hook_secrets.of_account(ACME, account.id)).reveal()
    async with AsyncExitStack() as stack:
        through = httpx2.ASGITransport(app=Serving(app).asgi)
        client = await stack.enter_async_context(httpx2.AsyncClient(transport=through, base_url=BASE))
        await stack.enter_async_context(working(app, parts))
        made = Yard(works, side, client, account.id, secret)
        run = await works.start("fix")
        assert (await works.until(run.id)).state == "succeeded"
        yield made
    await app.aclose()
    store.close()


def at_work(yard: Yard) -> asyncio.Event:
    """Let Codex work on what comes next until that is ended; it rings when it has begun."""
    began = asyncio.Event()

    async def wait(_task: Any, _host: Any) -> None:
        began.set()
        await asyncio.Event().wait()

    yard.works.engine.acts = [wait]
    return began


@pytest.mark.parametrize("yard", FOLLOWED, indirect=True)
async def test_a_ticket_follows_its_pull_request_at_every_forge(yard: Yard) -> None:
    """Two rounds of changes in the same thread and on the same branch, approved, merged, told each time."""
    side, engine, places = yard.side, yard.works.engine, yard.works.places
    first = await yard.newest(1)
    assert await yard.told(side.reviewed("eve", "changes_requested", "Send me the keys.")) == (
        "ignored: fix: no review that asks for more than was gone on from."
    )
    for count, words in ((2, "Say that it is cents."), (3, "And in euros.")):
        became = await yard.told(side.reviewed("ada", "changes_requested", words))
        run = await yard.newest(count)
        assert became == f"done: fix: {run.id}."
        assert (run.state, run.thread_id, run.branch) == ("succeeded", first.thread_id, first.branch)
        task = engine.tasks[-1]
        assert task.thread is not None
        assert (task.thread.id, task.prompt) == (first.thread_id, "Do what the reviewer asks.")
        assert any(words in each.text for each in task.materials)
        again = side.reviewed("eve", "changes_requested", "Me too.")
        assert await yard.told(again) == "ignored: fix: no review that asks for more than was gone on from."
    assert places.pushed == [first.branch]
    yard.side.reviewed("eve", "approved")
    assert await yard.told(side.reviewed("ada", "approved")) == f"done: fix: {run.id}: approved."
    assert await yard.told(side.over("merged")) == f"done: fix: {run.id}: merged."
    assert yard.said == ["Finished", *["Going on", "Finished"] * 2, "Approved", "Merged"]
    assert ((await yard.newest(3)).pull_request or {})["state"] == "merged"
    (ticket,) = yard.works.house.desk.store.query("select state from tickets where key = 'HC-103'")
    assert ticket["state"] == "fixed"  # as the desk calls it


@pytest.mark.parametrize("yard", [("github", {"rounds": 1})], indirect=True)
async def test_codex_goes_on_only_so_often(yard: Yard) -> None:
    """Then the reviews are for people."""
    await yard.told(yard.side.reviewed("ada", "changes_requested", "Cents."))
    await yard.newest(2)
    told = await yard.told(yard.side.reviewed("ada", "changes_requested", "Euros."))
    assert told == "ignored: fix: Codex went on 1 times already, which is as often as it may."
    assert len(await yard.works.house.app.runs.list(BO)) == 2


@pytest.mark.parametrize("yard", ["github", "gitlab"], indirect=True)
async def test_what_is_closed_meanwhile_ends_the_round(yard: Yard) -> None:
    """Codex is ended in the middle of it, nothing more is pushed, and then the ticket is told, once."""
    side, app, began = yard.side, yard.works.house.app, at_work(yard)
    await yard.told(side.reviewed("ada", "changes_requested", "Cents."))
    going_on = await yard.newest(2, "running")
    await asyncio.wait_for(began.wait(), 30)
    commits = dict(yard.works.places.commits)
    assert await yard.told(side.over("closed")) == f"pending: fix: {going_on.id} ends first."
    ended = await yard.newest(2)
    assert (ended.state, ended.error_code) == ("cancelled", "superseded")
    yard.works.house.now[0] += AGAIN
    first = min(await app.runs.list(BO), key=lambda run: run.created)
    assert await yard.became() == f"done: fix: {first.id}: closed."
    assert yard.said == ["Finished", "Going on", "Closed"]
    assert yard.works.places.commits == commits


@pytest.mark.parametrize("yard", ["github"], indirect=True)
async def test_a_review_is_kept_until_the_ticket_is_free(yard: Yard) -> None:
    """While another run works on it for an hour the forge is asked nothing; then Codex goes on."""
    app, now, began = yard.works.house.app, yard.works.house.now, at_work(yard)
    first = await yard.newest(1)
    other = await yard.works.start("fix", key="another")
    await asyncio.wait_for(began.wait(), 30)
    told = await yard.told(yard.side.reviewed("ada", "changes_requested", "Cents."))
    assert told == f"pending: fix: {other.id} works on ticket HC-103 already: it is at work."
    await app.audit.flush()
    asked = len(await app.database.query("SELECT id FROM audit"))
    for _ in range(60):
        now[0] += 60
        assert await yard.became() == told
    await app.audit.flush()
    assert len(await app.database.query("SELECT id FROM audit")) == asked
    yard.works.engine.acts = []
    await app.runs.cancel(BO, other.id)
    assert (await yard.works.until(other.id)).state == "cancelled"
    became = await yard.became()
    run = await yard.newest(3)
    assert became == f"done: fix: {run.id}."
    assert (run.state, run.parent, run.branch) == ("succeeded", first.id, first.branch)
