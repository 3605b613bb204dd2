"""The doors to the products, as routes."""

from __future__ import annotations

from dataclasses import replace

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from linkspan.errors import LinkspanError, NotFound
from linkspan.web.data.asking import Asked, read_request
from linkspan.web.data.parts import DataParts
from linkspan.web.data.proxy import Passage
from linkspan.web.failures import told
from linkspan.web.passing import headers_of, request_id_of


class ProxyDoor:
    """`/proxy/CONNECTOR/PATH`, and `/custom/PATH` of the account that is named."""

    def __init__(self, parts: DataParts, *, is_custom: bool = False) -> None:
        self._parts = parts
        self._is_custom = is_custom

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        address = self._parts.see(scope).address
        try:
            asked = asked_of(scope)
            passage = self._passage(asked, address)
        except LinkspanError as error:
            await tell(error, scope, send)
            return
        await passage.run(scope, receive, send)

    def _passage(self, asked: Asked, address: str) -> Passage:
        if self._is_custom:
            return Passage(self._parts, replace(asked, segments=["", *asked.segments]), address)
        passage = Passage(self._parts, asked, address)
        connectors = self._parts.gateway.catalog.connectors
        passage.connector = connectors.get(asked.first)
        if passage.connector is None:
            raise NotFound(
                f"There is no connector {asked.first!r}", hint=f"Known: {', '.join(connectors) or 'none'}."
            )
        return passage


def asked_of(scope: Scope) -> Asked:
    """Take a request apart."""
    authorization = dict(scope["headers"]).get(b"authorization", b"")
    return read_request(scope, is_admins=b"lsk_admin_" in authorization)


async def tell(error: LinkspanError, scope: Scope, send: Send) -> None:
    """Answer a failure."""
    request_id = request_id_of(headers_of(scope))
    status, body, headers = told(error, request_id)
    headers |= {"x-request-id": request_id, "cache-control": "no-store", "x-content-type-options": "nosniff"}
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def data_routes(parts: DataParts) -> list[Route]:
    """Answer all routes."""
    return [
        Route("/proxy/{rest:path}", ProxyDoor(parts)),
        Route("/custom/{rest:path}", ProxyDoor(parts, is_custom=True)),
    ]
