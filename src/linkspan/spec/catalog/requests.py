"""Requests that are ready but for their arguments, and how their lists go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from linkspan.spec.catalog.values import Getter, Json, Scope, Template, Value


@dataclass(frozen=True, slots=True, repr=False)
class Upload:
    """A file that is sent. `type` is its media type."""

    name: str
    type: str
    data: bytes

    def shown(self) -> Json:
        """What a dry run shows of it."""
        return {"name": self.name, "type": self.type, "bytes": len(self.data)}


@dataclass(frozen=True, slots=True)
class Body:
    """A request body: how it is encoded and the value that is encoded. ABSENT or `{}` sends `{}` as JSON.

    The value of `multipart` is a mapping whose members may be an `Upload`, that of `file` is one.
    """

    encoding: Literal["json", "form", "text", "multipart", "file"]
    value: Value


Arrays = Literal["repeat", "comma", "brackets", "indices", "pipes", "spaces"]


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """One HTTP request, ready but for its arguments.

    `path` is relative to the connector's base URL, or to `base`, and starts with `/`. Query values that are
    lists are sent as repeated parameters; booleans as `true`/`false`. `if_match` reads `path` with GET first
    and sends its ETag as If-Match (RFC 9110 §13.1.1).
    """

    method: str
    path: Template
    query: tuple[tuple[str, Value], ...] = ()
    headers: tuple[tuple[str, Value], ...] = ()
    body: Body | None = None
    if_match: bool = False
    arrays: Arrays = "repeat"
    """How a list in `query` is sent: `a=1&a=2`, `a=1,2`, `a[]=1&a[]=2`, `a[0]=1&a[1]=2`, `a=1|2`, `a=1 2`."""
    is_conditional: bool = False
    """Asks with If-None-Match after what was answered before, where a product gives ETags."""
    max_bytes: int | None = None
    """The answer is a file of at most so many bytes, which are not read as anything."""
    is_graphql: bool = False
    """Its answer may hold `errors` beside 200."""
    repeatable: bool = False
    """May be sent again after a failure that may have come after the work was done (RFC 9110 §9.2.2)."""
    base: Template | None = None
    url: Value | None = None
    """An address that was found before, instead of `path`: below the connector's origin or at its hosts."""
    line: str = ""
    """Method and path as they are written in the file: what the audit log says of it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A request that is made before an operation's own; `found[name]` is what `item` finds in its body.

    Skipped when `when` answers ABSENT, false or nothing: then `found` has no such name. In a dry run
    `found[name]` is LATER.
    """

    plan: RequestPlan
    name: str | None = None
    when: Value | None = None
    item: Getter | None = None
    find: Callable[[Any, Scope], Any] | None = None
    """Answers the one thing in the body that is kept instead, or raises `InvalidArgument`."""


@dataclass(frozen=True, slots=True)
class Include:
    """A read whose answer becomes a member of the item. References in it see the item as `item`."""

    name: str
    plan: RequestPlan
    item: Getter
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Paging:
    """How a list goes on. `send` carries the position, `size` the wished page size, at most `max_size`.

    Styles: `cursor` (read = the next cursor), `next_url` (read = the next URL, which must stay on the
    connector's origin and base path), `link` (Link header rel=next, RFC 8288; `more` may name a link
    parameter that must be "true", as Sentry's `results`), `page` and `offset` (counted by us from `first`;
    `total` items, `pages` or `more` may say where it ends, else a page shorter than the size, or empty, is
    the last), `none`.
    """

    style: Literal["cursor", "next_url", "link", "page", "offset", "none"]
    send: str | None = None
    send_in: Literal["query", "body"] = "query"
    read: Getter | None = None
    more: Getter | None = None
    more_link: str | None = None
    total: Getter | None = None
    pages: Getter | None = None
    is_relay: bool = False
    """A GraphQL connection that each operation has elsewhere: `read` and `more` come with its `items`."""
    first: int = 1
    size: str | None = None
    size_in: Literal["query", "body"] = "query"
    default_size: int | None = None
    max_size: int | None = None


NO_PAGES: Final = Paging(style="none")
