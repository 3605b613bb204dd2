"""What all commands share: options, printing, exit codes."""

from __future__ import annotations

import asyncio
import getpass
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from linkspan.errors import ConfigurationError, LinkspanError
from linkspan.settings import Settings, read_settings

if TYPE_CHECKING:
    from linkspan.accounts.principal import Principal, Tenant
    from linkspan.app import App

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

EXIT_CODES = {"not_linked": 3, "needs_reauth": 3, "rate_limited": 4, "quota_exceeded": 4}
JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
TENANT_OPTION = click.option(
    "--tenant", metavar="NAME", help="The tenant; may be left out while there is only one. [LINKSPAN_TENANT]"
)


def exit_code(error: LinkspanError) -> int:
    """Answer the exit code: 1 an upstream refusal, 2 wrong use, 3 not linked, 4 rate limited."""
    if isinstance(error, ConfigurationError):
        return 2
    if error.code == "invalid_argument" and error.upstream_status is None:
        return 2
    return EXIT_CODES.get(error.code, 1)


def fail(error: LinkspanError, *, as_json: bool = False) -> int:
    """Tell an error and answer the exit code."""
    if as_json:
        print_json(error.to_dict())
    else:
        click.echo(error.for_model(), err=True)
    return exit_code(error)


def print_json(data: Any) -> None:
    """Print JSON, readable on a terminal and on one line in a pipe."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(data, ensure_ascii=False, indent=indent, default=str))


def print_table(rows: list[dict[str, Any]], columns: list[str], empty: str) -> None:
    """Print rows in aligned columns, or the sentence `empty`."""
    if not rows:
        click.echo(empty)
        return
    table = [[title.upper().replace("_", " ") for title in columns]]
    table += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, list | tuple):
        return ",".join(str(part) for part in value)
    return str(value)


def settings_of(context: click.Context, **flags: object) -> Settings:
    """Answer the settings from the command's flags and the environment."""
    given = dict(context.find_root().params)
    named = {name: given.get(name) for name in ("home", "config", "database")}
    return read_settings(None, **{**named, **flags})


def near_config(settings: Settings) -> Path:
    """Answer the tools.yaml for commands that use no credential: `./tools.yaml` may be meant too."""
    if settings.config is not None:
        return settings.config
    here = Path("tools.yaml").absolute()
    if here.exists():
        return here
    raise ConfigurationError(
        f"there is no tools.yaml: neither ./tools.yaml nor {settings.home / 'tools.yaml'}",
        hint="Name one with --config FILE or LINKSPAN_CONFIG.",
    )


def run(work: Callable[[], Coroutine[Any, Any, T]], *, as_json: bool = False) -> T:
    """Run a coroutine; an error of the tree is told and ends the program with its exit code."""
    try:
        return asyncio.run(work())
    except LinkspanError as error:
        sys.exit(fail(error, as_json=as_json))
    except KeyboardInterrupt:
        sys.exit(130)


@asynccontextmanager
async def opened(settings: Settings, *, with_catalog: bool = False) -> AsyncIterator[App]:
    """Open the application for one command, with the tools.yaml of the settings if it is needed."""
    from linkspan.app import build, load_catalog

    app = await build(settings, catalog=load_catalog(settings) if with_catalog else None)
    try:
        yield app
    finally:
        await app.aclose()


@asynccontextmanager
async def opened_for(
    context: click.Context, tenant: str | None, *, with_catalog: bool = False, **flags: object
) -> AsyncIterator[tuple[App, Principal]]:
    """Open the application for one command on one tenant, and answer who acts there."""
    async with opened(settings_of(context, tenant=tenant, **flags), with_catalog=with_catalog) as app:
        yield app, operator(await app.tenants.only(app.settings.tenant))


def operator(tenant: Tenant) -> Principal:
    """Answer who acts at this command line: whoever has the database."""
    from linkspan.accounts.principal import Principal

    return Principal(tenant, "operator", getpass.getuser())


def plain(text: str) -> str:
    """Answer text without what a terminal would obey: it comes from a model, or from a product."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def time_text(seconds: float | None) -> str | None:
    """Answer a time as people read it, in UTC."""
    from datetime import UTC, datetime

    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
