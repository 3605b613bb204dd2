"""Vercel's emulate: GitHub's REST API, Linear and Slack in a program of somebody else, as a second opinion.

It knows no git, takes an unknown token for its first user, answers 403 where GitHub answers 404, and opens a
second pull request for a branch; what rests on those is tested against `tests/fakes/forge.py`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import yaml
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from linkspan.spec.language import CONNECTORS
from tests.servers.node import NODE, installed
from tests.servers.serving import LOOPBACK, accepts, free_port, running

TOKEN = "canary-emulate-token"
ANOTHER = "canary-emulate-another"
LIMIT = 5000
"""Requests of its GitHub that a token has for an hour."""

UNKNOWN = re.compile(
    r" (?:estimate|branchName|parent \{ id \}|attachments \{[^}]*\} \}|(?<=updatedAt )url)(?=[ \n])"
)
"""What emulate's schema does not have; Linear's has it, and tests/connectors/test_contracts.py asks that."""


@dataclass(frozen=True)
class Emulate:
    """Where it listens, and its repository `acme/shop`."""

    url: str

    def ask(self, method: str, path: str, body: Any = None, *, token: str = TOKEN) -> Any:
        """Ask it as its user, or as another one, beside of what is tested."""
        answer = httpx2.request(
            method, f"{self.url}{path}", json=body, headers={"Authorization": f"Bearer {token}"}
        )
        if answer.status_code >= 300:
            raise RuntimeError(f"emulate: {method} {path}: {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def spend(self) -> str:
        """Ask until the hour's requests are spent; answer how many are left, as it says."""
        with httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            for _ in range(LIMIT + 1):
                answer = client.get("/rate_limit")
                if answer.status_code == 403:
                    break
        return str(answer.headers["x-ratelimit-remaining"])

    def branch(self, name: str, *, file: str = "cart.py") -> None:
        """Make a branch with a commit of its own, which adds a file."""
        head = self.head("main")
        self.ask("POST", "/repos/acme/shop/git/refs", {"ref": f"refs/heads/{name}", "sha": head})
        self.commit(name, file=file)

    def commit(self, branch: str, *, file: str) -> None:
        """Add a commit to a branch, which adds a file."""
        words = {"message": "Fix", "content": "eA==", "branch": branch}
        self.ask("PUT", f"/repos/acme/shop/contents/{file}", words)

    def head(self, branch: str) -> str:
        """Answer the commit that a branch is at, which is none of git's."""
        return str(self.ask("GET", f"/repos/acme/shop/git/ref/heads/{branch}")["object"]["sha"])

    def hook(self, url: str, secret: str) -> None:
        """Let it tell a URL of issues and pull requests, with what becomes of them, signed with a secret."""
        config = {"url": url, "content_type": "json", "secret": secret}
        events = ["issues", "issue_comment", "pull_request", "pull_request_review"]
        self.ask("POST", "/repos/acme/shop/hooks", {"config": config, "events": events})

    def checked(self, branch: str, check: dict[str, Any]) -> None:
        """Say as CI what was checked of the head of a branch."""
        self.ask("POST", "/repos/acme/shop/check-runs", {"head_sha": self.head(branch), **check})


class WithGit:
    """It, beside a server that has git: what passes speaks of git's commits where it has others of its own.

    An ASGI application.
    """

    def __init__(self, forge: Emulate, branches: Callable[[str], Mapping[str, str]]) -> None:
        """`branches` asks the git server for the branches of `acme/shop` and their commits."""
        self._forge = forge
        self._branches = branches
        self._commits = {forge.head("main"): branches("acme/shop")["main"]}

    def pushed(self, name: str) -> None:
        """Let it know of what was pushed."""
        known = {*self._commits.values()}
        for branch, commit in self._branches(name).items():
            if commit in known:
                continue
            file = f"{commit}.py"
            if any(each["name"] == branch for each in self._forge.ask("GET", f"/repos/{name}/branches")):
                self._forge.commit(branch, file=file)
            else:
                self._forge.branch(branch, file=file)
            self._commits[self._forge.head(branch)] = commit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        request = Request(scope, receive)
        path, body = f"{request.url.path}?{request.url.query}".rstrip("?"), await request.body()
        for own, commit in self._commits.items():
            path, body = path.replace(commit, own), body.replace(commit.encode(), own.encode())
        kept = ("authorization", "content-type", "accept")
        headers = {name: request.headers[name] for name in kept if name in request.headers}
        async with httpx2.AsyncClient(base_url=self._forge.url) as client:
            answer = await client.request(request.method, path, content=body, headers=headers)
        content = answer.content
        for own, commit in self._commits.items():
            content = content.replace(own.encode(), commit.encode())
        told = {name: answer.headers[name] for name in ("content-type", "link") if name in answer.headers}
        await Response(content, answer.status_code, told)(scope, receive, send)


@contextlib.contextmanager
def github(home: Path, *, git_url: str | None = None) -> Iterator[Emulate]:
    """Run it until the block ends; it says that repositories are at `git_url`, which has git.

    Besides its user there are ada, with a token (`ANOTHER`), and codex-bot.
    """
    home.mkdir(parents=True, exist_ok=True)
    seed = home / "seed.yaml"
    seed.write_text(
        json.dumps(
            {
                "tokens": {
                    TOKEN: {"login": "acme", "scopes": ["repo"]},
                    ANOTHER: {"login": "ada", "scopes": ["repo"]},
                },
                "github": {
                    "users": [
                        {"login": login, "name": login.title()} for login in ("acme", "ada", "codex-bot")
                    ],
                    "repos": [{"owner": "acme", "name": "shop", "auto_init": True}],
                },
            }
        )
    )
    with _started("github", seed, home, known_as=git_url) as url:
        yield Emulate(url)


@contextlib.contextmanager
def linear(home: Path, **words: Any) -> Iterator[str]:
    """Run its Linear until the block ends: a team `ENG` and a ticket in it. Yields where it listens.

    `words` are what is there instead: users, teams, issues.

    Its schema has less than Linear's own: no estimates, branches, parents and attachments of issues, no
    addresses of comments, and filters of another shape.
    """
    home.mkdir(parents=True, exist_ok=True)
    seed = home / "seed.yaml"
    seed.write_text(json.dumps({"linear": words}))
    with _started("linear", seed, home) as url:
        yield url


@dataclass(frozen=True)
class Workspace:
    """Where its Slack listens: the channels `general` and `random`, a person and another one."""

    url: str

    def ask(self, method: str, token: str = TOKEN, **words: Any) -> Any:
        """Ask it as somebody of the workspace, beside of what is tested."""
        answer = httpx2.post(
            f"{self.url}/api/{method}", json=words, headers={"Authorization": f"Bearer {token}"}
        ).json()
        if not answer["ok"]:
            raise RuntimeError(f"emulate: {method}: {answer}")
        return answer


@contextlib.contextmanager
def slack(home: Path) -> Iterator[Workspace]:
    """Run its Slack until the block ends. It gives whatever is asked for by `latest` the newest message."""
    home.mkdir(parents=True, exist_ok=True)
    seed = home / "seed.yaml"
    tokens = {TOKEN: {"login": "admin"}, ANOTHER: {"login": "ada"}}
    seed.write_text(json.dumps({"tokens": tokens, "slack": {"users": [{"name": "ada"}]}}))
    with _started("slack", seed, home) as url:
        yield Workspace(url)


@contextlib.contextmanager
def _started(service: str, seed: Path, home: Path, *, known_as: str | None = None) -> Iterator[str]:
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    words = ["start", "--service", service, "--port", port, "--seed", seed, "--base-url", known_as or url]
    command = [NODE, installed("emulate/dist/index.js"), *words]
    with running(command, log=home / "emulate.log", ready=lambda: accepts(port), cwd=home):
        yield url


def known_words() -> dict[str, Any]:
    """Answer the entities of the connector with the documents that emulate can read."""
    entities = yaml.safe_load((CONNECTORS / "linear.yaml").read_text())["entities"]
    operations = {
        key: {"graphql": UNKNOWN.sub("", words["graphql"])}
        for key, words in entities["ticket"]["sources"]["linear"]["operations"].items()
    }
    return {"ticket": {"sources": {"linear": {"operations": operations}}}}
