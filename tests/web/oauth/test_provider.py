"""Signing in with an external identity provider (statements 23, 27 and 28 of the security checklist)."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.web.oauth.conftest import ACME, BASE, BOLT, BY_PROVIDER, CODEX, Person, World, told

pytestmark = pytest.mark.parametrize("sign_in", [BY_PROVIDER])
GO = "/t/acme/sign-in/provider"


async def there(world: World, browser: httpx2.AsyncClient, path: str = GO) -> str:
    """Go to the provider and sign in; answers where it sends the browser back to."""
    sent = await browser.get(path)
    assert sent.status_code == 303, sent.text
    transport = httpx2.ASGITransport(app=world.identity.app())
    async with httpx2.AsyncClient(transport=transport) as outside:
        answer = await outside.get(sent.headers["location"])
    return answer.headers["location"]


async def invite(world: World) -> None:
    """Say whom the provider means by Anna."""
    await world.app.people.invite(ACME, "anna", link=False, email="anna@acme.example")


async def test_whoever_was_invited_signs_in(world: World, browser: httpx2.AsyncClient) -> None:
    """By the verified address; then Codex can be let in, as by invitation."""
    await invite(world)
    page = await browser.get("/t/acme/sign-in")
    assert f'href="{GO}?after="' in page.text and "id.example" in page.text
    answer = await browser.get(await there(world, browser))
    assert (answer.status_code, answer.headers["location"]) == (303, "/t/acme/sign-in")
    assert "<strong>anna</strong>" in (await browser.get("/t/acme/sign-in")).text
    found = await Person(world, browser).tokens()
    assert (await world.rpc(found["access_token"])).status_code == 200


async def test_the_way_goes_on_to_the_program_that_asked(world: World, browser: httpx2.AsyncClient) -> None:
    """Through the provider and back."""
    await invite(world)
    page = await browser.get("/t/acme/oauth/authorize", params=world.question())
    assert "Codex wants to act for you" in " ".join(page.text.split())
    href = page.text.partition('class="button primary" href="')[2].partition('"')[0].replace("&amp;", "&")
    answer = await browser.get(await there(world, browser, href))
    assert parse_qs(urlsplit(answer.headers["location"]).query)["client_id"] == [CODEX]
    assert "act for you?" in (await browser.get(answer.headers["location"])).text


async def test_somebody_who_was_not_invited_is_told_so(world: World, browser: httpx2.AsyncClient) -> None:
    """On a page, with what to do; signed in nowhere."""
    answer = await browser.get(await there(world, browser))
    assert answer.status_code == 403
    assert "anna@acme.example is not known here" in answer.text
    world.identity.claims = {"sub": "7", "email": "anna@acme.example"}
    await invite(world)
    answer = await browser.get(await there(world, browser))
    assert answer.status_code == 403 and "has verified" in answer.text
    assert "Who are you?" in (await browser.get("/t/acme/sign-in")).text


async def test_a_domain_signs_in(world: World, browser: httpx2.AsyncClient) -> None:
    """Of the tenant that let it in, and no other."""
    await world.app.people.allow(ACME, "acme.example", scopes=["read"])
    assert (await browser.get(await there(world, browser))).status_code == 303
    assert "anna@acme.example" in (await browser.get("/t/acme/sign-in")).text
    back = await there(world, browser, f"/t/{BOLT}/sign-in/provider")
    assert (await browser.get(back)).status_code == 403


async def test_27_an_answer_fits_only_the_browser_that_asked(
    world: World, browser: httpx2.AsyncClient
) -> None:
    """A link made by somebody else signs nobody in as that one."""
    await invite(world)
    async with world.client() as attacker:
        link = await there(world, attacker)
    answer = await browser.get(link)
    assert answer.status_code == 403
    await there(world, browser)
    assert (await browser.get(link)).status_code == 403
    assert "Who are you?" in (await browser.get("/t/acme/sign-in")).text


async def test_27_an_answer_is_good_once_and_for_ten_minutes(
    world: World, browser: httpx2.AsyncClient
) -> None:
    """The cookie that it needs goes with it."""
    await invite(world)
    back = await there(world, browser)
    assert (await browser.get(back)).status_code == 303
    assert (await browser.get(back)).status_code == 403
    back = await there(world, browser)
    world.clock.now += 601
    assert (await browser.get(back)).status_code == 403


async def test_27_an_answer_of_one_tenants_attempt_is_nothing_at_another(
    world: World, browser: httpx2.AsyncClient
) -> None:
    """Tenant and way on are part of what has to come back."""
    await world.app.people.invite(BOLT, "anna", link=False, email="anna@acme.example")
    acme = await there(world, browser)
    await there(world, browser, f"/t/{BOLT}/sign-in/provider")
    assert (await browser.get(acme)).status_code == 403


@pytest.mark.parametrize("change", ["tenant", "after", "until", "secret"])
async def test_27_a_cookie_that_was_changed_is_worth_nothing(
    change: str, world: World, browser: httpx2.AsyncClient
) -> None:
    """Every part of it is in `state`."""
    import base64
    import json

    await world.app.people.invite(BOLT, "anna", link=False, email="anna@acme.example")
    back = await there(world, browser)
    name = "__Host-linkspan-openid"
    kept = json.loads(base64.urlsafe_b64decode(browser.cookies[name]))
    other = {
        "tenant": "bolt",
        "after": "/t/acme/oauth/authorize?x",
        "until": kept["until"] + 1,
        "secret": "A" * 44,
    }
    kept[change] = other[change]
    browser.cookies.clear()
    browser.cookies.set(name, base64.urlsafe_b64encode(json.dumps(kept).encode()).decode())
    assert (await browser.get(back)).status_code == 403


@pytest.mark.parametrize("cookie", ["", "x", "e30=", "eyJ0ZW5hbnQiOiAiYWNtZSJ9", "//8="])
async def test_27_a_cookie_that_is_none_of_ours_is_refused(cookie: str, browser: httpx2.AsyncClient) -> None:
    """Not a fault of ours."""
    browser.cookies.set("__Host-linkspan-openid", cookie)
    assert (await browser.get("/sign-in/callback?state=x&code=y")).status_code == 403


async def test_27_a_refusal_of_the_provider_is_told(world: World, browser: httpx2.AsyncClient) -> None:
    """Without repeating what it says."""
    world.identity.denies = True
    answer = await browser.get(await there(world, browser))
    assert answer.status_code == 403 and "did not sign you in" in answer.text


async def test_a_provider_that_fails_is_told_as_such(world: World, browser: httpx2.AsyncClient) -> None:
    """502, on a page, with the reason."""
    world.identity.change_metadata = {"issuer": "https://other.example"}
    answer = await browser.get(GO)
    assert answer.status_code == 502 and "another issuer" in answer.text


async def test_28_no_address_but_ours_is_gone_on_to(world: World, browser: httpx2.AsyncClient) -> None:
    """Whatever `after` says."""
    await invite(world)
    for after in ("https://evil.example/", "//evil.example/", "/t/bolt/oauth/authorize?x"):
        answer = await browser.get(await there(world, browser, f"{GO}?after={after}"))
        assert answer.headers["location"] == "/t/acme/sign-in"


async def test_with_a_provider_there_are_no_invitation_links(
    world: World, browser: httpx2.AsyncClient
) -> None:
    """One way in is enough: an old link opens nothing."""
    secret = await world.invitation()
    assert (await browser.get("/t/acme/invitation")).status_code == 404
    assert (await browser.post("/t/acme/invitation", data={"invitation": secret})).status_code == 404


async def test_23_the_cookie_of_the_way_is_of_this_host_alone(
    world: World, browser: httpx2.AsyncClient
) -> None:
    """And the redirect to register at the provider is one for all tenants."""
    sent = await browser.get(GO)
    (cookie,) = sent.headers.get_list("set-cookie")
    assert cookie.startswith("__Host-linkspan-openid=")
    assert {"httponly", "secure", "samesite=lax"} <= {part.strip().lower() for part in cookie.split(";")}
    asked = told(sent.headers["location"])
    assert asked["redirect_uri"] == f"{BASE}/sign-in/callback"
    assert (asked["scope"], asked["code_challenge_method"]) == ("openid email", "S256")
    assert sent.headers["referrer-policy"] == "no-referrer"
