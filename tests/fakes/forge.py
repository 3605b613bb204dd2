"""A forge in memory that behaves like GitHub's REST API, as far as publishing needs it, and keeps count.

Repositories belong to owners; a token sees what its owner may see, and what it may not see is not there
(404). Branches are those of a real git server where one is given, else those that a test names. What is
refused is refused as GitHub does it: 401 for a bad token, 422 with `errors` for a pull request that exists
already or has no commits, 403 with words and `Retry-After` for a secondary limit.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.etags import Conditional
from tests.fakes.forge_reviews import Reviews

Json = dict[str, Any]
_EVENTS = {"COMMENT": "COMMENTED", "APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED"}


@dataclass
class Repository:
    """One repository: issues and pull requests share their numbers, as they do at GitHub."""

    owner: str
    name: str
    private: bool = True
    default_branch: str = "main"
    branches: dict[str, str] = field(default_factory=lambda: {"main": "a" * 40})
    things: list[Json] = field(default_factory=list)
    comments: list[Json] = field(default_factory=list)
    reviews: list[Json] = field(default_factory=list)
    checks: list[Json] = field(default_factory=list)
    statuses: list[Json] = field(default_factory=list)
    deployments: list[Json] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def pulls(self) -> list[Json]:
        return [thing for thing in self.things if "head" in thing]


@dataclass
class Forge:
    """Everything of it. `faults` are answered first come first served before anything is done."""

    url: str = "https://api.forge.example"
    git_url: str = "https://forge.example"
    branches: Callable[[str], dict[str, str]] | None = None
    """Asks a git server for the branches of `owner/name`."""
    changes: Reviews | None = None
    """What it knows of changes, where there is a git server."""
    tokens: dict[str, str] = field(default_factory=lambda: {"canary-forge-token": "acme"})
    """Token to the login that it belongs to."""
    repositories: dict[str, Repository] = field(default_factory=dict)
    faults: list[Response] = field(default_factory=list)
    lose_answers_of: str | None = None
    """Do the next POST to a path that ends so, and answer 502."""
    counts: Counter[str] = field(default_factory=Counter)
    """What was made: pulls, comments, reviews, issues, and what was asked by `METHOD kind`."""
    now: float = 1_800_000_000.0

    def repository(self, full_name: str, **words: Any) -> Repository:
        """Make a repository."""
        owner, _, name = full_name.partition("/")
        made = self.repositories[full_name] = Repository(owner, name, **words)
        return made

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        repo = "/repos/{owner}/{name}"
        return Starlette(
            routes=[
                Route("/user", self._of_user),
                Route(repo, self._get),
                Route(f"{repo}/pulls", self._list_pulls, methods=["GET"]),
                Route(f"{repo}/pulls", self._create_pull, methods=["POST"]),
                Route(f"{repo}/pulls/{{number:int}}", self._get_pull, methods=["GET"]),
                Route(f"{repo}/pulls/{{number:int}}", self._update, methods=["PATCH"]),
                Route(f"{repo}/pulls/{{number:int}}/reviews", self._list_reviews, methods=["GET"]),
                Route(f"{repo}/pulls/{{number:int}}/reviews", self._review, methods=["POST"]),
                Route(f"{repo}/pulls/{{number:int}}/files", self._list_files, methods=["GET"]),
                Route(f"{repo}/compare/{{since}}...{{until}}", self._compare, methods=["GET"]),
                Route("/graphql", self._graphql, methods=["POST"]),
                Route(f"{repo}/issues", self._list_issues, methods=["GET"]),
                Route(f"{repo}/issues", self._create_issue, methods=["POST"]),
                Route(f"{repo}/issues/{{number:int}}", self._get_issue, methods=["GET"]),
                Route(f"{repo}/issues/{{number:int}}", self._update, methods=["PATCH"]),
                Route(f"{repo}/issues/{{number:int}}/comments", self._list_comments, methods=["GET"]),
                Route(f"{repo}/issues/{{number:int}}/comments", self._comment, methods=["POST"]),
                Route(f"{repo}/commits", self._list_commits),
                Route(f"{repo}/deployments", self._list_deployments),
                Route(f"{repo}/commits/{{ref:path}}/check-runs", self._list_checks),
                Route(f"{repo}/commits/{{ref:path}}/status", self._combined),
                Route(f"{repo}/statuses/{{sha}}", self._report, methods=["POST"]),
                Route("/search/issues", self._search),
            ],
            middleware=[Middleware(Conditional, counts=self.counts)],
        )

    # Who, and what they may see --------------------------------------------------------------------------

    def _enter(self, request: Request, kind: str) -> Repository | Response:
        self.counts[f"{request.method} {kind}"] += 1
        if self.faults:
            return self.faults.pop(0)
        login = self._login(request)
        if login is None:
            return JSONResponse({"message": "Bad credentials", "status": "401"}, 401)
        name = f"{request.path_params['owner']}/{request.path_params['name']}"
        found = self.repositories.get(name)
        if found is None or (found.private and found.owner != login):
            return missing()
        if self.branches is not None:
            found.branches = self.branches(name)
            for pull in found.pulls:
                if pull["state"] == "open":
                    pull["head"]["sha"] = found.branches.get(pull["head"]["ref"], pull["head"]["sha"])
        return found

    def _login(self, request: Request) -> str | None:
        return self.tokens.get(request.headers.get("authorization", "").partition(" ")[2])

    async def _of_user(self, request: Request) -> Response:
        login = self._login(request)
        if login is None:
            return JSONResponse({"message": "Bad credentials"}, 401)
        return JSONResponse({"id": 1, "login": login})

    async def _get(self, request: Request) -> Response:
        found = self._enter(request, "repository")
        if isinstance(found, Response):
            return found
        return JSONResponse(self._shown(found))

    def _shown(self, found: Repository) -> Json:
        return {
            "id": 1,
            "name": found.name,
            "full_name": found.full_name,
            "owner": {"login": found.owner, "id": 1},
            "private": found.private,
            "visibility": "private" if found.private else "public",
            "default_branch": found.default_branch,
            "clone_url": f"{self.git_url}/{found.full_name}.git",
            "html_url": f"{self.git_url}/{found.full_name}",
            "description": None,
        }

    # Pull requests ---------------------------------------------------------------------------------------

    async def _list_pulls(self, request: Request) -> Response:
        found = self._enter(request, "pulls")
        if isinstance(found, Response):
            return found
        query = request.query_params
        state, head, base = query.get("state", "open"), query.get("head"), query.get("base")
        kept = [
            pull
            for pull in reversed(found.pulls)
            if state in (pull["state"], "all")
            and head in (None, f"{found.owner}:{pull['head']['ref']}")
            and base in (None, pull["base"]["ref"])
        ]
        return self._page(request, kept)

    async def _create_pull(self, request: Request) -> Response:
        found = self._enter(request, "pulls")
        if isinstance(found, Response):
            return found
        body = await request.json()
        wrong = [name for name in ("title", "head", "base") if not body.get(name)]
        if wrong:
            return invalid(
                [{"resource": "PullRequest", "field": name, "code": "missing_field"} for name in wrong]
            )
        for name in ("head", "base"):
            if body[name] not in found.branches:
                return invalid([{"resource": "PullRequest", "field": name, "code": "invalid"}])
        if found.branches[body["head"]] == found.branches[body["base"]]:
            words = f"No commits between {body['base']} and {body['head']}"
            return invalid([{"resource": "PullRequest", "code": "custom", "message": words}])
        if any(pull["head"]["ref"] == body["head"] and pull["state"] == "open" for pull in found.pulls):
            words = f"A pull request already exists for {found.owner}:{body['head']}."
            return invalid([{"resource": "PullRequest", "code": "custom", "message": words}])
        pull = self._thing(found, body, "pull") | {
            "draft": bool(body.get("draft")),
            "merged_at": None,
            "head": {"ref": body["head"], "sha": found.branches[body["head"]], "repo": self._shown(found)},
            "base": {"ref": body["base"], "sha": found.branches[body["base"]], "repo": self._shown(found)},
        }
        found.things.append(pull)
        return self._made(request, "pulls", pull)

    async def _get_pull(self, request: Request) -> Response:
        found = self._enter(request, "pulls")
        if isinstance(found, Response):
            return found
        thing = _numbered(found.pulls, request)
        return missing() if thing is None else JSONResponse(thing)

    async def _update(self, request: Request) -> Response:
        found = self._enter(request, "update")
        if isinstance(found, Response):
            return found
        thing = _numbered(found.things, request)
        if thing is None:
            return missing()
        body = await request.json()
        thing.update({name: body[name] for name in ("title", "body", "state", "labels") if name in body})
        return JSONResponse(thing)

    async def _list_reviews(self, request: Request) -> Response:
        found = self._enter(request, "reviews")
        if isinstance(found, Response):
            return found
        number = request.path_params["number"]
        return self._page(request, [each for each in found.reviews if each["number"] == number])

    async def _review(self, request: Request) -> Response:
        found = self._enter(request, "reviews")
        if isinstance(found, Response):
            return found
        pull = _numbered(found.pulls, request)
        if pull is None:
            return missing()
        body = await request.json()
        event = body.get("event")
        if event not in _EVENTS or (event != "APPROVE" and not (body.get("body") or body.get("comments"))):
            return invalid(["Body can't be blank"])
        if any(not {"path", "body"} <= set(each) or "line" not in each for each in body.get("comments", ())):
            return invalid([{"resource": "PullRequestReview", "code": "invalid", "field": "comments"}])
        if self.changes is not None:
            for each in body.get("comments", ()):
                if (words := self.changes.refuses(found.full_name, pull, each)) is not None:
                    return invalid([f"Pull request review thread {words}"])
        if event != "COMMENT" and pull["user"]["login"] == self._login(request):
            return invalid([f"Can not {event.lower().replace('_', ' ')} on your own pull request"])
        if self.changes is not None:
            for each in body.get("comments", ()):
                self.changes.keep(found.full_name, pull, each, str(self._login(request)))
        review = {
            "id": len(found.reviews) + 1,
            "number": pull["number"],
            "state": _EVENTS[event],
            "body": body.get("body") or "",
            "commit_id": body.get("commit_id") or pull["head"]["sha"],
            "comments": body.get("comments", []),
            "user": {"id": 1, "login": found.owner},
            "html_url": f"{pull['html_url']}#pullrequestreview-{len(found.reviews) + 1}",
            "submitted_at": self._time(),
        }
        found.reviews.append(review)
        return self._made(request, "reviews", review, 200)

    async def _list_files(self, request: Request) -> Response:
        found = self._enter(request, "files")
        if isinstance(found, Response):
            return found
        pull = _numbered(found.pulls, request)
        if pull is None or self.changes is None:
            return missing()
        base, head = pull["base"]["sha"], pull["head"]["sha"]
        return self._page(request, self.changes.files(found.full_name, base, head))

    async def _compare(self, request: Request) -> Response:
        found = self._enter(request, "compare")
        if isinstance(found, Response):
            return found
        since, until = request.path_params["since"], request.path_params["until"]
        try:
            return JSONResponse(self.changes.compare(found.full_name, since, until) if self.changes else {})
        except RuntimeError:
            return missing()

    async def _graphql(self, request: Request) -> Response:
        """Answer the one document that is asked of it: the threads of a pull request."""
        self.counts["POST graphql"] += 1
        login = self._login(request)
        if login is None:
            return JSONResponse({"message": "Bad credentials"}, 401)
        asked = (await request.json())["variables"]
        found = self.repositories.get(f"{asked['owner']}/{asked['repo']}")
        if found is None or self.changes is None or (found.private and found.owner != login):
            return JSONResponse({"data": {"repository": None}, "errors": [{"type": "NOT_FOUND"}]})
        pull = next(each for each in found.pulls if each["number"] == asked["number"])
        first, after = asked.get("first", 50), int(asked.get("after") or 0)
        nodes = self.changes.shown(found.full_name, pull)
        told = {
            "nodes": nodes[after : after + first],
            "pageInfo": {"hasNextPage": after + first < len(nodes), "endCursor": str(after + first)},
        }
        return JSONResponse({"data": {"repository": {"pullRequest": {"reviewThreads": told}}}})

    # Issues and comments -----------------------------------------------------------------------------------

    async def _list_issues(self, request: Request) -> Response:
        found = self._enter(request, "issues")
        if isinstance(found, Response):
            return found
        state = request.query_params.get("state", "open")
        return self._page(request, [t for t in reversed(found.things) if state in (t["state"], "all")])

    async def _search(self, request: Request) -> Response:
        login = self._login(request)
        seen = [repo for repo in self.repositories.values() if not repo.private or repo.owner == login]
        words = [word for word in request.query_params.get("q", "").split() if ":" not in word]
        found = [t for repo in seen for t in repo.things if all(word in str(t["title"]) for word in words)]
        return JSONResponse({"total_count": len(found), "items": found})

    async def _create_issue(self, request: Request) -> Response:
        found = self._enter(request, "issues")
        if isinstance(found, Response):
            return found
        body = await request.json()
        if not body.get("title"):
            return invalid([{"resource": "Issue", "field": "title", "code": "missing_field"}])
        issue = self._thing(found, body, "issues")
        found.things.append(issue)
        return self._made(request, "issues", issue)

    async def _get_issue(self, request: Request) -> Response:
        found = self._enter(request, "issues")
        if isinstance(found, Response):
            return found
        thing = _numbered(found.things, request)
        return missing() if thing is None else JSONResponse(thing)

    async def _list_comments(self, request: Request) -> Response:
        found = self._enter(request, "comments")
        if isinstance(found, Response):
            return found
        number = request.path_params["number"]
        return self._page(request, [each for each in found.comments if each["number"] == number])

    async def _comment(self, request: Request) -> Response:
        found = self._enter(request, "comments")
        if isinstance(found, Response):
            return found
        thing = _numbered(found.things, request)
        if thing is None:
            return missing()
        text = (await request.json()).get("body")
        if not text or len(text) > 65_536:
            return invalid([{"resource": "IssueComment", "code": "missing_field", "field": "body"}])
        comment = {
            "id": len(found.comments) + 1,
            "number": thing["number"],
            "body": text,
            "user": {"id": 1, "login": found.owner},
            "html_url": f"{thing['html_url']}#issuecomment-{len(found.comments) + 1}",
            "created_at": self._time(),
            "updated_at": self._time(),
        }
        found.comments.append(comment)
        return self._made(request, "comments", comment)

    # What was changed and put out lately --------------------------------------------------------------------

    async def _list_commits(self, request: Request) -> Response:
        found = self._enter(request, "commits")
        if isinstance(found, Response):
            return found
        assert self.changes is not None
        asked = request.query_params
        ref, path = asked.get("sha", found.default_branch), asked.get("path")
        return self._page(request, self.changes.commits(found.full_name, ref, path, self.url))

    async def _list_deployments(self, request: Request) -> Response:
        found = self._enter(request, "deployments")
        if isinstance(found, Response):
            return found
        wanted = request.query_params.get("environment")
        return self._page(request, [d for d in found.deployments if wanted in (None, d["environment"])])

    # Checks ------------------------------------------------------------------------------------------------

    async def _list_checks(self, request: Request) -> Response:
        found = self._enter(request, "checks")
        if isinstance(found, Response):
            return found
        name, sha = request.query_params.get("check_name"), _sha(found, request)
        kept = [each for each in found.checks if each["head_sha"] == sha and name in (None, each["name"])]
        return self._page(request, kept, "check_runs")

    async def _combined(self, request: Request) -> Response:
        found = self._enter(request, "statuses")
        if isinstance(found, Response):
            return found
        address = f"{self.url}/repos/{found.full_name}/statuses/{_sha(found, request)}"
        latest = {each["context"]: each for each in found.statuses if each["url"] == address}
        return self._page(request, list(latest.values()), "statuses")

    async def _report(self, request: Request) -> Response:
        found = self._enter(request, "statuses")
        if isinstance(found, Response):
            return found
        body, sha = await request.json(), request.path_params["sha"]
        if sha not in found.branches.values():
            return JSONResponse({"message": f"No commit found for SHA: {sha}", "status": "422"}, 422)
        status = {"context": "default", "description": None, "target_url": None, **body}
        status |= {"id": len(found.statuses) + 1, "created_at": self._time(), "updated_at": self._time()}
        status["url"] = f"{self.url}/repos/{found.full_name}/statuses/{sha}"
        found.statuses.append(status)
        return self._made(request, "statuses", status)

    # What all of it shares ---------------------------------------------------------------------------------

    def _thing(self, found: Repository, body: Json, kind: str) -> Json:
        number = len(found.things) + 1
        thing = {
            "number": number,
            "title": body["title"],
            "body": body.get("body"),
            "state": "open",
            "labels": [{"name": name} for name in body.get("labels", ())],
            "assignees": [],
            "requested_reviewers": [],
            "user": {"id": 1, "login": found.owner},
            "comments": 0,
            "repository_url": f"{self.url}/repos/{found.full_name}",
            "html_url": f"{self.git_url}/{found.full_name}/{kind}/{number}",
            "created_at": self._time(),
            "updated_at": self._time(),
            "closed_at": None,
        }
        return thing | ({"pull_request": {"url": f"{self.url}/pulls/{number}"}} if kind == "pull" else {})

    def _made(self, request: Request, kind: str, thing: Json, status: int = 201) -> Response:
        self.counts[kind] += 1
        if self.lose_answers_of is not None and request.url.path.endswith(self.lose_answers_of):
            self.lose_answers_of = None
            return JSONResponse({"message": "Server Error"}, 502)
        return JSONResponse(thing, status)

    def _page(self, request: Request, things: list[Json], within: str | None = None) -> Response:
        size, page = int(request.query_params.get("per_page", 30)), int(request.query_params.get("page", 1))
        links = []
        if page * size < len(things):
            links.append(f'<{request.url.include_query_params(page=page + 1)}>; rel="next"')
        if page > 1:
            links.append(f'<{request.url.include_query_params(page=page - 1)}>; rel="prev"')
        headers = {"Link": ", ".join(links)} if links else {}
        shown = things[(page - 1) * size : page * size]
        content = shown if within is None else {"total_count": len(things), within: shown}
        return JSONResponse(content, headers=headers)

    def _time(self) -> str:
        return dt.datetime.fromtimestamp(self.now, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _numbered(things: list[Json], request: Request) -> Json | None:
    return next((thing for thing in things if thing["number"] == request.path_params["number"]), None)


def _sha(found: Repository, request: Request) -> str:
    ref: str = request.path_params["ref"]
    return found.branches.get(ref, ref)


def missing() -> Response:
    """Answer what GitHub says of what is not there, or not for this token."""
    return JSONResponse({"message": "Not Found", "status": "404"}, 404)


def invalid(errors: list[Any]) -> Response:
    """Answer 422 as GitHub does."""
    return JSONResponse({"message": "Validation Failed", "errors": errors, "status": "422"}, 422)


def secondary_limit(seconds: int = 60) -> Response:
    """Answer the limit that GitHub puts on making too much in too short a time."""
    words = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
    return JSONResponse({"message": words}, 403, headers={"Retry-After": str(seconds)})


def primary_limit(reset: float) -> Response:
    """Answer that nothing remains of the hour's requests."""
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-limit": "5000", "x-ratelimit-reset": f"{reset:.0f}"}
    return JSONResponse({"message": "API rate limit exceeded for user ID 1."}, 403, headers=headers)


def unwell(status: int = 502) -> Response:
    """Answer a failure of the forge, as a page."""
    return Response("<html><title>Unicorn!</title></html>", status, media_type="text/html")
