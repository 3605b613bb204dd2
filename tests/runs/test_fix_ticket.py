"""The first job whole: a ticket of the desk becomes a pull request, with the real Codex and real git."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bench.contestants import LINKSPAN
from desk.outbox import post_over_http
from linkspan.codex.app_server.process import at_work_in
from linkspan.store.runs import Run
from tests.runs.conftest import ACME, BO
from tests.runs.shop import KEY, MEND, REPOSITORY, SUMMARY, Shop, a_worker, shop_at, working
from tests.servers.node import ROOT
from tests.servers.scripted_model import Answer, function_call, message, shell
from tests.servers.serving import wait_until

pytestmark = pytest.mark.e2e
PATIENCE = 60.0


@pytest.fixture
async def closed(seeded: tuple[Path, dict[str, Any]], tmp_path: Path) -> AsyncIterator[Shop]:
    """The shop; nobody works."""
    async with shop_at(seeded, tmp_path) as shop:
        yield shop


@pytest.fixture
async def shop(closed: Shop) -> AsyncIterator[Shop]:
    """The same, with a worker in this process."""
    async with working(closed):
        yield closed


async def test_a_ticket_becomes_a_pull_request(shop: Shop) -> None:
    """With its alert it is read, mended and tested, approved, pushed, opened once, and the ticket is told."""
    about = "SELECT id FROM alerts WHERE org = 'acme' AND title = 'ValueError: hour must be in 0..23'"
    alert = shop.desk.store.one(about)["id"]
    shop.model.prepare(
        [
            [function_call("get_ticket", {"id": "HC-103"}, namespace="mcp__linkspan")],
            [function_call("get_alert", {"id": alert}, namespace="mcp__linkspan")],
            [shell("", MEND)],
            [message(SUMMARY)],
        ]
    )
    run = await shop.app.runs.start(BO, "fix_ticket", source="button", entity_id="HC-103", key="click")
    waiting = await shop.until(run, "waiting_approval")
    assert waiting.state == "waiting_approval", waiting.error_message
    assert shop.model.turns[-1].outputs[-1].strip().endswith("OK")
    assert "Ordering after 22:40" in shop.model.turns[0].text
    ticket, trace = (shop.model.turns[turn].outputs[-1] for turn in (1, 2))
    assert '"key":"HC-103"' in "".join(ticket.split())
    assert f'"alerts":["{alert}"]' in "".join(ticket.split())
    assert "return ready.replace(hour=ready.hour + 1, minute=0, second=0, microsecond=0)" in trace
    assert list(shop.git.branches("acme/harbour")) == ["main"]
    question = await shop.app.runs.open_approval(BO, run.id)
    await shop.app.runs.decide(BO, run.id, question.id, "approve")
    done = await shop.until(run)
    assert (done.state, done.error_message) == ("succeeded", None)
    branch = f"codex/{run.id}"
    assert set(shop.git.branches("acme/harbour")) == {"main", branch}
    assert "+ timedelta(hours=1)" in shop.git.show("acme/harbour", f"{branch}:cafe/orders.py")
    assert "Requested-by: bo" in shop.git.show("acme/harbour", branch)
    (opened,) = shop.forge.repositories["acme/harbour"].pulls
    assert opened["head"]["ref"] == branch
    assert opened["title"] == "Ordering after 22:40 fails with an error page (HC-103)"
    assert SUMMARY in opened["body"]
    started, finished = shop.comments("HC-103")
    assert started.startswith("Codex has started on this. Watch it: http://127.0.0.1")
    assert finished.startswith(f"{SUMMARY}\n\nIt waits for a review: http")
    ticket = shop.desk.store.one("SELECT state FROM tickets WHERE org = 'acme' AND key = 'HC-103'")
    assert ticket["state"] == "review"
    assert done.total_tokens > 0
    assert str(done.entity_url).endswith("/tickets/HC-103")
    _artifact, transcript = await shop.app.runs.artifact(BO, run.id, "transcript")
    assert b"Tool `get_ticket on ticket HC-103: ok" in transcript
    assert f"Tool `get_alert on alert {alert}: ok".encode() in transcript
    assert not list(at_work_in(shop.app.settings.home / "work/acme/runs" / run.id))
    assert {request.headers["authorization"] for request in shop.model.requests} == {f"Bearer {KEY}"}


async def test_codex_changes_no_other_ticket(shop: Shop) -> None:
    """Whatever a ticket talks the model into: neither another ticket, nor a run of its own."""
    shop.model.prepare(
        [
            [function_call("comment_on_ticket", {"id": "HC-104", "body": "Hi"}, namespace="mcp__linkspan")],
            [
                function_call(
                    "start_codex_run", {"recipe": "fix_ticket", "id": "HC-104"}, namespace="mcp__linkspan"
                )
            ],
            [message("I could not.")],
        ]
    )
    run = await shop.app.runs.start(BO, "fix_ticket", source="button", entity_id="HC-103", key="click")
    done = await shop.until(run)
    assert (done.state, done.error_code) == ("failed", "nothing_to_publish")
    comment, start = shop.model.turns[-1].outputs[-2:]
    assert comment == "unsupported call: mcp__linkspancomment_on_ticket"
    assert start == "unsupported call: mcp__linkspanstart_codex_run"
    assert shop.comments("HC-104") == []
    assert [each.id for each in await shop.app.runs.list(BO)] == [run.id]
    assert shop.comments("HC-103")[-1].startswith("Codex could not finish this. Codex ended without changing")


async def test_a_worker_is_killed_while_codex_works(closed: Shop, tmp_path: Path) -> None:
    """No process of it is left, the next worker goes on with its conversation, and all is there once."""
    hold = [True]
    closed.model.prepare(
        [
            [shell("", MEND)],
            Answer([message("Thinking.")], until=lambda: not hold[0]),
            [message(SUMMARY)],
        ]
    )
    log = tmp_path / "workers.log"
    run = await closed.app.runs.start(BO, "fix_ticket", source="button", entity_id="HC-103", key="click")
    folder = closed.app.settings.home / "work/acme/runs" / run.id
    with a_worker(closed, log):
        async with asyncio.timeout(90):
            while len(closed.model.turns) < 2:  # noqa: ASYNC110 - it is asked in another thread
                await asyncio.sleep(0.1)
        assert list(at_work_in(folder))
    hold[0] = False
    await asyncio.to_thread(wait_until, lambda: not list(at_work_in(folder)), what="Codex's end", seconds=10)
    with a_worker(closed, log):
        waiting = await closed.until(run, "waiting_approval")
        assert waiting.state == "waiting_approval", (waiting.error_message, log.read_text()[-2000:])
        question = await closed.app.runs.open_approval(BO, run.id)
        await closed.app.runs.decide(BO, run.id, question.id, "approve")
        done = await closed.until(run)
    assert (done.state, done.error_message) == ("succeeded", None)
    assert set(closed.git.branches("acme/harbour")) == {"main", f"codex/{run.id}"}
    assert len(closed.forge.repositories["acme/harbour"].pulls) == 1
    assert len(closed.comments("HC-103")) == 2
    assert not list(at_work_in(folder))
    mended = closed.git.show("acme/harbour", f"codex/{run.id}:test_cafe.py")
    assert mended.count("late = datetime") == 1


@pytest.mark.parametrize("point", ["codex", "worked", "pushed"])
async def test_a_worker_with_the_real_codex_is_killed(closed: Shop, tmp_path: Path, point: str) -> None:
    """Before Codex is started, when it has ended, and between the push and the pull request."""
    closed.model.prepare([[shell("", MEND)], [message(SUMMARY)], [message(SUMMARY)]])
    log = tmp_path / "workers.log"
    run = await closed.app.runs.start(BO, "fix_ticket", source="button", entity_id="HC-103", key="click")

    async def approve() -> None:
        waiting = await closed.until(run, "waiting_approval")
        assert waiting.state == "waiting_approval", (waiting.error_message, log.read_text()[-2000:])
        question = await closed.app.runs.open_approval(BO, run.id)
        await closed.app.runs.decide(BO, run.id, question.id, "approve")

    with a_worker(closed, log, point) as worker:
        if point == "pushed":
            await approve()
        assert await asyncio.to_thread(worker.wait, 90) == -signal.SIGKILL
    await asyncio.to_thread(wait_until, lambda: not closed.at_work(run), what="Codex's end", seconds=30)
    with a_worker(closed, log):
        if point != "pushed":
            await approve()
        done = await closed.until(run)
    assert (done.state, done.error_message) == ("succeeded", None)
    assert closed.branches() == {f"codex/{run.id}"}
    assert len(closed.forge.repositories["acme/harbour"].pulls) == 1
    assert len(closed.comments("HC-103")) == 2
    assert not closed.at_work(run)


def assert_published(shop: Shop, done: Run) -> None:
    """There is one pull request of the run, the ticket was told twice and waits for a review."""
    assert (done.state, done.error_message) == ("succeeded", None)
    assert shop.branches() == {f"codex/{done.id}"}
    (opened,) = shop.forge.repositories["acme/harbour"].pulls
    assert (opened["head"]["ref"], SUMMARY in opened["body"]) == (f"codex/{done.id}", True)
    started, finished = shop.comments("HC-103")
    assert started.startswith("Codex has started on this.")
    assert finished.startswith(f"{SUMMARY}\n\nIt waits for a review: http")
    ticket = shop.desk.store.one("SELECT state FROM tickets WHERE org = 'acme' AND key = 'HC-103'")
    assert ticket["state"] == "review"


async def only_run(shop: Shop) -> Run:
    """Answer the one run that there is, as soon as there is one."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await shop.app.runs.list(BO)):
            await shop.app.runs.bell.wait(0.2)
    (run,) = found
    return run


async def test_an_agents_tool_call_ends_in_a_pull_request(shop: Shop) -> None:
    """Started and followed over MCP, approved over REST for a person, its transcript read as a resource."""
    shop.model.prepare([[shell("", MEND)], [message(SUMMARY)]])
    made = [
        (await shop.app.tokens.create(ACME, subject="agent", scopes=scopes)).text.reveal()
        for scopes in (("read", "write"), ("read", "run.approve"))
    ]
    agent, product = ({"Authorization": f"Bearer {token}"} for token in made)
    speaking = {
        **agent,
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2025-11-25",
    }
    async with httpx2.AsyncClient(base_url=shop.url, timeout=PATIENCE) as http:

        async def ask(method: str, **params: Any) -> Any:
            body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            answer = await http.post("/t/acme/mcp", json=body, headers=speaking)
            return answer.raise_for_status().json()["result"]

        async def call(tool: str, **arguments: Any) -> Any:
            result = await ask("tools/call", name=tool, arguments=arguments)
            assert not result.get("isError"), result
            return result["structuredContent"]["result"]

        async def until(state: str) -> Any:
            async with asyncio.timeout(PATIENCE):
                while (shown := await call("get_codex_run", id=run))["state"] != state:
                    assert shown["state"] not in ("failed", "cancelled"), shown
                    await shop.app.runs.bell.wait(0.2)
            return shown

        run = (await call("start_codex_run", recipe="fix_ticket", id="HC-103"))["id"]
        await until("waiting_approval")
        assert shop.branches() == set()
        path = f"/runs/{run}/approvals"
        (asked,) = (await http.get(path, headers=product)).raise_for_status().json()["result"]
        assert (asked["kind"], asked["decided"]) == ("publish", None)
        decided = await http.post(f"{path}/{asked['id']}/approve", json={"person": "bo"}, headers=product)
        assert decided.raise_for_status().json()["result"]["decided"]["by"]["person"] == "bo"
        await until("succeeded")
        contents = (await ask("resources/read", uri=f"linkspan://run/{run}/transcript"))["contents"]
    assert SUMMARY in contents[0]["text"]
    done = await shop.app.runs.find(ACME, run)
    assert (done.source, done.asker) == ("mcp", "agent")
    assert_published(shop, done)


async def test_the_desks_signed_webhook_ends_in_a_pull_request(shop: Shop) -> None:
    """A person assigns the ticket in the desk, which signs and sends that; it is followed to the merge."""
    shop.model.prepare([[shell("", MEND)], [message(SUMMARY)]])
    (account,) = await shop.app.accounts.list(ACME, "desk")
    secret = await shop.app.hook_secrets.of_account(ACME, account.id)
    hook = {
        "id": "whk_1",
        "org": "acme",
        "url": f"{shop.url}/hooks/account/{account.id}",
        "secret": secret.reveal(),
        "events": json.dumps(["ticket.assigned"]),
        "created": 1.0,
    }
    shop.desk.store.insert("webhooks", hook)
    priya = next(user for user in shop.desk.store.users("acme") if user.login == "priya")
    shop.desk.tickets.update(priya, "HC-103", {"assignee": "codex"}, "*")
    assert await shop.desk.outbox.deliver_due(post_over_http) == 1
    assert shop.desk.store.one("SELECT answer FROM deliveries")["answer"] == "HTTP 200"
    run = await only_run(shop)
    assert (run.source, run.asker, run.entity_id) == ("webhook:desk", "webhook:desk", "HC-103")
    waiting = await shop.until(run, "waiting_approval")
    assert waiting.state == "waiting_approval", waiting.error_message
    question = await shop.app.runs.open_approval(BO, run.id)
    await shop.app.runs.decide(BO, run.id, question.id, "approve")
    done = await shop.until(run)
    assert_published(shop, done)
    await followed(shop, done)


async def followed(shop: Shop, first: Run) -> None:
    """A review that asks for more is gone on from once, and the merge is told; GitHub signs both."""
    more = shell("", "sed -i 's/late = /evening = /; s/(late)/(evening)/' test_cafe.py")
    shop.model.prepare([[more], [message("It is called evening now.")]])
    (pull,) = shop.pull_requests(first)
    ada = {"id": 2, "login": "ada"}
    asked = {"id": 9, "number": pull["number"], "user": ada, "body": "Call it evening."}
    asked |= {"state": "CHANGES_REQUESTED", "commit_id": pull["head"]["sha"]}
    shop.forge.repositories[REPOSITORY].reviews.append(asked)
    about = {"repository": {"full_name": REPOSITORY}, "sender": ada, "pull_request": pull}
    await told_by_github(shop, "pull_request_review", {**about, "action": "submitted", "review": asked})
    async with asyncio.timeout(PATIENCE):
        while len(found := await shop.app.runs.list(BO)) < 2:
            await shop.app.runs.bell.wait(0.2)
    (again,) = [run for run in found if run.id != first.id]
    waiting = await shop.until(again, "waiting_approval")
    assert waiting.state == "waiting_approval", waiting.error_message
    question = await shop.app.runs.open_approval(BO, again.id)
    await shop.app.runs.decide(BO, again.id, question.id, "approve")
    done = await shop.until(again)
    assert (done.state, done.thread_id, done.branch) == ("succeeded", first.thread_id, first.branch)
    assert "Call it evening." in shop.model.turns[-1].text
    assert shop.branches() == {first.branch}
    assert "evening = datetime" in shop.git.show(REPOSITORY, f"{first.branch}:test_cafe.py")
    pull |= {"state": "closed", "merged_at": "2026-11-20T09:00:00Z", "updated_at": "2026-11-20T09:00:00Z"}
    await told_by_github(shop, "pull_request", {**about, "action": "closed"})
    ticket = "SELECT state FROM tickets WHERE org = 'acme' AND key = 'HC-103'"
    async with asyncio.timeout(PATIENCE):
        while shop.desk.store.one(ticket)["state"] != "fixed":
            await shop.app.runs.bell.wait(0.2)
    going_on, finished, merged = shop.comments("HC-103")[2:]
    assert going_on.startswith("A reviewer asks for changes, and Codex goes on: http")
    assert finished.startswith("It is called evening now.")
    assert merged.startswith(f"Merged: {pull['html_url']}")


async def told_by_github(shop: Shop, event: str, body: dict[str, Any]) -> None:
    """Deliver what GitHub tells, as it signs it."""
    (account,) = await shop.app.accounts.list(ACME, "github")
    secret = await shop.app.hook_secrets.of_account(ACME, account.id)
    raw = json.dumps(body).encode()
    headers = {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": f"delivery of {event}",
        "X-Hub-Signature-256": f"sha256={hmac.digest(secret.reveal().encode(), raw, 'sha256').hex()}",
    }
    async with httpx2.AsyncClient(base_url=shop.url, timeout=PATIENCE) as http:
        answer = await http.post(f"/hooks/account/{account.id}", content=raw, headers=headers)
    assert answer.json() == {"accepted": 1}, answer.text


class Terminal:
    """What is on a terminal, of which a program has the other end."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.openpty()
        self._raw = b""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    @property
    def text(self) -> str:
        """Everything so far, as the program wrote it."""
        return self._raw.decode(errors="replace")

    async def until(self, words: str) -> None:
        """Wait until it shows these words."""
        try:
            async with asyncio.timeout(PATIENCE):
                while words not in self.text:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"no {words!r} in {self.text!r}") from None

    def close(self) -> None:
        """Give both ends back."""
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)
        os.close(self.theirs)

    def _read(self) -> None:
        self._raw += os.read(self._ours, 65_536)
        self._more.set()


async def test_a_run_is_watched_and_approved_at_the_command_line(shop: Shop) -> None:
    """What Codex does is on the terminal while it goes on; the approval is a command too."""
    open_gate = asyncio.Event()
    shop.model.prepare([[shell("", MEND)], Answer([message(SUMMARY)], until=open_gate.is_set)])
    environ = {
        **os.environ,
        "LINKSPAN_HOME": str(shop.app.settings.home),
        "LINKSPAN_CONFIG": str(shop.tools[0]),
        "LINKSPAN_ALLOW_EGRESS": "127.0.0.0/8",
        "TERM": "xterm",
    }
    with contextlib.closing(Terminal()) as terminal:
        watching = await asyncio.create_subprocess_exec(
            LINKSPAN, "run", "start", "fix_ticket", "HC-103", "--watch", "--person", "bo",
            cwd=ROOT, env=environ, stdin=terminal.theirs, stdout=terminal.theirs, stderr=terminal.theirs,
        )  # fmt: skip
        try:
            await terminal.until("cat AGENTS.md")
            run = await only_run(shop)
            assert (run.state, run.source, run.person) == ("running", "cli", "bo")
            assert "\x1b[36m$ " in terminal.text
            assert SUMMARY not in terminal.text
            open_gate.set()
            await terminal.until("publish needs a person")
            await shop.until(run, "waiting_approval")
            approving = await asyncio.create_subprocess_exec(
                LINKSPAN, "run", "approve", run.id, "--person", "bo",
                cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            async with asyncio.timeout(PATIENCE):
                said, _nothing = await approving.communicate()
            assert (approving.returncode, said.decode().split(" (")[0]) == (0, "publish is approved")
            await terminal.until(f"{run.id}: succeeded")
            async with asyncio.timeout(PATIENCE):
                assert await watching.wait() == 0
        finally:
            if watching.returncode is None:
                watching.kill()
                await watching.wait()
    assert_published(shop, await shop.app.runs.find(ACME, run.id))
