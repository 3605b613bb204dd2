"""The description of the management API (OpenAPI 3.1), made from its endpoints and their models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from linkspan import __version__
from linkspan.web.api.endpoint import Endpoint
from linkspan.web.api.models import Failure
from linkspan.web.api.repeated import PATTERN, TOLD

_ALWAYS: Final = (400, 401, 429)
"""What every door may fail with: the request, the key, and too many of them."""
_BODY: Final = (413, 415)
_PLACEHOLDER: Final = re.compile(r"\{([a-z]+)\}")
_INFO: Final = (
    "Tenants, people, linked accounts, tokens, webhooks, runs and the audit log of this Linkspan. Every"
    " request carries an admin key (`linkspan admin create`); those for runs and recipes may"
    " carry a tenant's token. Errors are told in docs/errors.md. Single things are answered as"
    ' `{"result": …}`, and with `?envelope=none` as what is described there, alone.'
)


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Answer the description, without the servers that only a request knows."""
    read = {model for endpoint in endpoints if (model := endpoint.body) is not None}
    answers = {endpoint.answer for endpoint in endpoints if endpoint.answer is not None}
    written: set[type[BaseModel]] = {*answers, Failure}
    ordered = sorted(
        [(model, "validation") for model in read] + [(model, "serialization") for model in written],
        key=lambda pair: (pair[0].__name__, pair[1]),
    )
    names, definitions = models_json_schema(
        ordered,  # type: ignore[arg-type]
        ref_template="#/components/schemas/{model}",
    )
    schemas = {(model, mode): schema for (model, mode), schema in names.items()}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, schemas)
        if links := _links(endpoint, endpoints):
            operation["responses"][str(endpoint.status)]["links"] = links
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Linkspan", "version": __version__, "description": _INFO},
        "security": [{"admin_key": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "admin_key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "lsk_admin_…, from `linkspan admin create`",
                },
                "tenant_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "lsk_tenant_…, from `linkspan token create`",
                },
            },
            "schemas": definitions["$defs"],
        },
    }


def _operation(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    fails = {*_ALWAYS, *endpoint.fails, *(_BODY if endpoint.body is not None else ())}
    if endpoint.is_done_once:
        fails.add(HTTPStatus.CONFLICT.value)
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.path.split("/")[1]],
        "parameters": [
            *_path_parameters(endpoint.path),
            *_query_parameters(endpoint),
            *_header_parameters(endpoint),
        ],
        "responses": {
            str(endpoint.status): _success(endpoint, schemas),
            **{
                str(status): _response(HTTPStatus(status).phrase, schemas[Failure, "serialization"])
                for status in sorted(fails)
            },
        },
    }
    if endpoint.tenants:
        operation["security"] = [{"admin_key": []}, {"tenant_token": []}]
    if endpoint.body is not None:
        sent = {"schema": schemas[endpoint.body, "validation"], "example": endpoint.body.example}
        operation["requestBody"] = {"required": True, "content": {"application/json": sent}}
    return operation


def _links(made: Endpoint, endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Answer what can be done with a thing that was just made: everything whose path goes on with its name.

    Parameters that the thing has a field for are taken from there.
    """
    links: dict[str, Any] = {}
    for endpoint in endpoints:
        names = _PLACEHOLDER.findall(endpoint.path)
        goes_on = len(names) == 1 and endpoint.path.startswith(f"{made.path}/{{{names[0]}}}")
        fields = made.answer.model_fields if made.answer is not None else {}
        if made.method != "POST" or not goes_on or names[0] not in fields:
            continue
        names += [name for name in endpoint.query.model_fields if name in fields]
        parameters = {name: f"$response.body#/result/{name}" for name in names}
        links[endpoint.name] = {"operationId": endpoint.name, "parameters": parameters}
    return links


def _success(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    phrase = HTTPStatus(endpoint.status).phrase
    if endpoint.answer is None:
        answer = _response(phrase, {})
        answer["content"] = {"*/*": {"schema": {"type": "string", "contentMediaType": "*/*"}}}
        return answer
    schema = schemas[endpoint.answer, "serialization"]
    answer = _response(phrase, schema if endpoint.is_list else _below_result(schema))
    if endpoint.streams:
        answer["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    return answer


def _below_result(schema: Any) -> dict[str, Any]:
    """Answer the shape in which a single thing is answered unless `envelope=none` is asked for."""
    return {
        "type": "object",
        "properties": {"result": schema},
        "required": ["result"],
        "additionalProperties": False,
    }


def _response(phrase: str, schema: Any) -> dict[str, Any]:
    return {
        "description": phrase,
        "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": schema}},
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PLACEHOLDER.findall(path)
    ]


def _header_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    schema = {"type": "string", "pattern": f"^{PATTERN}$"}
    return [
        {"name": name, "in": "header", "required": False, "description": told, "schema": schema}
        for name, told in (*endpoint.headers, *((TOLD,) if endpoint.is_done_once else ()))
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    schema = endpoint.query.model_json_schema(by_alias=True)
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": _plain(part)}
        for name, part in schema.get("properties", {}).items()
        if name != "envelope"
    ]


def _plain(part: dict[str, Any]) -> dict[str, Any]:
    """Answer a parameter's schema without `null`, which a URL cannot say: it leaves the parameter out."""
    choices = [choice for choice in part.get("anyOf", []) if choice != {"type": "null"}]
    if len(choices) == 1:
        part = {**{name: value for name, value in part.items() if name != "anyOf"}, **choices[0]}
    return {
        name: value for name, value in part.items() if name != "title" and (name, value) != ("default", None)
    }
