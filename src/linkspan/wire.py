"""One request of a compiled plan: build it, put the credential in, send it, understand the answer.

`build` makes the request without a credential (a dry run shows that), `send` adds the credential at the last
moment and only for an origin that the account was linked to, and turns what comes back into an `Answer` or an
error of the one tree. Arguments fill placeholders and references and nothing else: host, path and the other
parameters of the request are checked once more after everything was put together.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from linkspan import __version__, errors
from linkspan.net import bodies, paging
from linkspan.net.client import Client, LimitRule
from linkspan.net.limits import RateLimit
from linkspan.net.messages import Request, Response
from linkspan.net.urls import is_below, origin_of
from linkspan.spec.catalog import ABSENT, AuthMethod, Connector, Paging, RequestPlan, Scope
from linkspan.vault.credential import Credential

MASK = "[credential]"
_USER_AGENT = f"linkspan/{__version__}"
_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*\Z")
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|\Z)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A whole request but for its credential."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None
    shown_body: Any
    repeatable: bool


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
    pairs = [*_pairs(connector.query, scope), *_pairs(plan.query, scope)]
    extra = paging.parameters(page, position.at, position.size) if page and position else None
    if extra is not None:
        if extra.url is not None:
            url, pairs = extra.url, []
        pairs = [pair for pair in pairs if pair[0] not in extra.query] + [
            (name, str(value)) for name, value in extra.query.items()
        ]
    if pairs:
        joint = "&" if "?" in url else "?"
        url += joint + "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    headers = {"Accept": "application/json", "User-Agent": _USER_AGENT}
    for name, value in (*connector.headers, *plan.headers):
        _set_header(headers, name, value(scope))
    shown: Any = None
    content: bytes | None = None
    if plan.body is not None:
        shown = plan.body.value(scope)
        if shown is ABSENT:
            shown = "" if plan.body.encoding == "text" else {}
        if extra is not None and extra.body:
            shown = paging.merge(shown, extra.body)
        content, media_type = bodies.encode(plan.body.encoding, shown)
        headers.setdefault("Content-Type", media_type)
    return Outgoing(plan.method, url, headers, content, shown, plan.repeatable)


def _pairs(values: tuple[tuple[str, Any], ...], scope: Scope) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in values:
        given = value(scope)
        if given is ABSENT or given is None:
            continue
        pairs.extend((name, _plain(part)) for part in (given if isinstance(given, list) else (given,)))
    return pairs


def _plain(value: Any) -> str:
    """Answer how a value is written in a query or header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    return bodies.json_text(value)


def _set_header(headers: dict[str, str], name: str, value: Any) -> None:
    if value is ABSENT or value is None:
        return
    text = _plain(value)
    if _CONTROL.search(text) or not text.isascii():
        raise errors.InvalidArgument(f"a value cannot stand in the header {name}")
    for known in headers:
        if known.lower() == name.lower():
            headers[known] = text
            return
    headers[name] = text


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
        url += f"{joint}{quote(parameter[0], safe='')}={quote(parameter[1], safe='[]')}"
    return Request(outgoing.method, url, headers, outgoing.body)


def _put(headers: dict[str, str], name: str, value: str) -> None:
    """Set a header of ours, whatever the operation says of one of that name."""
    for known in [each for each in headers if each.lower() == name.lower()]:
        del headers[known]
    headers[name] = value


def show(outgoing: Outgoing, method: AuthMethod | None) -> dict[str, Any]:
    """Answer the exact request with its credential masked: `{method, url, headers, body}`."""
    request = _authorized(outgoing, method, lambda _name: MASK) if method else outgoing
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "body": outgoing.shown_body,
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
) -> Answer:
    """Send one request as an account and answer what came back, if it was a success.

    `timeout` is in seconds for one exchange, the connector's by default. Raises `NeedsReauth` before anything
    is sent when the request would leave the origins the account was linked to; afterwards what `_refusal`
    makes of a status, and everything that `Client.send` raises.
    """
    method = method_of(connector, credential)
    if plan.if_match:
        plan = await _with_etag(plan, scope, connector, credential, client, timeout)
    outgoing = build(plan, scope, connector, page=page, position=position)
    _check_destination(outgoing.url, base_of(plan, connector, scope.settings), connector, credential)
    request = _authorized(outgoing, method, lambda name: credential.secrets[name].reveal())
    reply = await client.send(
        request,
        repeatable=outgoing.repeatable,
        origins=credential.origins,
        sensitive_headers=_sensitive(method),
        timeout=timeout or connector.timeout,
        budget=connector.rate_budget,
        rate_limited=_rate_rule(connector),
    )
    return _understood(reply.response, reply.rate_limit, connector)


def _check_destination(url: str, base: str, connector: Connector, credential: Credential) -> None:
    origin = origin_of(base)
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


def _understood(response: Response, rate_limit: RateLimit | None, connector: Connector) -> Answer:
    failed = response.status >= 300
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
        raise _refusal(answer, connector)
    return answer


_TRACE = re.compile(
    r"Traceback|stack ?trace|\bat 0x|File \"|\.(?:py|rs|rb|js|java|go|php):\d|line \d+, in|</?\w",
    re.IGNORECASE,
)
_WORDS = ("message", "msg", "detail", "error_description", "title", "error", "errors", "reason")
_KINDS: dict[int, tuple[type[errors.LinkspanError], str]] = {
    400: (errors.InvalidArgument, "did not accept the request"),
    401: (errors.NeedsReauth, "refused the credential"),
    403: (errors.Forbidden, "does not allow this for the linked account"),
    404: (errors.NotFound, "has no such thing"),
    405: (errors.UpstreamError, "does not know this method"),
    408: (errors.UpstreamTimeout, "did not answer in time"),
    409: (errors.Conflict, "reports a conflict"),
    410: (errors.NotFound, "has it no more"),
    412: (errors.Conflict, "says that it was changed meanwhile"),
    413: (errors.TooLarge, "says that it is too large"),
    422: (errors.InvalidArgument, "did not accept the values"),
    504: (errors.UpstreamTimeout, "did not answer in time"),
}


def _refusal(answer: Answer, connector: Connector) -> errors.LinkspanError:
    kind, words = _KINDS.get(answer.status, (errors.UpstreamError, f"answered {answer.status}"))
    if answer.status < 300:
        words = "answered with a failure"
    said = connector.failure.message(answer.root) if connector.failure.message else None
    said = said if isinstance(said, str) else _said(answer.body)
    told = _harmless(said) if said else ""
    message = f"{connector.title} {words}" + (f": {told}" if told else "")
    missing = _missing_scopes(answer.headers) if kind is errors.Forbidden else []
    return kind(
        message, upstream_status=answer.status, details={"missing_scopes": missing} if missing else None
    )


def _missing_scopes(headers: Mapping[str, str]) -> list[str]:
    """Answer the scopes that a 403 says are missing (RFC 6750 §3.1, and GitHub's two headers)."""
    challenge = headers.get("www-authenticate", "")
    if "insufficient_scope" in challenge:
        found = re.search(r'scope="([^"]{1,1000})"', challenge)
        return found[1].split() if found else []
    accepted = [word.strip() for word in headers.get("x-accepted-oauth-scopes", "").split(",")]
    held = {word.strip() for word in headers.get("x-oauth-scopes", "").split(",")}
    return [] if held & set(accepted) else [word for word in accepted if word][:20]


def _said(body: Any, depth: int = 0) -> str | None:
    """Find the sentence in an error body of any shape."""
    if depth > 4:
        return None
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return next((said for part in body[:3] if (said := _said(part, depth + 1))), None)
    if isinstance(body, dict):
        for word in _WORDS:
            if word in body and (said := _said(body[word], depth + 1)):
                return said
        if depth <= 1:
            for name, value in list(body.items())[:5]:
                if isinstance(value, str | list) and (said := _said(value, depth + 1)):
                    return f"{name}: {said}"
    return None


def _harmless(said: str) -> str:
    """Answer one short line of a product's words, or nothing when they look like a program's insides."""
    if _TRACE.search(said):
        return ""
    line = " ".join(_CONTROL.sub(" ", said).split())
    return line if len(line) <= 300 else line[:299] + "…"
