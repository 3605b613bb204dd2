"""What a write would send, shown instead of sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linkspan import errors, wire
from linkspan.gateway.intake import Request
from linkspan.gateway.results import DryRun
from linkspan.spec.catalog import LATER, AuthMethod, Catalog, Connector, Operation, Paging, RequestPlan, Scope
from linkspan.wire import Position


def dry_run(catalog: Catalog, request: Request) -> DryRun:
    """Answer the requests that a write would send; nothing is sent.

    What a step would find stands as `[step.member]` in those after it.
    """
    operation = request.operation
    connector = catalog.connectors[operation.connector].through(request.credential.method)
    if operation.plan is None:
        return DryRun({}, request.credential.account)
    method = wire.method_of(connector, request.credential)
    found = request.known()
    if operation.elicit:
        found["elicit"] = LATER
    before: list[dict[str, Any]] = []
    for step in operation.steps:
        scope = wire.scope_of(request.arguments, request.credential, found)
        if step.when is None or step.when(scope):
            before.append(_shown(step.plan, scope, connector, method, catalog.variables))
            if step.name:
                found[step.name] = LATER
    scope = wire.scope_of(request.arguments, request.credential, found)
    if operation.when is not None and not operation.when(scope):
        if not before:
            raise nothing_to_do(operation, request)
        *before, shown = before
    else:
        page = operation.paging if operation.items else None
        shown = _shown(
            operation.plan, scope, connector, method, catalog.variables,
            page=page, position=request.position,
        )  # fmt: skip
    return DryRun({"before": before, **shown} if before else shown, request.credential.account)


def _shown(
    plan: RequestPlan,
    scope: Scope,
    connector: Connector,
    method: AuthMethod,
    variables: Mapping[str, str],
    *,
    page: Paging | None = None,
    position: Position | None = None,
) -> dict[str, Any]:
    outgoing = wire.build(plan, scope, connector, page=page, position=position)
    shown = wire.show(outgoing, method, variables)
    if plan.if_match:
        shown["headers"]["If-Match"] = "[ETag, read first]"
    return shown


def nothing_to_do(operation: Operation, request: Request) -> errors.InvalidArgument:
    """Answer what is said when every request of an operation was left out."""
    return errors.InvalidArgument(
        f"{request.tool.name} has nothing to do",
        hint=f"Give at least one of: {', '.join(operation.choices)}." if operation.choices else None,
    )
