"""<linkspan-session> in a product's page of another site; turns are played without Codex.

The product is `examples/embed`, started by its one command.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from linkspan.store import recipes as recipe_rows
from linkspan.store.recipes import RecipeSettings
from tests.browser.elements import hear, heard, press_to, unstyled
from tests.browser.overheard import Overheard
from tests.servers.browser import Person, look
from tests.servers.codex import npm_command
from tests.servers.linkspan import Linkspan
from tests.servers.node import ROOT
from tests.servers.played import Played, Stage, stage
from tests.servers.protocol import Protocol, described
from tests.servers.serving import free_port, running, wait_until

pytestmark = pytest.mark.e2e
PARTS = (
    *("log", "userMessage", "agentMessage", "commandExecution", "fileChange", "mcpToolCall"),
    *("question", "accept", "decline", "form", "words", "button", "stop", "new", "status"),
)
RIGHTS = ("read", "run.start", "run.steer", "run.cancel", "run.approve")


@dataclass
class Quay:
    """The product as it is served, and a Linkspan behind it that can be started again."""

    url: str
    linkspan: Linkspan
    stage: Stage
    port: int
    log: Path
    serving: ExitStack

    def serve(self) -> None:
        """Start the server."""
        self.serving.enter_context(self.linkspan.serve(log=self.log, port=self.port))

    def taken(self, words: str) -> Played:
        """Wait until the page has said that, and take the turn."""
        found: list[str] = []

        def is_there() -> bool:
            rows = self.stage.portal.call(
                lambda: self.stage.app.database.query("SELECT id, plan FROM runs WHERE state = 'queued'")
            )
            found[:] = [str(row["id"]) for row in rows if words in row["plan"]]
            return bool(found)

        wait_until(is_there, what=f"a turn that says {words}", seconds=30)
        return self.stage.take(found[0])

    def wait_for_interrupt(self, run: Played) -> None:
        """Wait until somebody has asked that a turn ends."""
        query = "SELECT 1 FROM run_words WHERE run = :run AND kind = 'interrupt'"
        database, asked = self.stage.app.database, {"run": run.id}
        wait_until(
            lambda: bool(self.stage.portal.call(database.query, query, asked)),
            what="an interrupt",
            seconds=30,
        )


@pytest.fixture(scope="module")
def quay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quay]:
    """The product and Linkspan, which works no runs."""
    folder = tmp_path_factory.mktemp("talk")
    linkspan = Linkspan(folder / "home", ROOT / "tools.yaml", {"LINKSPAN_NO_WORK": "1"})
    linkspan.add_tenant("acme")
    _, token = linkspan.create_token("acme", *(word for right in RIGHTS for word in ("--scope", right)))
    port, own = free_port(), free_port()
    url = f"http://127.0.0.1:{own}"
    words = ["--linkspan", url, "--port", str(port), "--talk", "talk"]
    with (
        stage(linkspan) as played,
        ExitStack() as serving,
        running(
            [sys.executable, ROOT / "examples" / "embed", *words],
            log=folder / "quay.log",
            env={**os.environ, "LINKSPAN_TOKEN": token},
            ready=lambda: _listens(port),
            seconds=60,
        ),
    ):
        said = RecipeSettings(
            "acme", "talk", True, {"repository": "acme/harbour"}, "operator", "root", time.time()
        )
        assert played.portal.call(recipe_rows.keep, played.app.database, said)
        made = Quay(f"http://localhost:{port}", linkspan, played, own, folder / "linkspan.log", serving)
        made.serve()
        yield made


def log_of(page: Page) -> list[str]:
    """Answer what stands in the conversation, a line each."""
    return page.locator("linkspan-session .log > div").all_inner_texts()


@pytest.fixture(scope="module")
def protocol() -> Iterator[Protocol]:
    """What Codex says of its own protocol."""
    with described(npm_command()) as found:
        yield found


def test_a_conversation(anna: Person, quay: Quay, protocol: Protocol) -> None:
    """By the keyboard: said, asked, allowed, steered, and read again after the page was loaded anew.

    All of it is Codex's own protocol, on both sides.
    """
    hear(anna)
    page = anna.open("about:blank")
    overheard = Overheard.of(page)
    page.goto(f"{quay.url}/tickets/HC-103")
    session = page.locator("linkspan-session")
    words = session.get_by_role("textbox", name="Say something to Codex")
    expect(session.get_by_role("button", name="Send")).to_have_attribute("aria-disabled", "false")
    look(page, "session-empty")
    press_to(page, "Say something to Codex")
    page.keyboard.type("What is wrong with <b>the till</b>?")
    page.keyboard.press("Enter")
    run = quay.taken("What is wrong")
    run.enter("running")
    said = [{"type": "text", "text": "the recipe's words and what was said"}]
    run.item("u1", "userMessage", content=said, clientId=f"{run.id}:0123456789abcdef")
    expect(session.get_by_text("What is wrong with <b>the till</b>?")).to_be_visible()
    expect(session.get_by_role("status")).to_have_text("Codex is at work")
    expect(words).to_have_value("")
    expect(words).to_be_focused()
    run.item("m1", "agentMessage", completed=False, text="")
    run.tell("message_delta", item_id="m1", text="It adds ")
    run.tell("message_delta", item_id="m1", text="no hour.")
    expect(session.get_by_text("It adds no hour.")).to_be_visible()
    command: dict[str, Any] = {"command": "pytest -q", "commandActions": [], "cwd": "/", "status": "failed"}
    run.item("c1", "commandExecution", **command, exitCode=1, aggregatedOutput="1 failed\n")
    long = f"cafe/{'orders_' * 12}.py"
    change = {"path": f"/workspace/{long}", "kind": {"type": "update"}, "diff": "+ an hour"}
    run.item("f1", "fileChange", status="completed", changes=[change])
    asked: dict[str, Any] = {"server": "linkspan", "tool": "get_ticket", "arguments": {"id": "HC-103"}}
    run.item("t1", "mcpToolCall", status="completed", **asked)
    expect(session.get_by_text("Used get_ticket")).to_be_visible()
    run.ask(
        "command",
        "May I reach the network?",
        command=f"pip download <script> --cache {'deep/' * 20}\u202etxt.sh",
        item_id="c2",
    )
    question = session.get_by_role("group", name="Codex asks")
    expect(question.get_by_text("pip download <script>")).to_contain_text("deep/<U+202E>txt.sh")
    look(page, "session-asks")
    assert unstyled(page, "linkspan-session", *PARTS) == []
    press_to(page, "Allow", key="Shift+Tab")
    page.keyboard.press("Enter")
    expect(question).to_have_count(0)
    expect(words).to_be_focused()
    run.enter("running", worker="played")
    page.keyboard.type("Leave the menu.")
    page.keyboard.press("Enter")
    expect(words).to_have_value("")
    run.item("m1", "agentMessage", text="It adds no hour. The menu stays.")
    run.enter("succeeded")
    expect(session.get_by_role("button", name="Stop")).to_be_hidden()
    (ready,) = heard(page, "linkspan-session", "ready")
    turns = heard(page, "linkspan-session", "turn")
    assert ready == {"thread": None}
    assert [(each["id"], each["status"]) for each in turns] == [
        (run.id, "inProgress"), (run.id, "completed")
    ]  # fmt: skip
    told = [each["method"] for each in heard(page, "linkspan-session", "question")]
    assert told == ["item/commandExecution/requestApproval"]
    before = log_of(page)
    assert [line for line in before if "menu stays" in line] == ["It adds no hour. The menu stays."]
    look(page, "session-done")
    page.reload()
    expect(session.get_by_text("The menu stays.")).to_be_visible()
    assert [bool(each["thread"]) for each in heard(page, "linkspan-session", "ready")] == [True]
    assert log_of(page) == before
    overheard.check(protocol)
    assert overheard.methods() == {
        *("initialize", "thread/list", "thread/start", "thread/resume", "turn/start", "turn/steer")
    }  # fmt: skip
    for kept in page.evaluate("[location.href, document.cookie, ...Object.values(localStorage)]"):
        assert "lsk_" not in str(kept)


def test_the_server_is_another_one_in_the_middle_of_a_turn(
    anna: Person, quay: Quay, protocol: Protocol
) -> None:
    """The page goes on by itself, without a gap and without a double; a turn that failed says why.

    What is said and heard on each of its sockets is Codex's own protocol.
    """
    anna.watch.expect("WebSocket connection")
    anna.watch.expect("status of 500")  # the product's backend, which reaches no Linkspan meanwhile
    page = anna.open("about:blank")
    overheard = Overheard.of(page)
    page.goto(f"{quay.url}/tickets/HC-104")
    session = page.locator("linkspan-session")
    words = session.get_by_role("textbox", name="Say something to Codex")
    expect(session.get_by_role("button", name="Send")).to_have_attribute("aria-disabled", "false")
    words.fill("Count to three.")
    session.get_by_role("button", name="Send").click()
    run = quay.taken("Count to three.")
    run.enter("running")
    run.item("m1", "agentMessage", text="One.")
    expect(session.get_by_text("One.")).to_be_visible()
    session.evaluate("(element) => element.parentNode.append(element)")  # as frameworks put things elsewhere
    expect(session.get_by_role("button", name="Send")).to_have_attribute("aria-disabled", "false")
    run.item("m2", "agentMessage", completed=False, text="")
    run.tell("message_delta", item_id="m2", text="Two, ")
    expect(session.get_by_text("Two,")).to_be_visible()
    quay.serving.close()
    expect(session.get_by_role("button", name="Send")).to_have_attribute("aria-disabled", "true")
    run.tell("message_delta", item_id="m2", text="nearly.")
    quay.serve()
    expect(session.get_by_text("Two, nearly.")).to_be_visible()
    run.item("m2", "agentMessage", text="Two, nearly. Three.")
    expect(session.get_by_text("Two, nearly. Three.")).to_be_visible()
    assert log_of(page) == ["One.", "Two, nearly. Three."]
    press_to(page, "Stop")
    page.keyboard.press("Enter")
    quay.wait_for_interrupt(run)
    run.enter("failed", error_code="upstream_error", error_message="OpenAI did not answer.")
    expect(session.get_by_role("status")).to_have_text("OpenAI did not answer.")
    look(page, "session-failed")
    overheard.check(protocol)
    assert {"turn/start", "thread/resume", "turn/interrupt"} < overheard.methods()
    press_to(page, "New conversation")
    page.keyboard.press("Enter")
    expect(session.locator(".log > div")).to_have_count(0)


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
