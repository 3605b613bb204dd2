"""Server-rendered pages: templates, the one stylesheet, and the headers that every page has."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import Headers
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from linkspan.spec.yaml import HIDDEN

_HERE = Path(__file__).parent
_FILES = _HERE / "static"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
_FOR_EVERY_PAGE: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "public, max-age=3600",
}
_SCRIPT: Final = {**_FOR_EVERY_PAGE, "Content-Type": "text/javascript; charset=utf-8"}
_STATIC: Final[Mapping[str, Mapping[str, str]]] = {
    "linkspan.js": _SCRIPT,
    "linkspan/connect.js": _SCRIPT,
    "linkspan/elements.js": _SCRIPT,
    "linkspan/session.js": _SCRIPT,
    "linkspan.d.ts": {**_FOR_EVERY_PAGE, "Content-Type": "text/plain; charset=utf-8"},
}
"""What products' pages import from here, under an address that stays; the rest is for our own pages."""
_PACKED: Final = frozenset({".js", ".css", ".ts", ".svg"})


def visible(text: object) -> str:
    """Answer a text with what nobody sees in it by its number, such as `<U+202E>`.

    A text that turns its direction, or holds what has no width, reads otherwise than a shell or a compiler
    takes it, and people approve what they read.
    """
    return HIDDEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", str(text))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    return environment


def page(
    template: str,
    values: Mapping[str, Any],
    *,
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> HTMLResponse:
    """Answer a page: no script, no style but ours, nothing from elsewhere, not in anybody's frame.

    `headers` are for a page that needs other ones than these.
    """
    return HTMLResponse(written(template, values), status, headers={**HEADERS, **headers})


def written(template: str, values: Mapping[str, Any]) -> str:
    """Answer what a template says with these values, each of them escaped."""
    return _environment().get_template(template).render(**values)


class _Static(StaticFiles):
    """Our files, with the headers that each of them needs; packed, for whoever takes that."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        path = Path(full_path)
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["X-Content-Type-Options"] = "nosniff"
        # A page and its scripts are of one version.
        name = path.relative_to(_FILES).as_posix()
        response.headers.update(_STATIC.get(name, {"Cache-Control": "no-cache"}))
        if path.suffix not in _PACKED:
            return response
        response.headers["Vary"] = "Accept-Encoding"
        asked = Headers(scope=scope)
        if not isinstance(response, FileResponse) or "range" in asked or not _takes_gzip(asked):
            return response
        headers = {**response.headers, "etag": f"W/{response.headers['etag']}", "content-encoding": "gzip"}
        del headers["content-length"], headers["accept-ranges"]
        return Response(_packed(path, stat_result.st_mtime_ns, stat_result.st_size), status_code, headers)


def _takes_gzip(asked: Headers) -> bool:
    """Tell whether gzip is taken (RFC 9110 §12.5.3); a star alone is not heeded."""
    for each in asked.get("accept-encoding", "").lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "").removeprefix("q=").rstrip("0.") != "" or not weight
    return False


@lru_cache(maxsize=64)
def _packed(path: Path, _changed: int, _size: int) -> bytes:
    """Answer a file packed: as it was at that moment."""
    return gzip.compress(path.read_bytes(), 9, mtime=0)


def static_files() -> Mount:
    """Answer the route of stylesheets and scripts."""
    return Mount("/static", _Static(directory=_FILES), name="static")
