"""Pages in earnest: Linkspan behind TLS, and linking in a frame of another site, where cookies are scarce."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.elements import press_away
from tests.browser.linking import KEY, Office, framed, office, sign_in
from tests.browser.product import outcome, start
from tests.servers.browser import Person, person

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Linkspan with TLS before it."""
    with office(tmp_path_factory.mktemp("secure-desk"), secure=True) as running:
        yield running


@pytest.fixture
def anna(browser: Browser) -> Iterator[Person]:
    """Somebody whose browser takes a certificate that nobody has vouched for."""
    with person(browser, ignore_https_errors=True) as somebody:
        yield somebody


def test_a_closed_dialog_is_opened_again(anna: Person, desk: Office) -> None:
    """The frame has a cookie in its own partition, by which the same browser is known again."""
    page = desk.shop.open(anna, desk.link("tracker")["link_token"])
    start(page)
    framed(page).get_by_label("Token", exact=True).wait_for()
    page.get_by_role("dialog").press("Escape")
    assert outcome(page) == {"rejected": "closed"}
    (cookie,) = anna.context.cookies()
    assert cookie["name"].startswith("__Host-linkspan-link-")
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "None")
    assert cookie["partitionKey"] == "http://localhost"
    start(page)
    framed(page).get_by_label("Token", exact=True).fill(KEY)
    press_away(page, "Enter")
    assert outcome(page)["resolved"]["integration"] == "tracker"


def test_somebody_signs_in_from_the_dialog(anna: Person, desk: Office) -> None:
    """The window is a first-party one, with a cookie that no other site's page has it send."""
    page = desk.shop.open(anna, desk.link("oidc")["link_token"])
    start(page)
    with page.expect_popup() as opened:
        framed(page).get_by_role("button", name="Continue to Identity").click()
    sign_in(anna, desk.provider, opened.value)
    assert outcome(page)["resolved"]["integration"] == "oidc"
    found = {cookie["name"]: cookie for cookie in anna.context.cookies()}
    assert found["__Host-linkspan-away"]["sameSite"] == "Lax"


def test_a_link_is_opened_in_one_browser(anna: Person, browser: Browser, desk: Office) -> None:
    """Somebody else who has the link sees that it is taken, and nothing more."""
    made = desk.link("tracker")
    page = anna.open(made["url"])
    page.get_by_label("Token", exact=True).wait_for()
    with person(browser, ignore_https_errors=True) as eve:
        eve.watch.expect("status of 40")
        other = eve.open(made["url"])
        other.get_by_role("alert").wait_for()
        assert other.get_by_label("Token", exact=True).count() == 0


def test_an_invitation_is_taken(anna: Person, desk: Office) -> None:
    """Signing in to us keeps cookies of this host alone, which scripts do not see."""
    printed = desk.linkspan.run("person", "invite", "anna", "--tenant", "acme", "--json")
    page = anna.open(json.loads(printed)["link"])
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="You are signed in").wait_for()
    cookies = anna.context.cookies()
    assert {cookie["name"] for cookie in cookies} == {
        "__Host-linkspan-browser",
        "__Host-linkspan-session-acme",
    }
    assert all(cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Lax" for cookie in cookies)
