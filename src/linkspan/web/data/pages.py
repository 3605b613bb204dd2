"""A product's own list in the shape of every other: `{result, next_cursor, …}`.

The pages of an API are read as its connector says they go on. A cursor of ours holds the product's position
and is sealed for the tenant, the connector and the path.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from linkspan.errors import InvalidArgument, LinkspanError
from linkspan.net import paging
from linkspan.net.queries import query_text
from linkspan.spec.catalog import Connector
from linkspan.web.data.parts import Sealer

LIFETIME: Final = 86_400.0
_PURPOSE: Final = "cursor"
_USUAL: Final = ("data", "items", "results", "records", "values", "entries")
"""What most products call the list in their answer."""
CURSOR: Final = "next_cursor"


@dataclass(frozen=True, slots=True)
class Listing:
    """One list of a product, for one tenant."""

    connector: Connector
    path: str
    tenant: str
    sealer: Sealer
    clock: Callable[[], float]

    def asked(self, pairs: Sequence[tuple[str, str]]) -> tuple[str, str | int | None]:
        """Answer the query to send for a page, with the product's position in place of ours.

        Raises `InvalidArgument` for a cursor that is not of this list, or old.
        """
        cursor = next((value for name, value in pairs if name == CURSOR), None)
        kept = [pair for pair in pairs if pair[0] != CURSOR]
        if cursor is None:
            return query_text(kept), None
        position = self._opened(cursor)
        rule, send = self.connector.paging, self._send()
        if rule.style in {"link", "next_url"}:
            return str(position).partition("?")[2], position
        if send is not None:
            kept = [pair for pair in kept if pair[0] != send] + [(send, str(position))]
        return query_text(kept), position

    def shown(
        self, body: Any, headers: Mapping[str, str], url: str, base: str, position: str | int | None
    ) -> dict[str, Any]:
        """Answer the page in our shape; what is no list becomes `{result: …}`."""
        items = items_of(body)
        if items is None:
            return {"result": body}
        read = paging.Read(body, headers, url, len(items), position)
        following = paging.next_position(self.connector.paging, read, base_url=base)
        return page(items, None if following is None else self._sealed(following))

    def _send(self) -> str | None:
        return self.connector.proxy.parameter_of(self.path) or self.connector.paging.send

    def _record(self) -> str:
        return f"proxy:{self.connector.name}:{self.path}"

    def _sealed(self, position: str | int) -> str:
        content = json.dumps([int(self.clock() + LIFETIME), position]).encode()
        sealed = self.sealer.seal(_PURPOSE, self.tenant, self._record(), content)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def _opened(self, text: str) -> str | int:
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            expires, position = json.loads(self.sealer.open(_PURPOSE, self.tenant, self._record(), sealed))
        except (LinkspanError, binascii.Error, ValueError) as error:
            raise _refused("is not one of this list") from error
        if expires < self.clock():
            raise _refused("is older than a day")
        found: str | int = position
        return found


def page(items: Sequence[Any], next_cursor: str | None, *, truncated: bool = False) -> dict[str, Any]:
    """Answer a page as every door shows one."""
    return {
        "result": items,
        "next_cursor": next_cursor,
        "prev_cursor": None,
        "result_count": len(items),
        "is_partial_response": truncated,
    }


def items_of(body: Any) -> list[Any] | None:
    """Answer the list of an answer: itself, the member that is usually called so, or its only list."""
    if isinstance(body, list):
        return body
    if not isinstance(body, dict):
        return None
    for name in _USUAL:
        if isinstance(body.get(name), list):
            found: list[Any] = body[name]
            return found
    lists = [value for value in body.values() if isinstance(value, list)]
    is_list = len(lists) == 1 and "id" not in body
    return lists[0] if is_list else None


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument(
        f"{CURSOR} {why}",
        hint="Ask again without it, from the first page.",
        details=[{"path": CURSOR, "message": why}],
    )
