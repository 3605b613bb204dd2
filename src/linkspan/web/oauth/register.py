"""A program registers itself (RFC 7591): a way for old clients, off unless the operator has said so.

Anybody may register anything, so a registration proves nothing, its name is shown as what it is, and rows are
few, counted by address, and end by themselves.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from linkspan.accounts.clients import Clients
from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.errors import NotFound
from linkspan.gateway.throttle import Throttle
from linkspan.web.oauth.forms import read_body
from linkspan.web.oauth.place import Place
from linkspan.web.oauth.token import NO_STORE


class Register:
    """The registration endpoint."""

    def __init__(self, clients: Clients, *, throttle: Throttle) -> None:
        self._clients = clients
        self._throttle = throttle

    async def __call__(self, request: Request, place: Place) -> Response:
        """Register a client and answer what became of it."""
        if not self._clients.registration:
            raise NotFound(
                "Clients do not register themselves here",
                hint="They are known by their client-id metadata document.",
            )
        self._throttle.take(place.address)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = await read_body(request)
        try:
            metadata: Any = json.loads(body) if kind == "application/json" else None
        except (ValueError, RecursionError):
            metadata = None
        if not isinstance(metadata, dict):
            raise OAuthRefused("invalid_client_metadata", "Send one JSON object, as application/json")
        client = await self._clients.register(place.tenant, metadata)
        told = {
            "client_id": client.id,
            "client_id_issued_at": int(client.created),
            "client_name": client.name,
            "redirect_uris": list(client.redirect_uris),
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }
        if metadata.get("application_type") in ("native", "web"):
            told["application_type"] = metadata["application_type"]
        return JSONResponse(told, 201, headers=NO_STORE)
