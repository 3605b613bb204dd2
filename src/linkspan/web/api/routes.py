"""The doors of the management API, as routes, and their description."""

from __future__ import annotations

import functools
from itertools import groupby
from typing import Any

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from linkspan.spec.catalog import Catalog
from linkspan.web.api import (
    accounts,
    history,
    links,
    log,
    people,
    recipes,
    runs,
    tenants,
    tokens,
    views,
    webhooks,
)
from linkspan.web.api.endpoint import Door, Endpoint
from linkspan.web.api.openapi import describe
from linkspan.web.api.parts import Parts
from linkspan.web.data.described import described as described_data

ENDPOINTS: tuple[Endpoint, ...] = (
    *tenants.ENDPOINTS,
    *people.ENDPOINTS,
    *tokens.ENDPOINTS,
    *accounts.ENDPOINTS,
    *links.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *log.ENDPOINTS,
    *runs.ENDPOINTS,
    *history.ENDPOINTS,
    *views.ENDPOINTS,
    *recipes.ENDPOINTS,
)


@functools.cache
def _described() -> dict[str, Any]:
    """Answer the description, made when it is first asked for: it takes longer than all else of a start."""
    return describe(ENDPOINTS)


def with_data(description: dict[str, Any], catalog: Catalog) -> dict[str, Any]:
    """Answer the description with the doors to the products, as the catalog has them."""
    paths, schemas = described_data(catalog)
    components = description["components"]
    return {
        **description,
        "paths": {**description["paths"], **paths},
        "components": {**components, "schemas": {**schemas, **components["schemas"]}},
    }


def api_routes(parts: Parts) -> list[Route]:
    """Answer all routes. Whole words come before placeholders: `/webhook/test` is no webhook's id."""
    by_path = sorted(ENDPOINTS, key=lambda endpoint: ("{" in endpoint.path, endpoint.path))
    doors = [
        Route(path, Door(list(endpoints), parts))
        for path, endpoints in groupby(by_path, key=lambda endpoint: endpoint.path)
    ]

    async def openapi(request: Request) -> Response:
        servers = [{"url": parts.see(request.scope).base}]
        whole = {**with_data(_described(), parts.catalog()), "servers": servers}
        return Response(to_json(whole), media_type="application/json")

    return [Route("/openapi.json", openapi), *doors]
