"""Recorded answers of a product, and the calls that are made of them again without it.

    from linkspan.replaying import differences

    def test_the_answers_that_were_kept():
        assert differences("tools.yaml") == []

`linkspan fixtures record` writes `fixtures/CONNECTOR/ENTITY.OPERATION.yaml` beside the tools.yaml: the call,
the exchanges (request and answer) and the result. The words are those of a person who writes one by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from linkspan import spec
from linkspan.accounts.principal import Principal
from linkspan.app import App, build
from linkspan.errors import LinkspanError
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Item, Page
from linkspan.gateway.watch import Watch
from linkspan.net.messages import ConnectionFailed, Request, Response, Streamed
from linkspan.settings import Settings
from linkspan.spec.catalog import AuthMethod, Catalog
from linkspan.spec.recordings import read_recording

FOLDER = "fixtures"


@dataclass(slots=True)
class Kept:
    """The product: it knows the exchanges of one call, in their order."""

    waiting: list[Mapping[str, Any]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def exchange(self, request: Request, *, timeout: float, max_bytes: int) -> Response:  # noqa: ARG002
        """Compare a request with the one that was kept, and answer what was answered."""
        parts = urlsplit(request.url)
        sent = _line(f"{request.method} {parts.path}" + (f"?{parts.query}" if parts.query else ""))
        if not self.waiting:
            self.wrong.append(f"one request too many: {_shown(sent)}")
            raise ConnectionFailed("nothing more was kept", reason="refused", sent=True)
        kept = self.waiting.pop(0)
        wanted = _line(str(kept["request"]))
        if sent != wanted:
            self.wrong.append(f"sends {_shown(sent)}, and {_shown(wanted)} was kept")
        body = _decoded(request.body)
        if body != kept.get("body"):
            self.wrong.append(f"sends the body {_short(body)}, and {_short(kept.get('body'))} was kept")
        answer = kept.get("answer")
        content = answer if isinstance(answer, str) else "" if answer is None else json.dumps(answer)
        headers = {"content-type": "application/json", **kept.get("answer_headers", {})}
        return Response(int(kept.get("status", 200)), headers, content.encode(), request.url)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        request: Request,
        *,
        content: Any = None,  # noqa: ARG002
        timeout: float,
        idle: float,  # noqa: ARG002
    ) -> AsyncIterator[Streamed]:
        """Hand out the same answer as a stream."""
        yield Streamed.whole(await self.exchange(request, timeout=timeout, max_bytes=0))

    async def aclose(self) -> None:
        """Nothing is open."""


def _line(request: str) -> tuple[str, list[tuple[str, str]]]:
    where, _, query = request.partition("?")
    return unquote(where), sorted(parse_qsl(query, keep_blank_values=True))


def _shown(line: tuple[str, list[tuple[str, str]]]) -> str:
    where, pairs = line
    return where + ("?" + "&".join(f"{name}={value}" for name, value in pairs) if pairs else "")


def _decoded(body: bytes | None) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 120 else f"{text[:119]}…"


def differences(config: str | Path, folder: str | Path | None = None) -> list[str]:
    """Replay every recording beside a tools.yaml, offline, and answer what differs from it, one text each.

    Raises `SpecError` for a file with mistakes and `ConfigurationError` where nothing was recorded.
    """
    path = Path(config)
    found = sorted((Path(folder) if folder is not None else path.parent / FOLDER).rglob("*.yaml"))
    return [told for _name, each in replayed(path, found) for told in each]


def replayed(
    config: Path, files: Sequence[Path], environ: Mapping[str, str] | None = None
) -> list[tuple[str, list[str]]]:
    """Replay recordings and answer, for each by its name, what differs."""
    catalog = spec.load([config], environ or {})
    made = [(path.stem, read_recording(path)) for path in files]

    async def work() -> list[tuple[str, list[str]]]:
        return [
            (name, [f"{name}: {told}" for told in await _differences(catalog, one)]) for name, one in made
        ]

    return asyncio.run(work())


async def _differences(catalog: Catalog, recording: Mapping[str, Any]) -> list[str]:
    try:
        result, wrong = await replay(catalog, recording)
    except LinkspanError as error:
        return [error.message]
    return [*wrong, *(_unlike(result, recording["result"]) if "result" in recording else ())]


async def replay(catalog: Catalog, recording: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Make the call of a recording offline: its result, and how its requests differ from those kept."""
    product = Kept(list(recording["exchanges"]))
    name = str(recording["connector"])
    async with _linked(catalog, name, recording, product) as (app, principal):
        tool = app.catalog.tool_for(str(recording["call"]))
        if tool is None or name not in tool.operations:
            return None, [f"tools.yaml has no {recording['call']} at {name}"]
        info = CallInfo("replay", via="cli", watch=Watch())
        kept = recording.get("error")
        try:
            answer = await app.gateway.call(
                principal, tool, dict(recording.get("arguments") or {}), info=info
            )
        except LinkspanError as error:
            if kept is None:
                raise
            return None, [*product.wrong, *_unlike_error(error, kept)]
        if kept is not None:
            product.wrong.append(f"answers, and the error {_short(kept)} was kept")
        if product.waiting:
            product.wrong.append(f"does not send {_shown(_line(str(product.waiting[0]['request'])))}")
        result = answer.result if isinstance(answer, Page | Item) else answer.to_dict()
        return json.loads(json.dumps(result, default=str)), product.wrong


@contextlib.asynccontextmanager
async def _linked(
    catalog: Catalog, name: str, recording: Mapping[str, Any], product: Kept
) -> AsyncIterator[tuple[App, Principal]]:
    """Build an installation of its own whose only account needs no credential."""
    connector = catalog.connectors.get(name)
    if connector is not None:
        ways = [way for way in connector.auth if way.type == "basic"] or [AuthMethod("none")]
        plain = replace(connector, auth=tuple(ways[:1]), verify=None, connected=None)
        catalog = replace(catalog, connectors={name: plain})
    with tempfile.TemporaryDirectory(prefix="linkspan-replay-") as home:
        app = await build(Settings(home=Path(home)), catalog=catalog, transport=product)
        try:
            tenant = await app.tenants.add("replay")
            if connector is not None:
                secrets = {"username": "username", "password": "password"} if ways[0].type == "basic" else {}
                settings = {str(key): str(value) for key, value in (recording.get("settings") or {}).items()}
                await app.accounts.link(tenant, plain, secrets=secrets, settings=settings)
            yield app, Principal(tenant, "operator", "replay")
        finally:
            await app.aclose()


def _unlike_error(error: LinkspanError, kept: Any) -> Iterator[str]:
    """Yield where a failure is another than the one kept: its code, or `code` and a part of the `message`."""
    code, message = (kept.get("code"), kept.get("message", "")) if isinstance(kept, dict) else (kept, "")
    if error.code != code or str(message) not in error.message:
        yield f"fails with {error.code} ({_short(error.message)}), and {_short(kept)} was kept"


def _unlike(got: Any, kept: Any, at: str = "result") -> Iterator[str]:
    """Yield where two results differ."""
    if isinstance(got, dict) and isinstance(kept, dict):
        for key in dict.fromkeys((*kept, *got)):
            yield from _unlike(got.get(key), kept.get(key), f"{at}.{key}")
    elif isinstance(got, list) and isinstance(kept, list) and len(got) == len(kept):
        for number, (one, other) in enumerate(zip(got, kept, strict=True)):
            yield from _unlike(one, other, f"{at}[{number}]")
    elif got != kept:
        yield f"{at} is {_short(got)}, and {_short(kept)} was kept"
