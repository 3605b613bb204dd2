"""An OpenID Connect provider that behaves: it signs in whoever is named, and signs what it says."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

ISSUER = "https://id.example"
CLIENT_ID, CLIENT_SECRET = "linkspan", "a canary/with+signs"


class IdentityProvider:
    """One provider. `claims` is what it says of whoever signs in; the `change_*` make it misbehave."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.claims: dict[str, Any] = {"sub": "7", "email": "anna@acme.example", "email_verified": True}
        self.denies = False
        self.secret: str | None = CLIENT_SECRET
        self.change_metadata: dict[str, Any] = {}
        self.change_token: dict[str, Any] = {}
        self.change_header: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.sends_issuer = True
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.signing_key: Any = self.key
        self.algorithm = "ES256"
        self.kid = "one"
        self.published = ["one"]
        self.asked: list[str] = []
        self._codes: dict[str, dict[str, str]] = {}

    @property
    def public_key(self) -> dict[str, Any]:
        """Its key, as it publishes it."""
        found: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        return found

    def app(self) -> Starlette:
        """The application, whatever host it is asked by."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.configuration),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", self.keys),
                Route("/me", self.me),
            ]
        )

    async def configuration(self, _request: Request) -> Response:
        self.asked.append("configuration")
        told = {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            **({"userinfo_endpoint": f"{ISSUER}/me"} if self.userinfo is not None else {}),
            **self.change_metadata,
        }
        return JSONResponse({name: value for name, value in told.items() if value is not None})

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code" and asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"].split()
        answer = {"state": asked["state"], **({"iss": ISSUER} if self.sends_issuer else {})}
        if self.denies:
            answer["error"] = "access_denied"
        else:
            answer["code"] = f"code-{len(self._codes)}"
            self._codes[answer["code"]] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(answer)}", 302)

    async def token(self, request: Request) -> Response:
        self.asked.append("token")
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        asked = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not self._knows(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        if (
            asked is None
            or challenge != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(self.clock())
        claims = {
            "iss": ISSUER,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            **(self.claims if self.userinfo is None else {"sub": self.claims["sub"]}),
            **self.change_token,
        }
        made = jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            self.signing_key,
            self.algorithm,
            headers={"kid": self.kid, **self.change_header},
        )
        return JSONResponse({"access_token": "at", "token_type": "Bearer", "id_token": made})

    async def keys(self, _request: Request) -> Response:
        self.asked.append("keys")
        return JSONResponse(
            {"keys": [{**self.public_key, "kid": kid, "use": "sig"} for kid in self.published]}
        )

    async def me(self, request: Request) -> Response:
        self.asked.append("me")
        if request.headers.get("authorization") != "Bearer at":
            return JSONResponse({"error": "invalid_token"}, 401)
        return JSONResponse(self.userinfo)

    def _knows(self, request: Request, form: dict[str, str]) -> bool:
        if self.secret is None:
            return form.get("client_id") == CLIENT_ID and "authorization" not in request.headers
        if "client_secret" in form:
            return (form["client_id"], form["client_secret"]) == (CLIENT_ID, self.secret)
        encoded = "a%20canary%2Fwith%2Bsigns"  # RFC 6749 §2.3.1
        pair = base64.b64encode(f"{CLIENT_ID}:{encoded}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {pair}"
