"""No page is served that no browser test looks at."""

from __future__ import annotations

import re
from typing import Any

from starlette.routing import Route

from linkspan.serving import Serving
from tests.browser.pages import EMPTY, FULL, LOOKED_AT, NO_PAGES
from tests.runs.conftest import House, house, seeded
from tests.servers.node import ROOT

__all__ = ["house", "seeded"]
_FOR_BROWSERS = ("console", "link", "oauth", "session", "watch")
"""The packages of `linkspan.web` that answer browsers."""


async def test_every_page_that_is_served_is_looked_at(house: House) -> None:
    """Each address that a browser may open is in the list, and each name of it is looked at by a test."""
    rest: Any = Serving(house.app).asgi.rest  # type: ignore[attr-defined]
    served = {
        route.path
        for route in rest.routes
        if isinstance(route, Route)
        and "GET" in (route.methods or ())
        and route.endpoint.__module__.split(".")[:2] == ["linkspan", "web"]
        and route.endpoint.__module__.split(".")[2] in _FOR_BROWSERS
    }
    assert served == LOOKED_AT.keys() | NO_PAGES.keys()
    assert not LOOKED_AT.keys() & NO_PAGES.keys()
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "browser").glob("test_*.py"))
    looked = {*re.findall(r'look\(\w+, "([\w-]+)"\)', tests), *EMPTY.values(), *FULL.values()}
    assert {name for names in LOOKED_AT.values() for name in names} <= looked
