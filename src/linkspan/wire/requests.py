"""A request of a compiled plan, whole but for its credential; and what people are shown of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from linkspan import __version__, errors
from linkspan.net import bodies, paging
from linkspan.net.messages import set_header
from linkspan.net.queries import plain, query_pairs, query_text
from linkspan.net.urls import DOTS, origin_of, resolve
from linkspan.spec.catalog import ABSENT, Arrays, Connector, Paging, RequestPlan, Scope, Upload
from linkspan.telemetry.meters import OTHER, Use
from linkspan.vault.credential import Credential

OVERRIDDEN: Final = frozenset({"PUT", "PATCH", "DELETE"})
"""Methods that some products take as POST with a header."""
USER_AGENT: Final = f"linkspan/{__version__}"
PATH: Final = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*\Z")


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
    is_told: bool = False
    """The URL is one that the product told: it may lead to the connector's hosts, without the credential."""
    use: Use = OTHER
    """What it is counted as."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where in a list to read: what the vendor's pager takes, and the page size to ask for."""

    at: str | int | None = None
    size: int | None = None


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
    if not PATH.match(path) or DOTS.search(path):
        raise errors.InvalidArgument("a value cannot stand in the path of the request")
    if plan.url is not None:
        return _told(plan, plan.url(scope), scope, connector, base)
    url = base + path
    pairs = [*given(connector.query, scope, connector.arrays), *given(plan.query, scope, plan.arrays)]
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
    headers = {"Accept": accept, "User-Agent": USER_AGENT}
    for name, value in (*connector.headers, *plan.headers):
        if (there := value(scope)) is not ABSENT and there is not None:
            set_header(headers, name, plain(there))
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
    if connector.method_override is not None and method in OVERRIDDEN:
        headers[connector.method_override] = method
        method = "POST"
    ca = ca_of(connector, scope.settings)
    use = Use("api", connector.name, plan.line)
    return Outgoing(method, url, headers, content, shown, plan.repeatable, base, ca, use=use)


def _told(plan: RequestPlan, told: Any, scope: Scope, connector: Connector, base: str) -> Outgoing:
    """Answer the read of an address that the product told. What is only for the product stays with it.

    `[step.member]` stands for what an earlier step would find, in a dry run.
    """
    if not isinstance(told, str) or not told.strip():
        raise errors.NotFound(f"{connector.title} told no address to read")
    is_later = told.startswith("[")
    try:
        url = told if is_later else resolve(base + "/", told)
    except ValueError:
        raise errors.UpstreamError(f"{connector.title} told an address that is none") from None
    headers = {"Accept": "application/json" if plan.max_bytes is None else "*/*", "User-Agent": USER_AGENT}
    if is_later or origin_of(url) == origin_of(base):
        for name, value in (*connector.headers, *plan.headers):
            if (there := value(scope)) is not ABSENT and there is not None:
                set_header(headers, name, plain(there))
    ca = ca_of(connector, scope.settings)
    use = Use("api", connector.name, plan.line)
    return Outgoing("GET", url, headers, None, None, plan.repeatable, base, ca, is_told=True, use=use)


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


def given(values: tuple[tuple[str, Any], ...], scope: Scope, arrays: Arrays) -> list[tuple[str, str]]:
    """Answer the parameters that have a value."""
    found = [(name, value(scope)) for name, value in values]
    return query_pairs([(name, value) for name, value in found if value is not ABSENT], arrays)
