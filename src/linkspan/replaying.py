"""Recorded answers of a product, and the calls that are made of them again without it.

    from linkspan.replaying import differences

    def test_the_answers_that_were_kept():
        assert differences("tools.yaml") == []

`linkspan fixtures record` writes `fixtures/CONNECTOR/ENTITY.OPERATION.yaml` beside the tools.yaml: the call,
the exchanges (request and answer) and the result. The words are those of a person who writes one by hand.
Of the built-in connectors that a tools.yaml uses, the package ships such calls.
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
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.errors import LinkspanError
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Blocks, Item, Page
from linkspan.gateway.watch import Watch
from linkspan.net.messages import ConnectionFailed, Request, Response, Streamed
from linkspan.settings import Settings
from linkspan.spec.catalog import AuthMethod, Catalog, Connector
from linkspan.spec.recordings import read_recording, shipped

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
        body = _decoded(request)
        if isinstance(kept.get("body"), dict) and isinstance(body, str):
            body = dict(parse_qsl(body))  # of a form
        if "graphql" in kept and isinstance(body, dict):
            document = " ".join(str(body.get("query")).split())
            if kept["graphql"] not in document:
                self.wrong.append(f"sends {_short(document)}, and {_short(kept['graphql'])} was kept of it")
            body = body.get("variables") or None
        headers = {**{name.lower(): value for name, value in request.headers.items()}, "host": parts.netloc}
        for name, value in kept.get("headers", {}).items():
            if headers.get(name) != value:
                self.wrong.append(f"sends the header {name}: {headers.get(name)}, and {value} was kept")
        if body != kept.get("body"):
            self.wrong.append(f"sends the body {_short(body)}, and {_short(kept.get('body'))} was kept")
        answer = kept.get("answer")
        content = answer if isinstance(answer, str) else "" if answer is None else json.dumps(answer)
        told = {"content-type": "application/json", **kept.get("answer_headers", {})}
        return Response(int(kept.get("status", 200)), told, content.encode(), request.url)

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


def _decoded(request: Request) -> Any:
    if not request.body:
        return None
    try:
        return json.loads(request.body)
    except ValueError:
        return request.body.decode(errors="replace")


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
    return _all(spec.load([config], environ or {}), [(path.stem, read_recording(path)) for path in files])


def replayed_built_in(config: Path, environ: Mapping[str, str] | None = None) -> list[tuple[str, list[str]]]:
    """Replay what the package ships of the built-in connectors that a tools.yaml uses; as above.

    Each is replayed as the tools.yaml has it, with the keys that it overrides. Calls of entities that it did
    not choose are left out.
    """
    catalog = spec.load([config], environ or {})
    made = []
    for name, connector in catalog.connectors.items():
        if connector.built_in is None:
            continue
        found = shipped(connector.built_in)
        for title, case in found["cases"].items():
            tool = catalog.tool_for(case["call"])
            if tool is not None and name in tool.operations:
                made.append((f"{name}: {title}", {**case, "connector": name, "link": found["link"]}))
    return _all(catalog, made)


def _all(catalog: Catalog, made: Sequence[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, list[str]]]:
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
    if "result" not in recording:
        return wrong
    return [*wrong, *_unlike(result, recording["result"], is_part="link" in recording)]


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
        arguments = dict(recording.get("arguments") or {})
        earlier: list[Any] = []
        try:
            answer = await app.gateway.call(principal, tool, arguments, info=info)
            while "link" in recording and isinstance(answer, Page) and answer.next_cursor is not None:
                earlier += answer.result
                arguments["cursor"] = answer.next_cursor
                answer = await app.gateway.call(principal, tool, arguments, info=info)
        except LinkspanError as error:
            if kept is None:
                raise
            return None, [*product.wrong, *_unlike_error(error, kept)]
        if kept is not None:
            product.wrong.append(f"answers, and the error {_short(kept)} was kept")
        if product.waiting:
            product.wrong.append(f"does not send {_shown(_line(str(product.waiting[0]['request'])))}")
        result: Any
        if isinstance(answer, Page):
            result = [*earlier, *answer.result]
        elif isinstance(answer, Blocks) and "link" in recording:
            result = answer.blocks
        else:
            result = answer.result if isinstance(answer, Item) else answer.to_dict()
        return json.loads(json.dumps(result, default=str)), product.wrong


@contextlib.asynccontextmanager
async def _linked(
    catalog: Catalog, name: str, recording: Mapping[str, Any], product: Kept
) -> AsyncIterator[tuple[App, Principal]]:
    """Build an installation of its own whose one account needs no credential, or is linked as `link` says."""
    connector, link = catalog.connectors.get(name), recording.get("link")
    if connector is not None:
        way = _way(connector, link)
        plain = replace(connector, auth=(way,), verify=None, connected=None)
        if link is not None and way.type != "none":
            plain = replace(connector, auth=(way,))
        catalog = replace(catalog, connectors={**catalog.connectors, name: plain})
    with tempfile.TemporaryDirectory(prefix="linkspan-replay-") as home:
        app = await build(Settings(home=Path(home)), catalog=catalog, transport=product)
        try:
            tenant = await app.tenants.add("replay")
            if connector is not None:
                await _link(app, tenant, plain, recording, product)
            yield app, Principal(tenant, "operator", "replay")
        finally:
            await app.aclose()


def _way(connector: Connector, link: Mapping[str, Any] | None) -> AuthMethod:
    """Answer how an account is linked: as `link` says where the connector has that way to connect."""
    ways = connector.auth or (AuthMethod("none"),)
    kind = "basic" if link is None else link.get("auth", ways[0].type)
    return next((way for way in ways if way.type == kind), AuthMethod("none"))


async def _link(
    app: App, tenant: Tenant, connector: Connector, recording: Mapping[str, Any], product: Kept
) -> None:
    link = recording.get("link")
    settings = (recording if link is None else link).get("settings") or {}
    given = {str(key): str(value) for key, value in settings.items()}
    kind = connector.auth[0].type
    if link is None or kind == "none":
        secrets = {"username": "username", "password": "password"} if kind == "basic" else {}
        await app.accounts.link(tenant, connector, secrets=secrets, settings=given)
        return
    product.waiting = list(link["exchanges"])
    await app.accounts.link(tenant, connector, secrets=link["secrets"], settings=given, verify=app.verifier)
    product.waiting = list(recording["exchanges"])


def _unlike_error(error: LinkspanError, kept: Any) -> Iterator[str]:
    """Yield where a failure is another than the one kept: its code, or `code` and a part of the `message`."""
    code, message = (kept.get("code"), kept.get("message", "")) if isinstance(kept, dict) else (kept, "")
    if error.code != code or str(message) not in error.message:
        yield f"fails with {error.code} ({_short(error.message)}), and {_short(kept)} was kept"


def _unlike(got: Any, kept: Any, at: str = "result", *, is_part: bool = False) -> Iterator[str]:
    """Yield where two results differ; if what is kept `is_part` of a result, more than that may be there."""
    if isinstance(got, dict) and isinstance(kept, dict):
        for key in kept if is_part else dict.fromkeys((*kept, *got)):
            yield from _unlike(got.get(key), kept.get(key), f"{at}.{key}", is_part=is_part)
    elif isinstance(got, list) and isinstance(kept, list) and len(got) == len(kept):
        for number, (one, other) in enumerate(zip(got, kept, strict=True)):
            yield from _unlike(one, other, f"{at}[{number}]", is_part=is_part)
    elif got != kept:
        yield f"{at} is {_short(got)}, and {_short(kept)} was kept"
