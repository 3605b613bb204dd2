"""Linkspan as an operator uses it: its command, from outside, with a home of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from linkspan import spec
from linkspan.client import Linkspan as Client
from tests.canary import nothing_in
from tests.servers.serving import LOOPBACK, free_port, running

PROGRAM: Final = Path(sys.executable).with_name("linkspan")
SECRET: Final = "SECRET_FOR_TESTS"


@dataclass(frozen=True)
class Linkspan:
    """One home and its tools.yaml; loopback may be reached, everything else is as installed."""

    home: Path
    config: Path | None
    """None: it is named nowhere."""
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What every command of it is started with."""
        own = {"LINKSPAN_HOME": str(self.home), "LINKSPAN_ALLOW_EGRESS": f"{LOOPBACK}/32"}
        if self.config is not None:
            own["LINKSPAN_CONFIG"] = str(self.config)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LINKSPAN_")}
        return {**kept, **own, **self.extra}

    def run(
        self,
        *words: str,
        exit_code: int | None = 0,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Run one command and answer what it printed.

        Any other exit code is an `AssertionError`; None takes every one.
        """
        done = subprocess.run(
            [str(PROGRAM), *words],
            env={**self.environment, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = f"{done.stdout}{done.stderr}"
        nothing_in(said, f"what linkspan {' '.join(words)} printed")
        if exit_code is not None:
            assert done.returncode == exit_code, f"linkspan {' '.join(words)}: {done.returncode}\n{said}"
        return done.stdout or done.stderr

    def add_tenant(self, tenant: str) -> None:
        """Add a tenant."""
        self.run("tenant", "add", tenant)

    def link(self, tenant: str, connector: str, *, username: str, password: str, **settings: str) -> str:
        """Link an account by user name and password; answers its id."""
        pairs = [word for name, value in settings.items() for word in ("--setting", f"{name}={value}")]
        words = ["account", "link", connector, "--tenant", tenant, "--username", username, *pairs]
        printed = self.run(*words, "--secret-env", SECRET, "--json", env={SECRET: password})
        return str(json.loads(printed)["id"])

    def create_token(self, tenant: str, *words: str) -> tuple[str, str]:
        """Create a token; answers its id and its text."""
        made = json.loads(self.run("token", "create", "--tenant", tenant, *words, "--json"))
        return made["id"], made["token"]

    def codex_config(self, *words: str) -> dict[str, dict[str, Any]]:
        """The `[mcp_servers.…]` tables that `linkspan codex-config` tells a person to paste."""
        printed = self.run("codex-config", *words)
        lines = printed.splitlines()
        first = next(index for index, line in enumerate(lines) if line.startswith("[mcp_servers."))
        last = next(index for index in range(first, len(lines)) if not lines[index])
        tables: dict[str, dict[str, Any]] = tomllib.loads("\n".join(lines[first:last]))["mcp_servers"]
        return tables

    def call(self, operation: str, tenant: str, *, exit_code: int = 0, **arguments: str) -> Any:
        """Run `linkspan call`; answers the JSON it prints, which for a failure is the error."""
        pairs = [word for name, value in arguments.items() for word in ("--arg", f"{name}={value}")]
        words = ["call", operation, "--tenant", tenant, *pairs, "--json"]
        return json.loads(self.run(*words, exit_code=exit_code))

    def tools(self, connector: str) -> set[str]:
        """The names of the tools that ask that connector."""
        assert self.config is not None
        return {tool.name for tool in spec.load(self.config, {}).tools if connector in tool.operations}

    @contextlib.contextmanager
    def serve(self, *, log: Path, port: int | None = None) -> Iterator[str]:
        """Run `linkspan serve` until the block ends; yields its base URL."""
        port = port or free_port()
        url = f"http://{LOOPBACK}:{port}"

        def ready() -> bool:
            with contextlib.suppress(httpx2.TransportError):
                return httpx2.get(f"{url}/readyz").is_success
            return False

        command = [PROGRAM, "serve", "--port", str(port)]
        with running(command, log=log, env=self.environment, ready=ready):
            yield url


@dataclass(frozen=True)
class Endpoint:
    """The MCP endpoint of a tenant, asked as a client of 2025-06-18 asks it."""

    url: str
    token: str = field(repr=False)
    done: set[str] = field(default_factory=set, repr=False, compare=False)
    """The tools that were called here and answered without an error; a test may empty it."""

    def post(self, method: str, **params: Any) -> httpx2.Response:
        """Send one request and answer whatever comes."""
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-06-18",
            "Authorization": f"Bearer {self.token}",
        }
        answer = httpx2.post(self.url, json=message, headers=headers, timeout=30)
        nothing_in(answer.content, f"the answer to {method}")
        return answer

    def api(self) -> Client:
        """The REST API beside it, for the same token."""
        return Client(self.url.partition("/t/")[0], self.token)

    def call(self, tool: str, **arguments: Any) -> Any:
        """Call a tool and answer its structured content, be it a result or an error."""
        answer = self.post("tools/call", name=tool, arguments=arguments)
        assert answer.status_code == 200, answer.text
        told = answer.json()["result"]["structuredContent"]
        if "error" not in told:
            self.done.add(tool)
        return told
