"""Runs through the tools and resources of MCP, at the endpoint of a tenant."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from linkspan.accounts.principal import Tenant
from linkspan.serving import Serving
from linkspan.spec.run_tools import RUN_TOOL_NAMES
from linkspan.store import approvals, artifacts
from linkspan.store import runs as rows
from linkspan.store.approvals import Approval
from tests.runs.conftest import ACME, House

GLOBEX = Tenant("globex")


class Agent:
    """A client of MCP with a token of a tenant."""

    def __init__(self, house: House, token: str, tenant: str) -> None:
        self._client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(Serving(house.app).asgi),
            base_url="http://127.0.0.1:8640",
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": "2025-11-25",
            },
        )
        self._url = f"/t/{tenant}/mcp"

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Answer the whole JSON-RPC answer."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = await self._client.post(self._url, json=body)
        found: dict[str, Any] = answer.json()
        return found

    async def call(self, tool: str, meta: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
        """Answer the structured content of a tool's result, and whether it is an error."""
        more = {"_meta": meta} if meta else {}
        result = (await self.ask("tools/call", name=tool, arguments=arguments, **more))["result"]
        failed = result.get("isError", False)
        assert failed or json.loads(result["content"][0]["text"]) == result["structuredContent"]
        found: dict[str, Any] = {**result["structuredContent"], "isError": failed}
        return found


async def agent(house: House, tenant: Tenant = ACME, scopes: tuple[str, ...] = ("read", "write")) -> Agent:
    """Answer an agent of a service of the tenant."""
    made = await house.app.tokens.create(tenant, subject="codex", scopes=scopes)
    return Agent(house, made.text.reveal(), tenant)


async def test_a_recipe_brings_four_tools_and_none_of_them_approves(house: House) -> None:
    """What an agent may do with runs: start, get, list, cancel."""
    shown = (await (await agent(house)).ask("tools/list"))["result"]["tools"]
    tools = {tool["name"]: tool for tool in shown if "codex_run" in tool["name"]}
    assert set(tools) == set(RUN_TOOL_NAMES)
    assert "mend (Mend with Codex, for one ticket)" in tools["start_codex_run"]["description"]
    assert tools["get_codex_run"]["annotations"]["readOnlyHint"]
    assert not [tool["name"] for tool in shown if "approve" in tool["name"] or "steer" in tool["name"]]


async def test_a_run_is_started_shown_listed_and_cancelled(house: House) -> None:
    """As one tenant, and the other one knows nothing of it."""
    await house.enable("mend")
    codex, other = await agent(house), await agent(house, GLOBEX)
    started = await codex.call("start_codex_run", recipe="mend", id="HC-103")
    run = started["result"]
    assert (run["state"], run["input"]["id"], run["source"]) == ("queued", "HC-103", "mcp")
    assert (await codex.call("get_codex_run", id=run["id"]))["result"]["id"] == run["id"]
    listed = await codex.call("list_codex_runs", state="queued")
    assert [one["id"] for one in listed["result"]] == [run["id"]]
    assert (await other.call("list_codex_runs"))["result"] == []
    assert (await other.call("get_codex_run", id=run["id"]))["error"]["code"] == "not_found"
    assert (await other.call("cancel_codex_run", id=run["id"]))["isError"]
    assert (await codex.call("cancel_codex_run", id=run["id"]))["result"]["state"] == "cancelled"


async def test_a_call_that_is_repeated_starts_one_run(house: House) -> None:
    """Codex repeats a call with the same call id; another call is another run."""
    await house.enable("patch")
    codex = await agent(house)
    meta = {"threadId": "t1", "callId": "c1"}
    first = await codex.call("start_codex_run", meta, recipe="patch", id="HC-103")
    again = await codex.call("start_codex_run", meta, recipe="patch", id="HC-103")
    assert first["result"]["id"] == again["result"]["id"]
    busy = await codex.call("start_codex_run", {**meta, "callId": "c2"}, recipe="patch", id="HC-103")
    assert busy["error"]["code"] == "conflict"
    assert first["result"]["id"] in busy["error"]["message"]


async def test_a_dry_run_starts_nothing(house: House) -> None:
    """It says what would be started, and what is wrong with it."""
    codex = await agent(house)
    off = await codex.call("start_codex_run", recipe="mend", id="HC-103", dry_run=True)
    assert off["error"]["code"] == "forbidden"
    await house.enable("mend")
    shown = await codex.call("start_codex_run", recipe="mend", id="HC-103", dry_run=True)
    assert shown["dry_run"]
    assert shown["request"]["entity_id"] == "HC-103"
    assert (await codex.call("list_codex_runs"))["result"] == []
    missing = await codex.call("start_codex_run", recipe="mend", dry_run=True)
    assert "give its id" in missing["error"]["message"]


async def test_a_list_goes_on_where_its_cursor_says(house: House) -> None:
    """Page after page, each run once; the cursor of one tenant is nothing to another."""
    await house.enable("patch")
    codex, other = await agent(house), await agent(house, GLOBEX)
    ids = []
    for ticket in ("HC-101", "HC-102", "HC-103"):
        house.now[0] += 1
        ids.append((await codex.call("start_codex_run", recipe="patch", id=ticket))["result"]["id"])
    first = await codex.call("list_codex_runs", limit=2)
    rest = await codex.call("list_codex_runs", cursor=first["next_cursor"], limit=2)
    assert [one["id"] for one in (*first["result"], *rest["result"])] == ids[::-1]
    assert rest["next_cursor"] is None
    refused = await other.call("list_codex_runs", cursor=first["next_cursor"])
    assert refused["error"]["code"] == "invalid_argument"


async def test_without_the_scope_no_run_is_started(house: House) -> None:
    """A token that reads tickets and runs starts none, and the tool is not on its list."""
    await house.enable("mend")
    reader = await agent(house, scopes=("ticket.list", "run.get"))
    shown = (await reader.ask("tools/list"))["result"]["tools"]
    assert {tool["name"] for tool in shown} == {"list_tickets", "get_codex_run"}
    refused = await reader.call("start_codex_run", recipe="mend", id="HC-103")
    assert refused["error"]["code"] == "forbidden"
    assert "run.start" in refused["error"]["message"]


async def test_a_token_of_a_run_starts_none(house: House) -> None:
    """Codex at work does not start another Codex."""
    await house.enable("mend")
    started = await (await agent(house)).call("start_codex_run", recipe="mend", id="HC-103")
    run = await rows.take(house.app.database, "acme", started["result"]["id"], worker="w1", now=house.now[0])
    assert run is not None
    now = house.now[0]
    await rows.change(house.app.database, "acme", run.id, run.epoch, now, state="running")
    pair = await house.app.run_tokens.issue(run, expires=house.now[0] + 60)
    assert pair.tools is not None
    inside = Agent(house, pair.tools.reveal(), "acme")
    shown = (await inside.ask("tools/list"))["result"]["tools"]
    assert {tool["name"] for tool in shown} == {"get_ticket", "comment_on_ticket", "list_comments"}
    refused = await inside.call("start_codex_run", recipe="mend", id="HC-104")
    assert refused["error"]["code"] == "forbidden"


async def test_a_run_its_diff_and_its_transcript_are_resources(house: House) -> None:
    """By their addresses, which the templates name; what is not there is said so."""
    await house.enable("patch")
    codex, other = await agent(house), await agent(house, GLOBEX)
    templates = (await codex.ask("resources/templates/list"))["result"]["resourceTemplates"]
    addresses = {one["uriTemplate"] for one in templates}
    assert {f"linkspan://run/{{id}}{part}" for part in ("", "/diff", "/transcript")} <= addresses
    run = (await codex.call("start_codex_run", recipe="patch", id="HC-103"))["result"]["id"]
    taken = await rows.take(house.app.database, "acme", run, worker="w1", now=house.now[0])
    assert taken is not None
    await house.app.kept.put("acme", run, "diff", "text/x-diff", b"--- a\n+++ b\n", epoch=taken.epoch)
    await house.app.kept.put("acme", run, "rollout", "application/jsonl", b"{}", epoch=taken.epoch)
    shown = (await codex.ask("resources/read", uri=f"linkspan://run/{run}"))["result"]["contents"][0]
    assert shown["mimeType"] == "text/markdown"
    assert run in shown["text"]
    now = house.now[0]
    asked = Approval("acme", "apr_1", run, "publish", "Publish?", {"tree": "5aced0c"}, now, now + 9)
    await approvals.ask(house.app.database, asked, epoch=taken.epoch)
    await rows.change(house.app.database, "acme", run, taken.epoch, now, state="waiting_approval")
    waiting = (await codex.ask("resources/read", uri=f"linkspan://run/{run}"))["result"]["contents"][0]
    assert "Tree: 5aced0c" in waiting["text"] or "Tree 5aced0c" in waiting["text"], waiting["text"]
    diff = (await codex.ask("resources/read", uri=f"linkspan://run/{run}/diff"))["result"]["contents"][0]
    assert (diff["mimeType"], diff["text"]) == ("text/x-diff", "--- a\n+++ b\n")
    missing = await codex.ask("resources/read", uri=f"linkspan://run/{run}/transcript")
    assert "has no 'transcript'" in missing["error"]["message"]
    assert "error" in await codex.ask("resources/read", uri=f"linkspan://run/{run}/rollout")
    assert "error" in await other.ask("resources/read", uri=f"linkspan://run/{run}/diff")
    assert len(await artifacts.of_run(house.app.database, "acme", run)) == 2


async def test_every_call_is_in_the_audit_log(house: House) -> None:
    """With the run that it was about; and so is the look at the repository when the recipe was turned on."""
    await house.enable("patch")
    codex = await agent(house)
    house.now[0] += 1
    run = (await codex.call("start_codex_run", recipe="patch", id="HC-103"))["result"]["id"]
    house.now[0] += 1
    await codex.call("get_codex_run", id=run)
    await house.app.audit.flush()
    kept = await house.app.database.query("SELECT tool, entity, entity_id, outcome FROM audit ORDER BY time")
    assert [(row["tool"], row["entity_id"]) for row in kept] == [
        ("get_repository", "acme/cafe"),
        ("start_codex_run", "HC-103"),
        ("get_codex_run", run),
    ]
