"""A real PostgreSQL in a directory of its own, on a Unix socket, gone with its block."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import psycopg

from tests import canary
from tests.servers.serving import running

USER: Final = "linkspan"
NOBODY: Final = "nobody"
"""Who it runs as where the tests are run by root, since it refuses to be root."""
INITDB: Final = (
    *("--username", USER, "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C.UTF-8"),
    *("--locale-provider", "icu", "--icu-locale", "en-US"),  # sorts unlike SQLite where nothing is said
)
SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",  # nobody pulls the plug here; a killed process loses nothing by it
    "max_connections": "200",
    "shared_buffers": "32MB",
    "lc_messages": "C",
    "log_min_messages": "panic",
}


@dataclass(frozen=True)
class Cluster:
    """A running server. Everyone who reaches its socket is its superuser."""

    folder: Path
    command: tuple[str, ...]

    def url(self, database: str = "postgres", **options: str) -> str:
        """Answer the URL of a database; options are settings of its sessions, such as `search_path`."""
        words = " ".join(f"-c {name}={value}" for name, value in options.items())
        settings = f"&options={quote(words)}" if words else ""
        return f"postgresql://{USER}@/{database}?host={quote(str(self.folder), safe='')}{settings}"

    def run(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as the superuser and answer the rows of the last one."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def schema(self) -> Iterator[str]:
        """Make an empty schema and answer a URL whose sessions see nothing else; it goes with the block."""
        name = f"t_{uuid.uuid4().hex[:16]}"
        self.run(f"CREATE SCHEMA {name}")
        try:
            yield self.url(search_path=name)
        finally:
            self.run(f"DROP SCHEMA {name} CASCADE")

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """Make an empty database and answer its name; it goes with the block."""
        name = f"d_{uuid.uuid4().hex[:16]}"
        self.run(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def start(self) -> contextlib.AbstractContextManager[object]:
        """Run it until the block ends."""
        return running(self.command, log=self.folder / "log", ready=self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            return bool(self.run("SELECT 1"))
        return False


@contextlib.contextmanager
def prepared() -> Iterator[Cluster]:
    """Make a cluster that does not run yet; its directory is gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path has room for 107 bytes
    as_user: tuple[str, ...] = ()
    if os.getuid() == 0:
        shutil.chown(folder, NOBODY)
        as_user = ("setpriv", f"--reuid={NOBODY}", "--regid=nogroup", "--clear-groups")
    data = folder / "data"
    try:
        command = [*as_user, str(_program("initdb")), "--pgdata", str(data), *INITDB]
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stdout}\n{made.stderr}")
        words = [f"-c{name}={value}" for name, value in SETTINGS.items()]
        words += [f"-cunix_socket_directories={folder}"]
        yield Cluster(folder, (*as_user, str(_program("postgres")), "-D", str(data), *words))
        canary.gone(folder)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Make a cluster and run it until the block ends."""
    with prepared() as made, made.start():
        yield made


def _program(name: str) -> Path:
    """Find a server program: Debian keeps them out of PATH, by version."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    there = shutil.which(name)
    if found:
        return found[-1]
    if there:
        return Path(there)
    raise RuntimeError(f"PostgreSQL's {name} is not installed; run scripts/test --all")
