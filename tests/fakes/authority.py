"""A product with an authorization server in memory: rotates refresh tokens, and ends a grant on reuse."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

CLIENT, CLIENT_SECRET = "linkspan", "client-secret-canary"
PERSON = {"id": "7", "email": "bo@acme.example"}


@dataclass
class Grant:
    """What somebody consented to, and the one refresh token that is good."""

    person: dict[str, Any]
    scope: str
    refresh: str
    ended: bool = False


@dataclass
class Authority:
    """Hands out tokens by every flow, and answers `/api` to those who show a good one."""

    clock: Callable[[], float]
    lifetime: float = 3600.0
    person: dict[str, Any] = field(default_factory=lambda: dict(PERSON))
    sites: list[dict[str, Any]] = field(default_factory=lambda: [{"id": "c1", "name": "Acme"}])
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    """By every refresh token that there ever was."""
    access: dict[str, tuple[Grant | None, float]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    """The forms that came to the token endpoint, with the credentials of the client as `basic`."""
    faults: list[Response | float] = field(default_factory=list)
    """What the next requests for a token are answered with; a number is seconds of waiting."""
    api_faults: list[Response] = field(default_factory=list)
    rotates: bool = True
    gives_refresh: bool = True
    extra: dict[str, Any] = field(default_factory=dict)
    installations: dict[str, str] = field(default_factory=lambda: {"42": "person-7"})
    seen: list[str] = field(default_factory=list)
    """The Authorization headers that `/api` was shown."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    """A request for a token has come."""
    _numbers: Any = field(default_factory=itertools.count)

    def app(self) -> Starlette:
        """Answer the ASGI application, for every host."""
        return Starlette(
            routes=[
                Route("/token", self._token, methods=["POST"]),
                Route("/revoke", self._revoke, methods=["POST"]),
                Route("/api/me", self._me),
                Route("/api/sites", self._sites),
                Route("/api/tickets", self._tickets),
                Route("/api/tickets", self._tickets, methods=["POST"]),
                Route("/api/app/installations/{id}/access_tokens", self._installation, methods=["POST"]),
                Route("/api/user/installations/{id}/repositories", self._repositories),
            ]
        )

    def consent(self, url: str, **more: str) -> dict[str, str]:
        """Do what a person does who consents; answer the query of the redirect."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = f"code-canary-{next(self._numbers)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], **more}

    @property
    def refreshes(self) -> int:
        """How often somebody asked for a renewal."""
        return sum(form["grant_type"] == "refresh_token" for form in self.asked)

    def end_access(self) -> None:
        """Make every access token bad, as a product that forgets them."""
        self.access.clear()

    async def _fault(self, faults: list[Any]) -> Response | None:
        fault = faults.pop(0) if faults else None
        if isinstance(fault, Response):
            return fault
        if fault is not None:
            await asyncio.sleep(fault)
        return None

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        basic = request.headers.get("authorization", "").removeprefix("Basic ")
        if basic:
            form["basic"] = base64.b64decode(basic).decode()
        self.asked.append(form)
        self.arrived.set()
        if (fault := await self._fault(self.faults)) is not None:
            return fault
        client = form.get("basic") or f"{form.get('client_id')}:{form.get('client_secret', '')}"
        if unquote_plus(client) not in {f"{CLIENT}:{CLIENT_SECRET}", "public:", "own:own-canary"}:
            return JSONResponse({"error": "invalid_client"}, 401)
        kind = form["grant_type"]
        if kind == "authorization_code":
            return self._redeem(form)
        if kind == "refresh_token":
            return self._renew(form["refresh_token"])
        if kind == "client_credentials":
            return self._answer(None, form.get("scope", ""))
        return JSONResponse({"error": "unsupported_grant_type"}, 400)

    def _redeem(self, form: dict[str, str]) -> Response:
        asked = self.codes.pop(form["code"], None)
        if asked is None or asked.get("redirect_uri", form["redirect_uri"]) != form["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant", "error_description": f"bad {form['code']}"}, 400)
        challenge = asked.get("code_challenge")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if challenge and base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != challenge:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._answer(Grant(dict(self.person), asked.get("scope", ""), ""), asked.get("scope", ""))

    def _renew(self, token: str) -> Response:
        grant = self.grants.get(token)
        if grant is None or grant.ended:
            return JSONResponse({"error": "invalid_grant"}, 400)
        if grant.refresh != token:
            grant.ended = True
            return JSONResponse({"error": "invalid_grant", "error_description": "reuse"}, 400)
        return self._answer(grant, grant.scope)

    def _answer(self, grant: Grant | None, scope: str) -> Response:
        number = next(self._numbers)
        access = f"access-canary-{number}"
        self.access[access] = (grant, self.clock() + self.lifetime)
        body: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "scope": scope}
        body["expires_in"] = self.lifetime
        if grant is not None and self.gives_refresh and (self.rotates or not grant.refresh):
            grant.refresh = f"refresh-canary-{number}"
            self.grants[grant.refresh] = grant
            body["refresh_token"] = grant.refresh
        return JSONResponse({**body, **self.extra})

    async def _revoke(self, request: Request) -> Response:
        form = await request.form()
        grant = self.grants.get(str(form["token"]))
        if grant is not None:
            grant.ended = True
        return Response()

    def _known(self, request: Request) -> Grant | Response | None:
        word = request.headers.get("authorization", "")
        self.seen.append(word)
        if self.api_faults:
            return self.api_faults.pop(0)
        grant, until = self.access.get(word.removeprefix("Bearer "), (None, 0.0))
        if self.clock() >= until or (grant is not None and grant.ended):
            return JSONResponse({"error": "invalid_token"}, 401)
        return grant

    async def _me(self, request: Request) -> Response:
        known = self._known(request)
        if isinstance(known, Response):
            return known
        return JSONResponse(known.person if known else {"id": "service", "email": "service"})

    async def _sites(self, request: Request) -> Response:
        known = self._known(request)
        return known if isinstance(known, Response) else JSONResponse(self.sites)

    async def _tickets(self, request: Request) -> Response:
        known = self._known(request)
        return known if isinstance(known, Response) else JSONResponse({"tickets": [{"id": 1}], "id": 1})

    async def _installation(self, request: Request) -> Response:
        self.asked.append({"grant_type": "jwt", "jwt": request.headers["authorization"]})
        if request.path_params["id"] not in self.installations:
            return JSONResponse({"message": "Not Found"}, 404)
        token = f"access-canary-{next(self._numbers)}"
        self.access[token] = (None, self.clock() + self.lifetime)
        return JSONResponse({"token": token, "expires_at": "2100-01-01T00:00:00Z"}, 201)

    async def _repositories(self, request: Request) -> Response:
        known = self._known(request)
        if isinstance(known, Response):
            return known
        owner = self.installations.get(request.path_params["id"])
        mine = known is not None and owner == f"person-{known.person['id']}"
        return JSONResponse({}, 200 if mine else 404)
