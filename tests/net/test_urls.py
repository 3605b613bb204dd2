"""What URLs say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.net.urls import is_below, origin_of, resolve

BASE = "https://desk.example/api/v2"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://desk.example/api?x=/", "https://desk.example:443"),
        ("http://desk.example", "http://desk.example:80"),
        ("HTTPS://Desk.Example:8443/", "https://desk.example:8443"),
        ("https://desk.example?x=1", "https://desk.example:443"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("http://127.0.0.1:80/", "http://127.0.0.1:80"),
    ],
)
def test_origin(url: str, origin: str) -> None:
    """Scheme, host and port, the port always written."""
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    ["", "/x", "desk.example/x", "ftp://desk.example/", "https://", "https://:443/", "https://u@desk.example/",
     "https://desk.example:0/", "https://desk.example:99999/", "https://desk.example:x/", "https://[::1/",
     "mailto:a@b"],
)  # fmt: skip
def test_what_has_no_origin(url: str) -> None:
    """Whatever is no absolute http(s) URL, or names a user, is refused."""
    with pytest.raises(ValueError, match=r".*"):
        origin_of(url)


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("https://desk.example/api/v2/tickets?page=2", "https://desk.example/api/v2/tickets?page=2"),
        (
            "/api/v2/tickets?cursor=a%2Bb%3D&x=1+2",
            "https://desk.example/api/v2/tickets?cursor=a%2Bb%3D&x=1+2",
        ),
        ("?page=2", "https://desk.example/api/v2/tickets?page=2"),
        ("other?a[]=1", "https://desk.example/api/v2/other?a[]=1"),
        (" /a b/ü?q=ß#top ", "https://desk.example/a%20b/%C3%BC?q=%C3%9F"),
        ('/x?filter={"a":1}', "https://desk.example/x?filter=%7B%22a%22:1%7D"),
        ("//other.example/x", "https://other.example/x"),
    ],
)
def test_reference(reference: str, url: str) -> None:
    """References mean what RFC 3986 says; what is encoded stays, what may not stand there is encoded."""
    assert resolve("https://desk.example/api/v2/tickets?page=1", reference) == url


@pytest.mark.parametrize(
    "reference", ["javascript:alert(1)", "\\\\evil.example\\x", "https:\\evil.example", "data:x"]
)
def test_reference_to_elsewhere(reference: str) -> None:
    """What leads out of HTTP, or hides a slash, is refused."""
    with pytest.raises(ValueError, match=r".*"):
        resolve(BASE, reference)


@pytest.mark.parametrize(
    "url",
    [
        BASE,
        f"{BASE}/",
        f"{BASE}/tickets?next=../..",
        "https://DESK.example:443/api/v2/x",
        f"{BASE}/a..b",
        f"{BASE}?x",
    ],
)
def test_below(url: str) -> None:
    """The base path itself and everything under it is below the base."""
    assert is_below(url, BASE)
    assert is_below(url, BASE + "/")


@pytest.mark.parametrize(
    "url",
    [
        "http://desk.example/api/v2/x",
        "https://desk.example:8443/api/v2/x",
        "https://evil.example/api/v2/x",
        "https://desk.example.evil.example/api/v2/x",
        "https://desk.example/api/v20/x",
        "https://desk.example/api",
        "https://desk.example/",
        f"{BASE}/../v1/x",
        f"{BASE}/%2e%2e/v1/x",
        f"{BASE}/x/.%2E",
        f"{BASE}/./x",
    ],
)
def test_not_below(url: str) -> None:
    """Another scheme, host, port or path is not, and a path with dots might not be."""
    assert not is_below(url, BASE)


@given(st.text(max_size=60))
def test_reference_stays_or_is_seen_to_leave(text: str) -> None:
    """Whatever text a product answers: it is refused, or becomes visible ASCII with a known origin."""
    try:
        url = resolve(BASE + "/tickets", text)
    except ValueError:
        return
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert "#" not in url
    if is_below(url, BASE):
        assert url.startswith(BASE)
