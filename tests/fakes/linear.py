"""Linear's GraphQL over what the connector asks for of its own schema: what that has not is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from graphql import build_schema, graphql_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.servers.node import ROOT

Json = dict[str, Any]
BOT: Final = {"id": "user-codex", "name": "codex", "email": "codex@acme.example"}
STATES: Final = {"todo": "unstarted", "working": "started", "reviewing": "started", "done": "completed"}
"""The ids of the team's states, with their types."""
_SCHEMA: Final = build_schema((ROOT / "tests" / "contracts" / "linear.graphql").read_text())


@dataclass
class Linear:
    """One team with its issues; whoever asks is the bot."""

    issues: dict[str, Json] = field(default_factory=dict)
    moves: list[str] = field(default_factory=list)
    """The states that issues were moved to, in order."""

    def issue(self, key: str, title: str, description: str) -> Json:
        """Make an issue that is to be done, of nobody."""
        made: Json = {
            **_made(f"issue-{key}"),
            "identifier": key,
            "number": int(key.rpartition("-")[2]),
            "title": title,
            "description": description,
            "priority": 0,
            "branchName": key.lower(),
            "state": _state("todo"),
            "labels": {"nodes": []},
            "attachments": {"nodes": []},
            "team": {"id": "team", "key": key.partition("-")[0]},
            "said": [],
        }
        made["comments"] = lambda _info, **_asked: _connection(made["said"])
        self.issues[made["id"]] = made
        return made

    def said(self, issue: Json, by: str, words: str) -> Json:
        """Let somebody comment, and answer what is delivered of that."""
        comment = self._comment(issue, {"id": f"user-{by.lower()}", "name": by}, words)
        return {
            "type": "Comment",
            "action": "create",
            "actor": {"id": comment["user"]["id"]},
            "data": {"id": comment["id"], "issueId": issue["id"], "body": words},
        }

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(routes=[Route("/graphql", self._graphql, methods=["POST"])])

    async def _graphql(self, request: Request) -> JSONResponse:
        asked = await request.json()
        root = {
            "viewer": BOT,
            "issue": lambda _info, id: self.issues[id],  # noqa: A006 - it is called so there
            "issueUpdate": self._update,
            "commentCreate": self._create,
        }
        found = graphql_sync(_SCHEMA, asked["query"], root, variable_values=asked.get("variables"))
        return JSONResponse(found.formatted, 400 if found.data is None else 200)

    def _update(self, _info: object, id: str, input: Json) -> Json:  # noqa: A002
        issue, state = self.issues[id], input.get("stateId")
        if state is not None:
            issue["state"] = _state(state)
            self.moves.append(state)
        return {"success": True, "issue": issue}

    def _create(self, _info: object, input: Json) -> Json:  # noqa: A002
        return {"success": True, "comment": self._comment(self.issues[input["issueId"]], BOT, input["body"])}

    def _comment(self, issue: Json, user: Json, words: str) -> Json:
        comment = {**_made(f"comment-{len(issue['said']) + 1}"), "user": user, "body": words}
        issue["said"].append(comment)
        return comment


def _made(identified: str) -> Json:
    now = datetime.now(UTC).isoformat()
    return {
        "id": identified,
        "createdAt": now,
        "updatedAt": now,
        "url": f"https://linear.app/acme/{identified}",
    }


def _state(name: str) -> Json:
    return {"id": name, "name": name.title(), "type": STATES[name]}


def _connection(nodes: list[Json]) -> Json:
    return {"nodes": nodes, "pageInfo": {"hasNextPage": False, "endCursor": None}}
