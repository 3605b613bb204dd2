"""`linkspan.js` in a product's page: what it shows, whom it listens to, and how it ends.

Here the page that it opens is an empty one, so that a test says each word of it; with ours it is tried in
test_link.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Frame, Page
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.browser.product import Product, events, outcome, product, start
from tests.servers.browser import Person, focused, look, tab_to, until
from tests.servers.linkspan import Linkspan
from tests.servers.node import NODE, ROOT, installed
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e

STATIC: Final = ROOT / "src" / "linkspan" / "web" / "static"
TOKEN: Final = "lsk_link_a/b c"
LINKED: Final = {"result": "success", "integration": "tracker", "integrated_account_id": "acc_1"}
_HEARD: Final = """<!doctype html><html lang="en"><title>The page</title><link rel="icon" href="data:,">
<meta name="color-scheme" content="light dark"><main><h1>The page</h1><button>Go on</button></main>
<script>window.heard = []; addEventListener("message", (e) => heard.push([e.origin, e.data]));</script>"""


async def _stand_in(_request: Request) -> Response:
    return HTMLResponse(_HEARD)


@pytest.fixture(scope="module")
def page_origin() -> Iterator[str]:
    """Where the page is that a test speaks for."""
    with serving(Starlette(routes=[Route("/connect-account", _stand_in)])) as url:
        yield url


@pytest.fixture(scope="module")
def shop(page_origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A product that has the module from a real Linkspan."""
    folder = tmp_path_factory.mktemp("module")
    linkspan = Linkspan(folder / "home", ROOT / "tests" / "fakes" / "tracker.yaml")
    with (
        linkspan.serve(log=folder / "linkspan.log") as url,
        product(url, page_origin, elsewhere(page_origin)) as served,
    ):
        yield served


def shown(page: Page, origin: str) -> Frame:
    """Wait for the frame, and answer it."""
    element = page.wait_for_selector("iframe[title^=Connect]")
    assert element is not None
    frame = element.content_frame()
    assert frame is not None
    frame.wait_for_url(f"{origin}/connect-account**")
    frame.wait_for_selector("button")
    return frame


def elsewhere(origin: str) -> str:
    """Answer another origin of the same page."""
    return origin.replace("127.0.0.1", "localhost")


def go(page: Page, frame: Frame, origin: str) -> Frame:
    """Let the dialog's frame go to another address."""
    frame.evaluate("(url) => { location.href = url }", f"{origin}/connect-account")
    return shown(page, origin)


def say(where: Page | Frame, kind: str, **more: Any) -> None:
    """Post what the page posts to whoever opened it."""
    where.evaluate(
        "(message) => (window.opener ?? parent).postMessage(message, '*')",
        {"type": f"linkspan:{kind}", **more},
    )


def test_the_dialog(anna: Person, shop: Product, page_origin: str) -> None:
    """It asks for what it was told to, has the focus, gives it back, and answers as Truto's SDK does."""
    options = {
        "baseUrl": page_origin,
        "integration": "tracker",
        "integrations": ["tracker", "cloud"],
        "authFormat": "bearer",
        "noBack": True,
    }
    page = shop.open(anna, TOKEN, **options)
    tab_to(page, "Connect your tracker")
    page.keyboard.press("Enter")
    frame = shown(page, page_origin)
    url = urlsplit(frame.url)
    assert parse_qs(url.query) == {
        "iframe": ["1"],
        "integration": ["tracker"],
        "integrations": ["tracker,cloud"],
        "auth_format": ["bearer"],
        "no_back": ["1"],
    }
    assert parse_qs(url.fragment) == {"link_token": [TOKEN]}
    assert page.get_by_role("dialog", name="Connect an account").is_visible()
    assert focused(page) == "Close"
    say(frame, "ready")
    until(frame, "heard.length")
    assert frame.evaluate("heard") == [[shop.url, {"type": "linkspan:hello", "dialog": True}]]
    assert page.evaluate("document.activeElement.tagName") == "IFRAME"
    look(page, "dialog")
    say(frame, "event", name="selected", integration="tracker")
    say(frame, "success", **LINKED)
    assert outcome(page) == {"resolved": LINKED}
    assert events(page) == [{"name": "ready"}, {"name": "selected", "integration": "tracker"}]
    assert page.locator("dialog, iframe").count() == 0
    assert focused(page) == "Connect your tracker"


@pytest.mark.parametrize("way", ["Escape", "the button", "the page"])
def test_it_is_closed(way: str, anna: Person, shop: Product, page_origin: str) -> None:
    """By the keyboard, by the dialog's button, or by the page in it."""
    page = shop.open(anna, TOKEN, baseUrl=page_origin)
    start(page)
    frame = shown(page, page_origin)
    if way == "Escape":
        page.keyboard.press("Escape")
    elif way == "the button":
        page.get_by_role("button", name="Close").click()
    else:
        say(frame, "closed")
    assert outcome(page) == {"rejected": "closed"}
    assert page.locator("dialog").count() == 0


def test_an_error_of_the_page(anna: Person, shop: Product, page_origin: str) -> None:
    """It is an Error with Truto's `error_type`."""
    page = shop.open(anna, TOKEN, baseUrl=page_origin)
    start(page)
    say(shown(page, page_origin), "error", error_type="invalid_token", message="It is over")
    told = {"name": "Error", "message": "It is over", "error_type": "invalid_token"}
    assert outcome(page) == {"rejected": told}


def test_only_the_page_is_listened_to(anna: Person, shop: Product, page_origin: str) -> None:
    """Not the product, not another frame of its origin, not its own frame when that went elsewhere."""
    page = shop.open(anna, TOKEN, baseUrl=page_origin)
    start(page)
    frame = shown(page, page_origin)
    page.evaluate("(message) => postMessage(message, '*')", {"type": "linkspan:success", **LINKED})
    page.evaluate(
        "(src) => document.querySelector('#place').append("
        "Object.assign(document.createElement('iframe'), { src, title: 'Another' }))",
        f"{page_origin}/connect-account?other",
    )
    other = page.wait_for_selector("#place iframe")
    assert other is not None
    another = other.content_frame()
    assert another is not None
    another.wait_for_selector("button")
    say(another, "success", **LINKED)
    say(go(page, frame, elsewhere(page_origin)), "closed")
    say(go(page, frame, page_origin), "event", name="opened")
    until(page, "events.length")
    assert events(page) == [{"name": "opened"}]
    assert page.evaluate("window.outcome") is None


def test_a_frame_that_may_not_be_shown(anna: Person, shop: Product, page_origin: str) -> None:
    """It stays silent; after fifteen seconds that is told, with the origin that has to be allowed."""
    page = shop.open(anna, TOKEN, baseUrl=page_origin)
    page.clock.install()
    start(page)
    shown(page, page_origin)
    page.clock.run_for(15_100)
    rejected = outcome(page)["rejected"]
    assert rejected["error_type"] == "connection_error"
    assert shop.url in rejected["message"]
    assert page.locator("dialog").count() == 0


def test_in_an_element(anna: Person, shop: Product, page_origin: str) -> None:
    """It is a part of the product's page, and leaves it when it is over."""
    page = shop.open(anna, TOKEN, baseUrl=f"{page_origin}/", iframe="#place", height=320, title="Connect")
    start(page)
    frame = shown(page, page_origin)
    assert page.locator("#place iframe[title=Connect]").bounding_box()["height"] == 320  # type: ignore[index]
    assert page.locator("dialog").count() == 0
    say(frame, "success", **LINKED)
    assert outcome(page) == {"resolved": LINKED}
    assert page.locator("iframe").count() == 0


@pytest.mark.parametrize("iframe", [True, False])
def test_it_is_aborted(iframe: bool, anna: Person, shop: Product, page_origin: str) -> None:
    """Whatever was open is closed; a signal that was aborted before opens nothing."""
    page = shop.open(anna, TOKEN, baseUrl=page_origin, iframe=iframe)
    start(page)
    anna.wait_for_windows(1 if iframe else 2)
    page.evaluate("controller.abort()")
    assert outcome(page)["rejected"]["name"] == "AbortError"
    anna.wait_for_windows(1)
    assert page.locator("dialog").count() == 0
    start(page)
    assert outcome(page)["rejected"]["name"] == "AbortError"
    anna.wait_for_windows(1)


@pytest.mark.parametrize("fetched", [False, True], ids=["token", "token-fetched-after-the-click"])
def test_in_a_window(fetched: bool, anna: Person, shop: Product, page_origin: str) -> None:
    """It opens in the click, also when the token comes later, and closes when it is over."""
    page = shop.open(anna, None if fetched else TOKEN, baseUrl=page_origin, iframe=False, width=500)
    with page.expect_popup() as opened:
        start(page)
    window = opened.value
    if fetched:
        page.evaluate("(token) => give(token)", TOKEN)
    window.wait_for_url(f"{page_origin}/connect-account?iframe=0#**")
    window.wait_for_selector("button")
    assert parse_qs(urlsplit(window.url).fragment) == {"link_token": [TOKEN]}
    say(window, "ready")
    until(window, "heard.length")
    say(window, "success", **LINKED)
    assert outcome(page) == {"resolved": LINKED}
    anna.wait_for_windows(1)


def test_the_window_is_closed(anna: Person, shop: Product, page_origin: str) -> None:
    """A moment later, in case its last words are on their way."""
    page = shop.open(anna, TOKEN, baseUrl=page_origin, iframe=False)
    with page.expect_popup() as opened:
        start(page)
    opened.value.close()
    assert outcome(page) == {"rejected": "closed"}


def test_no_token_is_had(anna: Person, shop: Product, page_origin: str) -> None:
    """What the product's own request failed with is what connect() fails with."""
    page = shop.open(anna, None, baseUrl=page_origin, iframe=False)
    start(page)
    anna.wait_for_windows(2)
    page.evaluate("deny(new TypeError('no network'))")
    assert outcome(page)["rejected"]["message"] == "no network"
    anna.wait_for_windows(1)
    page.evaluate("window.token = ''")
    start(page)
    assert outcome(page)["rejected"]["error_type"] == "invalid_token"


def test_a_browser_that_blocks_windows(anna: Person, shop: Product, page_origin: str) -> None:
    """They open none, which is told; a Chromium without a screen never does that by itself."""
    page = shop.open(anna, TOKEN, baseUrl=page_origin, iframe=False)
    page.evaluate("window.open = () => null")
    start(page)
    assert outcome(page) == {"rejected": "blocked"}


def test_in_the_same_window(anna: Person, shop: Product, page_origin: str) -> None:
    """The product's page is left; it is said that nobody waits."""
    page = shop.open(anna, TOKEN, baseUrl=page_origin, sameWindow=True)
    start(page)
    page.wait_for_url(f"{page_origin}/connect-account?iframe=same#link_token=**")


def test_its_types_are_those_it_says(tmp_path: Path) -> None:
    """Both by TypeScript in its strict mode: the module against its declaration, and somebody who uses it."""
    use = tmp_path / "use.ts"
    use.write_text(USE.replace("LINKSPAN", str(STATIC / "linkspan.js")))
    options = ["--noEmit", "--allowJs", "--checkJs", "--strict", "--target", "es2022", "--module", "esnext"]
    options += ["--moduleResolution", "bundler", "--lib", "es2022,dom,dom.iterable"]
    for file, more in ((STATIC / "linkspan" / "connect.js", ["--noImplicitAny", "false"]), (use, [])):
        done = subprocess.run(
            [NODE, installed("typescript/bin/tsc"), *options, *more, file],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


USE: Final = """
import { connect, LinkspanFix, type LinkEvent, type Linked } from "LINKSPAN";
const linked: Linked = await connect("a token", { integrations: ["tracker"], iframe: false });
const account: string = linked.integrated_account_id;
await connect(fetch("/token").then((answer) => answer.text()), {
  iframe: document.body, signal: AbortSignal.timeout(60_000), baseUrl: new URL("https://linkspan.example"),
  onEvent: (event: LinkEvent) => console.log(event.name, event.message, account),
});
// @ts-expect-error  a token is needed
connect();
// @ts-expect-error  there is no such option
connect("a token", { integrate: "tracker" });
const fix: LinkspanFix = document.createElement("linkspan-fix");
fix.getToken = async ({ entity, id }) => (await fetch(`/token/${entity}/${id}`)).json();
fix.getToken = async () => ({ result: { url: "https://linkspan.example/t/acme/views/v/#view_token=x" } });
fix.getToken = async () => ({ link_token: "a token" });
// @ts-expect-error  an address or what Linkspan answered
document.createElement("linkspan-session").getToken = async () => 7;
export {};
"""
