"""Codes and refresh tokens become tokens, and tokens end. Clients are public: none of them has a secret."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from linkspan.accounts.grants import Grants, Issued
from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.gateway.throttle import Throttle
from linkspan.web.oauth.forms import Form, read_form
from linkspan.web.oauth.place import Place

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenEndpoint:
    """The token endpoint and the revocation endpoint."""

    def __init__(self, grants: Grants, *, throttle: Throttle) -> None:
        self._grants = grants
        self._throttle = throttle

    async def issue(self, request: Request, place: Place) -> Response:
        """Answer tokens (RFC 6749 §5.1)."""
        form = await self._form(request, place)
        client_id = form.one("client_id")
        if client_id is None:
            raise OAuthRefused("invalid_client", "client_id is missing")
        kind = form.one("grant_type")
        if kind == "authorization_code":
            issued = await self._redeem(form, place, client_id)
        elif kind == "refresh_token":
            issued = await self._refresh(form, place, client_id)
        elif kind is None:
            raise OAuthRefused("invalid_request", "grant_type is missing")
        else:
            raise OAuthRefused("unsupported_grant_type", "Only authorization_code and refresh_token")
        told = {
            "access_token": issued.access.reveal(),
            "token_type": "Bearer",
            "expires_in": int(issued.lifetime),
            "refresh_token": issued.refresh.reveal(),
            "scope": " ".join(issued.scopes),
        }
        return JSONResponse(told, headers=NO_STORE)

    async def revoke(self, request: Request, place: Place) -> Response:
        """End a token; one that is not good has ended already (RFC 7009 §2.2)."""
        form = await self._form(request, place)
        token = form.one("token")
        if token is None:
            raise OAuthRefused("invalid_request", "token is missing")
        await self._grants.revoke(place.tenant, token, form.one("client_id"))
        return JSONResponse({}, headers=NO_STORE)

    async def _form(self, request: Request, place: Place) -> Form:
        self._throttle.take(place.address)
        form = await read_form(request)
        if "authorization" in request.headers or form.one("client_secret") is not None:
            raise OAuthRefused("invalid_client", "Clients are public here: send client_id and no secret")
        return form

    async def _redeem(self, form: Form, place: Place, client_id: str) -> Issued:
        code, redirect_uri = form.one("code"), form.one("redirect_uri")
        verifier = form.one("code_verifier")
        if code is None or redirect_uri is None:
            raise OAuthRefused("invalid_request", "code and redirect_uri are needed")
        if verifier is None or not _VERIFIER.fullmatch(verifier):
            raise OAuthRefused("invalid_grant", "PKCE is required: code_verifier")
        return await self._grants.redeem(
            place.tenant,
            code=code,
            client_id=client_id,
            redirect_uri=redirect_uri,
            verifier=verifier,
            resources=form.all("resource"),
        )

    async def _refresh(self, form: Form, place: Place, client_id: str) -> Issued:
        token = form.one("refresh_token")
        if token is None:
            raise OAuthRefused("invalid_request", "refresh_token is needed")
        words = (form.one("scope") or "").split()
        return await self._grants.refresh(
            place.tenant,
            token=token,
            client_id=client_id,
            scopes=[word for word in words if word != "offline_access"],
            resources=form.all("resource"),
        )
