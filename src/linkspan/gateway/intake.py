"""What a caller asks, settled: arguments checked, account and operation found, the place in a list opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from linkspan import errors
from linkspan.accounts import linking
from linkspan.accounts.accounts import Accounts
from linkspan.accounts.principal import Principal
from linkspan.gateway.arguments import ArgumentCheck, refusal
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.cursor import NO_TRACE, Cursors, Trace
from linkspan.gateway.remote import with_remote
from linkspan.net import paging
from linkspan.spec.catalog import Catalog, Connector, Operation, Tool
from linkspan.spec.converters import iso8601
from linkspan.vault.credential import Credential
from linkspan.wire import Position

RESERVED = ("cursor", "limit", "account", "dry_run")


@dataclass(frozen=True, slots=True)
class Request:
    """A call whose tool, account and arguments are settled."""

    principal: Principal
    tool: Tool
    operation: Operation
    credential: Credential
    arguments: Mapping[str, Any]
    position: Position
    skip: int
    limit: int | None
    info: CallInfo
    now: int
    """When the list or the call began, in epoch seconds."""
    trace: Trace = NO_TRACE
    """Where the list has been before."""

    def known(self) -> dict[str, Any]:
        """Answer what references see beside arguments before anything was found."""
        return {"now": iso8601(self.now)} if self.operation.uses_now else {}


class Intake:
    """Takes calls in for the gateway."""

    def __init__(self, accounts: Accounts, cursors: Cursors, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._accounts = accounts
        self._cursors = cursors
        self._checks: dict[str, ArgumentCheck] = {}

    def forget(self) -> None:
        """Forget the compiled checks: another catalog is served."""
        self._checks = {}

    def check(self, tool: Tool, arguments: Mapping[str, Any], *, is_partial: bool = False) -> dict[str, Any]:
        """Check the arguments. `account` is taken by every tool, though few need to show it.

        Of those that are partial nothing is required: the body comes from elsewhere.
        """
        check = partial(self._compiled(tool), is_partial=is_partial)
        if "account" not in arguments or "account" in tool.input_schema.get("properties", {}):
            return check(arguments)
        account = arguments["account"]
        if not isinstance(account, str):
            raise refusal([{"path": "account", "message": "must be the id of an account"}])
        return {**check({k: v for k, v in arguments.items() if k != "account"}), "account": account}

    def _compiled(self, tool: Tool) -> ArgumentCheck:
        check = self._checks.get(tool.name)
        if check is None:
            check = self._checks[tool.name] = ArgumentCheck(tool.input_schema)
        return check

    async def settle(
        self, catalog: Catalog, principal: Principal, tool: Tool, given: Mapping[str, Any], info: CallInfo
    ) -> Request:
        """Settle the account, the operation at its connector and where in a list to read."""
        account = given.get("account")
        plain = {name: value for name, value in given.items() if name not in RESERVED}
        cursor = None
        if "cursor" in given:
            cursor = self._cursors.open(principal.tenant, tool.key, given["cursor"])
            if account is not None and account != cursor.account:
                raise errors.InvalidArgument(f"the cursor belongs to account {cursor.account}")
            account, plain = cursor.account, cursor.resumed(plain, tool.name)
        connectors = [catalog.connectors[name] for name in tool.operations]
        credential = _open_door(connectors, account) or await self._accounts.credential(
            principal, connectors, account
        )
        operation = with_remote(tool.operations[credential.connector], info.remote)
        if len(tool.operations) > 1 and not info.remote.replaces_body:
            _refuse_unknown(operation, plain, catalog)
        if operation.names_asker:
            plain = _with_asker(plain, principal, credential)
        limit = given.get("limit")
        now = cursor.now if cursor is not None and cursor.now is not None else int(self._clock())
        position = cursor.position if cursor else Position(None, paging.page_size(operation.paging, limit))
        return Request(
            principal, tool, operation, credential, plain, position, cursor.skip if cursor else 0, limit,
            info, now, cursor.trace if cursor else NO_TRACE,
        )  # fmt: skip


def _with_asker(arguments: dict[str, Any], principal: Principal, credential: Credential) -> dict[str, Any]:
    """Let a text say which run wrote it, or, where the tenant's account writes, which person asked for it."""
    body = arguments.get("body")
    if principal.kind == "run" and isinstance(body, str) and principal.subject not in body:
        return {**arguments, "body": f"{body.rstrip()}\n\nCodex run {principal.subject} wrote this."}
    if principal.kind != "person" or credential.subject is not None or not isinstance(body, str):
        return arguments
    # Letters only: a name must neither format anything nor call anybody.
    name = " ".join(re.sub(r"[^\w .-]|_", " ", principal.subject.partition("@")[0]).split())[:80]
    return {**arguments, "body": f"{body.rstrip()}\n\nAsked for by {name}."} if name else arguments


def _open_door(connectors: Sequence[Connector], account: str | None) -> Credential | None:
    """Answer a credential without secrets for a connector that needs neither one nor a setting.

    Its account bears the connector's name: so cursors and answers call it, and so it may be called.
    """
    if len(connectors) != 1 or account not in (None, connectors[0].name):
        return None
    connector = connectors[0]
    needy = any(setting.required and setting.default is None for setting in connector.settings.values())
    if needy or any(method.type != "none" for method in connector.auth):
        return None
    settings = linking.check_settings(connector, {})
    return Credential(
        connector.name, connector.name, "none", {}, settings, linking.origins_of(connector, settings)
    )


def _refuse_unknown(operation: Operation, arguments: Mapping[str, Any], catalog: Catalog) -> None:
    known = operation.schema.get("properties", {})
    unknown = [name for name in arguments if name not in known]
    if unknown:
        title = catalog.connectors[operation.connector].title
        raise errors.InvalidArgument(
            f"{', '.join(unknown)}: not supported by {title}",
            details=[{"path": name, "message": f"not supported by {title}"} for name in unknown],
        )
    missing = [name for name in operation.schema.get("required", ()) if name not in arguments]
    if missing:
        title = catalog.connectors[operation.connector].title
        raise errors.InvalidArgument(f"{', '.join(missing)}: required by {title}")
