"""What /openapi.json says of the doors to the products, and that they answer so."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema_rs

from linkspan import spec
from linkspan.web.api.openapi import describe
from linkspan.web.api.routes import ENDPOINTS
from linkspan.web.data.described import described
from tests.web.api.test_openapi import references
from tests.web.data.conftest import Desk

CONNECTORS = Path(spec.__file__).parent / "connectors"


async def test_the_doors_to_the_products_are_described(desk: Desk) -> None:
    """Each operation of each entity, each connector's proxy, Truto's forms of both, batches.

    It is whole, and all have names of their own.
    """
    whole = (await desk("GET", "/openapi.json", key=None)).json()
    there = {
        (method, path)
        for path, methods in whole["paths"].items()
        for method in methods
        if path.startswith(("/unified", "/proxy", "/custom", "/batch"))
    }
    tickets = "/unified/ticketing/tickets"
    assert there == {
        ("get", tickets),
        ("post", tickets),
        ("get", f"{tickets}/{{id}}"),
        ("patch", f"{tickets}/{{id}}"),
        ("post", f"{tickets}/{{id}}/comment"),
        *((method, "/proxy/tracker/{path}") for method in ("get", "post", "put", "patch", "delete")),
        *((method, "/custom/{path}") for method in ("get", "post", "put", "patch", "delete")),
        *((method, "/proxy/{plural}") for method in ("get", "post")),
        *((method, "/proxy/{plural}/{id}") for method in ("get", "patch", "delete")),
        ("post", "/proxy/{plural}/{id}/{operation}"),
        ("post", "/batch-request"),
    }
    operations = [operation for methods in whole["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for reference in references(whole):
        assert reference.removeprefix("#/components/schemas/") in whole["components"]["schemas"]
    for schema in whole["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    own = {name for name, _schema in describe(ENDPOINTS)["components"]["schemas"].items()}
    assert own < whole["components"]["schemas"].keys()


async def test_they_answer_as_they_are_described(desk: Desk) -> None:
    """Lists, things, what was made, batches and failures fit their schemas."""
    whole = (await desk("GET", "/openapi.json", key=None)).json()
    tickets = "/unified/ticketing/tickets"
    batch: dict[str, Any] = {"resources": [{"resource": "ticketing/tickets"}, {"resource": "nothing"}]}
    account = (await desk.data("GET", f"{tickets}/1"))["integrated_account_id"]
    tried: list[tuple[str, str, str, int, Any]] = [
        ("GET", tickets, f"{tickets}?limit=2", 200, None),
        ("GET", f"{tickets}/{{id}}", f"{tickets}/1", 200, None),
        ("GET", f"{tickets}/{{id}}", f"{tickets}/99", 404, None),
        ("POST", tickets, tickets, 201, {"title": "x"}),
        ("POST", tickets, tickets, 400, {}),
        ("POST", tickets, f"{tickets}?dry_run=true", 200, {"title": "x"}),
        ("PATCH", f"{tickets}/{{id}}", f"{tickets}/1", 200, {"status": "done"}),
        ("POST", f"{tickets}/{{id}}/comment", f"{tickets}/1/comment", 200, {"body": "x"}),
        ("POST", "/batch-request", "/batch-request", 200, batch),
        ("GET", "/proxy/tracker/{path}", "/proxy/tracker/tickets", 200, None),
        ("DELETE", "/proxy/tracker/{path}", "/proxy/tracker/nothing", 404, None),
        ("GET", "/custom/{path}", f"/custom/tickets?integrated_account_id={account}", 200, None),
        ("GET", "/proxy/{plural}", "/proxy/tickets?limit=2", 200, None),
        ("POST", "/proxy/{plural}", "/proxy/tickets", 201, {"title": "x"}),
        ("GET", "/proxy/{plural}/{id}", "/proxy/tickets/1", 200, None),
        ("PATCH", "/proxy/{plural}/{id}", "/proxy/tickets/1", 200, {"status": "done"}),
        ("DELETE", "/proxy/{plural}/{id}", "/proxy/tickets/1", 404, None),
        ("POST", "/proxy/{plural}/{id}/{operation}", "/proxy/tickets/1/comment", 200, {"body": "x"}),
    ]
    for method, path, address, status, body in tried:
        answer = await desk(method, address, **({} if body is None else {"json": body}))
        assert answer.status_code == status, answer.text
        responses = whole["paths"][path][method.lower()]["responses"]
        content = responses.get(str(status), responses.get(f"{status // 100}XX"))["content"]
        schema = content.get("application/json", content.get("*/*"))["schema"]
        checker = jsonschema_rs.validator_for({**schema, "components": whole["components"]})
        checker.validate(answer.json())


def examples_of(whole: dict[str, Any]) -> list[tuple[str, str, dict[str, Any], Any]]:
    """Answer method, path, operation and the example of a body of every door to the products."""
    return [
        (method, path, operation, body.get("content", {}).get("application/json", {}).get("example"))
        for path, methods in whole["paths"].items()
        for method, operation in methods.items()
        if path.startswith(("/unified", "/proxy", "/batch"))
        for body in [operation.get("requestBody", {})]
    ]


async def test_every_example_works_as_it_is_written(desk: Desk) -> None:
    """Each operation of the unified API, the proxy where the catalog knows an address, and batches."""
    whole = (await desk("GET", "/openapi.json", key=None)).json()
    tried = set()
    for method, path, operation, body in examples_of(whole):
        given = {each["name"]: each["example"] for each in operation["parameters"] if "example" in each}
        if set(re.findall(r"\{(\w+)\}", path)) - given.keys() or "{plural}" in path:
            continue
        address = re.sub(r"\{(\w+)\}", lambda found, given=given: given[found[1]], path)  # type: ignore[misc]
        answer = await desk(method.upper(), address, **({} if body is None else {"json": body}))
        assert answer.is_success, (method, address, answer.text)
        tried.add(operation["operationId"])
        if operation["operationId"] == "batch_request":
            continue
        source = operation["x-codeSamples"][0]["source"]
        assert f'"$LINKSPAN{address}"' in source
        words = shlex.split(source.replace("\\\n", " "))
        assert ("-d" in words) == (body is not None)
        if body is not None:
            assert json.loads(words[words.index("-d") + 1]) == body
    assert tried == {
        *("list_tickets", "get_ticket", "create_ticket", "update_ticket", "comment_on_ticket"),
        *("proxy_tracker_get", "proxy_tracker_post", "batch_request"),
    }


def test_the_examples_of_all_connectors_fit(tmp_path: Path) -> None:
    """What is sent and what is answered, by the very schemas beside them; hardly an operation is without."""
    file = tmp_path / "tools.yaml"
    names = sorted(path.stem for path in CONNECTORS.glob("*.yaml"))
    head = {"linkspan": 1, "name": "all", "instructions": "List tickets, alerts and pull requests."}
    file.write_text(json.dumps({**head, "connectors": {name: {"use": name} for name in names}}))
    paths, schemas = described(spec.load([file], {}))
    without: set[str] = set()
    passed: set[str] = set()
    for method, path, operation, body in examples_of({"paths": paths}):
        name = operation["operationId"]
        if name == "batch_request":
            continue
        answers = [operation["responses"].get(status, {}) for status in ("200", "201")]
        contents = [answer.get("content", {}).get("application/json", {}) for answer in answers]
        contents.append(operation.get("requestBody", {}).get("content", {}).get("application/json", {}))
        for content in contents:
            if "example" in content:
                checker = jsonschema_rs.validator_for(
                    {**content["schema"], "components": {"schemas": schemas}}
                )
                checker.validate(content["example"])
        if path.startswith("/unified") and "x-codeSamples" not in operation:
            without.add(name)
        if method in ("post", "patch") and path.startswith("/unified") and body is None:
            without.add(name)
        if path.startswith("/proxy/") and "x-codeSamples" in operation:
            passed.add(path.split("/")[2])
    assert without == set()
    assert passed == set(names)
