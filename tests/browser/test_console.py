"""The console in a real browser: every page, by an operator's hands, and what each role is offered."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from linkspan.store import deliveries as arrival_rows
from linkspan.store.deliveries import Arrival
from tests.browser.pages import EMPTY, FULL
from tests.fakes.tracker import Tracker
from tests.servers.browser import Person, look, tab_to
from tests.servers.linkspan import Linkspan
from tests.servers.node import ROOT
from tests.servers.played import Stage, stage, whole
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
TOKEN = next(iter(Tracker().tokens))
RECIPE = """
recipes:
  fix_ticket:
    title: Fix with Codex
    entity: ticket
    settings: {repository: {type: repository, required: true}}
    prompt: Fix it.
    publish: patch
"""


@dataclass
class Bridge:
    """Linkspan as it serves, with a tenant that has linked a tracker, and runs of it."""

    linkspan: Linkspan
    stage: Stage
    url: str
    tracker: str
    is_full: bool = False

    def fill(self) -> None:
        """Let there be accounts and deliveries, good and bad, and runs that ask, are at work, and failed."""
        if self.is_full:
            return
        self.is_full = True
        words = (
            "account",
            "link",
            "tracker",
            "--setting",
            f"site={self.tracker}",
            "--secret-env",
            "T",
            "--json",
        )
        for tenant in ("acme", "globex"):
            self.linkspan.run(*words, "--tenant", tenant, env={"T": TOKEN})
        with contextlib.closing(sqlite3.connect(self.linkspan.home / "linkspan.sqlite")) as db, db:
            db.execute(
                "UPDATE accounts SET state = 'needs_reauth', last_error = 'It was revoked there'"
                " WHERE tenant = 'globex'"
            )
            db.executemany(
                "INSERT INTO outbox (tenant, webhook, event, payload, created, state, attempts, since, due,"
                " finished, last_status, last_error)"
                " VALUES ('acme', 'wh_1', ?, '{}', 1, ?, ?, 0, 1e12, 2, ?, ?)",
                (
                    ("run:succeeded", "delivered", 1, 204, None),
                    ("run:failed", "dead", 9, 500, "the receiver answered 500"),
                ),
            )
        self.linkspan.create_token("acme", "--subject", "shop")
        self.linkspan.run("person", "invite", "anna", "--tenant", "acme")
        told = Arrival("acme", "arr_1", "tracker", "acc_1", "ticket.assigned", "ticket", "T-3", 1.0, "failed",
                       1, 1.0, outcome="The tracker did not answer.")  # fmt: skip
        self.stage.portal.call(arrival_rows.add, self.stage.app.database, [told])
        whole(self.stage.begin("T-1", "Beans are late"))
        self.stage.begin("T-4", "The door does not close").enter("running")
        failed = self.stage.begin("T-2", "The printer is out of paper")
        failed.enter("failed", error_code="upstream_error", error_message="OpenAI did not answer.")

    def key(self, *words: str) -> str:
        """Make an admin key."""
        made = json.loads(self.linkspan.run("admin", "create", "--subject", "olga", *words, "--json"))
        return str(made["token"])

    def enter(self, somebody: Person, *words: str) -> Page:
        """Sign in at the console."""
        page = somebody.open(f"{self.url}/console")
        page.get_by_label("Admin key").fill(self.key(*words))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        return page


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    """One server for all of it."""
    folder = tmp_path_factory.mktemp("bridge")
    with contextlib.ExitStack() as stack:
        tracker = stack.enter_context(serving(Tracker().app()))
        tools = folder / "tools.yaml"
        tools.write_text((ROOT / "tests" / "fakes" / "tracker.yaml").read_text() + RECIPE)
        linkspan = Linkspan(folder / "home", tools, {"LINKSPAN_NO_WORK": "1"})
        for tenant in ("acme", "globex"):
            linkspan.add_tenant(tenant)
        played = stack.enter_context(stage(linkspan))
        url = stack.enter_context(linkspan.serve(log=folder / "linkspan.log"))
        yield Bridge(linkspan, played, url, tracker)


def test_what_is_there_when_nothing_is(bridge: Bridge, anna: Person) -> None:
    """An operator comes in by the keyboard, and each page says that it is empty, and why."""
    page = anna.open(f"{bridge.url}/console")
    expect(page.get_by_label("Admin key")).to_be_focused()
    look(page, "console-sign-in")
    anna.watch.expect("status of 401")
    page.keyboard.type("nonsense")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, "console-sign-in-refused")
    expect(page.get_by_label("Admin key")).to_be_focused()
    page.keyboard.type(bridge.key())
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    for path, name in EMPTY.items():
        page.goto(f"{bridge.url}/console{path}")
        look(page, name)


@pytest.mark.parametrize("part", [0, 1])
def test_every_page_with_something_on_it(bridge: Bridge, anna: Person, part: int) -> None:
    """What runs, what asks, what failed, what is broken, as everybody may see it."""
    bridge.fill()
    page = bridge.enter(anna)
    for path, name in list(FULL.items())[part::2]:
        page.goto(f"{bridge.url}/console{path}")
        look(page, name)


def test_what_is_not_there(bridge: Bridge, anna: Person) -> None:
    """A thing that the product does not know still has its runs; an address of nothing says so."""
    bridge.fill()
    page = bridge.enter(anna)
    anna.watch.expect("status of 404")
    page.goto(f"{bridge.url}/console/tenants/acme/entities/ticket/T-1")
    expect(page.get_by_role("heading", name="Runs about it")).to_be_visible()
    look(page, "console-nothing")
    page.goto(f"{bridge.url}/console/tenants/acme/tools/nothing")
    expect(page.get_by_role("heading", name="That did not work")).to_be_visible()
    look(page, "console-failed")


def test_an_operator_works_with_the_keyboard_alone(bridge: Bridge, anna: Person) -> None:
    """A link for an account, an approval, a tool that is tried, a token, the log; and out."""
    bridge.fill()
    page = bridge.enter(anna)
    tab_to(page, "bot@acme.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    look(page, "console-account")
    tab_to(page, "Make a link")
    page.keyboard.press("Enter")
    expect(page.get_by_text("/connect-account#link_token=")).to_be_visible()
    look(page, "console-link")

    page.goto(f"{bridge.url}/console/accounts?tenant=acme")
    tab_to(page, "bot@acme.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    tab_to(page, "Keep bodies")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Bodies are kept beside the log")).to_be_visible()

    page.goto(f"{bridge.url}/console")
    tab_to(page, "T-1 Beans are late")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Publishing what was made")).to_be_visible()
    look(page, "console-run")
    tab_to(page, "Approve")
    page.keyboard.press("Enter")
    expect(page.get_by_text("approved by olga")).to_be_visible()

    page.goto(f"{bridge.url}/console/tenants/acme/tools/create_ticket")
    for really, heading in ((False, "What would be sent"), (True, "What came")):
        tab_to(page, "Arguments, as JSON")
        page.keyboard.press("Control+A")
        page.keyboard.type('{"title": "From the console"}')
        tab_to(page, "Really do it")
        if really:
            page.keyboard.press("Space")
        tab_to(page, "Call")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=heading)).to_be_visible()
    look(page, "console-tool-tried")

    page.goto(f"{bridge.url}/console/tenants/acme")
    tab_to(page, "For whom")
    page.keyboard.type("the shop")
    page.keyboard.press("Enter")
    expect(page.get_by_text("It is shown here and never again")).to_be_visible()
    look(page, "console-token")

    page.goto(f"{bridge.url}/console/log?tenant=acme")
    tab_to(page, "Tool")
    page.keyboard.type("create_ticket")
    page.keyboard.press("Enter")
    page.wait_for_url("**tool=create_ticket**")
    expect(page.get_by_role("cell", name="operator olga")).to_have_count(2)
    tab_to(page, "20", most=45)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Sent: POST")).to_be_visible()
    expect(page.get_by_text('{"subject": "From the console"}', exact=True)).to_be_visible()
    look(page, "console-log-entry")
    tab_to(page, "Sign out")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Admin key")).to_be_visible()
