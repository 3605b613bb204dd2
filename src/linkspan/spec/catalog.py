"""What tools.yaml becomes: an immutable `Catalog`, compiled once per file version, nothing left to parse.

Everything below this line of the house reads these classes and never YAML again. Getters, predicates and
values are compiled closures; a `Catalog` is shared by all tenants and replaced whole on a hot reload.

Where expressions are rooted:
- `items`, `item`, pagination's `read`, `more` and `total`: the decoded body of the answer;
- `when`, `message` and everything of `rate_limit` and `error`: the answer, `{status, headers, body}` with
  header names in lower case;
- `verify`'s `id` and `label`, a step's `item`: the body;
- fields: one item.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from linkspan.spec.events import Stream, Webhooks
from linkspan.spec.grants import Connected, OAuth, Service
from linkspan.spec.recipe import Recipe, RunsPolicy

Kind = Literal["read", "write", "delete"]
Getter = Callable[[Any], Any]
"""Takes a root (see above), answers the value or None; raises nothing for data of any shape."""
Predicate = Callable[[Any], bool]
Json = dict[str, Any]


class _Later:
    """In a dry run: what an earlier step would find. References to it answer `[step.member]`."""

    def __repr__(self) -> str:
        return "LATER"


LATER: Final = _Later()


class _Absent:
    """The value of a reference to an argument that was not given: whatever holds it is not sent."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Scope:
    """What references in a request may see.

    `found` holds what earlier steps found, by name; `answer`, the `{status, headers, body}` for content
    blocks; `elicit`, `{action, content}`; and `credential`, of which only `username` (basic) is shown.
    """

    arguments: Mapping[str, Any]
    settings: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)


class Value(Protocol):
    """A query, header or body value: literals and `$references`, evaluated without any templating."""

    def __call__(self, scope: Scope) -> Any:
        """Answer the typed value, or ABSENT. Mappings and lists leave absent members out."""
        ...


class Template(Protocol):
    """A URL or header text with `{placeholders}`.

    In URLs every expansion is percent-encoded as RFC 6570 simple expansion does; a value that is empty,
    `.` or `..`, or that holds a control character, raises `InvalidArgument` naming the argument.
    """

    def expand(self, scope: Scope) -> str:
        """Answer the text with its placeholders filled in."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class Upload:
    """A file that is sent. `type` is its media type."""

    name: str
    type: str
    data: bytes

    def shown(self) -> Json:
        """What a dry run shows of it."""
        return {"name": self.name, "type": self.type, "bytes": len(self.data)}


@dataclass(frozen=True, slots=True)
class Body:
    """A request body: how it is encoded and the value that is encoded. ABSENT or `{}` sends `{}` as JSON.

    The value of `multipart` is a mapping whose members may be an `Upload`, that of `file` is one.
    """

    encoding: Literal["json", "form", "text", "multipart", "file"]
    value: Value


Arrays = Literal["repeat", "comma", "brackets", "indices", "pipes", "spaces"]


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """One HTTP request, ready but for its arguments.

    `path` is relative to the connector's base URL, or to `base`, and starts with `/`. Query values that are
    lists are sent as repeated parameters; booleans as `true`/`false`. `if_match` reads `path` with GET first
    and sends its ETag as If-Match (RFC 9110 §13.1.1).
    """

    method: str
    path: Template
    query: tuple[tuple[str, Value], ...] = ()
    headers: tuple[tuple[str, Value], ...] = ()
    body: Body | None = None
    if_match: bool = False
    arrays: Arrays = "repeat"
    """How a list in `query` is sent: `a=1&a=2`, `a=1,2`, `a[]=1&a[]=2`, `a[0]=1&a[1]=2`, `a=1|2`, `a=1 2`."""
    is_conditional: bool = False
    """Asks with If-None-Match after what was answered before, where a product gives ETags."""
    max_bytes: int | None = None
    """The answer is a file of at most so many bytes, which are not read as anything."""
    is_graphql: bool = False
    """Its answer may hold `errors` beside 200."""
    repeatable: bool = False
    """May be sent again after a failure that may have come after the work was done (RFC 9110 §9.2.2)."""
    base: Template | None = None
    line: str = ""
    """Method and path as they are written in the file: what the audit log says of it."""


@dataclass(frozen=True, slots=True)
class Step:
    """A request that is made before an operation's own; `found[name]` is what `item` finds in its body.

    Skipped when `when` answers ABSENT, false or nothing: then `found` has no such name. In a dry run
    `found[name]` is LATER.
    """

    plan: RequestPlan
    name: str | None = None
    when: Value | None = None
    item: Getter | None = None
    find: Callable[[Any, Scope], Any] | None = None
    """Answers the one thing in the body that is kept instead, or raises `InvalidArgument`."""


@dataclass(frozen=True, slots=True)
class Include:
    """A read whose answer becomes a member of the item. References in it see the item as `item`."""

    name: str
    plan: RequestPlan
    item: Getter
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Paging:
    """How a list goes on. `send` carries the position, `size` the wished page size, at most `max_size`.

    Styles: `cursor` (read = the next cursor), `next_url` (read = the next URL, which must stay on the
    connector's origin and base path), `link` (Link header rel=next, RFC 8288; `more` may name a link
    parameter that must be "true", as Sentry's `results`), `page` and `offset` (counted by us from `first`;
    `total` items, `pages` or `more` may say where it ends, else a page shorter than the size, or empty, is
    the last), `none`.
    """

    style: Literal["cursor", "next_url", "link", "page", "offset", "none"]
    send: str | None = None
    send_in: Literal["query", "body"] = "query"
    read: Getter | None = None
    more: Getter | None = None
    more_link: str | None = None
    total: Getter | None = None
    pages: Getter | None = None
    is_relay: bool = False
    """A GraphQL connection that each operation has elsewhere: `read` and `more` come with its `items`."""
    first: int = 1
    size: str | None = None
    size_in: Literal["query", "body"] = "query"
    default_size: int | None = None
    max_size: int | None = None


@dataclass(frozen=True, slots=True)
class RateRule:
    """What else than status 429 means "too many calls", and where its wait is told, if not in a header."""

    when: Predicate | None = None
    retry_after: Getter | None = None
    """Answers seconds (a number) or any text that net.limits understands."""


@dataclass(frozen=True, slots=True)
class FailureRule:
    """What makes a 2xx answer a failure, and where a failure's words are. All rooted at the answer."""

    when: Predicate | None = None
    message: Getter | None = None
    code: Getter | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    """The product's words to codes of `errors`."""


@dataclass(frozen=True, slots=True)
class Verify:
    """The request that proves a credential, and whose it is. `id` and `label` are rooted at the body."""

    request: RequestPlan
    id: Getter | None = None
    label: Getter | None = None


@dataclass(frozen=True, slots=True)
class AuthMethod:
    """One way to connect. `fields` are the secrets that are asked, by name, in the order of asking."""

    type: Literal["bearer", "header", "basic", "query", "none", "oauth2", "client_credentials", "github_app"]
    per: Literal["person", "tenant", "operator"] = "tenant"
    title: str = ""
    help_url: str | None = None
    name: str | None = None
    """The header's or query parameter's name; bearer and basic use Authorization."""
    prefix: str = ""
    """What stands before the secret in the header, its space included: `Bearer `, `Token `, ``."""
    fields: tuple[str, ...] = ()
    """bearer: `token`; header and query: `key`; basic: `username`, `password`; github_app: `installation_id`;
    the other two `client_id` and `client_secret`, unless the file has them."""
    oauth: OAuth | None = None
    """How access tokens are got and renewed: these ways are sent as `access_token`."""
    service: Service | None = None
    """The operator's own key (`per: operator`): nothing is asked, and no account is linked."""
    verify: Verify | None = None
    """How this way is proved, where that is otherwise than the connector's `verify`."""

    @property
    def sent(self) -> tuple[str, ...]:
        """The secrets that requests carry."""
        return ("access_token",) if self.oauth is not None else self.fields


@dataclass(frozen=True, slots=True)
class Setting:
    """Something asked once per account. `pattern` is always a full match. `origin` = scheme://host[:port]."""

    name: str
    title: str
    type: Literal["text", "origin", "certificate"] = "text"
    description: str = ""
    pattern: re.Pattern[str] | None = None
    required: bool = True
    default: str | None = None
    is_found: bool = False
    """It is not asked: `Connector.connected` finds it."""


@dataclass(frozen=True, slots=True)
class GitHost:
    """Where a forge keeps its repositories for git, and whom git says it is; the secret is the account's."""

    base_url: Template
    username: str | None = None
    """None: the user name of a basic credential."""


@dataclass(frozen=True, slots=True)
class Connector:
    """How to reach one SaaS. `base_url` may hold `{settings.x}`; it never holds an argument."""

    name: str
    title: str
    base_url: Template
    settings: Mapping[str, Setting]
    auth: tuple[AuthMethod, ...]
    headers: tuple[tuple[str, Value], ...] = ()
    query: tuple[tuple[str, Value], ...] = ()
    verify: Verify | None = None
    connected: Connected | None = None
    paging: Paging = Paging(style="none")
    rate: RateRule = RateRule()
    failure: FailureRule = FailureRule()
    arrays: Arrays = "repeat"
    method_override: str | None = None
    """The header that carries the method, where PUT, PATCH and DELETE do not get through."""
    graphql: str = "/graphql"
    hosts: tuple[str, ...] = ()
    """Further origins that a read may be redirected to; the credential stays behind."""
    is_conditional: bool = False
    """Its reads ask with If-None-Match."""
    ca: str | None = None
    """The setting that holds the certificates which the product's own must be signed by."""
    webhooks: Webhooks | None = None
    streams: tuple[Stream, ...] = ()
    timeout: float = 30.0
    """Seconds for one request and its answer."""
    rate_budget: float = 20.0
    """Seconds a call may wait for a rate limit before it is told to the caller."""
    git: GitHost | None = None
    """None: it is no forge."""

    @property
    def events(self) -> tuple[str, ...]:
        """The names of all events that it tells, by webhook or by stream."""
        told = [self.webhooks.events] if self.webhooks is not None else []
        return tuple(name for events in (*told, *(one.events for one in self.streams)) for name in events)

    def auth_method(self, type_: str) -> AuthMethod | None:
        """Answer the way to connect of that type, if the connector has it."""
        return next((method for method in self.auth if method.type == type_), None)


@dataclass(frozen=True, slots=True)
class Block:
    """One content block of a tool result or prompt message that is not our `{result}` JSON.

    `type` as in MCP: text, image, audio, resource (embedded). Values are rooted at `Scope` with
    `found["answer"] = {status, headers, body}` when a request was made.
    """

    type: Literal["text", "image", "audio", "resource"]
    text: Value | None = None
    data: Value | None = None
    """Base64 text, or bytes that are encoded."""
    mime_type: Value | None = None
    uri: Value | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress that a long operation reports: fixed steps told while it works."""

    steps: tuple[float, ...]
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Elicit:
    """A form that is asked of the person before the request is made (MCP elicitation, form mode)."""

    message: Value
    schema: Json
    missing: str | None = None
    """What the model is told when the client cannot ask."""
    name: str = "answer"
    """What the protocol calls the question (`inputRequests`, MCP 2026-07-28)."""


@dataclass(frozen=True, slots=True)
class FieldSource:
    """Where a source has a field, for those who ask why it came out as it did; calls use `shape`."""

    name: str
    expression: str
    """As it is written in the file."""
    getter: Getter
    words: Mapping[str, str] | None = None
    """The product's words to ours, where the field has fixed ones."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be done with one entity at one connector.

    `schema` is the JSON Schema (2020-12) of `arguments` at this connector, reserved arguments excluded.
    `shape` makes a field mapping of an item; identity is in it as `id`. List operations have `items`, others
    `item`; both None with `blocks` set means that the answer is those content blocks.
    """

    entity: str
    name: str
    connector: str
    kind: Kind
    title: str
    description: str
    schema: Json
    plan: RequestPlan | None
    items: Getter | None = None
    item: Getter | None = None
    shape: Callable[[Any], Json] | None = None
    """None: the answer is passed on as it came (an operation of an entity without fields)."""
    returns: str | None = None
    """The entity whose shape the answer has, where it is another than `entity` (comment_on: `comment`)."""
    paging: Paging = Paging(style="none")
    blocks: tuple[Block, ...] = ()
    progress: Progress | None = None
    elicit: Elicit | None = None
    timeout: float | None = None
    steps: tuple[Step, ...] = ()
    """Requests made before `plan`, in this order."""
    when: Value | None = None
    """Whether `plan` is sent at all; else the answer is that of the last step that was."""
    choices: tuple[str, ...] = ()
    """The arguments of which one must be given, where every request is left out without its own."""
    include: tuple[Include, ...] = ()
    """Reads made after `plan`, all at once, whose answers are put into the item."""
    names_asker: bool = False
    """The text `body` ends with who asked, where a person writes by an account that the tenant shares."""

    is_download: bool = False
    """The answer is a file, shown as an image, a text or an embedded resource."""
    offers_remote: bool = False
    """Whether the argument `remote_data` brings the item as the product answered it."""

    fields: tuple[FieldSource, ...] = ()
    """What `shape` is made of."""
    where: str = "@"
    """`items` or `item` as it is written."""

    @property
    def key(self) -> str:
        """`ENTITY.OPERATION`, the word that token scopes use."""
        return f"{self.entity}.{self.name}"

    @property
    def is_list(self) -> bool:
        """Whether it answers a page and takes `cursor` and `limit`."""
        return self.items is not None


@dataclass(frozen=True, slots=True)
class Tool:
    """One MCP tool: an operation whatever the connector. Everything a client sees of it is ready here.

    `input_schema` is the union over `operations` plus the reserved arguments that apply (`cursor`, `limit`,
    `account`, `dry_run`). `annotations` has all four hints and the title.
    """

    name: str
    title: str
    description: str
    input_schema: Json
    output_schema: Json | None
    annotations: Json
    kind: Kind
    entity: str
    operation: str
    operations: Mapping[str, Operation]
    """By connector name; one entry or more."""
    meta: Json | None = None

    @property
    def key(self) -> str:
        """`ENTITY.OPERATION`."""
        return f"{self.entity}.{self.operation}"

    def definition(self) -> Json:
        """The tool as `tools/list` shows it."""
        shown: Json = {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.input_schema,
            "annotations": self.annotations,
        }
        if self.output_schema is not None:
            shown["outputSchema"] = self.output_schema
        if self.meta is not None:
            shown["_meta"] = self.meta
        return shown


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """A field of an entity, for documentation, output schemas and Markdown."""

    name: str
    type: str
    description: str = ""
    enum: tuple[str, ...] = ()
    markdown: bool = False


@dataclass(frozen=True, slots=True)
class Entity:
    """A kind of thing: its fields and the connectors it comes from."""

    name: str
    plural: str
    title: str
    fields: tuple[FieldInfo, ...]
    connectors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource that tools.yaml declares itself: static text or bytes, or one read from a connector.

    `uri` holds `{name}` for a template. Entity resources (`linkspan://ticket/{id}`) are not in here: they
    follow from the entities that can be read with `get`.
    """

    uri: str
    name: str
    title: str
    description: str
    mime_type: str
    text: Value | None = None
    blob: Value | None = None
    connector: str | None = None
    plan: RequestPlan | None = None
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One message of a prompt."""

    role: Literal["user", "assistant"]
    block: Block


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that tools.yaml declares. `arguments` = (name, description, required)."""

    name: str
    title: str
    description: str
    arguments: tuple[tuple[str, str, bool], ...]
    messages: tuple[PromptMessage, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """One compiled tools.yaml. `version` is a digest of everything it was made from."""

    name: str
    title: str
    instructions: str
    version: str
    connectors: Mapping[str, Connector]
    entities: Mapping[str, Entity]
    tools: tuple[Tool, ...]
    resources: tuple[Resource, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    files: tuple[str, ...] = ()
    """The files it was read from, for hot reload."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What it took from the environment: the operator's, and never shown."""
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    runs: RunsPolicy = field(default_factory=RunsPolicy)
    _by_name: Mapping[str, Tool] = field(default_factory=dict, repr=False)
    _by_key: Mapping[str, Tool] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {tool.name: tool for tool in self.tools})
        object.__setattr__(self, "_by_key", {tool.key: tool for tool in self.tools})

    def tool(self, name: str) -> Tool | None:
        """Answer the tool of that name."""
        return self._by_name.get(name)

    def tool_for(self, key: str) -> Tool | None:
        """Answer the tool of `ENTITY.OPERATION`."""
        return self._by_key.get(key)


def scopes_allow(scopes: Sequence[str], key: str, kind: Kind) -> bool:
    """Tell whether token scopes let `ENTITY.OPERATION` of that kind be used (docs: contracts, Scopes)."""
    if "write" in scopes or (kind == "read" and "read" in scopes):
        return True
    entity = key.partition(".")[0]
    return key in scopes or f"{entity}.*" in scopes
