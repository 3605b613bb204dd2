"""Every kind of result is what its tool's output schema says: clients check it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator
from pydantic_core import from_json

from linkspan import errors, spec
from linkspan.gateway.results import DryRun, Item
from linkspan.mcp_server.results import error_result, tool_result
from linkspan.spec.catalog import Catalog
from tests.mcp_server.conftest import page

TRACKER = Path(__file__).parents[1] / "fakes/tracker.yaml"
LIMIT = 2000
LONG = "word " * 2000
REQUEST = {"method": "PATCH", "url": "https://x/y", "headers": {}, "body": {"text": LONG}}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return spec.load([TRACKER], {})


@pytest.mark.parametrize(
    ("tool", "answer"),
    [
        ("list_tickets", page([{"id": "1", "title": "One"}], "next")),
        ("list_tickets", page([], None)),
        ("list_tickets", page([{"id": str(n), "title": "x" * 300} for n in range(50)], "next")),
        ("list_tickets", page([{"id": "1", "title": LONG}])),
        ("get_ticket", Item({"id": "1", "title": "One"}, "acc", connector="desk")),
        ("get_ticket", Item({"id": "1", "title": LONG}, "acc", connector="desk")),
        ("get_ticket", Item(None, "acc", connector="desk")),
        ("create_ticket", Item(None, "acc", connector="desk")),
        ("create_ticket", Item({"id": "1"}, "acc", connector="desk")),
        ("create_ticket", DryRun({}, "acc")),
        ("create_ticket", DryRun(REQUEST, "acc")),
        ("create_ticket", DryRun({"before": [REQUEST], **REQUEST}, "acc")),
    ],
)
def test_a_result_is_what_the_output_schema_says(catalog: Catalog, tool: str, answer: Any) -> None:
    """Whole, cut to size, empty, or only shown."""
    found = catalog.tool(tool)
    assert found is not None and found.output_schema is not None
    shown = from_json(tool_result(answer, LIMIT) + b"}")["structuredContent"]
    Draft202012Validator(found.output_schema).validate(shown)
    if not isinstance(answer, DryRun):
        assert {"account", "connector"} <= shown.keys() & found.output_schema["properties"].keys()


def test_an_error_is_described_too(catalog: Catalog) -> None:
    """Some clients check the structured content of an error against the same schema."""
    error = errors.RateLimited("busy", hint="Call again in 30 seconds.", retry_after=30)
    shown = from_json(error_result(error, LIMIT) + b"}")["structuredContent"]
    for tool in catalog.tools:
        if tool.output_schema is not None:
            Draft202012Validator(tool.output_schema).validate(shown)
            described = tool.output_schema["properties"]["error"]["properties"]
            assert described.keys() <= shown["error"].keys()
