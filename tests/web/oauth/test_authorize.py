"""A program asks, a person answers (statements 19 to 24 and 28 of the security checklist)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from linkspan.settings import SignIn
from tests.web.oauth.conftest import (
    ACME,
    APP,
    BASE,
    BOLT,
    CODEX,
    LOOPBACK,
    Person,
    World,
    fields,
    signed_in,
    told,
)

AT_APP = {"client_id": APP, "redirect_uri": "https://app.example/cb"}
AUTHORIZE = "/t/acme/oauth/authorize"


def text(page: httpx2.Response) -> str:
    """What somebody reads on a page."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


async def test_23_whoever_has_not_signed_in_is_asked_who_he_is(
    world: World, browser: httpx2.AsyncClient
) -> None:
    """Before anything about the request is looked at; nothing is fetched and nobody is sent anywhere."""
    for changes in (
        {},
        AT_APP,
        {"client_id": "nobody"},
        {"redirect_uri": "https://evil.example"},
        {"scope": "x"},
    ):
        page = await browser.get(AUTHORIZE, params=world.question(**changes))
        assert page.status_code == 200
        assert "Who are you?" in page.text
    assert world.outside.sent == []


async def test_23_the_page_says_everything_that_a_decision_needs(anna: Person) -> None:
    """Who asks and of which host, where the answer goes, what becomes possible, who it is for, and where."""
    page = await anna.ask()
    words = text(page)
    for expected in (
        "Let Codex act for you?",
        "Codex, of chatgpt.com",
        "127.0.0.1:38109",
        "a program on this computer",
        "You are anna of acme",
        "Read tickets",
        "Create, change and comment on tickets",
        "Any program on this computer can say that it is Codex",
        "at most 90 days",
    ):
        assert expected in words, expected


async def test_23_nobody_frames_the_page_and_nothing_of_it_is_kept(anna: Person) -> None:
    """No script at all, no style but ours, forms lead only to us and to where the answer goes."""
    page = await anna.ask()
    policy = page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:38109;" in policy
    assert "script-src" not in policy and "<script" not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "same-origin"


async def test_23_every_client_is_asked_for_each_time(anna: Person) -> None:
    """Neither another client nor the same one gets in by an earlier yes."""
    await anna.tokens()
    for changes in ({}, AT_APP):
        page = await anna.ask(**changes)
        assert page.status_code == 200
        assert "act for you?" in text(page)


@pytest.mark.parametrize(
    "changes",
    [
        {"seal": ""},
        {"seal": "A" * 43},
        {"client_id": "https://chatgpt.com/oauth/codex/AbC-_9012345/client.json"},
        {"redirect_uri": "http://127.0.0.1:38110/callback"},
        {"scope": "write"},
        {"state": "another"},
        {"code_challenge": "c" * 43},
    ],
)
async def test_23_an_answer_fits_only_the_page_that_was_shown(changes: dict[str, str], anna: Person) -> None:
    """Forged, or bent after it was shown: no code, and nobody is sent anywhere."""
    answer = await anna.decide(await anna.ask(), **changes)
    assert answer.status_code in (400, 403)
    assert "location" not in answer.headers


async def test_23_an_answer_fits_only_the_browser_and_the_person_that_were_asked(
    world: World, anna: Person
) -> None:
    """What was made for one browser is worth nothing in another, signed in or not."""
    form = {**fields((await anna.ask()).text), "decision": "allow"}
    async with world.client() as other:
        page = await other.post(AUTHORIZE, data=form)
        assert "Who are you?" in page.text
        await signed_in(world, other, "bo")
        assert (await other.post(AUTHORIZE, data=form)).status_code == 403
    await signed_in(world, anna.browser, "bo")
    assert (await anna.browser.post(AUTHORIZE, data=form)).status_code == 403


async def test_23_the_cookies_belong_to_this_host_alone(world: World, browser: httpx2.AsyncClient) -> None:
    """`__Host-`, Secure, HttpOnly, SameSite=Lax; each tenant has its own session."""
    page = await browser.get("/t/acme/sign-in")
    form = {**fields(page.text), "invitation": await world.invitation()}
    answer = await browser.post("/t/acme/invitation", data=form)
    cookies = [*page.headers.get_list("set-cookie"), *answer.headers.get_list("set-cookie")]
    assert [cookie.partition("=")[0] for cookie in cookies] == [
        "__Host-linkspan-browser",
        "__Host-linkspan-session-acme",
    ]
    for cookie in cookies:
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
        assert not any(part.startswith("domain") for part in attributes)


@pytest.mark.parametrize("public_url", [None])
async def test_23_on_this_machine_cookies_have_plain_names(world: World, browser: httpx2.AsyncClient) -> None:
    """A browser does not keep `__Host-` cookies of plain HTTP."""
    page = await browser.get("/t/acme/sign-in")
    (cookie,) = page.headers.get_list("set-cookie")
    assert cookie.startswith("linkspan-browser=") and "secure" not in cookie.lower()
    assert (await (await signed_in(world, browser)).tokens())["token_type"] == "Bearer"


async def test_19_a_yes_goes_back_with_state_and_issuer(anna: Person) -> None:
    """To exactly the redirect URI of the request."""
    answer = await anna.decide(await anna.ask())
    where = answer.headers["location"]
    assert where.startswith(f"{LOOPBACK}?")
    found = told(where)
    assert (found["state"], found["iss"]) == ("a state", f"{BASE}/t/acme")
    assert found["code"].startswith("lsk_code_")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_19_a_no_goes_back_with_state_and_issuer(anna: Person) -> None:
    """As an error; anything but a yes is a no."""
    for decision in ("deny", "", "Allow"):
        found = told((await anna.decide(await anna.ask(), decision)).headers["location"])
        assert (found["error"], found["state"], found["iss"]) == (
            "access_denied",
            "a state",
            f"{BASE}/t/acme",
        )
        assert "code" not in found


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"resource": None}, "invalid_target"),
        ({"resource": f"{BASE}/t/bolt/mcp"}, "invalid_target"),
        ({"resource": f"{BASE}/t/acme/mcp/"}, "invalid_target"),
        ({"resource": "https://elsewhere.example/t/acme/mcp"}, "invalid_target"),
        ({"resource": [f"{BASE}/t/acme/mcp", "https://elsewhere.example/"]}, "invalid_target"),
        ({"scope": "everything"}, "invalid_scope"),
        ({"scope": "read *"}, "invalid_scope"),
        ({"state": "x" * 5_000}, "invalid_request"),
    ],
)
async def test_19_other_faults_go_back_with_state_and_issuer(
    changes: dict[str, Any], error: str, anna: Person
) -> None:
    """PKCE (20), resource (22) and scope are looked at before anybody is asked."""
    answer = await anna.ask(**changes)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{LOOPBACK}?")
    found = told(answer.headers["location"])
    assert (found["error"], found["iss"]) == (error, f"{BASE}/t/acme")
    assert found["state"] == changes.get("state", "a state")


async def test_19_without_a_state_none_comes_back(anna: Person) -> None:
    """It is the client's to leave out."""
    assert "state" not in told((await anna.ask(scope="x", state=None)).headers["location"])
    answer = await anna.decide(await anna.ask(state=None))
    assert "state" not in told(answer.headers["location"])


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"redirect_uri": None},
        {"client_id": "codex"},
        {"client_id": "client_abcdefabcdef"},
        {"client_id": "https://127.0.0.1/client.json"},
        {"client_id": "https://app.example/none.json"},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1:38109/other"},
        {"redirect_uri": "http://localhost.evil.example/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"client_id": [CODEX, APP]},
        {"redirect_uri": [LOOPBACK, "https://evil.example/"]},
    ],
)
async def test_21_who_is_not_known_is_never_a_redirect(changes: dict[str, Any], anna: Person) -> None:
    """An unknown client, or a redirect URI that is not its own: a page, with the reason."""
    answer = await anna.ask(**changes)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert "evil.example" not in answer.text


@pytest.mark.parametrize("port", ["1", "55555"])
async def test_21_a_program_on_this_machine_takes_any_port(port: str, anna: Person) -> None:
    """127.0.0.1 and localhost, each as it was registered."""
    for host in ("127.0.0.1", "localhost"):
        where = f"http://{host}:{port}/callback"
        answer = await anna.decide(await anna.ask(redirect_uri=where))
        assert answer.headers["location"].startswith(f"{where}?code=")


async def test_22_resource_may_be_repeated_as_codex_does(anna: Person) -> None:
    """Its `oauth_resource` comes as another `resource`."""
    found = await anna.tokens(resource=[anna.world.resource()] * 2)
    assert (await anna.world.rpc(found["access_token"])).status_code == 200


async def test_24_a_client_is_fetched_by_its_document(anna: Person) -> None:
    """Its host stands on the page, since the name is only what it says."""
    page = await anna.ask(**AT_APP)
    assert "An App, of app.example" in text(page)
    assert "Answer goes to app.example" in text(page)
    found = told((await anna.decide(page)).headers["location"])
    answer = await anna.exchange(found["code"], **AT_APP)
    assert answer.status_code == 200


async def test_24_a_document_that_cannot_be_had_is_told_and_not_a_fault(anna: Person) -> None:
    """400 on a page that says which host."""
    anna.world.documents.clear()
    answer = await anna.ask(**AT_APP)
    assert answer.status_code == 400
    assert "app.example" in text(answer)


@pytest.mark.parametrize("sign_in", [SignIn(client_hosts=frozenset({"other.example"}))])
async def test_24_the_operator_may_name_the_hosts(anna: Person) -> None:
    """Codex needs no naming: it is known by heart."""
    assert (await anna.ask(**AT_APP)).status_code == 400
    assert (await anna.ask()).status_code == 200


async def test_24_one_person_makes_us_fetch_only_so_often(anna: Person) -> None:
    """The twenty-first in a row is told to wait."""
    for number in range(20):
        anna.world.documents[f"https://app.example/{number}.json"] = {}
        assert (await anna.ask(client_id=f"https://app.example/{number}.json")).status_code == 400
    answer = await anna.ask(client_id="https://app.example/20.json")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


async def test_28_a_fault_of_a_web_client_waits_for_a_click(anna: Person) -> None:
    """Anybody can make such a client: an address of ours is not to send people there by itself."""
    answer = await anna.ask(**AT_APP, scope="x")
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert 'href="https://app.example/cb?error=invalid_scope' in answer.text


@pytest.mark.parametrize(
    ("allowed", "asked", "granted"),
    [
        (["write"], "read write offline_access", "read write"),
        (["read"], "read write", "read"),
        (["ticket.list"], "read write", "ticket.list"),
        (["write"], None, "read"),
        (["write"], "offline_access", "read"),
        (["write"], "ticket.list ticket.*", "ticket.list ticket.*"),
    ],
)
async def test_22_nobody_gives_more_than_he_may(
    allowed: list[str], asked: str | None, granted: str, world: World, anna: Person
) -> None:
    """What was asked for, within what the person may; only reading when nothing was asked for."""
    await world.app.people.invite(ACME, "anna", scopes=allowed)
    assert (await anna.tokens(scope=asked))["scope"] == granted


async def test_22_somebody_who_may_give_nothing_of_it_is_not_asked(world: World, anna: Person) -> None:
    """The program is told."""
    await world.app.people.invite(ACME, "anna", scopes=["ticket.list"])
    assert told((await anna.ask(scope="alert.list")).headers["location"])["error"] == "invalid_scope"


async def test_23_a_person_may_give_less_than_was_asked_for(anna: Person) -> None:
    """Only reading, by a choice on the page."""
    page = await anna.ask()
    assert 'value="read"' in page.text
    code = told((await anna.decide(page, extent="read")).headers["location"])["code"]
    assert (await anna.exchange(code)).json()["scope"] == "read"
    assert 'name="extent"' not in (await anna.ask(scope="read")).text


async def test_23_a_page_of_one_tenant_is_nothing_at_another(eve: Person) -> None:
    """Eve of bolt is nobody at acme."""
    page = await eve.browser.get(AUTHORIZE, params=eve.world.question(ACME))
    assert "Who are you?" in page.text
    form = {**fields((await eve.ask()).text), "decision": "allow"}
    assert "Who are you?" in (await eve.browser.post(AUTHORIZE, data=form)).text
    assert (await eve.world.app.grants.list(ACME)) == (await eve.world.app.grants.list(BOLT)) == []


async def test_23_who_was_removed_while_the_page_was_open_allows_nothing(world: World, anna: Person) -> None:
    """The yes comes too late."""
    page = await anna.ask()
    await world.app.people.remove(ACME, "anna")
    answer = await anna.decide(page)
    assert "location" not in answer.headers
    assert "Who are you?" in answer.text


async def test_23_what_a_client_says_is_text(anna: Person) -> None:
    """Nothing of a request or a document becomes part of the page."""
    anna.world.documents[APP]["client_name"] = "<script>alert(1)</script>"
    page = await anna.ask(**AT_APP, state='"><script>alert(2)</script>')
    assert "<script" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert told((await anna.decide(page)).headers["location"])["state"] == '"><script>alert(2)</script>'


@pytest.mark.parametrize(
    ("method", "body", "kind"),
    [
        ("GET", b"", None),
        ("POST", b"", None),
        ("POST", b"\xff\xfe", "application/x-www-form-urlencoded"),
        ("POST", b"client_id=%ff", "application/x-www-form-urlencoded"),
        ("POST", b"{}", "application/json"),
        ("POST", b"&".join([b"a=b"] * 100), "application/x-www-form-urlencoded"),
        ("POST", b"a=" + b"b" * 40_000, "application/x-www-form-urlencoded"),
    ],
)
async def test_10_what_cannot_be_read_is_refused(
    method: str, body: bytes, kind: str | None, anna: Person
) -> None:
    """As a fault of the request, whatever it is."""
    headers = {"Content-Type": kind} if kind else {}
    answer = await anna.browser.request(method, AUTHORIZE, content=body, headers=headers)
    assert answer.status_code in (400, 413)


async def test_28_signing_in_goes_on_to_the_page_that_asked_and_nowhere_else(
    world: World, browser: httpx2.AsyncClient
) -> None:
    """The way on is our own authorization endpoint, sealed into the form; no other address is gone to."""
    page = await browser.get(AUTHORIZE, params=world.question())
    form = {**fields(page.text), "invitation": await world.invitation()}
    answer = await browser.post("/t/acme/invitation", data=form)
    assert urlsplit(answer.headers["location"]).path == AUTHORIZE
    assert "Let Codex act for you?" in text(await browser.get(answer.headers["location"]))
    page = await browser.get(
        AUTHORIZE, params={"client_id": "x", "redirect_uri": "y"}, headers={"cookie": ""}
    )
    for after in (
        "https://evil.example/",
        "//evil.example/",
        "/t/acme/oauth/authorize@evil",
        "/\\evil.example",
    ):
        form = {**fields(page.text), "after": after, "invitation": await world.invitation()}
        answer = await browser.post("/t/acme/invitation", data=form)
        assert "location" not in answer.headers or answer.headers["location"] == "/t/acme/sign-in"
