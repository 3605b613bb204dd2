"""An operation's own request with what a caller knows of the product put in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from linkspan.errors import InvalidArgument
from linkspan.gateway.calls import NOTHING_MORE, Remote
from linkspan.net import paging
from linkspan.spec.catalog import ABSENT, Body, Operation, RequestPlan, Scope, Value


def with_remote(operation: Operation, remote: Remote) -> Operation:
    """Answer the operation with further parameters, and another body, in its request.

    Raises `InvalidArgument` where it has no request or no such body.
    """
    if remote is NOTHING_MORE or not (remote.query or remote.body is not None):
        return operation
    if operation.plan is None:
        raise InvalidArgument(f"{operation.key} sends no request of its own that this could be put into")
    plan = operation.plan
    if remote.query:
        more = tuple((name, _always(value)) for name, value in remote.query)
        named = {name for name, _ in more}
        kept = tuple(pair for pair in plan.query if pair[0] not in named)
        plan = replace(plan, query=(*kept, *more))
    if remote.body is not None:
        plan = replace(plan, body=_body(operation, plan, remote))
    return replace(operation, plan=plan)


def _body(operation: Operation, plan: RequestPlan, remote: Remote) -> Body:
    known = plan.body
    if remote.replaces_body:
        return Body(known.encoding if known is not None else "json", _always(remote.body))
    if known is None or known.encoding not in ("json", "form") or not isinstance(remote.body, Mapping):
        raise InvalidArgument(
            f"{operation.key} has no body that remote_data could be put into",
            details=[{"path": "remote_data", "message": "cannot be put into this request"}],
        )
    return replace(known, value=_merged(known.value, remote.body))


def _merged(value: Value, more: Mapping[str, Any]) -> Value:
    def merged(scope: Scope) -> Any:
        body = value(scope)
        if body is ABSENT:
            return dict(more)
        if not isinstance(body, Mapping):
            raise InvalidArgument("the body of this request is no object that remote_data could be put into")
        return paging.merge(body, more)

    return merged


def _always(value: Any) -> Value:
    def always(scope: Scope) -> Any:  # noqa: ARG001
        return value

    return always
