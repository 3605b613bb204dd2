"""Linking in a browser, as routes."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from linkspan.web.link.pages import PATH, Pages, page_door
from linkspan.web.link.sessions import Answer, Doors, Parts, door


def link_routes(parts: Parts) -> list[BaseRoute]:
    """Answer every route of linking."""
    doors = Doors(parts)
    pages = Pages(parts.sessions, parts.attempts, doors, catalog=parts.catalog, clock=parts.clock)

    def asked(path: str, answer: Answer, method: str = "POST") -> Route:
        return Route(path, door(parts.see, answer), methods=[method])

    def seen(path: str, answer: Answer) -> Route:
        return Route(path, page_door(parts.see, answer), methods=["GET"])

    return [
        seen(PATH, pages.show),
        seen(f"{PATH}/away", pages.away),
        seen("/oauth/callback", pages.back),
        asked("/link-session", doors.open),
        asked("/link-session/depart", doors.depart),
        asked("/link-session/{session}", doors.show, "GET"),
        asked("/link-session/{session}/account", doors.link),
        asked("/link-session/{session}/consent", doors.ask),
        asked("/link-session/{session}/again", doors.again),
    ]
