"""The desk's pages: what they promise to people."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.examples.conftest import Counter

PAGES = ["/tickets", "/tickets?q=soup", "/tickets/new", "/tickets/HC-103", "/alerts", "/alerts/HC-A31"]
PAGES += ["/designs", "/designs/HC-D7"]


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_for_those_who_signed_in(counter: Counter, path: str) -> None:
    """A page asks to sign in first and comes back; it loads nothing from elsewhere and runs no script."""
    nobody = await counter.client(base="http://127.0.0.1:8650").get(path)
    assert nobody.headers["location"].startswith("/sign-in?next=%2F")
    page = await (await counter.page()).get(path)
    assert page.status_code == 200
    assert page.text.count("<h1>") == 1
    assert "<script" not in page.text
    assert "style=" not in page.text
    assert 'src="http' not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_the_session_cookie(counter: Counter) -> None:
    """The cookie is out of scripts' reach and of other sites'; signing out ends the session."""
    browser = counter.client(base="http://127.0.0.1:8650")
    answer = await browser.post("/sign-in", data={"user": "acme/mara", "next": "//evil.example"})
    assert answer.headers["location"] == "/tickets"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    kept = answer.headers["set-cookie"].partition(";")[0]
    page = await browser.get("/tickets")
    token = page.text.split('name="csrf" value="')[1].split('"')[0]
    await browser.post("/sign-out", data={"csrf": token})
    again = await counter.client(base="http://127.0.0.1:8650").get("/tickets", headers={"Cookie": kept})
    assert again.status_code == 303


async def test_people_work_with_tickets(counter: Counter, csrf: Callable[[str], str]) -> None:
    """Somebody opens a ticket, comments it and changes its state, all by plain forms."""
    browser = await counter.page("acme/priya")
    token = csrf((await browser.get("/tickets/new")).text)
    empty = await browser.post("/tickets/new", data={"csrf": token, "subject": " "})
    assert empty.status_code == 422
    assert 'aria-invalid="true" aria-describedby="subject-fault"' in empty.text
    form = {"csrf": token, "subject": "Spoons <gone>", "body": "All **gone**", "labels": "kitchen, bug"}
    made = await browser.post("/tickets/new", data=form)
    assert made.headers["location"] == "/tickets/HC-301"
    commented = await browser.post("/tickets/HC-301/comments", data={"csrf": token, "body": "Found `two`."})
    assert commented.headers["location"].startswith("/tickets/HC-301#comment-")
    page = (await browser.get("/tickets/HC-301")).text
    assert "Spoons &lt;gone&gt;" in page
    assert "Found <code>two</code>." in page
    etag = page.split('name="etag" value="')[1].split('"')[0].replace("&#34;", '"')
    change = {"csrf": token, "etag": etag, "state": "wip", "assignee": "priya", "priority": "low"}
    assert (await browser.post("/tickets/HC-301", data=change)).status_code == 303
    assert (await browser.post("/tickets/HC-301", data=change | {"state": "fixed"})).status_code == 412
    ticket = (await counter.api().get("/tickets/HC-301")).json()
    assert (ticket["state"], ticket["assignee"]["login"], ticket["labels"]) == (
        "wip",
        "priya",
        ["kitchen", "bug"],
    )


async def test_people_work_with_alerts_and_designs(counter: Counter, csrf: Callable[[str], str]) -> None:
    """Somebody acknowledges an alert and marks a design as ready; a reader is offered neither."""
    browser = await counter.page()
    token = csrf((await browser.get("/alerts/HC-A31")).text)
    await browser.post("/alerts/HC-A31", data={"csrf": token, "status": "acknowledged"})
    await browser.post("/designs/HC-D8", data={"csrf": token, "state": "ready"})
    api = counter.api()
    assert (await api.get("/alerts/HC-A31")).json()["acknowledged_by"]["login"] == "mara"
    assert (await api.get("/designs/HC-D8")).json()["state"] == "ready"
    assert (await browser.get("/designs/HC-D8/image.png")).headers["content-type"] == "image/png"
    reader = await counter.page("acme/otto")
    page = (await reader.get("/alerts/HC-A31")).text
    assert "Resolve" not in page
    refused = await reader.post("/alerts/HC-A31", data={"csrf": csrf(page), "status": "resolved"})
    assert refused.status_code == 403


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://127.0.0.1:9999"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}]
)
async def test_forms_of_other_sites_are_refused(
    counter: Counter, headers: dict[str, str], csrf: Callable[[str], str]
) -> None:
    """A form counts only from the desk's own pages, with the session's own token."""
    browser = await counter.page()
    token = csrf((await browser.get("/tickets/HC-103")).text)
    form = {"csrf": token, "body": "x"}
    assert (await browser.post("/tickets/HC-103/comments", data=form, headers=headers)).status_code == 403
    assert (await browser.post("/sign-in", data={"user": "acme/otto"}, headers=headers)).status_code == 403
    without = await browser.post("/tickets/HC-103/comments", data={"csrf": "é", "body": "x"})
    assert without.status_code == 403


async def test_a_foreign_host_name_is_refused(counter: Counter) -> None:
    """A name that somebody else points at this machine opens nothing."""
    for host in ("evil.example", "127.0.0.1.evil.example:8650", ""):
        answer = await counter.client(base="http://127.0.0.1:8650").get("/sign-in", headers={"Host": host})
        assert answer.status_code == 421


async def test_a_page_of_another_organisation_is_not_there(counter: Counter) -> None:
    """People get a page that says so, programs the same in JSON."""
    browser = await counter.page("globex/nadia")
    page = await browser.get("/tickets/HC-103")
    assert (page.status_code, "There is nothing here" in page.text) == (404, True)
    nothing = await counter.api().get("/nothing")
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "not_found")
    assert (await counter.api().put("/tickets")).json()["error"]["code"] == "method_not_allowed"
