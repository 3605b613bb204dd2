"""Jobs whose outcome is an answer, as background Responses of OpenAI: `engine: responses`.

OpenAI is scripted; deliveries, the forge and our MCP endpoint are those of every job.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from pathlib import Path

import pytest

from linkspan.vault.secret import Secret
from tests.fakes.openai_api import Call, HostedOpenAI
from tests.recipes.test_hosted import BASE, opened
from tests.recipes.town import ACME, BO, KEY, PATIENCE, TOKEN, Town, town

pytestmark = pytest.mark.e2e


def says(
    hosted: HostedOpenAI,
    tool: str,
    arguments: dict[str, str],
    answer: object,
    *,
    after: threading.Event | None = None,
) -> list[str]:
    """Script an answer after a call of a tool; answers what that told."""
    heard: list[str] = []

    async def script(call: Call) -> str:
        if after is not None:
            await asyncio.to_thread(after.wait, PATIENCE)
        heard.append(await call(tool, arguments))
        return json.dumps(answer)

    hosted.scripts.append(script)
    return heard


def asked_of(place: Town, hosted: HostedOpenAI) -> str:
    """Answer what was asked of OpenAI: once, nothing that the package could not ask, and without a secret."""
    assert hosted.wrong == []
    assert not place.model.turns
    (work,) = hosted.works.values()
    told = json.dumps(work.body)
    assert TOKEN not in told and KEY not in told
    return told


async def test_a_change_is_reviewed_without_a_checkout_there(tmp_path: Path) -> None:
    """From a signed delivery to the comment at its line, though the stream of the answer breaks early."""
    hosted = HostedOpenAI(break_after=1)
    engine = {"review_pull_request": {"engine": "responses", "model": "gpt-test"}}
    async with town(tmp_path, "review_pull_request", BASE, recipes=engine, hosted=hosted) as place:
        pull = opened(place)
        await place.app.recipes.enable(BO, "review_pull_request", {"repository": "acme/shop"})
        finding = {"path": "orders.py", "line": 1, "start_line": None, "side": "RIGHT"}
        finding |= {"severity": "important", "title": "Float", "body": "It loses cents.", "suggestion": None}
        answer = {"summary": "Floats.", "event": "comment", "findings": [finding]}
        heard = says(hosted, "get_pull_request", {"id": "acme/shop#1"}, answer)
        await place.from_github("pull_request", "opened", pull)
        (run,) = await place.runs(1)
        done = await place.until(run.id)
        assert (done.state, done.error_message, done.total_tokens) == ("succeeded", None, 100)
        assert "Adds totals." in heard[0]
        assert any("starting_after=0" in asked for asked in hosted.asked)
        told = asked_of(place, hosted)
        assert "total = 0.3" in told and "Run the tests." in told
        assert place.forge.changes is not None
        (thread,) = place.forge.changes.threads["acme/shop#1"]
        assert (thread["path"], thread["line"]) == ("orders.py", 1)
        assert thread["comments"][0]["body"] == "**important: Float**\n\nIt loses cents."
        (review,) = place.forge.repositories["acme/shop"].reviews
        assert review["body"].startswith("Floats.")
        assert set(place.git.branches("acme/shop")) == {"main", "feature"}


async def test_an_issue_is_sorted_as_it_is_opened(tmp_path: Path) -> None:
    """docs/recipes/triage.md as it stands: what the answer says in sum is a comment, and nothing else is.

    The stream breaks, and a webhook of OpenAI's says that the answer is there: nothing else would.
    """
    hosted = HostedOpenAI(break_after=1)
    hosted.pace = lambda _seconds: asyncio.Event().wait()  # without a webhook it would never look again
    async with town(tmp_path, "triage", BASE, hosted=hosted) as place:
        await place.app.recipes.enable(BO, "triage", {})
        repository = place.forge.repositories["acme/shop"]
        said = {"title": "The total is wrong", "body": "It is counted twice."}
        issue = place.forge._thing(repository, said, "issues")
        repository.things.append(issue)
        answer = {"kind": "bug", "severity": "high", "summary": "A bug: totals are counted twice."}
        is_followed = threading.Event()
        heard = says(hosted, "get_ticket", {"id": "acme/shop#1"}, answer, after=is_followed)
        made = f"whsec_{base64.b64encode(b'canary-of-a-webhook-at-openai').decode()}"
        await place.app.hook_secrets.of_account(ACME, place.accounts["openai"], Secret(made))
        hosted.webhook = (f"{place.url}/hooks/account/{place.accounts['openai']}", made)
        await place.from_github("issues", "opened", issue)
        (run,) = await place.runs(1)
        async with asyncio.timeout(PATIENCE):
            while not any("starting_after=0" in asked for asked in hosted.asked):
                await place.app.runs.bell.wait(0.2)
        is_followed.set()
        done = await place.until(run.id)
        assert (done.state, done.error_message) == ("succeeded", None)
        async with asyncio.timeout(PATIENCE):
            while not hosted.told:
                await place.app.runs.bell.wait(0.2)
        assert hosted.told == [{"accepted": 1}]
        assert "It is counted twice." in heard[0]
        told = json.loads(asked_of(place, hosted))
        assert (told["model"], told["reasoning"]["effort"]) == ("gpt-5.5", "low")
        assert told["text"]["format"]["schema"]["required"] == ["kind", "severity", "summary"]
        (comment,) = repository.comments
        assert comment["body"].startswith("A bug: totals are counted twice.\n")
        _artifact, output = await place.app.runs.artifact(BO, run.id, "output")
        assert json.loads(output) == answer
        assert not repository.pulls and list(place.git.branches("acme/shop")) == ["main"]
