"""The two reverse proxies of docs/operate.md, as it says them, in front of `linkspan serve`."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import ssl
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from linkspan.web.data.proxy import MOST
from tests.e2e.test_serve import Site
from tests.fakes.tracker import Tracker
from tests.servers.authority import Authority
from tests.servers.node import ROOT
from tests.servers.serving import LOOPBACK, accepts, free_port, running, serving

pytestmark = pytest.mark.e2e
NAME: Final = "linkspan.example"
PATIENCE: Final = 30.0
CONFIGURATIONS: Final = dict(
    re.findall(r"(?s)```(caddy|nginx)\n(.+?)```", (ROOT / "docs/operate.md").read_text())
)
RECIPE: Final = """
recipes:
  talk:
    title: Talk
    entity: ticket
    settings: {repository: {type: text, required: true, title: Repository}}
    tools: [ticket.get]
    prompt: Answer.
    approve: each_command
"""


@dataclass
class Product:
    """A tracker that also streams: each piece is sent when the one before it was seen at the other end."""

    seen: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    taken: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    paths: list[str] = field(default_factory=list)

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        own = [
            Route("/api/stream/{kind:path}", self._stream),
            Route("/api/upload", self._upload, methods=["POST"]),
        ]
        return Starlette(routes=[*own, Mount("/", Tracker().app())])

    async def _stream(self, request: Request) -> Response:
        self.paths.append(f"{request.scope['raw_path'].decode()}?{request.url.query}")

        async def pieces() -> AsyncIterator[bytes]:
            for number in range(3):
                yield f"data: {number}\n\n".encode()
                await asyncio.to_thread(self.seen.acquire, timeout=PATIENCE)

        kind = request.query_params["kind"]
        return StreamingResponse(pieces(), media_type=kind)

    async def _upload(self, request: Request) -> Response:
        size = 0
        async for piece in request.stream():
            size += len(piece)
            if piece and size % 7_000 == 0:
                self.taken.release()
        return JSONResponse({"bytes": size})


@dataclass(frozen=True)
class Behind:
    """Linkspan behind a proxy, as somebody outside sees it."""

    site: Site
    product: Product
    ports: Mapping[str, int]
    trusted: ssl.SSLContext

    @contextmanager
    def client(
        self, proxy: str, *, address: str = LOOPBACK, token: str | None = None
    ) -> Iterator[httpx2.Client]:
        """Yield a client that asks one of them, from an address of its own."""
        through = _Named(verify=self.trusted, local_address=address)
        headers = {"Host": NAME, "Authorization": f"Bearer {token or self.site.token}"}
        url = f"https://{LOOPBACK}:{self.ports[proxy]}"
        with httpx2.Client(transport=through, base_url=url, headers=headers, timeout=PATIENCE) as client:
            yield client


class _Named(httpx2.HTTPTransport):
    """Asks loopback by the public name."""

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions["sni_hostname"] = NAME
        return super().handle_request(request)


@contextmanager
def caddy(text: str, port: int, to: int, files: tuple[Path, Path], folder: Path) -> Iterator[None]:
    """Run Caddy with a certificate of ours and no port but the one."""
    own = "{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system " + str(folder) + "\n}\n"
    ours = f"https://{NAME}:{port} {{\n    tls {files[0]} {files[1]}"
    said = own + text.replace(f"{NAME} {{", ours).replace(":8640", f":{to}")
    (folder / "Caddyfile").write_text(said)
    words = [program("caddy"), "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"]
    with running(
        words, log=folder / "log", ready=lambda: accepts(port), env={"HOME": str(folder)}, seconds=60
    ):
        yield


@contextmanager
def nginx(text: str, port: int, to: int, files: tuple[Path, Path], folder: Path) -> Iterator[None]:
    """Run nginx with a certificate of ours, in a folder."""
    said = text.replace("listen 443", f"listen {LOOPBACK}:{port}").replace(":8640", f":{to}")
    for name, file in zip((f"/etc/ssl/{NAME}.pem", f"/etc/ssl/{NAME}.key"), files, strict=True):
        said = said.replace(name, str(file))
    kept = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    own = f"daemon off;\npid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
    (folder / "nginx.conf").write_text(f"{own}http {{\naccess_log off;\n{kept}{said}}}\n")
    words = [program("nginx"), "-p", folder, "-e", "stderr", "-c", folder / "nginx.conf"]
    with running(words, log=folder / "log", ready=lambda: accepts(port), seconds=60):
        yield


def program(name: str) -> str:
    """Answer where it is; Debian puts servers where the path of a user does not lead."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    assert found, f"{name} is missing: apt-get install {name}"
    return found


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    """Linkspan behind both of them, called by its public name."""
    product, to, authority = Product(), free_port(), Authority(tmp_path)
    ports = {"nginx": free_port(), "caddy": free_port()}
    files = authority.issue(NAME)
    with ExitStack() as stack:
        site = Site(tmp_path, Tracker(), stack.enter_context(serving(product.app())))
        site.config.write_text(site.config.read_text() + RECIPE)
        named = {"LINKSPAN_PUBLIC_URL": f"https://{NAME}", "LINKSPAN_TRUSTED_PROXIES": f"{LOOPBACK}/32"}
        stack.enter_context(replace(site.linkspan, extra=named).serve(log=site.log, port=to))
        for name, start in (("nginx", nginx), ("caddy", caddy)):
            (tmp_path / name).mkdir()
            stack.enter_context(start(CONFIGURATIONS[name], ports[name], to, files, tmp_path / name))
        files[1].unlink()
        yield Behind(site, product, ports, authority.client_context())


def test_what_nginx_takes_is_what_we_take() -> None:
    """Or it refuses what the documentation of the proxy promises."""
    assert f"client_max_body_size {MOST // 2**20}m;" in CONFIGURATIONS["nginx"]


def test_everything_gets_through(behind: Behind) -> None:
    """Streams piece by piece both ways, paths as they came, sockets, the public name, who asks from where."""
    token = view_token(behind)
    for proxy in behind.ports:
        with behind.client(proxy) as client:
            streamed(behind.product, client)
            assert client.get("/t/acme/mcp").status_code == 405
            challenge = client.post("/t/acme/mcp", headers={"Authorization": ""}).headers
            assert f'resource_metadata="https://{NAME}/' in challenge["www-authenticate"], proxy
        asyncio.run(talks(behind, proxy, token))
    guessed(behind)


def streamed(product: Product, client: httpx2.Client) -> None:
    """A piece is there before the next one is sent."""
    for kind in ("text/event-stream", "application/x-ndjson"):
        asked = client.stream("GET", f"/proxy/tracker/stream/a%2Fb%20c?kind={kind}&x=%26")
        with asked as answer:
            assert answer.status_code == 200, answer.read()
            told = answer.iter_raw()
            for number in range(3):
                assert next(told) == f"data: {number}\n\n".encode()
                product.seen.release()
        assert product.paths[-1] == f"/api/stream/a%2Fb%20c?kind={kind}&x=%26"

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            yield f"piece {number}".encode() * 1000
            assert product.taken.acquire(timeout=PATIENCE), "it was kept on the way"

    assert client.post("/proxy/tracker/upload", content=pieces()).json() == {"bytes": 21_000}


async def talks(behind: Behind, proxy: str, token: str) -> None:
    """A socket is opened and answers; who shows a bad token is told why."""

    def opened(shown: str) -> connect:
        return connect(
            f"wss://{NAME}/t/acme/codex",
            additional_headers={"Authorization": f"Bearer {shown}"},
            host=LOOPBACK,
            port=behind.ports[proxy],
            ssl=behind.trusted,
            server_hostname=NAME,
        )

    async with opened(token) as socket:
        asked = {"method": "initialize", "params": {"clientInfo": {"name": "test", "version": "1"}}}
        await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, **asked}))
        assert "result" in json.loads(await socket.recv())
    with pytest.raises(InvalidStatus) as refused:
        async with opened("lsk_view_of_nobody"):
            pass
    assert (refused.value.response.status_code, proxy) == (401, proxy)
    assert b'"unauthenticated"' in refused.value.response.body


def view_token(behind: Behind) -> str:
    """Answer a token for a page, as a product's backend asks for it; the page's address is the public one."""
    words = ("--subject", "shop", "--scope", "read", "--scope", "run.start")
    backend = behind.site.linkspan.create_token("acme", *words)[1]
    asked = {"recipe": "talk", "entity_id": "3", "person": "anna", "may": ["run.start"]}
    with behind.client("nginx", token=backend) as client:
        made = client.post("/view-token", json={**asked, "allowed_origins": ["https://shop.example"]})
    assert made.is_success, made.text
    told = made.json()["result"]
    assert told["url"].startswith(f"https://{NAME}/")
    return str(told["view_token"])


def guessed(behind: Behind) -> None:
    """Whoever guesses keys is slowed down, under whatever address they say they are, and nobody else is."""
    key = f"lsk_admin_{'a' * 12}_{'b' * 43}"
    for proxy, guesser, other in (("nginx", "127.0.0.2", "127.0.0.3"), ("caddy", "127.0.0.4", "127.0.0.5")):
        with behind.client(proxy, address=guesser, token=key) as client:
            assert client.get("/tenant").status_code == 401
            for number in range(200):
                answer = client.get("/tenant", headers={"X-Forwarded-For": f"192.0.2.{number}"})
                if answer.status_code == 429:
                    break
            assert answer.status_code == 429, proxy
        with behind.client(proxy, address=other, token=key) as client:
            assert client.get("/tenant").status_code == 401, proxy
