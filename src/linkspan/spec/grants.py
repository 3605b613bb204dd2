"""How a product grants access: what an OAuth 2.0 way to connect needs, compiled, and what is looked up after.

`AuthMethod.oauth` holds one `OAuth` for the types `oauth2` (authorization code, RFC 6749 §4.1, with PKCE),
`client_credentials` (§4.4) and `github_app` (an installation token for a signed JWT). Nothing here is fetched
or kept: accounts/oauth.py speaks the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from linkspan.spec.catalog import Getter, RequestPlan, Template

ExpiryUnit = Literal["s", "ms", "epoch", "epoch_ms", "date"]
ClientAuth = Literal["basic", "post", "none"]


@dataclass(frozen=True, slots=True)
class Client:
    """Us, as the product knows us: what it gave when Linkspan was registered there."""

    id: str
    secret: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    """PEM, of a GitHub App."""


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """Where things stand in an answer of the token endpoint; all rooted at its body."""

    access_token: Getter
    refresh_token: Getter
    expires: Getter
    scope: Getter
    error: Getter
    unit: ExpiryUnit = "s"
    """What `expires` counts: seconds or milliseconds from now or since 1970, or a date."""
    lifetime: float | None = None
    """Seconds that a token is good for where the answer does not say; None: until it is refused."""
    gone: frozenset[str] = frozenset()
    """Error codes that say that the grant is no longer there, besides `invalid_grant`."""


@dataclass(frozen=True, slots=True)
class OAuth:
    """One OAuth 2.0 way. URLs may hold settings that are asked, never such that are found later."""

    answer: TokenAnswer
    token_url: Template | None = None
    """None for a GitHub App that cannot be linked in a browser."""
    authorize_url: Template | None = None
    refresh_url: Template | None = None
    """Where refresh tokens are sent, if elsewhere than `token_url`."""
    revoke_url: Template | None = None
    """Where tokens are given back (RFC 7009)."""
    install_url: Template | None = None
    """Where a GitHub App is installed."""
    scopes: tuple[str, ...] = ()
    scope_separator: str = " "
    client: Client | None = None
    """None: each account brings its own, as the secrets `client_id` and `client_secret`."""
    client_auth: ClientAuth = "basic"
    """How the client proves itself at the token endpoint (RFC 6749 §2.3.1)."""
    authorize_params: tuple[tuple[str, str], ...] = ()
    token_params: tuple[tuple[str, str], ...] = ()
    pkce: bool = True
    """RFC 7636, S256."""
    issuer: str | None = None
    """What `iss` in the answer must be, where the product gives one (RFC 9207)."""
    register_url: str | None = None
    """Where an operator registers Linkspan."""


@dataclass(frozen=True, slots=True)
class TenantMark:
    """How the product is told whose call it is, when one key serves all tenants (`per: operator`)."""

    header: str
    prefix: str = ""
    key: str | None = field(default=None, repr=False)
    """Signs a JWT (HS256) that names the tenant; None: the header holds the tenant's plain name."""
    audience: str | None = None
    lifetime: float = 300.0


@dataclass(frozen=True, slots=True)
class Service:
    """The product's own API: one key of the operator's for all tenants. `secrets` by names of `fields`."""

    secrets: Mapping[str, str] = field(repr=False)
    tenant: TenantMark


@dataclass(frozen=True, slots=True)
class Connected:
    """What is looked up once a credential is there, before anything else is asked with it.

    `choose` (rooted at the body) answers one thing or a list of them; `settings` and `label` are rooted at
    the thing that is meant.
    """

    request: RequestPlan
    choose: Getter
    settings: tuple[tuple[str, Getter], ...]
    label: Getter | None = None
