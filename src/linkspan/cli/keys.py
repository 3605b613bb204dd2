"""Keys: what seals the credentials in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from linkspan.cli.common import JSON_OPTION, opened, print_json, print_table, run, settings_of, time_text
from linkspan.settings import Settings

if TYPE_CHECKING:
    from linkspan.accounts.rotation import Rotation


@click.group()
def keys() -> None:
    """List and change the keys that seal credentials."""


@keys.command("list")
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, as_json: bool) -> None:
    """List the master keys, and how much depends on each: one that nothing depends on may go."""

    async def work() -> None:
        async with rotation(settings_of(context)) as rotated:
            rows = [asdict(key) for key in await rotated.list()]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            row["since"] = time_text(row["since"])
            row["source"] = row["source"] or "MISSING"
            row["seals"] = "new" if row["seals"] else None
        print_table(rows, list(rows[0]), "There are no keys")

    run(work, as_json=as_json)


@keys.command()
@JSON_OPTION
@click.pass_context
def rotate(context: click.Context, as_json: bool) -> None:
    """Put a new master key in front, make new data keys and seal everything anew, while Linkspan serves.

    What was interrupted goes on when this is run again. The old master key stays in the key file: older
    backups need it. With LINKSPAN_KEYS or PostgreSQL you put the new key in front yourself, for every
    process; this says so.
    """

    async def work() -> None:
        async with rotation(settings_of(context)) as rotated:
            done = await rotated.run()
            master = await rotated.list()
        if as_json:
            print_json(asdict(done))
            return
        click.echo(
            f"Key {done.key} seals now: {done.tenants} tenants have a new data key, {done.values} values were"
            f" sealed anew, {done.deleted} old data keys were deleted."
        )
        if done.unreadable:
            click.echo(f"{done.unreadable} values do not open with any key there is and stay as they are.")
        spent = [key.id for key in master if not key.seals and not (key.data_keys or key.values)]
        if spent:
            click.echo(f"Nothing here needs {', '.join(spent)} any more; backups from before do.")

    run(work, as_json=as_json)


@asynccontextmanager
async def rotation(settings: Settings) -> AsyncIterator[Rotation]:
    """Open the database and its keys."""
    import os
    import time

    from linkspan.accounts.rotation import Rotation
    from linkspan.accounts.unlock import read_ring
    from linkspan.app import key_service

    async with opened(settings) as app:
        ring = await read_ring(
            app.database,
            keys=settings.keys,
            keys_path=settings.keys_path,
            random=os.urandom,
            service=key_service(settings, app.client),
        )
        # A replica elsewhere has a key file of its own, and could not open what this one sealed.
        is_alone = settings.keys is None and settings.database is None
        keys_path = settings.keys_path if is_alone else None
        yield Rotation(app.database, ring, keys_path=keys_path, clock=time.time, random=os.urandom)
