"""Where one Codex lives: a home of its own, a clean environment, and what its commands may see of the disk.

The sandbox is an allow-list. Commands see the system's programs and libraries, Codex's own program, folders
that the operator named, the checkout and a temporary folder of the run; of everything else, other runs, other
tenants, our key and this very home, not even the names. What a repository says about Codex (`.codex`, hooks,
MCP servers, AGENTS.md) is not read: the checkout is written down as untrusted before the thread starts, since
Codex would otherwise trust it by itself and run the repository's commands as us, outside of any sandbox.

Neither the token for the model nor the one for the tools is on the disk: they are given with the thread.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from linkspan.codex.app_server.binary import Binary
from linkspan.codex.app_server.process import STAY
from linkspan.codex.engine import Access, Task
from linkspan.errors import ConfigurationError
from linkspan.net.egress_proxy import Permit
from linkspan.settings import CodexSettings

PROVIDER: Final = "linkspan"
"""Our model proxy, and our MCP endpoint, as config.toml names them."""
_PROFILE: Final = "run"
_PATH: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_MINIMAL: Final = tuple(map(Path, ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/usr")))
"""What Codex's `:minimal` shows."""
_SECRET: Final = (
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/ssh",
    "/etc/ssl/private",
)
_OFF: Final = ("apps", "goals", "hooks", "memories", "plugins", "skill_search")
"""Features that a run has no use for, by the names of `codex features list`; unknown ones are ignored."""


@dataclass(frozen=True, slots=True)
class Home:
    """Everything about one Codex but the process."""

    path: Path
    workspace: Path
    command: tuple[str, ...]
    env: Mapping[str, str]

    def rollout(self, thread: str) -> Path | None:
        """Answer where Codex keeps its record of a thread, if it does."""
        return next(iter((self.path / "sessions").rglob(f"rollout-*{thread}.jsonl")), None)


def make_home(
    task: Task, binary: Binary, settings: CodexSettings, stay: str, permit: Permit | None = None
) -> Home:
    """Make the home of a run, or put the one that is there in order again.

    `stay` marks what is started in it from now on, commands included, so that who ends them ends no others.
    `permit` is what the run's commands may reach the network with; without it there is none.

    Raises `ConfigurationError` when it would be readable from inside the sandbox.
    """
    home, temporary = task.folder / "home", task.folder / "tmp"
    workspace = task.workspace or task.folder / "empty"
    _check(task.folder, (*_MINIMAL, *settings.readable))
    shutil.rmtree(temporary, ignore_errors=True)
    task.folder.mkdir(parents=True, exist_ok=True)
    task.folder.chmod(0o700)
    for folder in (home, home / "tmp", temporary, workspace):
        folder.mkdir(mode=0o700, exist_ok=True)
    path = os.pathsep.join((*(str(each / "bin") for each in settings.readable), *_PATH))
    shell = {"PATH": path, "HOME": str(temporary), "TMPDIR": str(temporary), "LANG": "C.UTF-8", STAY: stay}
    config = _config(task, binary, settings, home, workspace, shell)
    (home / "config.toml").write_text("".join(_tables(config)))
    env = {**shell, "HOME": str(home), "CODEX_HOME": str(home)}
    if permit is not None:
        env |= _proxied(task, permit)
    made = Home(home, workspace, _command(task, binary, settings), env)
    if task.thread is not None and task.thread.rollout and made.rollout(task.thread.id) is None:
        _restore(home, task.thread.id, task.thread.rollout)
    if settings.run_as is not None:
        _hand_over(task, settings.run_as)
    return made


def thread_config(task: Task) -> dict[str, Any]:
    """Answer what holds a token: it is given with the thread, and so is never written to a file."""
    config: dict[str, Any] = {"model_providers": {PROVIDER: _provider(task.model)}}
    if task.effort is not None:
        config["model_reasoning_effort"] = task.effort
    if task.tools is not None:
        config["mcp_servers"] = {
            PROVIDER: {
                "url": task.tools.url,
                "http_headers": {"Authorization": f"Bearer {task.tools.token.reveal()}"},
                "required": True,
                "startup_timeout_sec": 20,
                "tool_timeout_sec": 120,
                # Which tools there are was decided by the recipe, and the token is good for no others.
                "default_tools_approval_mode": "approve",
            }
        }
    return config


def _provider(model: Access) -> dict[str, Any]:
    return {**_unauthorized(model), "experimental_bearer_token": model.token.reveal()}


def _unauthorized(model: Access) -> dict[str, Any]:
    return {
        "name": PROVIDER,
        "base_url": model.url,
        "wire_api": "responses",
        "supports_websockets": False,
        "request_max_retries": 3,
        "stream_max_retries": 4,
    }


def _config(
    task: Task, binary: Binary, settings: CodexSettings, home: Path, workspace: Path, shell: Mapping[str, str]
) -> dict[str, Any]:
    files: dict[str, Any] = {":minimal": "read"}
    # Later lines of ours do not narrow earlier ones: a readable folder inside a denied one stays hidden.
    files |= {str(folder): "read" for folder in (*binary.folders, *settings.readable, home / "tmp")}
    files |= {path: "deny" for path in _SECRET if Path(path).exists()}
    files[":tmpdir"] = "write"
    files[":workspace_roots"] = {".": "write", ".git": "read"}
    permissions: dict[str, Any] = {"filesystem": files}
    features = dict.fromkeys(_OFF, False)
    if task.network:
        permissions["network"] = _network(task.network)
        features["network_proxy"] = True
    return {
        "model_provider": PROVIDER,
        "approval_policy": "on-request" if task.approve_commands else "never",
        "approvals_reviewer": "user",
        "default_permissions": _PROFILE,
        "cli_auth_credentials_store": "ephemeral",
        "web_search": "disabled",
        "check_for_update_on_startup": False,
        "project_doc_max_bytes": 0,
        "analytics": {"enabled": False},
        "feedback": {"enabled": False},
        "history": {"persistence": "none"},
        "agents": {"enabled": False},
        # A repository's skills are read however untrusted it is, and listed with a developer's authority.
        "skills": {"include_instructions": False, "bundled": {"enabled": False}},
        "features": features,
        "shell_environment_policy": {"inherit": "none", "set": dict(shell)},
        "permissions": {_PROFILE: permissions},
        "projects": {str(workspace): {"trust_level": "untrusted"}},
        "model_providers": {PROVIDER: _unauthorized(task.model)},
    }


def _proxied(task: Task, permit: Permit) -> dict[str, str]:
    """Codex's own requests are to us, and go straight; what its commands ask for goes through our proxy."""
    ours = [urlsplit(access.url).hostname or "" for access in (task.model, task.tools) if access is not None]
    direct = ",".join(dict.fromkeys(("127.0.0.1", "localhost", *ours)))
    env = {"HTTPS_PROXY": permit.url, "HTTP_PROXY": permit.url, "NO_PROXY": direct}
    return env | {name.lower(): value for name, value in env.items()}


def _network(hosts: tuple[str, ...]) -> dict[str, Any]:
    """Commands stay without a network of their own; Codex lets these names out, through our egress proxy.

    It looks names up itself and would refuse private addresses; what may be dialled is decided by the proxy.
    Its SOCKS door would dial by itself.
    """
    return {
        "enabled": True,
        "enable_socks5": False,
        "allow_upstream_proxy": True,
        "allow_local_binding": True,
        "domains": {host.partition(":")[0]: "allow" for host in hosts},
    }


def _check(folder: Path, readable: tuple[Path, ...]) -> None:
    real = folder.resolve()
    for each in readable:
        if real.is_relative_to(each.resolve()):
            raise ConfigurationError(
                f"runs cannot be kept in {folder}: commands that Codex runs can read everything in {each}",
                hint="Set LINKSPAN_HOME to a folder elsewhere, or take it out of LINKSPAN_CODEX_READABLE.",
            )


def _command(task: Task, binary: Binary, settings: CodexSettings) -> tuple[str, ...]:
    words = {"tenant": task.tenant, "run": task.run, "folder": str(task.folder)}
    wrap = tuple(word.format(**words) for word in settings.wrap)
    user: tuple[str, ...] = ()
    if settings.run_as is not None:
        name = settings.run_as.format(**words)
        user = ("setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups", "--no-new-privs")
    return (*wrap, *user, *binary.command, "app-server")


def _hand_over(task: Task, run_as: str) -> None:
    """Give what is in the run's folder to the tenant's own system user, who alone then reads it."""
    name = run_as.format(tenant=task.tenant, run=task.run, folder=task.folder)
    try:
        for path in (task.folder, *task.folder.rglob("*")):
            if not path.is_symlink():
                shutil.chown(path, name, name)
    except (LookupError, PermissionError) as error:
        raise ConfigurationError(
            f"a run cannot be given to the system user {name}: {error}",
            hint="Make a user and group of that name for each tenant, or unset LINKSPAN_CODEX_RUN_AS.",
        ) from error


def _restore(home: Path, thread: str, rollout: bytes) -> None:
    """Put the record of a thread where Codex looks for it; the day in its path has no meaning."""
    folder = home / "sessions" / "2026" / "01" / "01"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / f"rollout-2026-01-01T00-00-00-{thread}.jsonl").write_bytes(rollout)


def _tables(config: Mapping[str, Any], *above: str) -> list[str]:
    """Write config.toml: a table's plain values first, then the tables in it."""
    plain = [
        f"{_key(name)} = {_value(value)}\n" for name, value in config.items() if not isinstance(value, dict)
    ]
    lines = [f"\n[{'.'.join(map(_key, above))}]\n", *plain] if above and plain else plain
    for name, value in config.items():
        if isinstance(value, dict):
            lines += _tables(value, *above, name)
    return lines


def _key(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)


def _value(value: object) -> str:
    """JSON's strings, numbers, booleans and lists of them are TOML's too."""
    return json.dumps(value, ensure_ascii=False)
