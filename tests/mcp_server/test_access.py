"""Who may talk to the endpoint: Host, Origin, proxies; and how a challenge is worded."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from linkspan.mcp_server.access import Access, challenge, metadata_url
from linkspan.mcp_server.headers import Headers, collect
from linkspan.settings import Settings

HOME = Path("/nowhere")


def headers(**values: str) -> Headers:
    return collect([(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()])


def status(access: Access, peer: str = "127.0.0.1", **values: str) -> int:
    return access.refusal(headers(**values), peer)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8640", "localhost:9", "[::1]:8640", "LOCALHOST:1"])
def test_loopback_names_are_known_on_any_port(host: str) -> None:
    """A laptop needs no settings, and a mapped port is fine."""
    assert status(Access(Settings(HOME)), host=host) == 0


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "127.0.0.1:8x", "", "[::1]:"],
)
def test_another_host_is_refused(host: str) -> None:
    """DNS rebinding brings the attacker's name along."""
    assert status(Access(Settings(HOME)), host=host) == 421


def test_no_host_is_refused() -> None:
    """HTTP/1.1 has one."""
    assert Access(Settings(HOME)).refusal(headers(accept="x"), None) == 421


def test_the_public_url_is_known_with_and_without_its_port() -> None:
    """https://mcp.example is reached as mcp.example and mcp.example:443, and as nothing else."""
    access = Access(Settings(HOME, public_url="https://mcp.example", host="0.0.0.0"))
    assert [status(access, host=host) for host in ("mcp.example", "mcp.example:443", "mcp.example:80")] == [
        0,
        0,
        421,
    ]
    assert status(access, host="0.0.0.0:8640") == 421


def test_the_bound_address_is_known() -> None:
    """Who listens on one address of a machine is called by it."""
    access = Access(Settings(HOME, host="192.0.2.7", port=8640))
    assert status(access, host="192.0.2.7:8640") == 0
    assert status(access, host="192.0.2.8:8640") == 421


@pytest.mark.parametrize(
    ("origin", "answer"),
    [
        ("http://localhost:3000", 403),
        ("http://127.0.0.1:8640", 403),
        ("https://mcp.example", 0),
        ("http://mcp.example", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("file://localhost", 403),
        ("https://mcp.example.evil.example", 403),
    ],
)
def test_an_origin_must_be_one_of_our_names(origin: str, answer: int) -> None:
    """Pages of other sites may not call, even where the Host is right."""
    access = Access(Settings(HOME, public_url="https://mcp.example"))
    assert status(access, host="mcp.example", origin=origin) == answer


def test_pages_of_this_machine_may_call_a_server_without_a_public_url() -> None:
    """An inspector's page runs on another port; with a public URL, only the very host asked counts."""
    alone, public = Access(Settings(HOME)), Access(Settings(HOME, public_url="https://mcp.example"))
    page, own = "http://localhost:6274", "http://localhost:8640"
    assert status(alone, host="localhost:8640", origin=page) == 0
    assert status(alone, host="localhost:8640", origin="http://evil.example") == 403
    assert status(public, host="localhost:8640", origin=page) == 403
    assert status(public, host="localhost:8640", origin=own) == 0


def test_a_repeated_host_or_origin_is_refused() -> None:
    """Two readers would disagree on which one counts."""
    access = Access(Settings(HOME))
    twice = collect([(b"host", b"127.0.0.1"), (b"host", b"evil.example")])
    assert access.refusal(twice, None) == 421
    origins = [(b"origin", b"https://evil.example"), (b"origin", b"http://localhost")]
    assert access.refusal(collect([(b"host", b"127.0.0.1"), *origins]), None) == 403


def test_forwarded_names_count_only_from_a_trusted_proxy() -> None:
    """Anybody can write the header; only the operator's proxy is believed."""
    proxies = (ipaddress.ip_network("10.0.0.0/8"),)
    access = Access(Settings(HOME, public_url="https://mcp.example", trusted_proxies=proxies))
    forwarded = {"host": "inner:8640", "x_forwarded_host": "mcp.example"}
    assert status(access, peer="10.1.2.3", **forwarded) == 0
    assert status(access, peer="203.0.113.9", **forwarded) == 421
    assert status(access, peer="not an address", **forwarded) == 421


def test_the_base_url_is_the_public_one_or_what_the_request_says() -> None:
    """What a client is told to call is what it can reach."""
    scope = {"scheme": "http", "client": ("10.1.2.3", 1)}
    asked = headers(host="127.0.0.1:8640", x_forwarded_proto="https", x_forwarded_host="mcp.example")
    assert (
        Access(Settings(HOME, public_url="https://a.example/b")).base_url(scope, asked)
        == "https://a.example/b"
    )
    assert Access(Settings(HOME)).base_url(scope, asked) == "http://127.0.0.1:8640"
    proxied = Access(Settings(HOME, trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),)))
    assert proxied.base_url(scope, asked) == "https://mcp.example"


def test_known_names_are_remembered_within_bounds() -> None:
    """Somebody who sends a new Host every time fills no memory."""
    access = Access(Settings(HOME))
    for number in range(1000):
        status(access, host=f"evil{number}.example")
    assert len(access._known) <= 256
    assert status(access, host="localhost") == 0


def test_metadata_stands_before_the_path() -> None:
    """RFC 9728 §3.1."""
    assert (
        metadata_url("https://a.example/x/t/acme/mcp")
        == "https://a.example/.well-known/oauth-protected-resource/x/t/acme/mcp"
    )


def test_a_challenge_names_an_error_only_when_there_was_a_token() -> None:
    """RFC 6750 §3.1: who sent nothing made no mistake."""
    plain = challenge("https://a.example/t/acme/mcp")
    assert plain == (
        b'Bearer resource_metadata="https://a.example/.well-known/oauth-protected-resource/t/acme/mcp",'
        b' scope="read write"'
    )
    assert challenge("https://a.example/t/acme/mcp", error="invalid_token").startswith(
        b'Bearer error="invalid_token", resource_metadata='
    )
