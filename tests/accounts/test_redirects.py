"""Redirect URIs (statement 21 of the security checklist)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.accounts.redirects import choose_redirect, read_redirect

LOOPBACK = ["http://127.0.0.1/callback", "http://localhost/callback", "http://[::1]/callback"]


@pytest.mark.parametrize("registered", LOOPBACK)
@pytest.mark.parametrize("port", ["", ":1", ":38109", ":65535"])
def test_21_the_port_of_a_loopback_address_may_differ(registered: str, port: str) -> None:
    """A program takes a port that is free."""
    given_uri = registered.replace("/callback", f"{port}/callback")
    found = choose_redirect([registered], given_uri)
    assert found is not None and found.uri == given_uri and found.is_loopback
    assert choose_redirect([given_uri], registered) is not None


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:38109/callback/",
        "http://127.0.0.1:38109/Callback",
        "http://127.0.0.1:38109/callback?x=1",
        "http://127.0.0.1:38109/callback/../evil",
        "http://127.0.0.1:38109/%63allback",
        "http://localhost:38109/callback",
        "http://[::1]:38109/callback",
        "http://127.0.0.2:38109/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:38109@evil.example/callback",
        "http://user@127.0.0.1:38109/callback",
        "https://127.0.0.1:38109/callback",
        "http://127.0.0.1:38109/callback#x",
        "http://127.0.0.1:99999/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:38109\\@evil.example/callback",
        "http://127.0.0.1:38109/callback\r\nLocation: https://evil.example",
        " http://127.0.0.1:38109/callback",
        "http://127.1:38109/callback",
        "",
    ],
)
def test_21_nothing_but_the_port_may_differ(asked: str) -> None:
    """Path, query, host, scheme: character by character."""
    assert choose_redirect(["http://127.0.0.1/callback"], asked) is None


def test_21_anywhere_else_everything_is_exact() -> None:
    """The port of a host that is not this machine is part of who it is."""
    own = ["https://app.example/cb", "https://app.example:8443/cb"]
    assert choose_redirect(own, "https://app.example/cb") is not None
    assert choose_redirect(own, "https://app.example:8443/cb") is not None
    for asked in ("https://app.example:8444/cb", "https://app.example/cb2", "https://App.example/cb"):
        assert choose_redirect(own, asked) is None


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "cursor://callback",
        "http://app.example/cb",
        "http://10.0.0.1/cb",
        "ftp://app.example/cb",
        "//app.example/cb",
        "https://",
        "https://app.example/cb#fragment",
        "https://user:secret@app.example/cb",
        f"https://app.example/{'x' * 2000}",
    ],
)
def test_21_other_schemes_and_plain_http_are_nobodys_redirect(uri: str) -> None:
    """Neither registered nor asked for."""
    assert read_redirect(uri) is None
    assert choose_redirect([uri], uri) is None


@given(st.text(max_size=60))
def test_21_what_is_read_is_what_was_written(text: str) -> None:
    """Nothing is mended on the way: what does not fit as it stands is refused."""
    found = read_redirect(f"https://app.example/{text}")
    if found is not None:
        assert found.uri == f"https://app.example/{text}"
        assert found.uri.isascii() and found.uri.isprintable() and " " not in found.uri
