"""docs/recipes/design_to_code.md as it stands: a frame that is marked as ready becomes a pull request."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.connectors.test_contracts import unlike_figmas
from tests.fakes.canvas import Canvas, png
from tests.recipes.town import ACME, BO, PATIENCE, Town, town
from tests.servers.scripted_model import function_call, message, shell
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
TOKEN = "canary-figma-token"
FILES = {"pay.css": ".pay { }\n", "AGENTS.md": "Be brief.\n", "docs/frontend.md": "Use var(--brand).\n"}
BLUE, GREEN = png((0, 0, 255)), png((0, 255, 0))


def drawn() -> list[dict[str, Any]]:
    """Answer the pages of a file with one frame that is ready to be built."""
    text = {"id": "1:3", "name": "Label", "type": "TEXT", "characters": "Pay now"}
    fills = [{"type": "SOLID", "color": {"r": 0, "g": 0, "b": 1, "a": 1}}]
    frame = {
        "id": "1:2",
        "name": "Pay button",
        "type": "FRAME",
        "fills": fills,
        "children": [text],
        "layoutMode": "HORIZONTAL",
        "itemSpacing": 8,
        "paddingLeft": 12,
        "absoluteBoundingBox": {"x": 0, "y": 0, "width": 160, "height": 40},
        "devStatus": {"type": "READY_FOR_DEV", "description": "Only the button."},
    }
    return [{"id": "0:1", "name": "Page", "type": "CANVAS", "children": [frame]}]


async def marked(place: Town, canvas: Canvas, time: str, *, passcode: str | None = None) -> int:
    """Let Figma tell that the frame is ready, as its description has it; answers the status."""
    event = {
        "event_type": "DEV_MODE_STATUS_UPDATE",
        "timestamp": time,
        "webhook_id": "22",
        "file_key": canvas.key,
        "file_name": canvas.name,
        "node_id": "1:2",
        "related_links": [],
        "status": "READY_FOR_DEV",
        "triggered_by": {"id": "811", "handle": "ada", "img_url": "https://www.figma.com/ada.png"},
    }
    return await told(place, event, passcode=passcode)


async def told(place: Town, event: dict[str, Any], *, passcode: str | None = None) -> int:
    """Deliver what Figma tells, with the passcode in it; answers the status."""
    account = place.accounts["figma"]
    secret = await place.app.hook_secrets.of_account(ACME, account)
    body = {**event, "passcode": passcode or secret.reveal()}
    assert unlike_figmas(body) == []
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"{place.url}/hooks/account/{account}", json=body)
    return answer.status_code


async def test_a_frame_that_is_ready_becomes_a_pull_request_with_a_note_at_it(tmp_path: Path) -> None:
    """Seen as tree and picture, built, approved, told at the frame; drawn anew, what is different is told."""
    canvas = Canvas(TOKEN, pages=drawn(), pictures={"1:2": BLUE, "1:3": GREEN})
    canvas.comments.append(
        {
            "id": "1",
            "file_key": canvas.key,
            "message": "Round the corners.",
            "reactions": [],
            "user": {"id": "811", "handle": "ada", "img_url": ""},
            "order_id": None,
            "created_at": "2026-11-20T08:00:00Z",
            "resolved_at": None,
            "client_meta": {"node_id": "1:2"},
        }
    )
    with serving(canvas.app()) as canvas.url:
        async with town(
            tmp_path,
            "design_to_code",
            FILES,
            connectors={"figma": {"base_url": canvas.url}},
            links=[("figma", {}, {"key": TOKEN})],
        ) as place:
            await place.app.recipes.enable(BO, "build_frame", {"repository": "acme/shop"})
            look = function_call(
                "get_picture_of_frame", {"id": f"{canvas.key}#1:3"}, namespace="mcp__linkspan"
            )
            build = "echo '.pay { background: var(--brand) }' > pay.css"
            place.model.prepare([[look], [shell("", build)], [message("The button is built.")]])
            assert await marked(place, canvas, "2026-11-20T10:00:00Z", passcode="wrong") == 401
            for _ in range(2):
                assert await marked(place, canvas, "2026-11-20T10:00:00Z") == 200
            (run,) = await place.runs(1)
            done = await place.approve(run.id)
            assert (done.state, done.error_message) == ("succeeded", None)
            read = place.model.turns[0].text
            for words in ("Pay now", "Round the corners.", "HORIZONTAL", "Only the button.", "var(--brand)"):
                assert words in read
            assert base64.b64encode(BLUE).decode() in read
            assert "what is different from" not in read
            assert base64.b64encode(GREEN).decode() in place.model.turns[1].text
            warned = [e.data for e in await place.app.runs.events(BO, run.id) if e.kind == "warning"]
            assert ["Limited by Figma plan" in each["message"] for each in warned] == [True]
            (pull,) = place.forge.repositories["acme/shop"].pulls
            assert (pull["title"], pull["draft"]) == ("Pay button", True)
            assert f"Of the frame Pay button ({canvas.key}#1:2)." in pull["body"]
            assert "var(--brand)" in place.git.show("acme/shop", f"codex/{run.id}:pay.css")
            (note,) = canvas.comments[1:]
            assert note["message"].startswith(f"{pull['html_url']}\n\nThe button is built.")
            assert note["client_meta"]["node_id"] == "1:2"

            found = canvas.node("1:3")
            assert found is not None
            found["characters"], canvas.pictures["1:2"] = "Pay", GREEN
            place.model.prepare([[shell("", "echo '/* shorter */' >> pay.css")], [message("It is shorter.")]])
            assert await marked(place, canvas, "2026-11-21T10:00:00Z") == 200
            again, _ = await place.runs(2)
            assert (await place.approve(again.id)).state == "succeeded"
            different = place.model.turns[-2].text.partition("what is different from")[2]
            assert run.id in different
            assert "Pay now" in different and "looks different" in different


def a_variable(value: float) -> dict[str, Any]:
    """Answer the variables of a file, one, as Figma's description has them."""
    told = {
        "id": "VariableID:1",
        "name": "space/inner",
        "resolvedType": "FLOAT",
        "valuesByMode": {"1": value},
    }
    modes = [{"modeId": "1", "name": "Light"}]
    return {
        "variables": {"VariableID:1": {**told, "variableCollectionId": "VC:1"}},
        "variableCollections": {"VC:1": {"id": "VC:1", "name": "Sizes", "modes": modes}},
    }


async def test_a_design_that_was_changed_is_brought_up_to_date(tmp_path: Path) -> None:
    """Five quiet minutes after it: frames, pictures and variables, and what is different from last time."""
    ahead = [0.0]
    canvas = Canvas(TOKEN, pages=drawn(), pictures={"1:2": BLUE}, variables=a_variable(12))
    with serving(canvas.app()) as canvas.url:
        async with town(
            tmp_path,
            "design_to_code",
            FILES,
            connectors={"figma": {"base_url": canvas.url}},
            links=[("figma", {}, {"key": TOKEN})],
            clock=lambda: time.time() + ahead[0],
        ) as place:
            await place.app.recipes.enable(BO, "build_design", {"repository": "acme/shop"})
            updated = {
                "event_type": "FILE_UPDATE",
                "webhook_id": "23",
                "file_key": canvas.key,
                "file_name": canvas.name,
            }

            async def built(number: int, time: str, step: str) -> str:
                place.model.prepare([[shell("", step)], [message("As it is drawn.")]])
                assert await told(place, {**updated, "timestamp": time}) == 200
                for _ in range(2):
                    later = time.replace("00Z", "30Z")
                    assert await told(place, {**updated, "timestamp": later}) == 200
                async with asyncio.timeout(PATIENCE):
                    while len(await place.app.arrivals.list(ACME)) < 2 * number:
                        await place.app.runs.bell.wait(0.2)
                assert len(await place.app.runs.list(BO)) == number - 1
                ahead[0] += 301
                run, *_ = await place.runs(number)
                done = await place.approve(run.id)
                assert (done.state, done.error_message) == ("succeeded", None)
                return place.model.turns[-2].text

            first = await built(1, "2026-11-20T10:00:00Z", "echo '.pay { gap: 12px }' > pay.css")
            for words in ("Pay now", "HORIZONTAL", "space/inner"):
                assert words in first
            assert base64.b64encode(BLUE).decode() in first
            (pull,) = place.forge.repositories["acme/shop"].pulls
            assert (pull["title"], pull["draft"]) == ("Shop as it is drawn now", True)
            (note,) = canvas.comments
            assert note["message"].startswith(f"{pull['html_url']}\n\nAs it is drawn.")

            found = canvas.node("1:3")
            assert found is not None
            found["characters"], canvas.variables = "Pay", a_variable(16)
            second = await built(2, "2026-11-21T10:00:00Z", "echo '.pay { gap: 16px }' > pay.css")
            different = second.partition("what is different from")[2]
            changed = [line for line in different.split("\\n") if line[:1] in ("-", "+")]
            for words in ("Pay now", "12", "16"):
                assert any(words in line for line in changed), changed
