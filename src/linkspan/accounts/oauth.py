"""OAuth 2.0 as a client: the URL where people consent, and every request to a token endpoint.

RFC 6749 (the framework), RFC 7636 (PKCE, S256 only), RFC 7009 (revocation), and GitHub's way from a signed
JWT to an installation token. Nothing is stored and nothing is decided here; an error says what the product
said, and no message holds a code, a token or a client's secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, quote_plus

from linkspan import __version__
from linkspan.accounts.providers import Provider
from linkspan.accounts.token_answers import ClientRefused, GrantGone, Tokens, tokens_of
from linkspan.errors import ConfigurationError, LinkspanError, UpstreamError
from linkspan.net import bodies
from linkspan.net.client import Client
from linkspan.net.messages import Request, Response
from linkspan.net.urls import origin_of
from linkspan.spec.catalog import Template
from linkspan.telemetry.meters import Use
from linkspan.vault.secret import Secret
from linkspan.vault.signing import sign_rs256

TIMEOUT: Final = 15.0
"""Seconds for one exchange with a token endpoint."""
BUDGET: Final = 5.0
"""Seconds beside it: for connections that did not come about, and short waits that the product asks for."""
_JWT_LIFE: Final = 540
_CLOCKS_DIFFER: Final = 60


def new_verifier(random: Callable[[int], bytes]) -> Secret:
    """Answer 43 characters that only we know (RFC 7636 §4.1); good for `state` too."""
    return Secret(_base64url(random(32)))


def challenge_of(verifier: Secret) -> str:
    """Answer what may be shown of a verifier: S256 (RFC 7636 §4.2)."""
    return _base64url(hashlib.sha256(verifier.reveal().encode("ascii")).digest())


def is_state(state: Secret, shown: str | None) -> bool:
    """Tell whether the browser brought back the state that it was given (RFC 6749 §10.12)."""
    return hmac.compare_digest(state.reveal().encode(), (shown or "").encode())


def authorize_url(
    provider: Provider, *, state: Secret, verifier: Secret | None, redirect_uri: str, scopes: tuple[str, ...]
) -> str:
    """Answer the URL at which a person consents (RFC 6749 §4.1.1), or installs a GitHub App."""
    oauth = provider.oauth
    if oauth.install_url is not None:
        return _with_query(provider.url(oauth.install_url), {"state": state.reveal()})
    if oauth.authorize_url is None:
        raise ConfigurationError(f"{provider.title} is not linked in a browser")
    asked = {
        **dict(oauth.authorize_params),
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri,
        "state": state.reveal(),
    }
    if scopes:
        asked["scope"] = oauth.scope_separator.join(scopes)
    if verifier is not None:
        asked |= {"code_challenge": challenge_of(verifier), "code_challenge_method": "S256"}
    return _with_query(provider.url(oauth.authorize_url), asked)


class OAuthClient:
    """Speaks with token endpoints over the one client."""

    def __init__(self, client: Client, *, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock

    async def redeem(
        self, provider: Provider, code: Secret, *, verifier: Secret | None, redirect_uri: str
    ) -> Tokens:
        """Trade a code for tokens (RFC 6749 §4.1.3). Raises as `refresh` does."""
        form = {
            "grant_type": "authorization_code",
            "code": code.reveal(),
            "redirect_uri": redirect_uri,
        }
        if verifier is not None:
            form["code_verifier"] = verifier.reveal()
        return await self._token(provider, provider.oauth.token_url, form, repeatable=False)

    async def refresh(self, provider: Provider, token: Secret) -> Tokens:
        """Renew an access token (RFC 6749 §6).

        Sent once: a server that rotates takes a second one for theft. Raises `GrantGone` when the grant is
        over, `ClientRefused` when our client is, and `RateLimited`, `UpstreamError` and `UpstreamTimeout`,
        which say nothing of the grant.
        """
        form = {"grant_type": "refresh_token", "refresh_token": token.reveal()}
        where = provider.oauth.refresh_url or provider.oauth.token_url
        return await self._token(provider, where, form, repeatable=False)

    async def client_credentials(self, provider: Provider) -> Tokens:
        """Get an access token for the client itself (RFC 6749 §4.4). Raises as `refresh` does."""
        form = {"grant_type": "client_credentials"}
        if provider.oauth.scopes:
            form["scope"] = provider.oauth.scope_separator.join(provider.oauth.scopes)
        return await self._token(provider, provider.oauth.token_url, form, repeatable=True)

    async def installation(self, provider: Provider, installation: Secret) -> Tokens:
        """Get a GitHub App's token for one installation. Raises as `refresh` does."""
        client = provider.oauth.client
        now = self._clock()
        claims = {
            "iat": int(now) - _CLOCKS_DIFFER,
            "exp": int(now) + _JWT_LIFE - _CLOCKS_DIFFER,
            "iss": provider.client_id,
        }
        try:
            word = sign_rs256((client.private_key if client else None) or "", claims)
        except ValueError as error:
            raise ConfigurationError(f"client.private_key of {provider.title}: {error}") from error
        base = provider.url(provider.base_url).rstrip("/")
        url = f"{base}/app/installations/{quote(installation.reveal(), safe='')}/access_tokens"
        headers = {"Accept": "application/vnd.github+json", "Authorization": f"Bearer {word}"}
        response = await self._send(provider, url, headers, b"", repeatable=True)
        if response.status in {403, 404}:
            raise GrantGone(
                f"{provider.title}: the installation was removed or suspended",
                upstream_status=response.status,
            )
        if response.status == 401:
            raise ClientRefused(
                f"{provider.title} refuses what client.private_key signs",
                hint="Look at client.id and client.private_key in tools.yaml, and at this machine's clock.",
                upstream_status=401,
            )
        return tokens_of(provider, response, now, {})

    async def may_see(self, provider: Provider, installation: Secret, person: Secret) -> bool:
        """Tell whether a person's token reaches an installation: an id alone proves nothing."""
        base = provider.url(provider.base_url).rstrip("/")
        number = quote(installation.reveal(), safe="")
        url = f"{base}/user/installations/{number}/repositories?per_page=1"
        headers = {"Accept": "application/vnd.github+json", "Authorization": f"Bearer {person.reveal()}"}
        response = await self._send(provider, url, headers, None, method="GET")
        if response.status not in {200, 403, 404}:
            raise UpstreamError(
                f"{provider.title} did not say whose installation it is", upstream_status=response.status
            )
        return response.status == 200

    async def revoke(self, provider: Provider, token: Secret, hint: str) -> bool:
        """Give a token back (RFC 7009); False when the product has no way to. Raises `UpstreamError`."""
        if provider.oauth.revoke_url is None:
            return False
        form = {"token": token.reveal(), "token_type_hint": hint}
        headers = self._headers(provider, form)
        response = await self._send(provider, provider.url(provider.oauth.revoke_url), headers, _form(form))
        if response.status >= 300:
            raise UpstreamError(
                f"{provider.title} did not take the token back", upstream_status=response.status
            )
        return True

    async def _token(
        self, provider: Provider, where: Template | None, form: dict[str, str], *, repeatable: bool
    ) -> Tokens:
        if where is None:
            raise ConfigurationError(f"{provider.title} has no token_url")
        form |= dict(provider.oauth.token_params)
        headers = self._headers(provider, form)
        now = self._clock()
        response = await self._send(
            provider, provider.url(where), headers, _form(form), repeatable=repeatable
        )
        return tokens_of(provider, response, now, form)

    def _headers(self, provider: Provider, form: dict[str, str]) -> dict[str, str]:
        """Answer the headers of a request, and put the client into it as the product wants it."""
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        secret = provider.client_secret.reveal() if provider.client_secret is not None else ""
        if provider.oauth.client_auth == "basic":
            # Both are form-encoded before they are joined (RFC 6749 §2.3.1).
            word = f"{quote_plus(provider.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(word.encode()).decode()}"
        else:
            form["client_id"] = provider.client_id
            if provider.oauth.client_auth == "post":
                form["client_secret"] = secret
        return headers

    async def _send(
        self,
        provider: Provider,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        method: str = "POST",
        repeatable: bool = True,
    ) -> Response:
        named = {"User-Agent": f"linkspan/{__version__}", **headers}
        use = Use("token", provider.connector)
        request = Request(method, url, named, body, provider.ca_for(url), use)
        try:
            reply = await self._client.send(
                request,
                repeatable=repeatable,
                origins=(origin_of(url),),
                sensitive_headers=("authorization",),
                timeout=TIMEOUT,
                budget=BUDGET,
            )
        except LinkspanError as error:
            # What the client advises is for calls of tools.
            error.hint = error.hint if error.retry_after is not None else None
            raise
        return reply.response


def _form(values: Mapping[str, str]) -> bytes:
    return bodies.form_text(values).encode("ascii")


def _with_query(url: str, values: Mapping[str, str]) -> str:
    return f"{url}?" + "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in values.items()
    )


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
