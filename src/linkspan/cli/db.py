"""The database: its backup, its return, and its move to PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkspan.cli.common import JSON_OPTION, print_json, run, settings_of
from linkspan.errors import ConfigurationError
from linkspan.settings import Settings, read_settings

if TYPE_CHECKING:
    from linkspan.accounts.rotation import MasterKey


@click.group()
def db() -> None:
    """Move the database to PostgreSQL."""


@db.command()
@click.option("--to", "url", metavar="URL", required=True, help="postgresql://USER@HOST/NAME, an empty one.")
@JSON_OPTION
@click.pass_context
def move(context: click.Context, url: str, as_json: bool) -> None:
    """Copy everything of the SQLite file to an empty PostgreSQL database, and count it there.

    Stop `linkspan serve` first: a file that is open elsewhere is refused. Keys are not copied: every replica
    needs the same key file or LINKSPAN_KEYS. A password is better kept in ~/.pgpass than in the URL.
    """
    settings = _embedded(settings_of(context))
    target = read_settings({}, database=url).database
    assert target is not None  # noqa: S101

    async def work() -> None:
        from linkspan.store.copies import move as copy
        from linkspan.store.engines import open_database
        from linkspan.store.migrations import migrate

        source = open_database(settings.database_path)
        await migrate(source)
        await source.aclose()
        database = open_database(target)
        try:
            await migrate(database)
            moved = await copy(settings.database_path, database)
        finally:
            await database.aclose()
        if as_json:
            print_json({"to": database.place, "rows": moved})
        else:
            click.echo(f"Moved to {database.place}, counted on both sides: {_told(moved)}")
            click.echo("Set LINKSPAN_DATABASE to it for every process; the SQLite file is not used any more.")

    run(work, as_json=as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@JSON_OPTION
@click.pass_context
def backup(context: click.Context, file: Path, as_json: bool) -> None:
    """Copy the database to FILE as it is at one moment, while Linkspan serves. FILE must not exist.

    The keys are not in it: without them its credentials do not open. Keep them apart from it.
    """
    settings = settings_of(context)
    if settings.database is not None:
        raise _with_their_tools("pg_dump --format=custom --file=FILE DATABASE")

    async def work() -> None:
        from linkspan.store.copies import back_up

        rows = await asyncio.to_thread(back_up, settings.database_path, file)
        needed = await _needed(settings, file, rows)
        if as_json:
            print_json({"file": str(file), "rows": rows, "keys": [key.id for key in needed or ()]})
        else:
            click.echo(f"Backed up to {file}: {_told(rows)}")
            _say_keys(needed)

    run(work, as_json=as_json)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@JSON_OPTION
@click.pass_context
def restore(context: click.Context, file: Path, as_json: bool) -> None:
    """Put the backup FILE where the database was. Nothing is written over: move away what is there."""
    settings = settings_of(context)
    if settings.database is not None:
        raise _with_their_tools("pg_restore --dbname=DATABASE FILE")

    async def work() -> None:
        from linkspan.store.copies import restore as put_back

        rows = await asyncio.to_thread(put_back, file, settings.database_path)
        needed = await _needed(settings, settings.database_path, rows)
        if as_json:
            keys = [key.id for key in needed or ()]
            print_json({"database": str(settings.database_path), "rows": rows, "keys": keys})
        else:
            click.echo(f"Restored {settings.database_path}: {_told(rows)}")
            _say_keys(needed)

    run(work, as_json=as_json)


def _embedded(settings: Settings) -> Settings:
    if settings.database is not None:
        raise ConfigurationError(
            "LINKSPAN_DATABASE names a PostgreSQL database already",
            hint="Leave it out: --to names the target.",
        )
    return settings


def _with_their_tools(command: str) -> ConfigurationError:
    return ConfigurationError(
        "PostgreSQL has its own tools for that, which are right while Linkspan serves; nothing was done",
        hint=f"Run: {command} (DATABASE is what LINKSPAN_DATABASE says), then look with: linkspan keys list",
    )


async def _needed(settings: Settings, file: Path, rows: Mapping[str, int]) -> list[MasterKey] | None:
    """Answer the master keys that something in a database's file needs; None for a file of 0.1.0."""
    from linkspan.accounts.rotation import master_keys
    from linkspan.accounts.unlock import read_ring
    from linkspan.app import key_service
    from linkspan.store.copies import Copy

    if "data_keys" not in rows:
        return None
    copy = Copy(file)
    try:
        ring = await read_ring(
            copy,
            keys=settings.keys,
            keys_path=settings.keys_path,
            random=os.urandom,
            service=key_service(settings, None),
        )
        there = ring.all
    except ConfigurationError:
        there = ()
    return [key for key in await master_keys(copy, there) if key.values or key.data_keys]


def _say_keys(needed: list[MasterKey] | None) -> None:
    if needed is None:
        click.echo(
            "Its tables are those of an earlier version: they are brought up to date at the next start."
        )
        return
    for key in needed:
        place = f"it is in {key.source}" if key.source else "IT IS NOT AMONG THE KEYS THERE ARE"
        click.echo(f"It needs key {key.id} for {key.values} sealed values: {place}. Keep a copy, apart.")


def _told(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {table}" for table, count in rows.items())
