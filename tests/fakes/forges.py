"""GitLab and Bitbucket in memory, as far as publishing needs them: branches are those of a real git server.

Each refuses as its documentation says: an open merge request of the same branch is a 409 at GitLab; Bitbucket
refuses a pull request of a branch that is not there, and answers the open one where there is one already.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Json = dict[str, Any]
NOW = "2026-11-02T08:00:00.000Z"

Answer = Callable[[Request], Awaitable[Response]]


@dataclass
class _Forge:
    """What both have: a repository of a git server, who may ask, and an answer that can be lost."""

    git_url: str
    branches: Callable[[str], dict[str, str]]
    token: str = "canary-forge-token"
    name: str = "acme/shop"
    lose_next: bool = False
    """Make the next request to merge, and answer 502."""

    def knows(self, request: Request) -> bool:
        """Tell whether somebody may ask."""
        raise NotImplementedError

    def refusal(self) -> Json:
        """Answer what who may not is told."""
        raise NotImplementedError

    def _at(self, path: str, answer: Answer, method: str = "GET") -> Route:
        """Make a route for those who may ask."""

        async def endpoint(request: Request) -> Response:
            return await answer(request) if self.knows(request) else JSONResponse(self.refusal(), 401)

        return Route(path, endpoint, methods=[method])

    def _made(self, what: Json) -> Response:
        if not self.lose_next:
            return JSONResponse(what, 201)
        self.lose_next = False
        return Response(status_code=502)


@dataclass
class GitLab(_Forge):
    """docs.gitlab.com/api: "Projects", "Merge requests". One project, number 42."""

    merge_requests: list[Json] = field(default_factory=list)
    notes: list[Json] = field(default_factory=list)
    """Of its merge requests, those of people and GitLab's own (`system`)."""
    statuses: list[Json] = field(default_factory=list)
    """Of its commits (`sha`)."""

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(
            routes=[
                self._at("/api/v4/user", self._user),
                self._at("/api/v4/projects/42", self._project),
                self._at("/api/v4/projects/42/merge_requests", self._list),
                self._at("/api/v4/projects/42/merge_requests", self._create, "POST"),
                self._at("/api/v4/projects/42/merge_requests/{iid:int}", self._get),
                self._at("/api/v4/projects/42/merge_requests/{iid:int}/notes", self._list_notes),
                self._at("/api/v4/projects/42/repository/commits/{ref}/statuses", self._list_statuses),
            ]
        )

    def knows(self, request: Request) -> bool:
        """Tell whether a token is shown."""
        return request.headers.get("private-token") == self.token

    def refusal(self) -> Json:
        """Answer its words."""
        return {"message": "401 Unauthorized"}

    async def _user(self, request: Request) -> Response:
        return JSONResponse({"id": 7, "username": "codex"})

    async def _project(self, request: Request) -> Response:
        project = {
            "id": 42, "path_with_namespace": self.name, "path": "shop", "namespace": {"full_path": "acme"},
            "default_branch": "main", "visibility": "private", "archived": False,
            "http_url_to_repo": f"{self.git_url}/{self.name}.git", "web_url": f"{self.git_url}/{self.name}",
        }  # fmt: skip
        return JSONResponse(project)

    async def _get(self, request: Request) -> Response:
        number = request.path_params["iid"]
        found = next((one for one in self.merge_requests if one["iid"] == number), None)
        return JSONResponse(found) if found else JSONResponse({"message": "404 Not found"}, 404)

    async def _list_notes(self, request: Request) -> Response:
        kinds = {"only_comments": (False,), "only_activity": (True,)}
        which = kinds.get(request.query_params.get("activity_filter", ""), (False, True))
        return JSONResponse([each for each in self.notes if each["system"] in which])

    async def _list_statuses(self, request: Request) -> Response:
        return JSONResponse([each for each in self.statuses if each["sha"] == request.path_params["ref"]])

    async def _list(self, request: Request) -> Response:
        state, branch = request.query_params.get("state", "all"), request.query_params.get("source_branch")
        found = [one for one in self.merge_requests if state in {"all", one["state"]}]
        return JSONResponse([one for one in found if branch in {None, one["source_branch"]}])

    async def _create(self, request: Request) -> Response:
        asked = await request.json()
        heads = self.branches(self.name)
        missing = [name for name in ("source_branch", "target_branch", "title") if not asked.get(name)]
        if missing:
            return JSONResponse({"error": f"{', '.join(missing)} is missing"}, 400)
        if any(one["source_branch"] == asked["source_branch"] and one["state"] == "opened"
               for one in self.merge_requests):  # fmt: skip
            told = "Another open merge request already exists for this source branch: !1"
            return JSONResponse({"message": [told]}, 409)
        if asked["source_branch"] not in heads:
            return JSONResponse({"message": ["Source branch does not exist"]}, 422)
        number = len(self.merge_requests) + 1
        made = {
            "id": 1000 + number, "iid": number, "project_id": 42, "title": asked["title"], "state": "opened",
            "description": asked.get("description"), "draft": asked["title"].startswith("Draft: "),
            "source_branch": asked["source_branch"], "target_branch": asked["target_branch"],
            "sha": heads[asked["source_branch"]], "created_at": NOW, "updated_at": NOW,
            "references": {"full": f"{self.name}!{number}"},
            "web_url": f"{self.git_url}/{self.name}/-/merge_requests/{number}",
        }  # fmt: skip
        self.merge_requests.append(made)
        return self._made(made)


@dataclass
class Bitbucket(_Forge):
    """developer.atlassian.com/cloud/bitbucket/rest: "Repositories", "Pullrequests". One repository."""

    pull_requests: list[Json] = field(default_factory=list)
    comments: list[Json] = field(default_factory=list)
    statuses: list[Json] = field(default_factory=list)
    """What was reported of its commits, each with the address of its own (`links.commit.href`)."""

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        where = f"/2.0/repositories/{self.name}"
        return Starlette(
            routes=[
                self._at("/2.0/user", self._user),
                self._at("/2.0/repositories/acme", self._repositories),
                self._at(where, self._repository),
                self._at(f"{where}/pullrequests", self._list),
                self._at(f"{where}/pullrequests", self._create, "POST"),
                self._at(f"{where}/pullrequests/{{number:int}}", self._get),
                self._at(f"{where}/pullrequests/{{number:int}}/comments", self._list_comments),
                self._at(f"{where}/commit/{{ref}}/statuses", self._list_statuses),
            ]
        )

    def knows(self, request: Request) -> bool:
        """Tell whether a token is shown, or an address and an API token."""
        pair = base64.b64encode(f"codex@acme.example:{self.token}".encode()).decode()
        return request.headers.get("authorization") in {f"Bearer {self.token}", f"Basic {pair}"}

    def refusal(self) -> Json:
        """Answer its words."""
        return {"type": "error", "error": {"message": "Bad token"}}

    def _shown(self) -> Json:
        # With the name of whoever asks before the host, as Bitbucket answers it.
        clone = self.git_url.replace("https://", "https://codex@") + f"/{self.name}.git"
        return {
            "full_name": self.name, "is_private": True, "mainbranch": {"name": "main"},
            "links": {"clone": [{"name": "https", "href": clone}], "html": {"href": "x"}},
        }  # fmt: skip

    async def _user(self, request: Request) -> Response:
        return JSONResponse({"uuid": "{c-1}", "display_name": "Codex"})

    async def _repositories(self, request: Request) -> Response:
        return JSONResponse({"values": [self._shown()]})

    async def _repository(self, request: Request) -> Response:
        return JSONResponse(self._shown())

    async def _get(self, request: Request) -> Response:
        number = request.path_params["number"]
        found = next((one for one in self.pull_requests if one["id"] == number), None)
        gone = {"type": "error", "error": {"message": "Not found"}}
        return JSONResponse(found) if found else JSONResponse(gone, 404)

    async def _list_comments(self, request: Request) -> Response:
        return JSONResponse({"pagelen": 25, "values": self.comments})

    async def _list_statuses(self, request: Request) -> Response:
        commit = f"/commit/{request.path_params['ref']}"
        found = [each for each in self.statuses if each["links"]["commit"]["href"].endswith(commit)]
        return JSONResponse({"pagelen": 25, "values": found})

    async def _list(self, request: Request) -> Response:
        states = request.query_params.getlist("state") or ["OPEN"]
        asked = request.query_params.get("q", "")
        found = [
            one for one in self.pull_requests
            if one["state"] in states and (not asked or f'"{one["source"]["branch"]["name"]}"' in asked)
        ]  # fmt: skip
        return JSONResponse({"pagelen": 25, "values": found})

    async def _create(self, request: Request) -> Response:
        asked = await request.json()
        heads = self.branches(self.name)
        source, target = asked["source"]["branch"]["name"], asked["destination"]["branch"]["name"]
        if source not in heads:
            told = {"message": "There are no changes to be pulled", "detail": "branch not found"}
            return JSONResponse({"type": "error", "error": told}, 400)
        number = len(self.pull_requests) + 1
        repository = {"full_name": self.name}
        made = {
            "id": number, "title": asked["title"], "state": "OPEN", "draft": bool(asked.get("draft")),
            "description": asked.get("description", ""), "created_on": NOW, "updated_on": NOW,
            "source": {"branch": {"name": source}, "commit": {"hash": heads[source]},
                       "repository": repository},
            "destination": {"branch": {"name": target}, "commit": {"hash": heads[target]},
                            "repository": repository},
            "links": {"html": {"href": f"{self.git_url}/{self.name}/pull-requests/{number}"}},
        }  # fmt: skip
        self.pull_requests.append(made)
        return self._made(made)
