"""The demo's button, whole: pressed in a real browser, worked by the real Codex, approved, published.

A script stands in for the model, as the page says; everything else is what a customer has.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.overheard import Overheard
from tests.servers.browser import Person, look
from tests.servers.codex import npm_command
from tests.servers.linkspan import PROGRAM
from tests.servers.node import ROOT
from tests.servers.protocol import described
from tests.servers.serving import alone, running

pytestmark = pytest.mark.e2e
SECONDS = 60_000
"""Milliseconds that a run may take to its next question, or its end."""


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[str]:
    """What the demo prints, while it runs; it is not below /tmp, where Codex does not work."""
    home = ROOT / ".work" / f"demo-{uuid.uuid4().hex[:12]}"
    log = tmp_path / "demo.log"
    env = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    with (
        alone("demo"),
        running(
            [PROGRAM, "--home", home, "demo"],
            log=log,
            env=env,
            ready=lambda: "Ctrl+C ends it" in log.read_text(),
            seconds=60,
        ),
    ):
        yield log.read_text()
    shutil.rmtree(home, ignore_errors=True)


def test_from_the_button_to_the_pull_request(printed: str, anna: Person) -> None:
    """A newcomer presses, watches, approves and reads the pull request, without any key."""
    found = re.search(r"Press the button Fix with Codex at (\S+)", printed)
    assert found, printed
    page = anna.open(f"{found[1].rpartition('/tickets')[0]}/sign-in?next=/tickets/HC-103")
    page.get_by_role("button", name="Priya Nair").click()
    expect(page.get_by_text("A script stands in for the model")).to_be_visible()
    look(page, "demo-button")
    page.get_by_role("button", name="Fix with Codex").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Ordering after 22:40")
    approve = page.get_by_role("button", name="Approve")
    expect(approve).to_be_visible(timeout=SECONDS)
    expect(page.get_by_text("cafe/orders.py +1 -1")).to_be_visible()
    expect(page.get_by_text("__pycache__")).to_have_count(0)
    look(page, "demo-approval")
    approve.click()
    link = page.get_by_role("link", name="Open the pull request")
    expect(link).to_be_visible(timeout=SECONDS)
    # The ticket is told before the run has ended; the page is read anew until then.
    expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0, timeout=SECONDS)
    look(page, "demo-done")
    link.click()
    expect(page.get_by_text("+ timedelta(hours=1)")).to_be_visible()
    expect(page.get_by_text("Draft pull request 1 of acme/harbour")).to_be_visible()
    # The same run, in the page of a product that has our elements.
    found = re.search(r"in another product's page: (\S+)", printed)
    assert found, printed
    overheard = Overheard.of(page)
    page.goto(found[1])
    expect(page.get_by_role("link", name="Pull request")).to_be_visible()
    page.get_by_role("button", name="What it did").click()
    frame = page.frame_locator("linkspan-run iframe")
    expect(frame.locator(".diff").get_by_text("timedelta(hours=1)")).to_be_visible()
    expect(frame.get_by_text("Checks: 1 passed")).to_be_visible()
    expect(frame.get_by_role("link", name="its page")).to_have_attribute(
        "href", re.compile("/tickets/HC-103$")
    )
    look(page, "demo-embedded")
    # And a talk with Codex about it, on the same page.
    expect(page.get_by_text("A script stands in for the model")).to_be_visible()
    session = page.locator("linkspan-session")
    session.get_by_role("textbox", name="Say something to Codex").fill("What is wrong with it?")
    session.get_by_role("button", name="Send").click()
    question = session.get_by_role("group", name="Codex asks")
    expect(question.get_by_text("python3 -B -m unittest")).to_be_visible(timeout=SECONDS)
    question.get_by_role("button", name="Allow").click()
    expect(session.get_by_text("and understands nothing that you say")).to_be_visible(timeout=SECONDS)
    expect(session.get_by_role("button", name="Stop")).to_be_hidden(timeout=SECONDS)
    session.get_by_text("grep -n -A 8").click()
    expect(session.get_by_text("def pickup_time(now: datetime)")).to_be_visible()
    expect(session.get_by_role("status")).to_have_text("")
    look(page, "demo-talked")
    with described(npm_command()) as protocol:
        overheard.check(protocol)
    assert "turn/start" in overheard.methods()
