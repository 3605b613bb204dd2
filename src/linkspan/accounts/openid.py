"""An external OpenID Connect provider as the one who says who somebody is (OpenID Connect Core §3.1).

Authorization code with PKCE and a nonce; the ID token's signature, issuer, audience, times and nonce are
checked. A mail address counts only when the provider says that it has verified it: whoever may write any
address into a profile would be anybody.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from linkspan.accounts.people import mail_address
from linkspan.errors import InvalidArgument, LinkspanError, UpstreamError
from linkspan.net.messages import Request, Transport
from linkspan.settings import Provider

TIMEOUT: Final = 10.0
MOST_BYTES: Final = 262_144
METADATA_KEPT: Final = 3_600.0
KEYS_APART: Final = 60.0
"""Seconds between two fetches of the keys: a made-up key id must not make us ask each time."""
LEEWAY: Final = 60.0
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
SCOPES: Final = "openid email"
_REQUIRED: Final = ("iss", "sub", "aud", "exp", "iat")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom the provider says it is. `email` is None unless the provider has verified it."""

    issuer: str
    subject: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in under way, in one browser. The verifier is 43 to 128 characters (RFC 7636 §4.1)."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str


class OpenIdProvider:
    """Sends people to the provider, and reads what it says of them."""

    def __init__(self, provider: Provider, transport: Transport, *, clock: Callable[[], float]) -> None:
        self._provider = provider
        self._transport = transport
        self._clock = clock
        self._metadata: Mapping[str, Any] = {}
        self._metadata_until = 0.0
        self._keys: Mapping[str, Any] = {}
        self._keys_from = float("-inf")

    @property
    def issuer(self) -> str:
        """Who says it."""
        return self._provider.issuer

    async def address(self, attempt: Attempt) -> str:
        """Answer where the browser goes to sign in. Raises `UpstreamError` and what the network raises."""
        metadata = await self._discover()
        digest = hashlib.sha256(attempt.verifier.encode()).digest()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._provider.client_id,
                "redirect_uri": attempt.redirect_uri,
                "scope": SCOPES,
                "state": attempt.state,
                "nonce": attempt.nonce,
                "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
                "code_challenge_method": "S256",
            }
        )
        where: str = metadata["authorization_endpoint"]
        return f"{where}{'&' if '?' in where else '?'}{query}"

    async def identify(self, attempt: Attempt, code: str, *, issuer: str | None) -> Identity:
        """Exchange the code that came back, and answer who it is.

        `issuer` is the `iss` of the answer (RFC 9207), if it has one. Raises `UpstreamError`, whose message
        may be shown, and what the network raises.
        """
        if issuer is not None and issuer != self.issuer:
            raise _bad("the answer came from another provider")
        metadata = await self._discover()
        answer = await self._exchange(metadata, attempt, code)
        claims = await self._claims(metadata, str(answer.get("id_token") or ""), attempt.nonce)
        if "email" not in claims and "userinfo_endpoint" in metadata and answer.get("access_token"):
            # What the scope email asks for is told there when there is an access token (Core §5.4).
            told = await self._ask(
                Request(
                    "GET",
                    metadata["userinfo_endpoint"],
                    {"Authorization": f"Bearer {answer['access_token']}", "Accept": "application/json"},
                )
            )
            if told.get("sub") != claims["sub"]:
                raise _bad("it told about somebody else")
            claims = {**told, **claims}
        return Identity(self.issuer, str(claims["sub"]), _verified(claims))

    async def _discover(self) -> Mapping[str, Any]:
        if self._clock() < self._metadata_until:
            return self._metadata
        where = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        found = await self._ask(Request("GET", where, {"Accept": "application/json"}))
        if found.get("issuer") != self.issuer:
            raise _bad("its configuration names another issuer")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not isinstance(found.get(name), str):
                raise _bad(f"its configuration has no {name}")
        self._metadata, self._metadata_until = found, self._clock() + METADATA_KEPT
        return found

    async def _exchange(self, metadata: Mapping[str, Any], attempt: Attempt, code: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": attempt.redirect_uri,
            "code_verifier": attempt.verifier,
            "client_id": self._provider.client_id,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        secret = self._provider.client_secret
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if secret is not None and "client_secret_basic" in methods:
            # RFC 6749 §2.3.1: both are form-encoded before they are put together.
            pair = f"{quote(self._provider.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            del form["client_id"]
        elif secret is not None:
            form["client_secret"] = secret
        return await self._ask(Request("POST", metadata["token_endpoint"], headers, urlencode(form).encode()))

    async def _claims(self, metadata: Mapping[str, Any], token: str, nonce: str) -> Mapping[str, Any]:
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(metadata["jwks_uri"], header)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._provider.client_id,
                issuer=self.issuer,
                options={"require": list(_REQUIRED), "verify_exp": False, "verify_iat": False,
                         "verify_nbf": False},
            )  # fmt: skip
            ends, made = float(claims["exp"]), float(claims["iat"])
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise _bad("its ID token is not good") from error
        now = self._clock()
        if ends <= now - LEEWAY or made > now + LEEWAY:
            raise _bad("its ID token is over, or of another time: compare the clocks")
        if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
            raise _bad("its ID token was made for another sign-in")
        audience = claims["aud"]
        several = isinstance(audience, list) and len(audience) > 1
        if claims.get("azp", None if several else self._provider.client_id) != self._provider.client_id:
            raise _bad("its ID token was made for another client")
        return claims

    async def _key(self, where: str, header: Mapping[str, Any]) -> Any:
        import jwt

        name = str(header.get("kid", ""))
        if name not in self._keys and self._clock() >= self._keys_from + KEYS_APART:
            self._keys_from = self._clock()
            found = await self._ask(Request("GET", where, {"Accept": "application/json"}))
            entries = [entry for entry in found.get("keys", ()) if isinstance(entry, dict)]
            signing = [entry for entry in entries if entry.get("use", "sig") == "sig" and "k" not in entry]
            self._keys = {str(entry.get("kid", "")): entry for entry in signing}
        if name not in self._keys:
            raise _bad("its ID token is signed with a key that it does not publish")
        if header.get("alg") not in ALGORITHMS:
            raise _bad("its ID token is not signed with a key pair")
        return jwt.PyJWK(dict(self._keys[name]), algorithm=header["alg"]).key

    async def _ask(self, request: Request) -> Mapping[str, Any]:
        try:
            answer = await self._transport.exchange(request, timeout=TIMEOUT, max_bytes=MOST_BYTES)
        except LinkspanError as error:
            raise _bad(f"it could not be reached ({error.message})") from error
        try:
            found: Any = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if answer.status != 200 or not isinstance(found, dict):
            raise _bad(f"it answered {answer.status}")
        return found


def _verified(claims: Mapping[str, Any]) -> str | None:
    if claims.get("email_verified") is not True or not isinstance(claims.get("email"), str):
        return None
    try:
        return mail_address(claims["email"])
    except InvalidArgument:
        return None


def _bad(why: str) -> UpstreamError:
    return UpstreamError(
        f"The identity provider did not sign you in: {why}", hint="Try again; if it stays, tell the operator."
    )
