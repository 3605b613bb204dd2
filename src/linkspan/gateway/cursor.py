"""Our cursors: sealed, bound to tenant and operation, naming the account, valid for a day.

A cursor holds the vendor's position, how many items of that page were already given, and the arguments of
the first call, so that the cursor alone goes on with the same list. Of long arguments it holds a digest: then
the same arguments have to come with it. Callers cannot read, make or change one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from linkspan import errors
from linkspan.vault.seal import Vault
from linkspan.wire import Position

LIFETIME = 86_400.0
LONGEST_ARGUMENTS = 1024
"""Bytes of arguments that a cursor carries."""
LONGEST = 8192
"""Characters of a cursor: a model reads it with every page and writes it for the next."""
_PURPOSE = "cursor"


@dataclass(frozen=True, slots=True)
class Trace:
    """How far a list has come, and a position on the way: enough to see that it goes round in a circle.

    Brent's way: the position of step 1, 2, 4, 8 … is kept, and whichever comes after it is held against it.
    However long the circle is, the list ends at most a few rounds later.
    """

    steps: int = 0
    mark: str = ""

    def onward(self, at: str | int | None, items: Sequence[Any] | None = None) -> Trace:
        """Answer the trace with one more position. Raises `UpstreamError` for one that was there before.

        Where we count the positions ourselves none ever comes back: then `items` tell, what the page held.
        """
        counted = bool(items) and all(isinstance(item, Mapping) for item in items or ())
        place = json.dumps(items, sort_keys=True, default=str) if counted else str(at)
        here = hashlib.sha256(place.encode(errors="replace")).hexdigest()[:16]
        if here == self.mark and counted:
            raise errors.UpstreamError(
                "The list does not go on: the product answered the same items for another page",
                hint="Check `pagination` in tools.yaml; it is {style: none} for a list that comes at once.",
            )
        if here == self.mark:
            raise errors.UpstreamError(
                "The list does not go on: the product answered a next page that was read already",
                hint="Check `pagination` in tools.yaml, or ask for a narrower list.",
            )
        steps = self.steps + 1
        return Trace(steps, here if steps & (steps - 1) == 0 else self.mark)


NO_TRACE = Trace()


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a list goes on: at `position` of the vendor's pages, after `skip` items of that page."""

    account: str
    position: Position
    skip: int
    arguments: Mapping[str, Any] | str
    """The arguments, or the digest of long ones."""
    now: int | None = None
    """When the list began, where its requests say the time: the pages of one list are of one time."""
    trace: Trace = NO_TRACE

    def resumed(self, given: Mapping[str, Any], tool: str) -> dict[str, Any]:
        """Answer the arguments of the list; raises `InvalidArgument` when those given are another list's."""
        if isinstance(self.arguments, str):
            if digest(given) == self.arguments:
                return dict(given)
            raise errors.InvalidArgument(
                "the arguments of this list are too long for its cursor to hold",
                hint=f"Call {tool} with the cursor and all the arguments of the first call, unchanged.",
            )
        changed = [name for name, value in given.items() if self.arguments.get(name) != value]
        if changed:
            raise errors.InvalidArgument(
                f"the cursor belongs to a list with another {changed[0]}",
                hint=f"Leave {changed[0]} as it was, or call {tool} without cursor.",
            )
        return dict(self.arguments)


class Cursors:
    """Seals and opens cursors for tenants. `clock` answers epoch seconds."""

    def __init__(self, vault: Vault, clock: Callable[[], float]) -> None:
        self._vault = vault
        self._clock = clock

    def seal(self, tenant: str, key: str, cursor: Cursor) -> str:
        """Answer the opaque text of a cursor for `ENTITY.OPERATION` of a tenant.

        Raises `UpstreamError` for a position of the product that is too long to be handed to a model.
        """
        arguments = cursor.arguments
        if not isinstance(arguments, str) and len(_written(arguments)) > LONGEST_ARGUMENTS:
            arguments = digest(arguments)
        content = json.dumps(
            [
                int(self._clock() + LIFETIME),
                cursor.account,
                cursor.position.at,
                cursor.position.size,
                cursor.skip,
                arguments,
                cursor.now,
                *([cursor.trace.steps, cursor.trace.mark] if cursor.trace.steps else []),
            ],
            separators=(",", ":"),
        ).encode()
        sealed = self._vault.seal(_PURPOSE, tenant, key, content)
        text = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()
        if len(text) > LONGEST:
            raise errors.UpstreamError(
                f"the product names its next page with {len(text)} characters, more than {LONGEST}",
                hint="Ask for a smaller part of the list, with a filter.",
            )
        return text

    def open(self, tenant: str, key: str, text: str) -> Cursor:
        """Answer what a cursor says; raises `InvalidArgument` for one that is not of this list, or old."""
        try:
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            expires, account, at, size, skip, arguments, now, *trace = json.loads(
                self._vault.open(_PURPOSE, tenant, key, sealed)
            )
        except (errors.LinkspanError, binascii.Error, ValueError) as error:
            raise _refused("the cursor is not one of this list") from error
        if expires < self._clock():
            raise _refused("the cursor is older than a day")
        return Cursor(account, Position(at, size), skip, arguments, now, Trace(*trace))


def digest(arguments: Mapping[str, Any]) -> str:
    """Answer the digest that stands for long arguments."""
    return hashlib.sha256(_written(arguments)).hexdigest()


def _written(arguments: Mapping[str, Any]) -> bytes:
    return json.dumps(arguments, separators=(",", ":"), sort_keys=True).encode()


def _refused(message: str) -> errors.InvalidArgument:
    return errors.InvalidArgument(
        message,
        hint="Call again without cursor to start from the first page.",
        details=[{"path": "cursor", "message": message}],
    )
