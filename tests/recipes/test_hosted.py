"""The four jobs of docs/recipes with the Codex that OpenAI hosts: `engine: agents_api`, and nothing else.

OpenAI is scripted, its sandboxes are folders in which commands are really run; git, the forge, the hooks and
our MCP endpoint are those of every job.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from linkspan.codex.hosted_checkout import HAND_IN
from linkspan.vault.secret import Secret
from tests.fakes.canvas import Canvas, png
from tests.fakes.openai_api import Call, HostedOpenAI
from tests.fakes.slack import TOKEN as SLACK_TOKEN
from tests.fakes.slack import Slack
from tests.recipes.test_design_to_code import TOKEN as FIGMA
from tests.recipes.test_design_to_code import drawn, marked
from tests.recipes.test_incident_response import FILES as SERVICE
from tests.recipes.test_incident_response import FIXED, MEND
from tests.recipes.test_ticket_to_pr import FILES, told_of_review
from tests.recipes.town import ACME, BO, KEY, PATIENCE, TOKEN, Town, town
from tests.servers.alertmanager import PASSWORD, USER, alertmanager, tell
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e


def openai_at(folder: Path) -> HostedOpenAI:
    """Answer an OpenAI whose sandboxes are below a folder."""
    made = HostedOpenAI(disk=folder / "sandboxes")
    (folder / "sandboxes").mkdir()
    return made


def on_agents_api(*recipes: str) -> dict[str, Any]:
    """Say of recipes of a page that they are worked there."""
    return {recipe: {"engine": "agents_api", "model": "gpt-test"} for recipe in recipes}


def does(
    hosted: HostedOpenAI,
    command: str,
    words: str,
    *,
    tool: tuple[str, Any] | None = None,
    after: threading.Event | None = None,
) -> list[str]:
    """Script a turn: a tool, a command in the checkout, the change handed in; answers what each said."""
    heard: list[str] = []

    async def script(call: Call) -> str:
        if after is not None:
            await asyncio.to_thread(after.wait, PATIENCE)
        if tool is not None:
            heard.append(await call(*tool))
        heard.append(await call.shell(f"cd /workspace/checkout && {command}"))
        heard.append(await call.shell(HAND_IN))
        (work,) = hosted.works.values()
        heard.append(json.dumps(work.body))
        return words

    hosted.scripts.append(script)
    return heard


def all_is_well(place: Town, hosted: HostedOpenAI) -> None:
    """Nothing was asked that the package could not ask, no credential went there, nothing is left there."""
    assert hosted.wrong == []
    assert hosted.works == {}
    assert not place.model.turns


async def test_a_ticket_and_then_its_review(tmp_path: Path) -> None:
    """An issue becomes a pull request; after a review it goes on, from what a person has pushed meanwhile."""
    hosted = openai_at(tmp_path)
    async with town(
        tmp_path, "ticket_to_pr", FILES, recipes=on_agents_api("fix_ticket"), hosted=hosted
    ) as place:
        await place.app.recipes.enable(BO, "fix_ticket", {"repositories": ["acme/shop"]})
        repository = place.forge.repositories["acme/shop"]
        said = {"title": "The total is wrong", "body": "It is counted twice."}
        issue = place.forge._thing(repository, said, "issues")
        repository.things.append(issue)
        repository.comments.append({"id": 9, "number": 1, "body": "It must be 2.", "user": {"id": 2}})
        issue["assignees"] = [{"id": 5, "login": "codex-bot"}]
        heard = does(
            hosted,
            "echo 'total = 2' > cart.py && mkdir tests && echo 'assert 1' > tests/cart.py && git diff --stat",
            "The total is counted once.",
            tool=("list_comments_of_ticket", {"id": "acme/shop#1"}),
        )
        await place.from_github("issues", "assigned", issue)
        (run,) = await place.runs(1)
        done = await place.approve(run.id)
        assert (done.state, done.error_message, done.total_tokens) == ("succeeded", None, 100)
        assert "It must be 2." in heard[0] and "cart.py" in heard[1] and "Handed in: 2" in heard[2]
        assert "It is counted twice." in heard[3] and "Be brief." in heard[3]
        for secret in (TOKEN, KEY):
            assert not any(secret.encode() in data for data in hosted.uploads.values())
            assert secret not in heard[3]
        (pull,) = repository.pulls
        assert "The total is counted once.\n\nCloses acme/shop#1" in pull["body"]
        branch = f"codex/{run.id}"
        assert place.git.show("acme/shop", f"{branch}:cart.py") == "total = 2"
        assert place.git.show("acme/shop", f"{branch}:tests/cart.py") == "assert 1"

        theirs = {**FILES, "cart.py": "total = 2\n", "tests/cart.py": "assert 1\n", "tax.py": "rate = 7\n"}
        pull["head"]["sha"] = place.git.commit("acme/shop", theirs, branch=branch)
        heard = does(hosted, "cat tax.py && echo 'total = 2.0' > cart.py", "It is a float.")
        await told_of_review(place, pull, 51, "CHANGES_REQUESTED", "Make it a float.")
        second, _ = await place.runs(2)
        assert (await place.approve(second.id)).state == "succeeded"
        assert "rate = 7" in heard[0] and "Make it a float." in heard[2]
        assert place.git.show("acme/shop", f"{branch}:cart.py") == "total = 2.0"
        assert place.git.show("acme/shop", f"{branch}:tax.py") == "rate = 7"
        all_is_well(place, hosted)


async def test_a_group_of_alerts(tmp_path: Path) -> None:
    """Fired by a real Alertmanager, mended there, approved by who is on call; its end told by a webhook."""
    hosted, home = openai_at(tmp_path), tmp_path / "alertmanager"
    hosted.pace = lambda _seconds: asyncio.Event().wait()  # without a webhook it would never look again
    slack = Slack()
    with alertmanager(home) as origin, serving(slack.app()) as channels:
        async with town(
            tmp_path,
            "incident_response",
            SERVICE,
            connectors={"slack": {"base_url": f"{channels}/api"}},
            links=[
                ("alertmanager", {"origin": origin}, {"username": USER, "password": PASSWORD}),
                ("slack", {}, {"token": SLACK_TOKEN}),
            ],
            recipes=on_agents_api("fix_alert"),
            hosted=hosted,
        ) as place:
            await place.app.recipes.enable(
                BO, "fix_alert", {"repository": "acme/shop", "channel": "C024BE91L"}
            )
            account = place.accounts["alertmanager"]
            secret = await place.app.hook_secrets.of_account(ACME, account)
            address = f"{place.url}/hooks/account/{account}"
            await asyncio.to_thread(tell, home, origin, address, secret.reveal())
            began = threading.Event()
            heard = does(hosted, MEND, "Hour 24 is no hour.", after=began)
            made = f"whsec_{base64.b64encode(b'canary-of-a-webhook-at-openai').decode()}"
            await place.app.hook_secrets.of_account(ACME, place.accounts["openai"], Secret(made))
            hosted.webhook = (f"{place.url}/hooks/account/{place.accounts['openai']}", made)
            labels = {"alertname": "LateOrders", "severity": "critical"}
            async with httpx2.AsyncClient(auth=(USER, PASSWORD)) as http:
                alert = {"labels": labels, "annotations": {"summary": "Late orders fail"}}
                (await http.post(f"{origin}/api/v2/alerts", json=[alert])).raise_for_status()
            (run,) = await place.runs(1)
            async with asyncio.timeout(PATIENCE):
                while (await place.app.runs.find(ACME, run.id)).thread_id is None:
                    await place.app.runs.bell.wait(0.2)
            began.set()
            done = await place.approve(run.id)
            assert (done.state, done.error_message) == ("succeeded", None)
            assert hosted.told == [{"accepted": 1}]
            assert len(slack.said) == 2
            assert "Late orders fail" in heard[2]
            assert FIXED in place.git.show("acme/shop", f"codex/{run.id}:orders.py")
            all_is_well(place, hosted)


async def test_a_frame_that_is_ready(tmp_path: Path) -> None:
    """Its picture is a picture to the model there, and the note is at the frame."""
    blue, hosted = png((0, 0, 255)), openai_at(tmp_path)
    canvas = Canvas(FIGMA, pages=drawn(), pictures={"1:2": blue, "1:3": blue})
    with serving(canvas.app()) as canvas.url:
        async with town(
            tmp_path,
            "design_to_code",
            {"pay.css": ".pay { }\n", "docs/frontend.md": "Use var(--brand).\n"},
            connectors={"figma": {"base_url": canvas.url}},
            links=[("figma", {}, {"key": FIGMA})],
            recipes=on_agents_api("build_frame"),
            hosted=hosted,
        ) as place:
            await place.app.recipes.enable(BO, "build_frame", {"repository": "acme/shop"})
            heard = does(
                hosted,
                "echo '.pay { background: var(--brand) }' > pay.css",
                "The button is built.",
                tool=("get_frame", {"id": f"{canvas.key}#1:2"}),
            )
            assert await marked(place, canvas, "2026-11-20T10:00:00Z") == 200
            (run,) = await place.runs(1)
            assert (await place.approve(run.id)).state == "succeeded"
            assert "Pay now" in heard[0]
            assert "data:image/png;base64," in heard[3] and "Use var(--brand)." in heard[3]
            assert "var(--brand)" in place.git.show("acme/shop", f"codex/{run.id}:pay.css")
            (pull,) = place.forge.repositories["acme/shop"].pulls
            (note,) = canvas.comments
            assert note["message"].startswith(f"{pull['html_url']}\n\nThe button is built.")
            assert note["client_meta"]["node_id"] == "1:2"
            all_is_well(place, hosted)


BASE = {"orders.py": "total = 3\nprint(total)\n", "AGENTS.md": "Run the tests.\n"}


def opened(place: Town) -> dict[str, Any]:
    """Push a change of orders.py, and answer the pull request that somebody opens for it."""
    branches = place.git.branches
    change = {**BASE, "orders.py": "total = 0.3\nprint(total)\n"}
    place.git.commit("acme/shop", change, branch="feature", parent=branches("acme/shop")["main"])
    repository, heads = place.forge.repositories["acme/shop"], branches("acme/shop")
    shown = place.forge._shown(repository)
    pull = {
        **place.forge._thing(repository, {"title": "Totals", "body": "Adds totals."}, "pull"),
        "draft": False,
        "merged_at": None,
        "head": {"ref": "feature", "sha": heads["feature"], "repo": shown},
        "base": {"ref": "main", "sha": heads["main"], "repo": shown},
    }
    repository.things.append(pull)
    return pull


async def test_a_review_with_the_repository_at_hand(tmp_path: Path) -> None:
    """The checkout there is the head of the pull request; what is changed in it goes nowhere."""
    hosted = openai_at(tmp_path)
    async with town(
        tmp_path, "review_pull_request", BASE, recipes=on_agents_api("review_pull_request"), hosted=hosted
    ) as place:
        pull = opened(place)
        await place.app.recipes.enable(BO, "review_pull_request", {"repository": "acme/shop"})

        async def looks(call: Call) -> str:
            seen = await call.shell("cd /workspace/checkout && head -1 orders.py && echo x > orders.py")
            finding = {"path": "orders.py", "line": 1, "start_line": None, "side": "RIGHT"}
            finding |= {"severity": "important", "title": "Float", "body": seen.strip(), "suggestion": None}
            return json.dumps({"summary": "Floats.", "event": "comment", "findings": [finding]})

        hosted.scripts.append(looks)
        await place.from_github("pull_request", "opened", pull)
        (run,) = await place.runs(1)
        done = await place.until(run.id)
        assert (done.state, done.error_message) == ("succeeded", None)
        assert place.forge.changes is not None
        (thread,) = place.forge.changes.threads["acme/shop#1"]
        assert (thread["path"], thread["line"]) == ("orders.py", 1)
        assert "total = 0.3" in thread["comments"][0]["body"]
        assert set(place.git.branches("acme/shop")) == {"main", "feature"}
        all_is_well(place, hosted)
