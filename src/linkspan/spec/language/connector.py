"""The words of a connector: how one product is reached."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from linkspan.spec.language.auth import Auth, Client, Connected, Verify
from linkspan.spec.language.pagination import Pagination
from linkspan.spec.language.webhooks import Stream, Watch, Webhooks
from linkspan.spec.language.words import NAMES, Arrays, Duration, Expression, Scalar, Tree, Words


class Setting(Words):
    """Something asked once for each account, when it is linked."""

    title: str = Field("", description="What the link page calls it.")
    type: Literal["text", "origin", "certificate"] = Field(
        "text",
        description="`origin` is a scheme, a host and a port, for products that people host themselves;"
        " `certificate` one or more certificates (PEM).",
    )
    description: str = ""
    pattern: str | None = Field(None, description="A regular expression; it must match the whole value.")
    required: bool = True
    default: str | None = None


class RateLimit(Words):
    """What says "too many calls", besides status 429. The usual headers are understood unnamed."""

    when: Expression | None = Field(None, description="Rooted at the answer: status, headers, body.")
    retry_after: Expression | None = Field(None, description="Seconds or a date; rooted at the answer.")
    wait: Duration = Field("20s", description="The longest that one call waits by itself.")


class Failure(Words):
    """What makes a 2xx answer a failure, and where a failure's words are. Rooted at the answer."""

    when: Expression | None = None
    message: Expression | None = None
    code: Expression | None = Field(None, description="The product's word for what went wrong.")
    codes: dict[
        str,
        Literal[
            "invalid_argument", "needs_reauth", "forbidden", "not_found", "conflict", "rate_limited",
            "quota_exceeded", "upstream_error", "upstream_timeout", "too_large",
        ],
    ] = Field({}, description="The product's words to ours.")  # fmt: skip


class Git(Words):
    """Where the product keeps repositories for git, for a product that is a forge."""

    shorthand = "base_url"
    base_url: str = Field(description="What every clone URL begins with; may hold {settings.x}.")
    username: str | None = Field(
        None, description="What git is told beside the token; `basic` credentials have their own."
    )
    basic: str | None = Field(
        None, description="What git is told beside the password of `basic`, if not its user name."
    )


class Proxy(Words):
    """What the proxy (`/proxy/CONNECTOR/…`) passes on, where that is not everything."""

    headers: list[str] = Field(
        [], description="Further request headers that are passed on; a name that ends with * is a beginning."
    )
    answers: list[str] = Field([], description="Further headers of answers that are passed on.")
    tiers: dict[str, list[str]] = Field(
        {},
        json_schema_extra=NAMES,
        description="Paths below the base URL, in groups; where there are any, no other path is passed on.",
    )
    positions: dict[str, list[str]] = Field(
        {},
        description="Parameter: the paths whose lists go on by it, not by the connector's; * is a segment.",
    )
    on: list[str] | None = Field(None, description="Which groups are passed on; all of them if not said.")


class Connector(Words):
    """How to reach one product."""

    use: str | None = Field(None, description="A built-in connector; keys given here override its own.")
    entities: list[str] | None = Field(
        None, description="Which entities of the built-in connector come with it; all if not said."
    )
    title: str = ""
    base_url: str = Field(description="Where every path is put behind; may hold {settings.x}.")
    settings: dict[str, Setting] = Field({}, json_schema_extra=NAMES)
    client: Client | None = Field(None, description="For every way of `auth` that needs one.")
    auth: list[Auth] = Field(min_length=1, description="The ways to connect, the best first.")
    headers: dict[str, Scalar] = Field({}, description="Sent with every request.")
    query: dict[str, Tree] = Field({}, description="Sent with every request.")
    arrays: Arrays = Field("repeat", description="How a list in `query` is sent.")
    method_override: str | None = Field(
        None, description="The header that carries PUT, PATCH and DELETE, which are sent as POST."
    )
    graphql: str = Field("/graphql", description="The path that its GraphQL requests are posted to.")
    hosts: list[str] = Field(
        [], description="Further hosts (https) that files may be redirected to; no credential goes there."
    )
    etag: bool = Field(
        False, description="Reads ask with If-None-Match, where the product counts what has not changed less."
    )
    ca: str | None = Field(
        None, description="The setting of type certificate whose authority signs the product's own."
    )
    verify: Verify | None = None
    connected: Connected | None = None
    pagination: Pagination | None = None
    rate_limit: RateLimit | None = None
    error: Failure | None = None
    timeout: Duration = "30s"
    proxy: Proxy | None = None
    git: Git | None = None
    webhooks: Webhooks | None = None
    streams: dict[str, Stream] = Field({}, json_schema_extra=NAMES)
    watch: dict[str, Watch] = Field({}, json_schema_extra=NAMES)
