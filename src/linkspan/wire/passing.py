"""Somebody's request passed on as an account, whatever it says."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from linkspan import errors
from linkspan.net.messages import Response, Streamed, StreamingTransport, set_header
from linkspan.net.queries import plain, query_text
from linkspan.net.urls import DOTS
from linkspan.spec.catalog import ABSENT, Connector, RequestPlan, Scope
from linkspan.telemetry.meters import Use
from linkspan.vault.credential import Credential
from linkspan.wire.credentials import authorized, check_destination, method_of, without_secrets
from linkspan.wire.requests import OVERRIDDEN, PATH, USER_AGENT, Outgoing, base_url, ca_of, given
from linkspan.wire.sending import LONGEST_FAILURE, as_root

SHORT: Final = 4_096
"""Bytes that a product needs at most to refuse something with status 200."""


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

    The body of a failure is read first, so that a product that sends the credential back does not tell it;
    nor is it told in a header, such as the address of a next page where the credential is a parameter.
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
            head = Response(answer.status, answer.headers, b"", answer.url)
            yield replace(answer, headers=without_secrets(head, credential).headers)
            return
        yield Streamed.whole(without_secrets(await answer.read(LONGEST_FAILURE), credential))


async def failure_of(
    answer: Streamed, connector: Connector, credential: Credential
) -> tuple[Streamed, Response | None]:
    """Answer the answer to go on with, and the whole of it if it is a failure by its status.

    Of a product whose failures are declared to come with status 200 so is a refusal of more calls. To tell,
    the beginning of what could be one is looked at, and goes on as it came if it is none: a short body of a
    known length, else the first piece.
    """
    if answer.status >= 400:
        whole = await answer.read(LONGEST_FAILURE)
        return Streamed.whole(whole), whole
    connector = connector.through(credential.method)
    rule = connector.rate.when if connector.failure.when is not None else None
    length = answer.headers.get("content-length", "0")
    is_json = answer.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
    if rule is None or not is_json or not length.isdecimal() or len(length) > 6 or int(length) > SHORT:
        return answer, None
    head = bytearray()
    async for chunk in answer.chunks:
        head += chunk
        if len(head) >= int(length):
            break
    whole = Response(answer.status, answer.headers, bytes(head), answer.url)
    if len(head) > SHORT or not rule(as_root(whole)):
        return replace(answer, chunks=_onward(bytes(head), answer.chunks)), None
    whole = without_secrets(whole, credential)
    headers = {name: value for name, value in whole.headers.items() if name != "content-length"}
    whole = replace(whole, headers=headers)
    return Streamed.whole(whole), whole


async def _onward(head: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if head:
        yield head
    async for chunk in chunks:
        yield chunk
