"""Answers that are kept to be asked after (RFC 9110 §13.1.2): an ETag, and the body that it stands for.

In memory, bounded, and by account: what one account was answered is never another's. A product that says 304
has looked at the very credential that asked, so nothing is shown that it would not have answered.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from linkspan.net.messages import Response

Key = tuple[str, str, str]
"""Tenant, account, URL."""
_LONGEST_TAG: Final = 1000


@dataclass(frozen=True, slots=True)
class _Entry:
    etag: str
    response: Response


class Kept:
    """The answers that were used last: at most so many, with at most so many bytes of bodies."""

    def __init__(self, *, most: int = 512, most_bytes: int = 16 * 2**20, longest: int = 2**20) -> None:
        """`longest` is the largest body that is kept at all."""
        self._most = most
        self._most_bytes = most_bytes
        self._longest = longest
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._bytes = 0

    def etag(self, key: Key) -> str | None:
        """Answer the tag of what is kept."""
        entry = self._entries.get(key)
        return entry.etag if entry is not None else None

    def settle(self, key: Key, response: Response) -> Response:
        """Answer what a response means: the kept one for a 304, else itself, which is kept if it may be."""
        if response.status == 304:
            entry = self._entries.get(key)
            if entry is None:
                return response
            self._entries.move_to_end(key)
            # The newer headers stand (RFC 9111 §3.2): they say what is left of a rate limit, for one.
            headers = {**entry.response.headers, **response.headers}
            return Response(entry.response.status, headers, entry.response.body, response.url)
        self._forget(key)
        etag = response.headers.get("etag", "")
        private = "no-store" in response.headers.get("cache-control", "").lower()
        if response.status == 200 and 0 < len(etag) <= _LONGEST_TAG and not private:
            self._keep(key, _Entry(etag, response))
        return response

    def _keep(self, key: Key, entry: _Entry) -> None:
        if len(entry.response.body) > self._longest:
            return
        self._entries[key] = entry
        self._bytes += len(entry.response.body)
        while len(self._entries) > self._most or self._bytes > self._most_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.response.body)
