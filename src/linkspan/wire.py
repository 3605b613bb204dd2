"""One request of a compiled plan: build it, put the credential in, send it, understand the answer.

`build` makes the request without a credential (a dry run shows that), `send` adds the credential at the last
moment and only for an origin that the account was linked to, and turns what comes back into an `Answer` or an
error of the one tree. Arguments fill placeholders and references and nothing else: host, path and the other
parameters of the request are checked once more after everything was put together.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from linkspan import __version__, errors
from linkspan.net import bodies, paging
from linkspan.net.client import Client, LimitRule
from linkspan.net.kept import Kept
from linkspan.net.limits import RateLimit
from linkspan.net.messages import Request, Response, Streamed, StreamingTransport, set_header
from linkspan.net.queries import plain, query_pairs, query_text
from linkspan.net.urls import encoded, is_below, origin_of
from linkspan.refusals import refusal
from linkspan.spec.catalog import ABSENT, Arrays, AuthMethod, Connector, Paging, RequestPlan, Scope, Upload
from linkspan.vault.credential import Credential

MASK = "[credential]"
_SHORTEST_SECRET = 6
"""Shorter ones would be found in texts that have nothing to do with them."""
_LONGEST_FAILURE = 65_536
_OVERRIDDEN = frozenset({"PUT", "PATCH", "DELETE"})
_USER_AGENT = f"linkspan/{__version__}"
_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*\Z")
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A whole request but for its credential."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    shown_body: Any
    repeatable: bool
    base: str
    """What the URL must stay below."""
    ca: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where in a list to read: what the vendor's pager takes, and the page size to ask for."""

    at: str | int | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An understood answer. `body` is decoded: JSON data, text, bytes or None."""

    status: int
    headers: Mapping[str, str]
    body: Any
    url: str
    rate_limit: RateLimit | None = None

    @property
    def root(self) -> dict[str, Any]:
        """What expressions rooted at the answer see."""
        return {"status": self.status, "headers": self.headers, "body": self.body}


def base_url(connector: Connector, settings: Mapping[str, str]) -> str:
    """Answer the connector's base URL for an account's settings, without a slash at the end."""
    return connector.base_url.expand(Scope({}, settings)).rstrip("/")


def base_of(plan: RequestPlan, connector: Connector, settings: Mapping[str, str]) -> str:
    """Answer the URL that a plan's path is put behind."""
    if plan.base is None:
        return base_url(connector, settings)
    return plan.base.expand(Scope({}, settings)).rstrip("/")


def scope_of(
    arguments: Mapping[str, Any], credential: Credential, found: Mapping[str, Any] | None = None
) -> Scope:
    """Answer what references see: arguments, settings, what was found, and a basic credential's user name."""
    known = dict(found or {})
    username = credential.secrets.get("username")
    if username is not None:
        known["credential"] = {"username": username.reveal()}
    return Scope(arguments, credential.settings, known)


def build(
    plan: RequestPlan,
    scope: Scope,
    connector: Connector,
    *,
    page: Paging | None = None,
    position: Position | None = None,
) -> Outgoing:
    """Put a request together from the plan and the arguments.

    Raises `InvalidArgument` for a value that cannot stand where it is put.
    """
    base = base_of(plan, connector, scope.settings)
    path = plan.path.expand(scope)
    if not _PATH.match(path) or _DOTS.search(path):
        raise errors.InvalidArgument("a value cannot stand in the path of the request")
    url = base + path
    pairs = [*_given(connector.query, scope, connector.arrays), *_given(plan.query, scope, plan.arrays)]
    extra = paging.parameters(page, position.at, position.size) if page and position else None
    if extra is not None:
        if extra.url is not None:
            url, pairs = extra.url, []
        pairs = [pair for pair in pairs if pair[0] not in extra.query]
        pairs += [(name, str(value)) for name, value in extra.query.items()]
    if pairs:
        joint = "&" if "?" in url else "?"
        url += joint + query_text(pairs)
    accept = "application/json" if plan.max_bytes is None else "*/*"
    headers = {"Accept": accept, "User-Agent": _USER_AGENT}
    for name, value in (*connector.headers, *plan.headers):
        if (given := value(scope)) is not ABSENT and given is not None:
            set_header(headers, name, plain(given))
    shown: Any = None
    content: bytes | None = None
    if plan.body is not None:
        shown = plan.body.value(scope)
        if shown is ABSENT:
            shown = "" if plan.body.encoding == "text" else {}
        if extra is not None and extra.body:
            shown = paging.merge(shown, extra.body)
        content, media_type = bodies.encode(plan.body.encoding, shown)
        shown = _without_files(shown)
        headers.setdefault("Content-Type", media_type)
    method = plan.method
    if connector.method_override is not None and method in _OVERRIDDEN:
        headers[connector.method_override] = method
        method = "POST"
    ca = ca_of(connector, scope.settings)
    return Outgoing(method, url, headers, content, shown, plan.repeatable, base, ca)


def ca_of(connector: Connector, settings: Mapping[str, str]) -> str | None:
    """Answer the authorities of the account's server, where it has its own."""
    return (settings.get(connector.ca) or None) if connector.ca is not None else None


def _without_files(shown: Any) -> Any:
    """Answer a body as people are shown it: of a file its name, its type and its size."""
    if isinstance(shown, Upload):
        return shown.shown()
    if isinstance(shown, dict) and any(isinstance(part, Upload) for part in shown.values()):
        return {name: _without_files(part) for name, part in shown.items()}
    return shown


def _given(values: tuple[tuple[str, Any], ...], scope: Scope, arrays: Arrays) -> list[tuple[str, str]]:
    """Answer the parameters that have a value."""
    found = [(name, value(scope)) for name, value in values]
    return query_pairs([(name, value) for name, value in found if value is not ABSENT], arrays)


def method_of(connector: Connector, credential: Credential) -> AuthMethod:
    """Answer the way that the account was linked with; raises `NeedsReauth` when the file lost it."""
    method = connector.auth_method(credential.method)
    if method is None:
        raise errors.NeedsReauth(
            f"account {credential.account} was linked with {credential.method!r},"
            f" which {connector.name} does not offer any more"
        )
    return method


def _credential_parts(
    method: AuthMethod, secret: Callable[[str], str]
) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    """Answer the header and the query parameter that carry the credential."""
    if method.oauth is not None:
        return (method.name or "Authorization", f"{method.prefix}{secret('access_token')}"), None
    if method.type == "none":
        return None, None
    if method.type == "basic":
        word = f"{secret('username')}:{secret('password')}"
        encoded = base64.b64encode(word.encode()).decode() if MASK not in word else MASK
        return ("Authorization", f"Basic {encoded}"), None
    if method.type == "bearer":
        return ("Authorization", f"{method.prefix}{secret('token')}"), None
    if method.type == "header":
        return (method.name or "Authorization", f"{method.prefix}{secret('key')}"), None
    return None, (method.name or "key", secret("key"))


def _authorized(outgoing: Outgoing, method: AuthMethod, secret: Callable[[str], str]) -> Request:
    headers, url = dict(outgoing.headers), outgoing.url
    header, parameter = _credential_parts(method, secret)
    if header is not None:
        _put(headers, *header)
    if method.service is not None:
        mark = method.service.tenant
        _put(headers, mark.header, f"{mark.prefix}{secret('tenant')}")
    if parameter is not None:
        joint = "&" if "?" in url else "?"
        url += f"{joint}{encoded(parameter[0])}={quote(parameter[1], safe='[]')}"
    return Request(outgoing.method, url, headers, outgoing.body, outgoing.ca)


def _put(headers: dict[str, str], name: str, value: str) -> None:
    """Set a header of ours, whatever the operation says of one of that name."""
    for known in [each for each in headers if each.lower() == name.lower()]:
        del headers[known]
    headers[name] = value


def show(outgoing: Outgoing, method: AuthMethod | None, variables: Mapping[str, str]) -> dict[str, Any]:
    """Answer the exact request with its credential masked: `{method, url, headers, body}`.

    `variables` are those of the environment that tools.yaml uses: their values are shown as `[NAME]`.
    """
    request = _authorized(outgoing, method, lambda _name: MASK) if method else outgoing

    def masked(value: Any) -> Any:
        if isinstance(value, str):
            for name, hidden in variables.items():
                for form in (hidden, encoded(hidden)):
                    if len(form) >= _SHORTEST_SECRET:
                        value = value.replace(form, f"[{name}]")
            return value
        if isinstance(value, Mapping):
            return {name: masked(part) for name, part in value.items()}
        return [masked(part) for part in value] if isinstance(value, list) else value

    return {
        "method": request.method,
        "url": masked(request.url),
        "headers": masked(request.headers),
        "body": masked(outgoing.shown_body),
    }


async def send(
    plan: RequestPlan,
    scope: Scope,
    connector: Connector,
    credential: Credential,
    client: Client,
    *,
    page: Paging | None = None,
    position: Position | None = None,
    timeout: float | None = None,
    kept: Kept | None = None,
    tenant: str = "",
    watch: Callable[[Outgoing, AuthMethod, Response], None] | None = None,
) -> Answer:
    """Send one request as an account and answer what came back, if it was a success; `watch` sees both.

    `kept` has the tenant's earlier answers, for plans that ask after what has changed. `timeout` is in
    seconds for one exchange, the connector's by default. Raises `NeedsReauth` before anything is sent when
    the request would leave the origins the account was linked to; afterwards what `refusals` makes of a
    status, and everything that `Client.send` raises.
    """
    method = method_of(connector, credential)
    if plan.if_match:
        plan = await _with_etag(plan, scope, connector, credential, client, timeout)
    outgoing = build(plan, scope, connector, page=page, position=position)
    _check_destination(outgoing, connector, credential)
    request = _authorized(outgoing, method, lambda name: credential.secrets[name].reveal())
    key = (tenant, credential.account, request.url)
    if plan.is_conditional and kept is not None and (etag := kept.etag(key)) is not None:
        request = replace(request, headers={**request.headers, "If-None-Match": etag})
    reply = await client.send(
        request,
        repeatable=outgoing.repeatable,
        origins=credential.origins if plan.max_bytes is None else (*credential.origins, *connector.hosts),
        sensitive_headers=_sensitive(method),
        timeout=timeout or connector.timeout,
        budget=connector.rate_budget,
        rate_limited=_rate_rule(connector),
        max_bytes=plan.max_bytes,
    )
    response = reply.response
    if plan.is_conditional and kept is not None:
        response = kept.settle(key, response)
    response = _without_secrets(response, credential)
    if watch is not None:
        watch(outgoing, method, response)
    return _understood(response, reply.rate_limit, connector, plan)


@dataclass(frozen=True, slots=True, repr=False)
class Passing:
    """Somebody's request that is passed on as an account: everything but where to and in whose name.

    `path` and `query` are encoded; a body that is not here yet is `content`.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content: AsyncIterator[bytes] | None = None


@contextlib.asynccontextmanager
async def pass_on(
    ask: Passing,
    connector: Connector,
    credential: Credential,
    transport: StreamingTransport,
    *,
    timeout: float,
    idle: float,
) -> AsyncIterator[Streamed]:
    """Pass a request on below the connector's base URL and hand its answer out as it comes, whatever it says.

    The body of a failure is read first, so that a product that sends the credential back does not tell it.
    Raises `InvalidArgument` for a path that leads elsewhere, `NeedsReauth` for an origin that the account was
    not linked for, and what the transport raises.
    """
    method = method_of(connector, credential)
    base = base_url(connector, credential.settings)
    if not _PATH.match(ask.path) or _DOTS.search(ask.path):
        raise errors.InvalidArgument("this path cannot be passed on")
    headers = {"User-Agent": _USER_AGENT, **ask.headers}
    scope = Scope({}, credential.settings)
    for name, value in connector.headers:
        if (given := value(scope)) is not ABSENT and given is not None:
            set_header(headers, name, plain(given))
    url = f"{base}{ask.path}" + (f"?{ask.query}" if ask.query else "")
    ca = ca_of(connector, credential.settings)
    outgoing = Outgoing(ask.method, url, headers, ask.body, None, repeatable=False, base=base, ca=ca)
    _check_destination(outgoing, connector, credential)
    request = _authorized(outgoing, method, lambda name: credential.secrets[name].reveal())
    async with transport.stream(request, content=ask.content, timeout=timeout, idle=idle) as answer:
        if answer.status < 400:
            yield answer
            return
        yield Streamed.whole(_without_secrets(await answer.read(_LONGEST_FAILURE), credential))


def _without_secrets(response: Response, credential: Credential) -> Response:
    """Answer the response without the credential, if the product sends it back (some do, in their errors)."""
    secrets = [secret.reveal() for name, secret in credential.secrets.items() if name != "username"]
    if credential.method == "basic":
        pair = f"{credential.secrets['username'].reveal()}:{credential.secrets['password'].reveal()}"
        secrets.append(base64.b64encode(pair.encode()).decode())
    body, headers = response.body, response.headers
    for secret in secrets:
        if len(secret) < _SHORTEST_SECRET:
            continue
        written = encoded(secret)
        forms = {secret, written, json.dumps(secret)[1:-1]} if written != secret else {secret}
        for form in map(str.encode, forms):
            if form in body:
                body = body.replace(form, MASK.encode())
        if any(secret in value for value in headers.values()):
            headers = {name: value.replace(secret, MASK) for name, value in headers.items()}
    if body is response.body and headers is response.headers:
        return response
    return Response(response.status, headers, body, response.url)


def _check_destination(outgoing: Outgoing, connector: Connector, credential: Credential) -> None:
    url, base, origin = outgoing.url, outgoing.base, origin_of(outgoing.base)
    if origin not in credential.origins:
        raise errors.NeedsReauth(
            f"{connector.title} is now at {origin}, but account {credential.account} was linked for"
            f" {', '.join(credential.origins)}; nothing was sent"
        )
    if not url.startswith(base + "/") and not is_below(url, base):
        raise errors.EgressRefused(f"a request to {connector.title} would leave {base}; nothing was sent")


def _sensitive(method: AuthMethod) -> tuple[str, ...]:
    mark = (method.service.tenant.header,) if method.service else ()
    return ("authorization", "cookie", *((method.name.lower(),) if method.name else ()), *mark)


async def _with_etag(
    plan: RequestPlan,
    scope: Scope,
    connector: Connector,
    credential: Credential,
    client: Client,
    timeout: float | None,
) -> RequestPlan:
    read = RequestPlan("GET", plan.path, repeatable=True)
    answer = await send(read, scope, connector, credential, client, timeout=timeout)
    etag = answer.headers.get("etag")
    if not etag:
        raise errors.UpstreamError(
            f"{connector.title} gave no ETag, so a change could overwrite somebody else's",
            upstream_status=answer.status,
        )
    return replace(plan, if_match=False, headers=(*plan.headers, ("If-Match", lambda _scope: etag)))


def _rate_rule(connector: Connector) -> LimitRule | None:
    """Answer the connector's own rule: False = no limit, None = one without a time, else the time."""
    when, wait = connector.rate.when, connector.rate.retry_after
    if when is None:
        return None

    def rule(response: Response) -> float | str | bool | None:
        try:
            body = bodies.decode(response)
        except errors.LinkspanError:
            body = None
        root = {"status": response.status, "headers": response.headers, "body": body}
        if not when(root):
            return False
        value = wait(root) if wait else None
        return value if isinstance(value, int | float | str) and not isinstance(value, bool) else None

    return rule


def _understood(
    response: Response, rate_limit: RateLimit | None, connector: Connector, plan: RequestPlan
) -> Answer:
    failed = response.status >= 300
    if plan.max_bytes is not None and not failed:
        return Answer(response.status, response.headers, response.body, response.url, rate_limit)
    try:
        body = bodies.decode(response)
    except errors.LinkspanError as error:
        if not failed:
            error.upstream_status = response.status
            error.message = f"{connector.title}: {error.message}"
            raise
        body = None
    answer = Answer(response.status, response.headers, body, response.url, rate_limit)
    if failed or (connector.failure.when is not None and connector.failure.when(answer.root)):
        raise refusal(answer.root, connector)
    if plan.is_graphql and isinstance(body, dict) and body.get("errors"):
        raise refusal(answer.root, connector)
    return answer
