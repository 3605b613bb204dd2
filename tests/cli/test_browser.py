"""Linking in a browser from the command line: a listener on this machine that takes one answer."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from linkspan.cli.loopback import HOST, listening, redirect_uri
from linkspan.errors import ConfigurationError, Forbidden
from tests.servers.serving import free_port


@pytest.fixture
def anyio_backend() -> str:
    """The loop that Linkspan runs on."""
    return "asyncio"


async def test_it_takes_one_answer() -> None:
    """What is none is refused and waiting goes on; the second right one comes too late."""
    port = free_port()
    taken: list[dict[str, str]] = []

    async def take(answer: dict[str, str]) -> str | None:
        if answer.get("state") != "good":
            return None
        taken.append(answer)
        return "Connected as <bo>."

    async with listening(port, take) as listener, httpx2.AsyncClient() as browser:
        wrong = await browser.get(f"{redirect_uri(port)}?state=bad&code=x")
        elsewhere = await browser.get(f"http://{HOST}:{port}/favicon.ico")
        posted = await browser.post(redirect_uri(port), content=b"state=good")
        assert (wrong.status_code, elsewhere.status_code, posted.status_code) == (400, 404, 404)
        right = await browser.get(f"{redirect_uri(port)}?state=good&code=c%20d&error=")
        await listener.wait(1)
        again = await browser.get(f"{redirect_uri(port)}?state=good&code=c")
    assert (right.status_code, again.status_code) == (200, 410)
    assert "Connected as &lt;bo&gt;. You can close this window." in right.text
    assert right.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in right.headers["content-security-policy"]
    assert taken == [{"state": "good", "code": "c d", "error": ""}]


async def test_what_went_wrong_is_told_at_both_ends() -> None:
    """On the page, which stays open, and to the command that waits."""
    port = free_port()

    async def take(_answer: dict[str, str]) -> str | None:
        raise Forbidden("The consent was denied")

    async with listening(port, take) as listener, httpx2.AsyncClient() as browser:
        page = await browser.get(f"{redirect_uri(port)}?error=access_denied")
        assert (page.status_code, "The consent was denied" in page.text) == (400, True)
        with pytest.raises(Forbidden):
            await listener.wait(1)


async def test_nobody_comes() -> None:
    """Waiting ends."""

    async def take(_answer: dict[str, str]) -> str | None:
        return None

    async with listening(free_port(), take) as listener:
        with pytest.raises(TimeoutError):
            await listener.wait(0.01)


async def test_a_port_that_is_taken() -> None:
    """Is told with the option that chooses another."""
    port = free_port()
    server = await asyncio.start_server(lambda _r, w: w.close(), HOST, port)

    async def take(_answer: dict[str, str]) -> str | None:
        return None

    async with server:
        with pytest.raises(ConfigurationError) as told:
            async with listening(port, take):
                pass
    assert "--callback-port" in str(told.value.hint)
