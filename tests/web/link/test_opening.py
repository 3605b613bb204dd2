"""Opening a link token: once, in one browser, in time, and only where its pages may show it."""

from __future__ import annotations

import json
import re

import pytest

from tests.web.link.conftest import SITE, Place, message, policy, told


async def test_a_token_opens_a_session(place: Place) -> None:
    """The page is told what may be linked and how, and nothing that is secret."""
    browser = await place.opened("tracker", "cloud", person="bo", allowed_origins=[SITE])
    shown = await browser.show()
    assert (shown["product"], shown["tenant"], shown["person"]) == ("Acme Desk", "acme", "bo")
    assert (shown["status"], shown["origins"], shown["result"]) == ("open", [SITE], None)
    tracker, cloud = shown["integrations"]
    assert tracker["abilities"] == ["Read tickets", "Create, change and comment on tickets"]
    assert [setting["name"] for setting in tracker["settings"]] == ["site", "team"]
    assert tracker["ways"][0] == {
        "type": "bearer",
        "kind": "form",
        "title": "API token",
        "help_url": "https://cloud.example/help",
        "fields": [{"name": "token", "title": "Token", "secret": True, "required": True}],
        "settings": {"site": False, "team": False},
        "scopes": [],
    }
    assert [(way["type"], way["kind"]) for way in cloud["ways"]] == [
        ("github_app", "consent"),  # the one that is meant for a person
        ("oauth2", "consent"),
        ("client_credentials", "form"),
    ]
    assert cloud["ways"][1]["scopes"] == ["read", "write"]
    assert "canary" not in json.dumps(shown)


async def test_the_best_way_stands_first(place: Place) -> None:
    """As tools.yaml orders them, but what is meant for a tenant before what is meant for a person."""
    (cloud,) = (await (await place.opened("cloud")).show())["integrations"]
    assert [way["type"] for way in cloud["ways"]] == ["oauth2", "client_credentials", "github_app"]


async def test_what_the_operator_pays_for_is_not_linked(place: Place) -> None:
    """A connector with one key for all is nowhere to be chosen."""
    shown = await (await place.opened()).show()
    assert [each["name"] for each in shown["integrations"]] == [
        "tracker",
        "cloud",
        "sites",
        "private",
        "openai",
    ]


@pytest.mark.parametrize("session", ["x", "%00", "%ff", "a" * 12, "A" * 12, "a" * 300])
async def test_a_session_that_is_not_there(place: Place, session: str) -> None:
    """Whatever stands in the address: nothing is known of it, and no page is shown in a frame."""
    browser = await place.opened("tracker")
    answer = await browser.http.get(f"/link-session/{session}")
    assert (answer.status_code, told(answer)["error_type"]) == (401, "invalid_token")
    page = await browser.http.get(f"/connect-account?session={session}")
    assert (page.status_code, policy(page)["frame-ancestors"]) == (200, "'none'")


@pytest.mark.parametrize("how", ["malformed", "another secret", "another kind", "unknown"])
async def test_what_is_no_token_opens_nothing(place: Place, how: str) -> None:
    """Always with the same words."""
    token = await place.token("tracker")
    text = {
        "malformed": token[:-1],
        "another secret": token[:-43] + "A" * 43,
        "another kind": token.replace("lsk_link_", "lsk_tenant_"),
        "unknown": "lsk_link_abcdefabcdef_" + "A" * 43,
    }[how]
    answer = await place.browser().open(text)
    assert answer.status_code == 401
    failure = told(answer)
    assert (failure["error_type"], failure["message"]) == (
        "invalid_token",
        "This link is not good, or not any more.",
    )


async def test_a_token_ends(place: Place) -> None:
    """After a quarter of an hour it opens nothing, and what was opened links nothing more."""
    token = await place.token("tracker")
    browser = await place.opened("tracker")
    place.clock.now += 900
    assert (await place.browser().open(token)).status_code == 401
    assert (await browser.show())["status"] == "over"
    answer = await browser.link()
    assert (answer.status_code, told(answer)["error_type"]) == (403, "invalid_token")
    assert await place.accounts() == []


async def test_one_browser_has_it(place: Place) -> None:
    """Another is refused and takes nothing away; the first one may open it again."""
    token = await place.token("tracker")
    first, second = place.browser(), place.browser()
    assert (await first.open(token)).is_success
    answer = await second.open(token)
    assert answer.status_code == 403
    assert "another browser" in told(answer)["message"]
    assert told(answer)["error_type"] == "invalid_token"
    second.session = first.session
    assert (await second.http.get(f"/link-session/{first.session}")).status_code == 403
    assert (await second.link()).status_code == 403
    assert (await first.open(token)).is_success
    assert (await first.show())["status"] == "open"


async def test_a_token_is_used_once(place: Place) -> None:
    """Its browser still sees what came of it; nothing else is linked."""
    token = await place.token("tracker")
    browser = place.browser()
    await browser.open(token)
    place.know_keys()
    assert (await browser.link()).is_success
    assert (await browser.show())["status"] == "linked"
    assert (await browser.open(token)).status_code == 401
    assert (await place.browser().open(token)).status_code == 401
    assert (await browser.link()).status_code == 403
    assert len(await place.accounts()) == 1


async def test_the_secret_is_stored_nowhere(place: Place) -> None:
    """Neither the token nor what the browser keeps."""
    token = await place.token("tracker")
    browser = place.browser()
    await browser.open(token)
    kept = browser.http.cookies[f"__Host-linkspan-link-{browser.session}"]
    stored = await place.engine.stored(place.app.database)
    assert token[-43:].encode() not in stored
    assert kept.encode() not in stored
    assert browser.session.encode() in stored


async def test_the_cookie_is_of_this_host_and_no_script(place: Place) -> None:
    """In a frame of another site it is asked for in the frame's own partition, and the page has it too."""
    answer = await place.browser().open(await place.token("tracker"))
    (cookie,) = answer.headers.get_list("set-cookie")
    name, *words = cookie.split("; ")
    assert name.startswith("__Host-linkspan-link-")
    assert words == ["Path=/", "Max-Age=4500", "HttpOnly", "Secure", "SameSite=Lax"]
    assert answer.json()["handle"] is None
    token = await place.token("tracker", allowed_origins=[SITE])
    framed = await place.browser().open(token, framed=True, parent=SITE)
    assert framed.headers["set-cookie"].endswith("; Secure; SameSite=None; Partitioned")
    assert len(framed.json()["handle"]) == 43


async def test_a_frame_without_cookies_shows_its_handle(place: Place) -> None:
    """What the page keeps in memory is as good as the cookie."""
    browser = place.browser()
    await browser.open(await place.token("tracker", allowed_origins=[SITE]), framed=True, parent=SITE)
    browser.http.cookies.clear()
    assert (await browser.show())["status"] == "open"
    handle, browser.handle = browser.handle, None
    assert (await browser.ask("account", {"integration": "tracker"})).status_code == 403
    browser.handle = (handle or "")[:-1] + "!"
    assert (await browser.ask("account", {"integration": "tracker"})).status_code == 403


async def test_only_the_tokens_pages_may_show_it(place: Place) -> None:
    """Told to the browser by the policy of its page, and before the token is opened where the frame says."""
    token = await place.token("tracker", allowed_origins=[SITE, "http://localhost:3000"])
    browser = place.browser()
    answer = await browser.open(token, framed=True, parent="https://evil.example")
    assert answer.status_code == 403
    assert told(answer)["message"] == "This page may not be shown inside https://evil.example."
    assert (await browser.open(token, framed=True, parent=SITE)).is_success
    page = await browser.http.get("/connect-account", params={"session": browser.session})
    assert policy(page)["frame-ancestors"] == f"{SITE} http://localhost:3000"
    other = await place.opened("tracker")
    page = await other.http.get("/connect-account", params={"session": other.session})
    assert policy(page)["frame-ancestors"] == "'none'"
    page = await other.http.get("/connect-account", params={"session": "nobody"})
    assert policy(page)["frame-ancestors"] == "'none'"


async def test_the_page_loads_nothing_from_elsewhere(place: Place) -> None:
    """No inline script, nothing kept, nobody told where one came from."""
    browser = await place.opened("tracker")
    pages = [
        await browser.http.get(path)
        for path in (
            "/connect-account",
            f"/connect-account?session={browser.session}",
            "/connect-account/away",
            "/oauth/callback",
        )
    ]
    for page in pages:
        rules = policy(page)
        assert rules["default-src"] == "'none'"
        assert {rules[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "<script>" not in page.text
        assert "style=" not in page.text
        assert "http" not in page.text.replace("https://linkspan.example", "")


async def test_its_scripts_are_asked_for_anew(place: Place) -> None:
    """After an update no page runs with half of the scripts of the one before."""
    http = place.browser().http
    page = await http.get("/connect-account")
    for path in (*re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text), "/static/link/views.js"):
        answer = await http.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache"), path
        again = await http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


async def test_a_token_in_the_query_becomes_a_cookie(place: Place) -> None:
    """As Truto's script sends it: the address it goes on to has no token, and what else was said stays."""
    token = await place.token("tracker", allowed_origins=[SITE])
    browser = place.browser()
    asked = {"link_token": token, "integration": "tracker", "no_back": "true", "evil": "1"}
    going = {"Sec-Fetch-Mode": "navigate"}
    answer = await browser.http.get("/connect-account", params=asked, headers=going)
    assert answer.status_code == 303
    session = token.split("_")[2]
    assert answer.headers["location"] == (
        f"/connect-account?integration=tracker&no_back=true&session={session}&dialect=truto"
    )
    assert token[-43:] not in answer.headers["location"]
    assert answer.headers["set-cookie"].startswith(f"__Host-linkspan-link-{session}=")
    browser.session = session
    assert (await browser.show())["status"] == "open"
    again = await place.browser().http.get("/connect-account", params=asked, headers=going)
    assert again.status_code == 403
    assert "another browser" in message(again.text)
    assert 'data-error-type="invalid_token"' in again.text
    asked["link_token"] = token[:-2] + "xx"
    gone = await browser.http.get("/connect-account", params=asked, headers=going)
    assert (gone.status_code, 'data-error-type="invalid_token"' in gone.text) == (401, True)


async def test_whoever_looks_ahead_opens_nothing(place: Place) -> None:
    """Prefetching a page, looking whether it is there, or what it is, is nobody's wish to link."""
    token = await place.token("tracker")
    http, asked = place.browser().http, {"link_token": token}
    ahead = await http.get("/connect-account", params=asked, headers={"Sec-Purpose": "prefetch"})
    assert ahead.status_code == 400
    assert (await http.head("/connect-account", params=asked)).status_code == 400
    preview = await http.get("/connect-account", params=asked)
    assert (preview.status_code, "set-cookie" in preview.headers) == (200, False)
    assert 'data-stage="loading"' in preview.text
    assert (await place.browser().open(token)).is_success


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": ""},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
    ],
    ids=str,
)
async def test_no_other_page_can_ask(place: Place, headers: dict[str, str]) -> None:
    """A form or a script of another page is refused, cookie or not."""
    browser = await place.opened("tracker")
    place.know_keys()
    for what in ("account", "consent", "again"):
        body = {"integration": "tracker", "secrets": {"token": "bos-canary-key"}} if what != "again" else {}
        assert (await browser.ask(what, body, **headers)).status_code in {403, 415}
    assert (await browser.post("/link-session", {"link_token": "x"}, **headers)).status_code in {403, 415}
    assert (await browser.post("/link-session/depart", {"ticket": "x"}, **headers)).status_code in {403, 415}
    assert await place.accounts() == []


async def test_whoever_guesses_waits(place: Place) -> None:
    """Thirty tokens at once from one address, then one in two seconds."""
    browser = place.browser()
    answers = [(await browser.open("lsk_link_x")).status_code for _ in range(31)]
    assert answers == [401] * 30 + [429]
    query = {"link_token": "lsk_link_x"}
    going = {"Sec-Fetch-Mode": "navigate"}
    assert (await browser.http.get("/connect-account", params=query, headers=going)).status_code == 429
    token = await place.token("tracker")
    assert (await place.browser("198.51.100.1").open(token)).is_success
