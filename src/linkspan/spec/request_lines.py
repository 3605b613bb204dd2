"""What every request begins with: a method and a path, and the headers that it carries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from linkspan.spec.auth import check_header_name
from linkspan.spec.catalog import Value
from linkspan.spec.leaves import Leaves
from linkspan.spec.yaml import Path

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_REQUEST = re.compile(r"([A-Za-z]+) +(\S.*)\Z")


def parse_request(text: str, leaves: Leaves, path: Path) -> tuple[str, str, int] | None:
    """Split `GET /tickets/{id}` into method, path and where the path begins; None after a problem."""
    found = _REQUEST.match(text)
    if found is None or found[1].upper() not in METHODS:
        word = text.split(" ", maxsplit=1)[0]
        message = f"must be a method and a path, such as GET /tickets; not {text!r}"
        leaves.problems.add(path, "bad_request", message, words=METHODS, word=word)
        return None
    method, url, start = found[1], found[2], found.start(2)
    if method != method.upper():
        leaves.problems.add(path, "bad_request", f"the method is written {method.upper()}")
    wrong = _path_fault(url)
    if wrong is not None:
        leaves.problems.add(path, "bad_request", wrong[0], offset=start + wrong[1])
        return None
    return method.upper(), url, start


def _path_fault(url: str) -> tuple[str, int] | None:
    if "${" in url:
        return "a variable cannot stand in a path; put it into base_url", url.index("${")
    bare = re.sub(r"\{[^{}]*\}", lambda found: "x" * len(found[0]), url)
    if not url.startswith("/"):
        return "the path begins with /; the host stands in the connector's base_url", 0
    if bare.startswith("//") or "//" in bare:
        return "the path has an empty segment", bare.index("//")
    for mark, why in (("?", "put parameters under query"), ("#", "a fragment is never sent")):
        if mark in bare:
            return f"the path has no {mark}; {why}", bare.index(mark)
    if found := re.search(r"/\.\.?(?=/|\Z)", bare):
        return "the path has no . or .. segments", found.start()
    if found := re.search(r"%(?![0-9A-Fa-f]{2})|%2[ef]|%5c|[^!-~]|[\"<>\\^`|]", bare, re.IGNORECASE):
        return f"{found[0]!r} cannot stand in a path", found.start()
    return None


def headers(form: Mapping[str, Any], names: Any, leaves: Leaves, path: Path) -> tuple[tuple[str, Value], ...]:
    """Compile headers: names checked, values as templates."""
    found = []
    for key, value in form.items():
        check_header_name((*path, key), key, leaves)
        found.append((key, leaves.header((*path, key), value, names)))
    return tuple(found)
