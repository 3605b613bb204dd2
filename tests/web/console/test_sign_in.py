"""Signing in to the console at the identity provider: the way back, and how it may end badly."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from linkspan.settings import ConsoleRight, Settings
from tests.web.oauth.conftest import BY_PROVIDER, World, world

__all__ = ["world"]
CONSOLE = "/console"
GO = f"{CONSOLE}/sign-in/provider"
WAY = "__Host-linkspan-console-openid"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Anna is on the list, and nobody else."""
    return Settings(
        home=tmp_path / "home",
        public_url="https://linkspan.example",
        sign_in=BY_PROVIDER,
        console_people={"anna@acme.example": ConsoleRight("admin")},
    )


@pytest.fixture
async def browser(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser in which nobody has signed in."""
    async with world.client() as client:
        yield client


async def there(world: World, browser: httpx2.AsyncClient) -> str:
    """Go to the provider and sign in; answers where it sends the browser back to."""
    sent = await browser.get(GO)
    assert sent.status_code == 303, sent.text
    transport = httpx2.ASGITransport(app=world.identity.app())
    async with httpx2.AsyncClient(transport=transport) as outside:
        return (await outside.get(sent.headers["location"])).headers["location"]


async def refused(browser: httpx2.AsyncClient, back: str, why: str) -> None:
    """Come back, and be told why that signs nobody in, on a page that does little."""
    answer = await browser.get(back)
    assert answer.status_code == 403
    assert why in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not any("linkspan-console=" in each for each in answer.headers.get_list("set-cookie"))
    assert (await browser.get(CONSOLE)).status_code == 303


async def test_who_is_on_the_list_comes_in_once(world: World, browser: httpx2.AsyncClient) -> None:
    """The cookie of the way is gone with it: the same answer signs nobody in again."""
    back = await there(world, browser)
    answer = await browser.get(back)
    assert (answer.status_code, answer.headers["location"]) == (303, CONSOLE)
    assert "anna@acme.example" in (await browser.get(CONSOLE)).text
    async with world.client() as other:
        await refused(other, back, "or in another browser")
    browser.cookies.delete("__Host-linkspan-console")
    await refused(browser, back, "or in another browser")


async def test_an_answer_fits_only_the_browser_that_asked(world: World, browser: httpx2.AsyncClient) -> None:
    """Without its cookie, and with that of another attempt, a link signs nobody in as somebody else."""
    async with world.client() as attacker:
        link = await there(world, attacker)
    await refused(browser, link, "begun too long ago, or in another browser")
    await there(world, browser)
    await refused(browser, link, "none to what this browser asked")
    await refused(browser, f"{CONSOLE}/sign-in/callback?code=code-0", "none to what this browser asked")
    assert world.identity.asked.count("token") == 0


@pytest.mark.parametrize("change", [{"until": 4_000_000_000}, {"secret": "A" * 44}])
async def test_a_cookie_that_was_changed_is_worth_nothing(
    world: World, browser: httpx2.AsyncClient, change: dict[str, object]
) -> None:
    """Every part of it is in `state`."""
    back = await there(world, browser)
    kept = json.loads(base64.urlsafe_b64decode(browser.cookies[WAY])) | change
    browser.cookies.clear()
    browser.cookies.set(WAY, base64.urlsafe_b64encode(json.dumps(kept).encode()).decode())
    await refused(browser, back, "none to what this browser asked")


@pytest.mark.parametrize("cookie", ["", "x", "e30=", "//8=", "eyJzZWNyZXQiOiAiYSIsICJ1bnRpbCI6IDF9"])
async def test_a_cookie_that_is_none_of_ours_is_refused(browser: httpx2.AsyncClient, cookie: str) -> None:
    """It is no fault of ours."""
    browser.cookies.set(WAY, cookie)
    await refused(browser, f"{CONSOLE}/sign-in/callback?state=x&code=y", "or in another browser")


async def test_an_answer_is_good_for_ten_minutes(world: World, browser: httpx2.AsyncClient) -> None:
    """Whoever comes later begins again."""
    back = await there(world, browser)
    world.clock.now += 601
    await refused(browser, back, "begun too long ago")


async def test_a_provider_that_says_no_or_something_else(world: World, browser: httpx2.AsyncClient) -> None:
    """A refusal is told without its own words; an answer that cannot be believed is told as such."""
    world.identity.denies = True
    await refused(browser, await there(world, browser), "did not sign you in")
    world.identity.denies = False
    world.identity.change_token = {"nonce": "another"}
    answer = await browser.get(await there(world, browser))
    assert answer.status_code == 502
    assert (await browser.get(CONSOLE)).status_code == 303
    world.identity.change_token = {}
    await refused(browser, f"{await there(world, browser)}&error=access_denied", "did not sign you in")


async def test_who_is_not_on_the_list_stays_outside(world: World, browser: httpx2.AsyncClient) -> None:
    """Also with the address of somebody who is, when the provider has not verified it."""
    world.identity.claims = {"sub": "8", "email": "eve@acme.example", "email_verified": True}
    await refused(
        browser, await there(world, browser), "The account eve@acme.example may not use the console"
    )
    world.identity.claims = {"sub": "8", "email": "anna@acme.example", "email_verified": False}
    await refused(browser, await there(world, browser), "Your account there may not use the console")


async def test_the_page_to_sign_in_at_may_do_little(browser: httpx2.AsyncClient) -> None:
    """No script at all, nothing from elsewhere, in nobody's frame, kept by no cache, with a fault as well."""
    shown = await browser.get(f"{CONSOLE}/sign-in")
    found = re.search(r'name="seal" value="([^"]+)"', shown.text)
    assert found is not None
    wrong = await browser.post(f"{CONSOLE}/sign-in", data={"seal": found[1], "key": "lsk_admin_nothing"})
    for answer, status in ((shown, 200), (wrong, 401)):
        assert answer.status_code == status
        policy = answer.headers["content-security-policy"]
        for part in (
            "default-src 'none'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ):
            assert part in policy
        assert "script-src" not in policy
        assert "'unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script|\son\w+=|\sstyle=", answer.text)
