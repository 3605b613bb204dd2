"""A secret in every field that takes one, at a product that sends back everything it is sent."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from tests import canary
from tests.fakes.authority import CLIENT_SECRET, Authority
from tests.fakes.cloud import PEM
from tests.fakes.receiver import Receiver
from tests.servers.linkspan import PROGRAM, SECRET, Endpoint, Linkspan
from tests.servers.postgres import Cluster
from tests.servers.serving import LOOPBACK, free_port, serving, wait_until
from tests.store.engines import ON_BOTH

pytestmark = pytest.mark.e2e
PORT: Final = free_port()
REDIRECT: Final = f"http://{LOOPBACK}:{PORT}/oauth/callback"
MASTER: Final = base64.b64encode(b"canary-that-seals-all-data-keys!").decode()
ENVIRONMENT: Final = {
    "LINKSPAN_KEYS": MASTER,
    "LINKSPAN_OIDC_CLIENT_SECRET": "canary-of-the-identity-provider",
    "CLOUD_SECRET": CLIENT_SECRET,
    "CLOUD_PEM": PEM,
    "OPERATOR_KEY": "canary-of-the-operator",
}
KEYS: Final = {
    "bearer": ("--auth", "bearer"),
    "header": ("--auth", "header"),
    "query": ("--auth", "query"),
    "basic": ("--auth", "basic", "--username", "ann"),
}
"""How each connector is linked whose secret is typed."""
CONSENTS: Final = ("oauth", "app")
WAYS: Final = (*KEYS, *CONSENTS, "client", "operator")
TOOLS: Final = """\
linkspan: 1
name: echo
instructions: Everything comes back. Start with get_ticket.
connectors:
  bearer: {base_url: URL/api, auth: [{type: bearer}]}
  header: {base_url: URL/api, auth: [{type: header, name: X-Key}]}
  query: {base_url: URL/api, auth: [{type: query, name: key}]}
  basic: {base_url: URL/api, auth: [{type: basic}]}
  oauth:
    base_url: URL/api
    auth:
      - type: oauth2
        authorize_url: URL/authorize
        token_url: URL/token
        revoke_url: URL/revoke
        client: {id: linkspan, secret: "${CLOUD_SECRET}"}
  app:
    base_url: URL/api
    auth:
      - type: github_app
        install_url: URL/install
        token_url: URL/token
        client: {id: linkspan, secret: "${CLOUD_SECRET}", private_key: "${CLOUD_PEM}"}
  client:
    base_url: URL/api
    auth:
      - type: client_credentials
        token_url: URL/token
        client: {id: linkspan, secret: "${CLOUD_SECRET}"}
  operator:
    base_url: URL/api
    auth:
      - type: bearer
        per: operator
        secret: "${OPERATOR_KEY}"
        tenant: {header: X-Tenant, sign: {key: "${OPERATOR_KEY}", audience: echo, lifetime: 2m}}
  openai: {use: openai}
entities:
  ticket:
    model: ticket
    sources:
"""
SOURCE: Final = """\
      WAY:
        identity: "{id}"
        fields: {id: id, title: title}
        operations:
          get: {description: Get a ticket., request: "GET /echo/{id}"}
          create: {description: Create a ticket., request: POST /echo, body: {title: $title}}
"""


@dataclass
class Echo:
    """A product that answers with all that it was sent, as success or as failure, and logs nothing."""

    status: int = 200
    seen: list[str] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        basic = request.headers.get("authorization", "").partition("Basic ")[2]
        sent = {
            "headers": dict(request.headers),
            "url": str(request.url),
            "plain": base64.b64decode(basic).decode(),
            "body": (await request.body()).decode(),
        }
        self.seen.append(json.dumps(sent))
        return JSONResponse({"id": "1", "title": self.seen[-1], "message": self.seen[-1]}, self.status)


@dataclass
class Place:
    """Linkspan, the product, and all that was ever said."""

    linkspan: Linkspan
    echo: Echo
    authority: Authority
    url: str
    folder: Path
    said: Path

    def keep(self, text: str) -> str:
        """Keep what was answered or printed; the run's end reads it again."""
        with self.said.open("a") as file:
            file.write(f"{text}\n")
        return text

    def run(self, *words: str, env: dict[str, str] | None = None, exit_code: int | None = 0) -> str:
        """Run a command."""
        return self.keep(self.linkspan.run(*words, env=env, exit_code=exit_code))

    def consent(self, connector: str) -> None:
        """Link in a browser."""
        command = [str(PROGRAM), "account", "link", connector, "--tenant", "acme", "--browser", "--no-verify"]
        with subprocess.Popen(
            [*command, "--callback-port", str(PORT)],
            env=self.linkspan.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            asked = next((line.strip() for line in process.stderr if line.startswith("http")), "")
            brought = self.authority.consent(asked)
            if connector == "app":
                brought["installation_id"] = "42"
            page = httpx2.get(f"{REDIRECT}?{urlencode(brought)}")
            said = self.keep(process.stdout.read() + process.stderr.read() + page.text)
            process.wait(timeout=20)
        assert process.returncode == 0, said
        assert dict(parse_qsl(urlsplit(asked).query))["state"] == brought["state"]


@pytest.fixture(params=ON_BOTH)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Everything linked, on each engine; PostgreSQL's URL has a password."""
    extra = dict(ENVIRONMENT)
    if request.param != "sqlite":
        server: Cluster = request.getfixturevalue("postgres")
        name = request.getfixturevalue("database")
        extra["LINKSPAN_DATABASE"] = server.url(name).replace("@", ":canary-of-the-database@", 1)
    echo, authority = Echo(), Authority(clock=lambda: 1.0)
    product = Starlette(
        routes=[
            Route("/api/echo", echo.answer, methods=["POST"]),
            Route("/api/echo/{id}", echo.answer),
            Mount("/", authority.app()),
        ]
    )
    with serving(product) as url:
        tools = tmp_path / "tools.yaml"
        sources = "".join(SOURCE.replace("WAY", way) for way in WAYS)
        tools.write_text(TOOLS.replace("URL", url) + sources)
        linkspan = Linkspan(tmp_path / "home", tools, extra)
        yield Place(linkspan, echo, authority, url, tmp_path, tmp_path / "said")


@pytest.fixture
def database(postgres: Cluster) -> Iterator[str]:
    """A database of its own."""
    with postgres.database() as name:
        yield name


def test_no_secret_comes_out_anywhere(place: Place) -> None:
    """Linked in every way, used, refused, echoed, listed, told to webhooks, asked for: and shown nowhere.

    What was said is searched here, and with it the logs, the database and every file of the home.
    """
    place.linkspan.add_tenant("acme")
    accounts = link(place)
    token_id, token = place.linkspan.create_token("acme")
    made = place.linkspan.run("admin", "create", "--json")
    key = str(json.loads(made)["token"])
    receiver = Receiver()
    log = place.folder / "linkspan.log"
    with serving(receiver) as hook, place.linkspan.serve(log=log) as url:
        place.linkspan.run("webhook", "add", f"{hook}/x")
        endpoint = Endpoint(f"{url}/t/acme/mcp", token)
        use(place, endpoint, accounts)
        ask(place, url, key, token_id)
        for account in (accounts["bearer"], accounts["oauth"]):
            place.run("account", "unlink", account, "--tenant", "acme")
        wait_until(lambda: "integrated_account:deleted" in receiver.events, what="a delivery", seconds=15)
        place.keep(str([body.decode() for _headers, body in receiver.messages]))
    place.run("backup", str(place.folder / "backup"), exit_code=None)
    place.keep(place.linkspan.run("tenant", "remove", "acme", "--yes"))
    assert all(any(secret in seen for seen in place.echo.seen) for secret in sent(place))
    canary.gone(place.folder)
    lines = [line for line in PEM.splitlines() if line and "PRIVATE" not in line]
    kept = b"".join(file.read_bytes() for file in place.folder.rglob("*") if file.is_file())
    assert not [line for line in (*lines, MASTER, key, token) if line.encode() in kept]


def sent(place: Place) -> list[str]:
    """What the product must have seen for this test to mean anything."""
    typed = [f"{way}-canary" for way in KEYS]
    return [*typed, "ann:basic-canary", "canary-of-the-operator", "Bearer access-canary-"]


def link(place: Place) -> dict[str, str]:
    """Link an account of every way; answers their ids."""
    tenant = ("--tenant", "acme", "--no-verify", "--json")
    found = {}
    for way, words in {**KEYS, "openai": ()}.items():
        printed = place.run(
            "account", "link", way, *tenant, *words, "--secret-env", SECRET, env={SECRET: f"{way}-canary"}
        )
        found[way] = str(json.loads(printed)["id"])
    for way in CONSENTS:
        place.consent(way)
    for way in ("client", "operator"):
        place.run("account", "link", way, *tenant, exit_code=None)
    listed = json.loads(place.run("account", "list", "--tenant", "acme", "--json"))
    return {**{each["connector"]: each["id"] for each in listed}, **found}


def use(place: Place, endpoint: Endpoint, accounts: dict[str, str]) -> None:
    """Read and write by every account, with answers of every kind."""
    for way in WAYS:
        chosen = {"account": accounts[way]} if way in accounts else {}
        for status in (200, 400, 403, 500, 401):
            place.echo.status = status
            for tool, arguments in (("get_ticket", {"id": "1"}), ("create_ticket", {"title": "x"})):
                answer = endpoint.post("tools/call", name=tool, arguments={**arguments, **chosen})
                place.keep(answer.text)
        place.echo.status = 200
        dry = {"title": "x", "dry_run": True, **chosen}
        place.keep(endpoint.post("tools/call", name="create_ticket", arguments=dry).text)
    tenant = ("--tenant", "acme")
    for status in (200, 500):
        place.echo.status = status
        words = ("--arg", "id=1", "--arg", f"account={accounts['basic']}")
        place.run("call", "ticket.get", *tenant, *words, exit_code=None)
    for account in (accounts["oauth"], accounts["app"], accounts["basic"]):
        place.run("account", "verify", account, *tenant, exit_code=None)
        place.run("account", "refresh", account, *tenant, exit_code=None)
    place.keep(endpoint.post("resources/read", uri="linkspan://ticket/1").text)


def ask(place: Place, url: str, key: str, token_id: str) -> None:
    """Ask the management API, the pages and the command line for all that there is."""
    admin: dict[str, Any] = {"headers": {"Authorization": f"Bearer {key}"}}
    paths = (
        "/integrated-account",
        "/log?limit=100",
        "/tenant",
        "/webhook",
        "/webhook-delivery",
        "/person",
        "/token",
    )
    for path in paths:
        place.keep(httpx2.get(f"{url}{path}", **admin).text)
    for path in ("/openapi.json", "/t/acme", "/readyz", "/nothing"):
        place.keep(httpx2.get(f"{url}{path}").text)
    tenant = ("--tenant", "acme", "--json")
    for words in (("account", "list"), ("token", "list"), ("person", "list"), ("webhook", "deliveries")):
        place.run(*words, *tenant, exit_code=None)
    for way in CONSENTS:
        place.run("connector", "setup", way)
    place.run("token", "revoke", token_id, "--tenant", "acme")
    place.run("--database", "postgresql://u:canary-elsewhere@127.0.0.1:1/x", "tenant", "list", exit_code=2)
