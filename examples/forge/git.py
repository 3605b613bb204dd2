"""Repositories as files, served by `git http-backend` (git-scm.com/docs/git-http-backend)."""

from __future__ import annotations

import asyncio
import base64
import hmac
import os
import subprocess
from pathlib import Path
from typing import Any

_CLEAN = {
    "PATH": os.environ.get("PATH", ""),
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Harbour",
    "GIT_AUTHOR_EMAIL": "harbour@desk.invalid",
    "GIT_COMMITTER_NAME": "Harbour",
    "GIT_COMMITTER_EMAIL": "harbour@desk.invalid",
}


class Repositories:
    """Bare repositories below a folder; one token opens all of them, for reading and writing."""

    def __init__(self, root: Path, token: str) -> None:
        self._root = root.absolute()
        self._token = token

    def make(self, name: str, files: Path) -> None:
        """Make a repository of the files of a folder, unless it is there."""
        bare = self._root / f"{name}.git"
        if bare.exists():
            return
        bare.parent.mkdir(parents=True, exist_ok=True)
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(bare))
        self._git("-C", str(bare), "config", "http.receivepack", "true")
        at = ("--git-dir", str(bare), "--work-tree", str(files))
        self._git(*at, "add", "--all", "--force", "--", ".", ":!**/__pycache__/**")
        self._git(*at, "commit", "--quiet", "--message", "The café's shop")

    def branches(self, name: str) -> dict[str, str]:
        """Answer each branch and its commit."""
        told = self._git(
            "-C", str(self._root / f"{name}.git"), "for-each-ref", "--format=%(refname:short) %(objectname)",
            "refs/heads",
        )  # fmt: skip
        return dict(line.rsplit(" ", 1) for line in told.splitlines())

    def diff(self, name: str, base: str, head: str) -> str:
        """Answer what a branch changes."""
        known = self.branches(name)
        if base not in known or head not in known:
            return ""
        return self._git("-C", str(self._root / f"{name}.git"), "diff", f"{known[base]}...{known[head]}")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve git's smart protocol (ASGI)."""
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, told, content = await asyncio.to_thread(self._answer, scope, headers, body)
        lines = [(name.encode(), value.encode()) for name, value in told.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, scope: Any, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if not self._opens(headers.get("authorization", "")):
            return 401, {"www-authenticate": 'Basic realm="forge"'}, b""
        environment = {
            **_CLEAN,
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": scope["method"],
            "PATH_INFO": scope["path"],
            "QUERY_STRING": scope["query_string"].decode(),
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "REMOTE_USER": "demo",
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, env=environment, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        told = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        return int(told.pop("Status", "200").split()[0]), told, content

    def _opens(self, authorization: str) -> bool:
        scheme, _, word = authorization.partition(" ")
        try:
            password = base64.b64decode(word).decode().partition(":")[2]
        except ValueError:
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(password.encode(), self._token.encode())

    def _git(self, *words: str) -> str:
        return subprocess.run(["git", *words], check=True, capture_output=True, text=True, env=_CLEAN).stdout
