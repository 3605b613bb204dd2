"""The page where somebody links an account, opened by its link: with the keyboard, dark and narrow."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page

from tests.browser.linking import KEY, Office, at_the_provider, back_again, say_no, sign_in
from tests.servers.browser import Person, look, tab_to

pytestmark = pytest.mark.e2e

REFUSED: Final = r"Failed to load resource: the server responded with a status of 4\d\d"


def heading(page: Page, text: str) -> None:
    """Wait for a step of the page."""
    page.get_by_role("heading", name=text, exact=True).wait_for()


def test_a_key_is_entered_with_the_keyboard_alone(anna: Person, desk: Office) -> None:
    """Choose, enter a wrong key, enter the right one, and go on to where the product wants one."""
    made = desk.link("--redirect-uri", f"{desk.shop.url}/linked")
    page = anna.open(made["url"])
    heading(page, "What do you want to connect?")
    assert made["link_token"] not in page.url
    look(page, "link-choose")
    tab_to(page, "Search")
    page.keyboard.type("track")
    page.get_by_text("1 of 6 shown").wait_for()
    tab_to(page, "The Tracker", most=3)
    page.keyboard.press("Enter")
    heading(page, "Connect The Tracker")
    look(page, "link-form")
    tab_to(page, "Token")
    anna.watch.expect(REFUSED)
    page.keyboard.type("a wrong one")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    look(page, "link-wrong-key")
    tab_to(page, "Token")
    page.keyboard.press("Control+A")
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    heading(page, "Connected")
    look(page, "link-connected")
    page.wait_for_url(f"{desk.shop.url}/linked**")
    (account,) = [each for each in desk.accounts() if each["connector"] == "tracker"]
    assert parse_qs(urlsplit(page.url).query) == {
        "status": ["success"],
        "integration": ["tracker"],
        "integrated_account_id": [account["id"]],
    }


@pytest.mark.parametrize(("name", "token"), [("used", None), ("broken", "lsk_link_no"), ("none", "")])
def test_a_link_that_does_not_work(name: str, token: str | None, anna: Person, desk: Office) -> None:
    """Used, not whole, or none: each says so, and what to do."""
    tenant = desk.tenant(f"link-{name}")
    if token is None:
        made = desk.link("tracker", tenant=tenant)
        page = anna.open(made["url"])
        page.get_by_label("Token", exact=True).fill(KEY)
        page.keyboard.press("Enter")
        heading(page, "Connected")
        page.close()
        token = made["link_token"]
    anna.watch.expect(REFUSED)
    page = anna.open(f"{desk.url}/connect-account#link_token={token}")
    page.get_by_role("alert").wait_for()
    look(page, f"link-{name}")


def test_a_link_whose_time_is_over(anna: Person, desk: Office) -> None:
    """While the page is open: what is entered then links nothing, and loading it again says why."""
    tenant = desk.tenant("link-over")
    made = desk.link("tracker", tenant=tenant)
    page = anna.open(made["url"])
    heading(page, "Connect The Tracker")
    desk.expire(made["link_token"])
    anna.watch.expect(REFUSED)
    page.get_by_label("Token", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert desk.accounts(tenant) == []
    page.reload()
    heading(page, "This link does not work")
    look(page, "link-over")


def test_a_link_whose_time_is_over_while_a_window_is_away(anna: Person, desk: Office) -> None:
    """The page waits no longer, since nothing can come of it, and leads back to where one came from."""
    made = desk.link("oidc", "--redirect-uri", f"{desk.shop.url}/linked", tenant=desk.tenant("link-late"))
    opener = anna.open(desk.shop.url)
    with opener.expect_popup() as opened:
        opener.evaluate("(url) => void window.open(url)", made["url"])
    page = opened.value
    with page.expect_popup() as away:
        page.get_by_role("button", name="Continue to Identity").click()
    at_the_provider(anna, desk.provider, away.value)
    desk.expire(made["link_token"])
    heading(page, "This link does not work")
    anna.watch.expect(REFUSED)
    alone = anna.open(page.url)
    heading(alone, "This link does not work")
    alone.get_by_role("link", name="Back to localhost").click()
    alone.wait_for_url(f"{desk.shop.url}/linked?status=error&error_type=invalid_token")


def test_a_way_is_chosen_with_the_arrow_keys(anna: Person, desk: Office) -> None:
    """There and back: the keyboard stays where it is while the fields under it change.

    A setting that only one way's address needs is asked with that way alone, and is not asked for nothing.
    """
    page = anna.open(desk.link("tracker")["url"])
    heading(page, "Connect The Tracker")
    office = page.get_by_label("Office", exact=True)
    assert office.count() == 0
    tab_to(page, "API token")
    page.keyboard.press("ArrowDown")
    page.get_by_label("Password", exact=True).wait_for()
    assert office.get_attribute("required") is not None
    office.fill("north")
    tab_to(page, "User name and password")
    page.keyboard.press("ArrowUp")
    page.get_by_label("Token", exact=True).wait_for()
    assert office.count() == 0
    page.keyboard.press("ArrowDown")
    page.get_by_label("Password", exact=True).wait_for()
    assert office.input_value() == "north"


def test_one_of_several_sites_is_chosen(anna: Person, desk: Office) -> None:
    """What the product has to be asked again for is a question, not a failure."""
    page = anna.open(desk.link("sites")["url"])
    anna.watch.expect(REFUSED)
    page.get_by_label("Token", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    heading(page, "Which one of Sites?")
    look(page, "link-choice")
    tab_to(page, "Acme Office")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    heading(page, "Connected")
    page.get_by_text("c2").wait_for()
    look(page, "link-chosen")


def test_somebody_signs_in_at_the_product(anna: Person, desk: Office) -> None:
    """In the same window, there and back; a no is told, and the next try is as good as the first."""
    page = anna.open(desk.link("oidc")["url"])
    heading(page, "Connect Identity")
    look(page, "link-consent")
    page.get_by_role("button", name="Continue to Identity").click()
    say_no(anna, desk.provider, page)
    back_again(page)
    page.get_by_role("alert").wait_for()
    look(page, "link-denied")
    page.get_by_role("button", name="Continue to Identity").click()
    sign_in(anna, desk.provider, page)
    back_again(page)
    heading(page, "Connected")
    page.get_by_text("bo@acme.example").first.wait_for()
    look(page, "link-signed-in")


def test_somebody_else_signs_in_to_an_account(anna: Person, desk: Office) -> None:
    """Linked again it stays whose it is; the page names both, and links nothing."""
    tenant = desk.tenant("again")
    page = anna.open(desk.link("oidc", tenant=tenant)["url"])
    page.get_by_role("button", name="Continue to Identity").click()
    sign_in(anna, desk.provider, page)
    back_again(page)
    heading(page, "Connected")
    anna.context.clear_cookies()
    (account,) = desk.accounts(tenant)
    page = anna.open(desk.link("--account", account["id"], tenant=tenant)["url"])
    heading(page, "Connect Identity again")
    look(page, "link-again")
    page.get_by_role("button", name="Continue to Identity").click()
    sign_in(anna, desk.provider, page, "eve")
    back_again(page)
    alert = page.get_by_role("alert")
    alert.wait_for()
    look(page, "link-identity-changed")
    told = alert.inner_text()
    assert "bo@acme.example" in told
    assert "eve@acme.example" in told
    assert [each["id"] for each in desk.accounts(tenant)] == [account["id"]]
