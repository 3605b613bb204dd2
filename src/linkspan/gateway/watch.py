"""What an operator may see of a call on its way: requests without their credential, answers, raw items.

It is made by the command line alone, for whoever writes a tools.yaml; no other face hands one to a call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from linkspan.net.messages import Response
from linkspan.spec.catalog import Operation


@dataclass(frozen=True, slots=True, repr=False)
class Exchange:
    """One request as `--dry-run` shows it, and what was answered; both without the credential."""

    request: Mapping[str, Any]
    line: str
    """Method and path as the file has them."""
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """The body as JSON, else as text; None if there is none."""
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return self.body.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class PageSeen:
    """A page that was read: the position asked for, what was on it, and the position that follows."""

    position: str | int | None
    size: int | None
    items: int
    following: str | int | None


@dataclass(slots=True, repr=False)
class Watch:
    """Collects what is seen of one call."""

    connector: str = ""
    exchanges: list[Exchange] = field(default_factory=list)
    things: list[Any] = field(default_factory=list)
    """The items as the product has them, before they become fields."""
    pages: list[PageSeen] = field(default_factory=list)
    given: Mapping[str, Any] = field(default_factory=dict)
    """The fields that come of the call rather than of an item."""

    def as_called(self, operation: Operation) -> Operation:
        """Answer the operation with a shape and with fields that need nothing but the item."""
        shape, given = operation.shape, self.given
        if shape is None or not given:
            return operation
        fields = tuple(one.as_called(given) for one in operation.fields)
        return replace(operation, shape=lambda item, _given=None, /: shape(item, given), fields=fields)

    def exchanged(self, connector: str, line: str, request: Mapping[str, Any], response: Response) -> None:
        """Keep one exchange."""
        self.connector = connector
        self.exchanges.append(Exchange(request, line, response.status, response.headers, response.body))

    def read(self, things: list[Any], page: PageSeen) -> None:
        """Keep one page of a list."""
        self.things += things
        self.pages.append(page)
