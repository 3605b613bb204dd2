"""What the demo's button needs: Codex, a forge on this machine, and a model or a script in its place."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App
from linkspan.codex.app_server.binary import find_binary
from linkspan.errors import ConfigurationError
from linkspan.settings import Settings

TENANT: Final = "acme"
RECIPE: Final = "fix_ticket"
REPOSITORY: Final = "acme/harbour"
DESK_SUBJECT: Final = "desk-demo"
_KEY: Final = "OPENAI_API_KEY"
_NEW_USER_NAMESPACE: Final = 0x10000000
_SCRIPT: Final = (
    "A script stands in for the model: it fixes HC-103 and no other ticket. Start the demo with"
    " OPENAI_API_KEY set, and a real model works."
)
_MODEL: Final = "OpenAI's model works, with the key in OPENAI_API_KEY, and costs what it costs."


@dataclass(frozen=True, slots=True)
class Workshop:
    """The forge as it runs, and what Linkspan is told of it."""

    process: asyncio.subprocess.Process
    url: str
    git_url: str
    token: str = field(repr=False)
    certificate: Path
    places: Path
    """What is laid over tools.yaml: where the forge, and the script, are."""
    key: str | None = field(repr=False)
    """The operator's own key of OpenAI."""

    @property
    def note(self) -> str:
        """What pages say of the model."""
        return _SCRIPT if self.key is None else _MODEL

    @property
    def hosts(self) -> tuple[str, str]:
        """What our client and git must be let reach."""
        return self.url.partition("//")[2], self.git_url.partition("//")[2]


def missing(settings: Settings) -> str | None:
    """Answer in a sentence why Codex cannot work here; None when it can."""
    try:
        find_binary(settings.codex.binary)
    except ConfigurationError as error:
        return f"{error.message}. {error.hint}"
    if shutil.which("git") is None:
        return "git is not installed."
    if sys.platform == "linux" and not _has_user_namespaces():
        return "This machine lets nobody make user namespaces, which Codex's sandbox is made of."
    if settings.home.resolve().is_relative_to("/tmp"):  # noqa: S108 - recognised, not used
        return "Codex does not work below /tmp: start the demo from another folder."
    return None


def environment(**more: str) -> dict[str, str]:
    """Answer what a sample program is started with: our environment, without the operator's key of OpenAI."""
    return {**{name: value for name, value in os.environ.items() if name != _KEY}, **more}


async def start_forge(example: Path, files: Path, data: Path, free_port: Callable[[int], int]) -> Workshop:
    """Start the forge with the sample shop. Raises `ConfigurationError`."""
    port, token = free_port(8660), secrets.token_urlsafe(24)
    git_port = free_port(port + 1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(example), "--port", str(port), "--git-port", str(git_port),
        "--data", str(data), "--repository", REPOSITORY, "--files", str(files),
        env=environment(FORGE_TOKEN=token),
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    for wanted in (port, git_port):
        await _until_open(process, wanted)
    url, git_url = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{git_port}"
    key = os.environ.get(_KEY) or None
    connectors: dict[str, Any] = {"github": {"base_url": url, "git": {"base_url": git_url}}}
    if key is None:
        connectors["openai"] = {"base_url": f"{url}/v1"}
    places = data / "places.yaml"
    places.write_text(json.dumps({"connectors": connectors}))  # JSON is YAML
    return Workshop(process, url, git_url, token, data / "forge.pem", places, key)


async def furnish(app: App, workshop: Workshop) -> str:
    """Link forge and model for the first customer, turn the recipe on, and answer a token for the desk."""
    tenant = Tenant(TENANT)
    given = {"github": workshop.token, "openai": workshop.key or "a-script-needs-no-key"}
    for name, secret in given.items():
        for account in await app.accounts.list(tenant, name):
            await app.accounts.unlink(tenant, account.id)
        await app.accounts.link(tenant, app.catalog.connectors[name], secrets={"token": secret})
    operator = Principal(tenant, "person", "demo")
    await app.recipes.enable(operator, RECIPE, {"repository": REPOSITORY})
    for token in await app.tokens.list(tenant):
        if token.subject == DESK_SUBJECT and token.revoked is None:
            await app.tokens.revoke(tenant, token.id)
    made = await app.tokens.create(tenant, subject=DESK_SUBJECT, scopes=["read", "write", "run.approve"])
    return made.text.reveal()


@dataclass(frozen=True, slots=True)
class Embedded:
    """The product with Linkspan's elements in its pages, as it runs."""

    process: asyncio.subprocess.Process
    url: str


async def start_embedded(example: Path, port: int, linkspan: str, token: str) -> Embedded:
    """Start the product whose pages have our elements in them. Raises `ConfigurationError`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(example), "--port", str(port), "--linkspan", linkspan,
        env=environment(LINKSPAN_TOKEN=token),
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    await _until_open(process, port)
    return Embedded(process, f"http://localhost:{port}")


async def _until_open(process: asyncio.subprocess.Process, port: int) -> None:
    for _ in range(200):
        if process.returncode is not None:
            raise ConfigurationError(f"a sample program stopped with exit code {process.returncode}")
        try:
            _reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise ConfigurationError(f"the sample forge does not answer at port {port}")


def _has_user_namespaces() -> bool:
    """Try to make one, in a process that ends right away."""
    child = os.fork()
    if child == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(_NEW_USER_NAMESPACE) == 0 else 1)
    return os.waitpid(child, 0)[1] == 0
