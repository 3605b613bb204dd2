"""The engine, the real Codex, our model proxy on a port, and what becomes of a run when its model says no."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from linkspan.codex.app_server.engine import AppServer
from linkspan.codex.engine import Access, Event, Limits, Outcome, Task
from linkspan.settings import CodexSettings
from linkspan.store.audit import AuditFilter, find
from tests.codex.app_server.conftest import Watcher
from tests.codex.conftest import ACME, KEY, Bridge
from tests.servers import codex as codex_cli
from tests.servers.codex import ToolMode, call_tool
from tests.servers.scripted_model import Answer, Refusal, Step, message, shell
from tests.servers.serving import LOOPBACK

pytestmark = pytest.mark.e2e


@pytest.fixture(params=["npm", "python"])
def engine(request: pytest.FixtureRequest) -> AppServer:
    """Each Codex."""
    binary = codex_cli.npm_command()[1] if request.param == "npm" else None
    return AppServer(CodexSettings(binary=binary))


async def work(
    bridge: Bridge,
    engine: AppServer,
    host: Watcher,
    *steps: Step,
    mode: ToolMode = ToolMode.DIRECT,
    tools: str | None = None,
) -> Outcome:
    """Work on the run as a worker does; `tools` is a URL for its tools that is not ours."""
    assert bridge.pair.tools is not None
    folder = bridge.app.settings.home / "work" / ACME / "runs" / bridge.run.id
    bridge.script(*steps)
    return await engine.work(
        Task(
            run=bridge.run.id,
            tenant=ACME,
            folder=folder,
            prompt="Look around.",
            model=Access(f"{bridge.url}/codex/v1", bridge.pair.model),
            limits=Limits(seconds=60),
            workspace=make(folder / "checkout"),
            model_name=mode.model,
            tools=Access(tools or f"{bridge.url}/t/acme/mcp", bridge.pair.tools),
        ),
        host,
    )


def make(folder: Path) -> Path:
    """Make a folder."""
    folder.mkdir(parents=True)
    return folder


async def test_a_run_is_paid_by_its_tenant(bridge: Bridge, engine: AppServer) -> None:
    """Every call of the model goes out with the tenant's key and is counted; Codex never had it."""
    host = Watcher()
    outcome = await work(
        bridge,
        engine,
        host,
        Answer([shell("", "env; cat /proc/*/environ")], input_tokens=200, output_tokens=10),
        Answer([message("Done.")], input_tokens=300, cached_tokens=200, output_tokens=20),
    )
    assert (outcome.status, outcome.message) == ("completed", "Done.")
    assert {request.headers["authorization"] for request in bridge.model.requests} == {f"Bearer {KEY}"}
    assert (await bridge.now()).total_tokens == 530
    assert host.of("usage")[-1]["total_tokens"] == 530
    kept = [path for path in bridge.app.settings.home.joinpath("work").rglob("*") if path.is_file()]
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]
    assert not [path for path in kept if bridge.token.encode() in path.read_bytes()]
    assert bridge.token not in str(bridge.model.turns[-1].outputs)


async def test_the_budget_ends_a_run_in_a_sentence(bridge: Bridge, engine: AppServer) -> None:
    """In the middle of its work; the model is asked no more."""
    outcome = await work(
        bridge,
        engine,
        Watcher(),
        Answer([shell("", "true")], input_tokens=990, output_tokens=20),
        [message("never")],
    )
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.code, outcome.failure.retryable) == (
        "failed",
        "quota_exceeded",
        False,
    )
    assert outcome.failure.message == "The budget of 1,000 tokens for this run is spent."
    assert len(bridge.model.requests) == 1


async def test_a_key_that_is_no_good_ends_a_run_at_once(bridge: Bridge, engine: AppServer) -> None:
    """Without Codex trying again and again."""
    outcome = await work(bridge, engine, Watcher(), Refusal(401, "Incorrect API key provided."))
    assert outcome.failure is not None
    assert outcome.failure.code == "needs_reauth"
    assert "OpenAI refused the credential: Incorrect API key provided." in outcome.failure.message
    assert len(bridge.model.turns) == 1


async def test_a_short_limit_is_waited_for_in_the_run(bridge: Bridge, engine: AppServer) -> None:
    """Codex honours Retry-After by itself."""
    limited = Refusal(429, "slow", "rate_limit_exceeded", "rate_limit_exceeded", {"retry-after": "1"})
    outcome = await work(bridge, engine, Watcher(), limited, [message("Here.")])
    assert (outcome.status, outcome.message) == ("completed", "Here.")


async def test_a_limit_that_is_foreseen_is_waited_for_in_the_run(bridge: Bridge, engine: AppServer) -> None:
    """Where it is longer than a call waits by itself, too: OpenAI is not asked before."""
    catalog = bridge.app.catalog
    openai = replace(catalog.connectors["openai"], rate_budget=0.1)
    bridge.app.gateway.replace_catalog(replace(catalog, connectors={**catalog.connectors, "openai": openai}))
    none_left = {
        "x-ratelimit-limit-requests": "3",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "3s",
    }
    first = Answer([shell("", "true")], headers=none_left)
    outcome = await work(bridge, engine, Watcher(), first, [message("Here.")])
    assert (outcome.status, outcome.message) == ("completed", "Here.")
    rows = await find(bridge.app.database, ACME, AuditFilter(tool="call_model", outcome="rate_limited"))
    assert len(rows) >= 1


async def test_a_long_limit_says_when_to_come_back(bridge: Bridge, engine: AppServer) -> None:
    """The run may be tried again then."""
    limited = Refusal(429, "slow", "rate_limit_exceeded", "rate_limit_exceeded", {"retry-after": "900"})
    outcome = await work(bridge, engine, Watcher(), limited)
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.retryable) == ("rate_limited", True)
    assert outcome.failure.retry_after == 900
    assert "15 minutes" in outcome.failure.message


async def test_a_vendor_that_fails_once_is_not_noticed(bridge: Bridge, engine: AppServer) -> None:
    """And one that goes on failing is told as such."""
    outcome = await work(bridge, engine, Watcher(), Refusal(500), [message("Here.")])
    assert (outcome.status, outcome.message) == ("completed", "Here.")


async def test_a_run_whose_token_is_revoked_ends(bridge: Bridge, engine: AppServer) -> None:
    """In the middle of its work, at its next call."""
    host = Watcher()

    def on(event: Event) -> None:
        if event.kind == "item_completed" and event.data["item"]["type"] == "commandExecution":
            revoked.set()

    revoked = asyncio.Event()
    host.on = on

    async def revoke() -> None:
        await revoked.wait()
        await bridge.app.run_tokens.revoke(bridge.run)

    revoking = asyncio.create_task(revoke())
    outcome = await work(
        bridge, engine, host, [shell("", "true")], [shell("", "sleep 1")], [message("never")]
    )
    await revoking
    assert outcome.failure is not None
    assert (outcome.status, outcome.failure.code) == ("failed", "unauthenticated")
    assert len(bridge.model.turns) < 3


async def test_a_run_has_the_tools_of_its_recipe(bridge: Bridge, engine: AppServer, mode: ToolMode) -> None:
    """Over its own MCP endpoint, with a token for these and no others; writes ask nobody."""
    host = Watcher()
    steps = [
        *call_tool(mode, "linkspan", "list_tickets", {"limit": 1}),
        *call_tool(mode, "linkspan", "comment_on_ticket", {"id": "1", "body": "From the run."}),
        *call_tool(mode, "linkspan", "update_ticket", {"id": "1", "title": "Changed"}),
    ]
    outcome = await work(bridge, engine, host, *steps, [message('{"verdict": "good"}')], mode=mode)
    assert outcome.status == "completed"
    listed, commented, *_ = host.items("mcpToolCall")
    assert "acme" in json.dumps(listed["result"])
    assert commented["status"] == "completed"
    said = f"From the run.\n\nCodex run {bridge.run.id} wrote this."
    assert [(org, body["text"]) for org, _, body in bridge.tracker.comments] == [("acme", said)]
    assert "Changed" not in str(bridge.tracker.tickets)
    tools = [name for name in ("list_tickets", "comment_on_ticket") if name in bridge.model.turns[-1].text]
    assert tools == ["list_tickets", "comment_on_ticket"]


async def test_tools_that_cannot_be_reached_end_a_run(bridge: Bridge, engine: AppServer) -> None:
    """In a sentence and before the model is asked, which would have nothing to look with."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))  # and nobody listens
        url = f"http://{LOOPBACK}:{taken.getsockname()[1]}/t/acme/mcp"
        outcome = await work(bridge, engine, Watcher(), [message("never")], tools=url)
    assert outcome.failure is not None
    failure = outcome.failure
    assert (outcome.status, failure.code, failure.retryable) == ("failed", "upstream_error", True)
    assert failure.message == "Codex could not reach the tools of this run, so nothing was begun."
    assert bridge.token not in str(outcome)
    assert bridge.model.turns == ()
