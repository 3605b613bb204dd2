"""How the lists of a description go on: a guess from what can be sent and what comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from linkspan.spec.openapi import Described, Description, mapping, word

_POSITIONS: Final = (
    "cursor", "page_token", "pageToken", "next_token", "nextToken", "after", "starting_after", "start_cursor",
    "continuation", "bookmark",
)  # fmt: skip
_NEXT: Final = (
    "next_cursor", "nextCursor", "next_page_token", "nextPageToken", "next_token", "nextToken", "next",
    "next_page", "nextPage", "cursor", "end_cursor",
)  # fmt: skip
_SIZES: Final = (
    "per_page",
    "page_size",
    "pageSize",
    "limit",
    "size",
    "count",
    "first",
    "max_results",
    "maxResults",
)
_PAGES: Final = ("page", "page_number", "pageNumber", "p")
_OFFSETS: Final = ("offset", "skip", "start", "startAt")
_TOTALS: Final = ("total", "total_count", "totalCount", "count")
_BESIDE: Final = ("meta", "pagination", "paging", "page_info", "links", "_links")
_INSIDE: Final = ("uri", "url", "href", "cursor", "token")
"""What an object that is the next page has: where it is, or what leads to it."""
_ADDRESSES: Final = ("uri", "url", "href")
_NAMES: Final = frozenset({*_POSITIONS, *_SIZES, *_PAGES, *_OFFSETS})


def goes_on_by(description: Description, parameter: Mapping[str, Any]) -> bool:
    """Tell whether a query parameter asks for a part of a list, and is nothing that a caller chooses."""
    return parameter["name"] in _NAMES and not _is_time(_schema_of(description, parameter))


def pagination_of(description: Description, described: Described) -> tuple[Mapping[str, Any] | None, str]:
    """Answer how a list goes on, or None and what speaks for pages all the same."""
    sent = {
        str(one["name"]): _schema_of(description, one)
        for one in described.parameters
        if one.get("in") == "query" and goes_on_by(description, one)
    }
    known = dict(_known(description, described.answer))
    size = _size(sent)
    following = next(
        ((path, said) for key in _NEXT for path, said in known.items() if _last(path) == key), None
    )
    read, is_address = _read(description, *following, sent) if following is not None else (None, False)
    if read is not None and is_address:
        return {"style": "next_url", "read": read, **size}, ""
    token = next((name for name in _OFFSETS if name in sent and not _is_counted(sent[name])), None)
    send = next((name for name in _POSITIONS if name in sent), token)
    if send is not None and read is not None:
        return {"style": "cursor", "send": {"query": send}, "read": read, **size}, ""
    for names, style in ((_PAGES, "page"), (_OFFSETS, "offset")):
        found = next((name for name in names if name in sent and _is_counted(sent[name])), None)
        if found is not None:
            total = next((path for path in known if _last(path) in _TOTALS), None)
            return {
                "style": style,
                "send": {"query": found},
                **size,
                **({"total": total} if total else {}),
            }, ""
    if send is not None and send != token:
        # The next cursor has to be somewhere, and there is one place left.
        return {"style": "link", **size}, ""
    if send is not None:
        return None, f"{send} counts nothing, and the answer has no next one"
    return None, ""


def _known(description: Description, answer: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    properties = mapping(answer.get("properties"))
    yield from ((word(str(name)), said) for name, said in properties.items())
    for name in _BESIDE:
        inner = mapping(description.schema(properties.get(name)).get("properties"))
        yield from ((f"{name}.{word(str(key))}", said) for key, said in inner.items())


def _read(description: Description, path: str, said: Any, sent: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Answer where the next page's cursor or address is, and whether it is an address."""
    schema = description.schema(said)
    parts = {str(name): part for name, part in mapping(schema.get("properties")).items()}
    if parts:
        asked = [name for name in (*_OFFSETS, *_POSITIONS) if name in sent and not _is_counted(sent[name])]
        name = next((name for name in (*asked, *_INSIDE) if name in parts), None)
        return (f"{path}.{name}", name in _ADDRESSES) if name is not None else (None, False)
    kind = schema.get("type")
    if kind in ("array", "boolean", "object"):
        return None, False
    told = f"{schema.get('description', '')} {schema.get('example', '')}"
    is_address = (
        schema.get("format") in ("uri", "url", "uri-reference")
        or "://" in told
        or bool({"URL", "URI"} & set(told.replace(".", " ").replace(",", " ").split()))
        or path.partition(".")[0] in ("links", "_links")
    )
    return path, is_address and kind != "integer"


def _size(sent: Mapping[str, Any]) -> dict[str, Any]:
    name = next((name for name in _SIZES if name in sent), None)
    if name is None:
        return {}
    most = sent[name].get("maximum")
    good = isinstance(most, int) and not isinstance(most, bool) and 0 < most <= 10_000
    return {"size": {"query": name, **({"max": most} if good else {})}}


def _schema_of(description: Description, parameter: Mapping[str, Any]) -> dict[str, Any]:
    return description.schema(parameter.get("schema") or parameter)


def _is_counted(schema: Mapping[str, Any]) -> bool:
    """Tell whether it is a number, or of no type at all."""
    said = schema.get("type")
    kinds = said if isinstance(said, list) else [said]
    return any(kind in ("integer", "number", None) for kind in kinds)


def _is_time(schema: Mapping[str, Any]) -> bool:
    return schema.get("format") in ("date", "date-time")


def _last(path: str) -> str:
    return path.rpartition(".")[2]
