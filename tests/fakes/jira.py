"""Jira Cloud's REST API, version 3, as far as a ticket's way needs it, after its documentation.

It refuses what Jira refuses: a comment that is no document of Atlassian's (400), a transition that does not
leave from where the issue is (400), a query of an issue that is not there (400), an issue that is not there
(404).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Json = dict[str, Any]
ME: Final = {"accountId": "5f-bot", "displayName": "Codex", "emailAddress": "bot@acme.example"}
STATUSES: Final = {"To Do": "new", "Done": "done"}
"""With their categories; the others are on their way."""
_WAYS: Final = {
    "To Do": ["In Progress"],
    "In Progress": ["In Review", "To Do"],
    "In Review": ["In Progress", "Done"],
    "Done": [],
}


@dataclass
class Jira:
    """One project with its issues."""

    issues: dict[str, Json] = field(default_factory=dict)
    comments: dict[str, list[Json]] = field(default_factory=dict)
    links: list[frozenset[str]] = field(default_factory=list)
    """The keys of two issues each."""
    moves: list[str] = field(default_factory=list)
    """The statuses that issues were moved to, in order."""

    def issue(self, key: str, summary: str, text: str, labels: list[str]) -> Json:
        """Make an issue that is to be done, and answer it as it is delivered."""
        self.issues[key] = {
            "summary": summary,
            "description": document({"type": "text", "text": text}),
            "issuetype": {"name": "Bug"},
            "labels": labels,
            "status": "To Do",
        }
        self.comments[key] = []
        return self.shown(key)

    def shown(self, key: str) -> Json:
        """Answer an issue as Jira does."""
        kept = self.issues[key]
        name = kept["status"]
        status = {"name": name, "statusCategory": {"key": STATUSES.get(name, "indeterminate")}}
        ways = [{"id": str(number), "name": to, "to": {"name": to}} for number, to in enumerate(_WAYS[name])]
        return {"id": "10001", "key": key, "fields": {**kept, "status": status}, "transitions": ways}

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        issue = "/issue/{key}"
        return Starlette(
            routes=[
                Route("/myself", self._me),
                Route("/serverInfo", self._server),
                Route("/search/jql", self._search),
                Route(issue, self._get),
                Route(f"{issue}/comment", self._list, methods=["GET"]),
                Route(f"{issue}/comment", self._comment, methods=["POST"]),
                Route(f"{issue}/transitions", self._ways, methods=["GET"]),
                Route(f"{issue}/transitions", self._move, methods=["POST"]),
            ]
        )

    def said(self, key: str, number: str, by: str, *words: str) -> Json:
        """Let somebody comment, and answer that as it is delivered; a word with @ calls the bot."""
        nodes = [
            {"type": "mention", "attrs": {"id": "5f-bot", "text": word}}
            if word.startswith("@")
            else {"type": "text", "text": word}
            for word in words
        ]
        body = document(*nodes)
        author = {"accountId": by.lower(), "displayName": by}
        made = {"id": number, "author": author, "body": body}
        self.comments[key].append(made)
        return {
            "webhookEvent": "comment_created",
            "timestamp": 3,
            "issue": {"id": "10001", "key": key},
            "comment": {"id": number, "author": author, "body": "[~accountid:5f-bot] …"},
        }

    async def _me(self, _request: Request) -> Response:
        return JSONResponse(ME)

    async def _server(self, _request: Request) -> Response:
        return JSONResponse({"baseUrl": "https://acme.atlassian.net"})

    async def _get(self, request: Request) -> Response:
        key = request.path_params["key"]
        return JSONResponse(self.shown(key)) if key in self.issues else _missing()

    async def _search(self, request: Request) -> Response:
        asked = re.fullmatch(
            r'issue IN linkedIssues\("([A-Z]+-\d+)"\) ORDER BY .*', request.query_params["jql"]
        )
        if asked is None or asked[1] not in self.issues:
            message = "The JQL query is wrong, or the issue does not exist."
            return JSONResponse({"errorMessages": [message], "errors": {}}, 400)
        pairs = (pair for pair in self.links if asked[1] in pair)
        return JSONResponse({"issues": [self.shown(key) for pair in pairs for key in pair - {asked[1]}]})

    async def _list(self, request: Request) -> Response:
        found = self.comments.get(request.path_params["key"])
        if found is None:
            return _missing()
        start = int(request.query_params.get("startAt", 0))
        told = {"startAt": start, "maxResults": 50, "total": len(found)}
        return JSONResponse({**told, "comments": found[start : start + 50]})

    async def _comment(self, request: Request) -> Response:
        body = (await request.json()).get("body")
        if not isinstance(body, dict) or body.get("type") != "doc" or body.get("version") != 1:
            message = "Comment body is not valid!"
            return JSONResponse({"errorMessages": [message], "errors": {}}, 400)
        found = self.comments.get(request.path_params["key"])
        if found is None:
            return _missing()
        made = {"id": str(len(found) + 1), "author": ME, "body": body}
        found.append(made)
        return JSONResponse(made, 201)

    async def _ways(self, request: Request) -> Response:
        key = request.path_params["key"]
        ways = self.shown(key)["transitions"] if key in self.issues else None
        return JSONResponse({"transitions": ways}) if ways is not None else _missing()

    async def _move(self, request: Request) -> Response:
        key, asked = request.path_params["key"], (await request.json())["transition"]["id"]
        way = next((each for each in self.shown(key)["transitions"] if each["id"] == asked), None)
        if way is None:
            message = f"Transition id '{asked}' is not valid for this issue."
            return JSONResponse({"errorMessages": [message], "errors": {}}, 400)
        self.issues[key]["status"] = way["name"]
        self.moves.append(way["name"])
        return Response(status_code=204)


def document(*nodes: Json) -> Json:
    """Answer a document of one paragraph."""
    return {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": list(nodes)}]}


def words_of(node: Any) -> str:
    """Answer the text of a document."""
    if isinstance(node, list):
        return "".join(map(words_of, node))
    return str(node.get("text", "")) + words_of(node.get("content", []))


def _missing() -> Response:
    message = "Issue does not exist or you do not have permission to see it."
    return JSONResponse({"errorMessages": [message], "errors": {}}, 404)
