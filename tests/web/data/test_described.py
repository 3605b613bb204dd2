"""What /openapi.json says of the doors to the products, and that they answer so."""

from __future__ import annotations

from typing import Any

import jsonschema_rs

from linkspan.web.api.openapi import describe
from linkspan.web.api.routes import ENDPOINTS
from tests.web.api.test_openapi import references
from tests.web.data.conftest import Desk


async def test_the_doors_to_the_products_are_described(desk: Desk) -> None:
    """Each operation of each entity, each connector's proxy, batches; whole, and under names of their own."""
    whole = (await desk("GET", "/openapi.json", key=None)).json()
    there = {
        (method, path)
        for path, methods in whole["paths"].items()
        for method in methods
        if path.startswith(("/unified", "/proxy", "/batch"))
    }
    tickets = "/unified/ticketing/tickets"
    assert there == {
        ("get", tickets),
        ("post", tickets),
        ("get", f"{tickets}/{{id}}"),
        ("patch", f"{tickets}/{{id}}"),
        ("post", f"{tickets}/{{id}}/comment"),
        *((method, "/proxy/tracker/{path}") for method in ("get", "post", "put", "patch", "delete")),
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
    ]
    for method, path, address, status, body in tried:
        answer = await desk(method, address, **({} if body is None else {"json": body}))
        assert answer.status_code == status, answer.text
        responses = whole["paths"][path][method.lower()]["responses"]
        content = responses.get(str(status), responses.get(f"{status // 100}XX"))["content"]
        schema = content.get("application/json", content.get("*/*"))["schema"]
        checker = jsonschema_rs.validator_for({**schema, "components": whole["components"]})
        checker.validate(answer.json())
