"""What a URL says: its origin, what it becomes relative to another, whether it stays below a base."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, urldefrag, urljoin, urlsplit

_PORTS = {"http": 80, "https": 443}
_KEPT = "%/:?#[]@!$&'()*+,;=~"
"""What stays as it is beside letters, digits and `-._` (RFC 3986 §2.2), with the `%` of what is encoded."""
_SLASH = r"(?:[/\\]|%(?:25)*(?:2f|5c))"
_PARAMETER = r"(?:(?:;|%(?:25)*3b)[^/]*)?"
DOTS = re.compile(rf"{_SLASH}(?:\.|%(?:25)*2e){{1,2}}{_PARAMETER}(?:{_SLASH}|\Z)", re.IGNORECASE)
"""What leads up from where it stands in a path (RFC 3986 §5.2.4), for servers too that resolve it after they
have decoded it, once or more often, or that take what follows `;` for a parameter of the segment."""


_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]*\Z")


def encoded(text: str) -> str:
    """Percent-encode everything but unreserved characters (RFC 3986 §2.3)."""
    return text if _UNRESERVED.match(text) else quote(text, safe="")


def origin_of(url: str) -> str:
    """Answer `scheme://host:port` of a URL (RFC 6454 §4), the port always written, all in lower case.

    Raises `ValueError` for what is not an absolute http(s) URL, and for one that names a user.
    """
    end = url.find("/", 8)
    return _origin(url if end < 0 else url[:end])


@lru_cache(maxsize=1024)
def _origin(prefix: str) -> str:
    parts = urlsplit(prefix)
    port = parts.port if parts.port is not None else _PORTS.get(parts.scheme)
    if parts.scheme not in _PORTS or not parts.hostname or not port or "@" in parts.netloc:
        raise ValueError("not an absolute http:// or https:// URL")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


def resolve(base: str, reference: str) -> str:
    """Answer what a URL reference from an answer means at `base` (RFC 3986 §5), encoded and without fragment.

    Characters that may not stand in a URL are percent-encoded; what is encoded already is left as it is.
    Raises `ValueError` as `origin_of` does, and for a backslash, which some take for a slash.
    """
    if "\\" in reference:
        raise ValueError("a URL holds no backslash")
    joined, _ = urldefrag(urljoin(base, quote(reference.strip(), safe=_KEPT)))
    origin_of(joined)
    return joined


def is_below(url: str, base: str) -> bool:
    """Tell whether a URL has the origin of `base` and a path at or below its path, dots not counted."""
    path, above = urlsplit(url).path, urlsplit(base).path.rstrip("/")
    if origin_of(url) != origin_of(base) or DOTS.search(path):
        return False
    return path == above or path.startswith(above + "/")
