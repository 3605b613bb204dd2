"""Who may talk to the HTTP endpoint: Host and Origin, behind trusted proxies or not; and how a 401 is worded.

A page in a browser may be made to call an address on its visitor's machine (DNS rebinding); it cannot lie
about Host and Origin, so both must be names that this server is known by. Without a public URL the server is
one of somebody's own machine, and pages of that machine (any loopback port) may call it; with one, only pages
of that URL and of the very host that was asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import urlsplit

from linkspan.mcp_server.headers import Headers
from linkspan.settings import Network, Settings

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
SCOPES: Final = "read write"
_UNSPECIFIED: Final = ("0.0.0.0", "::", "[::]", "")  # noqa: S104 - recognised, not bound
_KEPT: Final = 256
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class Access:
    """The names that this server answers to."""

    def __init__(self, settings: Settings) -> None:
        self._proxies: tuple[Network, ...] = settings.trusted_proxies
        self._public = settings.public_url
        self._public_hosts: set[str] = set()
        self._origins: set[str] = set()
        self._bound: set[str] = set()
        if settings.public_url:
            url = urlsplit(settings.public_url)
            self._public_hosts = _with_default_port(url.netloc.lower(), url.scheme)
            self._origins = {f"{url.scheme}://{host}" for host in self._public_hosts}
        self._hosts = set(self._public_hosts)
        if settings.host not in _UNSPECIFIED:
            bare = f"[{settings.host}]" if ":" in settings.host.strip("[]") else settings.host
            self._bound = {bare.lower(), f"{bare.lower()}:{settings.port}"}
            self._hosts |= self._bound
        self._known: dict[tuple[bytes | None, bytes | None], int] = {}

    def refusal(self, headers: Headers, peer: str | None) -> int:
        """Answer 0, or the HTTP status that refuses the request: 421 for the Host, 403 for the Origin."""
        if self._proxies and self._trusted(peer):
            host = (headers.text(b"x-forwarded-host") or "").split(",")[0].strip().encode("latin-1")
            key = (host or headers.values.get(b"host"), headers.values.get(b"origin"))
        else:
            key = (headers.values.get(b"host"), headers.values.get(b"origin"))
        if headers.repeated and (b"host" in headers.repeated or b"origin" in headers.repeated):
            return 421 if b"host" in headers.repeated else 403
        known = self._known.get(key)
        if known is None:
            known = self._judge(*key)
            if len(self._known) < _KEPT:
                self._known[key] = known
        return known

    def base_url(self, scope: Any, headers: Headers) -> str:
        """Answer the URL that this server is reached at: the public one, else what the request says."""
        if self._public:
            return self._public
        scheme = scope.get("scheme", "http")
        host = headers.text(b"host") or ""
        if self._proxies and self._trusted(peer(scope)):
            proto = (headers.text(b"x-forwarded-proto") or "").split(",")[0].strip().lower()
            scheme = proto if proto in ("http", "https") else scheme
            host = (headers.text(b"x-forwarded-host") or "").split(",")[0].strip() or host
        return f"{scheme}://{host}"

    def client_address(self, scope: Any, headers: Headers) -> str | None:
        """Answer where a request comes from: the last address that no proxy of ours has, as they say."""
        address = peer(scope)
        if self._proxies and self._trusted(address):
            for hop in reversed((headers.text(b"x-forwarded-for") or "").split(",")):
                if hop.strip():
                    address = hop.strip()
                if not self._trusted(address):
                    break
        return address

    def _judge(self, host: bytes | None, origin: bytes | None) -> int:
        if host is None or not _is_known(host.strip(b" \t").decode("latin-1").lower(), self._hosts):
            return 421
        if origin is None:
            return 0
        stated = origin.strip(b" \t").decode("latin-1").lower()
        scheme, _, name = stated.partition("://")
        if stated in self._origins:
            return 0
        if scheme not in ("http", "https"):
            return 403
        if self._public:
            here = host.strip(b" \t").decode("latin-1").lower()
            return 0 if name == here and name not in self._public_hosts else 403
        return 0 if _is_known(name, self._bound) else 403

    def _trusted(self, peer: str | None) -> bool:
        try:
            address = ipaddress.ip_address(peer or "")
        except ValueError:
            return False
        return any(address.version == network.version and address in network for network in self._proxies)


def peer(scope: Any) -> str | None:
    """Answer the address at the other end of the connection."""
    client = scope.get("client")
    return client[0] if client else None


def _with_default_port(netloc: str, scheme: str) -> set[str]:
    """Answer both ways of writing a host whose port is the scheme's own."""
    port = _DEFAULT_PORTS.get(scheme, "")
    if netloc.endswith(f":{port}"):
        return {netloc, netloc[: -len(port) - 1]}
    host = netloc.rpartition("]")[2] if netloc.startswith("[") else netloc
    return {netloc} if ":" in host else {netloc, f"{netloc}:{port}"}


def _is_known(host: str, hosts: Collection[str]) -> bool:
    if host in hosts:
        return True
    for name in LOOPBACK:
        if host == name:
            return True
        if host.startswith(f"{name}:"):
            port = host[len(name) + 1 :]
            return port.isascii() and port.isdigit()
    return False


def metadata_url(resource: str) -> str:
    """Answer where the metadata of a protected resource stands (RFC 9728 §3.1: inserted before the path)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"


def challenge(resource: str, *, error: str | None = None, scope: str = SCOPES) -> bytes:
    """Answer `WWW-Authenticate` (RFC 6750 §3, RFC 9728 §5.1). `error` only when a token was sent."""
    told = f'error="{error}", ' if error else ""
    return f'Bearer {told}resource_metadata="{metadata_url(resource)}", scope="{scope}"'.encode("latin-1")
