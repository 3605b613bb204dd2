"""A real browser, and what every page is watched for while a test uses it.

Chromium comes from the distribution (scripts/pins/debian.txt); Playwright drives it. Nothing but this machine
can be reached: a request that leaves it is a fault of the page, and so is every warning or error that appears
in the console, among them whatever a page's own Content-Security-Policy has blocked.
"""

from __future__ import annotations

import contextlib
import faulthandler
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Error,
    Frame,
    Page,
    Request,
    sync_playwright,
)

from tests.servers.node import ROOT, installed

SCREENS: Final = ROOT / "artifacts" / "screens"
WIDTHS: Final = (360, 1440)
Scheme = Literal["light", "dark"]
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")
_PATIENCE: Final = 20.0
"""Seconds that a page has to become what is waited for."""
_LONGEST: Final = 240.0
"""Seconds that one test may have a browser."""
_HERE: Final = frozenset({"127.0.0.1", "localhost"})
_ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_RULES: Final[Mapping[str, Any]] = {
    "type": "tag",
    "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
_COLOURS: Final[Mapping[str, Any]] = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
_AXE: Final = """async (rules) => {
  const found = await axe.run(document, {
    runOnly: rules, iframes: false, preload: false, resultTypes: ["violations"],
  });
  return found.violations.flatMap(({id, help, nodes}) =>
    nodes.map((node) => `${id}: ${help}: ${node.html}\\n${node.failureSummary}`));
}"""
_WIDER: Final = """() => {
  const found = [];
  const walk = (root, edge) => {
    for (const element of root.querySelectorAll("*")) {
      const { right } = element.getBoundingClientRect();
      // A dialog lies over the page, whatever it is written in; what scrolls may have anything in it.
      const stands = right > 1 + (element.closest("dialog") ? innerWidth : edge);
      const spills = element.clientWidth && element.scrollWidth > element.clientWidth + 1
        && getComputedStyle(element).overflowX === "visible";
      if (stands || spills) found.push(element.outerHTML.slice(0, 200));
      if (element.shadowRoot) walk(element.shadowRoot, Math.min(right, innerWidth));
    }
  };
  walk(document.body, innerWidth);
  return found;
}"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium until the block ends; raises `RuntimeError` when it is not installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise RuntimeError("Chromium is not installed; run scripts/test --all")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """What the pages of one person's browser did that no page may do."""

    faults: list[str] = field(default_factory=list)
    expected: list[re.Pattern[str]] = field(default_factory=list)

    def expect(self, pattern: str) -> None:
        """Let something pass that is meant to happen, such as the browser's own line about an HTTP 403."""
        self.expected.append(re.compile(pattern))

    def check(self) -> None:
        """Raise `AssertionError` with everything that was wrong."""
        wrong = [fault for fault in self.faults if not any(known.search(fault) for known in self.expected)]
        assert not wrong, "\n".join(wrong)

    def on_console(self, message: ConsoleMessage) -> None:
        """Keep warnings and errors."""
        if message.type in {"warning", "error"}:
            self.faults.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def on_error(self, error: Error) -> None:
        """Keep exceptions that no script caught."""
        self.faults.append(f"uncaught: {error.message}")

    def on_request(self, request: Request) -> None:
        """Keep requests that leave this machine."""
        url = urlsplit(request.url)
        if url.scheme in {"http", "https", "ws", "wss"} and url.hostname not in _HERE:
            self.faults.append(f"external request: {request.url}")


@dataclass(frozen=True)
class Person:
    """Somebody with a browser of their own: cookies, windows, and a watch over all of them."""

    context: BrowserContext
    watch: Watch

    def open(self, url: str) -> Page:
        """Open a page in a new window."""
        page = self.context.new_page()
        page.goto(url)
        return page

    def wait_for_windows(self, number: int) -> None:
        """Wait until that many windows are open."""
        deadline = time.monotonic() + _PATIENCE
        while len(self.context.pages) != number:
            assert time.monotonic() < deadline, [page.url for page in self.context.pages]
            self.context.pages[0].evaluate("1")  # in which Playwright hears of it


@contextlib.contextmanager
def person(browser: Browser, *, watch: Watch | None = None, **options: Any) -> Iterator[Person]:
    """Give somebody a fresh browser until the block ends; then what the watch saw is told.

    `options` are those of Playwright's `new_context`.
    """
    watch = watch or Watch()
    context = browser.new_context(viewport={"width": WIDTHS[1], "height": 900}, **options)
    context.set_default_timeout(_PATIENCE * 1000)
    context.on("console", watch.on_console)
    context.on("request", watch.on_request)
    context.on("weberror", lambda found: watch.on_error(found.error))
    # Playwright waits without end for a script in a document that is gone: rather end this process.
    faulthandler.dump_traceback_later(_LONGEST, exit=True)
    try:
        yield Person(context, watch)
        watch.check()
    finally:
        context.close()
        faulthandler.cancel_dump_traceback_later()


def until(where: Page | Frame, expression: str) -> Any:
    """Wait until an expression is true in a document, and answer its value.

    Playwright's own `wait_for_function` evaluates text in the page, which a strict page does not allow.
    """
    deadline = time.monotonic() + _PATIENCE
    while not (found := where.evaluate(expression)):
        assert time.monotonic() < deadline, f"{expression} is {found} at {where.url}"
    return found


def look(page: Page, name: str) -> None:
    """Look at a page as everybody may see it: dark and light, narrow and wide.

    Each time it must have no violation of axe-core's rules, and nothing may stand out at its right, nor at
    the right of an element in whose open shadow it is. What was seen is kept in
    artifacts/screens/NAME-SCHEME-WIDTH.png.
    """
    SCREENS.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size
    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            # Colours on their way from one scheme to the other are seen where they arrive.
            seen = SCREENS / f"{name}-{scheme}-{width}.png"
            page.screenshot(path=seen, full_page=True, animations="disabled")
            # Colours are all that a scheme changes.
            rules = _RULES if scheme == SCHEMES[0] else _COLOURS
            for frame in page.frames:
                wrong = [*violations(frame, rules), *wider(frame)]
                found += [f"{name}, {scheme}, {width} px: {text}" for text in wrong]
    page.emulate_media(color_scheme="light")
    if size is not None:
        page.set_viewport_size(size)
    assert not found, "\n\n".join(found)


_SETTLED: Final = """() => document.getAnimations()
  .filter((each) => each instanceof CSSTransition).forEach((each) => each.finish())"""
"""Colours on their way from one scheme to the other are nobody's to read."""


def violations(frame: Frame, rules: Mapping[str, Any] = _RULES) -> list[str]:
    """Answer what axe-core finds in a document."""
    frame.evaluate(_SETTLED)
    if not frame.evaluate("'axe' in window"):
        frame.evaluate(installed("axe-core/axe.min.js").read_text())
    found: list[str] = frame.evaluate(_AXE, rules)
    return found


def wider(frame: Frame) -> list[str]:
    """Answer what stands out at the right: of a document, or of an element in whose open shadow it is."""
    found: list[str] = frame.evaluate(_WIDER)
    return found


def focused(page: Page) -> str:
    """Answer what has the keyboard's focus, by the words that assistive technology has for it."""
    text: str = page.evaluate(
        """() => {
          const element = document.activeElement;
          const words = (element.labels?.[0] ?? element).cloneNode(true);
          for (const hidden of words.querySelectorAll("[aria-hidden=true]")) hidden.remove();
          return (element.getAttribute("aria-label") ?? words.textContent).trim().replace(/\\s+/g, " ");
        }"""
    )
    return text


def tab_to(page: Page, name: str, *, most: int = 30) -> None:
    """Press Tab until something whose words begin like that has the focus, and is seen to have it.

    Raises `AssertionError` with the names on the way when it is not reached.
    """
    way = [focused(page)]
    while not way[-1].startswith(name):
        assert len(way) <= most, f"no way with Tab to {name!r}: {way}"
        page.keyboard.press("Tab")
        way.append(focused(page))
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", f"{name!r} has the focus, and nothing shows it"
