"""What a request says: its path as it was sent, and which of its parameters are ours.

Paths and parameters of products go on exactly as they came: decoding and encoding again would change some.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, unquote_plus

from starlette.types import Scope

from linkspan.errors import InvalidArgument
from linkspan.web.passing import headers_of, request_id_of

ACCOUNT: Final = "integrated_account_id"
TENANT: Final = "tenant_id"
_OURS: Final = re.compile(r"truto_[a-z_]+(\[\])?\Z")
_LONGEST_KEY: Final = 255
_MOST: Final = 500
_LONGEST: Final = 16_384
"""Characters of a path with its query."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, taken apart. Header names are in lower case."""

    method: str
    segments: Sequence[str]
    """The path, encoded as it came, without its first word."""
    pairs: Sequence[tuple[str, str]] = field(repr=False)
    """All parameters that are not ours, decoded, in order."""
    query: str = field(repr=False)
    """The same, as they came."""
    words: Mapping[str, Sequence[str]]
    """Ours: names that begin with `truto_`, without it and without `[]`."""
    headers: Mapping[str, str] = field(repr=False)
    request_id: str
    account: str | None
    tenant: str | None

    @property
    def path(self) -> str:
        """The path below its second word."""
        return "".join(f"/{segment}" for segment in self.segments[1:])

    @property
    def first(self) -> str:
        """The second word of the path, decoded: a connector, a resource or a group."""
        return unquote(self.segments[0]) if self.segments else ""

    def word(self, name: str) -> str | None:
        """Answer a parameter of ours, the last where there are several."""
        return self.words[name][-1] if name in self.words else None


def read_request(scope: Scope, *, is_admins: bool = False) -> Asked:
    """Take a request apart; `tenant_id` is ours only where an operator's key is shown.

    Raises `InvalidArgument`.
    """
    headers = headers_of(scope)
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    try:
        path, text = raw.partition(b"?")[0].decode("ascii"), query.decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidArgument("The address is not encoded") from error
    parts = [part for part in text.split("&") if part]
    if len(path) + len(text) > _LONGEST or len(parts) > _MOST:
        raise InvalidArgument("The address is too long")
    words: dict[str, list[str]] = {}
    pairs: list[tuple[str, str]] = []
    kept: list[str] = []
    named: dict[str, str] = {}
    for part in parts:
        raw_name, _, raw_value = part.partition("=")
        name, value = unquote_plus(raw_name), unquote_plus(raw_value)
        if name == ACCOUNT or (name == TENANT and is_admins):
            if named.setdefault(name, value) != value:
                raise InvalidArgument(f"{name} is given more than once")
        elif _OURS.match(name):
            words.setdefault(name.removeprefix("truto_").removesuffix("[]"), []).append(value)
        else:
            pairs.append((name, value))
            kept.append(part)
    return Asked(
        scope["method"],
        path.split("/")[2:],
        pairs,
        "&".join(kept),
        words,
        headers,
        request_id_of(scope),
        named.get(ACCOUNT) or None,
        named.get(TENANT) or None,
    )


def check_key(key: str) -> str:
    """Answer an `Idempotency-Key`; raises `InvalidArgument` for what is none."""
    if not 0 < len(key) <= _LONGEST_KEY or not key.isprintable():
        raise InvalidArgument(f"Idempotency-Key has 1 to {_LONGEST_KEY} printable characters")
    return key
