"""The doors to the products, by the first word of their paths."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from linkspan.accounts.principal import Principal
from linkspan.errors import LinkspanError
from linkspan.web.data.asking import Asked
from linkspan.web.data.batch import batch, with_account
from linkspan.web.data.doors import WholeDoor, asked_of, send_whole
from linkspan.web.data.parts import DataParts
from linkspan.web.data.proxy import Passage
from linkspan.web.data.resources import entity_of, target_of
from linkspan.web.data.unified import Answered, answered, fulfil, read_json, wish_of
from linkspan.web.failures import told
from linkspan.web.passing import request_id_of


class ProxyDoor:
    """`/proxy/CONNECTOR/PATH`, `/custom/PATH` at the account's connector, and Truto's `/proxy/RESOURCE`."""

    def __init__(self, parts: DataParts, *, is_custom: bool = False) -> None:
        self._parts = parts
        self._is_custom = is_custom
        self._resources = WholeDoor(parts, partial(resource, parts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            asked = asked_of(scope)
        except LinkspanError as error:
            request_id = request_id_of(scope)
            status, body, headers = told(error, request_id)
            await send_whole(send, status, headers, body, request_id)
            return
        if self._is_custom:
            asked = replace(asked, segments=["", *asked.segments])
        connector = self._parts.gateway.catalog.connectors.get(asked.first)
        if connector is None and not self._is_custom:
            await self._resources(scope, receive, send)
            return
        address = self._parts.see(scope).address
        await Passage(self._parts, asked, address, connector).run(scope, receive, send)


async def unified(parts: DataParts, asked: Asked, principal: Principal, raw: bytes) -> Answered:
    """`/unified/GROUP/PLURAL[/ID[/OPERATION]]`."""
    group, plural, *rest = [*asked.segments, "", ""]
    return await _entity(parts, asked, principal, raw, group, plural, rest)


async def resource(parts: DataParts, asked: Asked, principal: Principal, raw: bytes) -> Answered:
    """`/proxy/PLURAL[/ID[/OPERATION]]`: the same, with things as the product has them."""
    if "response_format" not in asked.words:
        asked = replace(asked, words={**asked.words, "response_format": ["normalized"]})
    plural, *rest = [*asked.segments, ""]
    return await _entity(parts, asked, principal, raw, None, plural, rest)


async def _entity(
    parts: DataParts,
    asked: Asked,
    principal: Principal,
    raw: bytes,
    group: str | None,
    plural: str,
    rest: list[str],
) -> Answered:
    catalog = parts.gateway.catalog
    target = target_of(catalog, entity_of(catalog, group, plural), asked.method, rest)
    wish = wish_of(asked, target, read_json(raw, asked.headers.get("content-type", "")))
    result, watch = await fulfil(parts, principal, asked, wish)
    return answered(result, watch, wish)


def data_doors(parts: DataParts) -> dict[str, ASGIApp]:
    """Answer all doors."""
    return {
        "proxy": ProxyDoor(parts),
        "custom": ProxyDoor(parts, is_custom=True),
        "batch-request": WholeDoor(parts, partial(batch, parts), before=with_account),
        "unified": WholeDoor(parts, partial(unified, parts)),
    }
