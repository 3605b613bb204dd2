"""What the demo's button needs: Codex, a forge on this machine, and a model or a script in its place."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App
from linkspan.codex.app_server.binary import find_binary
from linkspan.errors import ConfigurationError
from linkspan.net.urls import origin_of
from linkspan.settings import Settings

TENANT: Final = "acme"
RECIPE: Final = "fix_ticket"
TALK: Final = "talk"
REPOSITORY: Final = "acme/harbour"
DESK_SUBJECT: Final = "desk-demo"
_KEY: Final = "OPENAI_API_KEY"
_MODEL_URL: Final = "OPENAI_BASE_URL"
_ANSWERS: Final = 20.0
_NEW_USER_NAMESPACE: Final = 0x10000000
_SCRIPT: Final = (
    "A script stands in for the model: it fixes HC-103 and no other ticket, and says the same to everybody"
    " who talks with it. Start the demo with OPENAI_API_KEY set, and a real model works."
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
    model_url: str | None = None
    """Where the operator reaches OpenAI, if `OPENAI_BASE_URL` says so, which OpenAI's own libraries read."""

    @property
    def note(self) -> str:
        """What pages say of the model."""
        return _SCRIPT if self.key is None else _MODEL

    @property
    def hosts(self) -> tuple[str, ...]:
        """What our client and git must be let reach."""
        urls = (self.url, self.git_url, *((self.model_url,) if self.model_url else ()))
        return tuple(origin_of(url).partition("//")[2] for url in urls)


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


async def start_forge(
    example: Path, files: Path, data: Path, at: tuple[socket.socket, socket.socket]
) -> Workshop:
    """Start the forge with the sample shop. Raises `ConfigurationError`."""
    port, git_port = map(port_of, at)
    token = secrets.token_urlsafe(24)
    given = ("--port", str(port), "--git-port", str(git_port), "--data", str(data))
    process = await start_sample(
        example,
        [*given, "--repository", REPOSITORY, "--files", str(files)],
        {"--fd": at[0], "--git-fd": at[1]},
        FORGE_TOKEN=token,
    )
    url, git_url = f"http://127.0.0.1:{port}", f"https://127.0.0.1:{git_port}"
    key = os.environ.get(_KEY) or None
    connectors: dict[str, Any] = {"github": {"base_url": url, "git": {"base_url": git_url}}}
    model_url = os.environ.get(_MODEL_URL) or None if key is not None else None
    if key is None or model_url is not None:
        connectors["openai"] = {"base_url": model_url or f"{url}/v1"}
    places = data / "places.yaml"
    places.write_text(json.dumps({"connectors": connectors}))  # JSON is YAML
    return Workshop(process, url, git_url, token, data / "forge.pem", places, key, model_url)


async def furnish(app: App, workshop: Workshop) -> str:
    """Link forge and model for the first customer, turn the recipes on, and answer a token for the desk."""
    tenant = Tenant(TENANT)
    given = {"github": workshop.token, "openai": workshop.key or "a-script-needs-no-key"}
    for name, secret in given.items():
        for account in await app.accounts.list(tenant, name):
            await app.accounts.unlink(tenant, account.id)
        await app.accounts.link(tenant, app.catalog.connectors[name], secrets={"token": secret})
    operator = Principal(tenant, "person", "demo")
    for recipe in (RECIPE, TALK):
        await app.recipes.enable(operator, recipe, {"repository": REPOSITORY})
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


async def start_embedded(example: Path, at: socket.socket, linkspan: str, token: str, note: str) -> Embedded:
    """Start the product whose pages have our elements in them. Raises `ConfigurationError`."""
    port = port_of(at)
    given = ["--port", str(port), "--linkspan", linkspan, "--talk", TALK, "--model-note", note]
    process = await start_sample(example, given, {"--fd": at}, LINKSPAN_TOKEN=token)
    return Embedded(process, f"http://localhost:{port}")


def port_of(listener: socket.socket) -> int:
    """Answer the port that a socket listens at."""
    port: int = listener.getsockname()[1]
    return port


async def start_sample(
    example: Path, given: Sequence[str], at: Mapping[str, socket.socket], **more: str
) -> asyncio.subprocess.Process:
    """Start a sample program on sockets that listen already, by the words it takes them by, and wait for it.

    They are its own from then on. `more` is put into its environment. Raises `ConfigurationError`.
    """
    words = [word for name, listener in at.items() for word in (name, str(listener.fileno()))]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(example),
        *given,
        *words,
        env=environment(**more),
        stdout=asyncio.subprocess.DEVNULL,
        pass_fds=[listener.fileno() for listener in at.values()],
    )
    for listener in at.values():
        port = port_of(listener)
        listener.close()
        await _until_it_answers(process, port)
    return process


async def _until_it_answers(process: asyncio.subprocess.Process, port: int) -> None:
    """Wait for an answer of whatever kind: to be let in says nothing of a socket that was there before."""
    for _ in range(200):
        if process.returncode is not None:
            break
        try:
            async with asyncio.timeout(_ANSWERS):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"HEAD / HTTP/1.0\r\n\r\n")
                await reader.read(1)
                writer.close()
        except OSError:  # a time-out is one too
            await asyncio.sleep(0.05)
        else:
            return
    raise ConfigurationError(f"a sample program does not answer (exit code {process.returncode})")


def _has_user_namespaces() -> bool:
    """Try to make one, in a process that ends right away."""
    child = os.fork()
    if child == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(_NEW_USER_NAMESPACE) == 0 else 1)
    return os.waitpid(child, 0)[1] == 0
