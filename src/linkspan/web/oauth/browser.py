"""What a browser keeps for us: who has signed in with it, and a secret that ties a form to it.

Over TLS every cookie is `__Host-` (of this host only, for every path, not for scripts); a browser does not
take those over plain HTTP, which is served on loopback only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from linkspan.accounts.sessions import SignedIn
from linkspan.web.oauth.place import Place

Random = Callable[[int], bytes]
_BROWSER: Final = "linkspan-browser"
_SESSION: Final = "linkspan-session"


class Browser:
    """The browser of one request, at one place."""

    def __init__(self, request: Request, place: Place, random: Random) -> None:
        self._request = request
        self._place = place
        known = request.cookies.get(cookie_name(_BROWSER, place), "")
        self._is_new = len(known) != 43
        self._secret = _text(random(32)) if self._is_new else known

    @property
    def session(self) -> str | None:
        """What it keeps of a sign-in at this tenant."""
        return self._request.cookies.get(_session_name(self._place))

    def seal(self, *parts: str) -> str:
        """Answer what only this browser can bring back for these words: forms carry it against forgery."""
        words = b"".join(struct.pack(">I", len(part.encode())) + part.encode() for part in parts)
        return _text(hmac.digest(self._secret.encode(), words, "sha256"))

    def is_sealed(self, seal: str | None, *parts: str) -> bool:
        """Tell whether a form came from a page that this browser was given, with these words."""
        if self._is_new:
            return False
        return hmac.compare_digest((seal or "").encode(), self.seal(*parts).encode())

    def keep(self, response: Response) -> Response:
        """Let the browser keep its secret until it is closed, with the page that has a form."""
        if self._is_new:
            set_cookie(response, cookie_name(_BROWSER, self._place), self._secret, self._place)
        return response

    def sign_in(self, response: Response, who: SignedIn) -> Response:
        """Let the browser keep its session."""
        if who.cookie is not None:
            text = who.cookie.reveal()
            set_cookie(response, _session_name(self._place), text, self._place, lifetime=30 * 86_400)
        return response

    def sign_out(self, response: Response) -> Response:
        """Let the browser forget its session."""
        set_cookie(response, _session_name(self._place), "", self._place, lifetime=0)
        return response


def cookie_name(name: str, place: Place) -> str:
    """Answer the full name of a cookie."""
    return f"__Host-{name}" if place.secure else name


def set_cookie(
    response: Response, name: str, value: str, place: Place, *, lifetime: int | None = None
) -> None:
    """Set a cookie for this host alone; until the browser is closed when no lifetime is given."""
    response.set_cookie(
        name, value, max_age=lifetime, path="/", secure=place.secure, httponly=True, samesite="lax"
    )


def _session_name(place: Place) -> str:
    return cookie_name(f"{_SESSION}-{place.tenant}", place)


def digest(text: str) -> str:
    """Answer base64url of a text's SHA-256."""
    return _text(hashlib.sha256(text.encode()).digest())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
