"""Linking by a consent at a product, in a window: it goes out and comes back in one browser, once."""

from __future__ import annotations

import asyncio
import re

import pytest
from starlette.responses import JSONResponse

from linkspan.net.messages import Request
from linkspan.store.audit import find
from tests.web.link.conftest import ACME, BASE, BOLT, Browser, Place, message, policy, query, told

DENIED = {"error": "access_denied"}


async def test_a_consent_becomes_an_account(place: Place) -> None:
    """The window comes back to say so, and the page that waits is told by the server."""
    browser = await place.opened("cloud", person="bo")
    url = await browser.depart()
    asked = query(url)
    assert asked["redirect_uri"] == f"{BASE}/oauth/callback"
    assert (asked["code_challenge_method"], asked["scope"]) == ("S256", "read write")
    assert (await browser.show())["status"] == "open"
    page = await browser.back(place.authority.consent(url))
    assert page.status_code == 200
    assert "Connected as" in page.text
    assert 'data-linked="yes"' in page.text
    assert f'data-onward="/connect-account?session={browser.session}"' in page.text
    assert policy(page)["frame-ancestors"] == "'none'"
    shown = await browser.show()
    assert (shown["status"], shown["result"]["identity"]) == ("linked", "bo@acme.example")
    assert shown["result"]["not_granted"] == []
    linked = await place.only()
    assert (linked.subject, linked.scopes, linked.state) == ("bo", ("read", "write"), "active")
    assert [(each.row.tool, each.row.outcome) for each in await find(place.app.database, ACME)] == [
        ("link_account", "ok")
    ]


async def test_other_scopes_are_asked_where_the_token_says_so(place: Place) -> None:
    """And what was not granted of them is told."""
    browser = await place.opened("cloud", scopes=["read", "admin"])
    assert (await browser.show())["integrations"][0]["ways"][0]["scopes"] == ["read", "admin"]
    url = await browser.depart()
    assert query(url)["scope"] == "read admin"
    answer = place.authority.consent(url)
    place.authority.codes[answer["code"]]["scope"] = "read"
    await browser.back(answer)
    assert (await browser.show())["result"]["not_granted"] == ["admin"]


async def test_a_no_stays_readable(place: Place) -> None:
    """In the window and on the page; nothing is used up, and a yes afterwards links."""
    browser = await place.opened("cloud")
    url = await browser.depart()
    page = await browser.back({**DENIED, "state": query(url)["state"]})
    assert message(page.text) == "The consent was denied at The Cloud. Begin again."
    assert 'data-linked="no"' in page.text
    shown = await browser.show()
    assert (shown["status"], shown["failure"]["error_type"]) == ("open", "connection_error")
    assert shown["failure"]["integration"] == "cloud"
    url = await browser.depart()
    assert (await browser.show())["failure"] is None
    await browser.back(place.authority.consent(url))
    assert (await place.only()).state == "active"


async def test_what_comes_back_is_used_once(place: Place) -> None:
    """A second time it links nothing, even in the same browser."""
    browser = await place.opened("cloud")
    url = await browser.depart()
    answer = place.authority.consent(url)
    await browser.back(answer)
    asked = len(place.authority.asked)
    again = await browser.back(answer)
    assert again.status_code == 403
    assert "not waited for" in message(again.text)
    assert (len(place.authority.asked), len(await place.accounts())) == (asked, 1)


async def test_what_comes_back_twice_at_once(place: Place) -> None:
    """A browser that loads the address twice: the product is asked once, and one account comes of it."""
    browser = await place.opened("cloud")
    answer = place.authority.consent(await browser.depart())
    pages = await asyncio.gather(*(browser.back(answer) for _ in range(4)))
    assert [page.status_code for page in pages].count(200) == 1
    assert sum(form["grant_type"] == "authorization_code" for form in place.authority.asked) == 1
    assert len(await place.accounts()) == 1


async def test_another_browser_cannot_bring_it(place: Place) -> None:
    """Neither one that knows nothing, nor one that set out itself; the right one still can."""
    browser = await place.opened("cloud")
    url = await browser.depart()
    answer = place.authority.consent(url)
    stranger = place.browser()
    assert (await stranger.back(answer)).status_code == 403
    other = await place.opened("cloud", tenant=BOLT)
    await other.depart()
    assert (await other.back(answer)).status_code == 403
    assert place.authority.asked == []
    assert (await place.accounts(), await place.accounts(BOLT)) == ([], [])
    assert (await browser.back(answer)).status_code == 200
    assert len(await place.accounts()) == 1


async def test_a_state_leads_to_its_own_session(place: Place) -> None:
    """Two tenants' windows of one browser, brought back the other way round."""
    browser = await place.opened("cloud")
    mine = await browser.depart()
    await browser.open(await place.token("cloud", tenant=BOLT))
    theirs = await browser.depart()
    crossed = {**place.authority.consent(mine), "state": query(theirs)["state"]}
    page = await browser.back(crossed)
    assert 'data-linked="no"' in page.text  # PKCE: the code is of the other window
    assert (await place.accounts(ACME), await place.accounts(BOLT)) == ([], [])
    await browser.back(place.authority.consent(mine))
    assert (len(await place.accounts(ACME)), await place.accounts(BOLT)) == (1, [])


@pytest.mark.parametrize("state", ["", "x", "A" * 43])
async def test_a_state_that_nobody_gave(place: Place, state: str) -> None:
    """Links nothing and asks nobody."""
    browser = await place.opened("cloud")
    await browser.depart()
    page = await browser.back({"code": "code", **({"state": state} if state else {})})
    assert page.status_code == 403
    assert place.authority.asked == []


async def test_a_ticket_lets_one_window_out(place: Place) -> None:
    """Once, in ten minutes; a made-up one does not."""
    browser = await place.opened("cloud")
    body = {"integration": "cloud", "method": "oauth2"}
    ticket = (await browser.ask("consent", body)).json()
    assert (await browser.post("/link-session/depart", ticket)).is_success
    assert (await place.browser().post("/link-session/depart", ticket)).status_code == 403
    assert (await browser.post("/link-session/depart", {"ticket": "x" * 43})).status_code == 403
    ticket = (await browser.ask("consent", body)).json()
    place.clock.now += 600
    assert (await browser.post("/link-session/depart", ticket)).status_code == 403


async def test_a_consent_that_took_too_long(place: Place) -> None:
    """Is told, and nothing is asked of the product."""
    browser = await place.opened("cloud")
    url = await browser.depart()
    place.clock.now += 601
    page = await browser.back(place.authority.consent(url))
    assert "longer than ten minutes" in message(page.text)
    assert (place.authority.asked, await place.accounts()) == ([], [])


async def test_a_fault_of_ours(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Is a page as every other failure, the page that waits hears of it, and the next try has not to wait."""
    browser = await place.opened("cloud")
    url = await browser.depart()

    async def wrong(_request: Request) -> None:
        raise ZeroDivisionError("a secret of ours")

    place.outside.then = wrong
    page = await browser.back(place.authority.consent(url))
    assert (page.status_code, page.headers["content-type"]) == (500, "text/html; charset=utf-8")
    said = r"Something went wrong here \(request ([0-9a-f]{32})\)\. Ask whoever sent you here\."
    number = re.fullmatch(said, message(page.text))
    assert number is not None
    assert f"request {number[1]}: the link page failed at" in caplog.text
    assert "a secret of ours" not in page.text
    assert "a secret of ours" in caplog.text
    failure = (await browser.show())["failure"]
    assert (failure["error_type"], failure["integration"]) == ("connection_error", "cloud")
    place.outside.then = None
    await browser.back(place.authority.consent(await browser.depart()))
    assert (await place.only()).state == "active"


async def test_a_window_of_a_session_that_is_over(place: Place) -> None:
    """Comes back to nothing: the token ended meanwhile, or another window was quicker."""
    browser = await place.opened("cloud", lifetime=60.0)
    url = await browser.depart()
    place.clock.now += 61
    page = await browser.back(place.authority.consent(url))
    assert "used up, or over" in message(page.text)
    assert (place.authority.asked, await place.accounts()) == ([], [])


async def test_a_product_that_gives_no_token(place: Place) -> None:
    """Down, or confused by our client: told without a secret, and the person tries again."""
    browser = await place.opened("cloud")
    for fault in (JSONResponse({}, 503), JSONResponse({"error": "invalid_client"}, 401)):
        url = await browser.depart()
        place.authority.faults = [fault]
        page = await browser.back(place.authority.consent(url))
        assert "The Cloud" in message(page.text)
        assert "tools.yaml" not in page.text
        assert "a secret of ours" not in page.text
        assert (await browser.show())["failure"]["error_type"] == "connection_error"
    assert await place.accounts() == []


async def test_somebody_else_consents(place: Place) -> None:
    """Both names are shown and nothing changes; with a yes, where the token allows it, it is theirs."""
    browser = await place.opened("cloud")
    await browser.back(place.authority.consent(await browser.depart()))
    before = await place.only()
    place.authority.person = {"id": "8", "email": "eve@acme.example"}
    browser = await place.opened(account=before, allow_identity_change=True)
    page = await browser.back(place.authority.consent(await browser.depart()))
    assert "connected as bo@acme.example, but you signed in as eve@acme.example" in message(page.text)
    shown = await browser.show()
    assert (shown["failure"]["code"], shown["may_change_identity"]) == ("identity_changed", True)
    assert await place.only() == before
    assert not any(grant.ended for grant in place.authority.grants.values())
    await browser.back(place.authority.consent(await browser.depart(confirmed=True)))
    after = await place.only()
    assert (after.id, after.identity_label) == (before.id, "eve@acme.example")


async def test_a_choice_after_a_consent(place: Place) -> None:
    """Several sites: the account waits, and the page asks which one."""
    place.authority.sites = [{"id": "c1", "name": "Acme"}, {"id": "c2", "name": "Bolt"}]
    browser = await place.opened("sites")
    url = await browser.depart("sites")
    page = await browser.back(place.authority.consent(url))
    assert "Almost there" in page.text
    shown = await browser.show()
    assert (shown["status"], shown["failure"]["error_type"]) == ("linked", "post_install_error")
    assert [each["label"] for each in shown["failure"]["choices"]] == ["Acme", "Bolt"]
    assert told(await browser.ask("account", {"integration": "sites"}))["code"] == "forbidden"
    answer = await browser.ask("again", {"settings": {"site": "c3"}})
    assert answer.json()["failure"]["error_type"] == "post_install_error"
    answer = await browser.ask("again", {"settings": {"site": "c2"}})
    assert (answer.json()["failure"], answer.json()["result"]["state"]) == (None, "active")
    assert (await place.only()).settings == {"site": "c2"}
    assert (await browser.ask("again", {"settings": {"site": "c1"}})).status_code == 400


async def test_a_check_that_fails_after_a_consent(place: Place) -> None:
    """The consent is not lost: the account is there, and is tried again."""
    browser = await place.opened("cloud")
    url = await browser.depart()
    place.authority.api_faults = [JSONResponse({}, 500) for _ in range(9)]
    page = await browser.back(place.authority.consent(url))
    assert 'data-linked="no"' in page.text
    shown = await browser.show()
    assert (shown["status"], shown["failure"]["error_type"]) == ("linked", "validation_error")
    place.authority.api_faults = []
    answer = await browser.ask("again")
    assert answer.json()["result"]["state"] == "active"


async def test_an_installation_is_linked(place: Place) -> None:
    """A GitHub App: installed in a window, and proven to be of who came back."""
    browser = await place.opened("cloud")
    url = await browser.depart(method="github_app")
    assert url.startswith("https://cloud.example/apps/linkspan/installations/new?state=")
    page = await browser.back(place.authority.consent(url, installation_id="43"))
    assert 'data-linked="no"' in page.text
    assert await place.accounts() == []
    url = await browser.depart(method="github_app")
    await browser.back(place.authority.consent(url, installation_id="42"))
    assert ((await place.only()).method, (await place.only()).state) == ("github_app", "active")


async def test_an_installation_that_waits_for_an_owner(place: Place) -> None:
    """Somebody asked for the app and may not install it: the page says who can."""
    browser = await place.opened("cloud")
    url = await browser.depart(method="github_app")
    page = await browser.back(place.authority.consent(url, setup_action="request"))
    assert "An owner of the organization has to approve the app" in message(page.text)
    assert (place.authority.asked, await place.accounts()) == ([], [])


async def test_a_client_of_its_own_needs_no_window(place: Place) -> None:
    """Client credentials: an id that is seen and a secret that is not, and a token got with them."""
    browser = await place.opened("cloud")
    way = (await browser.show())["integrations"][0]["ways"][1]
    assert [(each["title"], each["secret"]) for each in way["fields"]] == [
        ("Client ID", False),
        ("Client secret", True),
    ]
    own = {"client_id": "own", "client_secret": "own-canary"}
    body = {"integration": "cloud", "method": "client_credentials", "secrets": own}
    answer = await browser.ask("account", body)
    assert answer.is_success, answer.text
    assert answer.json()["result"]["identity"] == "service"


async def test_where_the_browser_goes_afterwards(place: Place) -> None:
    """To the URL of the token, with Truto's words."""
    uri = "https://app.acme.example/done?x=1"
    browser = await place.opened("cloud", redirect_uri=uri)
    assert (await browser.show())["redirect"] == f"{uri}&status=closed"
    url = await browser.depart()
    await browser.back({**DENIED, "state": query(url)["state"]})
    assert (await browser.show())["redirect"] == f"{uri}&status=error&error_type=connection_error"
    await browser.back(place.authority.consent(await browser.depart()))
    linked = await place.only()
    assert (await browser.show())["redirect"] == (
        f"{uri}&status=success&integration=cloud&integrated_account_id={linked.id}"
    )
    late = await place.opened("cloud", redirect_uri=uri, lifetime=60.0)
    place.clock.now += 61
    assert (await late.show())["redirect"] == f"{uri}&status=error&error_type=invalid_token"


async def test_an_attempt_that_outlasts_its_link(place: Place) -> None:
    """The page goes on waiting for it: it may still come to an account."""
    browser = await place.opened("cloud", lifetime=60.0)
    url = await browser.depart()
    place.clock.now += 59
    seen = []

    async def later(_request: Request) -> None:
        place.clock.now += 5
        seen.append((await browser.show())["status"])

    place.outside.then = later
    await browser.back(place.authority.consent(url))
    assert set(seen) == {"busy"}
    assert (await browser.show())["status"] == "linked"


async def test_two_windows_one_account(place: Place) -> None:
    """The window that was opened last is the one that may come back."""
    browser: Browser = await place.opened("cloud")
    first = await browser.depart()
    second = await browser.depart()
    assert (await browser.back(place.authority.consent(first))).status_code == 403
    assert (await browser.back(place.authority.consent(second))).status_code == 200
    assert len(await place.accounts()) == 1
