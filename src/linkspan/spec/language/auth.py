"""The words of `auth`: the ways to connect, keys that are asked and OAuth 2.0."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from linkspan.spec.language.words import NAMES, Duration, Expression, Scalar, Tree, Words


class _Asking(Words):
    """A request that only asks, in the words of an operation's; a body is for products that ask by POST."""

    request: str | None = Field(None, description="METHOD and path, such as `GET /me`.")
    query: dict[str, Tree] = {}
    headers: dict[str, Scalar] = {}
    body: Tree = Field(None, description="Sent as JSON.")
    form: dict[str, Tree] | None = Field(None, description="Sent as application/x-www-form-urlencoded.")
    graphql: str | None = Field(None, description="A GraphQL query, instead of a request and a body.")
    variables: dict[str, Tree] = Field({}, description="Of the GraphQL query.")


class Verify(_Asking):
    """The request that proves a credential and says whose it is."""

    shorthand = "request"
    id: Expression | None = Field(None, description="The account's id, rooted at the answer's body.")
    label: Expression | None = Field(None, description="What to call the account, rooted at the body.")


class Connected(_Asking):
    """What is looked up once a credential is there: settings that nobody has to type."""

    base_url: str | None = Field(None, description="Where the path is put behind, if elsewhere.")
    choose: Expression = Field("@", description="The thing, or the list of those to choose from.")
    settings: dict[str, Expression] = Field(
        min_length=1, json_schema_extra=NAMES, description="Setting: where it is in the thing."
    )
    label: Expression | None = Field(None, description="What to call the thing, where there are several.")


class _Auth(Words):
    per: Literal["person", "tenant", "operator"] = Field(
        "tenant",
        description="Whose credential it is: each person's own, one for the tenant, or one for everybody.",
    )
    title: str = Field("", description="What the link page calls this way to connect.")
    help_url: str | None = Field(None, description="Where people find or make the credential.")
    base_url: str | None = Field(
        None, description="Where paths are put behind for accounts linked this way, if elsewhere."
    )
    connected: Connected | None = Field(
        None, description="What is looked up after linking this way, if not what the connector says."
    )
    verify: Verify | None = Field(None, description="Where this way is proved otherwise than the others.")


class Sign(Words):
    """A token (JWT, HS256) that names the tenant, instead of its plain name."""

    shorthand = "key"
    key: str = Field(description="What it is signed with, from a ${VARIABLE}.")
    audience: str | None = Field(None, description="The claim `aud`.")
    lifetime: Duration = "5m"


class TenantMark(Words):
    """How the product is told which tenant a call is for."""

    shorthand = "header"
    header: str = Field(description="The header's name.")
    prefix: str = ""
    sign: Sign | None = None


class _KeyAuth(_Auth):
    secret: str | None = Field(
        None, description="The one key for all tenants, from a ${VARIABLE} (per: operator)."
    )
    tenant: TenantMark | None = None


class BearerAuth(_KeyAuth):
    """`Authorization: Bearer TOKEN`, or another word before the token."""

    type: Literal["bearer"]
    prefix: str = Field("Bearer ", description="What stands before the token, its space included.")


class HeaderAuth(_KeyAuth):
    """A key in a header of its own."""

    type: Literal["header"]
    name: str = Field(description="The header's name.")
    prefix: str = ""
    second: str | None = Field(None, description="The header of a second key that goes with the first.")


class BasicAuth(_KeyAuth):
    """User name and password (RFC 7617)."""

    type: Literal["basic"]
    username: str | None = Field(None, description="The user name of the one key (per: operator).")


class QueryAuth(_KeyAuth):
    """A key as a query parameter."""

    type: Literal["query"]
    name: str = Field(description="The parameter's name.")


class NoneAuth(_Auth):
    """Nothing is sent."""

    type: Literal["none"]


class Client(Words):
    """Us, as the product knows us: what it gave when Linkspan was registered there."""

    id: str
    secret: str | None = Field(None, description="From a ${VARIABLE}.")
    private_key: str | None = Field(None, description="PEM, from a ${VARIABLE}: a GitHub App has one.")


class TokenAnswer(Words):
    """Where things stand in the answer of the token endpoint, rooted at its body."""

    access_token: Expression = "access_token"  # noqa: S105
    refresh_token: Expression = "refresh_token"  # noqa: S105
    expires: Expression = "expires_in"
    unit: Literal["s", "ms", "epoch", "epoch_ms", "date"] = Field(
        "s", description="What `expires` is: seconds or milliseconds from now or since 1970, or a date."
    )
    lifetime: Duration | None = Field(None, description="For tokens whose answer does not say.")
    scope: Expression = "scope"
    error: Expression = "error"
    gone: list[str] = Field(
        [], description="Errors that say that the grant is no longer there, besides invalid_grant."
    )


class _TokenAuth(_Auth):
    header: str = Field("Authorization", description="Where requests carry the access token.")
    prefix: str = Field("Bearer ", description="What stands before it, its space included.")
    client: Client | None = Field(
        None, description="Without it each account brings a client_id and a client_secret of its own."
    )
    register_url: str | None = Field(None, description="Where an operator registers Linkspan.")


class _OAuth(_TokenAuth):
    token_url: str = Field(description="May hold {settings.x}, as base_url.")
    scopes: list[str] = []
    scope_separator: str = Field(" ", min_length=1)
    client_auth: Literal["basic", "post", "none"] | None = Field(
        None, description="How the client proves itself: `basic` if not said, `none` without a secret."
    )
    audience: str | None = Field(None, description="The API that the token is for, where it is asked.")
    token_params: dict[str, Scalar] = Field({}, description="Sent with every request for a token.")
    answer: TokenAnswer | None = None


class OAuth2(_OAuth):
    """OAuth 2.0 in a browser: authorization code with PKCE (RFC 6749 §4.1, RFC 7636)."""

    type: Literal["oauth2"]
    authorize_url: str = Field(description="Where people consent; may hold {settings.x}.")
    authorize_params: dict[str, Scalar] = Field({}, description="Sent along when somebody is asked.")
    refresh_url: str | None = Field(None, description="Where tokens are renewed, if elsewhere.")
    revoke_url: str | None = Field(None, description="Where tokens are given back (RFC 7009).")
    pkce: bool = Field(True, description="false only for a product that refuses it.")
    issuer: str | None = Field(None, description="What `iss` in its answer must be (RFC 9207).")


class ClientCredentials(_OAuth):
    """OAuth 2.0 without a person (RFC 6749 §4.4)."""

    type: Literal["client_credentials"]


class GitHubApp(_TokenAuth):
    """An installation of a GitHub App: a signed JWT, then an installation token."""

    type: Literal["github_app"]
    install_url: str | None = Field(None, description="https://github.com/apps/NAME/installations/new")
    token_url: str | None = Field(
        None, description="Where a person's code is redeemed, to prove whose installation it is."
    )


Auth = Annotated[
    BearerAuth | HeaderAuth | BasicAuth | QueryAuth | NoneAuth | OAuth2 | ClientCredentials | GitHubApp,
    Field(discriminator="type"),
]
