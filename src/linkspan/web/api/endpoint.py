"""One door of the management API: who comes in, what is read, and the one shape of every failure.

The order is always the same: the admin key, or where a door is for tenants too one of their tokens (401 for
everything without one, so that nobody learns what there is), the method (405), how often (429), the query and
the body with all their faults at once (400, 413, 415), and then the work. What changes something of a tenant
leaves a row in its audit log before it is answered.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from linkspan.accounts.admins import Admin
from linkspan.accounts.opaque import is_like
from linkspan.accounts.principal import Principal
from linkspan.errors import Forbidden, Internal, InvalidArgument, LinkspanError, Unauthenticated
from linkspan.gateway.once import by_caller
from linkspan.store.admins import Role
from linkspan.store.audit import AuditRow
from linkspan.web.api import repeated
from linkspan.web.api.models import Page
from linkspan.web.api.parts import Parts
from linkspan.web.api.reading import Model, NoQuery, Query, read_body, read_query
from linkspan.web.api.repeated import Again
from linkspan.web.failures import told
from linkspan.web.passing import request_id_of

log = logging.getLogger("linkspan.api")
Method = Literal["GET", "POST", "PATCH", "DELETE"]


@dataclass(slots=True)
class Call:
    """One request that came in by a door."""

    parts: Parts
    caller: Admin | Principal
    """Who shows an admin key, or a token of a tenant where the door is for tenants too."""
    request_id: str
    base: str
    """The URL that this server is reached at."""
    path: Mapping[str, str]
    query: Any
    body: Any
    headers: Mapping[str, str]
    look_again: Callable[[], Awaitable[object]]
    """Raises `Unauthenticated` when the key is good no more: for answers that take their time."""
    tenant: str | None = None
    """Whose audit log has it; and what it was about."""
    entity: str = ""
    entity_id: str | None = None
    connector: str | None = None
    account: str | None = None

    def about(
        self,
        tenant: str | None,
        entity: str,
        entity_id: str | None = None,
        *,
        connector: str | None = None,
        account: str | None = None,
    ) -> None:
        """Say what the request is about, for the audit log."""
        self.tenant, self.entity, self.entity_id = tenant, entity, entity_id
        self.connector, self.account = connector, account

    async def principal(self) -> Principal:
        """Answer who acts: the tenant's own, or by the role of a key for the tenant that `tenant_id` names.

        Raises `InvalidArgument` where an operator names none, `NotFound`, and `Forbidden` for another's.
        """
        named: str | None = getattr(self.query, "tenant_id", None)
        if isinstance(self.caller, Principal):
            if named not in (None, self.caller.tenant):
                raise Forbidden(f"this token is of tenant {self.caller.tenant} and of no other")
            return self.caller
        if named is None:
            details = [{"path": "tenant_id", "message": "is needed with an admin key"}]
            raise InvalidArgument("tenant_id: is needed with an admin key", details=details)
        return self.caller.acting_for(await self.parts.tenants.require(named))


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer that is not JSON of ours: bytes, or server-sent events as they come."""

    media_type: str
    body: bytes | AsyncIterator[bytes]


Handler = Callable[[Call], Awaitable[BaseModel | Raw]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path, as it is served and as it is described."""

    method: Method
    path: str
    name: str
    """Its operationId, and what the audit log calls it."""
    summary: str
    handle: Handler
    answer: type[BaseModel] | None
    """None: bytes."""
    query: type[Query] = NoQuery
    body: type[Model] | None = None
    status: int = 200
    fails: Sequence[int] = field(default=())
    """Statuses that it may fail with beside those that every door has."""
    tenants: bool = False
    """Whether a tenant's own token opens it, too."""
    headers: Sequence[tuple[str, str]] = field(default=())
    """Headers that it reads, each with what it says."""
    streams: bool = False
    """Whether it answers server-sent events to who accepts them."""

    @property
    def is_list(self) -> bool:
        """Whether it answers a page, which has `result` of its own and is never put below another."""
        return self.answer is not None and issubclass(self.answer, Page)

    @property
    def is_done_once(self) -> bool:
        """Whether an `Idempotency-Key` is heeded before it, and not by itself. Deleting twice needs none."""
        return self.method in ("POST", "PATCH") and all(name != repeated.HEADER for name, _ in self.headers)


class Door:
    """One path with its methods, as an ASGI application."""

    def __init__(self, endpoints: Sequence[Endpoint], parts: Parts) -> None:
        self._endpoints: dict[str, Endpoint] = {endpoint.method: endpoint for endpoint in endpoints}
        self._parts = parts
        self._is_for_tenants = all(endpoint.tenants for endpoint in endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        request_id = request_id_of(scope)
        headers: dict[str, str] = {}
        try:
            status, content = await self._answer(request, request_id, headers)
            if isinstance(content, Raw):
                await _raw(content, status, request_id)(scope, receive, send)
                return
        except LinkspanError as error:
            status, content, headers = told(error, request_id)
        except _WrongMethod:
            known = ", ".join(self._endpoints)
            wrong = InvalidArgument(f"This address does not take {request.method}", hint=f"Use {known}.")
            _, content, headers = told(wrong, request_id, status=405)
            status, headers["Allow"] = 405, known
        except Exception:
            log.exception("request %s: %s %s failed", request_id, request.method, request.url.path)
            fault = Internal("Something went wrong inside Linkspan", hint="Its log has it under request_id.")
            status, content, headers = told(fault, request_id)
        response = Response(content, status, media_type="application/json")
        response.headers.update({**headers, **_always(request_id)})
        await response(scope, receive, send)

    async def _answer(
        self, request: Request, request_id: str, headers: dict[str, str]
    ) -> tuple[int, bytes | Raw]:
        parts = self._parts
        visit = parts.see(request.scope)
        caller = await self._enter(request, visit.address)
        endpoint = self._endpoints.get(request.method)
        if endpoint is None:
            raise _WrongMethod
        if isinstance(caller, Admin):
            _check_role(caller, endpoint)
        parts.calls.take(caller.token_id or "")
        query = read_query(request, endpoint.query)
        body = None if endpoint.body is None else await read_body(request, endpoint.body, parts.max_body)
        call = Call(
            parts, caller, request_id, visit.base, request.path_params, query, body, request.headers,
            lambda: self._enter(request, visit.address),
        )  # fmt: skip
        began = parts.clock()
        outcome = "internal"
        try:
            answer = await _done(endpoint, call)
            outcome = "ok"
        except LinkspanError as error:
            outcome = error.code
            raise
        finally:
            if endpoint.method != "GET" and call.tenant is not None:
                await parts.audit.write(_row(call, endpoint, outcome, began, parts.clock()))
        if isinstance(answer, Raw):
            return endpoint.status, answer
        if isinstance(answer, Again):
            headers["Idempotent-Replayed"] = "true"
        data = answer.data if isinstance(answer, Again) else answer.model_dump(mode="json", by_alias=True)
        is_wrapped = query.envelope == "result" and not endpoint.is_list
        return endpoint.status, to_json({"result": data} if is_wrapped else data)

    async def _enter(self, request: Request, address: str) -> Admin | Principal:
        """Answer who shows the key; whoever guesses often is told to wait, and learns nothing by it."""
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        key = text.strip() if kind.lower() == "bearer" else ""
        is_tenants = self._is_for_tenants and is_like(key, "tenant")
        try:
            if is_tenants:
                return await self._parts.tokens.authenticate_anywhere(key)
            return await self._parts.admins.authenticate_admin(key)
        except Unauthenticated:
            if is_tenants or self._parts.admins.is_like_a_key(key):
                self._parts.failures.take(address)
            if not self._is_for_tenants:
                raise
            raise Unauthenticated(
                "The bearer token is missing or not valid here",
                hint="Make one with: linkspan token create (for one tenant) or linkspan admin create.",
            ) from None


OPERATED: Final = frozenset(
    {
        *("start_run", "cancel_run", "interrupt_run", "steer_run", "retry_run", "fork_run", "approve_run"),
        *("decline_run", "approve", "decline", "replay_webhook_delivery", "test_webhook"),
        *(
            "verify_integrated_account",
            "refresh_integrated_account",
            "create_link_token",
            "revoke_link_token",
        ),
    }
)
"""What changes something and is not for admins alone: nothing of it makes a key or shows a secret."""


async def _done(endpoint: Endpoint, call: Call) -> BaseModel | Raw | Again:
    """Do the work of a door, once for each `Idempotency-Key`. Raises `Conflict` and what the work raises."""
    key = repeated.key_of(call.headers) if endpoint.is_done_once else None
    if key is None:
        return await endpoint.handle(call)
    tenant = getattr(call.query, "tenant_id", None) or getattr(call.body, "tenant_id", None)
    if isinstance(call.caller, Principal):
        tenant = call.caller.tenant
    token = call.caller.token_id or call.caller.subject
    asked = [each and each.model_dump(mode="json") for each in (call.query, call.body)]
    row = by_caller(tenant, token, endpoint.name, [key, dict(call.path)], asked)
    sealed = repeated.all_of(call.query, call.body)
    return await repeated.once(call.parts.once, repeated.Work(row, sealed, lambda: endpoint.handle(call)))


def _check_role(admin: Admin, endpoint: Endpoint) -> None:
    """Raise `Forbidden` for what the role of an admin key does not let it do."""
    admin.check_program()
    needed: Role = "viewer"
    if endpoint.method != "GET":
        needed = "operator" if endpoint.name in OPERATED else "admin"
    if not admin.may(needed):
        raise Forbidden(f"this key is a {admin.role}'s, and {endpoint.name} needs the role {needed}")


class _WrongMethod(Exception):
    """The path is there, the method is not."""


def _always(request_id: str) -> dict[str, str]:
    return {
        "X-Request-Id": request_id,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }


def _raw(answer: Raw, status: int, request_id: str) -> Response:
    headers = _always(request_id)
    if isinstance(answer.body, bytes):
        # What a run made is shown as what it is, and never run as a page of ours.
        headers |= {"Content-Security-Policy": "sandbox; default-src 'none'"}
        return Response(answer.body, status, headers, answer.media_type)
    return StreamingResponse(answer.body, status, {**headers, "X-Accel-Buffering": "no"}, answer.media_type)


def _row(call: Call, endpoint: Endpoint, outcome: str, began: float, ended: float) -> AuditRow:
    return AuditRow(
        tenant=call.tenant or "",
        time=began,
        principal_kind=call.caller.kind if isinstance(call.caller, Principal) else "operator",
        principal_subject=call.caller.subject,
        token_id=call.caller.token_id,
        request_id=call.request_id,
        via="api",
        tool=endpoint.name,
        entity=call.entity,
        entity_id=call.entity_id,
        connector=call.connector,
        account=call.account,
        upstream_status=None,
        outcome=outcome,
        duration_ms=round((ended - began) * 1000, 3),
    )
