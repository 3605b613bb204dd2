"""Call one operation from the command line, as Codex would."""

from __future__ import annotations

import difflib
import json
import secrets
import sys
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.common import JSON_OPTION, TENANT_OPTION, exit_code, opened, print_json, run, settings_of
from linkspan.errors import InvalidArgument, LinkspanError

if TYPE_CHECKING:
    from linkspan.gateway.watch import Watch
    from linkspan.spec.catalog import Catalog, Tool


@click.command()
@click.argument("operation", metavar="ENTITY.OPERATION")
@TENANT_OPTION
@click.option(
    "--arg",
    "arguments",
    multiple=True,
    metavar="NAME=VALUE",
    help="An argument, read as its schema says; NAME:=JSON is taken as JSON. May be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Show the exact request, and do not send it.")
@click.option(
    "--explain",
    is_flag=True,
    help="Print what was sent and what came: the request with its credential masked, the answer's keys and"
    " types, each field's expression and value, and where the list goes on.",
)
@click.option("--subject", metavar="PERSON", help="Call as this person, whose own account is preferred.")
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@JSON_OPTION
@click.pass_context
def call(
    context: click.Context,
    operation: str,
    tenant: str | None,
    arguments: tuple[str, ...],
    dry_run: bool,
    explain: bool,
    subject: str | None,
    allow_egress: str | None,
    as_json: bool,
) -> None:
    """Call ENTITY.OPERATION (such as ticket.list, or a tool's name) as a tenant and print the answer as JSON.

    Exits with 1 when the product refuses, 2 for wrong arguments, 3 when no account is linked, 4 when the
    product asks to wait.
    """
    if explain and dry_run:
        raise click.UsageError("--explain tells what came of a request that --dry-run does not send")

    async def work() -> Any:
        from linkspan.accounts.principal import Principal
        from linkspan.gateway.calls import CallInfo
        from linkspan.gateway.watch import Watch

        async with opened(
            settings_of(context, tenant=tenant, allow_egress=allow_egress), with_catalog=True
        ) as app:
            name = await app.tenants.only(app.settings.tenant)
            tool = _tool(app.catalog, operation)
            given = dict(_argument(tool, word) for word in arguments)
            kind, who = ("person", subject) if subject else ("operator", "cli")
            principal = Principal(name, kind, who or "cli")  # type: ignore[arg-type]
            watch = Watch() if explain else None
            info = CallInfo(request_id=secrets.token_hex(8), via="cli", only_show=dry_run, watch=watch)
            try:
                result = await app.gateway.call(principal, tool, given, info=info)
            except LinkspanError as error:
                if watch is not None and watch.exchanges:
                    _explain(tool, watch, as_json=as_json, error=error)
                    if as_json:
                        sys.exit(exit_code(error))
                raise
            if watch is not None:
                _explain(tool, watch, as_json=as_json)
                return None
            return result.to_dict()

    answer = run(work, as_json=as_json)
    if not explain:
        print_json(answer)


def _explain(tool: Tool, watch: Watch, *, as_json: bool, error: LinkspanError | None = None) -> None:
    from linkspan.cli.explain import explained, print_explained

    operation = tool.operations.get(watch.connector)
    if operation is None:
        return
    told = explained(operation, watch)
    if as_json:
        print_json({**told, **(error.to_dict() if error is not None else {"error": None})})
    else:
        print_explained(told, error.message if error is not None else None)


def _tool(catalog: Catalog, word: str) -> Tool:
    found = catalog.tool_for(word) or catalog.tool(word)
    if found is None:
        known = [tool.key for tool in catalog.tools]
        near = difflib.get_close_matches(word, known, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
        raise InvalidArgument(f"tools.yaml has no operation {word!r}", hint=hint)
    return found


def _argument(tool: Tool, word: str) -> tuple[str, Any]:
    """Read `k=v` by the schema, `k:=JSON` as it is."""
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{word!r} is neither NAME=VALUE nor NAME:=JSON", param_hint="--arg")
    if name.endswith(":"):
        try:
            return name[:-1], json.loads(value)
        except ValueError as error:
            raise click.BadParameter(f"{word!r}: {error}", param_hint="--arg") from error
    schema = tool.input_schema.get("properties", {}).get(name, {})
    types = schema.get("type") if isinstance(schema, dict) else None
    wanted = types if isinstance(types, list) else [types]
    if "array" in wanted:
        return name, [part for part in value.split(",") if part]
    if "string" not in wanted and {"integer", "number", "boolean", "object"} & set(wanted):
        try:
            return name, json.loads(value)
        except ValueError:
            return name, value
    return name, value
