"""What a product's page hears of the elements, how it makes them look, and how keys are used in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from playwright.sync_api import Frame, Locator, Page

from tests.servers.browser import Person, until

INSIDE: Final = """(() => {
  const found = document.activeElement.shadowRoot?.activeElement;
  return found && (found.ariaLabel ?? found.textContent);
})()"""
"""The words of what has the focus in an element's shadow."""
_HEAR: Final = """window.heard = [];
"run watch ready state ended linked closed event error turn question".split(" ").forEach((name) => {
  addEventListener(`linkspan-${name}`, ({ target, detail }) => {
    heard.push([target.localName, name, detail ?? null]);
  });
});"""
_UNSTYLED: Final = """([element, parts]) => {
  const sheet = new CSSStyleSheet();
  const rule = (part, n) => `${element}::part(${part}) { letter-spacing: ${n + 1}px }`;
  sheet.replaceSync(parts.map(rule).join(""));
  document.adoptedStyleSheets.push(sheet);
  const root = document.querySelector(element).shadowRoot;
  const spaced = (part) => getComputedStyle(root.querySelector(`[part=${part}]`) ?? root.host).letterSpacing;
  const missed = parts.filter((part, n) => spaced(part) !== `${n + 1}px`);
  document.adoptedStyleSheets.pop();
  return missed;
}"""
_FOCUSED: Final = """(({ ariaLabel, textContent }) => (ariaLabel ?? textContent).trim().slice(0, 80))(
  document.activeElement ?? document.body)"""
_MOST: Final = 40


def hear(person: Person) -> None:
    """Listen, in every page that is opened from now on, as a product's script does."""
    person.context.add_init_script(_HEAR)


def heard(page: Page, element: str, name: str) -> list[Any]:
    """Wait until an element has told something, and answer the details of all events of that name."""
    until(page, f"heard.some(([from, what]) => from === '{element}' && what === '{name}')")
    told = page.evaluate("heard")
    return [detail for each, what, detail in told if (each, what) == (element, name)]


def unstyled(page: Page, element: str, *parts: str) -> list[str]:
    """Answer which parts of an element the page's own style sheet does not reach, or that are not there."""
    found: list[str] = page.evaluate(_UNSTYLED, [element, parts])
    return found


def press_to(page: Page, name: str, *, key: str = "Tab") -> None:
    """Press a key until what is called so has the focus, in an element's shadow."""
    way: list[str] = []
    while page.evaluate(INSIDE) != name:
        way.append(page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
        assert len(way) < _MOST, way
        page.keyboard.press(key)


def press_within(page: Page, frame: Frame, name: str) -> None:
    """Press Tab until something whose words begin like that has the focus, in a frame."""
    way: Sequence[str] = ()
    while not (way and way[-1].startswith(name)):
        assert len(way) < _MOST, way
        page.keyboard.press("Tab")
        way = (*way, str(frame.evaluate(_FOCUSED)))


def press_away(page: Page, key: str) -> None:
    """Press a key that takes away the frame in which it is pressed, and leave it down.

    Chromium does not answer for a key that goes up in a frame that leaves meanwhile, and Playwright's `press`
    waits for that answer without end.
    """
    page.keyboard.down(key)


def click_away(button: Locator) -> None:
    """Click what takes away the frame or the window in which it is, once this is answered.

    A click in something that leaves meanwhile is answered by an error, or not at all.
    """
    button.wait_for()
    button.evaluate("(button) => void setTimeout(() => button.click())")


def frame_in(page: Page, selector: str) -> Frame:
    """Answer a frame, wherever its element is."""
    frame = page.locator(selector).element_handle().content_frame()
    assert frame is not None
    return frame
