"""Our cursors: sealed, bound to tenant and operation, naming the account, valid for a day.

A cursor holds the vendor's position, how many items of that page were already given, and the arguments of
the first call, so that the cursor alone goes on with the same list. Callers cannot read, make or change one.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from linkspan import errors
from linkspan.vault.seal import Vault
from linkspan.wire import Position

LIFETIME = 86_400.0
_PURPOSE = "cursor"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: at `position` of the vendor's pages, after `skip` items of that page."""

    account: str
    position: Position
    skip: int
    arguments: Mapping[str, Any]


class Cursors:
    """Seals and opens cursors for tenants. `clock` answers epoch seconds."""

    def __init__(self, vault: Vault, clock: Callable[[], float]) -> None:
        self._vault = vault
        self._clock = clock

    def seal(self, tenant: str, key: str, cursor: Cursor) -> str:
        """Answer the opaque text of a cursor for `ENTITY.OPERATION` of a tenant."""
        content = json.dumps(
            [
                int(self._clock() + LIFETIME),
                cursor.account,
                cursor.position.at,
                cursor.position.size,
                cursor.skip,
                cursor.arguments,
            ],
            separators=(",", ":"),
        ).encode()
        sealed = self._vault.seal(_PURPOSE, tenant, key, content)
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, tenant: str, key: str, text: str) -> Cursor:
        """Answer what a cursor says; raises `InvalidArgument` for one that is not of this list, or old."""
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            expires, account, at, size, skip, arguments = json.loads(
                self._vault.open(_PURPOSE, tenant, key, sealed)
            )
        except (errors.LinkspanError, binascii.Error, ValueError) as error:
            raise _refused("the cursor is not one of this list") from error
        if expires < self._clock():
            raise _refused("the cursor is older than a day")
        return Cursor(account, Position(at, size), skip, arguments)


def _refused(message: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(
        message,
        hint="Call again without cursor to start from the first page.",
        details=[{"path": "cursor", "message": message}],
    )
