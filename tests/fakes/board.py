"""A tracker with the habits of Jira: a query language, documents as text, transitions that are looked up.

It refuses what the real one would: a query it cannot read, a comment that is no document, PATCH itself (a
proxy before it lets only GET and POST through), a change against another version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

STATES = ("To Do", "In Progress", "Done")
_CONDITION = re.compile(
    r'(status|assignee|text|number) (IN|=|~|>) (\((?:"(?:[^"\\]|\\.)*"(?:, )?)+\)|"(?:[^"\\]|\\.)*"|\d+)'
)


def issues() -> dict[str, dict[str, Any]]:
    """Answer three issues by key."""
    return {
        f"ENG-{number}": {
            "key": f"ENG-{number}",
            "number": number,
            "version": 1,
            "fields": {"summary": title, "status": {"name": state}, "assignee": who},
            "comments": [],
            "labels": [],
        }
        for number, title, state, who in (
            (1, 'The "big" fire', "To Do", "ann"),
            (2, "Slow start", "In Progress", "bob"),
            (3, "Crash", "Done", None),
        )
    }


@dataclass
class Board:
    """The tracker, with what it was sent for looking at."""

    issues: dict[str, dict[str, Any]] = field(default_factory=issues)
    asked: list[str] = field(default_factory=list)
    """Every query in its language."""

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(
            routes=[
                Route("/search", self._search),
                Route("/issue/{key}", self._issue),
                Route("/issue/{key}", self._change, methods=["POST"]),
                Route("/issue/{key}/transitions", self._transitions),
                Route("/issue/{key}/transitions", self._move, methods=["POST"]),
                Route("/issue/{key}/comment", self._comment, methods=["POST"]),
                Route("/issue/{key}/watchers", self._watchers),
                Route("/issue/{key}/dev", self._dev),
                Route("/issue/{key}/exports", self._export, methods=["POST"]),
                Route("/echo", self._echo),
            ]
        )

    async def _search(self, request: Request) -> Response:
        query = request.query_params.get("jql", "")
        self.asked.append(query)
        where, _, _order = query.partition("ORDER BY")
        found = list(self.issues.values())
        for clause in filter(None, re.split(r" AND ", where.strip())):
            condition = _CONDITION.fullmatch(clause.strip())
            if condition is None:
                return JSONResponse({"errorMessages": [f"Error in the query: {clause}"]}, 400)
            found = [issue for issue in found if _fits(issue, *condition.groups())]
        return JSONResponse({"issues": found})

    def _known(self, request: Request) -> dict[str, Any] | None:
        return self.issues.get(request.path_params["key"])

    async def _issue(self, request: Request) -> Response:
        issue = self._known(request)
        if issue is None:
            return JSONResponse({"errorMessages": ["Issue does not exist"]}, 404)
        return JSONResponse(issue, headers={"ETag": f'"{issue["version"]}"'})

    async def _change(self, request: Request) -> Response:
        issue = self._known(request)
        if request.headers.get("x-http-method-override") != "PUT" or issue is None:
            return JSONResponse({"errorMessages": ["Method not allowed"]}, 405)
        issue["fields"] |= (await request.json())["fields"]
        issue["version"] += 1
        return Response(status_code=204)

    async def _transitions(self, request: Request) -> Response:
        named = {"To Do": "Stop", "In Progress": "Start", "Done": "Finish"}
        here = self.issues[request.path_params["key"]]["fields"]["status"]["name"]
        ways = [
            {"id": str(number), "name": named[state], "to": {"name": state}}
            for number, state in enumerate(STATES, 11)
            if state != here and not (here == "Done" and state == "In Progress")
        ]
        return JSONResponse({"transitions": ways})

    async def _move(self, request: Request) -> Response:
        number = int((await request.json())["transition"]["id"])
        self.issues[request.path_params["key"]]["fields"]["status"] = {"name": STATES[number - 11]}
        return Response(status_code=204)

    async def _comment(self, request: Request) -> Response:
        body = (await request.json()).get("body")
        if not isinstance(body, dict) or body.get("type") != "doc":
            return JSONResponse({"errorMessages": ["Comment body is not valid"]}, 400)
        comments = self.issues[request.path_params["key"]]["comments"]
        comments.append({"id": str(len(comments) + 1), "body": body})
        return JSONResponse(comments[-1], 201)

    async def _watchers(self, request: Request) -> Response:
        return JSONResponse({"watchers": [{"name": "ann"}, {"name": "bob"}]})

    async def _dev(self, request: Request) -> Response:
        if request.path_params["key"] == "ENG-3":
            return JSONResponse({"errorMessages": ["No development data"]}, 404)
        return JSONResponse(
            {
                "detail": {"prs": [{"id": "#7", "url": "https://git.example/7"}]},
                "by": request.query_params["by"],
            }
        )

    async def _export(self, request: Request) -> Response:
        """Answer where the export will be, and nothing else."""
        return Response(
            status_code=202, headers={"Location": f"/exports/{request.path_params['key']}%2F7?now=1"}
        )

    async def _echo(self, request: Request) -> Response:
        return JSONResponse({"key": "ENG-1", "fields": {"summary": str(request.url.query)}})


def _fits(issue: dict[str, Any], name: str, comparison: str, written: str) -> bool:
    values = [re.sub(r"\\(.)", r"\1", value) for value in re.findall(r'"((?:[^"\\]|\\.)*)"', written)]
    fields = issue["fields"]
    if name == "number":
        return bool(issue["number"] > int(written))
    if comparison == "~":
        return values[0].lower() in fields["summary"].lower()
    return (fields["status"]["name"] if name == "status" else fields["assignee"]) in values
