"""docs/recipes/incident_response.md as it stands: an exception and a group of alerts become fixes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.fakes.slack import TOKEN as SLACK_TOKEN
from tests.fakes.slack import Slack
from tests.recipes.town import ACME, BO, Town, town
from tests.servers.alertmanager import PASSWORD, USER, alertmanager, tell
from tests.servers.bugsink import bugsink
from tests.servers.scripted_model import function_call, message, shell
from tests.servers.serving import serving

pytestmark = pytest.mark.e2e
ORDERS = """\
from datetime import datetime, timedelta


def pickup_time(now):
    ready = now + timedelta(minutes=20)
    return ready.replace(hour=ready.hour + 1, minute=0)
"""
FIXED = "return ready.replace(minute=0) + timedelta(hours=1)"
MEND = f"sed -i 's/    return ready.*/    {FIXED}/' orders.py && python3 -c 'import orders'"
SERVICE = """\
import sys
from datetime import datetime

import sentry_sdk
from sentry_sdk.transport import HttpTransport

import orders

options = {"release": "shop@7", "environment": "production", "default_integrations": False}
client = sentry_sdk.Client(dsn=sys.argv[1], transport=HttpTransport, **options)
sentry_sdk.get_global_scope().set_client(client)
try:
    orders.pickup_time(datetime(2026, 11, 23, 22, 55))
except ValueError:
    sentry_sdk.capture_exception()
client.close(timeout=20)
"""
FILES = {"orders.py": ORDERS, "service.py": SERVICE}


def orders_are_placed(folder: Path, dsn: str) -> None:
    """Let the sample service meet a late order, and report what comes of it."""
    folder.mkdir(exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    subprocess.run([sys.executable, "service.py", dsn], cwd=folder, check=True, env={**os.environ})


async def decided_over_rest(place: Town, run: str, verdict: str, person: str, **more: str) -> int:
    """Let the product's backend say that somebody has approved or declined; answers the status."""
    made = await place.app.tokens.create(ACME, subject="desk", scopes=("read", "run.approve"))
    async with httpx2.AsyncClient() as http:
        answer = await http.post(
            f"{place.url}/runs/{run}/{verdict}",
            headers={"Authorization": f"Bearer {made.text.reveal()}"},
            json={"person": person, **more},
        )
    return answer.status_code


async def test_an_exception_becomes_a_pull_request(tmp_path: Path) -> None:
    """Reported by Sentry's SDK, mended, approved by who is on call, told, resolved; come again, declined."""
    with bugsink(tmp_path / "bugsink") as errors:
        project, dsn = errors.project("shop")
        links = [("bugsink", {"origin": errors.url}, {"token": errors.token})]
        async with town(tmp_path, "incident_response", FILES, links=links) as place:
            await place.app.recipes.enable(BO, "fix_error", {"repository": "acme/shop", "on_call": ["ada"]})
            secret = await place.app.hook_secrets.of_account(ACME, place.accounts["bugsink"])
            address = f"{place.url}/hooks/account/{place.accounts['bugsink']}/{secret.reveal()}"
            await asyncio.to_thread(errors.tell, project, address)
            head = place.git.branches("acme/shop")["main"]
            put_out = {"id": 1, "sha": head, "ref": "main", "environment": "production"}
            place.forge.repositories["acme/shop"].deployments.append(put_out)
            here, ours = {"owner": "acme", "repo": "shop"}, "mcp__linkspan"
            place.model.prepare(
                [
                    [
                        function_call("list_deployments", here, namespace=ours),
                        function_call("list_commits", {**here, "path": "orders.py"}, namespace=ours),
                    ],
                    [shell("", MEND)],
                    [message("Late orders asked for hour 24.")],
                ]
            )
            for _ in range(3):
                await asyncio.to_thread(orders_are_placed, tmp_path / "service", dsn)
            (run,) = await place.runs(1)
            waiting = await place.until(run.id, "waiting_approval")
            assert waiting.state == "waiting_approval", waiting.error_message
            told = place.model.turns[0].text
            assert "hour must be in 0..23" in told
            assert "return ready.replace(hour=ready.hour + 1, minute=0)" in told
            assert "shop@7" in told
            deployments, commits = place.model.turns[1].outputs[-2:]
            assert "production" in deployments and head in deployments
            assert f"acme/shop@{head}" in commits
            assert await decided_over_rest(place, run.id, "approve", "somebody") == 403
            assert await decided_over_rest(place, run.id, "approve", "ada") == 200
            done = await place.until(run.id)
            assert (done.state, done.error_message) == ("succeeded", None)
            assert FIXED in place.git.show("acme/shop", f"codex/{run.id}:orders.py")
            (pull,) = place.forge.repositories["acme/shop"].pulls
            assert pull["draft"]
            assert pull["title"].startswith("ValueError: hour must be in 0..23 (")
            issue = await asyncio.to_thread(errors.ask, "GET", f"/issues/{run.entity_id}/")
            assert issue["is_resolved"]
            waits, finished = await asyncio.to_thread(errors.comments, str(run.entity_id))
            assert f"/runs/{run.id}" in waits
            assert finished.startswith(f"Late orders asked for hour 24.\n\n{pull['html_url']}")

            place.model.prepare([[shell("", MEND)], [message("The same again.")]])
            await asyncio.to_thread(orders_are_placed, tmp_path / "service", dsn)
            again, _ = await place.runs(2)
            await place.until(again.id, "waiting_approval")
            assert await decided_over_rest(place, again.id, "decline", "somebody") == 403
            assert await decided_over_rest(place, again.id, "decline", "ada", note="Not now.") == 200
            ended = await place.until(again.id)
            assert (ended.state, ended.error_code) == ("cancelled", "declined")
            assert (again.entity_id, again.id != run.id) == (run.entity_id, True)
            last = (await asyncio.to_thread(errors.comments, str(run.entity_id)))[-1]
            assert last.startswith("Codex has no fix. ada declined to publish it. Not now.")
            assert len(place.forge.repositories["acme/shop"].pulls) == 1
            assert f"codex/{again.id}" not in place.git.branches("acme/shop")


async def test_a_group_of_alerts_is_one_run_and_ends_when_it_is_over(tmp_path: Path) -> None:
    """Two alerts, told every second: one run, which ends with them; fired again, it is mended, and told."""
    home, slack = tmp_path / "alertmanager", Slack()
    with alertmanager(home) as origin, serving(slack.app()) as channels:
        links = [
            ("alertmanager", {"origin": origin}, {"username": USER, "password": PASSWORD}),
            ("slack", {}, {"token": SLACK_TOKEN}),
        ]
        where = {"slack": {"base_url": f"{channels}/api"}}
        async with town(tmp_path, "incident_response", FILES, connectors=where, links=links) as place:
            given = {"repository": "acme/shop", "channel": "C024BE91L"}
            await place.app.recipes.enable(BO, "fix_alert", given)
            account = place.accounts["alertmanager"]
            secret = await place.app.hook_secrets.of_account(ACME, account)
            address = f"{place.url}/hooks/account/{account}"
            await asyncio.to_thread(tell, home, origin, address, secret.reveal())

            async def alerts(**more: str) -> None:
                body = [
                    {
                        "labels": {"alertname": "LateOrders", "severity": "critical", "instance": each},
                        "annotations": {"summary": "Late orders fail", "description": f"{each} answers 500."},
                        **more,
                    }
                    for each in ("one", "two")
                ]
                async with httpx2.AsyncClient(auth=(USER, PASSWORD)) as http:
                    (await http.post(f"{origin}/api/v2/alerts", json=body)).raise_for_status()

            for _ in range(2):
                place.model.prepare([[shell("", MEND)], [message("Hour 24 is no hour.")]])
            await alerts()
            (first,) = await place.runs(1)
            waiting = await place.until(first.id, "waiting_approval")
            assert waiting.state == "waiting_approval", waiting.error_message
            told = place.model.turns[0].text
            assert "one answers 500." in told and "two answers 500." in told
            question = await place.app.runs.open_approval(BO, first.id)
            await alerts(endsAt="2020-01-01T00:00:00Z")
            ended = await place.until(first.id)
            assert ended.state == "cancelled"
            assert "alert_group.resolved" in str(ended.error_message)
            decided = {each.id: each.decision for each in await place.app.runs.approvals(BO, first.id)}
            assert decided[question.id] == "decline"
            assert list(place.git.branches("acme/shop")) == ["main"]

            await alerts()
            second, _ = await place.runs(2)
            done = await place.approve(second.id)
            assert (done.state, done.error_message) == ("succeeded", None)
            assert FIXED in place.git.show("acme/shop", f"codex/{second.id}:orders.py")
            (pull,) = place.forge.repositories["acme/shop"].pulls
            assert pull["title"] == "Late orders fail"
            assert {channel for channel, _ in slack.said} == {"C024BE91L"}
            asked, asked_again, told = (text for _, text in slack.said)
            for text, each in ((asked, first), (asked_again, second)):
                assert text.startswith("Codex proposes a fix for Late orders fail. Look at it")
                assert f"/runs/{each.id}" in text
            assert told == f"Hour 24 is no hour.\n\n{pull['html_url']}"
            assert len(await place.app.runs.list(BO)) == 2
