"""Server-rendered pages: templates, the one stylesheet, and the headers that every page has."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_HERE = Path(__file__).parent
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
_STATIC: Final[Mapping[str, Mapping[str, str]]] = {
    "linkspan.js": {**_FOR_EVERY_PAGE, "Content-Type": "text/javascript; charset=utf-8"},
    "linkspan-elements.js": {**_FOR_EVERY_PAGE, "Content-Type": "text/javascript; charset=utf-8"},
    "linkspan-session.js": {**_FOR_EVERY_PAGE, "Content-Type": "text/javascript; charset=utf-8"},
    "linkspan.d.ts": {**_FOR_EVERY_PAGE, "Content-Type": "text/plain; charset=utf-8"},
}
"""What products' pages import from here, under an address that stays; the rest is for our own pages."""


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


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
    """Our files, with the headers that each of them needs."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["X-Content-Type-Options"] = "nosniff"
        # A page and its scripts are of one version.
        response.headers.update(_STATIC.get(Path(full_path).name, {"Cache-Control": "no-cache"}))
        return response


def static_files() -> Mount:
    """Answer the route of stylesheets and scripts."""
    return Mount("/static", _Static(directory=_HERE / "static"), name="static")
