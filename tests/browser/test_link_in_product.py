"""Linking from a product's page of another site, with `linkspan.js` and with Truto's own script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Frame, Page
from playwright.sync_api import Route as Asked
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.browser.elements import INSIDE, click_away, hear, heard, press_away, press_to
from tests.browser.linking import KEY, Office, at_the_provider, framed, say_no, sign_in
from tests.browser.product import Product, events, outcome, product, start
from tests.servers.browser import Person, look, tab_to, until
from tests.servers.node import ROOT
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e

REFUSED = r"Failed to load resource: the server responded with a status of 4\d\d"

ELEMENT = """(token) => {
  const element = document.createElement("linkspan-connect");
  element.setAttribute("integration", "tracker");
  element.setAttribute("done", "The tracker is yours");
  element.getToken = async () => token;
  document.querySelector("main").append(element);
}"""


def names(page: Page) -> list[str]:
    """What `onEvent` was told, by name."""
    return [event["name"] for event in events(page)]


def linked(found: dict[str, Any], desk: Office, connector: str) -> None:
    """It came to an account, whose id is the one in the store."""
    account = next(each for each in reversed(desk.accounts()) if each["connector"] == connector)
    told = {"result": "success", "integration": connector, "integrated_account_id": account["id"]}
    assert found == {"resolved": told}


def heading(where: Page | Frame, text: str) -> None:
    """Wait for a step of the page."""
    where.get_by_role("heading", name=text, exact=True).wait_for()


def test_a_key_in_the_dialog_with_the_keyboard_alone(anna: Person, desk: Office) -> None:
    """From the product's button to the account, without a mouse and without a cookie of another site."""
    page = desk.shop.open(anna, desk.link()["link_token"], integration="tracker", noBack=True)
    tab_to(page, "Connect your tracker")
    page.keyboard.press("Enter")
    frame = framed(page)
    heading(frame, "Connect The Tracker")
    assert frame.get_by_role("button", name="Back").count() == 0
    look(page, "dialog-form")
    anna.watch.expect(REFUSED)
    for key in ("a wrong one", KEY):
        frame.get_by_label("Token", exact=True).focus()
        page.keyboard.press("Control+A")
        page.keyboard.type(key)
        if key == KEY:
            press_away(page, "Enter")
        else:
            page.keyboard.press("Enter")
            frame.get_by_role("alert").wait_for()
            look(page, "dialog-wrong-key")
    linked(outcome(page), desk, "tracker")
    assert names(page) == ["ready", "opened", "selected", "verifying", "failed", "verifying"]
    assert page.locator("dialog").count() == 0


def test_somebody_signs_in_from_the_dialog(anna: Person, desk: Office) -> None:
    """The product that is linked opens in a window; a no is told in both, and a closed one is noticed."""
    page = desk.shop.open(anna, desk.link("oidc")["link_token"])
    start(page)
    frame = framed(page)
    go_on = frame.get_by_role("button", name="Continue to Identity")
    with page.expect_popup() as opened:
        go_on.click()
    at_the_provider(anna, desk.provider, opened.value)
    look(page, "dialog-waiting")
    opened.value.close()
    again = frame.get_by_role("button", name="Try again")
    again.wait_for()
    look(page, "dialog-window-closed")
    again.click()
    with page.expect_popup() as opened:
        go_on.click()
    say_no(anna, desk.provider, opened.value)
    heading(opened.value, "Not connected")
    look(opened.value, "window-denied")
    frame.get_by_role("alert").wait_for()
    look(page, "dialog-denied")
    opened.value.close()
    with page.expect_popup() as opened:
        go_on.click()
    sign_in(anna, desk.provider, opened.value)
    linked(outcome(page), desk, "oidc")
    anna.wait_for_windows(1)
    assert names(page).count("authorizing") == 3


def test_an_element_links_an_account(anna: Person, desk: Office) -> None:
    """From its button to the account, by the keyboard; the page hears of each step and of the account."""
    hear(anna)
    page = desk.shop.open(anna, None)
    page.evaluate(ELEMENT, desk.link()["link_token"])
    press_to(page, "Connect an account")
    page.keyboard.press("Enter")
    frame = framed(page)
    heading(frame, "Connect The Tracker")
    frame.get_by_label("Token", exact=True).focus()
    page.keyboard.type(KEY)
    press_away(page, "Enter")
    (told,) = heard(page, "linkspan-connect", "linked")
    linked({"resolved": told}, desk, "tracker")
    page.get_by_role("status").get_by_text("The tracker is yours", exact=True).wait_for()
    steps = [each["name"] for each in heard(page, "linkspan-connect", "event")]
    assert (steps[0], steps[-1]) == ("ready", "verifying")
    assert until(page, INSIDE) == "Connect an account"
    look(page, "connect-done")


@pytest.mark.parametrize("way", ["Escape", "the button"])
def test_the_dialog_is_closed_from_within(way: str, anna: Person, desk: Office) -> None:
    """The keyboard is in the page then, and it is the page that says so."""
    page = desk.shop.open(anna, desk.link("tracker")["link_token"])
    start(page)
    frame = framed(page)
    heading(frame, "Connect The Tracker")
    if way == "Escape":
        press_away(page, "Escape")
    else:
        click_away(frame.get_by_role("button", name="Close"))
    assert outcome(page) == {"rejected": "closed"}
    assert page.locator("dialog").count() == 0


def test_a_page_that_is_not_allowed(anna: Person, desk: Office) -> None:
    """It is told so at once, shows nothing to click, and the link is as good as before."""
    made = desk.link("tracker", origins=("https://another.example",))
    page = desk.shop.open(anna, made["link_token"])
    anna.watch.expect(REFUSED)
    start(page)
    rejected = outcome(page)["rejected"]
    assert (rejected["name"], rejected["error_type"]) == ("Error", "connection_error")
    alone = anna.open(made["url"])
    heading(alone, "Connect The Tracker")


def test_a_frame_of_a_page_that_is_not_allowed(anna: Person, desk: Office) -> None:
    """Also when it frames the session of somebody who has opened the link: the browser shows nothing."""
    made = desk.link("tracker")
    page = anna.open(made["url"])
    heading(page, "Connect The Tracker")
    session = page.url
    assert "session=" in session
    with product(desk.url) as other:
        trap = anna.open(other.url)
        anna.watch.expect("frame-ancestors")
        with trap.expect_console_message(lambda message: "frame-ancestors" in message.text):
            trap.evaluate(
                "(src) => document.body.append(Object.assign(document.createElement('iframe'), { src }))",
                session,
            )


def test_in_a_window(anna: Person, desk: Office) -> None:
    """The page has a window, and the product that is linked another; both close."""
    page = desk.shop.open(anna, desk.link("oidc")["link_token"], iframe=False)
    with page.expect_popup() as opened:
        start(page)
    window = opened.value
    heading(window, "Connect Identity")
    with window.expect_popup() as second:
        window.get_by_role("button", name="Continue to Identity").click()
    sign_in(anna, desk.provider, second.value)
    linked(outcome(page), desk, "oidc")
    anna.wait_for_windows(1)


def test_a_browser_that_blocks_the_second_window(anna: Person, desk: Office) -> None:
    """In a frame it is told, and the next click may do; in a window of ours the product opens in that."""
    page = desk.shop.open(anna, desk.link("oidc")["link_token"])
    start(page)
    frame = framed(page)
    heading(frame, "Connect Identity")
    frame.evaluate("window.open = () => null")
    frame.get_by_role("button", name="Continue to Identity").click()
    frame.get_by_role("alert").wait_for()
    look(page, "dialog-blocked")
    page.close()

    page = desk.shop.open(anna, desk.link("oidc")["link_token"], iframe=False)
    with page.expect_popup() as opened:
        start(page)
    heading(opened.value, "Connect Identity")
    opened.value.evaluate("window.open = () => null")
    opened.value.get_by_role("button", name="Continue to Identity").click()
    sign_in(anna, desk.provider, opened.value)
    linked(outcome(page), desk, "oidc")
    anna.wait_for_windows(1)


def test_a_product_that_cuts_windows_apart(anna: Person, desk: Office) -> None:
    """By Cross-Origin-Opener-Policy: its window seems closed, and the page hears of it all the same."""

    def cut(route: Asked) -> None:
        answer = route.fetch(max_redirects=0)
        route.fulfill(
            response=answer, headers={**answer.headers, "Cross-Origin-Opener-Policy": "same-origin"}
        )

    anna.context.route(f"{desk.provider.url}/**", cut)
    page = desk.shop.open(anna, desk.link("oidc")["link_token"])
    start(page)
    frame = framed(page)
    with page.expect_popup() as opened:
        frame.get_by_role("button", name="Continue to Identity").click()
    at_the_provider(anna, desk.provider, opened.value)
    frame.get_by_text("or went out of sight").wait_for()
    sign_in(anna, desk.provider, opened.value)
    linked(outcome(page), desk, "oidc")
    anna.wait_for_windows(1)


def test_the_window_of_the_page_is_closed(anna: Person, desk: Office) -> None:
    """By its own button, and by the browser's."""
    made = desk.link("tracker")
    page = desk.shop.open(anna, made["link_token"], iframe=False)
    for way in ("its own", "the browser's"):
        with page.expect_popup() as opened:
            start(page)
        heading(opened.value, "Connect The Tracker")
        if way == "its own":
            click_away(opened.value.get_by_role("button", name="Close"))
        else:
            opened.value.close()
        assert outcome(page) == {"rejected": "closed"}
        anna.wait_for_windows(1)


def test_a_link_that_was_used(anna: Person, desk: Office) -> None:
    """It is an Error with Truto's `error_type`."""
    page = desk.shop.open(anna, "lsk_link_no")
    anna.watch.expect(REFUSED)
    start(page)
    assert outcome(page)["rejected"]["error_type"] == "invalid_token"


def test_in_the_same_window(anna: Person, desk: Office) -> None:
    """There, and back by the redirect_uri with what came of it."""
    made = desk.link("tracker", "--redirect-uri", f"{desk.shop.url}/?back")
    page = desk.shop.open(anna, made["link_token"], sameWindow=True)
    start(page)
    heading(page, "Connect The Tracker")
    page.get_by_label("Token", exact=True).fill(KEY)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{desk.shop.url}/?back&status=success&**")


def test_in_the_same_window_of_a_product_that_was_opened_itself(anna: Person, desk: Office) -> None:
    """Who has opened the product waits for nothing of ours: there, to what is linked, and back."""
    made = desk.link("oidc", "--redirect-uri", f"{desk.shop.url}/?back")
    portal = anna.open(desk.shop.url)
    with portal.expect_popup() as opened:
        portal.evaluate("(url) => void window.open(url)", desk.shop.url)
    page = opened.value
    page.wait_for_selector("[data-ready]")
    page.evaluate(
        "(token) => Object.assign(window, { token, options: { sameWindow: true } })", made["link_token"]
    )
    start(page)
    page.get_by_role("button", name="Continue to Identity").click()
    sign_in(anna, desk.provider, page)
    page.wait_for_url(f"{desk.shop.url}/?back&status=success&**")


def test_the_example_of_the_documentation(anna: Person, desk: Office) -> None:
    """What docs/linking.md says to put into a page is all that it takes; its token comes after the click."""
    found = re.search(r"```html\n(.*?)```", (ROOT / "docs" / "linking.md").read_text(), re.DOTALL)
    assert found is not None
    example = found[1].replace("https://linkspan.example", desk.url).replace('"desk"', '"tracker"')
    tokens: list[str] = []

    async def page(_request: Request) -> Response:
        head = '<!doctype html><html lang="en"><title>A product</title><link rel="icon" href="data:,">'
        return HTMLResponse(head + example)

    async def token(_request: Request) -> Response:
        return PlainTextResponse(tokens.pop())

    routes = [Route("/", page), Route("/your/link-token", token, methods=["POST"])]
    with serving(Starlette(routes=routes)) as url:
        origin = url.replace("127.0.0.1", "localhost")
        tenant = desk.tenant("example")
        tokens.append(desk.link("tracker", tenant=tenant, origins=(origin,))["link_token"])
        shown = anna.open(origin)
        shown.get_by_role("button", name="Connect your tracker").click()
        framed(shown).get_by_label("Token", exact=True).fill(KEY)
        press_away(shown, "Enter")
        shown.locator("dialog").wait_for(state="detached")
    assert [each["connector"] for each in desk.accounts(tenant)] == ["tracker"]


@pytest.fixture(scope="module")
def migrant(desk: Office) -> Iterator[Product]:
    """A product that still has Truto's script, told where Linkspan is."""
    with product(desk.url, truto=True) as shop:
        yield shop


@pytest.mark.parametrize("is_blocked", [False, True])
def test_trutos_script_links_an_account(
    is_blocked: bool, anna: Person, desk: Office, migrant: Product
) -> None:
    """In its window mode, with a second window or without: it resolves with what it knows from Truto."""
    made = desk.link("tracker", "oidc", origins=(migrant.url,))
    page = migrant.open(anna, made["link_token"], iframe=False, integration="oidc")
    with page.expect_popup() as opened:
        start(page)
    window = opened.value
    heading(window, "Connect Identity")
    assert made["link_token"] not in window.url
    go_on = window.get_by_role("button", name="Continue to Identity")
    if is_blocked:
        window.evaluate("window.open = () => null")
        go_on.click()
        sign_in(anna, desk.provider, window)
    else:
        with window.expect_popup() as second:
            go_on.click()
        sign_in(anna, desk.provider, second.value)
    found = outcome(page)["resolved"]
    account = next(each for each in reversed(desk.accounts()) if each["connector"] == "oidc")
    told = {"result": "success", "integration": "oidc", "integrated_account_id": account["id"]}
    assert found == {**told, "is_truto": True}
    anna.wait_for_windows(1)


def test_a_browser_without_fetch_metadata_trades_the_token_by_script(
    anna: Person, desk: Office, migrant: Product
) -> None:
    """Older browsers, and any over plain HTTP, do not say that somebody goes there."""
    made = desk.link("tracker", origins=(migrant.url,))
    page = migrant.open(anna, made["link_token"], iframe=False)

    def unsaid(route: Asked) -> None:
        headers = {name: value for name, value in route.request.headers.items() if "sec-fetch" not in name}
        route.fulfill(response=route.fetch(headers=headers))

    page.context.route("**/connect-account?*link_token=*", unsaid)
    with page.expect_popup() as opened:
        start(page)
    heading(opened.value, "Connect The Tracker")
    assert made["link_token"] not in opened.value.url
    click_away(opened.value.get_by_role("button", name="Close"))
    assert outcome(page) == {"rejected": "closed"}


def test_trutos_script_is_told_of_a_link_that_was_used(anna: Person, migrant: Product) -> None:
    """It rejects with an Error that has Truto's `error_type`, and closes its window."""
    page = migrant.open(anna, "lsk_link_no", iframe=False)
    anna.watch.expect(REFUSED)
    start(page)
    assert outcome(page)["rejected"]["error_type"] == "invalid_token"
    anna.wait_for_windows(1)


def test_trutos_script_notices_that_its_window_is_closed(
    anna: Person, desk: Office, migrant: Product
) -> None:
    """It says "closed", as it does at Truto."""
    made = desk.link("tracker", origins=(migrant.url,))
    page = migrant.open(anna, made["link_token"], iframe=False)
    with page.expect_popup() as opened:
        start(page)
    heading(opened.value, "Connect The Tracker")
    click_away(opened.value.get_by_role("button", name="Close"))
    assert outcome(page) == {"rejected": "closed"}
