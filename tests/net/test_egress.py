"""Where connections may go: the guard by itself, and the guard inside the transport."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from linkspan.errors import EgressRefused
from linkspan.net.egress import EgressGuard, is_public
from linkspan.net.messages import ConnectionFailed, Request, Response
from linkspan.net.transport import AiohttpTransport
from linkspan.settings import EgressAllowance, parse_egress
from tests.net.conftest import Servers

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00::1"]
NOT_PUBLIC = {
    "unspecified": ["0.0.0.0", "::", "0.1.2.3"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"],
    "link-local": ["169.254.0.1", "fe80::1", "fec0::1"],
    "metadata": ["169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"],
    "shared": ["100.64.0.1", "100.127.255.255"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "192.0.0.8", "198.18.0.1", "4000::1", "100::1", "5f00::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "NAT64": ["64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1"],
    "6to4": ["2002:7f00:1::", "2002:808:808::1", "192.88.99.1"],
    "Teredo": ["2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:8.8.8.8", "::127.0.0.1", "::8.8.8.8"],
}


@dataclass
class Names:
    """A resolver whose answers a test chooses, one list for each look-up."""

    answers: list[list[str]]
    asked: int = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        if not self.answers:
            raise OSError("no such name")
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address: str) -> None:
    """The public internet is public."""
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", [pytest.param(a, id=f"{kind} {a}") for kind, some in NOT_PUBLIC.items() for a in some]
)
def test_addresses_that_are_not_public(address: str) -> None:
    """Everything that leads inside, or nowhere, or where only a translator knows, is not."""
    assert not is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_wrapped_addresses_are_not_public(address: ipaddress.IPv4Address) -> None:
    """No IPv4 address becomes reachable by being wrapped into an IPv6 one."""
    number = int(address)
    wrapped = [
        number,
        0xFFFF << 32 | number,
        0x64FF9B << 96 | number,
        0x64FF9B0001 << 80 | number,
        0x2002 << 112 | number << 80,
        0x20010000 << 96 | number ^ 0xFFFFFFFF,
    ]
    assert not any(is_public(ipaddress.IPv6Address(value)) for value in wrapped)


@given(st.ip_addresses())
def test_every_address_is_judged(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What Python knows to be private, local or reserved is never public."""
    if address.is_private or address.is_loopback or address.is_link_local or address.is_reserved:
        assert not is_public(address)
    assert is_public(address) in {True, False}


async def test_public_name_over_tls_is_let_through() -> None:
    """A name whose every address is public is answered with all of them, in order."""
    guard = EgressGuard(resolver=Names([["93.184.216.34", "2606:4700:4700::1111"]]))
    found = await guard.addresses("Api.Example.com.", 443, secure=True)
    assert [str(address) for address in found] == ["93.184.216.34", "2606:4700:4700::1111"]


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["fe80::1%eth0"],
        ["93.184.216.34", "10.1.2.3"],
        ["::ffff:169.254.169.254"],
    ],
)
async def test_name_that_resolves_inside_is_refused(answers: list[str]) -> None:
    """One address inside refuses a name, whatever else it resolves to; the refusal says what to do."""
    guard = EgressGuard(resolver=Names([answers]))
    with pytest.raises(EgressRefused) as caught:
        await guard.addresses("desk.example", 443, secure=True)
    said = caught.value.for_model()
    assert "desk.example (" in said
    assert "LINKSPAN_ALLOW_EGRESS" in said
    assert "desk.example:443" in said


@pytest.mark.parametrize("host", ["10.1.2.3", "fd00::1", "127.0.0.1"])
async def test_what_the_refusal_proposes_helps(host: str) -> None:
    """Both words that the refusal proposes for LINKSPAN_ALLOW_EGRESS let the host through."""
    with pytest.raises(EgressRefused) as caught:
        await EgressGuard().addresses(host, 8080, secure=False)
    assert caught.value.hint is not None
    words = [word for word in caught.value.hint.replace(",", " ").split() if ":8080" in word or "/" in word]
    assert len(words) == 2
    for word in words:
        guard = EgressGuard(parse_egress(word))
        assert [str(found) for found in await guard.addresses(host, 8080, secure=False)] == [host]


async def test_allowed_network() -> None:
    """A network in the allowance opens its addresses on every port, with TLS or without, and no others."""
    guard = EgressGuard(parse_egress("10.1.0.0/16"), resolver=Names([["10.1.2.3"]]))
    assert await guard.addresses("desk.internal", 80, secure=False)
    with pytest.raises(EgressRefused):
        await guard.addresses("10.2.0.1", 80, secure=False)
    with pytest.raises(EgressRefused):
        await guard.addresses("::ffff:10.1.2.3", 80, secure=False)


async def test_allowed_host_and_port() -> None:
    """`host:port` opens that name on that port, and neither its address nor another name for it."""
    guard = EgressGuard(parse_egress("Desk.internal:8080"), resolver=Names([["10.1.2.3"]]))
    assert await guard.addresses("desk.INTERNAL", 8080, secure=False)
    for host, port in [("desk.internal", 8081), ("other.internal", 8080), ("10.1.2.3", 8080)]:
        with pytest.raises(EgressRefused):
            await guard.addresses(host, port, secure=False)


async def test_plain_http_needs_a_word_of_the_operator() -> None:
    """Without TLS a public host is refused, since credentials would be readable on the way."""
    names = Names([["93.184.216.34"]])
    with pytest.raises(EgressRefused, match="without TLS") as caught:
        await EgressGuard(resolver=names).addresses("desk.example", 80, secure=False)
    assert "desk.example:80" in caught.value.for_model()
    assert await EgressGuard(resolver=names).addresses("desk.example", 80, secure=True)
    allowed = EgressGuard(EgressAllowance(hosts=frozenset({("desk.example", 80)})), resolver=names)
    assert await allowed.addresses("desk.example", 80, secure=False)


@pytest.mark.parametrize("answers", [[], [[]], [["not an address"]]])
async def test_name_without_an_address(answers: list[list[str]]) -> None:
    """A name that is not found is told as that, and nothing was sent."""
    with pytest.raises(ConnectionFailed, match=r"nowhere\.example could not be found") as caught:
        await EgressGuard(resolver=Names(answers)).addresses("nowhere.example", 443, secure=True)
    assert (caught.value.reason, caught.value.sent) == ("name", False)


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    host = next(line for line in head.splitlines() if line.lower().startswith("host:"))
    body = host.partition(": ")[2].encode()
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    writer.close()


async def fetch(transport: AiohttpTransport, url: str) -> Response:
    try:
        return await transport.exchange(Request("GET", url), timeout=10, max_bytes=1000)
    finally:
        await transport.aclose()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "0"]
)
async def test_no_spelling_reaches_loopback(servers: Servers, host: str) -> None:
    """However loopback is written, the transport does not connect to it unless that is allowed."""
    connected = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connected
        connected += 1
        writer.close()

    port = (await servers.raw(handler)).rpartition(":")[2]
    with pytest.raises((EgressRefused, ConnectionFailed)):
        await fetch(AiohttpTransport(EgressGuard()), f"http://{host}:{port}/")
    assert connected == 0


async def test_the_checked_address_is_dialled(servers: Servers) -> None:
    """There is one look-up: a name that would resolve elsewhere the second time gets no second time."""
    port = (await servers.raw(hello)).rpartition(":")[2]
    names = Names([["127.0.0.1"], ["169.254.169.254"]])
    guard = EgressGuard(parse_egress("127.0.0.1"), resolver=names)
    response = await fetch(AiohttpTransport(guard), f"http://desk.example:{port}/")
    assert response.body == f"desk.example:{port}".encode()
    assert names.asked == 1


async def test_rebinding_name_is_refused_when_it_turns(servers: Servers) -> None:
    """Each new connection is checked again: a name that turned inside is refused then."""
    port = (await servers.raw(hello)).rpartition(":")[2]
    guard = EgressGuard(parse_egress("127.0.0.1"), resolver=Names([["127.0.0.1"], ["127.0.0.2"]]))
    transport = AiohttpTransport(guard)
    request = Request("GET", f"http://desk.example:{port}/")
    assert (await transport.exchange(request, timeout=10, max_bytes=1000)).status == 200
    with pytest.raises(EgressRefused, match=r"127\.0\.0\.2"):
        await fetch(transport, request.url)


async def test_next_address_is_tried(servers: Servers) -> None:
    """When the first address of a name refuses, the next one is dialled."""
    port = (await servers.raw(hello)).rpartition(":")[2]
    guard = EgressGuard(parse_egress("127.0.0.0/8"), resolver=Names([["127.0.0.9", "127.0.0.1"]]))
    assert (await fetch(AiohttpTransport(guard), f"http://desk.example:{port}/")).status == 200


@dataclass(frozen=True)
class Authority:
    """A certificate authority of a test, with one certificate for `desk.example`."""

    trusted: ssl.SSLContext
    server: ssl.SSLContext


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Contexts for both ends of a TLS connection to `desk.example`."""
    folder: Path = tmp_path_factory.mktemp("tls")
    now = dt.datetime.now(dt.UTC)

    def certificate(
        subject: str,
        key: ec.EllipticCurvePrivateKey,
        signer: ec.EllipticCurvePrivateKey,
        issuer: str,
        ca: bool,
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder()
        builder = builder.subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        builder = builder.issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=1))
        builder = builder.not_valid_after(now + dt.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(key_id, critical=False)
        if not ca:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False
            )
        return builder.sign(signer, hashes.SHA256())

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    ca = certificate("Test CA", ca_key, ca_key, "Test CA", ca=True)
    leaf = certificate("desk.example", key, ca_key, "Test CA", ca=False)
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain = folder / "desk.pem"
    chain.write_bytes(private + leaf.public_bytes(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    trusted = ssl.create_default_context(cadata=ca.public_bytes(pem).decode())
    return Authority(trusted, server)


def secure_transport(authority: Authority | None) -> AiohttpTransport:
    guard = EgressGuard(parse_egress("127.0.0.1"), resolver=Names([["127.0.0.1"]]))
    return AiohttpTransport(guard, tls=(lambda: authority.trusted) if authority else None)


async def test_tls_name_stays_the_name(servers: Servers, authority: Authority) -> None:
    """Though an address is dialled, the certificate is asked for and checked by the host's name."""
    asked: list[str | None] = []
    authority.server.sni_callback = lambda _socket, name, _context: asked.append(name)
    port = (await servers.raw(hello, tls=authority.server)).rpartition(":")[2]
    response = await fetch(secure_transport(authority), f"https://desk.example:{port}/")
    assert response.body == f"desk.example:{port}".encode()
    assert asked == ["desk.example"]


@pytest.mark.parametrize(("host", "trusts"), [("other.example", True), ("desk.example", False)])
async def test_bad_certificate_is_told(
    servers: Servers, authority: Authority, host: str, trusts: bool
) -> None:
    """A certificate for another name, or of an unknown authority, ends it before anything is sent."""
    port = (await servers.raw(hello, tls=authority.server)).rpartition(":")[2]
    with pytest.raises(ConnectionFailed, match=f"The certificate of {host} is not valid: ") as caught:
        await fetch(secure_transport(authority if trusts else None), f"https://{host}:{port}/")
    assert (caught.value.reason, caught.value.sent) == ("tls", False)


async def test_port_without_tls_is_told(servers: Servers, authority: Authority) -> None:
    """https:// to a port that speaks plain HTTP is told as that."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    port = (await servers.raw(handler)).rpartition(":")[2]
    with pytest.raises(ConnectionFailed, match="does not speak TLS") as caught:
        await fetch(secure_transport(authority), f"https://desk.example:{port}/")
    assert (caught.value.reason, caught.value.sent) == ("tls", False)
