"""The next step: what an error of a call tells its reader to do."""

from __future__ import annotations

import math

from linkspan import errors
from linkspan.net.client import UNKNOWN_OUTCOME
from linkspan.net.messages import ConnectionFailed
from linkspan.spec.catalog import Catalog, Tool

_UPSTREAM = (errors.UpstreamError, errors.UpstreamTimeout, errors.TooLarge)


def advise(
    error: errors.LinkspanError,
    tool: Tool,
    catalog: Catalog,
    tenant: str,
    connector: str,
    *,
    for_run: bool = False,
) -> None:
    """Give the error a hint that names a tool, a command or a time; a more exact one stays before it.

    `for_run`: we called for a run, whose people read the hint and know of no tools.
    """
    own = _of_run(error, tenant, connector) if for_run else _hint(error, tool, catalog, tenant, connector)
    if own is None:
        return
    if error.hint in (None, UNKNOWN_OUTCOME) or _is_file_too_large(error, tool, connector):
        error.hint = own
    elif isinstance(error, _UPSTREAM) and own not in str(error.hint):
        error.hint = f"{error.hint} {own}"


def _is_file_too_large(error: errors.LinkspanError, tool: Tool, connector: str) -> bool:
    """Whether a download is larger than its tool says: of one file nobody can ask for less."""
    operation = tool.operations.get(connector)
    return isinstance(error, errors.TooLarge) and operation is not None and operation.is_download


def _hint(error: errors.LinkspanError, tool: Tool, catalog: Catalog, tenant: str, connector: str) -> str:
    match error:
        case errors.RateLimited():
            wait = f"in {math.ceil(error.retry_after)} seconds" if error.retry_after else "in a minute"
            return f"Call {tool.name} again {wait}."
        case errors.NeedsReauth():
            return (
                f"Ask the person to link it again: linkspan account link {connector} --tenant {tenant}"
                f" (then {tool.name} works without a restart)."
            )
        case errors.NotLinked():
            return f"Ask the person to link it: linkspan account link {connector} --tenant {tenant}"
        case errors.NotFound():
            return f"Check the id with {_finder(tool, catalog)} and call {tool.name} again."
        case errors.Conflict():
            return f"Look at it with {_reader(tool, catalog)}, then decide whether to call {tool.name} again."
        case errors.Forbidden():
            return (
                f"Ask an administrator of {connector} for the right, or link another account:"
                f" linkspan account link {connector} --tenant {tenant}"
            )
        case errors.InvalidArgument():
            return f"Correct the arguments and call {tool.name} again."
        case errors.TooLarge() if _is_file_too_large(error, tool, connector):
            return f"{tool.name} cannot hand over this file: ask the person to open it in {connector}."
        case errors.TooLarge() if tool.kind == "read" or error.upstream_status == 413:
            return f"Ask {tool.name} for less (limit, or a narrower filter)."
        case errors.Internal():
            return f"Call {tool.name} again; if it stays, the operator finds {error.request_id} in the log."
    if tool.kind == "read" or (isinstance(error, ConnectionFailed) and not error.sent):
        return f"Call {tool.name} again in a minute."
    return f"It may have been done all the same: look with {_reader(tool, catalog)} before calling again."


def _of_run(error: errors.LinkspanError, tenant: str, connector: str) -> str | None:
    match error:
        case errors.RateLimited():
            wait = f"in {math.ceil(error.retry_after)} seconds" if error.retry_after else "in a minute"
            return f"Retry the run {wait}."
        case errors.NeedsReauth() | errors.NotLinked():
            return f"Link the account, and retry the run: linkspan account link {connector} --tenant {tenant}"
        case errors.NotFound():
            return "Check that it is there, and that the linked account may see it."
        case errors.Forbidden():
            return f"Give the linked account the right at {connector}, or link another one."
        case errors.Internal():
            return f"The operator finds {error.request_id} in the log."
        case errors.UpstreamError() | errors.UpstreamTimeout():
            return "Retry the run in a minute."
    return None


def _finder(tool: Tool, catalog: Catalog) -> str:
    """Answer the tool that finds things of the entity."""
    for operation in ("search", "list"):
        found = catalog.tool_for(f"{tool.entity}.{operation}")
        if found is not None and found.name != tool.name:
            return found.name
    return tool.name


def _reader(tool: Tool, catalog: Catalog) -> str:
    """Answer the tool that shows one thing of the entity."""
    found = catalog.tool_for(f"{tool.entity}.get")
    return found.name if found is not None else _finder(tool, catalog)
