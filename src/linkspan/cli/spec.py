"""Commands about tools.yaml itself; none of them uses a credential."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from linkspan.cli.common import JSON_OPTION, near_config, print_json, print_table, settings_of
from linkspan.errors import ConfigurationError


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@JSON_OPTION
@click.pass_context
def check(context: click.Context, file: Path | None, as_json: bool) -> None:
    """Read FILE (or the tools.yaml at hand) and tell every mistake as file:line:column: path: message.

    Exits with 1 when there is a mistake.
    """
    from linkspan import spec

    path = file or near_config(settings_of(context))
    if not path.exists():
        raise ConfigurationError(f"there is no file {path}")
    problems = spec.check([path], os.environ)
    if as_json:
        print_json([problem.to_dict() for problem in problems])
    else:
        for problem in problems:
            click.echo(str(problem))
        if problems:
            click.echo(f"{path}: {len(problems)} problem{'s' * (len(problems) != 1)}", err=True)
        else:
            catalog = spec.load([path], os.environ)
            click.echo(
                f"{path}: good. {_count(len(catalog.connectors), 'connector')},"
                f" {_count(len(catalog.entities), 'entity', 'entities')},"
                f" {_count(len(catalog.tools), 'tool')}. See them: linkspan tools"
            )
    sys.exit(1 if problems else 0)


@click.command()
def schema() -> None:
    """Print the JSON Schema of tools.yaml, for completion in an editor."""
    from linkspan.spec.language import json_schema

    print_json(json_schema())


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
