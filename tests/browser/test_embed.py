"""The elements in a product's page of another site: the button, the run in a frame, and what goes wrong.

The product is `examples/embed`, started by its one command; runs are played without Codex.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.browser.elements import (
    INSIDE,
    click_away,
    frame_in,
    hear,
    heard,
    press_away,
    press_to,
    press_within,
    unstyled,
)
from tests.servers.browser import Person, look, until
from tests.servers.linkspan import Linkspan
from tests.servers.node import ROOT
from tests.servers.played import Played, Stage, stage, whole
from tests.servers.serving import free_port, running

pytestmark = pytest.mark.e2e
CONNECT = """(answered) => {
  const element = document.createElement("linkspan-connect");
  element.setAttribute("integration", "desk");
  element.setAttribute("label", "Connect the desk");
  element.getToken = async ({ integration }) => integration === "desk" && answered;
  document.querySelector("main").append(element);
}"""
ADDED = """() => {
  for (const [name, more] of [
    ["linkspan-connect", { integration: "desk", label: "Connect" + "ThisOne".repeat(9) }],
    ["linkspan-run", { entity: "ticket", "entity-id": "HC-103" }],
    ["linkspan-session", { entity: "ticket", "entity-id": "HC-103", recipe: "fix_ticket" }],
  ]) {
    const element = document.createElement(name);
    element.setAttribute("tokens", "/view-token");
    for (const [key, value] of Object.entries(more)) element.setAttribute(key, value);
    document.querySelector("main").append(element);
  }
}"""
"""Those that the product's page does not have by itself, one with a word that no telephone has room for."""
VARIABLES = """([name, part, property]) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`${name} {
    --linkspan-accent: rgb(1, 2, 3); --linkspan-on-accent: rgb(4, 5, 6); --linkspan-radius: 7px;
    --linkspan-font: 21px monospace; --linkspan-link: rgb(8, 9, 10); --linkspan-focus: rgb(11, 12, 13);
  }`);
  document.adoptedStyleSheets.push(sheet);
  const asked = document.querySelector(name).shadowRoot.querySelector(`[part=${part}]`);
  asked.focus();
  const found = getComputedStyle(asked)[property];
  document.adoptedStyleSheets.pop();
  return found;
}"""
BUTTON = {
    "backgroundColor": "rgb(1, 2, 3)", "color": "rgb(4, 5, 6)", "borderRadius": "7px", "fontSize": "21px",
    "outlineColor": "rgb(11, 12, 13)",
}  # fmt: skip
BOX = {"borderRadius": "7px", "outlineColor": "rgb(11, 12, 13)"}
HEEDED = {
    ("linkspan-fix", "button"): BUTTON,
    ("linkspan-fix", "result"): {"color": "rgb(8, 9, 10)"},
    ("linkspan-connect", "button"): BUTTON,
    ("linkspan-run", "status"): {"fontSize": "21px"},
    ("linkspan-session", "button"): BUTTON,
    ("linkspan-session", "log"): {**BOX, "fontSize": "21px"},
    ("linkspan-session", "words"): {**BOX, "fontSize": "21px"},
}
"""What docs/embedding.md says of the variables, by element and part."""
WHY = f"OpenAI did not answer: https://models.example/{'v1' * 40}"
TITLE = f"Let{'TheTillAddAnHour' * 4}"
RIGHTS = ("read", "run.start", "run.steer", "run.cancel", "run.approve")


@dataclass(frozen=True)
class Quay:
    """The product as it is served, and the stage behind Linkspan."""

    url: str
    linkspan: Linkspan
    stage: Stage

    def taken(self, page: Page) -> Played:
        """Wait until the page has a run, and take it."""
        started = until(page, "document.querySelector('linkspan-fix').run?.id")
        return self.stage.take(str(started))

    def expire(self) -> None:
        """Let the minutes of all view tokens be over."""
        database = self.stage.app.database
        self.stage.portal.call(lambda: database.execute("UPDATE view_tokens SET expires = 1", quiet=True))


@pytest.fixture(scope="module")
def quay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quay]:
    """The product and Linkspan, which works no runs."""
    folder = tmp_path_factory.mktemp("quay")
    linkspan = Linkspan(folder / "home", ROOT / "tools.yaml", {"LINKSPAN_NO_WORK": "1"})
    linkspan.add_tenant("acme")
    _, token = linkspan.create_token("acme", *(word for right in RIGHTS for word in ("--scope", right)))
    log, port = folder / "quay.log", free_port()
    with (
        stage(linkspan) as played,
        linkspan.serve(log=folder / "linkspan.log") as url,
        running(
            [sys.executable, ROOT / "examples" / "embed", "--linkspan", url, "--port", str(port)],
            log=log,
            env={**os.environ, "LINKSPAN_TOKEN": token},
            ready=lambda: _listens(port),
            seconds=60,
        ),
    ):
        yield Quay(f"http://localhost:{port}", linkspan, played)


def test_an_element_looks_as_its_page_says(anna: Person, quay: Quay) -> None:
    """Each variable is heeded and each part is reached, the focus among them; at first there is nothing."""
    page = anna.open(f"{quay.url}/tickets/HC-103")
    expect(page.get_by_role("button", name="Fix with Codex")).to_have_attribute("aria-disabled", "false")
    page.evaluate(ADDED)
    expect(page.get_by_role("button", name="ConnectThisOne")).to_be_visible()
    expect(page.get_by_text("There is no run to show yet")).to_be_visible()
    expect(page.locator("linkspan-session").get_by_text("is not one to talk in")).to_be_visible()
    assert page.evaluate("document.querySelector('linkspan-run').clientHeight") < 100
    look(page, "embed-empty")
    press_to(page, "Fix with Codex")
    for (name, part), properties in HEEDED.items():
        for each, value in properties.items():
            assert page.evaluate(VARIABLES, [name, part, each]) == value, (name, part, each)
    assert unstyled(page, "linkspan-fix", "row", "button", "watch", "result", "status") == []
    assert unstyled(page, "linkspan-connect", "row", "button", "status") == []
    assert unstyled(page, "linkspan-connect", "result") == ["result"]


def test_the_button_is_pressed_and_the_result_is_seen(anna: Person, quay: Quay) -> None:
    """By the keyboard, watched in the page, approved in the frame; the focus is nowhere lost.

    The product's page hears of all of it.
    """
    hear(anna)
    page = anna.open(f"{quay.url}/tickets/HC-103")
    expect(page.get_by_role("button", name="Fix with Codex")).to_have_attribute("aria-disabled", "false")
    look(page, "embed-button")
    press_to(page, "Fix with Codex")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Queued")
    assert until(page, INSIDE) == "Watch"
    run = quay.taken(page)
    run.enter("running")
    run.tell("plan", steps=[{"step": "Find the cause", "status": "completed"},
                            {"step": "Put it right", "status": "inProgress"}])  # fmt: skip
    expect(page.get_by_role("status")).to_have_text("Codex is at work: Put it right (1 of 2 done)")
    page.keyboard.press("Enter")
    frame = page.frame_locator("linkspan-run iframe")
    expect(frame.get_by_role("heading", name="What happened")).to_be_visible()
    expect(frame.get_by_text("now Put it right")).to_be_visible()
    look(page, "embed-works")
    whole(run)
    expect(page.get_by_role("button", name="Look and decide")).to_be_visible()
    expect(frame.get_by_text("I found it: <b>the till</b> adds no hour.")).to_be_visible()
    look(page, "embed-run")
    frame.get_by_label("Why, if you want to say").fill("It is small")
    press_within(page, frame_in(page, "linkspan-run iframe"), "Approve")
    page.keyboard.press("Enter")
    expect(frame.get_by_text("approved by priya, “It is small”")).to_be_visible()
    run.enter("succeeded", summary="The till adds an hour now.",
              pull_request={"url": "https://forge.example/acme/harbour/pull/7", "title": TITLE})  # fmt: skip
    expect(page.get_by_role("link", name=f"Pull request {TITLE}", exact=True)).to_be_visible()
    expect(frame.get_by_text("The till adds an hour now.")).to_be_visible()
    expect(frame.get_by_text("open Put it right")).to_be_visible()
    expect(page.get_by_role("button", name="Fix with Codex")).to_have_count(0)
    look(page, "embed-done")
    assert unstyled(page, "linkspan-run", "frame") == []
    told = heard(page, "linkspan-fix", "run")
    assert {each["id"] for each in told} == {run.id}
    assert [told[0]["state"], told[-1]["state"]] == ["queued", "succeeded"]
    assert [each["id"] for each in heard(page, "linkspan-fix", "watch")] == [run.id]
    assert len(heard(page, "linkspan-run", "ready")) == 1
    assert all(each["state"] for each in heard(page, "linkspan-run", "state"))
    assert len(heard(page, "linkspan-run", "ended")) == 1
    page.reload()
    expect(page.get_by_role("link", name=f"Pull request {TITLE}", exact=True)).to_be_visible()
    for kept in page.evaluate("[location.href, document.cookie, ...Object.values(localStorage)]"):
        assert "lsk_" not in str(kept)


def test_a_run_that_failed_is_tried_again_after_the_tokens_minutes(anna: Person, quay: Quay) -> None:
    """The page is given a new token whenever the old one is over, with a run over the page and before.

    What a stranger says to its window is nothing to it.
    """
    anna.watch.expect("status of 401")
    page = anna.open(f"{quay.url}/tickets/HC-104")
    page.get_by_role("button", name="Fix with Codex").click()
    run = quay.taken(page)
    run.enter("failed", error_code="upstream_error", error_message=WHY)
    status = page.locator("linkspan-fix").get_by_role("status").first
    expect(status).to_have_text(f"Failed: {WHY}")
    page.get_by_role("button", name="What it did").click()
    shown = page.frame_locator("#run iframe")
    expect(shown.get_by_text(WHY)).to_be_visible()
    look(page, "embed-failed")
    quay.expire()
    press_to(page, "Try again")
    page.keyboard.press("Enter")
    expect(status).to_have_text("Queued")
    again = quay.taken(page)
    assert again.id != run.id
    # Without the page's own way to show it, it is shown over the page.
    page.evaluate("addEventListener('linkspan-watch', (event) => event.stopImmediatePropagation(), true)")
    quay.expire()
    press_to(page, "Watch")
    page.keyboard.press("Enter")
    frame = page.frame_locator("dialog linkspan-run iframe")
    expect(frame.get_by_role("button", name="Cancel the run")).to_be_visible()
    page.evaluate("postMessage(null)")
    look(page, "embed-dialog")
    assert unstyled(page, "linkspan-fix", "dialog", "close") == []
    quay.expire()
    with page.expect_request("**/body"):
        click_away(frame.get_by_role("button", name="Cancel the run"))
    expect(frame.get_by_role("button", name="Cancel the run")).to_be_visible()
    press_within(page, frame_in(page, "dialog linkspan-run iframe"), "Cancel the run")
    page.keyboard.press("Enter")
    expect(frame.get_by_text("priya asked that it ends")).to_be_visible()
    again.enter("cancelled")
    expect(status).to_have_text("Cancelled")
    press_away(page, "Escape")
    expect(page.locator("dialog")).to_have_count(0)
    assert until(page, INSIDE) == "What it did"


def test_a_page_of_another_origin_gets_nothing(anna: Person, quay: Quay) -> None:
    """The product's backend refuses it; each element says so in its place, and does nothing."""
    anna.watch.expect("status of 403")
    hear(anna)
    page = anna.open(f"{quay.url.replace('localhost', '127.0.0.1')}/tickets/HC-103")
    expect(page.get_by_role("status")).to_have_text("There is no token for it (403)")
    expect(page.get_by_role("button", name="Fix with Codex")).to_have_attribute("aria-disabled", "true")
    told = {"code": "invalid_token", "message": "There is no token for it (403)"}
    assert heard(page, "linkspan-fix", "error") == [told]
    page.evaluate(ADDED)
    page.get_by_role("button", name="ConnectThisOne").click()
    for element in ("linkspan-connect", "linkspan-run", "linkspan-session"):
        expect(page.locator(element).get_by_role("status")).to_have_text(told["message"])
    look(page, "embed-refused")


def test_an_account_is_linked_by_an_element(anna: Person, quay: Quay) -> None:
    """A script gives it what Linkspan answered, without its envelope; closed again, it tells the page so."""
    made = json.loads(
        quay.linkspan.run(
            "link", "create", "desk", "--tenant", "acme", "--allowed-origin", quay.url, "--json"
        )
    )
    hear(anna)
    page = anna.open(f"{quay.url}/tickets/HC-103")
    page.evaluate(CONNECT, {"link_token": made["link_token"]})
    look(page, "embed-connect")
    press_to(page, "Connect the desk")
    page.keyboard.press("Enter")
    frame = page.frame_locator("iframe[title^=Connect]")
    # The page that comes first has a heading too, and gives way once the token is traded.
    expect(frame.get_by_role("heading", name="Connect Desk", exact=True)).to_be_visible()
    press_within(page, frame_in(page, "iframe[title^=Connect]"), "Close")
    press_away(page, "Enter")
    assert len(heard(page, "linkspan-connect", "closed")) == 1
    assert until(page, INSIDE) == "Connect the desk"


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
