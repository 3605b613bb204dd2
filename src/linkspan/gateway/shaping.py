"""What an answer is to a call: its list or its one thing, and what comes of the call beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from linkspan import errors, wire
from linkspan.gateway.intake import Request
from linkspan.spec.catalog import ABSENT, Operation, Scope
from linkspan.wire import Answer


def items_of(operation: Operation, answer: Answer) -> list[Any]:
    """Answer the list of an answer, as it came; raises `UpstreamError` where there is none."""
    assert operation.items is not None  # noqa: S101
    found = operation.items(answer.body)
    if found is None and (not answer.body or _says_null(answer.body)):
        return []
    if not isinstance(found, list):
        raise _unlike(operation, answer, "list")
    return found


def _says_null(body: Any, depth: int = 0) -> bool:
    """Tell whether a null stands in the answer: some products write an empty list so."""
    if not isinstance(body, dict) or depth > 3:
        return False
    return any(part is None or _says_null(part, depth + 1) for part in body.values())


def thing_of(operation: Operation, answer: Answer, scope: Scope) -> Any:
    """Answer the one thing of an answer, as it came. A read that finds nothing in an answer is no success."""
    body = answer.body
    if operation.location is not None and not body:
        found = operation.location.search(answer.headers.get("location", ""))
        if found is not None:
            return {name: unquote(part) for name, part in found.groupdict().items() if part is not None}
    if operation.find is not None:
        found = operation.find(body, scope)
        return operation.item(found) if operation.item is not None else found
    if operation.item is None and operation.shape is None:
        return body
    if isinstance(body, str | bytes) and body:
        raise _unlike(operation, answer, operation.entity)
    thing = operation.item(body) if operation.item else body
    if thing is None and operation.kind == "read":
        if _says_none(body):
            raise errors.NotFound(f"{operation.connector} has no such {operation.entity}")
        raise _unlike(operation, answer, operation.entity)
    return thing


def _says_none(body: Any) -> bool:
    """Tell whether a success says that there is no such thing: by an empty list, or by GraphQL's null."""
    if not isinstance(body, dict):
        return bool(body == [])
    data = body.get("data")
    return [] in body.values() or (isinstance(data, dict) and None in data.values())


def given_to(request: Request, found: Mapping[str, Any]) -> dict[str, Any]:
    """Answer the fields that come of the call rather than of an item."""
    if not request.operation.given:
        return {}
    scope = wire.scope_of(request.arguments, request.credential, found)
    values = ((name, value(scope)) for name, value in request.operation.given)
    given = {name: value for name, value in values if value is not ABSENT}
    if request.info.watch is not None:
        request.info.watch.given = given
    return given


def as_fields(request: Request, thing: Any, given: Mapping[str, Any]) -> Any:
    """Answer the one thing of an answer as its fields."""
    if request.info.watch is not None:
        request.info.watch.things.append(thing)
    shape = shape_of(request)
    made = shape(thing, given) if shape and thing is not None else thing
    if shape and made is not None and wants_remote(request):
        return {**made, "remote_data": thing}
    return made


def shape_of(request: Request) -> Callable[[Any, Mapping[str, Any]], dict[str, Any]] | None:
    """Answer what makes fields of a thing; None where it is answered as it came."""
    return None if request.info.remote.is_unmapped else request.operation.shape


def wants_remote(request: Request) -> bool:
    """Tell whether each thing is to hold what the product answered."""
    asked = request.operation.offers_remote and request.arguments.get("remote_data")
    return bool(asked) or request.info.remote.is_shown


def _unlike(operation: Operation, answer: Answer, expected: str) -> errors.UpstreamError:
    kind = "text" if isinstance(answer.body, str | bytes) else "something else"
    return errors.UpstreamError(
        f"{operation.connector} answered {kind} where tools.yaml expects the {expected}",
        upstream_status=answer.status,
    )
