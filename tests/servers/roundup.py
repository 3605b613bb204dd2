"""A real Roundup issue tracker with its REST API; in its template `devel` tickets are called bugs."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.servers.node import ROOT
from tests.servers.serving import LOOPBACK, accepts, free_port, running

PROGRAMS: Final = ROOT / ".tools" / "roundup" / "bin"
NAME: Final = "support"
ADMIN_PASSWORD: Final = "admin-canary"


@dataclass(frozen=True)
class Tracker:
    """A running tracker, seen with its administrator's eyes. `url` ends with a slash."""

    url: str
    _admin: httpx2.Client = field(repr=False)

    @property
    def origin(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return self.url.removesuffix(f"/{NAME}/")

    def add_user(self, name: str, password: str, *, roles: str = "User,Developer") -> str:
        """Add a person; those with the role Developer may change any bug. Answers the id."""
        address = f"{name}@example.test"
        person = {"username": name, "password": password, "roles": roles, "address": address}
        return self._create("user", person)

    def change_password(self, number: str, password: str) -> None:
        """Give a person another password."""
        self._change("user", number, {"password": password})

    def change_roles(self, number: str, roles: str) -> None:
        """Give a person other roles."""
        self._change("user", number, {"roles": roles})

    def _change(self, kind: str, number: str, change: Mapping[str, str]) -> None:
        path = f"rest/data/{kind}/{number}"
        etag = self._admin.get(path).headers["etag"]
        self._admin.patch(path, json=dict(change), headers={"If-Match": etag}).raise_for_status()

    def create_bug(self, title: str, *texts: str, **properties: Any) -> str:
        """Report a bug with its messages, at least one of which this template requires. Answers the id."""
        messages = [
            self._create("msg", {"content": text, "author": "admin"}) for text in texts or ("It broke.",)
        ]
        return self._create("bug", {"title": title, "messages": messages, **properties})

    def rename_bug(self, number: str, title: str) -> None:
        """Change a bug as somebody else does."""
        self._change("bug", number, {"title": title})

    def bug(self, number: str) -> Mapping[str, Any]:
        """Answer a bug's properties, `creator` and `actor` (who changed it last) too; links as names."""
        attributes = self._read(f"bug/{number}")["attributes"]
        return {name: _name(value) for name, value in attributes.items()}

    def bugs(self) -> list[str]:
        """Answer the ids of all bugs."""
        return [str(entry["id"]) for entry in self._read("bug")["collection"]]

    def messages(self, number: str) -> list[tuple[str, str]]:
        """Answer a bug's messages, oldest first: who sent it to the tracker, and the text."""
        entries = self._read(f"bug/{number}")["attributes"]["messages"]
        found = []
        for entry in sorted(entries, key=lambda entry: int(entry["id"])):
            message = self._read(f"msg/{entry['id']}")["attributes"]
            text = message["content"]
            if isinstance(text, dict):
                text = self._admin.get(text["link"]).raise_for_status().text
            found.append((_name(message["creator"]), text))
        return found

    def _read(self, path: str) -> Any:
        answer = self._admin.get(f"rest/data/{path}", params={"@verbose": "2", "@protected": "true"})
        return answer.raise_for_status().json()["data"]

    def _create(self, kind: str, properties: Mapping[str, Any]) -> str:
        answer = self._admin.post(f"rest/data/{kind}", json=dict(properties))
        if answer.is_error:
            raise RuntimeError(f"the tracker refused {kind} {properties}: {answer.text}")
        return str(answer.json()["data"]["id"])


@contextlib.contextmanager
def tracker(home: Path, *, api_calls_per_hour: int = 0) -> Iterator[Tracker]:
    """Make a tracker in `home`, which must not exist yet, and run it until the block ends.

    `api_calls_per_hour` is the limit of each user's calls, the administrator's too; beyond it the answer is
    429 with Retry-After. 0 is no limit.
    """
    server = PROGRAMS / "roundup-server"
    if not server.exists():
        raise RuntimeError(f"{server.relative_to(ROOT)} is not installed; run scripts/test --all")
    port = free_port()
    url = f"http://{LOOPBACK}:{port}/{NAME}/"
    settings = {
        "tracker_web": url,
        "mail_domain": "example.test",
        "mail_host": LOOPBACK,
        "admin_email": "admin@example.test",
        "web_api_calls_per_interval": api_calls_per_hour,
        "password_pbkdf2_default_rounds": 10_000,  # every call checks the password again: keep that quick
    }
    joined = ",".join(f"{name}={value}" for name, value in settings.items())
    _administer(home, "install", "devel", "sqlite", joined)
    _administer(home, "initialise", ADMIN_PASSWORD)
    # The server will not be root by accident, only by name; the checkout may be where nobody else can read.
    user = ["-u", "root"] if os.getuid() == 0 else []
    command = [server, "-p", str(port), "-n", LOOPBACK, *user, f"{NAME}={home}"]
    environment = {**os.environ, "SENDMAILDEBUG": str(home / "mail")}
    headers = {"X-Requested-With": "tests", "Origin": f"http://{LOOPBACK}:{port}", "Referer": url}
    with (
        running(command, log=home / "server.log", env=environment, ready=lambda: accepts(port)),
        httpx2.Client(base_url=url, auth=("admin", ADMIN_PASSWORD), headers=headers) as admin,
    ):
        yield Tracker(url, admin)


def _administer(home: Path, *words: str) -> None:
    command = [str(PROGRAMS / "roundup-admin"), "-i", str(home), *words]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode or "Error" in done.stdout:
        raise RuntimeError(f"roundup-admin {words[0]} failed:\n{done.stdout}\n{done.stderr}")


def _name(value: Any) -> Any:
    if isinstance(value, list):
        return [_name(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return value.get("username") or value.get("name") or value.get("title") or value.get("id")
