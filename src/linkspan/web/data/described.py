"""The description of the doors to the products (OpenAPI 3.1), made from the catalog that is served.

Every operation of every entity has its own path, with its arguments and what it answers. What changes the
shape of an answer (`envelope`, `response_format`, `key_by`) is told in words, since a schema is of one shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from linkspan.spec.catalog import Catalog, Entity, Tool
from linkspan.web.data.batch import Batch, BatchAnswer
from linkspan.web.data.examples import NOTHING, arguments_of, curl, page_of, path_of, proxied, sample

Json = dict[str, Any]
_OURS: Final = ("cursor", "account", "dry_run")
_FAILURE: Final = {"$ref": "#/components/schemas/Failure"}
_TEXT: Final = {"type": "string"}
_WHOSE: Final = {"integrated_account_id": _TEXT, "integration": _TEXT}
_SECURITY: Final[list[Json]] = [{"tenant_token": []}, {"admin_key": []}]
_FAILS: Final = {
    "400": "What was sent does not fit, or the product refuses it",
    "401": "No good token, or the product refused the credential",
    "403": "The token, or the account at the product, may not",
    "404": "There is no such thing",
    "405": "Not with this method",
    "409": "No account is linked, or a key was used for something else",
    "413": "Too large",
    "415": "Not a type that is taken",
    "422": "The product refuses what was sent",
    "429": "Too many requests, of ours or of the product's: after Retry-After again",
    "502": "The product failed, or could not be reached",
    "504": "The product did not answer in time",
}
_PROXIED: Final = {
    "get": "Read",
    "post": "Create or do",
    "put": "Replace",
    "patch": "Change",
    "delete": "Delete",
}
_ACCOUNT: Final = {
    "name": "integrated_account_id",
    "in": "query",
    "description": "Whose credential is used. Needed where the tenant has several accounts there.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
}
_NAMED: Final = {
    **_ACCOUNT,
    "description": "At whose product, with whose credential. Needed unless the token is of one account.",
}
_TENANT: Final = {
    "name": "tenant_id",
    "in": "query",
    "description": "With an admin key alone: for whom, where no account is named.",
    "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"},
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "For a day the same request with the same key is done once.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}
_DRY_RUN: Final = {
    "name": "dry_run",
    "in": "query",
    "description": "What would write is shown and not sent; what reads is done.",
    "schema": {"type": "boolean"},
}
_MORE: Final = (
    " More parameters, with and without `truto_`: response_format, remote_data, exclude_fields[], key_by,"
    " envelope, remote_query[NAME] (docs/unified.md)."
)


def described(catalog: Catalog) -> tuple[Json, Json]:
    """Answer paths, and the schemas that they refer to."""
    paths: dict[str, Json] = {}
    for entity in catalog.entities.values():
        for tool in catalog.tools:
            if tool.entity == entity.name and tool.operations:
                for method, path, operation in _operation(entity, tool):
                    paths.setdefault(path, {})[method] = operation
    for connector in catalog.connectors.values():
        place, name = f"/proxy/{connector.name}", f"proxy_{connector.name.replace('-', '_')}"
        paths[f"{place}/{{path}}"] = _proxied(place, name, connector.title, proxied(catalog, connector.name))
    paths["/custom/{path}"] = _proxied("/custom", "custom", "the account's product", {}, _NAMED)
    paths |= _resources(catalog)
    paths["/batch-request"] = {"post": _batch()}
    schemas: Json = {}
    for model, mode in ((Batch, "validation"), (BatchAnswer, "serialization")):
        schema = model.model_json_schema(mode=mode, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    return paths, schemas


def _operation(entity: Entity, tool: Tool) -> Iterator[tuple[str, str, Json]]:
    path = f"/unified/{entity.group}/{entity.plural}"
    arguments: Mapping[str, Any] = tool.input_schema.get("properties", {})
    required = tool.input_schema.get("required", ())
    has_id = "id" in arguments and tool.operation not in ("list", "create")
    if has_id:
        path += "/{id}"
    method = {"list": "get", "get": "get", "update": "patch", "delete": "delete"}.get(tool.operation, "post")
    if method == "post" and tool.operation != "create":
        path += f"/{tool.operation}"
    ours = (*_OURS, "id") if has_id else _OURS
    given = {name: schema for name, schema in arguments.items() if name not in ours}
    parameters: list[Json] = []
    thing: Any = ""
    if has_id:
        known: Json = {"name": "id", "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1}}
        thing = sample(arguments["id"], "id")
        parameters.append(known if thing is NOTHING else {**known, "example": thing})
    operation: Json = {
        "operationId": tool.name,
        "summary": tool.title,
        "description": tool.description + _MORE,
        "tags": [f"unified/{entity.group}"],
        "security": _SECURITY,
    }
    tried: Any = NOTHING
    asked: Json = {}
    if method in ("get", "delete"):
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in given.items()
        ]
        asked = {name: sample(given[name], name) for name in required if name in given}
        if "cursor" in arguments:
            parameters.append({"name": "next_cursor", "in": "query", "schema": _TEXT})
    else:
        body = {
            "type": "object",
            "properties": given,
            "required": [name for name in required if name in given],
        }
        tried = arguments_of(body)
        content = _with_example({"schema": body}, tried)
        operation["requestBody"] = {
            "required": bool(body["required"]),
            "content": {"application/json": content},
        }
    if tool.kind != "read":
        parameters.append(_KEY)
    operation["parameters"] = [*parameters, _ACCOUNT, _TENANT]
    status = "201" if tool.operation == "create" else "200"
    operation["responses"] = {status: _answer(tool), **_failures()}
    if status == "201":
        operation["responses"]["200"] = _response("What would be sent, with dry_run", {"type": "object"})
    if NOTHING not in (thing, *asked.values()):
        operation["x-codeSamples"] = [curl(method, path_of(path, thing), asked, tried)]
    yield method, path, operation


def _with_example(content: Json, example: Any) -> Json:
    return content if example is NOTHING else {**content, "example": example}


def _answer(tool: Tool) -> Json:
    shown = (tool.output_schema or {}).get("properties", {}).get("result", {})
    if shown.get("type") == "array":
        return _response("A page", _page(shown), page_of(sample(shown.get("items", {}))))
    if tool.output_schema is None:
        return {
            "description": "What it is",
            "headers": _headers(),
            "content": {"*/*": {"schema": {"type": "string", "contentMediaType": "*/*"}}},
        }
    done = {"type": "object", "properties": {"result": shown, **_WHOSE}, "required": ["result"]}
    return _response("Done", done, sample(done))


def _page(result: Any) -> Json:
    return {
        "type": "object",
        "properties": {
            "result": result,
            "next_cursor": {"type": ["string", "null"]},
            "prev_cursor": {"type": ["string", "null"]},
            "result_count": {"type": "integer"},
            "is_partial_response": {"type": "boolean"},
            **_WHOSE,
        },
        "required": ["result", "next_cursor", "result_count", "is_partial_response"],
    }


def _resources(catalog: Catalog) -> dict[str, Json]:
    """Answer Truto's form, in which a thing is as its product has it; its arguments are those of /unified."""
    taken = catalog.connectors
    plurals = sorted({entity.plural for entity in catalog.entities.values()} - taken.keys())
    if not plurals:
        return {}
    plural: Json = {"name": "plural", "in": "path", "required": True}
    plural["schema"] = {**_TEXT, "enum": plurals}
    known: Json = {"name": "id", "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1}}
    words: Json = {"name": "operation", "in": "path", "required": True}
    words["schema"] = {**_TEXT, "pattern": "^[a-z][a-z0-9_]*$"}
    done = {"type": "object", "properties": {"result": {}, **_WHOSE}, "required": ["result"]}

    def operation(name: str, what: str, given: list[Json], answer: Any, *, writes: bool) -> Json:
        found: Json = {
            "operationId": f"resource_{name}",
            "summary": f"{what}, as the product has it",
            "description": "What /unified does, with things as the product has them (docs/unified.md).",
            "tags": ["proxy"],
            "security": _SECURITY,
            "parameters": [plural, *given, *([_KEY] if writes else []), _ACCOUNT, _TENANT],
            "responses": {"2XX": _response("Done", answer), **_failures()},
        }
        if writes and name != "delete":
            content = {"application/json": {"schema": {"type": "object"}}}
            found["requestBody"] = {"required": False, "content": content}
        return found

    return {
        "/proxy/{plural}": {
            "get": operation("list", "List things", [], _page({"type": "array", "items": {}}), writes=False),
            "post": operation("create", "Create a thing", [], done, writes=True),
        },
        "/proxy/{plural}/{id}": {
            "get": operation("get", "Get a thing", [known], done, writes=False),
            "patch": operation("update", "Change a thing", [known], done, writes=True),
            "delete": operation("delete", "Delete a thing", [known], done, writes=True),
        },
        "/proxy/{plural}/{id}/{operation}": {
            "post": operation("do", "Do something with a thing", [known, words], done, writes=True)
        },
    }


def _proxied(
    place: str,
    name: str,
    title: str,
    examples: Mapping[str, tuple[str, Any]],
    account: Mapping[str, Any] = _ACCOUNT,
) -> Json:
    path = {
        "name": "path",
        "in": "path",
        "required": True,
        "description": "Below the connector's base URL; slashes stay slashes.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"},
    }
    operations: Json = {}
    for method, what in _PROXIED.items():
        below, body = examples.get(method, (None, NOTHING))
        here = path if below is None else {**path, "example": below}
        operation: Json = {
            "operationId": f"{name}_{method}",
            "summary": f"{what} at {title}, as it is",
            "description": "Method, path, parameters and body go on as they came (docs/proxy.md).",
            "tags": ["proxy"],
            "security": _SECURITY,
            "parameters": [here, *([_KEY] if method != "get" else []), account, _TENANT],
            "responses": {
                "2XX": {
                    "description": "What the product answers",
                    "headers": _headers(),
                    "content": {"*/*": {"schema": {}}},
                },
                "3XX": {"description": "A redirect of the product's, not followed", "headers": _headers()},
                **_failures(),
                "4XX": _response("The product's own status, in our shape", _FAILURE),
                "5XX": _response("The product's own status, in our shape", _FAILURE),
            },
        }
        if method != "get":
            sent = _with_example({"schema": {}}, body)
            content: Json = {"application/json": sent, "*/*": {"schema": {}}}
            operation["requestBody"] = {"required": False, "content": content}
        if below is not None:
            operation["x-codeSamples"] = [curl(method, f"{place}/{below}", {}, body)]
        operations[method] = operation
    return operations


def _batch() -> Json:
    content = {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/Batch"},
            "example": {"resources": [{"resource": "ticketing/tickets", "query": {"status": "todo"}}]},
        }
    }
    return {
        "operationId": "batch_request",
        "summary": "Several calls at once, each with what others found",
        "description": "What fails is told by name, and takes only what depends on it (docs/unified.md).",
        "tags": ["unified"],
        "security": _SECURITY,
        "parameters": [_DRY_RUN, _KEY],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": _response("What was found", {"$ref": "#/components/schemas/BatchAnswer"}),
            **_failures(),
        },
    }


def _failures() -> Json:
    return {status: _response(words, _FAILURE) for status, words in _FAILS.items()}


def _response(words: str, schema: Any, example: Any = NOTHING) -> Json:
    content = {"application/json": _with_example({"schema": schema}, example)}
    return {"description": words, "headers": _headers(), "content": content}


def _headers() -> Json:
    number = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}
    limits = {f"ratelimit-{word}": number for word in ("limit", "remaining", "reset")}
    return {"X-Request-Id": {"schema": _TEXT}, **limits}
