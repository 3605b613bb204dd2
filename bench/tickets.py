"""The page of 20 tickets that every server fetches, and the check that an answer holds all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

COUNT = 20
WORDS = (
    "login",
    "export",
    "invoice",
    "search",
    "webhook",
    "upload",
    "report",
    "calendar",
    "avatar",
    "filter",
)


def ticket(number: int) -> dict[str, Any]:
    """One ticket as the product answers it: about 300 bytes, with a nested person and a nested link."""
    word = WORDS[number % len(WORDS)]
    return {
        "id": f"T-{number}",
        "subject": f"The {word} page answers with 500 since the last release",
        "state": "open" if number % 3 else "done",
        "priority": number % 5,
        "assignee": {"id": f"u{number % 7}", "name": f"Person {number % 7}"},
        "created_at": f"2026-11-{number % 28 + 1:02d}T09:30:00Z",
        "updated_at": f"2026-11-{number % 28 + 1:02d}T16:45:00Z",
        "links": {"web": f"https://desk.example/tickets/T-{number}"},
        "labels": ["bug", word],
    }


def page() -> bytes:
    """The whole answer of `GET /projects/P/tickets`."""
    tickets = [ticket(number) for number in range(1001, 1001 + COUNT)]
    return json.dumps({"tickets": tickets, "meta": {"next_cursor": None}}, separators=(",", ":")).encode()


def holds_every_ticket(answer: Any) -> bool:
    """Tell whether a tools/call answer holds the 20 tickets, in order, with id, title, state and assignee.

    Servers put them in `structuredContent`, in text, or in both; every place that is used must hold them.
    """
    places = list(_places(answer["result"]))
    return bool(places) and all(_tickets_in(place) == _expected() for place in places)


def _places(result: dict[str, Any]) -> Iterator[Any]:
    if result.get("isError"):
        yield None
    if result.get("structuredContent") is not None:
        yield result["structuredContent"]
    for block in result.get("content", []):
        yield json.loads(block["text"])


def _expected() -> list[tuple[Any, ...]]:
    tickets = (ticket(number) for number in range(1001, 1001 + COUNT))
    return [(t["id"], t["subject"], t["assignee"]["name"], t["links"]["web"]) for t in tickets]


def _tickets_in(place: Any) -> list[tuple[Any, ...]]:
    if not isinstance(place, dict):
        return []
    items = place.get("tickets") or place.get("result") or []
    if isinstance(items, dict):  # MCPServer and FastMCP may wrap what a function returned
        items = items.get("tickets", [])
    return [
        (
            item.get("id"),
            item.get("subject") or item.get("title"),
            _name(item),
            item["links"]["web"] if "links" in item else item.get("url"),
        )
        for item in items
    ]


def _name(item: dict[str, Any]) -> Any:
    people = item.get("assignees") or [item.get("assignee") or {}]
    return people[0].get("name")
