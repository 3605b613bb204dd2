"""How a list goes on: cursor, next URL, Link header, page, offset, none.

Pure functions over a connector's `Paging`. A position is what the vendor's pager takes (a cursor, a page or
record number, a URL); the caller keeps it between calls. Nothing here trusts a vendor to stop: a position
that comes back, a URL that leads away, and pages that stay empty are told as errors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from linkspan.errors import UpstreamError
from linkspan.net.urls import is_below, resolve

Position = str | int
MAX_EMPTY_PAGES = 10
"""How many empty pages in a row are read on through, where the vendor says that there is more."""


class Paging(Protocol):
    """What is needed of `spec.catalog.Paging`; its fields are explained there."""

    @property
    def style(self) -> Literal["cursor", "next_url", "link", "page", "offset", "none"]: ...  # noqa: D102
    @property
    def send(self) -> str | None: ...  # noqa: D102
    @property
    def send_in(self) -> Literal["query", "body"]: ...  # noqa: D102
    @property
    def read(self) -> Callable[[Any], Any] | None: ...  # noqa: D102
    @property
    def more(self) -> Callable[[Any], Any] | None: ...  # noqa: D102
    @property
    def more_link(self) -> str | None: ...  # noqa: D102
    @property
    def total(self) -> Callable[[Any], Any] | None: ...  # noqa: D102
    @property
    def pages(self) -> Callable[[Any], Any] | None: ...  # noqa: D102
    @property
    def first(self) -> int: ...  # noqa: D102
    @property
    def size(self) -> str | None: ...  # noqa: D102
    @property
    def size_in(self) -> Literal["query", "body"]: ...  # noqa: D102
    @property
    def default_size(self) -> int | None: ...  # noqa: D102
    @property
    def max_size(self) -> int | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a request for a page needs beside the operation's own parameters.

    `url`, when there is one, replaces the whole URL with its query. `body` is to be put into the request's
    body with `merge`.
    """

    query: Mapping[str, Position] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A page that was read: where and how it was asked for, and what came.

    `url` is the URL that answered; `items` the number of records on the page; `size` what was asked for.
    """

    body: Any
    headers: Mapping[str, str]
    url: str
    items: int
    position: Position | None = None
    size: int | None = None


def page_size(paging: Paging, wanted: int | None) -> int | None:
    """Answer the page size to ask for, or None where it cannot be chosen or nobody cares."""
    if paging.size is None:
        return None
    size = wanted if wanted is not None else paging.default_size
    if size is not None and paging.max_size is not None:
        size = min(size, paging.max_size)
    return size


def parameters(paging: Paging, position: Position | None, size: int | None = None) -> Parameters:
    """Answer what to send for the page at a position; None is the first page."""
    if paging.style == "none":
        return Parameters()
    if paging.style in {"next_url", "link"} and position is not None:
        return Parameters(url=str(position))
    query: dict[str, Position] = {}
    body: dict[str, Any] = {}
    if position is None and paging.style in {"page", "offset"}:
        position = paging.first
    if position is not None and paging.send is not None:
        _put(query if paging.send_in == "query" else body, paging.send, position, paging.send_in)
    chosen = page_size(paging, size)
    if chosen is not None and paging.size is not None:
        _put(query if paging.size_in == "query" else body, paging.size, chosen, paging.size_in)
    return Parameters(query, body)


def _put(target: dict[str, Any], name: str, value: Position, where: str) -> None:
    """Put a value under its name; in a body, dots lead into nested objects (`variables.after`)."""
    if where == "body":
        *parents, name = name.split(".")
        for parent in parents:
            target = target.setdefault(parent, {})
    target[name] = value


def merge(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a body with the parameters of a page put in, object by object."""
    merged = dict(body)
    for name, value in extra.items():
        known = merged.get(name)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[name] = merge(known, value) if both else value  # type: ignore[arg-type]
    return merged


def next_position(
    paging: Paging, page: Read, *, base_url: str, seen: Collection[Position | None] = ()
) -> Position | None:
    """Answer where the list goes on after a page, or None at its end.

    `base_url` is the connector's: a next URL must stay below it. `seen` holds the positions that the caller
    has read through without handing out an item. Raises `UpstreamError` for a position that was there before,
    for one that cannot be one, and for too many empty pages.
    """
    following = _following(paging, page, base_url)
    if following is None:
        return None
    if following == page.position or following in seen:
        if page.items == 0:
            return None  # It waits for new records: there is nothing more now.
        raise UpstreamError(
            "The list does not go on: the product answered a next page that was read already",
            hint="Check `pagination` in tools.yaml, or ask for a narrower list.",
        )
    if page.items == 0 and len(seen) >= MAX_EMPTY_PAGES:
        raise UpstreamError(
            f"The list does not go on: the product answered {len(seen)} empty pages in a row",
            hint="Ask for a narrower list.",
        )
    return following


def _following(paging: Paging, page: Read, base_url: str) -> Position | None:
    if paging.style == "none":
        return None
    more = _truth(paging.more(page.body)) if paging.more is not None else None
    if more is False:
        return None
    if paging.style in {"page", "offset"}:
        return _counted(paging, page, more)
    target: Any
    if paging.style == "link":
        target = next_link(page.headers.get("link", ""), must=paging.more_link)
    else:
        target = paging.read(page.body) if paging.read is not None else None
    if target is None or target is False or target == "" or target == 0:
        return None
    if isinstance(target, bool) or not isinstance(target, str | int):
        raise UpstreamError(
            f"What `pagination.read` finds is no position but {_kind(target)}",
            hint="Check `pagination` in tools.yaml.",
        )
    return _below(str(target), page.url, base_url) if paging.style != "cursor" else target


def _counted(paging: Paging, page: Read, more: bool | None) -> int | None:
    """Count on from a page or record number. An empty page is the end, whatever totals say."""
    size = page_size(paging, page.size)
    at = page.position if isinstance(page.position, int) else paging.first
    step = 1 if paging.style == "page" else page.items
    if page.items == 0:
        # The vendor filtered this page empty and says so; without a size there is no step to take.
        step = 1 if paging.style == "page" else (size or 0)
        return at + step if more and step else None
    if more:
        return at + step
    pages = _number(paging.pages(page.body)) if paging.pages is not None else None
    number = at - paging.first + 1
    if pages is not None and paging.style == "page" and number <= pages:
        return at + 1 if number < pages else None
    total = _number(paging.total(page.body)) if paging.total is not None else None
    read = (number - 1) * ((size or page.items) if paging.style == "page" else 1) + page.items
    # A total that is less than what has come already is none: then it is as if nothing was said.
    if total is not None and read <= total:
        return at + step if read < total else None
    return None if size is not None and page.items < size else at + step


def _below(target: str, answered: str, base_url: str) -> str:
    try:
        url = resolve(answered, target)
        if is_below(url, base_url):
            return url
    except ValueError:
        pass
    raise UpstreamError(
        "The list goes on at an address outside of base_url, where the credential may not go",
        hint="Check base_url and `pagination` in tools.yaml.",
    )


def _truth(value: Any) -> bool | None:
    """Read `true`, `"true"`, `1` and their contraries; None for anything else."""
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.strip().lower())
    return value != 0 if isinstance(value, int) else None


def _number(value: Any) -> int | None:
    """Read a count: a number or digits in a text; None for what is no count."""
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 20:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        return None
    return int(value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "a number"


def next_link(header: str, *, must: str | None = None) -> str | None:
    """Answer the target of the link with relation `next` (RFC 8288 §3.3), as it stands in the header.

    `must` names a link parameter that has to be `"true"`, such as Sentry's `results`.
    """
    for target, attributes in parse_links(header):
        if "next" in attributes.get("rel", "").lower().split() and "anchor" not in attributes:
            return target if must is None or attributes.get(must.lower(), "").lower() == "true" else None
    return None


def parse_links(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Read a Link header (RFC 8288 appendix B.2): targets with their parameters, names in lower case.

    The first parameter of a name counts. What cannot be read ends the header; it is never an error.
    """
    at = 0
    while True:
        at = _skip(header, at, " \t,")
        if header[at : at + 1] != "<" or (end := header.find(">", at)) < 0:
            return
        target = header[at + 1 : end].strip()
        attributes, at = _attributes(header, end + 1)
        yield target, attributes


def _attributes(header: str, at: int) -> tuple[dict[str, str], int]:
    attributes: dict[str, str] = {}
    while (at := _skip(header, at, " \t")) < len(header) and header[at] == ";":
        start = at = _skip(header, at + 1, " \t")
        at = _until(header, at, "=;, \t")
        name = header[start:at].lower()
        at = _skip(header, at, " \t")
        value = ""
        if header[at : at + 1] == "=":
            value, at = _value(header, _skip(header, at + 1, " \t"))
        if name:
            attributes.setdefault(name, value)
    return attributes, at


def _value(header: str, at: int) -> tuple[str, int]:
    """Read a token or a quoted string (RFC 9110 §5.6.4)."""
    if header[at : at + 1] != '"':
        end = _until(header, at, ";, \t")
        return header[at:end], end
    letters: list[str] = []
    at += 1
    while at < len(header) and header[at] != '"':
        at += header[at] == "\\"
        letters.append(header[at : at + 1])
        at += 1
    return "".join(letters), at + 1


def _skip(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] in characters:
        at += 1
    return at


def _until(text: str, at: int, characters: str) -> int:
    while at < len(text) and text[at] not in characters:
        at += 1
    return at
