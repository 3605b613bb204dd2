"""A whole session with the real Codex, every message of it held against the binary's own schema.

Real are Codex, its sandbox, git, the server and its worker; the model is scripted. The server is another one
in the middle of it, over the same store, as after a restart.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from linkspan.accounts.principal import Principal
from tests.codex.conftest import served
from tests.runs.conftest import ACME, BO, seeded
from tests.runs.shop import REPOSITORY, shop_at, working_at
from tests.servers import codex as codex_cli
from tests.servers.node import ROOT
from tests.servers.scripted_model import Answer, function_call, message, shell
from tests.web.session.talking import PAGE, Client, Json, session

__all__ = ["seeded"]
pytestmark = pytest.mark.e2e
ALL = ("run.start", "run.steer", "run.cancel", "run.approve")
BACKEND = Principal(ACME, "service", "shop", scopes=("read", *ALL))
ANSWERS = {
    "initialize": "v1/InitializeResponse",
    "thread/start": "v2/ThreadStartResponse",
    "thread/resume": "v2/ThreadResumeResponse",
    "thread/read": "v2/ThreadReadResponse",
    "thread/list": "v2/ThreadListResponse",
    "thread/turns/list": "v2/ThreadTurnsListResponse",
    "thread/unsubscribe": "v2/ThreadUnsubscribeResponse",
    "turn/start": "v2/TurnStartResponse",
    "turn/steer": "v2/TurnSteerResponse",
    "turn/interrupt": "v2/TurnInterruptResponse",
    "model/list": "v2/ModelListResponse",
}
OUTSIDE = {
    "cmd": "echo '# by hand' >> cafe/orders.py",
    "sandbox_permissions": "require_escalated",
    "justification": "May I?",
}


@pytest.fixture(scope="module", params=["npm", "python"])
def check(request: pytest.FixtureRequest) -> Iterator[Callable[[str, Json], None]]:
    """Holds a message against the schema that a binary writes of its protocol."""
    command = codex_cli.npm_command() if request.param == "npm" else codex_cli.python_command()
    place = ROOT / ".work" / f"schema-{uuid.uuid4().hex[:12]}"
    (place / "home" / "tmp").mkdir(parents=True)
    words = ("app-server", "generate-json-schema", "--experimental", "--out", str(place / "schema"))
    environment = codex_cli.clean_environment(place / "home")
    subprocess.run([*command, *words], env=environment, check=True, capture_output=True, timeout=60)

    def validator(name: str) -> Any:
        return jsonschema_rs.validator_for(json.loads((place / "schema" / f"{name}.json").read_text()))

    answers = {method: validator(name) for method, name in ANSWERS.items()}
    told, asked = validator("ServerNotification"), validator("ServerRequest")
    shutil.rmtree(place)

    with pytest.raises(jsonschema_rs.ValidationError):
        answers["thread/start"].validate({"thread": {}})
    with pytest.raises(jsonschema_rs.ValidationError):
        told.validate({"method": "turn/started", "params": {}})

    def held(method: str, message: Json) -> None:
        if "result" in message:
            answers[method].validate(message["result"])
        elif "method" in message:
            plain = {name: value for name, value in message.items() if name != "jsonrpc"}
            (asked if "id" in message else told).validate(plain)

    yield held


def places_in(message: Any, place: Path) -> bool:
    """Tell whether a message names a place of this machine."""
    return str(place) in json.dumps(message)


async def test_a_session(
    seeded: tuple[Path, dict[str, Any]], tmp_path: Path, check: Callable[[str, Json], None]
) -> None:
    """Thread, turn, approval, a lost connection, another server, interrupt, and all that was changed."""
    async with shop_at(seeded, tmp_path) as shop:
        app, home = shop.app, shop.app.settings.home
        await app.recipes.enable(BO, "talk", {"repository": REPOSITORY})
        made = await app.views.create(
            BACKEND, origins=[PAGE], recipe="talk", entity_id="HC-103", person="anna", verbs=ALL
        )
        token = made.text.reveal()
        thinks: list[bool] = []

        def held(method: str, message: Json) -> None:
            assert not places_in(message, home), message
            check(method, message)

        async with working_at(app, shop.url, shop.authority):
            shop.model.prepare(
                [
                    [shell("", "echo three > made.txt && cat made.txt")],
                    [function_call("exec_command", OUTSIDE)],
                    [message("There is a file now.")],
                ]
            )
            async with session(shop.url, token, check=held) as client:
                thread = (await client.ask("thread/start"))["thread"]["id"]
                await client.ask("model/list")
                turn = await client.say(thread, "Make a file.")
                asked = await client.message("item/commandExecution/requestApproval")
            assert "by hand" in asked["params"]["command"]
            async with session(shop.url, token, check=held) as client:
                resumed = await client.ask("thread/resume", threadId=thread)
                (again,) = resumed["thread"]["turns"]
                kinds = [item["type"] for item in again["items"]]
                assert kinds[0] == "userMessage"
                assert again["items"][0]["content"][0]["text"] == "Make a file."
                assert "commandExecution" in kinds
                assert (await client.message("item/commandExecution/requestApproval"))["id"] == asked["id"]
                await client.send({"id": asked["id"], "result": {"decision": "accept"}})
                assert (await client.until("item/completed"))["turnId"] == turn["id"]
                ended = (await client.until("turn/completed"))["turn"]
                assert (ended["id"], ended["status"]) == (turn["id"], "completed"), ended
        async with (
            served(app) as url,
            working_at(app, url, shop.authority),
            session(url, token, check=held) as client,
        ):
            resumed = await client.ask("thread/resume", threadId=thread)
            assert resumed["thread"]["status"] == {"type": "idle"}
            await second_turn(client, thread, shop, thinks)
            read = await client.ask("thread/read", threadId=thread, includeTurns=True)
            statuses = [each["status"] for each in read["thread"]["turns"]]
            assert statuses == ["completed", "interrupted"]
            await client.ask("thread/list")
            await client.ask("thread/turns/list", threadId=thread, limit=1)
            assert (await client.ask("thread/unsubscribe", threadId=thread))["status"] == "unsubscribed"
            last = read["thread"]["turns"][-1]["id"]
        diff = (await app.kept.take("acme", last, "diff"))[1].decode()
        for word in ("+three", "+# by hand", "+four"):
            assert word in diff
        seen = shop.model.turns[-1].text
        assert "Make a file." in seen
        assert seen.count("Answer whoever talks with you") == 1


async def second_turn(client: Client, thread: str, shop: Any, thinks: list[bool]) -> None:
    """Say something more, and end it while the model thinks."""

    def thinking() -> bool:
        thinks.append(True)
        return False

    shop.model.prepare(
        [
            [shell("", "cat made.txt && echo four >> made.txt")],
            Answer([message("I think.")], until=thinking),
        ]
    )
    turn = await client.say(thread, "One more line.")
    assert (await client.until("turn/started"))["turn"]["id"] == turn["id"]
    while True:
        item = (await client.until("item/completed"))["item"]
        if item["type"] == "commandExecution":
            break
    assert "three" in (item["aggregatedOutput"] or "")
    assert await client.ask("turn/interrupt", threadId=thread, turnId=turn["id"]) == {}
    ended = (await client.until("turn/completed"))["turn"]
    assert (ended["id"], ended["status"]) == (turn["id"], "interrupted")
