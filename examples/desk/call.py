"""One call of the API: who asks, what they say, and that it is done once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from desk.errors import DeskError, forbidden, unauthenticated
from desk.paging import Page, PageRequest, read_page
from desk.service import Desk
from desk.store import Row, Token, User


@dataclass(frozen=True, slots=True)
class Call:
    """One request of somebody known."""

    desk: Desk
    request: Request
    user: User
    token: Token
    body: Mapping[str, Any]

    def path(self, name: str) -> str:
        """A part of the path, decoded."""
        return str(self.request.path_params[name])

    @property
    def query(self) -> dict[str, list[str]]:
        """The query: every parameter with all its values; `a,b` counts as two."""
        found: dict[str, list[str]] = {}
        for name, value in self.request.query_params.multi_items():
            found.setdefault(name, []).extend([value] if name == "q" else filter(None, value.split(",")))
        return found

    @property
    def page(self) -> PageRequest:
        """What `limit` and `cursor` say."""
        return read_page(self.request.query_params)


Handler = Callable[[Call], Awaitable[Response]]


def endpoint_of(
    desk: Desk, handler: Handler, *, role: str, once: bool = False
) -> Callable[[Request], Awaitable[Response]]:
    """Answer the ASGI endpoint of a handler: who asks, may they, what do they say, was it said before."""

    async def endpoint(request: Request) -> Response:
        token: Token | None = request.state.token
        if token is None or token.user is None:
            raise unauthenticated()
        user = token.user
        if role == "admin" and user.role != "admin":
            raise forbidden("Only an admin of the organisation may do that.")
        if role == "agent" and not user.may_write:
            raise forbidden(f"{user.name} may read but not change anything.")
        body = await read_json(request) if request.method in {"POST", "PATCH"} else {}
        call = Call(desk=desk, request=request, user=user, token=token, body=body)
        key = request.headers.get("idempotency-key")
        if key is None or not once:
            return await handler(call)
        return await _once(call, key, handler)

    return endpoint


async def _once(call: Call, key: str, handler: Handler) -> Response:
    """Do what was asked under this key once; a repetition gets the first answer again."""
    store = call.desk.store
    asked = hashlib.sha256(
        json.dumps([call.request.url.path, call.body], sort_keys=True).encode()
    ).hexdigest()
    if known := store.answer(call.user, key):
        if known["asked"] != asked:
            raise DeskError(409, "key_reused", "This Idempotency-Key was used for a different request.")
        headers = {"Idempotency-Replayed": "true"}
        return Response(known["body"], known["status"], headers, media_type="application/json")
    with store.transaction():
        response = await handler(call)
        store.keep_answer(call.user, key, asked, response.status_code, bytes(response.body).decode())
    return response


async def read_json(request: Request) -> Mapping[str, Any]:
    """Answer the JSON object of a request, `{}` without one. Raises 400 and 415."""
    raw = await request.body()
    if not raw:
        return {}
    if not request.headers.get("content-type", "").lower().startswith("application/json"):
        raise DeskError(415, "not_json", "Send JSON: Content-Type: application/json.")
    try:
        body = json.loads(raw)
        json.dumps(body, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise DeskError(400, "not_json", "The body is not JSON.") from error
    if not isinstance(body, dict):
        raise DeskError(400, "not_json", "The body must be a JSON object.")
    return body


def listed(page: Page, name: str, shape: Callable[[Row], Row]) -> Response:
    """Answer a page as JSON."""
    return JSONResponse(page.to_dict(name, shape))
