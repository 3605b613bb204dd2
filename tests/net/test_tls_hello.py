"""The name in a ClientHello, as real TLS clients send it and as nobody does."""

from __future__ import annotations

import contextlib
import ssl

import pytest

from linkspan.net.tls_hello import Hello, read_hello


def hello(name: str | None, *, versions: tuple[ssl.TLSVersion, ssl.TLSVersion] | None = None) -> bytes:
    """Answer what OpenSSL sends first."""
    context = ssl.create_default_context()
    context.check_hostname = False
    if versions is not None:
        context.minimum_version, context.maximum_version = versions
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return out.read()


def with_extension(kind: int, content: bytes) -> bytes:
    """Answer a small ClientHello with one extension."""
    extension = kind.to_bytes(2, "big") + len(content).to_bytes(2, "big") + content
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    return framed(body + len(extension).to_bytes(2, "big") + extension)


def framed(body: bytes, size: int = 2**14) -> bytes:
    """Answer a ClientHello in records of that size."""
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


TLS_1_2 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
TLS_1_3 = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize("versions", [TLS_1_2, TLS_1_3])
@pytest.mark.parametrize("name", ["forge.example", None])
def test_the_name_that_a_client_asks_for(
    name: str | None, versions: tuple[ssl.TLSVersion, ssl.TLSVersion]
) -> None:
    """In both versions of TLS, with more behind it or cut anywhere before its end."""
    sent = hello(name, versions=versions)
    assert read_hello(sent) == Hello(name)
    assert read_hello(sent + b"more") == Hello(name)
    assert {read_hello(sent[:at]) for at in range(len(sent))} == {None}


def test_a_hello_in_many_records() -> None:
    """However small they are."""
    body = hello("forge.example")[9:]
    for size in (1, 3, 100):
        assert read_hello(framed(body, size)) == Hello("forge.example")


def test_a_hidden_name_is_noticed() -> None:
    """Encrypted Client Hello may ask for another server than it says."""
    assert read_hello(with_extension(0xFE0D, b"\x00" * 20)) == Hello(None, hides_name=True)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x17\x03\x03\x00\x01\x00",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        framed(b"\x03\x03"),
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        with_extension(0, b"\x00\x10\x00"),
        with_extension(0, b"\x00\x0c\x00\x00\x03one\x00\x00\x03two"),
        with_extension(0, b"\x00\x05\x00\x00\x02\xc3\xa4"),
    ],
)
def test_what_no_client_sends(sent: bytes) -> None:
    """Is a mistake and never a wait, or a name."""
    with pytest.raises(ValueError, match=r"^it |^its |ascii"):
        read_hello(sent)
