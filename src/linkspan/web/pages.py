"""Server-rendered pages: templates, the one stylesheet, and the headers that every page has."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

_HERE = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


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
    text = _environment().get_template(template).render(**values)
    return HTMLResponse(text, status, headers={**HEADERS, **headers})


def static_files() -> Mount:
    """Answer the route of the stylesheet."""
    return Mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
