"""Working runs in this process, for `serve` and `work`: DBOS, git and Codex are imported here, late."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from linkspan.accounts.identifiers import identifier
from linkspan.app import App, build, load_catalog
from linkspan.measuring import measured, reader, telemetry_of
from linkspan.runs.outlet import Parts
from linkspan.settings import Settings
from linkspan.vault.logs import configure_logging
from linkspan.vault.redact import Redactor

log = logging.getLogger("linkspan.runs")
_UNSPECIFIED = ("0.0.0.0", "::", "[::]", "")  # noqa: S104 - recognised, not bound
_LOOK_FOR_RECIPES = 2.0


def reached_at(settings: Settings) -> str:
    """Answer the URL at which the Codex of a run on this machine reaches a process that serves."""
    if settings.serving_url is not None:
        return settings.serving_url
    if settings.host in _UNSPECIFIED:
        return settings.public_url or f"http://127.0.0.1:{settings.port}"
    bare = f"[{settings.host}]" if ":" in settings.host.strip("[]") else settings.host
    return f"http://{bare}:{settings.port}"


def known_at(settings: Settings) -> str:
    """Answer the URL that people know us by."""
    return settings.public_url or f"http://{settings.host}:{settings.port}"


async def work_runs(
    app: App,
    *,
    redactor: Redactor | None = None,
    clock: Callable[[], float] = time.time,
    random: Callable[[int], bytes] = os.urandom,
) -> None:
    """Work runs until cancelled. Nothing is imported before tools.yaml has a recipe."""
    while not app.catalog.recipes:  # noqa: ASYNC110 - a hot reload rings no bell
        await asyncio.sleep(_LOOK_FOR_RECIPES)
    # It takes a second, in which others are to be answered.
    for name in ("linkspan.runs.journal", "linkspan.codex.app_server.engine", "linkspan.codex.git.places"):
        await asyncio.to_thread(importlib.import_module, name)
    from linkspan.codex.agents_api import AgentsApi
    from linkspan.codex.app_server.engine import AppServer
    from linkspan.codex.git.places import GitPlaces
    from linkspan.codex.git.program import Git
    from linkspan.codex.git.tree import Bounds
    from linkspan.codex.hosted import Hosted
    from linkspan.codex.responses import Responses
    from linkspan.net.egress import EgressGuard
    from linkspan.net.egress_proxy import EgressProxy
    from linkspan.runs.context import Reader
    from linkspan.runs.publishing import GatewayForge
    from linkspan.runs.write_back import WriteBack
    from linkspan.text.outgoing import Outgoing

    settings = app.settings
    base = known_at(settings)
    mask = redactor.mask if redactor is not None else _as_it_is
    outgoing = Outgoing(mask, frozenset({urlsplit(base).netloc.lower()}))
    clean = outgoing.text
    reader = Reader(app.gateway, random=random, sleep=asyncio.sleep)
    proxy = EgressProxy(EgressGuard(settings.egress), random=random)
    hosted = Hosted(app.relay, app.run_tokens, public_url=settings.public_url, clock=clock, random=random)
    parts = Parts(
        db=app.database,
        kept=app.kept,
        tokens=app.run_tokens,
        reader=reader,
        write_back=WriteBack(
            reader,
            lambda: app.catalog,
            clean=outgoing.said,
            plain=outgoing.plain,
            bare=outgoing.bare,
            base=base,
        ),
        engines={
            "app_server": AppServer(settings.codex, proxy=proxy),
            "agents_api": AgentsApi(hosted),
            "responses": Responses(hosted),
        },
        places=GitPlaces(
            settings.home / "work",
            proxy,
            clock=clock,
            git=Git(ca_file=settings.ca_file),
            bounds=Bounds(
                checkout_bytes=settings.max_checkout_bytes, checkout_files=settings.max_checkout_files
            ),
        ),
        forge=GatewayForge(app.gateway, app.accounts, base=base, mask=mask, random=random),
        bell=app.runs.bell,
        work=settings.home / "work",
        base_url=reached_at(settings),
        clock=clock,
        mask=mask,
        clean=clean,
        telemetry=app.telemetry,
    )
    try:
        await work_with(app, parts, worker=f"wrk_{identifier(random)}")
    finally:
        await proxy.aclose()


async def work_with(app: App, parts: Parts, *, worker: str, polling: float = 0.1, **pace: float) -> None:
    """Work runs with these parts until cancelled."""
    from linkspan.runs.following import Following
    from linkspan.runs.journal import Journal
    from linkspan.runs.work import Work
    from linkspan.runs.worker import Worker

    work = Work(parts, worker)
    app.arrivals.following = Following(parts, app.runs)
    policy = app.catalog.runs
    journal = Journal(
        work,
        at_once=policy.at_once,
        per_tenant=policy.per_tenant,
        everywhere=policy.everywhere,
        database=app.settings.database or app.settings.database_path,
        schema=await journal_schema(app),
        polling=polling,
    )
    running = Worker(
        app.database,
        work,
        journal,
        app.runs.bell,
        policy=lambda: app.catalog.runs,
        clock=parts.clock,
        **pace,
    )
    log.info("working runs as %s: %d at once", worker, policy.at_once)
    starting = [asyncio.create_task(each.run()) for each in (app.arrivals, app.schedules, app.watches)]
    try:
        await running.run()
    finally:
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)


async def journal_schema(app: App) -> str:
    """Answer the schema of the journal's tables: beside ours, so that two of ours never share one."""
    if app.settings.database is None:
        return "dbos"
    (row,) = await app.database.query("SELECT current_schema() AS name")
    return "dbos" if row["name"] == "public" else f"{row['name']}_dbos"


async def run_worker(settings: Settings, redactor: Redactor) -> None:
    """Open everything, work runs until SIGINT or SIGTERM, and close in order."""
    from linkspan.app import config_path
    from linkspan.reload import Reloader

    telemetry = telemetry_of(settings)
    app = await build(settings, catalog=load_catalog(settings), redactor=redactor, telemetry=telemetry)
    reloader = Reloader([config_path(settings)], lambda: load_catalog(settings), app.gateway.replace_catalog)
    watching = asyncio.create_task(reloader.run())
    counting = asyncio.create_task(app.replicas.run())
    working = asyncio.create_task(work_runs(app, redactor=redactor))
    try:
        async with measured(telemetry, settings, reader(app, lambda: reloader, time.time)):
            await until_told(working)
    finally:
        for each in (watching, working, counting):
            each.cancel()
        await asyncio.gather(watching, working, counting, return_exceptions=True)
        await app.aclose()


async def until_told(working: asyncio.Task[None]) -> None:
    """Come back when the process is told to end, or the work has ended by itself; raises what ended it."""
    import signal

    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, told.set)
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait((waiting, working), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working.done():
        working.result()


def work(settings: Settings) -> int:
    """Work runs until told to end; answer the exit code."""
    redactor = Redactor()
    configure_logging(redactor, form=settings.log_form)
    asyncio.run(run_worker(settings, redactor))
    return 0


def _as_it_is(text: str) -> str:
    return text
