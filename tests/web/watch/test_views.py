"""View tokens: what a product's page may see and do with one, and all that it may not."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from linkspan.accounts.principal import Principal, Tenant
from linkspan.runs.ids import approval_id
from linkspan.runs.lease import Lease
from linkspan.runs.views import View as Opened
from linkspan.serving import Serving
from linkspan.store import runs as rows
from linkspan.store.approvals import Approval
from linkspan.store.runs import Run
from linkspan.web.asgi import Front
from linkspan.web.watch.doing import VERBS
from tests.runs.conftest import ACME, OPERATOR, House, house, seeded

__all__ = ["house", "seeded"]
BASE = "http://127.0.0.1:8640"
SHOP_PAGE = "https://shop.example"
ALL = ("run.start", "run.steer", "run.cancel", "run.approve")
PARTS = ("body", "beside", "changes", "checks", "earlier", "stream")
DOORS = {
    "/{run}/{part}": [("GET", part) for part in PARTS],
    "/{run}/files/{name}": [("GET", f"files/{name}") for name in ("diff", "patch", "transcript")],
    "/{run}/{verb}": [("POST", verb) for verb in VERBS],
}
"""Every door that a view token opens to a run that the address names."""
OTHERS = {
    "": "answers the token's own run",
    "/progress": "answers the token's own run",
    "/{run}": "is an empty frame, whoever asks",
}


@dataclass
class Shop:
    """The backend of acme's product, its pages, and a run on one of its tickets."""

    house: House
    http: httpx2.AsyncClient
    token: str
    token_id: str
    run: str

    async def mint(self, *, key: str | None = None, **more: Any) -> httpx2.Response:
        """Ask for a view token."""
        body = {"allowed_origins": [SHOP_PAGE], **more}
        headers = {"Authorization": f"Bearer {key or self.token}"}
        return await self.http.post("/view-token", json=body, headers=headers)

    async def view(self, **more: Any) -> View:
        """Answer one that is made."""
        answer = await self.mint(**more)
        assert answer.status_code == 201, answer.text
        made = answer.json()["result"]
        return View(self, made["id"], made["view_token"])


@dataclass
class View:
    """A page that was given a view token."""

    shop: Shop
    id: str
    token: str

    @property
    def path(self) -> str:
        """Where it is used."""
        return f"/t/acme/views/{self.id}"

    async def __call__(
        self, method: str, below: str = "", *, origin: str | None = SHOP_PAGE, **more: Any
    ) -> httpx2.Response:
        """Ask with it."""
        headers = {"Authorization": f"Bearer {self.token}", "Linkspan-Page": "1", **more.pop("headers", {})}
        if origin is not None:
            headers["Origin"] = origin
        return await self.shop.http.request(method, f"{self.path}{below}", headers=headers, **more)

    async def do(self, verb: str, **form: str) -> int:
        """Press something in the frame, on the run."""
        answer = await self("POST", f"/{self.shop.run}/{verb}", origin=BASE, data={"seal": "", **form})
        return answer.status_code


@pytest.fixture
async def shop(house: House) -> AsyncIterator[Shop]:
    """A backend whose token may do everything with runs, and a run on HC-103."""
    await house.enable("mend")
    made = await house.app.tokens.create(ACME, subject="shop", scopes=("read", *ALL))
    run = await house.app.runs.start(OPERATOR, "mend", source="button", entity_id="HC-103", person="bo")
    transport = httpx2.ASGITransport(Serving(house.app, clock=lambda: house.now[0]).asgi)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as http:
        yield Shop(house, http, made.text.reveal(), made.token.id, run.id)


async def at_work(shop: Shop, *, asks: bool = False, about: Mapping[str, Any] | None = None) -> None:
    """Let a worker have the run, and ask a person."""
    app, now = shop.house.app, shop.house.now[0]
    taken = await rows.take(app.database, "acme", shop.run, worker="w1", now=now)
    assert taken is not None
    lease = Lease(app.database, taken, clock=lambda: now, mask=str, bell=app.runs.bell.of(shop.run))
    await lease.enter("running")
    if asks:
        question = Approval(
            "acme", approval_id(shop.run, "1"), shop.run, "command", "May I?", about or {}, now, now + 60
        )
        await lease.ask(question)


async def test_a_question_names_what_it_is_about(shop: Shop) -> None:
    """Files outside of the checkout, and what is asked for beside the sandbox, as text and not markup."""
    view = await shop.view(run_id=shop.run, may=["run.approve"], person="bo")
    paths = [{"path": "/srv/<b>a.txt"}, {"path": "/srv/\u202etxt.sh"}]
    about = {"changes": paths, "command": "rm \u2066a", "permissions": {"fileSystem": {"write": ["/srv/c"]}}}
    await at_work(shop, asks=True, about=about)
    body = (await view("GET", f"/{shop.run}/body", origin=None)).text
    assert "<li><code>/srv/&lt;b&gt;a.txt</code></li>" in body
    assert "/srv/c" in body
    # What reads otherwise than it is taken is shown by its number.
    assert "<li><code>/srv/&lt;U+202E&gt;txt.sh</code></li>" in body
    assert "<code>rm &lt;U+2066&gt;a</code>" in body


@pytest.mark.parametrize("may", ALL)
async def test_a_token_does_the_verb_it_was_made_for_and_no_other(shop: Shop, may: str) -> None:
    """Looking is in all of them; each verb is tried with each token."""
    verbs = {
        "run.steer": ("steer", {"text": "Leave the menu"}),
        "run.approve": ("decide", {"decision": "approve"}),
        "run.cancel": ("cancel", {}),
    }
    view = await shop.view(recipe="mend", entity_id="HC-103", may=[may], person="bo")
    await at_work(shop, asks=True)
    for part in PARTS[:-1]:
        assert (await view("GET", f"/{shop.run}/{part}", origin=None)).status_code == 200
    done = {right: await view.do(verb, **form) for right, (verb, form) in verbs.items()}
    started = await view("POST")
    assert done == {right: 204 if right == may else 403 for right in verbs}
    assert await view.do("interrupt") == (204 if may == "run.steer" else 403)
    assert await view.do("retry") == (409 if may == "run.start" else 403)
    assert started.status_code == (409 if may == "run.start" else 403)
    assert await view.do("fork") == 404


async def test_a_token_that_may_nothing_looks_and_that_is_all(shop: Shop) -> None:
    """It opens no other door of ours either."""
    view = await shop.view(run_id=shop.run)
    await at_work(shop, asks=True)
    shown = (await view("GET")).json()
    assert (shown["run"]["id"], shown["run"]["state"], shown["may"]) == (shop.run, "running", [])
    for verb in ("steer", "decide", "cancel", "interrupt", "retry"):
        assert await view.do(verb, decision="approve", text="x") == 403, verb
    body = (await view("GET", f"/{shop.run}/body", origin=None)).text
    assert "HC-103" in body
    assert "<form" not in body
    key = {"Authorization": f"Bearer {view.token}"}
    for path in ("/runs", f"/runs/{shop.run}", "/token?tenant_id=acme", "/unified/ticket", "/log", "/usage"):
        assert (await shop.http.get(path, headers=key)).status_code == 401, path
    mcp = await shop.http.post("/t/acme/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"}, headers=key)
    assert mcp.status_code == 401
    assert (await shop.mint(key=view.token, run_id=shop.run)).status_code == 401


async def test_a_token_opens_its_run_or_those_on_its_thing_and_no_other(shop: Shop) -> None:
    """Of another thing, another recipe, another tenant: there is no such run."""
    other = await shop.house.app.runs.start(OPERATOR, "mend", source="button", entity_id="HC-104")
    narrow = await shop.view(run_id=shop.run, may=["run.cancel"])
    wide = await shop.view(recipe="mend", entity_id="HC-103", may=["run.cancel"])
    for view in (narrow, wide):
        for part in (*PARTS, "files/diff"):
            answer = await view("GET", f"/{other.id}/{part}", origin=None)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
        cancelled = await view("POST", f"/{other.id}/cancel", origin=BASE, data={"seal": ""})
        assert cancelled.status_code == 404
        elsewhere = await shop.http.get(
            view.path.replace("acme", "globex"), headers={"Authorization": f"Bearer {view.token}"}
        )
        assert elsewhere.status_code == 401
    assert (await narrow("POST")).status_code == 403
    # Shown at another token's address it is none.
    assert (await replace(narrow, id=wide.id)("GET")).status_code == 401
    assert (await shop.house.app.runs.find(ACME, other.id)).stop is None


async def turn(shop: Shop, person: str, *, backend: str = "shop") -> Run:
    """Let somebody say something to Codex about HC-103, in a thread of their own."""
    app = shop.house.app
    principal = Principal(ACME, "service", backend, scopes=("read", *ALL))
    made = await app.views.create(
        principal, origins=[SHOP_PAGE], recipe="talk", entity_id="HC-103", person=person, verbs=ALL
    )
    view: Opened = await app.views.enter(ACME, made.text.reveal(), token=made.token.id, origin=None)
    return await app.threads.say(view, await app.threads.start(view), f"Hello from {person}")


async def test_no_door_opens_anothers_talk_or_the_same_id_elsewhere(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every door of view tokens says of them what it says of a run that is not there, and does nothing."""
    monkeypatch.setattr("linkspan.runs.views._AT_ONCE", 2)
    app = shop.house.app
    await shop.house.enable("talk")
    own = await turn(shop, "anna")
    shop.house.now[0] += 1
    foreign = [await turn(shop, "bo"), await turn(shop, "anna", backend="bazaar"), await turn(shop, "bo")]
    here, there = [
        await app.runs.start(OPERATOR, "mend", source="button", entity_id="HC-105", account=account)
        for account in ("acc_one", "acc_two")
    ]
    everything = {"may": ALL, "person": "anna"}
    talk = await shop.view(recipe="talk", entity_id="HC-103", **everything)
    nobodys = await shop.view(recipe="talk", entity_id="HC-103")
    mend = await shop.view(recipe="mend", entity_id="HC-105", integrated_account_id="acc_one", **everything)
    nowhere = await shop.view(
        recipe="mend", entity_id="HC-105", integrated_account_id="acc_three", **everything
    )
    cases: list[tuple[View, Run | None, Run]] = [(talk, own, run) for run in foreign]
    cases += [(mend, here, there), (nobodys, None, own), (nowhere, None, here)]
    for view, mine, other in cases:
        for method, below in [each for door in DOORS.values() for each in door]:
            told = []
            for name in (other.id, f"run_{'a' * 26}"):
                form = {"data": {"decision": "approve", "text": "x"}} if method == "POST" else {}
                answer = await view(method, f"/{name}/{below}", origin=BASE, **form)
                error = answer.json()["error"]
                told.append((answer.status_code, error["code"], error["message"].replace(name, "RUN")))
            assert told[0] == told[1], below
            assert told[0][:2] == (404, "not_found"), below
        shown = (await view("GET")).json()["run"]
        assert (shown and shown["id"]) == (mine and mine.id)
        if mine is None:
            assert (await view("GET", "/progress")).status_code == 404
        else:
            assert (await view("GET", f"/{mine.id}/body", origin=None)).status_code == 200
    # Nor is another's talk told by being in the way of a run, nor opened by a token for itself.
    await app.runs.cancel(OPERATOR, own.id)
    started = await talk("POST")
    assert (started.status_code, "run_" in started.text) == (409, False)
    assert (await shop.mint(run_id=foreign[0].id, person="anna")).status_code == 404
    assert (await shop.mint(run_id=foreign[0].id)).status_code == 404
    narrow = await shop.view(run_id=foreign[0].id, person="bo")
    assert (await narrow("GET", f"/{foreign[0].id}/body", origin=None)).status_code == 200
    # A token, or a run, of which nobody knows where its thing is, is for it wherever it is.
    somewhere = await shop.view(recipe="mend", entity_id="HC-105")
    for run in (here, there):
        assert (await somewhere("GET", f"/{run.id}/body", origin=None)).status_code == 200
    for run in (*foreign, here, there):
        kept = await app.runs.find(ACME, run.id)
        assert (kept.stop, kept.events) == (None, run.events)


async def test_every_door_of_view_tokens_is_in_the_table(house: House) -> None:
    """A new one that names a run has to be held against others' runs, too."""
    asgi = Serving(house.app).asgi
    assert isinstance(asgi, Front)
    assert isinstance(asgi.rest, Starlette)
    paths = [route.path for route in asgi.rest.routes if isinstance(route, Route)]
    below = "/t/{tenant}/views/{view}"
    assert {path.removeprefix(below) for path in paths if path.startswith(below)} == {*DOORS, *OTHERS}


async def test_pages_of_other_origins_get_nothing(shop: Shop) -> None:
    """The frame says who may show it, the doors who may ask; a page that no token names is refused."""
    view = await shop.view(run_id=shop.run)
    frame = await shop.http.get(f"{view.path}/{shop.run}")
    assert f"frame-ancestors {SHOP_PAGE}" in frame.headers["content-security-policy"]
    policy = frame.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "'unsafe" not in policy
    assert not re.search(r"<script(?! type=\"module\" src=)|\son\w+=|\sstyle=", frame.text)
    assert "HC-103" not in frame.text
    unknown = await shop.http.get(f"/t/acme/views/{'a' * 12}/{shop.run}")
    assert "frame-ancestors 'none'" in unknown.headers["content-security-policy"]
    good = await view("GET")
    assert good.headers["access-control-allow-origin"] == SHOP_PAGE
    assert "access-control-allow-credentials" not in good.headers
    for evil in ("https://evil.example", "null", "http://shop.example", f"{SHOP_PAGE}.evil.example"):
        answer = await view("GET", origin=evil)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers
        assert (await view("GET", f"/{shop.run}/body", origin=evil)).status_code == 403
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    before = await shop.http.options(view.path, headers={**asks, "Origin": SHOP_PAGE})
    assert (before.status_code, before.headers["access-control-allow-origin"]) == (204, SHOP_PAGE)
    refused = await shop.http.options(view.path, headers={**asks, "Origin": "https://evil.example"})
    assert (refused.status_code, refused.headers.get("access-control-allow-origin")) == (403, None)
    # That a token is over its page can read, so that it asks for a new one.
    over = await replace(view, id="a" * 12)("GET")
    assert (over.status_code, over.headers["access-control-allow-origin"]) == (401, SHOP_PAGE)


async def test_a_token_ends_after_its_minutes_when_revoked_and_with_the_key_it_was_made_with(
    shop: Shop,
) -> None:
    """From then on it is answered as one that never was."""
    short, revoked, orphan = [await shop.view(run_id=shop.run, expires_in=60 * n) for n in (1, 10, 10)]
    never = replace(short, id="a" * 12, token=short.token.replace(short.id, "a" * 12))
    shop.house.now[0] += 60
    assert (await revoked("GET")).status_code == 200
    key = {"Authorization": f"Bearer {shop.token}"}
    assert (await shop.http.delete(f"/view-token/{revoked.id}", headers=key)).status_code == 200
    assert (await shop.http.delete(f"/view-token/{revoked.id}", headers=key)).status_code == 404
    assert (await orphan("GET")).status_code == 200
    await shop.house.app.tokens.revoke(ACME, shop.token_id)
    told = [(await view("GET")).json()["error"] for view in (never, short, revoked, orphan)]
    assert [each["code"] for each in told] == ["unauthenticated"] * 4
    assert len({each["message"] for each in told}) == 1


@pytest.mark.parametrize(
    ("asked", "status", "word"),
    [
        ({}, 400, "run_id"),
        ({"run_id": "run_" + "a" * 26, "recipe": "mend"}, 400, "exactly one"),
        ({"run_id": "run_" + "a" * 26}, 404, "no run"),
        ({"recipe": "mend"}, 400, "give its id"),
        ({"recipe": "nothing", "entity_id": "1"}, 404, "no recipe"),
        ({"recipe": "mend", "entity_id": "1", "allowed_origins": ["http://shop.example"]}, 400, "https://"),
        ({"recipe": "mend", "entity_id": "1", "allowed_origins": ["https://*.example; x"]}, 400, "https://"),
        ({"recipe": "mend", "entity_id": "1", "allowed_origins": []}, 400, "allowed_origins"),
        ({"recipe": "mend", "entity_id": "1", "expires_in": 7200}, 400, "expires_in"),
        ({"recipe": "mend", "entity_id": "1", "may": ["write"]}, 400, "may"),
        ({"recipe": "mend", "entity_id": "1", "may": ["run.approve"]}, 400, "person"),
        ({"run_id": "MINE", "may": ["run.start"]}, 400, "run.start"),
    ],
)
async def test_what_cannot_be_made_says_why(shop: Shop, asked: Any, status: int, word: str) -> None:
    """With the field that is wrong."""
    asked = {name: shop.run if value == "MINE" else value for name, value in asked.items()}
    answer = await shop.mint(**asked)
    assert (answer.status_code, word in answer.text) == (status, True), answer.text


async def test_nobody_mints_what_they_may_not_do_themselves(shop: Shop) -> None:
    """A backend that only starts makes no token that decides, a person's program none at all."""
    tokens = shop.house.app.tokens
    starter = (await tokens.create(ACME, subject="shop", scopes=("run.get", "run.start"))).text.reveal()
    writer = (await tokens.create(ACME, subject="shop", scopes=("write",))).text.reveal()
    person = (await tokens.create(ACME, subject="bo", kind="person")).text.reveal()
    foreign = (await tokens.create(Tenant("globex"), subject="shop", scopes=("read", *ALL))).text.reveal()
    thing = {"recipe": "mend", "entity_id": "HC-103", "person": "bo"}
    assert (await shop.mint(key=starter, may=["run.start"], **thing)).status_code == 201
    for key, verb in ((starter, "run.cancel"), (starter, "run.approve"), (writer, "run.approve")):
        assert (await shop.mint(key=key, may=[verb], **thing)).status_code == 403
    assert (await shop.mint(key=person, **thing)).status_code == 403
    assert (await shop.mint(key=foreign, run_id=shop.run)).status_code == 404


async def test_only_named_approvers_decide_with_one(shop: Shop) -> None:
    """Where the tenant named who approves, a token for somebody else decides nothing."""
    await shop.house.enable("mend", approvers=["ida"])
    run = await shop.house.app.runs.start(OPERATOR, "mend", source="button", entity_id="HC-105")
    refused = await shop.mint(run_id=run.id, may=["run.approve"], person="bo")
    assert (refused.status_code, "ida" in refused.text) == (403, True)
    assert (await shop.mint(run_id=run.id, may=["run.approve"], person="ida")).status_code == 201


async def test_a_private_run_is_shown_for_its_person_alone(shop: Shop) -> None:
    """And only where whoever makes the token may look for people."""
    app = shop.house.app
    changed = await app.database.execute(
        "UPDATE runs SET private_to = 'bo' WHERE tenant = 'acme' AND id = :id", {"id": shop.run}
    )
    assert changed == 1
    thing = {"recipe": "mend", "entity_id": "HC-103"}
    reader = (await app.tokens.create(ACME, subject="shop", scopes=("read",))).text.reveal()
    assert (await shop.mint(run_id=shop.run, person="eve")).status_code == 404
    assert (await shop.mint(run_id=shop.run)).status_code == 404
    assert (await shop.mint(key=reader, run_id=shop.run, person="bo")).status_code == 404
    bo = await shop.view(run_id=shop.run, person="bo")
    assert (await bo("GET", f"/{shop.run}/body", origin=None)).status_code == 200
    for more in ({"person": "eve"}, {}, {"person": "bo", "key": reader}):
        other = await shop.view(**thing, **more)
        assert (await other("GET", f"/{shop.run}/body", origin=None)).status_code == 404
        assert (await other("GET")).json()["run"] is None


async def test_the_button_starts_one_run_and_is_told_how_it_goes(shop: Shop) -> None:
    """Pressed twice with one key it is one run; for whom is kept, and its end ends the stream."""
    view = await shop.view(recipe="mend", entity_id="HC-104", may=["run.start", "run.cancel"], person="bo")
    before = (await view("GET")).json()
    assert (before["run"], before["recipe"]["enabled"], before["entity_id"]) == (None, True, "HC-104")
    assert (await view("GET", "/progress")).status_code == 404
    started = [await view("POST", headers={"Idempotency-Key": "k1"}) for _ in range(2)]
    assert [each.status_code for each in started] == [201, 201]
    run = started[0].json()["run"]["id"]
    assert started[1].json()["run"]["id"] == run
    kept = await shop.house.app.runs.find(ACME, run)
    assert (kept.person, kept.asker_kind, kept.source, kept.private_to) == ("bo", "service", "button", None)
    assert (await view("POST", f"/{run}/cancel", origin=BASE, data={"seal": ""})).status_code == 204
    told = (await view("GET", "/progress")).text
    states = [json.loads(line[6:])["state"] for line in told.splitlines() if line.startswith("data: ")]
    assert states[-1] == "cancelled"
    shown = (await view("GET")).json()["run"]
    assert (shown["word"], shown["finished"], shown["path"]) == ("Cancelled", True, f"{view.path}/{run}")
