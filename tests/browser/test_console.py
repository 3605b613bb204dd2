"""The console in a real browser: every page, by an operator's hands, and what each role is offered."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.fakes.tracker import Tracker
from tests.servers.browser import Person, look, tab_to, violations
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


LOOKED_AT = ("overview", "tenants-acme", "tenants-acme-tools", "log", "settings")


@dataclass
class Bridge:
    """Linkspan as it serves, with a tenant that has linked a tracker, and runs of it."""

    linkspan: Linkspan
    stage: Stage
    url: str
    tracker: str

    def fill(self) -> None:
        """Let there be an account that is good, one that is not, a run that asks and one that failed."""
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
        self.linkspan.create_token("acme", "--subject", "shop")
        self.linkspan.run("person", "invite", "anna", "--tenant", "acme")
        whole(self.stage.begin("T-1", "Beans are late"))
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


PAGES = (
    "", "/tenants", "/tenants/acme", "/tenants/acme/entities", "/tenants/acme/entities/ticket",
    "/tenants/acme/entities/ticket/T-1", "/tenants/acme/tools", "/tenants/acme/tools/create_ticket",
    "/accounts", "/runs", "/deliveries?tenant=acme", "/log?tenant=acme", "/settings",
)  # fmt: skip
"""Every page of the console that stands by itself; the account's and the run's are reached from them."""


def test_every_page_with_and_without_anything_on_it(bridge: Bridge, anna: Person) -> None:
    """An operator comes in by the keyboard, sees that nothing is there, and then all that there is."""
    page = anna.open(f"{bridge.url}/console")
    expect(page.get_by_label("Admin key")).to_be_focused()
    look(page, "console-sign-in")
    page.keyboard.type(bridge.key())
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    look(page, "console-overview-empty")
    for path in PAGES:
        if "T-1" not in path and "ticket" not in path:
            page.goto(f"{bridge.url}/console{path}")
            assert violations(page.main_frame) == [], path
    bridge.fill()
    for path in PAGES:
        page.goto(f"{bridge.url}/console{path}")
        name = path.partition("?")[0].strip("/").replace("/", "-") or "overview"
        if name in LOOKED_AT:
            look(page, f"console-{name}")
        else:
            assert violations(page.main_frame) == [], path
    page.goto(f"{bridge.url}/console")
    tab_to(page, "bot@acme.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Health")).to_be_visible()
    look(page, "console-account")
    page.get_by_role("button", name="Make a link").click()
    expect(page.get_by_text("/connect-account#link_token=")).to_be_visible()
    page.goto(f"{bridge.url}/console/accounts?tenant=acme")
    page.get_by_role("link", name="bot@acme.example").click()
    page.get_by_role("button", name="Keep bodies").click()
    expect(page.get_by_role("heading", name="Bodies are kept beside the log")).to_be_visible()
    page.goto(f"{bridge.url}/console/runs")
    page.get_by_role("link", name="T-1 Beans are late").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("approved by olga")).to_be_visible()
    page.goto(f"{bridge.url}/console/tenants/acme/tools/create_ticket")
    page.get_by_label("Arguments, as JSON").fill('{"title": "From the console"}')
    page.get_by_role("button", name="Call").click()
    expect(page.get_by_role("heading", name="What would be sent")).to_be_visible()
    page.get_by_label("Arguments, as JSON").fill('{"title": "From the console"}')
    page.get_by_label("Really do it").check()
    page.get_by_role("button", name="Call").click()
    expect(page.get_by_role("heading", name="What came")).to_be_visible()
    page.goto(f"{bridge.url}/console/log?tenant=acme&tool=create_ticket")
    expect(page.get_by_role("cell", name="operator olga")).to_have_count(2)
    page.get_by_role("row").nth(1).get_by_role("link").click()
    expect(page.get_by_role("heading", name="Sent: POST")).to_be_visible()
    expect(page.get_by_text('{"subject": "From the console"}', exact=True)).to_be_visible()
    look(page, "console-log-entry")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Admin key")).to_be_visible()
