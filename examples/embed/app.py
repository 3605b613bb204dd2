"""A product's ticket page. Its backend knows who is signed in, and asks Linkspan for what their page may do.

`python examples/embed --linkspan URL`. The token of the tenant (LINKSPAN_TOKEN) never leaves this process: a
page gets a view token, for one ticket, one person and fifteen minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvicorn
from jinja2 import Environment, FileSystemLoader
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

HERE: Final = Path(__file__).parent
PERSON: Final = "priya"
"""Who is signed in here; a real product has sessions."""
TICKETS: Final[Mapping[str, str]] = {
    "HC-103": "Ordering after 22:40 fails with an error page",
    "HC-104": "Basket total is a cent too high with a voucher",
}
MAY: Final = ("run.start", "run.steer", "run.cancel", "run.approve")


@dataclass(frozen=True, slots=True)
class Linkspan:
    """Where Linkspan is, and who we are there."""

    url: str
    token: str = field(repr=False)
    recipe: str = "fix_ticket"
    talk: str | None = None
    """The recipe that people talk with Codex by, if there is one."""
    note: str = ""
    """What people are told of the model."""

    async def view_token(self, recipe: str, ticket: str, person: str, origin: str) -> tuple[int, Any]:
        """Ask for what a page may see and do of Codex on one ticket; answers status and JSON."""
        body = {
            "recipe": recipe,
            "entity_id": ticket,
            "person": person,
            "may": MAY,
            "allowed_origins": [origin],
        }
        return await asyncio.to_thread(self._post, "/view-token", body)

    def _post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def build(linkspan: Linkspan, origin: str) -> Starlette:
    """Answer the product, as it is reached at an origin."""
    pages = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)
    policy = (
        f"default-src 'none'; script-src 'self' {linkspan.url}; style-src 'self'; img-src data:;"
        f" connect-src 'self' {linkspan.url} {linkspan.url.replace('http', 'ws', 1)};"
        f" frame-src {linkspan.url}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )

    def page(name: str, **values: Any) -> Response:
        shown = pages.get_template(name).render(linkspan=linkspan.url, person=PERSON, **values)
        return HTMLResponse(shown, headers={"Content-Security-Policy": policy})

    async def tickets(_request: Request) -> Response:
        return page("tickets.html", tickets=TICKETS)

    async def ticket(request: Request) -> Response:
        key = request.path_params["key"]
        if key not in TICKETS:
            return Response("There is no such ticket.", 404)
        return page("ticket.html", key=key, subject=TICKETS[key], talk=linkspan.talk, note=linkspan.note)

    async def view_token(request: Request) -> Response:
        """Give the page of whoever is signed in a token for one of their tickets."""
        if request.headers.get("origin") != origin:
            return JSONResponse({"error": "This is for the product's own pages."}, 403)
        asked = await request.json()
        if asked.get("entity") != "ticket" or asked.get("id") not in TICKETS:
            return JSONResponse({"error": "There is no such ticket."}, 404)
        recipe = asked.get("recipe", linkspan.recipe)
        if recipe not in (linkspan.recipe, linkspan.talk):
            return JSONResponse({"error": "There is no such recipe."}, 404)
        status, answer = await linkspan.view_token(recipe, asked["id"], PERSON, origin)
        return JSONResponse(answer, status, headers={"Cache-Control": "no-store"})

    return Starlette(
        routes=[
            Route("/", tickets),
            Route("/tickets/{key}", ticket),
            Route("/view-token", view_token, methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve it until it is interrupted."""
    parser = argparse.ArgumentParser(prog="embed", description=__doc__)
    parser.add_argument("--linkspan", default="http://127.0.0.1:8640", help="where Linkspan is reached")
    parser.add_argument("--port", type=int, default=8655)
    parser.add_argument("--fd", type=int, help="a socket that listens already, in place of a port")
    parser.add_argument("--talk", metavar="RECIPE", help="the recipe that people talk with Codex by")
    parser.add_argument("--model-note", default="", help="what people are told of the model")
    asked = parser.parse_args(arguments)
    token = os.environ.get("LINKSPAN_TOKEN")
    if not token:
        sys.stderr.write(
            "LINKSPAN_TOKEN is not set. Make one with: linkspan token create --tenant acme --subject embed"
            " --scope read --scope run.start --scope run.steer --scope run.cancel --scope run.approve\n"
        )
        return 2
    # Another site than Linkspan's, as in life: localhost and 127.0.0.1 are two.
    origin = f"http://localhost:{asked.port}"
    sys.stdout.write(f"The product is at {origin}/tickets/HC-103\n")
    sys.stdout.flush()
    linkspan = Linkspan(asked.linkspan.rstrip("/"), token, talk=asked.talk, note=asked.model_note)
    app = build(linkspan, origin)
    uvicorn.run(app, host="127.0.0.1", port=asked.port, fd=asked.fd, log_level="warning")
    return 0
