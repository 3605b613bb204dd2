"""The real Codex CLI, run without a person and with a scripted model."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shlex
import shutil
import subprocess
import tomllib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests import canary
from tests.servers import node
from tests.servers.scripted_model import (
    Item,
    ModelRequest,
    ScriptedModel,
    Step,
    execute,
    function_call,
    tool_search,
)
from tests.servers.serving import serving, stop

Arguments = Mapping[str, Any]


class ToolMode(StrEnum):
    """How Codex offers MCP tools, which depends on the model's name alone."""

    DIRECT = "direct"
    """All tools in the first request, called as functions: models that Codex does not know."""
    SEARCH = "search"
    """Tools are found with `tool_search` first: gpt-5.5."""
    CODE = "code"
    """The model writes JavaScript that calls tools: gpt-5.6 and later."""

    @property
    def model(self) -> str:
        """A model of that mode."""
        return {"direct": "scripted-model", "search": "gpt-5.5", "code": "gpt-6.1-sol"}[self.value]


def call_tool(
    mode: ToolMode, server: str, tool: str, arguments: Arguments | Callable[[ModelRequest], Arguments]
) -> list[Step]:
    """The steps with which a model of that mode calls one tool of the MCP server that config.toml names so.

    `arguments` may be a function of what the model has seen until then.
    """
    namespace = f"mcp__{server.replace('-', '_')}"

    def call(seen: ModelRequest) -> Sequence[Item]:
        given = arguments(seen) if callable(arguments) else arguments
        if mode is ToolMode.CODE:
            return [execute(f"text(await tools.{namespace}__{tool}({json.dumps(given)}));")]
        return [function_call(tool, given, namespace=namespace)]

    if mode is ToolMode.SEARCH:
        return [[tool_search(tool.replace("_", " "))], call]
    return [call]


@dataclass(frozen=True)
class CodexRun:
    """What one `codex exec` did."""

    exit_code: int
    events: tuple[Mapping[str, Any], ...]
    stderr: str
    turns: tuple[ModelRequest, ...] = field(repr=False)
    """What the model was asked, turn by turn."""

    @property
    def tool_calls(self) -> tuple[Mapping[str, Any], ...]:
        """The MCP calls as `--json` reports them: server, tool, arguments, result, error, status."""
        items = (event["item"] for event in self.events if event["type"] == "item.completed")
        return tuple(item for item in items if item["type"] == "mcp_tool_call")

    @property
    def said(self) -> str:
        """The model's last message, as Codex gives it to its user."""
        items = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return next(str(item["text"]) for item in reversed(items) if item["type"] == "agent_message")

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the model saw of each tool call, as text."""
        return self.turns[-1].outputs

    @property
    def answers(self) -> tuple[Any, ...]:
        """The JSON that the model saw of each tool call."""
        return self.turns[-1].answers


@dataclass(frozen=True)
class Codex:
    """One Codex binary with a private home, which must not be below the system's temporary directory."""

    command: tuple[str, ...]
    home: Path

    def exec(
        self,
        *steps: Step,
        mode: ToolMode,
        servers: Mapping[str, Mapping[str, Any]],
        prompt: str = "Do what the script says.",
        cwd: Path,
        env: Mapping[str, str] | None = None,
        config: Mapping[str, object] | None = None,
        files: Mapping[str, str] | None = None,
        seconds: float = 60,
    ) -> CodexRun:
        """Run `codex exec --json` with the script's steps and these MCP servers.

        `servers` are the `[mcp_servers.NAME]` tables of config.toml, `config` is what else stands there, and
        `files` are in its home besides; `env` is added to a clean environment.
        Raises `TimeoutError` after `seconds`, and ends Codex and the servers it started.
        """
        model = ScriptedModel(steps)
        with serving(model) as url:
            home = self._new_home(url, mode.model, servers, config or {})
            for name, text in (files or {}).items():
                (home / name).write_text(text)
            process = subprocess.Popen(
                [*self.command, "exec", "--json", "--skip-git-repo-check", prompt],
                cwd=cwd,
                env={**clean_environment(home), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            try:
                output, stderr = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired as error:
                raise TimeoutError(f"codex exec took more than {seconds:g} s") from error
            finally:
                stop(process)
        events = tuple(json.loads(line) for line in output.splitlines() if line.startswith("{"))
        return CodexRun(process.returncode, events, stderr, model.turns)

    def add_server(self, line: str) -> dict[str, dict[str, Any]]:
        """Run a `codex mcp add …` line as a person would; answers the `[mcp_servers.…]` tables it wrote."""
        words = shlex.split(line)
        assert words[:3] == ["codex", "mcp", "add"], line
        canary.gone(self.home, canary.WORDS)
        shutil.rmtree(self.home, ignore_errors=True)
        (self.home / "tmp").mkdir(parents=True)
        environment = clean_environment(self.home)
        subprocess.run([*self.command, *words[1:]], env=environment, check=True, capture_output=True)
        tables: dict[str, dict[str, Any]] = tomllib.loads((self.home / "config.toml").read_text())[
            "mcp_servers"
        ]
        return tables

    def _new_home(
        self, url: str, model: str, servers: Mapping[str, Mapping[str, Any]], more: Mapping[str, object]
    ) -> Path:
        canary.gone(self.home, canary.WORDS)
        shutil.rmtree(self.home, ignore_errors=True)
        (self.home / "tmp").mkdir(parents=True)
        provider = {
            "name": "scripted",
            "base_url": f"{url}/v1",
            "wire_api": "responses",
            "env_key": "SCRIPTED_MODEL_KEY",
            "request_max_retries": 1,
            "stream_max_retries": 0,
            "supports_websockets": False,
        }
        config = {
            "model": model,
            "model_provider": "scripted",
            "check_for_update_on_startup": False,
            "analytics": {"enabled": False},
            "model_providers": {"scripted": provider},
            "mcp_servers": servers,
            **more,
        }
        text = "".join(f"{key} = {_toml(value)}\n" for key, value in config.items())
        (self.home / "config.toml").write_text(text)
        return self.home


@contextlib.contextmanager
def codex_with(command: tuple[str, ...]) -> Iterator[Codex]:
    """A Codex whose home is made below the checkout, and removed at the end."""
    home = node.ROOT / ".work" / f"codex-{uuid.uuid4().hex[:12]}"
    try:
        yield Codex(command, home)
        canary.gone(home, canary.WORDS)  # our tokens are its own to keep
    finally:
        shutil.rmtree(home, ignore_errors=True)


def npm_command() -> tuple[str, ...]:
    """The Codex CLI of the npm package."""
    return (str(node.NODE), str(node.installed("@openai/codex/bin/codex.js")))


def python_command() -> tuple[str, ...]:
    """The Codex CLI of the Python extra `linkspan[codex]`."""
    try:
        package = importlib.import_module("codex_cli_bin")
    except ImportError as error:
        raise RuntimeError("linkspan[codex] is not installed; run scripts/test --all") from error
    return (str(package.bundled_codex_path()),)


def clean_environment(home: Path) -> dict[str, str]:
    """What Codex is started with: none of ours but what a program needs."""
    keep = {name: os.environ[name] for name in ("PATH", "LANG", "TERM") if name in os.environ}
    return {
        **keep,
        "HOME": str(home),
        "CODEX_HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "SCRIPTED_MODEL_KEY": "no-secret",
    }


def _toml(value: object) -> str:
    """Write a value as TOML; JSON's strings, numbers, booleans and arrays of them are TOML's too."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(member)}" for key, member in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value if isinstance(value, (str, bool, int, float)) else str(value))
