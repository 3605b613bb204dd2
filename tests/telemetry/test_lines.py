"""What an operator reads in the log."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from starlette.responses import JSONResponse

from linkspan.telemetry import Telemetry
from linkspan.telemetry.lines import LogLines
from linkspan.vault.logs import JsonFormatter
from linkspan.vault.redact import Redactor
from tests.telemetry.conftest import Open

pytestmark = pytest.mark.anyio


async def test_a_call_that_changes_or_fails_is_one_line(
    opening: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """Who, what, where, how it went, how long, by which request id; good reads are none."""
    caplog.set_level(logging.INFO, "linkspan.calls")
    async with opening(Telemetry(lines=LogLines("changes"))) as house:
        await house.tool("list_tickets")
        await house.tool("comment_on_ticket", id="1", body="private word of a customer")
        house.tracker.faults += [JSONResponse({"message": "private"}, 500)]
        failed = await house.tool("list_tickets")
    written, gone = [record for record in caplog.records if record.name == "linkspan.calls"]
    assert written.getMessage().startswith(
        "call comment_on_ticket of acme by service:codex at tracker: ok 20"
    )
    assert (written.levelname, gone.levelname) == ("INFO", "WARNING")
    fields: dict[str, Any] = gone.__dict__["fields"]
    assert fields["request_id"] == failed["structuredContent"]["error"]["request_id"]
    assert fields["outcome"] == "upstream_error"
    assert fields["upstream_status"] == 500
    assert "private" not in caplog.text


async def test_all_calls_or_none_are_lines_where_that_is_wished(
    opening: Open, caplog: pytest.LogCaptureFixture
) -> None:
    """`LINKSPAN_LOG_CALLS`."""
    caplog.set_level(logging.INFO, "linkspan.calls")
    async with opening(Telemetry(lines=LogLines("none"))) as house:
        await house.tool("comment_on_ticket", id="1", body="x")
    assert not caplog.records
    assert LogLines("none").is_on is False


def logged(record: logging.LogRecord) -> Any:
    """Answer what a record is as a line of JSON, behind the redactor."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(Redactor())
    handler.handle(record)
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


def test_a_record_is_one_line_of_json_whatever_is_in_it() -> None:
    """Line breaks do not make two of it, its fields stand beside the message, and secrets are masked."""
    try:
        raise ValueError("first\nsecond")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord(
        "linkspan", logging.ERROR, "", 1, "it\nfailed: token=%s", ("canary-12345",), info
    )
    record.__dict__["fields"] = {"request_id": "req-1", "upstream_status": 500, "told": "password=canary-1"}
    told = logged(record)
    assert told["message"] == "it\nfailed: token=**********"
    assert (told["level"], told["logger"], told["request_id"]) == ("error", "linkspan", "req-1")
    assert told["upstream_status"] == 500
    assert told["exception"].endswith("ValueError: first\nsecond")
    assert told["time"].endswith("Z")
    assert "private" not in json.dumps(told)


def test_a_line_about_a_request_has_its_id_as_a_field() -> None:
    """Whoever wrote it: what failed inside is found by the id that its caller was told."""
    words = ("req-7", "GET /unified")
    record = logging.LogRecord("linkspan.api", logging.ERROR, "", 1, "request %s: %s failed", words, None)
    assert logged(record)["request_id"] == "req-7"
