"""The description at /openapi.json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from linkspan.web.api.openapi import describe
from linkspan.web.api.routes import ENDPOINTS, with_data
from tests.web.api.conftest import BASE, Api

DESCRIBED = describe(ENDPOINTS)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every method of every path."""
    for path, methods in DESCRIBED["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def references(node: Any) -> Iterator[str]:
    """Every `$ref` in it."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def validator(operation: dict[str, Any], status: int) -> jsonschema_rs.Validator:
    """Checks an answer of that status."""
    schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    return jsonschema_rs.validator_for({**schema, "components": DESCRIBED["components"]})


def test_every_door_is_described_and_nothing_else() -> None:
    """Each with a name of its own, what it does, and how it can fail."""
    assert {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS} == {
        (method, path) for method, path, _operation in operations()
    }
    names = [operation["operationId"] for _method, _path, operation in operations()]
    assert len(set(names)) == len(names) == len(ENDPOINTS)
    for _method, _path, operation in operations():
        assert operation["summary"]
        assert {"400", "401", "429"} <= set(operation["responses"])
        assert ("requestBody" in operation) == ("415" in operation["responses"])


def test_every_body_has_an_example_that_fits() -> None:
    """By its schema, and by what reads it."""
    bodies = {endpoint.name: endpoint.body for endpoint in ENDPOINTS if endpoint.body is not None}
    for _method, _path, operation in operations():
        model = bodies.pop(operation["operationId"], None)
        if model is None:
            continue
        content = operation["requestBody"]["content"]["application/json"]
        whole = {**content["schema"], "components": DESCRIBED["components"]}
        jsonschema_rs.validator_for(whole).validate(content["example"])
        model.model_validate_json(json.dumps(content["example"]))
        assert content["example"], model
    assert not bodies


def test_truto_s_paths_are_there() -> None:
    """What somebody who comes from Truto looks for."""
    assert {
        ("GET", "/integrated-account"),
        ("POST", "/integrated-account"),
        ("GET", "/integrated-account/{id}"),
        ("DELETE", "/integrated-account/{id}"),
        ("POST", "/integrated-account/token"),
        ("POST", "/integrated-account/refresh-credentials"),
        ("POST", "/link-token"),
        ("GET", "/webhook"),
        ("POST", "/webhook"),
        ("POST", "/webhook/test"),
        ("GET", "/log"),
        ("POST", "/webhook-delivery/{id}/replay"),
    } <= {(method, path) for method, path, _operation in operations()}


def test_it_is_whole() -> None:
    """OpenAPI 3.1: schemas are of JSON Schema 2020-12, references lead somewhere, paths name their words."""
    assert DESCRIBED["openapi"] == "3.1.0"
    assert DESCRIBED["security"] == [{"admin_key": []}]
    schemas = DESCRIBED["components"]["schemas"]
    for schema in schemas.values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    for reference in references(DESCRIBED):
        assert reference.removeprefix("#/components/schemas/") in schemas
    for _method, path, operation in operations():
        named = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert named == re.findall(r"\{([a-z]+)\}", path)


def test_what_was_made_is_linked_with_what_can_be_done_with_it() -> None:
    """Whoever reads the description finds the way from a thing to its doors, and what to put there."""
    named = {operation["operationId"]: operation for _method, _path, operation in operations()}
    linked: dict[str, Any] = {}
    for operation in named.values():
        for answer in operation["responses"].values():
            linked |= answer.get("links", {})
    one_thing = r"(get|remove|revoke|delete|verify|change|cancel|interrupt|steer|retry|fork)_"
    of_a_run = {
        "list_run_events",
        "list_approvals",
        "list_artifacts",
        "export_run",
        "approve_run",
        "decline_run",
    }
    of_an_account = {"keep_log_bodies", "keep_no_log_bodies"}
    things = {name for name in named if re.match(one_thing, name)} - {"get_log_entry"}
    assert things | of_a_run | of_an_account == set(linked)
    for link in linked.values():
        taken = {each["name"] for each in named[link["operationId"]]["parameters"]}
        assert set(link["parameters"]) <= taken
    assert linked["revoke_token"]["parameters"] == {
        "id": "$response.body#/result/id",
        "tenant_id": "$response.body#/result/tenant_id",
    }


def test_no_field_of_an_answer_is_a_credential() -> None:
    """But those that show what was just made, and are named for it."""
    shown = {
        "CreatedToken.token",
        "CreatedWebhook.secret",
        "CreatedLinkToken.link_token",
        "CreatedViewToken.view_token",
        "AccountToken.integrated_account_token",
    }
    found = {
        f"{name}.{field}"
        for name, schema in DESCRIBED["components"]["schemas"].items()
        if not name.startswith(("New", "Changed"))
        for field in schema.get("properties", {})
        if re.search(r"secret|password|sealed|hash|(?<!last_used_)token(?!_id)(?!s$)|credential", field)
    }
    assert found == shown


@pytest.mark.parametrize("path", ["/tenant", "/integrated-account", "/webhook", "/webhook-delivery"])
async def test_what_is_answered_is_what_is_described(path: str, api: Api) -> None:
    """Lists with something in them, and failures."""
    await api.data("POST", "/webhook", json={"target_url": "https://hooks.example/x"})
    await api.link("acme")
    operation = DESCRIBED["paths"][path]["get"]
    listed = await api.data("GET", path)
    assert listed["result"]
    validator(operation, 200).validate(listed)
    validator(operation, 400).validate((await api("GET", path, params={"limit": "0"})).json())
    validator(operation, 401).validate((await api("GET", path, key=None)).json())


async def test_it_is_served_to_everybody(api: Api) -> None:
    """A description is no secret; it says where the server is."""
    served = (await api("GET", "/openapi.json", key=None)).json()
    assert served == {**with_data(DESCRIBED, api.app.catalog), "servers": [{"url": BASE}]}
    assert DESCRIBED["paths"].items() <= served["paths"].items()
