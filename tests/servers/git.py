"""A real git server: `git http-backend` behind HTTPS, with people who may read and people who may write.

It counts what was pushed, and fails on demand. Repositories are bare ones in a directory; `commit` makes a
commit in one without a working tree.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from tests.servers.authority import Authority
from tests.servers.lfs import Lfs
from tests.servers.serving import LOOPBACK, wait_until

_CLEAN = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "PATH": os.environ["PATH"],
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.test",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.test",
}
File = bytes | str | tuple[str, bytes]
"""Content, or a mode and content: `("120000", b"target")` is a link, `("160000", b"ID")` a submodule."""


def git(directory: Path, *words: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
    """Run git as somebody else would, and answer what it printed."""
    done = subprocess.run(
        ["git", *words],
        cwd=directory,
        input=stdin,
        capture_output=True,
        env={**_CLEAN, **(env or {})},
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"git {' '.join(words)} failed:\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="surrogateescape").strip()


@dataclass
class GitServer:
    """Where it is, whom it knows, and what happened to it."""

    root: Path
    url: str = ""
    people: dict[str, str] = field(default_factory=lambda: {"x-access-token": "canary-forge-token"})
    """Name to password: they may read and write."""
    readers: dict[str, str] = field(default_factory=dict)
    """They may only read."""
    fault: int | None = None
    """Answer this status instead of doing anything."""
    fault_after: int = 0
    """How many requests are served before `fault` holds."""
    redirect: str | None = None
    """Send every request to this URL instead."""
    pushed: Callable[[str], object] = lambda _name: None
    """Told the repository of each push that was done, before it is answered."""
    lose_answer: bool = False
    """Do the next push, and cut its answer off."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and the user of each request that was let in or not."""
    pushes: list[str] = field(default_factory=list)
    """The repository of each push that was sent."""
    lfs: Lfs | None = None
    """What keeps its large files, if anything."""

    def repository(self, name: str, files: Mapping[str, File] | None = None, branch: str = "main") -> Path:
        """Make a repository, with a first commit when there are files."""
        path = self.root / f"{name}.git"
        path.mkdir(parents=True)
        git(path, "init", "--quiet", "--bare", f"--initial-branch={branch}")
        git(path, "config", "http.receivepack", "true")
        git(path, "config", "uploadpack.allowFilter", "true")
        if files is not None:
            self.commit(name, files, branch=branch)
        return path

    def commit(
        self,
        name: str,
        files: Mapping[str, File],
        *,
        branch: str = "main",
        message: str = "A commit",
        parent: str | None = None,
    ) -> str:
        """Add a commit with exactly these files to a branch; answer its id."""
        path = self.root / f"{name}.git"
        listed = []
        for file, content in files.items():
            mode, data = content if isinstance(content, tuple) else ("100644", content)
            data = data.encode() if isinstance(data, str) else data
            if mode == "160000":
                listed.append(f"{mode} commit {data.decode()}\t{file}")
                continue
            blob = git(path, "hash-object", "-w", "--stdin", stdin=data)
            listed.append(f"{mode} {blob}\t{file}")
        index = {"GIT_INDEX_FILE": str(path / "index.tests")}
        (path / "index.tests").unlink(missing_ok=True)
        lines = "".join(f"{line.replace(' commit ', ' ')}\0" for line in listed)
        git(path, "update-index", "--add", "-z", "--index-info", stdin=lines.encode(), env=index)
        tree = git(path, "write-tree", "--missing-ok", env=index)
        return self.commit_tree(name, tree, branch=branch, message=message, parent=parent)

    def commit_tree(
        self, name: str, tree: str, *, branch: str = "main", message: str = "x", parent: str | None = None
    ) -> str:
        """Add a commit of a tree that is there; answer its id."""
        path = self.root / f"{name}.git"
        known = self.branches(name)
        above = parent or known.get(branch)
        words = ["-p", above] if above else []
        commit = git(path, "commit-tree", tree, *words, "-m", message)
        git(path, "update-ref", f"refs/heads/{branch}", commit)
        return commit

    def branches(self, name: str) -> dict[str, str]:
        """Answer the branches and their commits."""
        told = git(self.root / f"{name}.git", "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)")
        return dict(line.rsplit(" ", 1) for line in told.splitlines())

    def show(self, name: str, what: str) -> str:
        """Answer what `git show` prints."""
        return git(self.root / f"{name}.git", "show", what)

    def refuse_pushes(self, name: str, words: str) -> None:
        """Let a hook of the server refuse every push, as a protected branch does."""
        hook = self.root / f"{name}.git" / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
        hook.chmod(0o755)

    def clone_url(self, name: str) -> str:
        """Answer the URL to clone from."""
        return f"{self.url}/{name}.git"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request (ASGI)."""
        assert scope["type"] == "http"
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        status, answer, content = await asyncio.to_thread(self._answer, scope, headers, body)
        lines = [(name.encode(), value.encode()) for name, value in answer.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": content})

    def _answer(self, scope: Any, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        path, query = scope["path"], scope["query_string"].decode()
        user = self._user(headers)
        self.requests.append((scope["method"], path, user))
        if self.fault is not None and len(self.requests) > self.fault_after:
            return self.fault, {"content-type": "text/plain"}, b"out of order\n"
        if self.redirect is not None:
            return 302, {"location": self.redirect + path + ("?" + query if query else "")}, b""
        large = self.lfs.answer(path, headers, body, user) if self.lfs is not None else None
        if large is not None:
            return large
        if user is None:
            return 401, {"www-authenticate": 'Basic realm="forge"'}, b""
        is_write = "git-receive-pack" in (path.rpartition("/")[2], query.partition("=")[2])
        if is_write and user in self.readers:
            return 403, {"content-type": "text/plain"}, b"You may only read.\n"
        if not (self.root / path.strip("/").partition(".git")[0]).with_suffix(".git").exists():
            return 404, {"content-type": "text/plain"}, b"Repository not found.\n"
        if is_write and scope["method"] == "POST":
            self.pushes.append(path.strip("/").partition(".git")[0])
        environment = {
            **_CLEAN,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": scope["method"],
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "GIT_PROTOCOL": headers.get("git-protocol", ""),
            "REMOTE_USER": user,
            "REMOTE_ADDR": LOOPBACK,
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, capture_output=True, env=environment, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        answer = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(answer.pop("Status", "200").split()[0])
        if is_write and scope["method"] == "POST":
            self.pushed(self.pushes[-1])
        if is_write and scope["method"] == "POST" and self.lose_answer:
            self.lose_answer = False
            return 502, {"content-type": "text/plain"}, b"bad gateway\n"
        return status, answer, content

    def _user(self, headers: Mapping[str, str]) -> str | None:
        scheme, _, word = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        name, _, password = base64.b64decode(word).decode().partition(":")
        return name if {**self.people, **self.readers}.get(name) == password else None


@contextlib.contextmanager
def git_server(root: Path, authority: Authority | None) -> Iterator[GitServer]:
    """Serve the repositories below a directory until the block ends; by plain HTTP without an authority."""
    server = GitServer(root)
    files = authority.issue(LOOPBACK) if authority else ()
    config = uvicorn.Config(
        server,
        host=LOOPBACK,
        port=0,
        log_level="error",
        lifespan="off",
        ws="none",
        ssl_certfile=str(files[0]) if files else None,
        ssl_keyfile=str(files[1]) if files else None,
        timeout_graceful_shutdown=1,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    wait_until(lambda: running.started, what="the git server", seconds=10)
    for file in files[1:]:
        file.unlink()
    server.url = f"http{'s' if files else ''}://{LOOPBACK}:{running.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        running.should_exit = True
        thread.join(timeout=10)
