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

from tests.servers.browser import Person, look, until
from tests.servers.linkspan import Linkspan
from tests.servers.node import ROOT
from tests.servers.played import Played, Stage, stage, whole
from tests.servers.serving import free_port, running

pytestmark = pytest.mark.e2e
INSIDE = "document.activeElement.shadowRoot?.activeElement?.textContent"
CONNECT = """(token) => {
  const element = document.createElement("linkspan-connect");
  element.setAttribute("integration", "desk");
  element.setAttribute("label", "Connect the desk");
  element.getToken = async ({ integration }) => integration === "desk" && token;
  document.querySelector("main").append(element);
  window.heard = null;
  addEventListener("linkspan-closed", ({ type }) => { window.heard = [type]; });
}"""
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


def test_the_button_is_pressed_and_the_result_is_seen(anna: Person, quay: Quay) -> None:
    """By the keyboard, watched in the page, approved in the frame; the focus is nowhere lost."""
    page = anna.open(f"{quay.url}/tickets/HC-103")
    expect(page.get_by_role("button", name="Fix with Codex")).to_have_attribute("aria-disabled", "false")
    look(page, "embed-button")
    press_tab_to(page, "Fix with Codex")
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
    whole(run)
    expect(page.get_by_role("button", name="Look and decide")).to_be_visible()
    expect(frame.get_by_text("I found it: <b>the till</b> adds no hour.")).to_be_visible()
    look(page, "embed-run")
    frame.get_by_label("Why, if you want to say").fill("It is small")
    frame.get_by_role("button", name="Approve").click()
    expect(frame.get_by_text("approved by priya, “It is small”")).to_be_visible()
    run.enter("succeeded", summary="The till adds an hour now.",
              pull_request={"url": "https://forge.example/acme/harbour/pull/7", "number": 7})  # fmt: skip
    expect(page.get_by_role("link", name="Pull request acme/harbour#7", exact=True)).to_be_visible()
    expect(frame.get_by_text("The till adds an hour now.")).to_be_visible()
    expect(page.get_by_role("button", name="Fix with Codex")).to_have_count(0)
    look(page, "embed-done")
    page.reload()
    expect(page.get_by_role("link", name="Pull request acme/harbour#7", exact=True)).to_be_visible()
    for kept in page.evaluate("[location.href, document.cookie, ...Object.values(localStorage)]"):
        assert "lsk_" not in str(kept)


def test_a_run_that_failed_is_tried_again_after_the_tokens_minutes(anna: Person, quay: Quay) -> None:
    """The page is given a new token when the old one is over; what it watches in a dialog ends with that."""
    anna.watch.expect("status of 401")
    page = anna.open(f"{quay.url}/tickets/HC-104")
    page.get_by_role("button", name="Fix with Codex").click()
    run = quay.taken(page)
    run.enter("failed", error_code="upstream_error", error_message="OpenAI did not answer.")
    expect(page.get_by_role("status")).to_have_text("Failed: OpenAI did not answer.")
    look(page, "embed-failed")
    quay.expire()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("status")).to_have_text("Queued")
    again = quay.taken(page)
    assert again.id != run.id
    # Without the page's own way to show it, it is shown over the page.
    page.evaluate("addEventListener('linkspan-watch', (event) => event.stopImmediatePropagation(), true)")
    page.get_by_role("button", name="Watch").click()
    frame = page.frame_locator("dialog linkspan-run iframe")
    expect(frame.get_by_role("button", name="Cancel the run")).to_be_visible()
    look(page, "embed-dialog")
    frame.get_by_role("button", name="Cancel the run").click()
    expect(frame.get_by_text("priya asked that it ends")).to_be_visible()
    again.enter("cancelled")
    expect(page.get_by_role("status").first).to_have_text("Cancelled")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)


def test_a_page_of_another_origin_gets_nothing(anna: Person, quay: Quay) -> None:
    """The product's backend refuses it, and what it says is shown beside the button, which does nothing."""
    anna.watch.expect("status of 403")
    page = anna.open(f"{quay.url.replace('localhost', '127.0.0.1')}/tickets/HC-103")
    expect(page.get_by_role("status")).to_have_text("There is no token for it (403)")
    expect(page.get_by_role("button", name="Fix with Codex")).to_have_attribute("aria-disabled", "true")


def test_an_account_is_linked_by_an_element(anna: Person, quay: Quay) -> None:
    """Its token comes from a script here; closed without an account, it tells the page so."""
    made = json.loads(
        quay.linkspan.run(
            "link", "create", "desk", "--tenant", "acme", "--allowed-origin", quay.url, "--json"
        )
    )
    page = anna.open(f"{quay.url}/tickets/HC-103")
    page.evaluate(CONNECT, made["link_token"])
    look(page, "embed-connect")
    page.get_by_role("button", name="Connect the desk").click()
    frame = page.frame_locator("iframe[title^=Connect]")
    expect(frame.get_by_role("heading", level=1)).to_be_visible()
    frame.get_by_role("button", name="Close").click()
    assert until(page, "window.heard").pop() == "linkspan-closed"
    expect(page.get_by_role("button", name="Connect the desk")).to_be_visible()


def press_tab_to(page: Page, name: str) -> None:
    """Press Tab until something in an element's shadow has the focus."""
    way = []
    while page.evaluate(INSIDE) != name:
        way.append(page.evaluate("document.activeElement.outerHTML.slice(0, 80)"))
        assert len(way) < 20, way
        page.keyboard.press("Tab")


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
