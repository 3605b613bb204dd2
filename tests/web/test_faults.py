"""A fault of ours behind a page, and how somebody finds out what it was."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from linkspan.vault.logs import JsonFormatter
from linkspan.web.console.door import door as console_door
from linkspan.web.link.pages import page_door
from linkspan.web.link.sessions import door as link_door
from linkspan.web.watch.routes import door as run_door

pytestmark = pytest.mark.anyio
PAGES = ("/console", "/runs", "/link", "/link.json")


def break_down(_scope: Any) -> NoReturn:
    """Stand where a door looks at what came."""
    raise ZeroDivisionError("a word of a customer")


async def nobody(*_: Any) -> NoReturn:
    """Stand behind a door that nobody comes through."""
    raise NotImplementedError


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Answer what is logged as JSON."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(JsonFormatter())
    logging.getLogger("linkspan").addHandler(handler)
    yield written
    logging.getLogger("linkspan").removeHandler(handler)


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_says_the_number_under_which_the_log_has_its_fault(
    path: str, lines: io.StringIO
) -> None:
    """One of the caller's own, or a new one; the page has nothing else of it."""
    parts: Any = SimpleNamespace(see=break_down)
    doors = (
        console_door(parts, nobody),
        *(make(break_down, nobody) for make in (run_door, page_door, link_door)),
    )
    app = Starlette(routes=[Route(at, door) for at, door in zip(PAGES, doors, strict=True)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://x") as http:
        answers = [await http.get(path, headers={"X-Request-Id": "ticket-7"}), await http.get(path)]
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert told[0]["request_id"] == "ticket-7"
    assert len(told[1]["request_id"]) == 32
    for answer, line in zip(answers, told, strict=True):
        assert (answer.status_code, line["level"]) == (500, "error")
        assert f"(request {line['request_id']})" in answer.text
        assert "a word of a customer" not in answer.text
        assert "ZeroDivisionError" in line["exception"]
