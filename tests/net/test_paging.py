"""Paging: every style against vendors that behave, and against vendors that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.errors import UpstreamError
from linkspan.net.paging import (
    MAX_EMPTY_PAGES,
    Parameters,
    Position,
    Read,
    merge,
    next_link,
    next_position,
    page_size,
    parameters,
    parse_links,
)
from linkspan.spec.catalog import Paging

BASE = "https://desk.example/api"
URL = f"{BASE}/tickets"


def at(*path: str | int) -> Callable[[Any], Any]:
    def getter(body: Any) -> Any:
        for step in path:
            try:
                body = body[step]
            except (KeyError, IndexError, TypeError):
                return None
        return body

    return getter


def following(paging: Paging, body: Any = None, /, **read: Any) -> Position | None:
    seen = read.pop("seen", ())
    headers = {"link": read.pop("link")} if "link" in read else {}
    read.setdefault("items", 1)
    return next_position(paging, Read(body, headers, read.pop("url", URL), **read), base_url=BASE, seen=seen)


CURSOR = Paging("cursor", send="cursor", read=at("next"), size="limit", default_size=20, max_size=100)
NEXT = Paging("next_url", read=at("next"))
LINK = Paging("link", size="per_page", max_size=100)
PAGE = Paging("page", send="page", size="per_page", default_size=2)
OFFSET = Paging("offset", send="start", first=0, size="count", default_size=2)


@pytest.mark.parametrize(
    ("paging", "wanted", "size"),
    [
        (CURSOR, None, 20),
        (CURSOR, 5, 5),
        (CURSOR, 500, 100),
        (LINK, None, None),
        (LINK, 500, 100),
        (NEXT, 50, None),
        (Paging("page", size="n"), 7, 7),
    ],
)
def test_page_size(paging: Paging, wanted: int | None, size: int | None) -> None:
    """The wished size, at most what the vendor takes; nothing where it cannot be chosen."""
    assert page_size(paging, wanted) == size


@pytest.mark.parametrize(
    ("paging", "position", "size", "sent"),
    [
        (Paging("none", size="n"), None, 5, Parameters()),
        (CURSOR, None, None, Parameters({"limit": 20})),
        (CURSOR, "abc", 50, Parameters({"cursor": "abc", "limit": 50})),
        (PAGE, None, None, Parameters({"page": 1, "per_page": 2})),
        (PAGE, 3, 10, Parameters({"page": 3, "per_page": 10})),
        (OFFSET, None, None, Parameters({"start": 0, "count": 2})),
        (LINK, None, 30, Parameters({"per_page": 30})),
        (LINK, f"{URL}?page=2", 30, Parameters(url=f"{URL}?page=2")),
        (NEXT, f"{URL}?page=2", 30, Parameters(url=f"{URL}?page=2")),
        (NEXT, None, 30, Parameters()),
        (
            Paging("cursor", send="variables.after", send_in="body", size="variables.first", size_in="body"),
            "c1",
            9,
            Parameters(body={"variables": {"after": "c1", "first": 9}}),
        ),
    ],
)
def test_parameters(paging: Paging, position: Position | None, size: int | None, sent: Parameters) -> None:
    """A position and a size become parameters of the query or the body, or a whole URL."""
    assert parameters(paging, position, size) == sent


def test_merge_goes_into_objects() -> None:
    """Paging parameters join the operation's own body and leave the rest of it, and the original, alone."""
    body = {"query": "{x}", "variables": {"filter": {"state": "open"}, "after": None}}
    merged = merge(body, {"variables": {"after": "c1"}})
    assert merged == {"query": "{x}", "variables": {"filter": {"state": "open"}, "after": "c1"}}
    assert body["variables"] == {"filter": {"state": "open"}, "after": None}
    assert merge({"variables": "text"}, {"variables": {"after": 1}}) == {"variables": {"after": 1}}


@pytest.mark.parametrize("end", [None, "", False, 0, -0.0])
def test_cursor_ends(end: Any) -> None:
    """No cursor, an empty one, false and zero all mean that there is no more."""
    assert following(CURSOR, {"next": end}) is None
    assert following(CURSOR, {}) is None
    assert following(CURSOR, "not even an object") is None


@pytest.mark.parametrize("cursor", ["abc", "0:100:0", "0", 7])
def test_cursor_goes_on(cursor: Position) -> None:
    """Text and numbers are cursors, as they are."""
    assert following(CURSOR, {"next": cursor}) == cursor


@pytest.mark.parametrize("cursor", [True, ["a"], {"a": 1}, 1.5])
def test_what_is_no_cursor(cursor: Any) -> None:
    """When tools.yaml points to something that cannot be a position, that is said."""
    with pytest.raises(UpstreamError, match=r"`pagination\.read` finds is no position"):
        following(CURSOR, {"next": cursor})


@pytest.mark.parametrize(
    ("more", "goes_on"),
    [
        (True, True), (False, False), ("true", True), ("false", False), (1, True), (0, False),
        (None, True), ([], True), ("", True),
    ],
)  # fmt: skip
def test_more_has_the_last_word(more: Any, goes_on: bool) -> None:
    """A cursor that is always there ends with `more`; where that says nothing, the cursor counts."""
    paging = Paging("cursor", send="cursor", read=at("next"), more=at("more"))
    assert (following(paging, {"next": "abc", "more": more}) == "abc") is goes_on


def test_more_without_a_cursor_is_the_end() -> None:
    """`more` by itself leads nowhere."""
    paging = Paging("cursor", send="cursor", read=at("next"), more=at("more"))
    assert following(paging, {"next": None, "more": True}) is None


@pytest.mark.parametrize(
    ("paging", "body", "read"),
    [
        (CURSOR, {"next": "abc"}, {"position": "abc"}),
        (CURSOR, {"next": "abc"}, {"position": "def", "seen": {None, "abc"}}),
        (NEXT, {"next": f"{URL}?page=2"}, {"position": f"{URL}?page=2"}),
        (LINK, None, {"position": f"{URL}?page=2", "link": f'<{URL}?page=2>; rel="next"'}),
    ],
)
def test_position_that_comes_back(paging: Paging, body: Any, read: dict[str, Any]) -> None:
    """A next page that was read already is an error and not an endless list."""
    with pytest.raises(UpstreamError, match="a next page that was read already"):
        following(paging, body, **read)


def test_cursor_that_waits_for_news_is_the_end() -> None:
    """An empty page that points at itself has nothing more now."""
    assert following(CURSOR, {"next": "abc"}, position="abc", items=0) is None


def test_empty_pages_go_on_but_not_for_ever() -> None:
    """Empty pages with a next cursor are read through, up to a bound."""
    seen: set[Position | None] = set()
    position: Position | None = None
    with pytest.raises(UpstreamError, match="10 empty pages in a row"):
        for number in range(100):
            seen.add(position)
            position = following(CURSOR, {"next": f"c{number}"}, position=position, items=0, seen=seen)
    assert len(seen) == MAX_EMPTY_PAGES


@pytest.mark.parametrize(
    ("target", "url"),
    [
        (f"{URL}?page=2", f"{URL}?page=2"),
        ("/api/tickets?page=2", f"{URL}?page=2"),
        ("?page=2", f"{URL}?page=2"),
        ("https://DESK.example:443/api/x", "https://DESK.example:443/api/x"),
        (f"{URL}?q=a b", f"{URL}?q=a%20b"),
    ],
)
def test_next_url_inside(target: str, url: str) -> None:
    """A next URL may be relative and badly encoded; it stays below the base URL."""
    assert following(NEXT, {"next": target}) == url
    assert following(LINK, None, link=f'<{target}>; rel="next"') == url


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/api/tickets",
        "http://desk.example/api/tickets",
        "https://desk.example:8443/api/tickets",
        "https://user@desk.example/api/tickets",
        "https://desk.example/other",
        "https://desk.example/apis/tickets",
        "https://desk.example/api/%2e%2e/admin",
        "//evil.example/api",
        "\\\\evil.example\\api",
        "javascript:alert(1)",
        "https://[desk.example/api",
        "../../7",
    ],
)
def test_next_url_outside(target: str) -> None:
    """A next URL of another origin or path is refused: the credential does not follow it."""
    with pytest.raises(UpstreamError, match="outside of base_url"):
        following(NEXT, {"next": target})


@pytest.mark.parametrize(
    ("paging", "body", "read", "position"),
    [
        # without totals: full pages go on, short and empty ones end
        (PAGE, {}, {"items": 2}, 2),
        (PAGE, {}, {"items": 2, "position": 7}, 8),
        (PAGE, {}, {"items": 1}, None),
        (PAGE, {}, {"items": 0}, None),
        (PAGE, {}, {"items": 2, "size": 50}, None),
        (Paging("page", send="page"), {}, {"items": 1}, 2),
        (Paging("page", send="page"), {}, {"items": 0, "position": 2}, None),
        (Paging("page", send="page", first=0), {}, {"items": 9}, 1),
        (OFFSET, {}, {"items": 2}, 2),
        (OFFSET, {}, {"items": 2, "position": 4}, 6),
        (OFFSET, {}, {"items": 1, "position": 4}, None),
        (Paging("offset", send="startAt", first=1), {}, {"items": 3}, 4),
        # one record a page
        (Paging("page", send="page", size="n", default_size=1), {}, {"items": 1, "position": 4}, 5),
        (Paging("offset", send="at", first=0, size="n", default_size=1), {}, {"items": 1, "position": 4}, 5),
        # a position that is no number is the first page
        (PAGE, {}, {"items": 2, "position": "x"}, 2),
    ],
)  # fmt: skip
def test_counted(paging: Paging, body: Any, read: dict[str, Any], position: int | None) -> None:
    """Pages and offsets are counted by what came, and end with a page that is not full."""
    assert following(paging, body, **read) == position


@pytest.mark.parametrize(
    ("style", "first", "body", "position", "items", "expected"),
    [
        ("offset", 0, {"total": 5}, 0, 2, 2),
        ("offset", 0, {"total": 5}, 4, 1, None),
        ("offset", 0, {"total": 5}, 2, 2, 4),
        ("offset", 0, {"total": 4}, 2, 2, None),
        ("offset", 1, {"total": 4}, 3, 2, None),
        ("offset", 0, {"total": 5}, 0, 1, 1),  # a short page, but the total knows of more
        ("page", 1, {"total": 5}, 1, 2, 2),
        ("page", 1, {"total": 5}, 3, 1, None),
        ("page", 1, {"total": 4}, 2, 2, None),
        ("page", 0, {"total": 4}, 1, 2, None),
        # totals as text or as a float
        ("offset", 0, {"total": "5"}, 0, 2, 2),
        ("offset", 0, {"total": 2.0}, 0, 2, None),
        # lying totals: an empty page ends the list all the same
        ("offset", 0, {"total": 10**9}, 6, 0, None),
        ("page", 1, {"total": 10**9}, 4, 0, None),
        # totals that say nothing
        ("offset", 0, {"total": -1}, 0, 2, 2),
        ("offset", 0, {"total": None}, 0, 1, None),
        ("page", 1, {"total": True}, 1, 2, 2),
        ("page", 1, {"total": {"value": 5}}, 1, 2, 2),
        ("page", 1, {"total": "many"}, 1, 1, None),
        ("page", 1, {"total": float("nan")}, 1, 1, None),
        # the number of pages
        ("page", 1, {"pages": 3}, 2, 2, 3),
        ("page", 1, {"pages": 3}, 3, 2, None),
        ("page", 0, {"pages": 3}, 2, 2, None),
        ("page", 1, {"pages": 3}, 2, 1, 3),
        # has_more
        ("page", 1, {"more": True}, 1, 1, 2),
        ("page", 1, {"more": True}, 1, 0, 2),
        ("page", 1, {"more": False}, 1, 2, None),
        ("offset", 0, {"more": True}, 4, 0, 6),
        ("offset", 0, {"more": True}, 4, 1, 5),
        ("offset", 0, {"more": False, "total": 99}, 0, 2, None),
    ],
)
def test_counted_with_totals(
    style: Any, first: int, body: Any, position: int, items: int, expected: int | None
) -> None:
    """Totals, page counts and `more` end a list earlier or later, as far as they can be believed."""
    paging = Paging(
        style,
        send="p",
        first=first,
        size="n",
        default_size=2,
        total=at("total"),
        pages=at("pages"),
        more=at("more"),
    )
    assert following(paging, body, position=position, items=items) == expected


def test_offset_without_a_size_does_not_stand_still() -> None:
    """An empty page that claims more ends the list where there is no step to take."""
    paging = Paging("offset", send="start", first=0, more=at("more"))
    assert following(paging, {"more": True}, position=4, items=0) is None


SENTRY = (
    '<https://desk.example/api/0/issues/?&cursor=0:0:1>; rel="previous"; results="false"; cursor="0:0:1", '
    '<https://desk.example/api/0/issues/?&cursor=0:100:0>; rel="next"; results="{}"; cursor="0:100:0"'
)


def test_link_that_never_ends() -> None:
    """Sentry always sends a next link: its `results` says whether there is anything behind it."""
    paging = Paging("link", more_link="results")
    assert following(paging, [], link=SENTRY.format("true")) == f"{BASE}/0/issues/?&cursor=0:100:0"
    assert following(paging, [], link=SENTRY.format("false")) is None
    assert following(paging, [], link='<?page=2>; rel="next"') is None
    assert following(LINK, []) is None


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ('<https://x.example/?page=2>; rel="next", <https://x.example/?page=9>; rel="last"', "https://x.example/?page=2"),
        ("<a>; rel=next", "a"),
        ("<a>;rel=NEXT", "a"),
        ('<a>; rel="prev next"', "a"),
        ('<a>;\t rel = "next" ; title="x, y; z"', "a"),
        ('<p>; rel=prev,<a,b;c>; rel="next"', "a,b;c"),
        ('<p>; title="<q>; rel=\\"next\\""; rel=prev, <a>; rel=next', "a"),
        ("<a>; REL=next", "a"),
        ("<a>; rel=prev; rel=next", None),
        ("<a>; rel=next; anchor=\"#other\"", None),
        ("<a>; rel=nextish", None),
        ("<a>", None),
        ("<>; rel=next", ""),
        (", , <a>; rel=next,", "a"),
        ("<a; rel=next", None),
        ("a; rel=next", None),
        ('<a>; rel="next', "a"),
        ('<a>; rel="next\\', "a"),
        ("<a>;;; rel=next;", "a"),
        ("", None),
    ],
)  # fmt: skip
def test_next_link(header: str, target: str | None) -> None:
    """Link headers as RFC 8288 allows them, and as they come."""
    assert next_link(header) == target


token = st.from_regex(r"[a-z][a-z*_-]{0,6}", fullmatch=True)
link_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
targets = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="<>"), max_size=20)
links = st.lists(st.tuples(targets, st.dictionaries(token, link_values, max_size=4)), max_size=4)


@given(links)
def test_links_come_back(some: list[tuple[str, dict[str, str]]]) -> None:
    """What is written by the rules of RFC 8288 is read back, whatever is quoted in it."""

    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(
        f"<{target}>" + "".join(f"; {name}={quoted(value)}" for name, value in attributes.items())
        for target, attributes in some
    )
    assert list(parse_links(header)) == some


@given(st.text(alphabet='<>;,="\\ \trelnxtab', max_size=60))
def test_link_header_never_harms(header: str) -> None:
    """No Link header raises or hangs."""
    list(parse_links(header))
    next_link(header, must="results")


class Vendor:
    """A list that is read over HTTP parameters, in any style, by a vendor who behaves."""

    def __init__(self, paging: Paging, count: int, largest: int, *, totals: bool) -> None:
        self.paging, self.count, self.largest, self.totals = paging, count, largest, totals

    def answer(self, sent: Parameters) -> tuple[Any, dict[str, str], str, list[int]]:
        query = dict(sent.query)
        if sent.url is not None:
            query = {"at": int(sent.url.rpartition("=")[2])}
        size = min(int(query.get("size", self.largest)), self.largest)
        start = int(query.get("at", self.paging.first if self.paging.style in {"page", "offset"} else 0))
        if self.paging.style == "page":
            start = (start - self.paging.first) * size
        elif self.paging.style == "offset":
            start -= self.paging.first
        items = list(range(start, min(start + size, self.count)))
        more = start + size < self.count
        body: dict[str, Any] = {"items": items, "next": None}
        headers: dict[str, str] = {}
        if self.totals:
            body["total"] = self.count
        if more and self.paging.style == "cursor":
            body["next"] = str(start + size)
        if more and self.paging.style == "next_url":
            body["next"] = f"{URL}?at={start + size}"
        if more and self.paging.style == "link":
            headers["link"] = f'<?at={start + size}>; rel="next"'
        return body, headers, URL, items


@given(
    st.sampled_from(["cursor", "next_url", "link", "page", "offset"]),
    st.integers(0, 40),
    st.integers(1, 7),
    st.integers(1, 9),
    st.integers(0, 3),
    st.booleans(),
)
def test_every_item_once(style: Any, count: int, size: int, largest: int, first: int, totals: bool) -> None:
    """Whatever the style and the sizes: a list that is read to its end gives every item once, in order."""
    paging = Paging(
        style, send="at", read=at("next"), first=first, size="size", max_size=largest, total=at("total")
    )
    vendor = Vendor(paging, count, largest, totals=totals)
    got: list[int] = []
    position: Position | None = None
    for _ in range(count + 2):
        body, headers, url, items = vendor.answer(parameters(paging, position, size))
        got += items
        position = next_position(paging, Read(body, headers, url, len(items), position, size), base_url=BASE)
        if position is None:
            break
    assert position is None
    assert got == list(range(count))


bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["next", "more", "total", "pages"]), inner, max_size=4)
    ),
)


@given(
    st.sampled_from(["cursor", "next_url", "link", "page", "offset", "none"]),
    bodies,
    st.text(max_size=30),
    st.none() | st.integers() | st.text(max_size=8),
    st.integers(0, 5),
)
def test_no_answer_harms(style: Any, body: Any, link: str, position: Position | None, items: int) -> None:
    """Whatever a vendor answers: the list ends, goes on elsewhere, or is told to be broken."""
    paging = Paging(
        style,
        send="at",
        read=at("next"),
        more=at("more"),
        total=at("total"),
        pages=at("pages"),
        size="n",
        default_size=2,
    )
    try:
        found = following(paging, body, link=link, position=position, items=items)
    except UpstreamError:
        return
    assert found is None or found != position
