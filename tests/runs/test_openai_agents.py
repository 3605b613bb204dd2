"""The official openai-agents package with our MCP endpoint as its tool server: examples/openai_agents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agents import OpenAIResponsesModel
from agents.exceptions import AgentsException
from openai import AsyncOpenAI

from openai_agents.ask import ask
from tests.codex.conftest import served
from tests.runs.conftest import ACME, BO, SHOP, House
from tests.servers.scripted_model import ScriptedModel, function_call, message
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
TURN = {"x-codex-turn-metadata": json.dumps({"request_kind": "turn"})}
"""By which the scripted model knows a request of the conversation."""


async def asked(house: House, model: ScriptedModel, scopes: list[str]) -> str:
    """Answer what the agent says, asked over real HTTP with a token of these scopes."""
    made = await house.app.tokens.create(ACME, subject="agent", scopes=scopes)
    with serving(model) as model_url:
        async with (
            served(house.app) as url,
            AsyncOpenAI(base_url=f"{model_url}/v1", api_key="key-canary", default_headers=TURN) as client,
        ):
            talking = OpenAIResponsesModel("gpt-5.5", client)
            return await ask("Have HC-103 fixed.", f"{url}/t/acme/mcp", made.text.reveal(), talking)


async def test_an_agent_reads_a_ticket_and_starts_a_run(house: House) -> None:
    """It sees the tools with their schemas, reads what the desk has, and the run waits for a worker."""
    await house.enable("mend")
    model = ScriptedModel()

    def starts(_: object) -> list[Any]:
        house.now[0] += 1  # or both calls were of one time
        return [function_call("start_codex_run", {"recipe": "mend", "id": "HC-103"})]

    model.prepare(
        [
            [function_call("get_ticket", {"id": "HC-103"})],
            starts,
            lambda request: [message(f"It is started: {json.loads(request.outputs[-1])['result']['id']}")],
        ]
    )
    said = await asked(house, model, ["read", "run.start"])
    (run,) = await house.app.runs.list(BO)
    assert said == f"It is started: {run.id}"
    assert (run.recipe, run.entity_id, run.state, run.source) == ("mend", "HC-103", "queued", "mcp")
    assert (run.asker_kind, run.asker) == ("service", "agent")
    offered: dict[str, Any] = {tool["name"]: tool for tool in model.turns[0].body["tools"]}
    assert {"get_ticket", "search_tickets", "start_codex_run", "get_codex_run"} <= set(offered)
    assert not [name for name in offered if "approve" in name]
    assert "Ordering after 22:40" in model.turns[1].outputs[-1]
    await house.app.audit.flush()
    ((thread, _runs),) = (await house.app.history.threads(SHOP)).shown
    assert thread.id.startswith("agents-")
    assert [call.tool for call in (await house.app.history.thread(SHOP, thread.id)).calls] == [
        "get_ticket", "start_codex_run"
    ]  # fmt: skip


async def test_an_agent_that_may_only_read_starts_nothing(house: House) -> None:
    """The tool is not even offered."""
    await house.enable("mend")
    model = ScriptedModel()
    model.prepare([[function_call("start_codex_run", {"recipe": "mend", "id": "HC-103"})]])
    with pytest.raises(AgentsException, match="start_codex_run"):
        await asked(house, model, ["read"])
    assert await house.app.runs.list(BO) == []
