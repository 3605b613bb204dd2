"""`/codex/v1`: where the Codex of a run finds its model."""

from __future__ import annotations

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from linkspan.codex.model_proxy import ModelProxy, refusal
from linkspan.web.passing import headers_of, pass_through, request_id_of

PATH = "/codex/v1"
MAX_BYTES = 64 * 2**20
"""Of one request: a whole conversation, with its pictures."""


class Door:
    """One method of one path."""

    def __init__(self, proxy: ModelProxy, what: str) -> None:
        self._proxy = proxy
        self._what = what

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request through."""
        headers = headers_of(scope)
        request_id = request_id_of(scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        shown = token.strip() if scheme.lower() == "bearer" else ""
        proxy, query = self._proxy, scope["query_string"].decode("latin-1")
        if self._what == "models":
            await pass_through(
                scope,
                receive,
                send,
                lambda _: proxy.models(shown, headers, query, request_id),
                refusal,
                request_id=request_id,
                max_bytes=MAX_BYTES,
            )
            return
        await pass_through(
            scope,
            receive,
            send,
            lambda content: proxy.responses(shown, headers, content, request_id),
            refusal,
            request_id=request_id,
            max_bytes=MAX_BYTES,
        )


def model_routes(proxy: ModelProxy) -> list[Route]:
    """Answer the two routes."""
    return [
        Route(f"{PATH}/responses", Door(proxy, "responses"), methods=["POST"]),
        Route(f"{PATH}/models", Door(proxy, "models"), methods=["GET"]),
    ]
