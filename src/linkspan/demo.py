"""`linkspan demo`: the sample desk and Linkspan, two customers linked, and what to paste into Codex."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from linkspan import spec
from linkspan.accounts.principal import Tenant
from linkspan.app import App, build
from linkspan.cli.codex import http_config, stdio_config
from linkspan.demo_codex import TENANT, furnish, missing, port_of, start_embedded, start_forge, start_sample
from linkspan.errors import ConfigurationError, Conflict, LinkspanError
from linkspan.process import listen, make_server, outlive_signals, uvicorn_runner
from linkspan.reload import Reloader
from linkspan.serving import Serving
from linkspan.settings import DEFAULT_PORT, Settings, parse_egress
from linkspan.vault.logs import configure_logging
from linkspan.vault.redact import Redactor
from linkspan.web.pages import page, static_files
from linkspan.working import work_runs

TENANTS = ("acme", "globex")
DESK_PORT = 8650
CONNECTOR = "desk"
SUBJECT = "codex-demo"
SAMPLE = "HC-103"
"""The ticket that the script in a model's place knows how to fix."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The sample product as it runs: its address, and a token of its `codex` user per organisation."""

    url: str
    tokens: Mapping[str, str]
    process: asyncio.subprocess.Process
    note: str = ""
    """What it says of the model."""


@dataclass(frozen=True, slots=True)
class Button:
    """What the desk's own server needs for "Fix with Codex"."""

    url: str
    token: str = field(repr=False)
    note: str


def run(settings: Settings, example: Path, config: Path) -> int:
    """Run the demo until it is interrupted; answer the exit code."""
    redactor = Redactor()
    configure_logging(redactor)
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn_runner()(_run(settings, example, config, redactor))
    return 0


async def _run(settings: Settings, example: Path, config: Path, redactor: Redactor) -> None:
    async with contextlib.AsyncExitStack() as ending:
        why = missing(settings)
        workshop = None
        if why is None:
            examples = example.parent
            workshop = await start_forge(
                examples / "forge", examples / "harbour", settings.home / "forge", (_held(8660), _held(8661))
            )
            ending.push_async_callback(_end, workshop.process)
        files = [config] if workshop is None else [config, workshop.places]
        at_desk, listener = _held(DESK_PORT), _held(DEFAULT_PORT)
        ending.callback(listener.close)
        hosts = (f"127.0.0.1:{port_of(at_desk)}", *(workshop.hosts if workshop else ()))
        settings = replace(
            settings,
            config=config,
            port=port_of(listener),
            public_url=None,
            egress=parse_egress(",".join(hosts)),
            ca_file=workshop.certificate if workshop else settings.ca_file,
        )
        app = await build(settings, catalog=spec.load(files, os.environ), redactor=redactor)
        ending.push_async_callback(app.aclose)
        for name in TENANTS:
            with contextlib.suppress(Conflict):
                await app.tenants.add(name)
        button = None
        if workshop is not None:
            base = f"http://{settings.host}:{settings.port}"
            button = Button(base, await furnish(app, workshop), workshop.note)
        desk = await _start_desk(example, settings.home / "desk", at_desk, button)
        ending.push_async_callback(_end, desk.process)
        embedded = None
        if button is not None:
            other = await start_embedded(
                example.parent / "embed", _held(8655), button.url, button.token, button.note
            )
            ending.push_async_callback(_end, other.process)
            embedded = other.url
        await _serve(app, settings, listener, desk, files, redactor, why=why, embedded=embedded)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        await process.wait()


async def _serve(
    app: App,
    settings: Settings,
    listener: socket.socket,
    desk: Desk,
    files: Sequence[Path],
    redactor: Redactor,
    *,
    why: str | None,
    embedded: str | None,
) -> None:
    tokens = {name: await _prepare(app, name, desk) for name in TENANTS}
    shown: dict[str, Any] = {}

    async def start(_request: Request) -> Response:
        return page("demo.html", shown)

    serving = Serving(app, routes=[Route("/", start), static_files()])
    serving.reloader = Reloader(files, lambda: spec.load(files, os.environ), serving.replace_catalog)
    server = make_server(serving, settings)
    outlive_signals()
    base = f"http://{settings.host}:{settings.port}"
    tasks = [asyncio.create_task(serving.reloader.run()), asyncio.create_task(server.serve([listener]))]
    if why is None:
        tasks.append(asyncio.create_task(work_runs(app, redactor=redactor)))
    try:
        while not server.started:
            if tasks[1].done():
                tasks[1].result()
            await asyncio.sleep(0.02)
        call = await _first_call(base, TENANTS[0], tokens[TENANTS[0]])
        shown.update(_page_values(settings, desk, base, tokens, call))
        shown["button"] = {
            "why": why,
            "note": desk.note,
            "ticket": f"{desk.url}/tickets/{SAMPLE}",
            "embedded": embedded and f"{embedded}/tickets/{SAMPLE}",
        }
        sys.stdout.write(_text(shown, base))
        sys.stdout.flush()
        await tasks[1]
    finally:
        server.should_exit = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _start_desk(example: Path, data: Path, at: socket.socket, button: Button | None) -> Desk:
    port = str(port_of(at))
    made = json.loads(await _output(str(example), "seed", "--json", "--data", str(data), "--port", port))
    more = ("--linkspan", button.url, "--model-note", button.note) if button else ()
    tokens_ = {"DESK_LINKSPAN_TOKENS": json.dumps({TENANT: button.token})} if button else {}
    process = await start_sample(
        example, ["--port", port, "--data", str(data), *more], {"--fd": at}, **tokens_
    )
    tokens = {name: made["tokens"][name]["codex"] for name in TENANTS}
    return Desk(made["url"], tokens, process, button.note if button else "")


async def _output(*arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    if process.returncode != 0:
        raise ConfigurationError(f"the sample desk could not be prepared (exit code {process.returncode})")
    return out


async def _prepare(app: App, name: str, desk: Desk) -> str:
    """Link the tenant's account anew, and answer a fresh token; the ones of earlier demos end."""
    tenant = Tenant(name)
    connector = app.catalog.connectors[CONNECTOR]
    earlier = await app.accounts.list(tenant, CONNECTOR)
    settings = {"site": desk.url} if "site" in connector.settings else {}
    for account in earlier:
        await app.accounts.unlink(tenant, account.id)
    await app.accounts.link(
        tenant, connector, settings=settings, secrets={"token": desk.tokens[name]}, verify=app.verifier
    )
    for token in await app.tokens.list(tenant):
        if token.subject == SUBJECT and token.revoked is None:
            await app.tokens.revoke(tenant, token.id)
    return (await app.tokens.create(tenant, subject=SUBJECT)).text.reveal()


async def _first_call(base: str, tenant: str, token: str) -> dict[str, Any]:
    """Call a tool over MCP as Codex does, and answer what came back in a few lines."""
    arguments = {"limit": 3}
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "list_tickets", "arguments": arguments},
    }
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base}/t/{tenant}/mcp", json=message, headers=headers) as answer,
    ):
        result = (await answer.json())["result"]
    if result.get("isError"):
        raise LinkspanError(result["content"][0]["text"].removeprefix("Error: "))
    tickets = [
        {"key": item.get("key") or item["id"], "status": str(item.get("status")), "title": item.get("title")}
        for item in result["structuredContent"]["result"]
    ]
    return {"tenant": tenant, "tool": "list_tickets", "arguments": json.dumps(arguments), "tickets": tickets}


def _page_values(
    settings: Settings, desk: Desk, base: str, tokens: Mapping[str, str], call: Mapping[str, Any]
) -> dict[str, Any]:
    part, line = stdio_config(settings, "desk", TENANTS[0])
    tenants = []
    for name, token in tokens.items():
        variable = f"LINKSPAN_TOKEN_{name.upper()}"
        _part, add = http_config(f"{base}/t/{name}/mcp", f"desk-{name}", variable)
        tenants.append({"name": name, "token": token, "variable": variable, "line": add})
    return {
        "desk_url": desk.url,
        "tenants": tenants,
        "call": call,
        "stdio": {"part": part, "line": line},
    }


def _text(shown: Mapping[str, Any], base: str) -> str:
    call = shown["call"]
    lines = [
        "",
        f"The sample desk runs at   {shown['desk_url']}",
        f"Linkspan runs at          {base}   (this page says what follows, too)",
        "",
        f"A tool call over MCP, as tenant {call['tenant']}:",
        f"  {call['tool']} {call['arguments']}",
        *(f"  {ticket['key']}  {ticket['status']:<12} {ticket['title']}" for ticket in call["tickets"]),
        "",
        *_button_text(shown["button"]),
        "",
        "Give it to Codex (stdio, tenant acme):",
        "",
        f"  {shown['stdio']['line']}",
        "",
        "or paste this into ~/.codex/config.toml:",
        "",
        *(f"  {line}" for line in shown["stdio"]["part"].splitlines()),
        "",
        "Over HTTP, one endpoint per tenant:",
        "",
    ]
    for tenant in shown["tenants"]:
        lines += [f"  export {tenant['variable']}={tenant['token']}", f"  {tenant['line']}", ""]
    lines += [
        'Then: codex exec "Which tickets are open, and which should be fixed first?"',
        "",
        "Ctrl+C ends it.",
        "",
    ]
    return "\n".join(lines)


def _button_text(button: Mapping[str, Any]) -> list[str]:
    if button["why"] is not None:
        return [f"The desk's tickets have no button Fix with Codex here: {button['why']}"]
    return [
        f"Press the button Fix with Codex at {button['ticket']}",
        f"  ({button['note']})",
        f"Button, run and a talk with Codex in another product's page: {button['embedded']}",
    ]


def _held(wanted: int) -> socket.socket:
    """Answer a socket that listens at the wanted port, or the next free one: nobody else gets it."""
    for port in range(wanted, wanted + 50):
        with contextlib.suppress(ConfigurationError):
            return listen("127.0.0.1", port)
    raise ConfigurationError(f"no port between {wanted} and {wanted + 50} is free on 127.0.0.1")
