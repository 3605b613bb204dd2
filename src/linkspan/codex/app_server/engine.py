"""`codex app-server` as an engine: one process for one stay of one run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import jsonschema_rs

from linkspan import __version__
from linkspan.codex.app_server.binary import Binary, find_binary, version_of
from linkspan.codex.app_server.home import Home, make_home
from linkspan.codex.app_server.process import Process, at_work_in, end_all
from linkspan.codex.app_server.rpc import Connection, Refused
from linkspan.codex.app_server.session import Session, Stopped
from linkspan.codex.app_server.thread import (
    Opened,
    first_message,
    give_materials,
    last_words,
    open_thread,
    start_turn,
)
from linkspan.codex.engine import Failure, Host, Outcome, Task, Thread
from linkspan.errors import ConfigurationError, LinkspanError
from linkspan.net.bodies import whole
from linkspan.net.egress_proxy import EgressProxy, Permit, places
from linkspan.settings import CodexSettings

log = logging.getLogger("linkspan.codex")
_HANDSHAKE: Final = 20.0
_MOST_BYTES: Final = 2 * 2**30
"""That commands of one run may move over the network."""
_QUIET: Final = ("thread/status/changed", "account/rateLimits/updated", "account/updated")
"""Notifications that nobody needs; those of the protocol that we do not know are passed over as they come."""


class AppServer:
    """Drives Codex on this machine."""

    name = "app_server"

    def __init__(self, settings: CodexSettings, *, proxy: EgressProxy | None = None) -> None:
        """`proxy` is the way out for commands of tasks that may reach hosts."""
        self._settings = settings
        self._proxy = proxy
        self._binary: Binary | None = None
        self._stays = 0

    async def work(self, task: Task, host: Host) -> Outcome:
        """Do the task in a Codex of its own, or go on with it; see `Engine.work`."""
        versions = {"engine": self.name}
        try:
            binary = self._binary
            if binary is None:
                binary = await asyncio.to_thread(find_binary, self._settings.binary)
                self._binary = binary
            # In this order: what is listed while the run is ours was not begun by who takes it afterwards.
            left = list(at_work_in(task.folder))
            if not await host.holds():
                message = "The run is worked by somebody else by now."
                return Outcome("failed", task.thread, failure=Failure("conflict", message), versions=versions)
            end_all(left)
            self._stays += 1
            stay = f"{os.getpid()}.{self._stays}"
            async with self._way_out(task) as permit:
                home = await asyncio.to_thread(make_home, task, binary, self._settings, stay, permit)
                return await self._in_process(task, host, home, versions)
        except (ConfigurationError, OSError) as error:
            message = f"Codex could not be started: {_sentence(error)}"
            return Outcome("failed", task.thread, failure=Failure("internal", message), versions=versions)

    @contextlib.asynccontextmanager
    async def _way_out(self, task: Task) -> AsyncIterator[Permit | None]:
        if not task.network:
            yield None
            return
        if self._proxy is None:
            raise ConfigurationError("commands of a run cannot reach a network here")
        remedy = "Add the host to the recipe's network."
        permit = await self._proxy.admit(places(task.network), max_bytes=_MOST_BYTES, remedy=remedy)
        try:
            yield permit
        finally:
            await self._proxy.revoke(permit)

    async def _in_process(self, task: Task, host: Host, home: Home, versions: dict[str, str]) -> Outcome:
        process = await Process.start(
            home.command, env=home.env, cwd=home.path, folder=task.folder, holds=host.holds
        )
        connection = Connection(process)
        reading = asyncio.create_task(connection.run())
        session = Session(task, host, connection)
        try:
            outcome = await self._talk(task, host, home, session, connection, versions)
            if outcome.failure is not None:
                why = f"{outcome.failure.code}: {outcome.failure.message}"
                log.warning("run %s: %s; codex said: %s", task.run, why, process.complaints[-2000:])
            return replace(outcome, log=process.complaints)
        except ConfigurationError:
            raise
        except LinkspanError as error:
            fault = error.__cause__ if isinstance(error.__cause__, Refused) else error
            log.warning("run %s: %s; codex said: %s", task.run, fault, process.complaints[-2000:])
            message = f"{error.message.rstrip('.')}."
            code = "upstream_error" if error.code == "upstream_timeout" else error.code
            failure = Failure(code, message, retryable=True)
            thread = session.thread or task.thread
            told = process.complaints
            return Outcome("failed", thread, failure=failure, versions=versions, log=told)
        finally:
            stopping = asyncio.create_task(process.stop())
            try:
                await asyncio.shield(stopping)
            finally:
                await stopping
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await reading

    async def _talk(
        self,
        task: Task,
        host: Host,
        home: Home,
        session: Session,
        connection: Connection,
        versions: dict[str, str],
    ) -> Outcome:
        versions["codex"] = await _shake_hands(connection)
        opened = await open_thread(connection, task, home)
        versions |= {"model": opened.model, **({"effort": opened.effort} if opened.effort else {})}
        session.thread = Thread(opened.id)
        await host.began(session.thread)
        if opened.is_new:
            await session.tell("thread_started", {"id": opened.id})
        message = first_message(task, opened)
        if message is None:
            return self._outcome(task, home, opened, None, last_words(opened), versions)
        await give_materials(connection, task, opened, home)
        stopped, words = await session.run(lambda: start_turn(connection, task, opened.id, *message))
        return self._outcome(task, home, opened, stopped, words, versions)

    def _outcome(
        self,
        task: Task,
        home: Home,
        opened: Opened,
        stopped: Stopped | None,
        words: str,
        versions: dict[str, str],
    ) -> Outcome:
        record = home.rollout(opened.id)
        thread = Thread(opened.id, record.read_bytes() if record is not None else b"")
        if stopped is not None:
            return Outcome(stopped.status, thread, words, failure=stopped.failure, versions=versions)
        output, failure = _output(task, words)
        return Outcome("failed" if failure else "completed", thread, words, output, failure, versions)


async def _shake_hands(connection: Connection) -> str:
    client = {"name": "linkspan", "title": "Linkspan", "version": __version__}
    asked = {
        "clientInfo": client,
        "capabilities": {"experimentalApi": True, "optOutNotificationMethods": list(_QUIET)},
    }
    told = await connection.call("initialize", asked, seconds=_HANDSHAKE)
    version = version_of(str(told.get("userAgent", "")))
    await connection.notify("initialized")
    return version


def _output(task: Task, words: str) -> tuple[Any, Failure | None]:
    """Answer what the schema asked for, read and checked."""
    if task.output_schema is None:
        return None, None
    try:
        output = whole(json.loads(words))
        jsonschema_rs.validate(dict(task.output_schema), output)
    except (ValueError, jsonschema_rs.ValidationError) as error:
        message = "The model did not answer in the form that the recipe asks for."
        log.warning("run %s: %s %s", task.run, message, str(error)[:500])
        return None, Failure("upstream_error", message, retryable=True)
    return output, None


def _sentence(error: Exception) -> str:
    if isinstance(error, ConfigurationError):
        return error.for_model().removeprefix("Error: ")
    return f"{error}."
