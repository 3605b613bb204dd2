"""The scripted OpenAI, held against OpenAI's own description."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import jsonschema_rs
import pytest

from linkspan.net.messages import Request
from tests.connectors.test_contracts import described, objections
from tests.fakes.openai import KEY, ScriptedOpenAI

BASE = "https://api.openai.com/v1"
ASKED: list[tuple[str, str, str, dict[str, Any]]] = [
    ("GET", "/models", "/models", {}),
    ("POST", "/responses", "/responses", {"json": {"model": "gpt-test", "input": "x"}}),
    ("GET", "/files?limit=2", "/files", {}),
    ("POST", "/files", "/files", {"files": {"file": ("a", b"{}")}, "data": {"purpose": "batch"}}),
    ("GET", "/conversations/conv_1/items", "/conversations/{conversation_id}/items", {}),
]


def told(schema: Any, data: Any) -> list[str]:
    """What a schema of the description objects to."""
    whole = {**schema, "components": described("openai")["components"]}
    return [error.message for error in jsonschema_rs.Draft202012Validator(whole).iter_errors(data)]


async def ask(model: ScriptedOpenAI, method: str, path: str, **more: Any) -> httpx2.Response:
    """Ask the scripted one."""
    transport, key = httpx2.ASGITransport(app=model), {"Authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(transport=transport, base_url=BASE, headers=key) as client:
        return await client.request(method, path, **more)


@pytest.mark.parametrize(("method", "path", "template", "more"), ASKED)
async def test_what_it_answers_is_described(
    method: str, path: str, template: str, more: dict[str, Any]
) -> None:
    """And what it is asked here: by the schema of that very path."""
    model = ScriptedOpenAI()
    answer = await ask(model, method, path, **more)
    success = described("openai")["paths"][template][method.lower()]["responses"]["200"]
    assert told(success["content"]["application/json"]["schema"], answer.json()) == []
    (seen,) = model.seen
    assert not list(objections(described("openai"), Request(method, BASE + path, seen.headers, seen.raw)))


async def test_the_events_of_its_stream_are_described() -> None:
    """Each of them, by the schema of all events."""
    model = ScriptedOpenAI()
    model.go_on.set()
    asked = {"model": "gpt-test", "input": "x", "stream": True}
    text = (await ask(model, "POST", "/responses", json=asked)).text
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    assert len(events) == 5
    schema = {"$ref": "#/components/schemas/ResponseStreamEvent"}
    assert [told(schema, event) for event in events] == [[]] * 5
    assert told(schema, {**events[1], "delta": None})


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "wanted"),
    [
        ("POST", "/responses", {}, b'{"input": "x", "metadata": {"a": 1}}', "metadata"),
        ("POST", "/responses", {}, b'{"input": "x", "wrong": 1}', "no member wrong"),
        ("GET", "/conversations/c/items?order=up", {}, None, "order cannot be 'up'"),
        (
            "POST",
            "/files",
            {"content-type": "multipart/form-data; boundary=b"},
            b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfun\r\n--b--\r\n',
            '"file" is a required property',
        ),
        ("DELETE", "/files", {}, None, "no such method"),
    ],
)
def test_what_is_wrong_is_found(
    method: str, path: str, headers: dict[str, str], body: bytes | None, wanted: str
) -> None:
    """So that what is held against the description is held against something."""
    found = " ".join(objections(described("openai"), Request(method, BASE + path, headers, body)))
    assert wanted in found
