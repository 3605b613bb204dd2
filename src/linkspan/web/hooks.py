"""`/hooks`: where products deliver what happened. Each delivery proves itself; nothing else opens it."""

from __future__ import annotations

from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from linkspan.errors import LinkspanError, TooLarge
from linkspan.runs.hooks import Answer, Delivery, Hooks
from linkspan.web.failures import alone

MOST_BYTES: Final = 2 * 2**20
"""Of one delivery."""


def hook_routes(hooks: Hooks) -> list[Route]:
    """Answer the routes of deliveries."""

    async def account(request: Request) -> Response:
        return await _answered(request, hooks, request.path_params["account"], is_account=True)

    async def connector(request: Request) -> Response:
        return await _answered(request, hooks, request.path_params["connector"], is_account=False)

    return [
        Route("/hooks/account/{account}", account, methods=["GET", "POST"]),
        Route("/hooks/account/{account}/{secret}", account, methods=["GET", "POST"]),
        Route("/hooks/{connector}", connector, methods=["GET", "POST"]),
    ]


async def _answered(request: Request, hooks: Hooks, name: str, *, is_account: bool) -> Response:
    try:
        delivery = await _read(request)
        take = hooks.of_account if is_account else hooks.of_connector
        answer = await take(name, delivery)
    except LinkspanError as error:
        return alone(error, request.scope)
    except ClientDisconnect:
        raise HTTPException(400) from None
    return _response(answer)


async def _read(request: Request) -> Delivery:
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > MOST_BYTES:
            raise TooLarge(f"A delivery here may have {MOST_BYTES} bytes")
    return Delivery(
        headers=dict(request.headers),
        query=dict(request.query_params),
        raw=bytes(raw),
        address=request.path_params.get("secret"),
    )


def _response(answer: Answer) -> Response:
    if isinstance(answer.body, str):
        return PlainTextResponse(answer.body, headers=answer.headers)
    return JSONResponse(answer.body, headers=answer.headers)
