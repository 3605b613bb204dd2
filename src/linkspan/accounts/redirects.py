"""Redirect URIs: which a client may have, and when the one of a request is one of its own.

Compared character by character (RFC 9700 §2.1); only the port of a loopback address may differ, since a
program on somebody's machine takes one that is free (RFC 8252 §7.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

LOOPBACK: Final = frozenset({"127.0.0.1", "[::1]", "localhost"})
LONGEST: Final = 2_000
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_URI: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?"
    r"(?P<rest>(?:/[!$-;=?-\[\]_a-z~]*)?(?:\?[!$-;=?-\[\]_a-z~]*)?)",
    re.ASCII,
)
"""Visible ASCII of RFC 3986: no `user@`, no fragment, no backslash, no white space."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect URI that a client may have."""

    uri: str
    scheme: str
    host: str
    port: str
    rest: str

    @property
    def is_loopback(self) -> bool:
        """Whether it leads to the machine of whoever signs in."""
        return self.host in LOOPBACK

    @property
    def origin(self) -> str:
        """Scheme, host and port as they are written."""
        return f"{self.scheme}://{self.host}{self.port}"

    def is_same_as(self, other: Redirect) -> bool:
        """Tell whether it is the other one, but for the port of a loopback address."""
        if self.uri == other.uri:
            return True
        return self.is_loopback and (self.scheme, self.host, self.rest) == (
            other.scheme,
            other.host,
            other.rest,
        )


def read_redirect(uri: str) -> Redirect | None:
    """Read a redirect URI: https anywhere, http on a loopback address; None for everything else."""
    match = _URI.fullmatch(uri) if len(uri) <= LONGEST else None
    if match is None or int(match["port"][1:] if match["port"] else 0) > 65_535:
        return None
    if match["scheme"] == "http" and match["host"] not in LOOPBACK:
        return None
    return Redirect(uri, match["scheme"], match["host"], match["port"] or "", match["rest"])


def page_origin(text: str) -> str | None:
    """Answer a page's origin as browsers write it; None for what is none, or what a policy cannot name."""
    found = read_redirect(text.rstrip("/"))
    if found is None or found.rest or found.host.startswith("["):
        return None
    port = "" if found.port == _DEFAULT_PORTS[found.scheme] else found.port
    return f"{found.scheme}://{found.host.lower()}{port}"


def choose_redirect(registered: Iterable[str], given: str) -> Redirect | None:
    """Answer the redirect of a request if it is one of the client's own."""
    asked = read_redirect(given)
    if asked is None:
        return None
    own = (read_redirect(uri) for uri in registered)
    return asked if any(one is not None and one.is_same_as(asked) for one in own) else None
