"""Where a request came to: which tenant's authorization server, under which name, and from whom."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Scope

from linkspan.accounts.principal import Tenant
from linkspan.accounts.redirects import LOOPBACK

_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class Visit:
    """What a request says about its way here."""

    base: str
    """The URL that this server is reached at, without a slash at the end."""
    address: str
    """Of the client, or of its network: whose attempts are counted together."""


See = Callable[[Scope], Visit]


@dataclass(frozen=True, slots=True)
class Place:
    """The authorization server of one tenant, as this request calls it."""

    base: str
    tenant: Tenant
    address: str

    @property
    def issuer(self) -> str:
        """What the authorization server is called (RFC 8414 §2)."""
        return issuer_of(self.base, self.tenant)

    @property
    def resource(self) -> str:
        """What its tokens are for: the MCP endpoint."""
        return f"{self.issuer}/mcp"

    @property
    def path(self) -> str:
        """The beginning of every path of the tenant."""
        return f"/t/{self.tenant}"

    @property
    def secure(self) -> bool:
        """Whether it is reached over TLS, so that cookies can be bound to it."""
        return self.base.startswith("https://")


def issuer_of(base: str, tenant: str) -> str:
    """Answer the issuer of a tenant's authorization server."""
    return f"{base}/t/{tenant}"


def may_sign_in(base: str) -> bool:
    """Tell whether codes and tokens may travel to this base URL: over TLS, or not over a network at all."""
    url = urlsplit(base)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return url.scheme == "https" or host in LOOPBACK


def is_tenant(name: str) -> bool:
    """Tell whether a word of a path can be a tenant's name."""
    return _TENANT.fullmatch(name) is not None


def network_of(address: str | None) -> str:
    """Answer what stands for an address when attempts are counted: an IPv6 network has one owner (/64)."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if found.version == 4:
        return str(found)
    return str(ipaddress.ip_network((found, 64), strict=False))
