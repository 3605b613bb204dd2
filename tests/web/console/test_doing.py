"""What operators see and do at the console, asked without a browser: each page's own work."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2

from linkspan.accounts.principal import Tenant
from linkspan.store import audit
from linkspan.store import deliveries as arrival_rows
from linkspan.store.audit import AuditFilter
from linkspan.store.deliveries import Arrival
from linkspan.web.console.routes import SEEN
from tests.runs.conftest import ACME, BO, House, house, seeded
from tests.web.console.test_console import seal_of, signed_in

__all__ = ["house", "seeded"]
GLOBEX = Tenant("globex")
ACCOUNT = "/console/tenants/acme/accounts/{}"


def cells(text: str, column: str) -> list[str]:
    """What a table of a page has in a column, as text."""
    found = re.findall(rf'<td data-column="{re.escape(column)}">(.*?)</td>', text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", " ", each).split()) for each in found]


async def press(http: httpx2.AsyncClient, path: str, **fields: str) -> httpx2.Response:
    """Send a form of a page of the console."""
    seal = seal_of((await http.get("/console")).text)
    return await http.post(path, data={"seal": seal, **fields})


async def test_every_page_may_do_little(house: House) -> None:
    """No script at all, nothing from elsewhere, in nobody's frame, kept by no cache."""
    account = (await house.app.accounts.list(ACME))[0].id
    names = {"tenant": "acme", "account": account, "entity": "ticket", "item": "HC-103", "tool": "get_ticket"}
    async with signed_in(house) as http:
        await http.get("/console/tenants/acme/entities/ticket/HC-103")
        await house.app.audit.flush()
        (done,) = await audit.find(house.app.database, ACME, AuditFilter(via="console"))
        names["row"] = str(done.id)
        for path in ("/sign-in", "/nowhere", *(path for path, _answer in SEEN)):
            answer = await http.get(f"/console{path}".replace(":path", "").format(**names))
            assert answer.status_code == (
                404 if path == "/nowhere" else 303 if path == "/sign-in" else 200
            ), path
            if answer.status_code == 200:
                policy = answer.headers["content-security-policy"]
                assert "default-src 'none'" in policy
                assert "'unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert answer.headers["cache-control"] == "no-store"
                assert not re.search(r"<script|\son\w+=|\sstyle=", answer.text), path


async def test_what_is_broken_is_on_the_first_page(house: House) -> None:
    """Accounts, in words; runs that failed lately, not those of long ago; deliveries that were given up."""
    await house.enable("mend")
    app = house.app
    for ticket, ago in (("HC-103", 60.0), ("HC-104", 8 * 86_400.0)):
        run = await app.runs.start(BO, "mend", source="button", entity_id=ticket)
        words = {"id": run.id, "at": house.now[0] - ago}
        await app.database.execute("UPDATE runs SET state = 'failed', updated = :at WHERE id = :id", words)
    await app.database.execute("UPDATE accounts SET state = 'needs_reauth' WHERE tenant = 'globex'", {})
    async with signed_in(house, "viewer") as http:
        text = (await http.get("/console")).text
        assert cells(text, "State") == ["must be linked again", "Failed"]
        assert "HC-103" in text
        assert "HC-104" not in text
        assert "2 active, 1 must be linked again" in text
        listed = (await http.get("/console/accounts?state=needs_reauth")).text
        assert cells(listed, "Tenant") == ["globex"]


async def test_things_are_read_with_the_tenants_own_account(house: House) -> None:
    """Each tenant's list is what its own account leads to, and its log says which account that was."""
    async with signed_in(house, "viewer") as http:
        shown = {}
        for tenant in (ACME, GLOBEX):
            text = (await http.get(f"/console/tenants/{tenant}/entities/ticket")).text
            shown[tenant] = set(cells(text, "id"))
            own = {each.id for each in await house.app.accounts.list(tenant) if each.connector == "desk"}
            await house.app.audit.flush()
            (entry,) = await audit.find(house.app.database, tenant, AuditFilter(tool="list_tickets"))
            assert ({entry.row.account}, entry.row.via) == (own, "console")
        assert shown[ACME]
        assert shown[GLOBEX]
        assert not shown[ACME] & shown[GLOBEX]


async def test_a_tool_says_what_it_costs(house: House) -> None:
    """A quarter of the bytes that Codex is sent of it; the list says what all of them are together."""
    tools = house.app.catalog.tools
    sizes = {
        each.name: len(json.dumps(each.definition(), ensure_ascii=False, separators=(",", ":")).encode())
        for each in tools
    }
    async with signed_in(house, "viewer") as http:
        text = (await http.get("/console/tenants/acme/tools")).text
        told = [f"about {-(-size // 4):,}" for size in sizes.values()]
        assert cells(text, "Tokens") == told
        assert f"about {sum(sizes.values()) // 4:,} tokens" in text
        one = (await http.get("/console/tenants/acme/tools/get_ticket")).text
        assert f"About {-(-sizes['get_ticket'] // 4):,} tokens with its schema." in one


async def test_a_delivery_that_was_given_up_is_sent_again(house: House) -> None:
    """From its row; one of another tenant is not there, and the log says who did it."""
    app = house.app
    await app.webhooks.add("https://hooks.example/all", tenant="acme")
    account = (await app.accounts.list(ACME))[0]
    house.hooks.answers = [500]
    await app.accounts.verify(ACME, account.id, app.catalog.connectors[account.connector], app.verifier)
    await house.enable("mend")
    await app.runs.start(BO, "mend", source="button", entity_id="HC-103")
    await app.outbox.deliver_due()
    (sent,) = await app.outbox.list()
    await app.database.execute("UPDATE outbox SET state = 'dead' WHERE id = :id", {"id": sent.id})
    async with signed_in(house, "operator") as http:
        assert "1" in (await http.get("/console")).text
        page = (await http.get("/console/deliveries?state=dead")).text
        assert cells(page, "State") == ["dead"]
        found = re.search(r'name="id" value="(dlv_[^"]+)"', page)
        assert found is not None
        told = {"id": found[1], "way": "out"}
        assert (await press(http, "/console/tenants/globex/deliveries/replay", **told)).status_code == 404
        done = await press(http, "/console/tenants/acme/deliveries/replay", **told)
        assert (done.status_code, done.headers["location"]) == (303, "/console/deliveries?tenant=acme")
        assert await app.outbox.deliver_due() == 1
        assert [each.state for each in await app.outbox.list()] == ["delivered"]
        assert len(house.hooks.messages) == 2
    (entry,) = await audit.find(app.database, ACME, AuditFilter(tool="replay_webhook_delivery"))
    assert (entry.row.principal_subject, entry.row.entity_id) == ("olga", found[1])


async def test_what_a_product_told_is_worked_again(house: House) -> None:
    """What came of it stands beside it, and changes."""
    app, now = house.app, house.now[0]
    await house.enable("mend")
    account = next(each for each in await app.accounts.list(ACME) if each.connector == "desk")
    told = Arrival("acme", "arr_1", "desk", account.id, "ticket.assigned", "ticket", "HC-103", now, "pending",
                   0, now, recipe="mend")  # fmt: skip
    assert await arrival_rows.add(app.database, [told]) == 1
    await app.database.execute("UPDATE arrivals SET state = 'failed', outcome = 'Gone wrong'", {})
    async with signed_in(house, "operator") as http:
        page = (await http.get("/console/deliveries?tenant=acme")).text
        assert cells(page, "What came of it") == ["Gone wrong"]
        assert (await http.get("/console/deliveries?tenant=globex")).text.count("Gone wrong") == 0
        words = {"id": "arr_1", "way": "in"}
        assert (await press(http, "/console/tenants/globex/deliveries/replay", **words)).status_code == 404
        assert (await press(http, "/console/tenants/acme/deliveries/replay", **words)).status_code == 303
        await app.arrivals.work_due()
        page = (await http.get("/console/deliveries?tenant=acme")).text
        assert "Gone wrong" not in page
    (run,) = await app.runs.list(BO)
    assert run.entity_id == "HC-103"


async def test_the_log_is_narrowed(house: House) -> None:
    """By each of its filters, and by time; a page of a hundred leads to the next."""
    async with signed_in(house) as http:
        for item in ("HC-103", "HC-104", "HC-999"):
            await http.get(f"/console/tenants/acme/entities/ticket/{item}")
            house.now[0] += 60
        log = "/console/log?tenant=acme"
        assert len(cells((await http.get(log)).text, "When")) == 3
        account = next(each.id for each in await house.app.accounts.list(ACME) if each.connector == "desk")
        filters = {
            "tool=get_ticket": 3, "tool=list_tickets": 0, "entity=ticket": 3, "entity_id=HC-103": 1,
            "principal_subject=olga": 3, "outcome=not_found": 1, "connector=desk": 3, "connector=github": 0,
            f"account={account}": 3, "via=console": 3, "via=mcp": 0, "request_id=none": 0,
            "since=2027-01-15T08:01": 2, "until=2027-01-15T08:01": 1, "since=yesterday": 3,
        }  # fmt: skip
        for words, count in filters.items():
            assert len(cells((await http.get(f"{log}&{words}")).text, "When")) == count, words
        assert cells((await http.get(log)).text, "When")[-1] == "2027-01-15 08:00:00"


async def test_the_age_of_every_key(house: House) -> None:
    """A key of more than a year that never ends is marked; master keys have their age and what they seal."""
    await house.app.admins.create("old")
    house.now[0] += 400 * 86_400
    async with signed_in(house) as http:
        text = (await http.get("/console/settings")).text
        ages = cells(text, "Age")
        assert sorted(ages) == ["400 days", "400 days", "today"]
        assert '<span class="tone bad">400 days</span>' in text
        assert cells(text, "Seals what is new") == ["yes"]


async def test_a_link_made_at_the_console_links_the_account_again(house: House) -> None:
    """It opens for that account, once; a product that is asked says whether the credential is good."""
    app = house.app
    account = next(each for each in await app.accounts.list(ACME) if each.connector == "desk")
    await app.database.execute(
        "UPDATE accounts SET state = 'needs_reauth', last_error = 'Gone' WHERE id = :id", {"id": account.id}
    )
    here = ACCOUNT.format(account.id)
    async with signed_in(house, "operator") as http:
        made = (await press(http, f"{here}/reconnect")).text
        link = re.search(
            r"http://127\.0\.0\.1:8640/connect-account#link_token=(lsk_link_\w{12}_[\w-]{43})", made
        )
        assert link is not None
        opened: Any = await app.link_sessions.open(link[1], None)
        assert (opened.session.account, opened.session.tenant) == (account.id, "acme")
        assert (await http.get("/connect-account")).status_code == 200
        assert cells((await http.get("/console/accounts?tenant=acme&state=needs_reauth")).text, "Why") == [
            "Gone"
        ]
        assert (await press(http, f"{here}/verify")).status_code == 303
        assert "must be linked again" not in (await http.get(here)).text
    rows = await audit.find(app.database, ACME, AuditFilter(account=account.id, via="console"))
    assert [each.row.tool for each in rows] == ["verify_integrated_account", "create_link_token"]


async def test_runs_at_the_console_have_its_places_around_them(house: House) -> None:
    """Those that somebody may go to, and no others; a tenant's own people have none of them."""
    await house.enable("mend")
    run = await house.app.runs.start(BO, "mend", source="button", entity_id="HC-103")
    for only in (None, "acme"):
        async with signed_in(house, "viewer", only=only) as http:
            for path in ("/console/tenants/acme/runs", f"/console/tenants/acme/runs/{run.id}"):
                text = (await http.get(path)).text
                assert '<a href="/console/accounts">Accounts</a>' in text
                assert ('<a href="/console/settings">' in text) is (only is None)
