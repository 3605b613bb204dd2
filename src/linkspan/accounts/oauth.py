"""OAuth 2.0 as a client: the URL where people consent, and every request to a token endpoint.

RFC 6749 (the framework), RFC 7636 (PKCE, S256 only), RFC 7009 (revocation), and GitHub's way from a signed
JWT to an installation token. Nothing is stored and nothing is decided here; an error says what the product
said, and no message holds a code, a token or a client's secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus

from linkspan import __version__
from linkspan.errors import ConfigurationError, LinkspanError, NeedsReauth, UpstreamError
from linkspan.net import bodies
from linkspan.net.client import Client
from linkspan.net.messages import Request, Response
from linkspan.net.urls import origin_of
from linkspan.spec.catalog import AuthMethod, Connector, Scope, Template
from linkspan.spec.grants import OAuth, TokenAnswer
from linkspan.telemetry.meters import Use
from linkspan.vault.secret import Secret
from linkspan.vault.signing import sign_rs256
from linkspan.wire import ca_of

TIMEOUT: Final = 15.0
"""Seconds for one exchange with a token endpoint."""
BUDGET: Final = 5.0
"""Seconds beside it: for connections that did not come about, and short waits that the product asks for."""
LONGEST_TOKEN: Final = 16_384
_GONE: Final = frozenset({"invalid_grant", "bad_refresh_token", "invalid_refresh_token"})
"""RFC 6749 §5.2, and what GitHub and Slack say instead."""
_BAD_CLIENT: Final = frozenset({"invalid_client", "unauthorized_client", "incorrect_client_credentials"})
_SENSITIVE: Final = ("code", "code_verifier", "refresh_token", "client_secret")
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_JWT_LIFE: Final = 540
_CLOCKS_DIFFER: Final = 60


class GrantGone(NeedsReauth):
    """The product says that the grant is over: expired, revoked, or used up."""


class ClientRefused(UpstreamError):
    """The product does not know our client, or not by this secret."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token endpoint gave. Times are epoch seconds."""

    access_token: Secret
    refresh_token: Secret | None
    """None: the one that was used stays good (RFC 6749 §6)."""
    expires: float | None
    scopes: tuple[str, ...] | None
    """None: those that were asked for (RFC 6749 §5.1)."""


@dataclass(frozen=True, slots=True)
class Provider:
    """An authorization server as one account sees it: its addresses, and the client that we are there."""

    title: str
    oauth: OAuth
    settings: Mapping[str, str]
    base_url: Template
    client_id: str
    client_secret: Secret | None = field(repr=False)
    is_own_client: bool
    """The account brought the client, so it is the account's fault when it is refused."""
    ca: str | None = field(default=None, repr=False)
    """The authority that signed the certificate of the account's own server."""
    connector: str = ""

    def url(self, template: Template) -> str:
        """Answer one of its addresses for this account's settings."""
        return template.expand(Scope({}, self.settings))

    def ca_for(self, url: str) -> str | None:
        """Answer the account's own authority for addresses of its own server, and for no others."""
        return (
            self.ca if self.ca is not None and origin_of(url) == origin_of(self.url(self.base_url)) else None
        )

    def origins(self) -> tuple[str, ...]:
        """Answer every origin that what renews a token may be sent to."""
        oauth = self.oauth
        urls = [oauth.token_url, oauth.refresh_url, oauth.revoke_url]
        if oauth.client is not None and oauth.client.private_key is not None:
            urls.append(self.base_url)
        return tuple(dict.fromkeys(origin_of(self.url(each)) for each in urls if each is not None))


def provider_of(
    connector: Connector, way: AuthMethod, settings: Mapping[str, str], secrets: Mapping[str, Secret]
) -> Provider:
    """Answer the authorization server of a way to connect, for an account with these settings and secrets."""
    oauth = way.oauth
    if oauth is None:
        raise ConfigurationError(f"{connector.name} has no tokens to renew where it is linked by {way.type}")
    own = oauth.client is None
    client_id = secrets["client_id"].reveal() if own and "client_id" in secrets else ""
    secret = secrets.get("client_secret")
    if oauth.client is not None:
        client_id = oauth.client.id
        secret = Secret(oauth.client.secret) if oauth.client.secret is not None else None
    return Provider(
        connector.title,
        oauth,
        settings,
        connector.base_url,
        client_id,
        secret,
        own,
        ca_of(connector, settings),
        connector.name,
    )


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


def _member(name: str) -> Callable[[Any], Any]:
    return lambda body: body.get(name) if isinstance(body, dict) else None


_PLAIN: Final = TokenAnswer(
    access_token=_member("access_token"),
    refresh_token=_member("refresh_token"),
    expires=_member("expires_in"),
    scope=_member("scope"),
    error=_member("error"),
)
"""RFC 6749 §5: how a GitHub App's code is answered; `OAuth.answer` is of its installation tokens."""


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
        return self._tokens(provider, response, now, {})

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
        return self._tokens(provider, response, now, form)

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

    def _tokens(
        self, provider: Provider, response: Response, sent_at: float, form: Mapping[str, str]
    ) -> Tokens:
        body = _body(response)
        is_code = form.get("grant_type") == "authorization_code"
        answer = _PLAIN if is_code and provider.oauth.install_url is not None else provider.oauth.answer
        code = answer.error(body)
        if response.status >= 300 or (isinstance(code, str) and code):
            sent = [form[name] for name in _SENSITIVE if name in form]
            if provider.client_secret is not None:
                sent.append(provider.client_secret.reveal())
            raise _refusal(provider, response.status, code, _description(body, sent))
        access = answer.access_token(body)
        refresh = answer.refresh_token(body)
        if not _is_token(access) or not (refresh is None or refresh == "" or _is_token(refresh)):
            raise UpstreamError(
                f"{provider.title} answered without an access token where tools.yaml expects one",
                upstream_status=response.status,
            )
        return Tokens(
            access_token=Secret(access),
            refresh_token=Secret(refresh) if refresh else None,
            expires=_expires(answer, answer.expires(body), sent_at),
            scopes=read_scopes(answer.scope(body), provider.oauth.scope_separator),
        )


def read_scopes(value: Any, separator: str = " ") -> tuple[str, ...] | None:
    """Read granted scopes, which products separate with spaces, commas or as they are asked, or list."""
    if isinstance(value, str):
        words = re.split(rf"[\s,]+|{re.escape(separator)}", value)
    elif isinstance(value, list):
        words = [word for word in value if isinstance(word, str)]
    else:
        return None
    return tuple(dict.fromkeys(word.strip()[:200] for word in words if word.strip())) or None


def _expires(answer: TokenAnswer, value: Any, sent_at: float) -> float | None:
    """Answer when a token ends, counted from when it was asked for; None when nobody says."""
    unit = answer.unit
    if isinstance(value, str) and unit == "date":
        try:
            date = datetime.fromisoformat(value.strip())
        except ValueError:
            value = None
        else:
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    try:
        number = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < 1e15:
        return sent_at + answer.lifetime if answer.lifetime is not None else None
    if unit in {"ms", "epoch_ms"}:
        number /= 1000
    return number if unit.startswith("epoch") else sent_at + number


def _body(response: Response) -> Any:
    """Read an answer: JSON, or a form, as GitHub gives to who does not ask for JSON."""
    media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media == "application/x-www-form-urlencoded":
            return dict(parse_qsl(response.body.decode("utf-8", "replace")))
        return bodies.decode(response)
    except LinkspanError as error:
        if response.status >= 300:
            return None
        error.upstream_status = response.status
        raise


def _refusal(provider: Provider, status: int, code: Any, told: str | None) -> LinkspanError:
    """Answer the error of the tree for an error answer (RFC 6749 §5.2)."""
    word = code if isinstance(code, str) and _CODE.match(code) else None
    said = "".join((f" ({word})" if word else f" (status {status})", f": {told}" if told else ""))
    if word is not None and (word in _GONE or word in provider.oauth.answer.gone):
        return GrantGone(f"{provider.title} says that the grant is over{said}", upstream_status=status)
    if word in _BAD_CLIENT or (word is None and status == 401):
        if provider.is_own_client:
            return GrantGone(f"{provider.title} refuses this client{said}", upstream_status=status)
        return ClientRefused(
            f"{provider.title} does not take Linkspan's client{said}",
            hint="Ask the operator to look at `client` and `client_auth` of this connector in tools.yaml.",
            upstream_status=status,
        )
    return UpstreamError(f"{provider.title} gave no token{said}", upstream_status=status)


def _description(body: Any, sent: Sequence[str]) -> str | None:
    """Answer the product's own words in one short line, unless they quote what was sent."""
    words = body.get("error_description") if isinstance(body, dict) else None
    if not isinstance(words, str) or any(value in words for value in sent if value):
        return None
    line = " ".join("".join(each if each.isprintable() else " " for each in words).split())
    return line[:200] or None


def _is_token(value: Any) -> bool:
    """Tell whether a value can be a token, which is sent in a header."""
    return isinstance(value, str) and len(value) <= LONGEST_TOKEN and _TOKEN.match(value) is not None


def _form(values: Mapping[str, str]) -> bytes:
    return bodies.form_text(values).encode("ascii")


def _with_query(url: str, values: Mapping[str, str]) -> str:
    return f"{url}?" + "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in values.items()
    )


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
