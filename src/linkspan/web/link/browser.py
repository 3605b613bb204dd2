"""What a browser keeps of link sessions, and of a way to a product.

A session has a cookie of its own, so that two tabs do not take each other's; the page names the session in
every request. In a frame of another site browsers may keep no cookie at all: there the page is given the
handle itself, keeps it in memory, and shows it in a header. Over TLS the cookie is asked for in the frame's
own partition (`SameSite=None; Partitioned`), so that it survives a reload where the browser has partitions.

The window that goes to a product is a first-party one, with a cookie of its own: what comes back is taken
from the browser that set out, and from no other.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request

from linkspan.errors import Forbidden
from linkspan.store.link_sessions import LinkSession

Random = Callable[[int], bytes]
HEADER: Final = "linkspan-link"
_AWAY: Final = "linkspan-away"
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_AFTER: Final = 3_600.0
"""Seconds that a browser may still look at how a session ended."""


def handle_of(request: Request, session: str, base: str) -> str | None:
    """Answer what this browser keeps of a session."""
    shown = request.headers.get(HEADER) or request.cookies.get(_name(f"linkspan-link-{session}", base))
    return shown if shown and _FORM.fullmatch(shown) else None


def session_cookie(session: LinkSession, handle: str, base: str, *, now: float, framed: bool) -> str:
    """Answer the cookie that keeps a handle for as long as the session can be looked at."""
    lifetime = int(session.expires - now + _AFTER)
    return _cookie(f"linkspan-link-{session.id}", handle, base, lifetime, framed=framed)


def traveller(request: Request, base: str) -> str | None:
    """Answer what the window keeps that went to a product."""
    shown = request.cookies.get(_name(_AWAY, base))
    return shown if shown and _FORM.fullmatch(shown) else None


def traveller_cookie(request: Request, base: str, random: Random) -> tuple[str, str]:
    """Answer what the window is known by, the same for all its ways, and the cookie that keeps it."""
    secret = traveller(request, base) or base64.urlsafe_b64encode(random(32)).rstrip(b"=").decode()
    return secret, _cookie(_AWAY, secret, base, 3_600, framed=False)


def check_page(request: Request, base: str) -> None:
    """Let only scripts of our own pages through. Raises `Forbidden`.

    A form of another page can be made to send cookies, but neither our origin nor JSON (RFC 6454 §7).
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    if request.headers.get("origin") != _origin(base) or site != "same-origin":
        raise Forbidden("Only this server's own page may ask that", hint="Load the page again.")


def framed_by(headers: Mapping[str, str]) -> bool:
    """Tell whether a page was asked for by a frame (Fetch Metadata)."""
    return headers.get("sec-fetch-dest") in {"iframe", "frame"}


def _origin(base: str) -> str:
    """Answer a base URL as browsers write its origin."""
    scheme, _, host = base.lower().partition("://")
    return f"{scheme}://{host.removesuffix(':443' if scheme == 'https' else ':80')}"


def _name(name: str, base: str) -> str:
    return f"__Host-{name}" if base.startswith("https://") else name


def _cookie(name: str, value: str, base: str, lifetime: int, *, framed: bool) -> str:
    """Answer a cookie for this host; Starlette writes `Partitioned` only on newer Pythons."""
    secure = base.startswith("https://")
    words = [f"{_name(name, base)}={value}", "Path=/", f"Max-Age={lifetime}", "HttpOnly"]
    if secure:
        words.append("Secure")
    words += ["SameSite=None", "Partitioned"] if framed and secure else ["SameSite=Lax"]
    return "; ".join(words)
