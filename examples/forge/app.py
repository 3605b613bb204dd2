"""The forge's API, as much of GitHub's as a run needs (docs.github.com/en/rest), and a page for people."""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from forge.git import Repositories
from forge.model import answer

Json = dict[str, Any]
_POLICY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
    "padding:0 1rem}pre{overflow:auto;padding:1rem;border:1px solid #8886;border-radius:8px}"
    "p{white-space:pre-wrap}"
)


class Forge:
    """One repository's pull requests, kept in a file."""

    def __init__(
        self, repositories: Repositories, name: str, token: str, *, url: str, git_url: str, kept: Path
    ) -> None:
        self._repositories = repositories
        self._name = name
        self._token = token
        self._url = url
        self._git_url = git_url
        self._kept = kept
        self._pulls: list[Json] = json.loads(kept.read_text()) if kept.exists() else []

    def app(self) -> Starlette:
        """Answer the application, with the script at /v1."""
        repo = f"/repos/{self._name}"
        return Starlette(
            routes=[
                Route("/user", self._user),
                Route(repo, self._repository),
                Route(f"{repo}/pulls", self._list, methods=["GET"]),
                Route(f"{repo}/pulls", self._create, methods=["POST"]),
                Route(f"{repo}/pulls/{{number:int}}", self._get),
                Route(f"{repo}/commits/{{sha}}/check-runs", self._checks),
                Route(f"/{self._name}/pull/{{number:int}}", self._page),
                Route("/v1/models", _models),
                Route("/v1/responses", answer, methods=["POST"]),
            ]
        )

    async def _user(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse({"id": 1, "login": "demo"})

    async def _repository(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse(self._shown())

    async def _list(self, request: Request) -> Response:
        query = request.query_params
        head, state = query.get("head"), query.get("state", "open")
        owner = self._name.partition("/")[0]
        found = [
            each
            for each in reversed(self._pulls)
            if state in (each["state"], "all") and head in (None, f"{owner}:{each['head']['ref']}")
        ]
        return self._refused(request) or JSONResponse(found)

    async def _create(self, request: Request) -> Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        body = await request.json()
        known = self._repositories.branches(self._name)
        if body.get("head") not in known or body.get("base") not in known or not body.get("title"):
            return _invalid("title, head and base must be there")
        if any(each["head"]["ref"] == body["head"] for each in self._pulls):
            return _invalid(f"A pull request already exists for {body['head']}.")
        number = len(self._pulls) + 1
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        made = {
            "number": number,
            "title": body["title"],
            "body": body.get("body"),
            "state": "open",
            "draft": bool(body.get("draft")),
            "merged_at": None,
            "labels": [],
            "assignees": [],
            "requested_reviewers": [],
            "user": {"id": 1, "login": "demo"},
            "head": {"ref": body["head"], "sha": known[body["head"]], "repo": self._shown()},
            "base": {"ref": body["base"], "sha": known[body["base"]], "repo": self._shown()},
            "html_url": f"{self._url}/{self._name}/pull/{number}",
            "repository_url": f"{self._url}/repos/{self._name}",
            "created_at": now,
            "updated_at": now,
            "closed_at": None,
        }
        self._pulls.append(made)
        self._kept.write_text(json.dumps(self._pulls))
        return JSONResponse(made, 201)

    async def _get(self, request: Request) -> Response:
        found = self._numbered(request)
        return self._refused(request) or (JSONResponse(found) if found else _missing())

    async def _checks(self, request: Request) -> Response:
        """Say of each commit that its one check has passed; nothing is run for it."""
        sha = request.path_params["sha"]
        passed = {
            "id": 1,
            "name": "a check of the sample, which always passes",
            "head_sha": sha,
            "status": "completed",
            "conclusion": "success",
            "started_at": None,
            "completed_at": None,
            "output": {"title": None, "summary": None, "text": None},
            "html_url": None,
            "url": f"{self._url}/repos/{self._name}/check-runs/1",
        }
        return self._refused(request) or JSONResponse({"total_count": 1, "check_runs": [passed]})

    async def _page(self, request: Request) -> Response:
        """For people, who come by the link in the ticket. It changes nothing, so it asks for no token."""
        found = self._numbered(request)
        if found is None:
            return _missing()
        diff = self._repositories.diff(self._name, found["base"]["ref"], found["head"]["ref"])
        page = (
            f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(found['title'])}</title>"
            f"<style>{_STYLE}</style><h1>{escape(found['title'])}</h1>"
            f"<p>Draft pull request {found['number']} of {escape(self._name)}: "
            f"<code>{escape(found['head']['ref'])}</code> into {escape(found['base']['ref'])}</p>"
            f"<p>{escape(found['body'] or '')}</p><pre>{escape(diff)}</pre></html>"
        )
        return HTMLResponse(page, headers=_POLICY)

    def _numbered(self, request: Request) -> Json | None:
        number = request.path_params["number"]
        return next((each for each in self._pulls if each["number"] == number), None)

    def _refused(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "").partition(" ")[2]
        if hmac.compare_digest(given.encode(), self._token.encode()):
            return None
        return JSONResponse({"message": "Bad credentials"}, 401)

    def _shown(self) -> Json:
        owner, _, name = self._name.partition("/")
        return {
            "id": 1,
            "name": name,
            "full_name": self._name,
            "owner": {"login": owner, "id": 1},
            "private": True,
            "visibility": "private",
            "default_branch": "main",
            "clone_url": f"{self._git_url}/{self._name}.git",
            "html_url": f"{self._url}/{self._name}",
            "description": None,
        }


async def _models(_request: Request) -> Response:
    return JSONResponse({"object": "list", "data": [], "models": []})


def _missing() -> Response:
    return JSONResponse({"message": "Not Found"}, 404)


def _invalid(words: str) -> Response:
    errors = [{"resource": "PullRequest", "code": "custom", "message": words}]
    return JSONResponse({"message": "Validation Failed", "errors": errors}, 422)
