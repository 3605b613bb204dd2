"""Servers whose certificates an authority of their owner's signed: trusted for the account that names it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from linkspan import spec
from linkspan.accounts.linking import normal_certificates
from linkspan.accounts.providers import Provider
from linkspan.errors import InvalidArgument
from linkspan.net.client import Client
from linkspan.net.messages import ConnectionFailed, Request
from linkspan.net.transport import AiohttpTransport
from linkspan.spec.catalog import Scope
from linkspan.spec.grants import OAuth, TokenAnswer
from linkspan.spec.references import BaseUrlTemplate, constant
from linkspan.wire import build
from tests.net.conftest import Servers
from tests.servers.authority import Authority


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    await writer.drain()
    writer.close()


async def test_an_accounts_authority_is_trusted_for_that_account_only(
    servers: Servers, transport: AiohttpTransport, tmp_path: Path
) -> None:
    """With it the server is known; without it, or with another, it is not."""
    (tmp_path / "other").mkdir()
    ours, other = Authority(tmp_path), Authority(tmp_path / "other")
    base = await servers.raw(hello, ours.server_context("127.0.0.1"))
    client = Client(transport)

    async def ask(ca: str | None) -> bytes:
        request = Request("GET", f"{base}/a", {}, ca=ca)
        reply = await client.send(request, repeatable=False, origins=[base])
        return reply.response.body

    assert await ask(ours.root.read_text()) == b"hi"
    for ca in (None, other.root.read_text()):
        with pytest.raises(ConnectionFailed, match=r"certificate of 127\.0\.0\.1 is not valid"):
            await ask(ca)
    assert await ask(ours.root.read_text()) == b"hi"


def test_a_plan_carries_the_accounts_authority(tmp_path: Path) -> None:
    """From the setting that the connector names; without one the system's are trusted."""
    (tmp_path / "tools.yaml").write_text("""\
linkspan: 1
name: own
instructions: Read tickets with get_ticket.
connectors:
  own:
    base_url: "{settings.site}/api"
    settings: {site: {type: origin}, authority: {type: certificate, required: false}}
    ca: authority
    auth: [{type: bearer}]
entities:
  ticket:
    model: ticket
    sources:
      own:
        fields: {id: id, title: title}
        operations:
          get: {request: "GET /tickets/{id}"}
""")
    catalog = spec.load(tmp_path / "tools.yaml", {})
    plan = catalog.tool("get_ticket").operations["own"].plan  # type: ignore[union-attr]
    assert plan is not None
    site = {"site": "https://own.example"}
    for settings, ca in (({**site, "authority": "PEM"}, "PEM"), (site, None)):
        assert build(plan, Scope({"id": "1"}, settings), catalog.connectors["own"]).ca == ca


def test_tokens_of_the_accounts_own_server_are_asked_with_its_authority() -> None:
    """An authorization server elsewhere has a public certificate."""
    base = BaseUrlTemplate(((None, "https://own.example/api", ""),))
    nothing = constant(None)
    answer = TokenAnswer(nothing, nothing, nothing, nothing, nothing)
    oauth = OAuth(token_url=base, answer=answer)
    provider = Provider("Own", oauth, {}, base, "id", None, is_own_client=False, ca="PEM")
    assert provider.ca_for("https://own.example/oauth/token") == "PEM"
    assert provider.ca_for("https://login.example/oauth/token") is None


def test_certificates_are_read_whatever_became_of_their_lines(tmp_path: Path) -> None:
    """A form of one line, a terminal, a file with Windows' line ends: one PEM of it all."""
    pem = Authority(tmp_path).root.read_text()
    for given in (pem, pem.replace("\n", " "), pem.replace("\n", "\r\n"), pem.replace("\n", "")):
        assert normal_certificates(given) == pem
    assert normal_certificates(pem + pem) == pem + pem
    for bad in (
        "",
        "certificate",
        pem[:-20],
        pem + "x",
        pem.replace("MII", "MIJ", 1),
        "-----BEGIN CERTIFICATE-----",
    ):
        with pytest.raises(InvalidArgument):
            normal_certificates(bad)
