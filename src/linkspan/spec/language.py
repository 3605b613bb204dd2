"""The words of tools.yaml as pydantic models: what they accept is the published JSON Schema.

Only form is checked here (which words stand where, and of what type); what they mean together is checked
by `compile`, `tools` and `lint`. A shorthand (a plain text where a mapping could stand) becomes the mapping
before validation, so every mistake has one place.
"""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

MODELS: Final = FilePath(__file__).parent / "models"
CONNECTORS: Final = FilePath(__file__).parent / "connectors"
Scalar = str | int | float | bool
Tree = Any
"""A YAML tree whose leaf texts may be `$references`."""

Arrays = Literal["repeat", "comma", "brackets", "indices", "pipes", "spaces"]
Expression = Annotated[
    str, Field(min_length=1, json_schema_extra={"maxLength": 300}, description="JMESPath, to 300 characters.")
]
_NAMES: dict[str, Any] = {"propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"}}
_CONNECTOR_NAMES: dict[str, Any] = {"propertyNames": {"pattern": "^[a-z][a-z0-9_-]{0,62}$"}}
Bytes = Annotated[str, Field(pattern=r"^[0-9]{1,6}(B|KB|MB)$", description="200KB, 5MB.")]
Duration = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$", description="30s, 5m, 2h, 7d.")]


class Words(BaseModel):
    """A mapping with fixed keys. `shorthand` names the key that a plain value stands for."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, protected_namespaces=(), defer_build=True
    )
    shorthand: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, value: Any) -> Any:
        if value is None:
            return {}
        if cls.shorthand is not None and not isinstance(value, dict):
            return {cls.shorthand: value}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        if cls.shorthand is None:
            return schema
        full = handler.resolve_ref_schema(schema)
        short = dict(full["properties"][cls.shorthand])
        inner = {key: full.pop(key) for key in list(full) if key not in {"title", "description"}}
        full["anyOf"] = [short, inner]
        return schema


# Connectors -----------------------------------------------------------------------------------------------


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


class Verify(Words):
    """The request that proves a credential and says whose it is."""

    shorthand = "request"
    request: str = Field(description="METHOD and path, such as `GET /me`.")
    query: dict[str, Tree] = {}
    headers: dict[str, Scalar] = {}
    id: Expression | None = Field(None, description="The account's id, rooted at the answer's body.")
    label: Expression | None = Field(None, description="What to call the account, rooted at the body.")


class _Auth(Words):
    per: Literal["person", "tenant", "operator"] = Field(
        "tenant",
        description="Whose credential it is: each person's own, one for the tenant, or one for everybody.",
    )
    title: str = Field("", description="What the link page calls this way to connect.")
    help_url: str | None = Field(None, description="Where people find or make the credential.")
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


class Connected(Words):
    """What is looked up once a credential is there: settings that nobody has to type."""

    request: str = Field(description="METHOD and path, such as `GET /sites`.")
    base_url: str | None = Field(None, description="Where the path is put behind, if elsewhere.")
    query: dict[str, Tree] = {}
    headers: dict[str, Scalar] = {}
    choose: Expression = Field("@", description="The thing, or the list of those to choose from.")
    settings: dict[str, Expression] = Field(
        min_length=1, json_schema_extra=_NAMES, description="Setting: where it is in the thing."
    )
    label: Expression | None = Field(None, description="What to call the thing, where there are several.")


class Slot(Words):
    """Where something is sent: a query parameter or a member of the body."""

    query: str | None = None
    body: str | None = None


class Size(Slot):
    """Where the wished page size is sent."""

    max: int | None = Field(None, ge=1, description="The largest page the product gives.")
    default: int | None = Field(None, ge=1, description="The size asked for when the caller names none.")


class CursorPaging(Words):
    """Each answer holds a cursor for the next page."""

    style: Literal["cursor"]
    send: Slot
    read: Expression = Field(description="The next cursor, rooted at the body; empty ends.")
    more: Expression | None = Field(None, description="Whether there is more, rooted at the body.")
    size: Size | None = None


class NextUrlPaging(Words):
    """Each answer holds the next page's URL."""

    style: Literal["next_url"]
    read: Expression = Field(description="The next URL, rooted at the body; empty ends.")
    size: Size | None = None


class LinkPaging(Words):
    """A Link header with rel=next (RFC 8288)."""

    style: Literal["link"]
    more: str | None = Field(None, description='A link parameter that must be "true" to go on.')
    size: Size | None = None


class PagePaging(Words):
    """Pages with numbers."""

    style: Literal["page"]
    send: Slot
    size: Size | None = None
    first: int = Field(1, ge=0)
    total: Expression | None = Field(None, description="How many items there are, rooted at the body.")
    pages: Expression | None = Field(None, description="How many pages there are, rooted at the body.")
    more: Expression | None = Field(None, description="Whether there is more, rooted at the body.")


class OffsetPaging(Words):
    """Items are counted."""

    style: Literal["offset"]
    send: Slot
    size: Size | None = None
    first: int = Field(0, ge=0)
    total: Expression | None = Field(None, description="How many items there are, rooted at the body.")
    more: Expression | None = Field(None, description="Whether there is more, rooted at the body.")


class RelayPaging(Words):
    """GraphQL's connections: `pageInfo` with `hasNextPage` and `endCursor`, sent back in variables."""

    style: Literal["relay"]
    at: Expression | None = Field(
        None, description="The connection in the body; if not said, what `items` begins with."
    )
    after: str = Field("after", description="The variable that takes the cursor.")
    first: str = Field("first", description="The variable that takes the page size.")
    max: int | None = Field(None, ge=1, description="The largest page the product gives.")
    default: int | None = Field(None, ge=1, description="The size asked for when the caller names none.")


class NoPaging(Words):
    """The whole list comes at once."""

    style: Literal["none"]


Pagination = Annotated[
    CursorPaging | NextUrlPaging | LinkPaging | PagePaging | OffsetPaging | RelayPaging | NoPaging,
    Field(discriminator="style"),
]


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


class SignatureTime(Words):
    """When a delivery was signed; one that is too old is refused."""

    header: str | None = None
    prefix: str | None = Field(None, description="A piece of the signature's own header: `t=`.")
    body: Expression | None = None
    unit: Literal["s", "ms"] = "s"
    tolerance: Duration = "5m"


class Signature(Words):
    """How a delivery proves itself: exactly one of hmac, token, bearer, basic, body, standard and url."""

    hmac: Literal["sha1", "sha256", "sha512"] | None = Field(
        None, description="A keyed digest, of this kind."
    )
    header: str | None = Field(None, description="Where the digest stands.")
    prefix: str = Field("", description="What stands before it: `sha256=`.")
    separator: str | None = Field(None, description="What stands between several, of which one has to fit.")
    encoding: Literal["hex", "base64"] = "hex"
    secret: Literal["text", "base64"] = Field("text", description="How the secret is written.")
    signed: str = Field("{body}", description="What is signed: {body}, {timestamp}, {id} and texts.")
    timestamp: SignatureTime | None = None
    token: str | None = Field(None, description="The header that holds the secret itself.")
    bearer: bool = Field(False, description="The secret as `Authorization: Bearer …`.")
    basic: bool = Field(False, description="User name and password.")
    body: Expression | None = Field(None, description="Where the secret stands in the body.")
    standard: bool = Field(False, description="Standard Webhooks.")
    url: bool = Field(False, description="Nothing but the secret part of the address.")


class DeliveryPlace(Words):
    """Where something stands in a delivery: a header, or an expression in the body."""

    header: str | None = None
    body: Expression | None = None


class DeliveryAccount(DeliveryPlace):
    """How a delivery finds its account: by a setting, or by who the credential was proved to be."""

    setting: str | None = None


class Handshake(Words):
    """What is answered when an address is registered."""

    when: Expression | None = Field(None, description="Which delivery it is.")
    reply: Expression | None = Field(None, description="What is answered, from the delivery.")
    echo: str | None = Field(None, description="A header that is sent back.")


class Event(Words):
    """One kind of thing that happens, with an entity's id."""

    when: Expression | None = Field(None, description="Which deliveries, or which of their things, are it.")
    each: Expression | None = Field(None, description="The things, where a delivery holds several.")
    entity: str | None = Field(None, description="The entity; the first word of the name if not said.")
    id: Expression = Field(description="The id of the thing that it is about.")
    same: Expression | None = Field(None, description="What makes two of them the same event.")
    item: Expression | None = Field(None, description="The thing itself, where the delivery has it.")
    by: Expression | None = Field(
        None, description="Who did it, as `verify.id` says it; what our own account did starts nothing."
    )


_EVENT_NAMES: dict[str, Any] = {"propertyNames": {"pattern": r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$"}}


class Webhooks(Words):
    """What the product delivers by itself."""

    scope: Literal["app", "account"] = Field(
        "account", description="One address for each account, or one of an app for all of them."
    )
    account: DeliveryAccount | None = Field(None, description="How a delivery to an app finds its account.")
    verify: Signature
    id: DeliveryPlace | None = Field(None, description="What makes a delivery the same delivery.")
    handshake: Handshake | None = None
    events: dict[str, Event] = Field(min_length=1, json_schema_extra=_EVENT_NAMES)


class Resume(Words):
    """Where the id of the last event is sent, to go on after a break."""

    header: str | None = None
    query: str | None = None


class Stream(Words):
    """A long answer of events that is listened to."""

    request: str = Field(description="GET and a path.")
    query: dict[str, Tree] = {}
    headers: dict[str, Scalar] = {}
    format: Literal["lines", "sse"] = Field("sse", description="JSON lines, or server-sent events.")
    id: Expression | None = Field(None, description="What an event is called; of SSE its `id` if not said.")
    resume: Resume | None = None
    events: dict[str, Event] = Field(min_length=1, json_schema_extra=_EVENT_NAMES)


class Connector(Words):
    """How to reach one product."""

    use: str | None = Field(None, description="A built-in connector; keys given here override its own.")
    entities: list[str] | None = Field(
        None, description="Which entities of the built-in connector come with it; all if not said."
    )
    title: str = ""
    base_url: str = Field(description="Where every path is put behind; may hold {settings.x}.")
    settings: dict[str, Setting] = Field({}, json_schema_extra=_NAMES)
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
    git: Git | None = None
    webhooks: Webhooks | None = None
    streams: dict[str, Stream] = Field({}, json_schema_extra=_NAMES)


# Entities -------------------------------------------------------------------------------------------------

FieldType = Literal[
    "string", "markdown", "integer", "number", "boolean", "datetime", "date", "array", "object"
]
Conversion = Literal["string", "integer", "text", "markdown", "iso8601", "lower", "upper"]
Format = Literal["html", "adf", "wiki", "mrkdwn"]


class ModelField(Words):
    """A field of an entity, whatever the product."""

    shorthand = "type"
    type: FieldType = "string"
    description: str = ""
    enum: list[str] = Field([], description="The words that it may have; `unknown` takes what fits none.")
    items: dict[str, Any] | None = Field(None, description="JSON Schema of an array's items.")
    properties: dict[str, Any] | None = Field(None, description="JSON Schemas of an object's members.")
    required: bool = Field(False, description="Whether making one needs it.")


def _kind_of_map(value: Any) -> str:
    return "self" if isinstance(value, str) else "fields"


class SourceField(Words):
    """Where a field comes from in an item of the product's answer."""

    shorthand = "from"
    from_: Expression | None = Field(None, alias="from", description="JMESPath rooted at the item.")
    each: Expression | None = Field(None, description="A list in the item, of which `map` makes another.")
    map: (
        Annotated[
            Annotated[Literal["self"], Tag("self")]
            | Annotated[dict[str, SourceField], Tag("fields"), Field(json_schema_extra=_NAMES)],
            Discriminator(_kind_of_map),
        ]
        | None
    ) = Field(None, description="Fields of each thing in the list; `self`: the same as of the thing around.")
    depth: int | None = Field(None, ge=1, le=20, description="How many levels `map: self` goes down.")
    as_: Conversion | None = Field(None, alias="as")
    format: Format | None = Field(None, description="The markup that the product writes the text in.")
    date: str | None = Field(None, description="How it writes a date that is none of the usual: %d.%m.%Y.")
    zone: str | None = Field(None, description="The time zone of dates without one, such as Europe/Berlin.")
    match: str | None = Field(
        None,
        description="A regular expression: what it finds in the texts, each once. Named groups: members.",
    )
    values: dict[str, str] = Field({}, description="The product's word to the model's, many to one.")
    write: dict[str, Scalar] = Field({}, description="The model's word to the one that is sent for it.")


class Param(Words):
    """An argument of an operation. Its name is what `$name` and `{name}` refer to."""

    shorthand = "type"
    type: Literal["string", "integer", "number", "boolean", "array", "object"] | None = None
    description: str = ""
    field: str | None = Field(None, description="The field whose type, words and description it takes.")
    required: bool | None = None
    enum: list[Scalar] = []
    default: Any = None
    items: dict[str, Any] | None = None
    properties: dict[str, Any] | None = None
    pattern: str | None = Field(None, description="A regular expression; it must match the whole value.")
    format: str | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    min_length: int | None = Field(None, ge=0)
    max_length: int | None = Field(None, ge=0)
    x_mcp_header: str | None = Field(
        None, alias="x-mcp-header", description="The HTTP header that mirrors it, after `Mcp-Param-`."
    )


class Media(Words):
    """Bytes with their type."""

    data: str = Field(description="Base64 text, or {{ body }} of an answer.")
    mime_type: str


class Embedded(Words):
    """A resource inside a result: text or data."""

    uri: str
    mime_type: str = "text/plain"
    text: str | None = None
    data: str | None = None


class Content(Words):
    """One content block: exactly one of text, image, audio and resource."""

    shorthand = "text"
    text: str | None = None
    image: Media | None = None
    audio: Media | None = None
    resource: Embedded | None = None


class Progress(Words):
    """Steps that are reported while it works."""

    steps: list[int | float] = Field(min_length=1)
    total: int | float | None = None


class Elicit(Words):
    """A form that the person is asked to fill in first."""

    name: str = Field("answer", description="What the protocol calls the question.")
    message: str
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema of the form.")
    missing: str | None = Field(None, description="What the model is told when nobody can be asked.")


class Annotations(Words):
    """MCP's hints, where they differ from what `kind` says."""

    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


class _Request(Words):
    """A request, its body in one of three forms."""

    request: str | None = Field(None, description="METHOD and path, such as `GET /tickets/{id}`.")
    query: dict[str, Tree] = Field({}, description="What is absent is not sent; a list is repeated.")
    headers: dict[str, Scalar] = {}
    body: Tree = Field(None, description="Sent as JSON.")
    form: dict[str, Tree] | None = Field(None, description="Sent as application/x-www-form-urlencoded.")
    text: Tree = Field(None, description="Sent as text/plain.")
    multipart: dict[str, Tree] | None = Field(
        None, description="Sent as multipart/form-data; a mapping with `content` is a file."
    )
    file: dict[str, Tree] | None = Field(None, description="A file as the whole body.")
    etag: bool | None = Field(None, description="Ask with If-None-Match; the connector's if not said.")
    if_match: bool = Field(False, description="Read first, send the ETag as If-Match.")
    graphql: str | None = Field(None, description="A GraphQL document with one operation.")
    variables: dict[str, Tree] = Field(
        {}, description="Of the GraphQL operation; references keep their type."
    )
    arrays: Arrays | None = Field(
        None, description="How a list in `query` is sent; the connector's if not said."
    )


class Find(Words):
    """One thing in a list of a step's answer."""

    in_: Expression = Field("@", alias="in", description="The list, rooted at the answer's body.")
    where: dict[str, Tree] = Field(
        min_length=1, description="Expression in a thing: what it has to be; `$references` keep their type."
    )


class Include(_Request):
    """A read whose answer is put into the item, under a name, before fields are looked up."""

    item: Expression | None = Field(None, description="What is taken of its answer's body.")
    optional: bool = Field(
        False, description="Whether the item is answered without it, where it is not there."
    )


class Step(_Request):
    """One of several requests; the last one's answer is the operation's."""

    as_: str | None = Field(None, alias="as", description="The name that later steps refer to it by.")
    when: str | None = Field(None, description="A `$reference`; without it the step is left out.")
    item: Expression | None = Field(None, description="What is kept of its answer's body.")
    find: Find | None = Field(None, description="The one thing in a list that is kept instead.")
    missing: str | None = Field(
        None, description="What is said where there is no such thing; may hold {name}."
    )


class Operation(_Request):
    """One thing that can be done with an entity at this product."""

    steps: list[Step] | None = Field(None, min_length=1, description="Several requests instead of one.")
    include: dict[str, Include] = Field(
        {}, json_schema_extra=_NAMES, description="Further reads, joined into the one item by name."
    )
    kind: Literal["read", "write", "delete"] | None = Field(
        None, description="From the method; to be given where they differ, such as a POST that searches."
    )
    title: str = ""
    description: str = Field("", description="One plain sentence: verb, entity, then limits and formats.")
    tool: str | None = Field(None, description="The tool's name, where the usual one does not fit.")
    params: dict[str, Param] = Field({}, json_schema_extra=_NAMES)
    schema_: dict[str, Any] | None = Field(
        None, alias="schema", description="JSON Schema 2020-12 of all arguments, passed on as it is."
    )
    items: Expression | None = Field(None, description="The list in the answer's body; makes it a list.")
    item: Expression | None = Field(None, description="The one item in the answer's body.")
    returns: str | None = Field(
        None, description="The answer's entity if another; or `id`, `ENTITY.id`, `raw`, `nothing`."
    )
    content: list[Content] | None = Field(None, description="The answer as MCP content blocks.")
    download: Bytes | None = Field(None, description="The answer is a file of at most this size.")
    pagination: Pagination | None = None
    timeout: Duration | None = None
    annotations: Annotations | None = None
    progress: Progress | None = None
    elicit: Elicit | None = None
    names_asker: bool | None = Field(
        None,
        description="Whether `body` ends with who asked, where the tenant's account writes; `comment` does.",
    )


class Source(Words):
    """An entity at one connector."""

    identity: str = Field("{id}", description="Made of fields: `{id}`, or `{owner}/{repo}#{number}`.")
    id_pattern: str | None = Field(None, description="A regular expression that every id matches as a whole.")
    fields: dict[str, SourceField] = Field({}, json_schema_extra=_NAMES)
    remote_data: bool = Field(
        False, description="Reads take `remote_data`: the item as it came, beside ours."
    )
    operations: dict[str, Operation] = Field({}, json_schema_extra=_NAMES)


class Entity(Words):
    """A kind of thing: tickets, alerts, designs."""

    model: str | None = Field(None, description="A built-in set of fields.")
    title: str = ""
    plural: str | None = None
    fields: dict[str, ModelField] = Field(
        {}, json_schema_extra=_NAMES, description="More fields than the model's, or others."
    )
    sources: dict[str, Source] = Field({}, json_schema_extra=_CONNECTOR_NAMES, description="By connector.")


# The rest -------------------------------------------------------------------------------------------------


class Resource(Words):
    """A resource that is declared, rather than an entity: text or bytes, or read from a connector."""

    uri: str = Field(description="May hold {name}: then it is a template.")
    title: str = ""
    description: str = ""
    mime_type: str = "text/plain"
    text: str | None = None
    data: str | None = Field(None, description="Base64 text.")
    connector: str | None = None
    request: str | None = None


class PromptArgument(Words):
    """An argument of a prompt."""

    shorthand = "description"
    description: str = ""
    required: bool = True


class Message(Content):
    """A content block and who says it."""

    role: Literal["user", "assistant"] = "user"


class Prompt(Words):
    """A prompt that people may pick."""

    title: str = ""
    description: str = ""
    arguments: dict[str, PromptArgument] = {}
    messages: list[Message] = Field(min_length=1)


# Recipes --------------------------------------------------------------------------------------------------


class RecipeSetting(Words):
    """Something that a tenant is asked when it turns the recipe on."""

    shorthand = "type"
    type: Literal["text", "number", "choice", "repository", "branch", "people", "author"] = Field(
        "text",
        description="`repository` is where the work is done, an id of a linked forge account; `branch` is"
        " what it begins from; `people` are those who may approve; `author` is whose name commits bear.",
    )
    title: str = Field("", description="What people are asked.")
    description: str = ""
    required: bool = False
    default: Scalar | list[str] | None = None
    choices: list[str] = Field([], description="The words of a `choice`.")


class Budget(Words):
    """What one run may use up; it ends when it is spent."""

    minutes: int | float = Field(30, gt=0, description="Of wall clock; waiting for a person does not count.")
    tokens: int | None = Field(None, ge=1000, description="Input and output of all model calls together.")
    money: int | float | None = Field(None, gt=0, description="In the currency of `runs.prices`.")


class Publish(Words):
    """What becomes of the change."""

    shorthand = "as"
    as_: Literal["pull_request", "review", "patch", "nothing"] = Field(
        "nothing",
        alias="as",
        description="A branch with a pull request; a review of the change that is there; a patch that is kept"
        " with the run; nothing.",
    )
    draft: bool = Field(True, description="Whether the pull request is a draft.")
    title: str | None = Field(None, description="The pull request's and the commit's title.")
    body: str | None = Field(None, description="What the pull request says, in Markdown.")


class Back(Words):
    """What is written into the entity: a comment, new values of its fields, or both."""

    shorthand = "comment"
    comment: str | None = Field(None, description="Markdown.")
    update: dict[str, Scalar] = Field({}, json_schema_extra=_NAMES)


class WriteBack(Words):
    """What the entity is told: when work begins, and how it ended."""

    started: Back | None = None
    finished: Back | None = None
    failed: Back | None = Field(None, description="Also when somebody cancelled or declined it.")


class Recipe(Words):
    """A job for Codex, the same for every tenant that turns it on."""

    title: str = Field(description="What the button says.")
    description: str = ""
    entity: str | None = Field(None, description="What it is started on.")
    on: str | None = Field(
        None, description="What starts it by itself: CONNECTOR.ENTITY.EVENT, such as desk.ticket.assigned."
    )
    when: Expression | None = Field(None, description="Rooted at the entity: whether that event starts it.")
    settings: dict[str, RecipeSetting] = Field({}, json_schema_extra=_NAMES)
    context: list[str] = Field([], description="Entities that are listed for it before Codex starts.")
    engine: Literal["app_server"] = "app_server"
    model: str | None = Field(None, description="The engine's default if not said.")
    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    tools: list[str] | None = Field(
        None,
        description="What Codex may do with the tenant's tools, as token scopes (ticket.get, comment.*); if"
        " not said, read the entity and its context. Writes reach only the entity it was started on.",
    )
    network: list[str] = Field([], description="Hosts that commands may reach, besides none.")
    budget: Budget | None = None
    prompt: str = Field(
        min_length=1,
        description="What Codex is to do. May hold {{ settings.x }}, {{ tenant.name }} and {{ run.id }}.",
    )
    output: dict[str, Any] | None = Field(None, description="JSON Schema of what the last message must be.")
    approve: Literal["never", "before_publish", "each_command"] = Field(
        "before_publish", description="`each_command` asks before it publishes, too."
    )
    approve_within: Duration = Field("1d", description="Without a decision by then it is declined.")
    publish: Publish | None = None
    write_back: WriteBack | None = None


class Price(Words):
    """What a million tokens cost."""

    input: int | float = Field(ge=0)
    cached_input: int | float | None = Field(None, ge=0, description="As `input` if not said.")
    output: int | float = Field(ge=0)


class TenantBudget(Words):
    """What the runs of one tenant may use up together."""

    tokens: int | None = Field(None, ge=1000)
    money: int | float | None = Field(None, gt=0, description="In the currency of `prices`.")
    every: Duration = Field("30d", description="The time that is looked back on.")


class Runs(Words):
    """How runs are worked in this installation."""

    at_once: int = Field(4, ge=1, description="Runs that one process works at once.")
    per_tenant: int = Field(2, ge=1, description="Runs of one tenant that are worked at once.")
    keep: Duration = Field("90d", description="How long the history of a run that ended is kept.")
    budget: TenantBudget | None = None
    prices: dict[str, Price] = Field({}, description="By model, in one currency. None is built in.")


class File(Words):
    """A tools.yaml."""

    linkspan: Literal[1] = Field(description="The version of this language.")
    name: str = Field(description="A short name for machines: a-z, 0-9 and -.")
    title: str = ""
    instructions: str = Field(description="What the model is told; Codex shows the first 250 characters.")
    connectors: dict[str, Connector] = Field({}, json_schema_extra=_CONNECTOR_NAMES)
    entities: dict[str, Entity] = Field({}, json_schema_extra=_NAMES)
    resources: dict[str, Resource] = {}
    prompts: dict[str, Prompt] = {}
    recipes: dict[str, Recipe] = Field({}, json_schema_extra=_NAMES)
    runs: Runs | None = None


class ModelFile(Words):
    """A built-in model."""

    title: str
    plural: str
    fields: dict[str, ModelField]


def model_names() -> list[str]:
    """Answer the names of the built-in models."""
    return sorted(path.stem for path in MODELS.glob("*.yaml"))


def connector_names() -> list[str]:
    """Answer the names of the built-in connectors."""
    return sorted(path.stem for path in CONNECTORS.glob("*.yaml"))


def json_schema() -> dict[str, Any]:
    """Answer the JSON Schema (2020-12) of the language, for editors."""
    schema = _tidy(File.model_json_schema(by_alias=True))
    schema["$defs"]["Entity"]["properties"]["model"]["enum"] = model_names()
    connector = schema["$defs"]["Connector"]
    connector["properties"]["use"]["enum"] = connector_names()
    connector["anyOf"] = [{"required": ["use"]}, {"required": connector.pop("required")}]
    written_out = schema["$defs"]["SourceField"]["anyOf"][1]
    written_out["anyOf"] = [{"required": ["from"]}, {"required": ["each", "map"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tools.yaml of Linkspan",
        **schema,
    }


def _tidy(schema: Any) -> Any:
    """Leave out what pydantic adds and no editor needs: titles, empty defaults, null beside a type."""
    if isinstance(schema, list):
        return [_tidy(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    tidied: dict[str, Any] = {}
    for key, value in schema.items():
        if key in {"title", "discriminator"} or (key == "default" and value in (None, "", [], {})):
            continue
        if key in {"properties", "$defs"}:
            tidied[key] = {name: _tidy(part) for name, part in value.items()}
        elif key in {"default", "const", "enum", "propertyNames"}:
            tidied[key] = value
        else:
            tidied[key] = _tidy(value)
    choices = [part for part in tidied.get("anyOf", ()) if part != {"type": "null"}]
    if len(choices) == 1:
        del tidied["anyOf"]
        tidied = {**choices[0], **tidied}
    return tidied
