"""Commands about tools.yaml itself; only `check --live` uses a credential."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.common import (
    JSON_OPTION,
    TENANT_OPTION,
    near_config,
    opened,
    print_json,
    print_table,
    run,
    settings_of,
)
from linkspan.errors import ConfigurationError

if TYPE_CHECKING:
    from linkspan.cli.live import Look


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--live",
    is_flag=True,
    help="Then read: one list per entity and its first item, as a tenant with a linked account. Tells what"
    " came back against what is mapped. Writes nothing.",
)
@TENANT_OPTION
@click.option(
    "--arg",
    "arguments",
    multiple=True,
    metavar="NAME=VALUE",
    help="With --live: an argument that reads need.",
)
@click.option(
    "--pages",
    type=click.IntRange(1, 50),
    default=3,
    help="With --live: how many pages of a list to read (3).",
)
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@JSON_OPTION
@click.pass_context
def check(
    context: click.Context,
    file: Path | None,
    live: bool,
    tenant: str | None,
    arguments: tuple[str, ...],
    pages: int,
    allow_egress: str | None,
    as_json: bool,
) -> None:
    """Read FILE (or the tools.yaml at hand) and tell every mistake as file:line:column: path: message.

    Exits with 1 when there is a mistake; with --live also for words that are not mapped, lists that are not
    found and lists without an end, and with 3 when no account is linked.
    """
    from linkspan import spec

    if live:
        if file is not None:
            context.find_root().params["config"] = str(file)
        config = settings_of(context, tenant=tenant, allow_egress=allow_egress).config
        if config is not None and not spec.check([config], os.environ):
            sys.exit(_live(context, tenant, arguments, pages, allow_egress, as_json=as_json))
        if config is None:
            from linkspan.app import config_path

            config_path(settings_of(context))  # says where one is looked for

    path = file or near_config(settings_of(context))
    if not path.exists():
        raise ConfigurationError(f"there is no file {path}")
    catalog, problems = spec.read([path], os.environ)
    if as_json:
        print_json([problem.to_dict() for problem in problems])
    else:
        for problem in problems:
            click.echo(str(problem))
        if catalog is None:
            click.echo(f"{path}: {len(problems)} problem{'s' * (len(problems) != 1)}", err=True)
        else:
            click.echo(
                f"{path}: good. {_count(len(catalog.connectors), 'connector')},"
                f" {_count(len(catalog.entities), 'entity', 'entities')},"
                f" {_count(len(catalog.tools), 'tool')}. See them: linkspan tools"
            )
    sys.exit(1 if problems else 0)


def _live(
    context: click.Context,
    tenant: str | None,
    arguments: tuple[str, ...],
    pages: int,
    allow_egress: str | None,
    *,
    as_json: bool,
) -> int:
    from linkspan.cli.live import LiveCheck, exit_code_of, print_looks

    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    if len(given) < len(arguments):
        raise click.BadParameter("each is NAME=VALUE, and each name once", param_hint="--arg")

    async def work() -> list[Look]:
        from linkspan.accounts.principal import Principal

        settings = settings_of(context, tenant=tenant, allow_egress=allow_egress)
        async with opened(settings, with_catalog=True) as app:
            principal = Principal(await app.tenants.only(app.settings.tenant), "operator", "cli")
            return await LiveCheck(app, principal, given, pages=pages).run()

    looks = run(work, as_json=as_json)
    if as_json:
        print_json({"calls": [look.to_dict() for look in looks]})
    else:
        print_looks(looks)
    return exit_code_of(looks)


@click.command()
@click.option("--reference", is_flag=True, help="Every word of it at its place, as Markdown for people.")
def schema(reference: bool) -> None:
    """Print the JSON Schema of tools.yaml, for completion in an editor."""
    if reference:
        from linkspan.spec.language.reference import reference as page

        click.echo(page(), nl=False)
        return
    import json

    from linkspan.spec.language import json_schema

    # As it is published, wherever it goes: it is printed to be kept in a file, and read there.
    click.echo(json.dumps(json_schema(), indent=2))


@click.command()
@click.option("--full", is_flag=True, help="Print every tool with its description and input schema.")
@JSON_OPTION
@click.pass_context
def tools(context: click.Context, full: bool, as_json: bool) -> None:
    """Show what Codex will see: the line it starts from, and each tool with its cost."""
    from linkspan import spec
    from linkspan.spec.lint import SHOWN_INSTRUCTIONS

    catalog = spec.load([near_config(settings_of(context))], os.environ)
    seen = catalog.instructions
    if len(seen) > SHOWN_INSTRUCTIONS:
        seen = seen[: SHOWN_INSTRUCTIONS - 3] + "..."
    rows = [_row(tool.definition(), tool.kind) for tool in catalog.tools]
    if as_json:
        print_json(
            {
                "instructions": catalog.instructions,
                "seen_at_start": seen,
                "tools": [
                    {**row, "definition": tool.definition()}
                    for row, tool in zip(rows, catalog.tools, strict=True)
                ],
            }
        )
        return
    click.echo("Codex's model reads this before it searches for a tool:\n")
    click.echo(f"  {seen}\n")
    if full:
        for tool in catalog.tools:
            click.echo(f"{tool.name}: {tool.description}")
            for name, part in tool.input_schema.get("properties", {}).items():
                needed = " (required)" if name in tool.input_schema.get("required", ()) else ""
                click.echo(f"    {name}{needed}: {part.get('description', '')}")
        click.echo()
    print_table(
        rows, ["tool", "kind", "bytes", "tokens"], "There are no tools: declare operations in tools.yaml."
    )
    total = sum(row["bytes"] for row in rows)
    click.echo(
        f"\n{_count(len(rows), 'tool')}, {total} bytes, about {total // 4} tokens if all were shown at once."
    )


def _row(definition: dict[str, Any], kind: str) -> dict[str, Any]:
    import json

    seen = {name: definition[name] for name in ("name", "description", "inputSchema")}
    size = len(json.dumps(seen, separators=(",", ":"), ensure_ascii=False).encode())
    return {"tool": definition["name"], "kind": kind, "bytes": size, "tokens": -(-size // 4)}


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
