"""A stream for a principal: a request passed on in the name of an account, its answer handed out as it comes.

Nothing is kept on the way, in neither direction. What may pass is said by lists of header names; everything
else, hop-by-hop headers (RFC 9110 §7.6.1) and what tells of our own callers among them, stays here.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from linkspan import errors, wire
from linkspan.accounts.accounts import Accounts
from linkspan.accounts.principal import Principal
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.govern import caller_of
from linkspan.gateway.log_bodies import Collected, LogBodies
from linkspan.gateway.open_streams import OpenStreams
from linkspan.net.limits import TooMany
from linkspan.net.messages import Streamed, StreamingTransport
from linkspan.net.pacing import Paces
from linkspan.refusals import harmless, is_quota_spent
from linkspan.spec.catalog import Catalog, Connector
from linkspan.store.audit import AuditRow, AuditWriter
from linkspan.telemetry import SILENT, CallEnded, Telemetry
from linkspan.telemetry.tracer import Span
from linkspan.vault.credential import Credential
from linkspan.wire import Passing

_SAFE: Final = ("GET", "HEAD", "OPTIONS")
LONGEST_FAILURE: Final = 65_536
_OUT: Final = frozenset(
    {
        *("accept", "accept-language", "content-type", "content-encoding", "content-length", "range"),
        *("content-range", "content-disposition", "content-language", "content-md5", "content-digest"),
        *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"),
        *("idempotency-key", "prefer"),
    }
)
_IN: Final = frozenset(
    {
        *("content-type", "content-length", "content-range", "content-disposition", "content-language"),
        *("etag", "last-modified", "link", "location", "retry-after", "retry-after-ms", "x-request-id"),
        *("x-should-retry", "accept-ranges", "content-location"),
    }
)


def outgoing_headers(headers: Mapping[str, str], more: tuple[str, ...] = ()) -> dict[str, str]:
    """Answer what is passed on of a request's headers (names in lower case); `more` are prefixes of others.

    Bodies are asked for as they are, since a packed stream would come in lumps.
    """
    kept = {name: _as_sent(value) for name, value in headers.items() if name in _OUT or name.startswith(more)}
    return {**kept, "accept-encoding": "identity"}


def _as_sent(value: str) -> str:
    """Answer what will be written as it came: ASGI's bytes were read as Latin-1, UTF-8 is written."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def incoming_headers(headers: Mapping[str, str], more: tuple[str, ...] = ()) -> dict[str, str]:
    """Answer what is passed on of an answer's headers: what it is, and what it says of limits."""
    return {
        name: value
        for name, value in headers.items()
        if name in _IN or "ratelimit" in name.replace("rate-limit", "ratelimit") or name.startswith(more)
    }


class Relay:
    """Passes requests on. One for all tenants."""

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        accounts: Accounts,
        transport: StreamingTransport,
        *,
        audit: AuditWriter,
        paces: Paces,
        clock: Callable[[], float],
        telemetry: Telemetry = SILENT,
        bodies: LogBodies | None = None,
        most_open: int = 100,
    ) -> None:
        """`most_open` requests a tenant may have open at a time, and its runs as many beside them."""
        self._bodies = bodies
        self._streams = OpenStreams(most_open, refused=lambda: telemetry.meters.limited("streams"))
        self._telemetry = telemetry
        self._catalog = catalog
        self._accounts = accounts
        self._transport = transport
        self._audit = audit
        self._paces = paces
        self._clock = clock

    async def whose(self, principal: Principal, connector: str, account: str | None) -> str:
        """Answer `Credential.whose` of the account that `open` would use; raises what that raises."""
        there = self._connector(principal, connector)
        return (await self._accounts.credential(principal, there, account)).whose

    @contextlib.asynccontextmanager
    async def open(
        self,
        principal: Principal,
        connector: str,
        ask: Passing,
        *,
        info: CallInfo,
        name: str,
        account: str | None = None,
        timeout: float = 120.0,
        idle: float = 300.0,
        about: str | None = None,
    ) -> AsyncIterator[Streamed]:
        """Pass a request on as the principal's account at a connector; leaving the block hangs up at once.

        `name` stands in the audit row, with what it is `about`. An answer of any status is an answer but for
        401: then the account needs re-authentication, unless its access token could be renewed and the
        request sent once more. A refusal of more calls has status 429, whichever the product gives it.
        Raises what `Accounts.credential` raises, `NeedsReauth`, and what keeps an answer from coming.
        """
        began, outcome = self._clock(), "ok"
        used, status = account, None
        kept: Collected | None = None
        with self._span(principal, connector, name, info) as span:
            try:
                there = self._connector(principal, connector)
                credential = await self._accounts.credential(principal, there, account)
                used = credential.account
                if credential.sandbox and ask.method not in _SAFE:
                    raise errors.Forbidden(f"account {used} is a sandbox account, which only reads")
                if self._bodies is not None:
                    kept = await self._bodies.of_call(principal.tenant, credential.account)
                ask = ask if kept is None else kept.passing(ask)
                async with self._answer(principal, there, credential, ask, timeout, idle) as (
                    answer,
                    refused,
                ):
                    status = answer.status
                    outcome = "ok" if status < 400 else "upstream_error"
                    shown = answer if kept is None else kept.answering(answer)
                    yield shown if refused is None else _said_so(shown, refused)
            except errors.LinkspanError as error:
                outcome, status = error.code, status or error.upstream_status
                raise
            except BaseException:
                outcome = "cancelled"
                raise
            finally:
                span.set("linkspan.outcome", outcome)
                if outcome != "ok":
                    span.failed(outcome)
                await self._keep(
                    ask.method,
                    info,
                    outcome,
                    AuditRow(
                        tenant=principal.tenant,
                        time=began,
                        principal_kind=principal.kind,
                        principal_subject=principal.subject,
                        token_id=principal.token_id,
                        request_id=info.request_id,
                        via=info.via,
                        tool=name,
                        entity=connector,
                        entity_id=about,
                        connector=connector,
                        account=used,
                        upstream_status=status,
                        outcome=outcome,
                        duration_ms=round((self._clock() - began) * 1000, 3),
                        thread_id=info.thread_id,
                        turn_id=info.turn_id,
                        bodies=None if self._bodies is None else self._bodies.keep(principal.tenant, kept),
                    ),
                )

    def _span(
        self, principal: Principal, connector: str, name: str, info: CallInfo
    ) -> contextlib.AbstractContextManager[Span]:
        told = {
            "linkspan.tenant": principal.tenant,
            "linkspan.connector": connector,
            "linkspan.via": info.via,
            "linkspan.request_id": info.request_id,
        }
        run = principal.subject if principal.kind == "run" else None
        return self._telemetry.tracer.span(name, told, run=run)

    async def _keep(self, method: str, info: CallInfo, outcome: str, row: AuditRow) -> None:
        """Write the row: of what may have changed something before its answer ends."""
        self._telemetry.call_ended(
            CallEnded(
                tenant=row.tenant,
                principal=f"{row.principal_kind}:{row.principal_subject}",
                tool=row.tool,
                entity="",
                connector=row.entity if row.entity in self._catalog().connectors else "",
                account=row.account,
                via=row.via,
                outcome=outcome,
                status=row.upstream_status,
                seconds=row.duration_ms / 1000,
                request_id=row.request_id,
                writes=method not in _SAFE and info.via != "run",
            )
        )
        if method in _SAFE or info.via == "run" or outcome == "cancelled":
            self._audit.write_behind(row)
        else:
            await self._audit.write(row)

    def _connector(self, principal: Principal, name: str) -> Connector:
        found = self._catalog().connectors.get(name)
        if found is None:
            raise errors.NotLinked(
                f"tools.yaml has no connector {name!r}, so tenant {principal.tenant} has no account there",
                hint=f"The operator adds `{name}: {{use: {name}}}` under connectors.",
            )
        return found

    @contextlib.asynccontextmanager
    async def _answer(
        self,
        principal: Principal,
        connector: Connector,
        credential: Credential,
        ask: Passing,
        timeout: float,
        idle: float,
    ) -> AsyncIterator[tuple[Streamed, TooMany | None]]:
        """Open the answer; beside it stands what it says of too many calls, if it refuses more."""
        tenant = principal.tenant
        async with contextlib.AsyncExitStack() as stack:
            pace = self._paces.of(
                (tenant, credential.account), ask.path, caller_of(principal), connector.title
            )

            async def send(credential: Credential) -> tuple[Streamed, TooMany | None]:
                turn = await pace.enter(connector.rate_budget)
                try:
                    await stack.enter_async_context(self._streams.one(principal, connector.rate_budget))
                    passing = wire.pass_on(
                        ask, connector, credential, self._transport, timeout=timeout, idle=idle
                    )
                    coming = await stack.enter_async_context(passing)
                    coming, failure = await wire.failure_of(coming, connector, credential)
                    now = self._clock()
                    refused = None
                    if failure is not None:
                        root = {
                            "status": failure.status,
                            "headers": failure.headers,
                            "body": as_data(failure.body),
                        }
                        if is_quota_spent(root, connector):
                            return coming, None
                        refused = wire.limit_in(failure, connector.through(credential.method), now)
                    turn.answered(coming.status, coming.headers, now)
                    if refused is not None:
                        turn.refused(refused.wait)
                    return coming, refused
                except (errors.RateLimited, errors.InvalidArgument):
                    turn.dropped()  # nothing was sent
                    raise
                finally:
                    turn.end()

            answer, refused = await send(credential)
            if answer.status == 401:
                reason, raw = await _said(answer, connector)
                fresh = await self._accounts.after_refusal(tenant, credential, connector, reason)
                if fresh is None:
                    raise _refused(reason, raw, connector)
                if ask.content is not None:
                    raise errors.UpstreamError(
                        f"{connector.title}'s access token was renewed", hint="Send the request once more."
                    )
                await stack.aclose()
                answer, refused = await send(fresh)
                if answer.status == 401:
                    await self._accounts.refused(tenant, fresh, reason)
                    raise _refused(reason, raw, connector)
            if answer.status == 403 and refused is None:
                whole = await answer.read(LONGEST_FAILURE)
                answer = Streamed.whole(whole)
                said = harmless(_message(whole.body)) or f"{connector.title} does not allow this"
                await self._accounts.note_forbidden(tenant, credential.account, said)
            yield answer, refused


def _said_so(answer: Streamed, refused: TooMany) -> Streamed:
    """Answer a refusal of more calls with the status that says so, and with its time."""
    if answer.status == 429:
        return answer
    told = {} if refused.wait is None else {"retry-after": str(max(1, math.ceil(refused.wait)))}
    return replace(answer, status=429, headers={**answer.headers, **told})


def _refused(reason: str, raw: bytes, connector: Connector) -> errors.NeedsReauth:
    hint = f"Link the account again: linkspan account link {connector.name}"
    error = errors.NeedsReauth(reason, upstream_status=401, hint=hint)
    error.raw_response = as_data(raw)
    return error


async def _said(answer: Streamed, connector: Connector) -> tuple[str, bytes]:
    body = (await answer.read(LONGEST_FAILURE)).body
    told = harmless(_message(body))
    return f"{connector.title} refused the credential" + (f": {told}" if told else ""), body


def as_data(body: bytes) -> Any:
    """Answer what a product said as JSON data, else as text; None for nothing."""
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode(errors="replace")


def failure_in(body: bytes) -> Mapping[str, Any]:
    """Answer what `{"error": {…}}` says, as OpenAI and others have it; empty where it is of another shape."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _message(body: bytes) -> str:
    return str(failure_in(body).get("message") or "")
