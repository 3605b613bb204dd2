"""Where a connection may go: resolve once, check every address, dial an address that was checked.

The public internet may be reached over TLS. Everything else (private, loopback, link-local and metadata
addresses, shared address space, multicast, reserved ranges, addresses that wrap an IPv4 address, and plain
`http://` anywhere) needs a word of the operator's in `LINKSPAN_ALLOW_EGRESS`: a network, or `host:port`.

The guard stands where connections are made, so that literal addresses, odd spellings of addresses and names
whose answers change between two look-ups pass through it as well. It knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

from linkspan.errors import EgressRefused
from linkspan.net.messages import CHECK_BASE_URL, ConnectionFailed
from linkspan.settings import EgressAllowance

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Takes a host name and a port, answers addresses in the order of dialling, raises OSError."""

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        # The registry of RFC 6890, whatever this Python's `is_global` thinks of it.
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # what Azure's machines ask about themselves
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # with Teredo
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the public internet, and to nothing that leads elsewhere.

    IPv6 outside of global unicast (RFC 4291 §2.4) is not public, which holds for NAT64 (RFC 6052, RFC 8215)
    and for IPv4-mapped addresses too; nor are 6to4 (RFC 3056) and Teredo (RFC 4380): where they lead to is
    decided by a translator that may stand inside.
    """
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if address.version == 6 and address not in _GLOBAL_UNICAST:
        return False
    return not any(address in network for network in _NOT_PUBLIC if network.version == address.version)


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver, once, for every address of a name."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class EgressGuard:
    """Answers the addresses that may be dialled for a host and port, or refuses."""

    def __init__(self, allowance: EgressAllowance | None = None, *, resolver: Resolver = resolve) -> None:
        self._networks = allowance.networks if allowance else ()
        self._hosts = allowance.hosts if allowance else frozenset[tuple[str, int]]()
        self._resolver = resolver

    async def addresses(self, host: str, port: int, *, secure: bool) -> list[Address]:
        """Look the host up once and answer its addresses; dial these and no others.

        One address that may not be reached refuses all of them: a name that mixes public and private
        answers is an attack or a mistake. `secure` tells whether TLS will be spoken.

        Raises `EgressRefused`, or `ConnectionFailed` for a name that has no address.
        """
        name = host.strip("[]").rstrip(".").lower()
        found = await self._look_up(name, port)
        if (name, port) in self._hosts:
            return found
        for address in found:
            self._check(name, port, address, secure)
        return found

    def _check(self, host: str, port: int, address: Address, secure: bool) -> None:
        if any(address in network for network in self._networks if network.version == address.version):
            return
        place = host if host == str(address) else f"{host} ({address})"
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if not is_public(address):
            raise EgressRefused(
                f"Connections to {place} are not allowed: it is not a public internet address",
                hint=f"If it is meant to be reached, the operator adds {where} or a network such as "
                f"{address}/{address.max_prefixlen} to LINKSPAN_ALLOW_EGRESS.",
            )
        if not secure:
            raise EgressRefused(
                f"Connections to {place} without TLS are not allowed: credentials would travel in the open",
                hint=f"Use https:// in base_url, or the operator adds {where} to LINKSPAN_ALLOW_EGRESS.",
            )

    async def _look_up(self, name: str, port: int) -> list[Address]:
        try:
            return [ipaddress.ip_address(name)]
        except ValueError:
            pass
        try:
            texts = await self._resolver(name, port)
            # The scope of a link-local address (fe80::1%eth0) does not change what it is.
            found = [ipaddress.ip_address(text.partition("%")[0]) for text in texts]
        except (OSError, UnicodeError, ValueError) as error:
            found = []
            cause: Exception | None = error
        else:
            cause = None
        if not found:
            raise ConnectionFailed(
                f"The name {name} could not be found",
                reason="name",
                sent=False,
                hint=CHECK_BASE_URL,
            ) from cause
        return found
