"""`linkspan doctor`: what keeps an installation from working, and what to do about it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from linkspan.cli.common import JSON_OPTION, print_json, run, settings_of
from linkspan.errors import ConfigurationError, LinkspanError

if TYPE_CHECKING:
    from linkspan.app import App
    from linkspan.settings import Settings

State = Literal["ok", "warn", "bad"]
_CLOCK_SKEW = 60.0
"""Seconds that what is stored may seem to come from the future."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    found: str
    do: str = ""
    """What to do next, where something is."""

    def to_dict(self) -> dict[str, str]:
        """The same as JSON."""
        return {"what": self.what, "state": self.state, "found": self.found, "do": self.do}


@click.command()
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@JSON_OPTION
@click.pass_context
def doctor(context: click.Context, allow_egress: str | None, as_json: bool) -> None:
    """Look at home, keys, database, tools.yaml, ports, egress, Codex, sandbox, git, accounts and clock.

    It calls no product. Exits with 1 when something is bad; a warning is no failure.
    """
    findings: list[Finding] = []
    try:
        settings = settings_of(context, allow_egress=allow_egress)
    except ConfigurationError as error:
        findings.append(Finding("settings", "bad", error.message, error.hint or ""))
    else:
        findings += _of_machine(settings)
        findings += run(lambda: _of_data(settings))
    if as_json:
        print_json({"findings": [one.to_dict() for one in findings]})
    else:
        for one in findings:
            click.echo(f"{one.state:<5} {one.what:<12} {one.found}")
            if one.do:
                click.echo(f"{'':<18} → {one.do}")
    raise SystemExit(1 if any(one.state == "bad" for one in findings) else 0)


def _of_machine(settings: Settings) -> Iterator[Finding]:
    yield _home(settings)
    yield _tools(settings)
    yield _port("port", settings.host, settings.port, "linkspan serve --port PORT")
    yield from _watching(settings)
    yield _egress(settings)
    yield from _codex(settings)
    yield _namespaces()
    yield _git()
    yield _clock()


def _home(settings: Settings) -> Finding:
    home = settings.home
    if not home.exists():
        return Finding(
            "home",
            "warn",
            f"{home} is not there yet",
            "It is made with the first tenant: linkspan tenant add acme",
        )
    if not os.access(home, os.W_OK):
        return Finding(
            "home", "bad", f"{home} cannot be written to", "Give it to the user that Linkspan runs as."
        )
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & 0o077:
        return Finding(
            "home", "warn", f"{home} can be read by others (mode {mode:o})", f"Run: chmod 700 {home}"
        )
    free = shutil.disk_usage(home).free
    if free < 100 * 2**20:
        return Finding(
            "home", "bad", f"{home} has {free // 2**20} MiB left", "Make room: nothing can be stored soon."
        )
    return Finding("home", "ok", f"{home}, {free // 2**30} GiB free")


def _tools(settings: Settings) -> Finding:
    from linkspan import spec

    if settings.config is None:
        return Finding(
            "tools.yaml", "bad", f"there is none at {settings.home / 'tools.yaml'}",
            "Write one: linkspan init, or name it with --config FILE or LINKSPAN_CONFIG.",
        )  # fmt: skip
    problems = spec.check([settings.config], os.environ)
    if problems:
        count = f"{len(problems)} problem{'s' * (len(problems) != 1)}"
        return Finding(
            "tools.yaml", "bad", f"{settings.config} has {count}", f"Run: linkspan check {settings.config}"
        )
    catalog = spec.load([settings.config], os.environ)
    return Finding("tools.yaml", "ok", f"{settings.config}, {len(catalog.tools)} tools")


def _watching(settings: Settings) -> Iterator[Finding]:
    """Look at what the operator's own tools need: the port of metrics, and what sends traces."""
    if settings.metrics is not None:
        yield _port("metrics", *settings.metrics, "linkspan serve --metrics PORT")
    if settings.traces is not None:
        if importlib.util.find_spec("opentelemetry.sdk") is None:
            do = "Install it: pip install 'linkspan[otel]'"
            yield Finding("traces", "bad", "LINKSPAN_TRACES needs the extra linkspan[otel]", do)
        else:
            yield Finding("traces", "ok", f"they go to {settings.traces}")


def _port(what: str, host: str, port: int, otherwise: str) -> Finding:
    where = f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return Finding(
            what, "warn", f"{where} is not free: {error.strerror}",
            f"If that is not Linkspan itself, serve elsewhere: {otherwise}",
        )  # fmt: skip
    return Finding(what, "ok", f"{where} is free")


def _egress(settings: Settings) -> Finding:
    allowed = str(settings.egress)
    if not allowed:
        return Finding("egress", "ok", "the public internet alone")
    wide = [each for each in settings.egress.networks if each.num_addresses >= 2**24]
    if wide:
        return Finding(
            "egress", "warn", f"also {allowed}, which is a great deal of a private network",
            "Name single hosts: LINKSPAN_ALLOW_EGRESS=tracker.internal:443",
        )  # fmt: skip
    return Finding("egress", "ok", f"the public internet, and {allowed}")


def _version(*command: str) -> str | None:
    """Answer the first line that a program says of its version, None where it does not run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0][:100] if done.returncode == 0 and lines else None


def _codex(settings: Settings) -> Iterator[Finding]:
    from linkspan.codex.app_server.binary import find_binary, version_of

    try:
        program = find_binary(settings.codex.binary).command[0]
    except ConfigurationError as error:
        state: State = "bad" if settings.codex.binary is not None else "warn"
        yield Finding("codex", state, f"{error.message}; runs need it", error.hint or "")
        return
    said = _version(program, "--version")
    if said is None:
        yield Finding("codex", "bad", f"{program} does not run", "Name another: LINKSPAN_CODEX=PATH")
        return
    try:
        version_of(f"codex/{said.split()[-1]}")
    except ConfigurationError as error:
        yield Finding("codex", "bad", error.message, error.hint or "")
        return
    yield Finding("codex", "ok", f"{said} ({program})")


def _namespaces() -> Finding:
    if _version("unshare", "--user", "--map-root-user", "echo", "works") == "works":
        return Finding("sandbox", "ok", "user namespaces work, so Codex can confine commands")
    bwrap = shutil.which("bwrap")
    if bwrap is not None and _version(bwrap, "--version") is not None:
        return Finding(
            "sandbox", "warn", "no user namespaces for this user, but bwrap is there",
            "See docs/runs.md, or run each in a container (LINKSPAN_CODEX_WRAP).",
        )  # fmt: skip
    return Finding(
        "sandbox", "warn", "neither user namespaces nor bwrap: commands of runs cannot be confined here",
        "Allow them (sysctl kernel.unprivileged_userns_clone=1, or AppArmor), or use LINKSPAN_CODEX_WRAP.",
    )  # fmt: skip


def _git() -> Finding:
    said = _version("git", "--version")
    if said is None:
        return Finding("git", "warn", "git is not there", "Runs need it: install git 2.30 or later.")
    return Finding("git", "ok", said)


def _clock(now: Callable[[], float] = time.time) -> Finding:
    """A clock far before this program was made is wrong; how far from others, accounts tell."""
    made = Path(__file__).stat().st_mtime
    if now() < made - 86_400:
        shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now()))
        return Finding(
            "clock",
            "bad",
            f"it says {shown}, before this program was installed",
            "Set it: timedatectl set-ntp true",
        )
    return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now())))


async def _of_data(settings: Settings) -> list[Finding]:
    if settings.database is None and not settings.database_path.exists():
        return [
            Finding(
                "database",
                "warn",
                "nothing is stored yet",
                "It is made with the first tenant: linkspan tenant add acme",
            )
        ]
    from linkspan.app import build, load_catalog

    found = [_keys(settings)]
    catalog = None
    with contextlib.suppress(ConfigurationError):  # it was told of the file already
        catalog = load_catalog(settings)
    try:
        app = await build(settings, catalog=catalog)
    except (LinkspanError, ConfigurationError) as error:
        return [*found, Finding("database", "bad", error.message, error.hint or "See docs/storage.md.")]
    try:
        where = "PostgreSQL" if settings.database else str(settings.database_path)
        found.append(Finding("database", "ok", where))
        found += await _accounts(app)
    except LinkspanError as error:
        found.append(Finding("database", "bad", error.message, error.hint or ""))
    finally:
        await app.aclose()
    return found


def _keys(settings: Settings) -> Finding:
    if settings.transit_url is not None:
        return Finding("keys", "ok", "in a key service")
    if settings.keys is not None:
        return Finding("keys", "ok", "from LINKSPAN_KEYS")
    path = settings.keys_path
    if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return Finding("keys", "bad", f"{path} can be read by others", f"Run: chmod 600 {path}")
    return Finding(
        "keys", "warn", f"{path}, beside the database that it unlocks",
        "Keep them apart in production: LINKSPAN_KEYS, or a key service (docs/storage.md).",
    )  # fmt: skip


def _early(moment: float) -> Finding:
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
    return Finding(
        "clock",
        "bad",
        f"an account was changed at {shown}, which is not yet",
        "Set it: timedatectl set-ntp true",
    )


async def _accounts(app: App) -> list[Finding]:
    found: list[Finding] = []
    tenants = await app.tenants.list()
    if not tenants:
        return [Finding("accounts", "warn", "there is no tenant", "Run: linkspan tenant add acme")]
    good = 0
    for tenant in tenants:
        for account in await app.accounts.list(tenant.name):
            if account.updated > time.time() + _CLOCK_SKEW:
                found.append(_early(account.updated))
            whose, name = f"{account.id} of {tenant.name}", account.connector
            if account.state != "active":
                why = f": {account.last_error}" if account.last_error else ""
                said = f"{whose} at {name} is {account.state}{why}"
                do = f"Run: linkspan account verify {account.id} --tenant {tenant.name}, or link it again."
                found.append(Finding("account", "warn", said, do))
            elif name not in app.catalog.connectors:
                do = f"Run: linkspan account unlink {account.id} --tenant {tenant.name}"
                found.append(Finding("account", "warn", f"{whose}: tools.yaml has no {name}", do))
            else:
                good += 1
    shown = f"{good} active, of {len(tenants)} tenant{'s' * (len(tenants) != 1)}"
    return [Finding("accounts", "ok" if good or not found else "warn", shown), *found]
