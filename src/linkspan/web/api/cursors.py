"""Where a list goes on: sealed, bound to the list and its filters, good for a day."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final

from linkspan.errors import InvalidArgument, LinkspanError
from linkspan.web.api.endpoint import Call

_LIFETIME: Final = 86_400.0
_PURPOSE: Final = "api_cursor"


def seal(call: Call, listing: str, place: Sequence[Any]) -> str:
    """Answer the cursor for what comes after `place`."""
    content = json.dumps([int(call.parts.clock() + _LIFETIME), *place]).encode()
    sealed = call.parts.sealer.seal(_PURPOSE, "", _record(call, listing), content)
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def opened(call: Call, listing: str) -> list[Any] | None:
    """Answer the place that the request's cursor names, None without one. Raises `InvalidArgument`."""
    text: str | None = call.query.next_cursor
    if text is None:
        return None
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        expires, *place = json.loads(call.parts.sealer.open(_PURPOSE, "", _record(call, listing), sealed))
    except (LinkspanError, binascii.Error, ValueError) as error:
        raise _refused("is not one of this list with these filters") from error
    if expires < call.parts.clock():
        raise _refused("is older than a day")
    return list(place)


def _record(call: Call, listing: str) -> str:
    filters = call.query.model_dump(mode="json", exclude={"limit", "next_cursor"}, exclude_none=True)
    return json.dumps([listing, filters], sort_keys=True)


def _refused(why: str) -> InvalidArgument:
    return InvalidArgument(
        f"next_cursor {why}",
        hint="Ask again without it, from the first page.",
        details=[{"path": "next_cursor", "message": why}],
    )
