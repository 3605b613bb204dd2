"""Signing in with an invitation link (statements 8, 14 and 23 of the security checklist)."""

from __future__ import annotations

import httpx2
import pytest

from tests.web.oauth.conftest import ACME, BASE, BOLT, World, fields, signed_in

WHERE = "/t/acme/invitation"


async def use(browser: httpx2.AsyncClient, secret: str, **changes: str) -> httpx2.Response:
    page = await browser.get(WHERE)
    return await browser.post(WHERE, data={**fields(page.text), "invitation": secret, **changes})


@pytest.mark.parametrize("form", ["{}", " {} ", f"{BASE}{WHERE}#{{}}"])
async def test_8_a_link_or_its_secret_signs_in(form: str, world: World, browser: httpx2.AsyncClient) -> None:
    """Pasted whole or in part; then the browser knows who it is."""
    answer = await use(browser, form.format(await world.invitation()))
    assert (answer.status_code, answer.headers["location"]) == (303, "/t/acme/sign-in")
    assert "<strong>anna</strong> of <strong>acme</strong>" in (await browser.get("/t/acme/sign-in")).text


async def test_8_a_link_works_once(world: World, browser: httpx2.AsyncClient) -> None:
    """The second browser gets the page again, and why."""
    secret = await world.invitation()
    await use(browser, secret)
    async with world.client() as other:
        answer = await use(other, secret)
        assert answer.status_code == 401
        assert "This invitation is not good here, or not any more." in answer.text
        assert 'role="alert"' in answer.text and 'aria-invalid="true"' in answer.text
        assert "Who are you?" in (await other.get("/t/acme/sign-in")).text


async def test_8_opening_the_page_uses_nothing_up(world: World, browser: httpx2.AsyncClient) -> None:
    """Previews of a link in a chat open it, without what stands behind the `#`."""
    secret = await world.invitation()
    for _ in range(3):
        assert (await browser.get(WHERE)).status_code == 200
    assert (await use(browser, secret)).status_code == 303


async def test_8_a_link_of_another_tenant_is_nothing(world: World, browser: httpx2.AsyncClient) -> None:
    """And stays good where it belongs; a tenant that is not there says the same."""
    secret = await world.invitation(tenant=BOLT)
    answer = await use(browser, secret)
    assert answer.status_code == 401
    page = await browser.get("/t/nobody/invitation")
    nobody = await browser.post("/t/nobody/invitation", data={**fields(page.text), "invitation": secret})
    assert nobody.status_code == 401
    strip = fields(answer.text)["seal"][0], fields(nobody.text)["seal"][0]
    assert nobody.text.replace("nobody", "acme").replace(strip[1], strip[0]) == answer.text
    assert (await world.app.sessions.accept(BOLT, secret)).person.name == "anna"


async def test_23_the_form_needs_the_page(world: World, browser: httpx2.AsyncClient) -> None:
    """Another site cannot sign a browser in as somebody else, and the link is not used up by trying."""
    secret = await world.invitation()
    assert (await browser.post(WHERE, data={"invitation": secret})).status_code == 403
    assert (await use(browser, secret, seal="A" * 43)).status_code == 403
    assert (await use(browser, secret, after="/t/acme/oauth/authorize?x=y")).status_code == 403
    async with world.client() as other:
        form = {**fields((await other.get(WHERE)).text), "invitation": secret}
        assert (await browser.post(WHERE, data=form)).status_code == 403
    assert (await use(browser, secret)).status_code == 303


async def test_23_the_page_holds_one_script_of_ours(browser: httpx2.AsyncClient) -> None:
    """Which takes the secret out of the address; served by us, as JavaScript."""
    page = await browser.get(WHERE)
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert page.text.count("<script") == 1
    script = await browser.get("/static/sign-in.js")
    assert script.status_code == 200 and "javascript" in script.headers["content-type"]
    assert (await browser.get("/static/sign-in.css")).status_code == 200


async def test_14_guessing_is_slow(world: World, browser: httpx2.AsyncClient) -> None:
    """Ten attempts of an address, then one in six seconds; told on the page, with the form."""
    codes = [(await use(browser, "guess")).status_code for _ in range(10)]
    assert codes == [401] * 10
    answer = await use(browser, await world.invitation())
    assert answer.status_code == 429
    assert "Too many attempts" in answer.text and 'name="invitation"' in answer.text
    world.clock.now += 6
    assert (await use(browser, await world.invitation())).status_code == 303


async def test_8_somebody_else_can_sign_in_with_the_same_browser(
    world: World, browser: httpx2.AsyncClient
) -> None:
    """A link counts more than who was there."""
    await signed_in(world, browser, "bo")
    assert (await use(browser, await world.invitation("anna"))).status_code == 303
    assert "<strong>anna</strong>" in (await browser.get("/t/acme/sign-in")).text


async def test_8_a_browser_can_be_signed_in_at_two_tenants(world: World, browser: httpx2.AsyncClient) -> None:
    """Each by a cookie of its own."""
    await signed_in(world, browser, "anna", ACME)
    await signed_in(world, browser, "eve", BOLT)
    for tenant, name in (("acme", "anna"), ("bolt", "eve")):
        assert f"<strong>{name}</strong>" in (await browser.get(f"/t/{tenant}/sign-in")).text
