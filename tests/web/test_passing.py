"""Streams that are handed through: what is told, and what breaks off."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from linkspan.codex.model_proxy import refusal
from linkspan.errors import Forbidden, UpstreamError
from linkspan.net.messages import Streamed
from linkspan.web.passing import Open, pass_through, request_id_of


class Caller:
    """A caller over ASGI, who may hang up."""

    def __init__(self, *body: bytes) -> None:
        self.coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for number, part in enumerate(body, 1):
            message = {"type": "http.request", "body": part, "more_body": number < len(body)}
            self.coming.put_nowait(message)
        self.got: list[dict[str, Any]] = []

    def hang_up(self) -> None:
        """Go."""
        self.coming.put_nowait({"type": "http.disconnect"})

    async def send(self, message: Any) -> None:
        """Take a part of the answer."""
        self.got.append(message)

    async def ask(self, opening: Open, max_bytes: int = 100) -> tuple[int, bytes]:
        """Ask, and answer status and body."""
        scope = {"type": "http", "path": "/x", "headers": []}
        await pass_through(
            scope, self.coming.get, self.send, opening, refusal, request_id="r1", max_bytes=max_bytes
        )
        return self.got[0]["status"], b"".join(part.get("body", b"") for part in self.got)


@contextlib.asynccontextmanager
async def echo(content: AsyncIterator[bytes]) -> AsyncIterator[Streamed]:
    """Say what was heard."""
    yield Streamed(201, {"x-one": "1"}, content, "http://there/")


def failing(error: Exception | None) -> Open:
    """Answer what does not open."""

    @contextlib.asynccontextmanager
    async def opening(content: AsyncIterator[bytes]) -> AsyncIterator[Streamed]:
        if error is not None:
            raise error
        yield Streamed(200, {}, content, "http://there/")

    return opening


async def test_bodies_pass() -> None:
    """Both ways, with status and headers; a request has an id."""
    caller = Caller(b"one", b"two")
    assert await caller.ask(echo) == (201, b"onetwo")
    assert (b"x-one", b"1") in caller.got[0]["headers"]
    assert (b"x-request-id", b"r1") in caller.got[0]["headers"]
    assert (b"cache-control", b"no-store") in caller.got[0]["headers"]


async def test_a_header_is_sent_as_it_came() -> None:
    """In UTF-8, or whatever it was written in: aiohttp reads it so."""

    @contextlib.asynccontextmanager
    async def named(content: AsyncIterator[bytes]) -> AsyncIterator[Streamed]:
        yield Streamed(200, {"x-one": "日", "x-other": "\udce9"}, content, "http://there/")

    caller = Caller(b"")
    assert await caller.ask(named) == (200, b"")
    assert {(b"x-one", "日".encode()), (b"x-other", b"\xe9")} <= set(caller.got[0]["headers"])


async def test_what_fails_before_it_begins_is_told() -> None:
    """In the shape of errors, with the request's id."""
    status, body = await Caller(b"").ask(failing(Forbidden("this is not allowed")))
    error = json.loads(body)["error"]
    assert (status, error["code"], error["request_id"]) == (400, "forbidden", "r1")
    assert error["message"] == "This is not allowed."


async def test_a_fault_of_ours_tells_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    """The log has it."""
    status, body = await Caller(b"").ask(failing(RuntimeError("our insides")))
    assert status == 500
    assert b"insides" not in body
    assert "insides" in caplog.text


@pytest.mark.parametrize("error", [UpstreamError("it was lost"), RuntimeError("it was lost")])
async def test_what_fails_later_breaks_off(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that had begun is never ended as if it were whole; the log has why."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        raise error

    @contextlib.asynccontextmanager
    async def breaking(_: AsyncIterator[bytes]) -> AsyncIterator[Streamed]:
        yield Streamed(200, {}, chunks(), "http://there/")

    caller = Caller(b"")
    assert await caller.ask(breaking) == (200, b"one")
    assert all(message.get("more_body", True) for message in caller.got)
    assert "request r1: /x" in caplog.text
    assert "it was lost" in caplog.text


async def test_a_body_that_becomes_too_large_in_the_middle_of_its_answer() -> None:
    """Breaks the answer off, and what was answered so far is there."""
    caller = Caller(b"x" * 60, b"x" * 60)
    assert await caller.ask(echo) == (201, b"x" * 60)
    assert caller.got[-1]["more_body"] is True


async def test_a_body_over_the_limit_is_told() -> None:
    """Wherever it is found out."""

    @contextlib.asynccontextmanager
    async def reading(content: AsyncIterator[bytes]) -> AsyncIterator[Streamed]:
        try:
            [part async for part in content]
        except ConnectionResetError as error:
            raise UpstreamError("lost") from error
        yield Streamed(200, {}, content, "http://there/")

    status, body = await Caller(b"x" * 60, b"x" * 60).ask(reading)
    assert (status, json.loads(body)["error"]["code"]) == (400, "too_large")


async def test_hanging_up_ends_the_other_side() -> None:
    """In the middle of an answer, and of the body."""
    ended = asyncio.Event()

    @contextlib.asynccontextmanager
    async def endless(content: AsyncIterator[bytes]) -> AsyncIterator[Streamed]:
        async def chunks() -> AsyncIterator[bytes]:
            [part async for part in content]
            yield b"one"
            caller.hang_up()
            await asyncio.Event().wait()

        try:
            yield Streamed(200, {}, chunks(), "http://there/")
        finally:
            ended.set()

    caller = Caller(b"all")
    async with asyncio.timeout(2):
        await caller.ask(endless)
    assert ended.is_set()


def test_a_callers_request_id_is_kept_when_it_is_one() -> None:
    """Nothing else gets into our logs."""
    scope = {"type": "http", "headers": [(b"accept", b"a"), (b"x-request-id", b"abc-1")]}
    assert request_id_of(scope) == "abc-1"
    for headers in ([], [(b"x-request-id", b"a b\n")]):
        unknown = {"type": "http", "headers": headers}
        made = request_id_of(unknown)
        assert len(made) == 32
        assert request_id_of({**unknown, "path": "/below"}) == made  # as Starlette hands scopes on
