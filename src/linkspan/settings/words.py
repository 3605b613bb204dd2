"""What a variable's words mean, each with the mistake that names the variable and what it takes."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from linkspan.errors import ConfigurationError
from linkspan.settings.shapes import DEFAULT_HOST, DEFAULT_PORT, EgressAllowance, Network

_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_duration(text: str) -> float:
    """Answer the seconds of `30s`, `5m`, `2h` or `7d`. Raises `ValueError`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a number and s, m, h or d, such as 15m")
    return float(match[1]) * _SECONDS[match[2]]


def parse_egress(text: str) -> EgressAllowance:
    """Read `LINKSPAN_ALLOW_EGRESS`: a comma list of networks (`10.0.0.0/8`), addresses and `host:port`."""
    networks: list[Network] = []
    hosts: set[tuple[str, int]] = set()
    for word in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(word.strip("[]"), strict=False))
            continue
        except ValueError:
            host, colon, port = word.rpartition(":")
        if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ConfigurationError(
                f"LINKSPAN_ALLOW_EGRESS: {word!r} is neither a network such as 127.0.0.0/8 nor host:port"
            )
        hosts.add((host.strip("[]").lower(), int(port)))
    return EgressAllowance(tuple(networks), frozenset(hosts))


def keeping(variable: str, text: str | None) -> float | None:
    """Answer seconds, an hour or more; None: for ever."""
    if text is None or text == "forever":
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ConfigurationError(f"{variable}: {error}", hint="It takes 90d, or forever.") from error
    if seconds < 3600:
        raise ConfigurationError(f"{variable}: {text} is too short", hint="It takes an hour (1h) or more.")
    return seconds


def networks(variable: str, text: str | None) -> tuple[Network, ...]:
    """Read a comma list of networks."""
    try:
        words = (word.strip() for word in (text or "").split(","))
        return tuple(ipaddress.ip_network(word, strict=False) for word in words if word)
    except ValueError as error:
        raise ConfigurationError(f"{variable}: {error}") from error


def number(variable: str, text: str | None, default: int) -> int:
    """Read a whole number."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"{variable}: {text!r} is not a whole number")
    return int(text)


def port(text: str | None) -> int:
    """Read `LINKSPAN_PORT`; 0 is any that is free."""
    found = number("LINKSPAN_PORT", text, DEFAULT_PORT)
    if not 0 <= found < 65536:
        raise ConfigurationError(f"LINKSPAN_PORT: {found} is not a port; ports end at 65535")
    return found


def address(text: str | None) -> tuple[str, int] | None:
    """Read `LINKSPAN_METRICS`: a port of this machine alone, or ADDRESS:PORT."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ConfigurationError(
            f"LINKSPAN_METRICS: {text!r} is neither a port nor ADDRESS:PORT",
            hint="Such as 9464, which this machine alone reaches, or 10.0.0.5:9464.",
        )
    return host.strip("[]") or DEFAULT_HOST, int(port)


def collector(text: str | None) -> str | None:
    """Read `LINKSPAN_TRACES`: a URL without a slash at its end."""
    if text is not None and not re.fullmatch(r"https?://[^/@\s?#]+(/[\w.~/-]*)?", text, re.ASCII):
        raise ConfigurationError(
            "LINKSPAN_TRACES is not the URL of a collector",
            hint="It has this form: http://127.0.0.1:4318. What the collector asks for as headers is in"
            " OTEL_EXPORTER_OTLP_HEADERS.",
        )
    return text.rstrip("/") if text is not None else None


def share(text: str | None) -> float:
    """Read `LINKSPAN_TRACES_SHARE`: from 0 to 1."""
    try:
        found = float(text or "1")
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ConfigurationError(f"LINKSPAN_TRACES_SHARE: {text!r} is not a number from 0 to 1")
    return found


def one_of(variable: str, text: str | None, words: tuple[Any, ...]) -> Any:
    """Answer a word of a closed list, the first by default."""
    if text is not None and text not in words:
        raise ConfigurationError(f"{variable}: {text!r} is none of {', '.join(sorted(words))}")
    return text or words[0]


def switch(text: str | None) -> bool:
    """Read yes or no, in the usual words."""
    word = (text or "no").lower()
    if word not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ConfigurationError(f"{text!r} is neither yes nor no")
    return word in {"1", "true", "yes", "on"}


def transit_url(text: str | None) -> str | None:
    """Read `LINKSPAN_TRANSIT_URL`."""
    if text is not None and not re.fullmatch(r"https?://[^/@\s?#]+(/[\w.~-]+){2,}", text, re.ASCII):
        raise ConfigurationError(
            "LINKSPAN_TRANSIT_URL does not name a key of a transit engine",
            hint="It has this form: https://vault.example:8200/v1/transit/KEY",
        )
    return text


def database_url(text: str | None) -> str | None:
    """Read `LINKSPAN_DATABASE`."""
    if text is not None and not text.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError(
            "LINKSPAN_DATABASE is not a URL of PostgreSQL",
            hint="It has this form: postgresql://USER@HOST:PORT/NAME. Leave it out for SQLite in the home.",
        )
    return text


def origin(text: str | None, variable: str = "LINKSPAN_PUBLIC_URL") -> str | None:
    """Read a scheme and a host, without a path."""
    if text is None:
        return None
    url = text.rstrip("/")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(
            f"{variable}: {text!r} must be http:// or https:// and a host, without a path"
        )
    return url
