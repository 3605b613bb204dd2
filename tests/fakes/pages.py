"""A product whose lists go on in every way there is, and that behaves as badly about it as real ones do.

`/STYLE/HABIT` answers the numbers from 1 on. A habit spoils the list: pages with one record, pages that are
empty in the middle, records that are gone at the next call, a position that comes back, totals that lie.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

COUNT = 23
LARGEST = 10
STYLES = (
    *("cursor", "cursor_body", "more", "next_url", "relative", "link", "results", "page", "page_total"),
    *("page_pages", "page_more", "page_zero", "offset", "offset_total", "offset_more", "relay", "none"),
)


@dataclass
class Pages:
    """The lists, and how often each was asked."""

    asked: Counter[str] = field(default_factory=Counter)

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(routes=[Route("/{style}/{habit}", self._page, methods=["GET", "POST"])])

    async def _page(self, request: Request) -> Response:
        style, habit = request.path_params["style"], request.path_params["habit"]
        self.asked[f"{style}/{habit}"] += 1
        sent: dict[str, Any] = dict(request.query_params)
        if request.method == "POST":
            body = await request.json()
            sent = body.get("variables", body)
        counted = "offset" if style.startswith("offset") else "page" if style.startswith("page") else ""
        first = 0 if style in {"offset", "offset_total", "offset_more", "page_zero"} else 1
        size = min(int(sent.get("size") or LARGEST), LARGEST) if habit != "ones" else 1
        size = COUNT if style == "none" else size
        at = str(sent.get("at") or (first if counted else 0))
        number = int(at.removeprefix("p"))
        start = number if counted != "page" else (number - first) * size
        numbers = list(range(1, COUNT + 1))
        if habit == "shrinks" and self.asked[f"{style}/{habit}"] > 1:
            numbers = numbers[: COUNT - 4 * (self.asked[f"{style}/{habit}"] - 1)]
        found = numbers[start : start + size]
        step = 1 if counted == "page" else size
        following: int | None = number + step if start + size < len(numbers) else None
        if habit == "empties" and start and not sent.get("again"):
            # Every second page was filtered empty: the records come with the next one.
            half = at.endswith("5") or counted == "page"
            found = found if not half or counted else []
        if habit == "strict" and counted and number > first and not found:
            return JSONResponse({"message": "no such page"}, 404)
        if habit == "deaf":
            found = numbers[:size]
        if habit == "repeats":
            following = number
        if habit == "circles":
            following = {0: 10, 10: 20, 20: 30, 30: 10}.get(number, 10)
            found = [number]
        return self._answer(request, style, habit, found, following, len(numbers), size)

    def _answer(
        self,
        request: Request,
        style: str,
        habit: str,
        found: list[int],
        following: int | None,
        count: int,
        size: int,
    ) -> Response:
        items = [{"id": number} for number in found]
        total = {"lies_high": 1000, "lies_low": 3, "lies_zero": 0}.get(habit, count)
        position = None if following is None else f"p{following}"
        url = f"http://pages.example{request.url.path}?at={position}&size={size}"
        if style == "relay":
            info = {"hasNextPage": following is not None, "endCursor": position}
            return JSONResponse({"data": {"things": {"nodes": items, "pageInfo": info}}})
        body: dict[str, Any] = {"items": items}
        headers = {}
        if style in {"cursor", "cursor_body"}:
            body["next"] = position or ""
        elif style == "more":
            body |= {"next": position or "p999", "more": following is not None}
        elif style == "next_url":
            body["next"] = url if position else None
        elif style == "relative":
            body["next"] = f"?at={position}&size={size}" if position else None
        elif style == "link":
            headers = {"Link": f'<{url}>; rel="next"'} if position else {}
        elif style == "results":
            there = "true" if position else "false"
            headers = {"Link": f'<{url}>; rel="next"; results="{there}"'}
        elif style in {"page_total", "offset_total"}:
            body["total"] = total
        elif style == "page_pages":
            body["pages"] = -(-total // size)
        elif style in {"page_more", "offset_more"}:
            body["more"] = following is not None
        return JSONResponse(body, headers=headers)
