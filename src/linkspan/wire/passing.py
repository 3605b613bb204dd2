"""Somebody's request passed on as an account, whatever it says."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from linkspan import errors
from linkspan.net.messages import Streamed, StreamingTransport, set_header
from linkspan.net.queries import plain, query_text
from linkspan.spec.catalog import ABSENT, Connector, RequestPlan, Scope
from linkspan.telemetry.meters import Use
from linkspan.vault.credential import Credential
from linkspan.wire.credentials import authorized, check_destination, method_of, without_secrets
from linkspan.wire.requests import DOTS, OVERRIDDEN, PATH, USER_AGENT, Outgoing, base_url, ca_of, given
from linkspan.wire.sending import LONGEST_FAILURE


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


def passing_of(plan: RequestPlan, settings: Mapping[str, str]) -> Passing:
    """Answer a request that takes no arguments as one to be passed on. Raises `InvalidArgument`."""
    scope = Scope({}, settings)
    headers: dict[str, str] = {}
    for name, value in plan.headers:
        if (there := value(scope)) is not ABSENT and there is not None:
            set_header(headers, name, plain(there))
    query = query_text(given(plan.query, scope, plan.arrays))
    return Passing(plan.method, plan.path.expand(scope), query, headers)


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
    connector = connector.through(credential.method)
    method = method_of(connector, credential)
    base = base_url(connector, credential.settings)
    if not PATH.match(ask.path) or DOTS.search(ask.path):
        raise errors.InvalidArgument("this path cannot be passed on")
    headers = {"User-Agent": USER_AGENT, **ask.headers}
    scope = Scope({}, credential.settings)
    for name, value in connector.headers:
        if (there := value(scope)) is not ABSENT and there is not None:
            set_header(headers, name, plain(there))
    own = query_text(given(connector.query, scope, connector.arrays))
    query = "&".join(part for part in (ask.query, own) if part)
    url = f"{base}{ask.path}" + (f"?{query}" if query else "")
    ca = ca_of(connector, credential.settings)
    http_method = ask.method
    if connector.method_override is not None and http_method in OVERRIDDEN:
        headers[connector.method_override] = http_method
        http_method = "POST"
    use = Use("passed_on", connector.name)
    outgoing = Outgoing(
        http_method, url, headers, ask.body, None, repeatable=False, base=base, ca=ca, use=use
    )
    check_destination(outgoing, connector, credential)
    request = authorized(outgoing, method, lambda name: credential.secrets[name].reveal())
    async with transport.stream(request, content=ask.content, timeout=timeout, idle=idle) as answer:
        if answer.status < 400:
            yield answer
            return
        yield Streamed.whole(without_secrets(await answer.read(LONGEST_FAILURE), credential))
