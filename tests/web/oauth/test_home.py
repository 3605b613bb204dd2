"""The page of whoever is signed in."""

from __future__ import annotations

import httpx2

from tests.web.oauth.conftest import ACME, Person, World, fields, signed_in

HOME = "/t/acme/sign-in"


async def test_the_page_says_who_and_how_to_connect_codex(anna: Person) -> None:
    """With the two lines that do it."""
    page = await anna.browser.get(HOME)
    assert "<strong>anna</strong> of <strong>acme</strong>" in page.text
    assert f"<code>codex mcp add acme --url {anna.world.resource()}</code>" in page.text
    assert "<code>codex mcp login acme</code>" in page.text
    assert "Nothing yet." in page.text
    assert page.headers["cache-control"] == "no-store"


async def test_26_a_person_sees_and_ends_what_acts_for_him(anna: Person) -> None:
    """At once, and only that one."""
    first, second = await anna.tokens(), await anna.tokens(scope="read")
    page = await anna.browser.get(HOME)
    assert "reads and changes" in page.text and "only reads" in page.text
    grants = await anna.world.app.grants.list(ACME)
    mine = next(grant for grant in grants if grant.scopes == ("read", "write"))
    form = fields(page.text)["seal"][0]
    answer = await anna.browser.post(f"/t/acme/programs/{mine.id}/end", data={"seal": form})
    assert (answer.status_code, answer.headers["location"]) == (303, HOME)
    assert (await anna.world.rpc(first["access_token"])).status_code == 401
    assert (await anna.world.rpc(second["access_token"])).status_code == 200


async def test_26_nobody_ends_what_acts_for_others(world: World, anna: Person) -> None:
    """Not with another's page, not without one."""
    found = await anna.tokens()
    (grant,) = await world.app.grants.list(ACME)
    async with world.client() as other:
        await signed_in(world, other, "bo")
        seal = fields((await other.get(HOME)).text)["seal"][0]
        assert (await other.post(f"/t/acme/programs/{grant.id}/end", data={"seal": seal})).status_code == 404
    for form in ({"seal": ""}, {"seal": "A" * 43}):
        assert (await anna.browser.post(f"/t/acme/programs/{grant.id}/end", data=form)).status_code == 403
    assert (await world.rpc(found["access_token"])).status_code == 200


async def test_signing_out_forgets_the_browser_and_leaves_programs(anna: Person) -> None:
    """The cookie is worth nothing afterwards, even if it was kept."""
    found = await anna.tokens()
    kept = dict(anna.browser.cookies)
    seal = fields((await anna.browser.get(HOME)).text)["seal"][0]
    assert (await anna.browser.post("/t/acme/sign-out", data={"seal": "x"})).status_code == 403
    assert (await anna.browser.post("/t/acme/sign-out", data={"seal": seal})).status_code == 303
    assert "Who are you?" in (await anna.browser.get(HOME)).text
    async with anna.world.client() as other:
        other.cookies.update(kept)
        assert "Who are you?" in (await other.get(HOME)).text
    assert (await anna.world.rpc(found["access_token"])).status_code == 200


async def test_whoever_is_removed_is_signed_out(anna: Person) -> None:
    """At the next page."""
    await anna.world.app.people.remove(ACME, "anna")
    assert "Who are you?" in (await anna.browser.get(HOME)).text


async def test_a_browser_is_known_for_a_month(anna: Person) -> None:
    """Then it is asked again."""
    anna.world.clock.now += 30 * 86_400 - 1
    assert "You are signed in" in (await anna.browser.get(HOME)).text
    anna.world.clock.now += 1
    assert "Who are you?" in (await anna.browser.get(HOME)).text


async def test_the_demo_and_other_pages_are_still_there(browser: httpx2.AsyncClient) -> None:
    """What is no address of ours is told so, also under a tenant."""
    assert (await browser.get("/healthz")).status_code == 200
    for path in ("/t/acme", "/t/acme/", "/t/acme/nothing", "/t/acme/oauth", "/sign-in/callback/x"):
        assert (await browser.get(path)).status_code == 404
