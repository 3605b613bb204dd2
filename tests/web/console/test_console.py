"""The console, asked without a browser: who gets in, and what each role is let do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from linkspan.accounts.console_sessions import ConsoleSessions
from linkspan.errors import ConfigurationError, Forbidden
from linkspan.serving import Serving
from linkspan.settings import ConsoleRight, read_settings
from linkspan.store import audit
from linkspan.store.admins import Role
from linkspan.web.console.routes import DONE, SEEN
from tests.runs.conftest import ACME, BO, House, house, seeded

__all__ = ["house", "seeded"]
BASE = "http://127.0.0.1:8640"


def seal_of(text: str) -> str:
    """What the forms of a page carry."""
    found = re.search(r'name="seal" value="([^"]+)"', text)
    assert found is not None, text
    return found[1]


@asynccontextmanager
async def browser(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser in which nobody has signed in."""
    transport = httpx2.ASGITransport(Serving(house.app, clock=lambda: house.now[0]).asgi)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as http:
        yield http


async def enter(house: House, http: httpx2.AsyncClient, key: str) -> httpx2.Response:
    """Send the form of the page to sign in at."""
    form = {"seal": seal_of((await http.get("/console/sign-in")).text), "key": key}
    return await http.post("/console/sign-in", data=form)


@asynccontextmanager
async def signed_in(
    house: House, role: Role = "admin", only: str | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser of somebody with a role."""
    made = await house.app.admins.create("olga", role=role, only=only)
    async with browser(house) as http:
        answer = await enter(house, http, made.text.reveal())
        assert (answer.status_code, answer.headers["location"]) == (303, "/console")
        yield http


async def test_nobody_sees_anything_before_signing_in(house: House) -> None:
    """Every page leads to the sign-in, and nothing is done."""
    async with browser(house) as http:
        for path, _answer in SEEN:
            answer = await http.get(f"/console{path}".replace("{tenant}", "acme"))
            assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in"), path
        for path, _answer, _role in DONE:
            answer = await http.post(f"/console{path}".replace("{tenant}", "acme"), data={})
            assert answer.status_code == 303, path
        assert (await http.get("/console/tenants/acme/runs")).headers["location"] == "/console/sign-in"


async def test_keys_that_are_none_are_refused_alike_and_slowly(house: House) -> None:
    """A tenant's token, a revoked key and nonsense; who goes on is told to wait, with a good key as well."""
    token = (await house.app.tokens.create(ACME, subject="x")).text.reveal()
    revoked = await house.app.admins.create("eve")
    await house.app.admins.revoke(revoked.token.id)
    good = (await house.app.admins.create("olga")).text.reveal()
    async with browser(house) as http:
        for key in (token, revoked.text.reveal(), "nonsense", ""):
            answer = await enter(house, http, key)
            assert (answer.status_code, "linkspan-console=" in str(answer.headers)) == (401, False)
        for _ in range(6):
            await enter(house, http, "nonsense")
        assert (await enter(house, http, good)).status_code == 429
        house.now[0] += 60
        assert (await enter(house, http, good)).status_code == 303


async def test_a_form_must_come_from_a_page_that_this_browser_was_given(house: House) -> None:
    """Also that of signing in, so that nobody is signed in as somebody else unawares."""
    key = (await house.app.admins.create("olga")).text.reveal()
    async with browser(house) as http:
        refused = await http.post("/console/sign-in", data={"seal": "x" * 43, "key": key})
        assert refused.status_code == 403
    async with signed_in(house) as http:
        for seal in ("", "x" * 43):
            answer = await http.post("/console/tenants", data={"seal": seal, "name": "new"})
            assert answer.status_code == 403
        foreign = {"Origin": "https://evil.example"}
        seal = seal_of((await http.get("/console")).text)
        answer = await http.post("/console/tenants", data={"seal": seal, "name": "new"}, headers=foreign)
        assert answer.status_code == 403
        assert "new" not in {each.name for each in await house.app.tenants.list()}


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
async def test_each_role_does_what_it_may(house: House, role: Role) -> None:
    """Whoever may less is refused before anything is looked at."""
    rank = ("viewer", "operator", "admin")
    async with signed_in(house, role) as http:
        seal = seal_of((await http.get("/console")).text)
        for path, _answer, needed in DONE:
            sent = f"/console{path}".replace("{tenant}", "acme").replace("{account}", "none")
            answer = await http.post(sent.replace("{tool}", "none"), data={"seal": seal})
            assert (answer.status_code == 403) == (rank.index(role) < rank.index(needed)), (path, answer.text)


async def test_who_only_looks_writes_nothing_with_a_tool(house: House) -> None:
    """A try of a write is refused; a read comes through, and the run's page offers nothing."""
    await house.enable("mend")
    run = await house.app.runs.start(BO, "mend", source="button", entity_id="HC-103")
    async with signed_in(house, "viewer") as http:
        page = "/console/tenants/acme/tools/create_ticket"
        seal = seal_of((await http.get(page)).text)
        form = {"seal": seal, "arguments": '{"title": "x"}', "send": "yes"}
        assert "it lacks the scope" in (await http.post(page, data=form)).text
        listed = await http.post("/console/tenants/acme/tools/list_tickets", data={"seal": seal})
        assert "HC-103" in listed.text
        here = f"/console/tenants/acme/runs/{run.id}"
        assert f'action="{here}' not in (await http.get(here)).text
        assert (await http.post(f"{here}/cancel", data={"seal": seal})).status_code == 403
        assert (await house.app.runs.find(ACME, run.id)).stop is None


async def test_somebody_of_one_tenant_sees_that_one(house: House) -> None:
    """Whatever names another tenant is not there, and lists hold nothing of it."""
    await house.app.accounts.list(ACME)
    async with signed_in(house, "admin", only="globex") as http:
        for path, _answer in SEEN:
            if "{tenant}" in path:
                sent = f"/console{path}".replace("{tenant}", "acme")
                assert (await http.get(sent)).status_code == 404, path
            elif path == "/settings":
                assert (await http.get(f"/console{path}")).status_code == 403
            else:
                text = (await http.get(f"/console{path}")).text
                assert "acme" not in text.replace("anna@acme", ""), path
        for path in ("/runs", "/accounts", "/deliveries", "/log"):
            answer = await http.get(f"/console{path}?tenant=acme")
            assert answer.status_code == 404 or "acme" not in answer.text, path
        assert (await http.get("/console/tenants/acme/runs")).status_code == 303
        seal = seal_of((await http.get("/console")).text)
        for path, _answer, _role in DONE:
            sent = f"/console{path}".replace("{tenant}", "acme")
            answer = await http.post(sent, data={"seal": seal, "name": "mine"})
            assert answer.status_code in (403, 404), path


async def test_a_run_leads_to_its_thing_and_the_thing_to_its_runs(house: House) -> None:
    """By the id that the run was asked for with, whatever the product calls it itself."""
    await house.enable("mend")
    run = await house.app.runs.start(BO, "mend", source="button", entity_id="HC-103")
    async with signed_in(house, "viewer") as http:
        thing = "/console/tenants/acme/entities/ticket/HC-103"
        own = f"/console/tenants/acme/runs/{run.id}"
        assert f'href="{thing}"' in (await http.get(own)).text
        shown = (await http.get(thing)).text
        assert f'href="{own}"' in shown
        other = (await http.get("/console/tenants/acme/entities/ticket/HC-104")).text
        assert run.id not in other
        assert "There are none." in other
        nowhere = (await http.get("/console/tenants/acme/entities/ticket/HC-999")).text
        assert "Runs about it" in nowhere


async def test_private_runs_are_in_no_list_of_who_only_looks(house: House) -> None:
    """Overview, lists and the run itself, over REST too; an operator sees it everywhere."""
    await house.enable("mend")
    run = await house.app.runs.start(BO, "mend", source="button", entity_id="HC-103")
    open_to_all = await house.app.runs.start(BO, "mend", source="button", entity_id="HC-104")
    changed = await house.app.database.execute(
        "UPDATE runs SET private_to = 'bo' WHERE id = :id", {"id": run.id}
    )
    assert changed == 1
    runs = ("/console/runs", "/console/runs?state=queued", "/console/runs?before=²:x")
    pages = ("/console", *runs, "/console/tenants/acme/runs")
    own = f"/console/tenants/acme/runs/{run.id}"
    roles: tuple[tuple[Role, bool], ...] = (("viewer", False), ("operator", True))
    for role, sees in roles:
        async with signed_in(house, role) as http:
            for page in pages:
                text = (await http.get(page)).text
                assert open_to_all.id in text, page
                assert (run.id in text) is sees, page
            assert (await http.get(own)).status_code == (200 if sees else 404)
            parts = [await http.get(f"{own}/{part}") for part in ("body", "beside", "changes", "earlier")]
            assert [each.status_code for each in parts] == [200 if sees else 404] * 4
            assert any("HC-103" in each.text for each in parts) is sees
            key = (await house.app.admins.create("x", role=role)).text.reveal()
            headers = {"Authorization": f"Bearer {key}"}
            listed = (await http.get("/runs?tenant_id=acme", headers=headers)).text
            assert open_to_all.id in listed
            assert (run.id in listed) is sees
            for part in ("", "/events", "/artifacts", "/approvals"):
                answer = await http.get(f"/runs/{run.id}{part}?tenant_id=acme", headers=headers)
                assert answer.status_code == (200 if sees else 404), part


async def test_a_key_of_one_tenant_or_of_a_viewer_opens_less_over_rest(house: House) -> None:
    """The first is the console's alone; the second reads."""
    bound = (await house.app.admins.create("x", only="acme")).text.reveal()
    viewer = (await house.app.admins.create("x", role="viewer")).text.reveal()
    operator = (await house.app.admins.create("x", role="operator")).text.reveal()

    async def status(http: httpx2.AsyncClient, method: str, path: str, key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return (await http.request(method, path, json={}, headers=headers)).status_code

    async with browser(house) as http:
        assert await status(http, "GET", "/tenant", bound) == 403
        assert await status(http, "GET", "/tenant", viewer) == 200
        for key in (viewer, operator):
            assert await status(http, "POST", "/tenant", key) == 403
        assert await status(http, "POST", "/runs/x/cancel?tenant_id=acme", viewer) == 403
        assert await status(http, "POST", "/runs/x/cancel?tenant_id=acme", operator) == 404


async def test_what_is_done_is_in_the_log_and_a_token_is_shown_once(house: House) -> None:
    """With who did it, through what."""
    async with signed_in(house) as http:
        seal = seal_of((await http.get("/console")).text)
        form = {"seal": seal, "subject": "shop", "scopes": "read", "days": "1"}
        made = await http.post("/console/tenants/acme/tokens", data=form)
        token = re.search(r"lsk_tenant_\w{12}_[\w-]{43}", made.text)
        assert token is not None
        assert (await house.app.tokens.authenticate(token[0], "acme")).scopes == ("read",)
        assert token[0] not in (await http.get("/console/tenants/acme")).text
        rows = await audit.find(house.app.database, ACME)
        last = rows[0].row
        assert (last.tool, last.via, last.principal_subject) == ("create_token", "console", "olga")


async def test_a_session_ends_with_its_key_its_time_and_signing_out(house: House) -> None:
    """At the next click."""
    async with signed_in(house) as http:
        made = (await house.app.admins.list())[-1]
        assert (await http.get("/console")).status_code == 200
        await house.app.admins.revoke(made.id)
        assert (await http.get("/console")).status_code == 303
    async with signed_in(house) as http:
        house.now[0] += 12 * 3_600
        assert (await http.get("/console")).status_code == 303
    async with signed_in(house) as http:
        kept = dict(http.cookies)
        seal = seal_of((await http.get("/console")).text)
        assert (await http.post("/console/sign-out", data={"seal": seal})).status_code == 303
        http.cookies.update(kept)
        assert (await http.get("/console")).status_code == 303


async def test_people_come_in_by_the_provider_who_are_named(house: House) -> None:
    """By address or by domain, with the role that stands there; an address goes before its domain."""
    people = read_settings(
        {"LINKSPAN_CONSOLE_PEOPLE": "Anna@acme.example=admin, *@acme.example=viewer:acme"}
    ).console_people
    assert people == {
        "anna@acme.example": ConsoleRight("admin"),
        "*@acme.example": ConsoleRight("viewer", "acme"),
    }
    app = house.app
    sessions = ConsoleSessions(
        app.database, app.admins, people=people, clock=lambda: house.now[0], random=bytes
    )
    cookie, anna = await sessions.by_provider("anna@acme.example")
    assert (anna.role, anna.only) == ("admin", None)
    assert await sessions.find(cookie.reveal()) is not None
    for other in ("eve@evil.example", "anna@acme.example.evil", None, ""):
        with pytest.raises(Forbidden):
            await sessions.by_provider(other)
    fewer = ConsoleSessions(app.database, app.admins, people={}, clock=lambda: house.now[0], random=bytes)
    assert await fewer.find(cookie.reveal()) is None


@pytest.mark.parametrize("text", ["anna", "anna@x=root", "@x=admin", "a@b=admin:"])
def test_a_list_of_people_that_cannot_be_read(text: str) -> None:
    """It says what it takes."""
    with pytest.raises(ConfigurationError, match="LINKSPAN_CONSOLE_PEOPLE"):
        read_settings({"LINKSPAN_CONSOLE_PEOPLE": text})


async def test_bodies_of_one_account_are_kept_and_read_here(house: House) -> None:
    """An admin turns them on and off; an operator reads them, a viewer sees that they are there."""
    (account,) = await house.app.accounts.list(ACME, "desk")
    page = f"/console/tenants/acme/accounts/{account.id}"
    async with signed_in(house) as http:
        shown = (await http.get(page)).text
        assert "Bodies beside the log" in shown
        seal = seal_of(shown)
        refused = await http.post(f"{page}/log-bodies", data={"seal": seal, "minutes": "600"})
        assert refused.status_code == 400
        done = await http.post(f"{page}/log-bodies", data={"seal": seal, "minutes": "30"})
        assert (done.status_code, done.headers["location"]) == (303, page)
        assert "olga wanted it" in (await http.get(page)).text
        form = {"seal": seal, "arguments": '{"title": "Beans, with a <b>token</b>: sk-hush"}', "send": "yes"}
        assert "Beans" in (await http.post("/console/tenants/acme/tools/create_ticket", data=form)).text
        listed = (await http.get(f"/console/log?tenant=acme&tool=create_ticket&account={account.id}")).text
        assert "with bodies" in listed
        found = re.search(r"/console/tenants/acme/log/\d+", listed)
        assert found is not None
        row = found[0]
        bodies = (await http.get(row)).text
        assert "Beans, with a &lt;b&gt;" in bodies.replace("&#34;", '"')
        assert ("Sent: POST" in bodies, "Answered: 201" in bodies) == (True, True)
        assert (await http.get(row.replace("acme", "globex"))).status_code == 404
        done = await http.post(f"{page}/no-log-bodies", data={"seal": seal})
        assert "Bodies beside the log" in (await http.get(done.headers["location"])).text
        rows = await audit.find(house.app.database, ACME)
        assert [each.row.tool for each in rows][:2] == ["keep_no_log_bodies", "create_ticket"]
    async with signed_in(house, "operator") as http:
        assert "Bodies beside the log" not in (await http.get(page)).text
        assert "Beans, with a" in (await http.get(row)).text
    async with signed_in(house, "viewer") as http:
        text = (await http.get(row)).text
        assert ("operators see them" in text, "Beans" in text) == (True, False)
