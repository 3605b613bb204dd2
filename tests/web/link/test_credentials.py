"""Linking by what somebody enters: it is proven, told in words, and written down."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import httpx2
import pytest
from starlette.responses import JSONResponse

from linkspan.accounts.principal import Principal
from linkspan.app import build
from linkspan.errors import InvalidArgument
from linkspan.net.messages import Request, Response
from linkspan.serving import Serving
from linkspan.settings import Settings
from linkspan.store.audit import find
from tests.fakes.authority import Grant
from tests.fakes.cloud import load
from tests.servers.authority import Authority
from tests.web.link.conftest import ACME, BASE, BOLT, FILE, Browser, Place, told


async def test_a_key_becomes_an_account(place: Place) -> None:
    """Of the tenant and the person of the token, with the settings that were entered and those it brought."""
    place.know_keys()
    browser = await place.opened("tracker", person="bo", settings={"team": "red"}, sandbox=True)
    shown = await browser.show()
    (tracker,) = shown["integrations"]
    assert [setting["name"] for setting in tracker["settings"]] == ["site"]
    assert tracker["given"] == [{"title": "Team", "value": "red"}]
    assert tracker["abilities"] == ["Read tickets"]
    answer = await browser.link(settings={"site": "https://cloud.example", "team": "blue"})
    shown = answer.json()
    linked = await place.only()
    assert shown["status"] == "linked"
    assert shown["result"] == {
        "integration": "tracker",
        "title": "The Tracker",
        "integrated_account_id": linked.id,
        "state": "active",
        "identity": "bo@acme.example",
        "sandbox": True,
        "settings": [
            {"title": "Address", "value": "https://cloud.example"},
            {"title": "Team", "value": "red"},
        ],
        "not_granted": [],
    }
    assert (linked.tenant, linked.subject, linked.state) == ("acme", "bo", "active")
    assert await place.accounts(BOLT) == []
    caller = Principal(ACME, "person", "bo")
    credential = await place.app.accounts.credential(caller, place.app.catalog.connectors["tracker"])
    assert credential.secrets["token"].reveal() == "bos-canary-key"


async def test_a_wrong_key_is_told_and_uses_nothing_up(place: Place) -> None:
    """In the words of the page: no command of ours, no key."""
    place.know_keys()
    browser = await place.opened("tracker")
    answer = await browser.link(token="wrong-canary")
    failure = told(answer)
    assert (answer.status_code, failure["error_type"], failure["code"]) == (
        409,
        "validation_error",
        "needs_reauth",
    )
    assert failure["message"].startswith("The Tracker refused the credential")
    assert failure["hint"] == "Check what you entered and try again."
    assert "canary" not in answer.text
    shown = await browser.show()
    assert (shown["status"], shown["failure"]["integration"]) == ("open", "tracker")
    assert (await browser.link()).json()["failure"] is None
    assert (await place.only()).state == "active"


async def test_faults_are_told_by_field(place: Place) -> None:
    """All at once, where they are."""
    browser = await place.opened("tracker")
    answer = await browser.link(token="", settings={"site": "ftp://x", "team": "NO"})
    assert answer.status_code == 400
    assert told(answer)["fields"] == {
        "settings.site": "Address: must be scheme://host or scheme://host:port, such as https://desk.example",
        "settings.team": "must match [a-z]+",
    }
    assert told(await browser.link(token=""))["fields"] == {"token": "missing"}


@pytest.mark.parametrize(
    ("body", "status", "error_type"),
    [
        ({"integration": "cloud"}, 404, "invalid_integration"),
        ({"integration": "own"}, 404, "invalid_integration"),
        ({"integration": "nothing"}, 404, "invalid_integration"),
        ({"integration": "tracker", "method": "oauth2"}, 400, "validation_error"),
        ({"integration": "tracker", "evil": 1}, 400, "validation_error"),
        ({"integration": "tracker", "secrets": {"token": 1}}, 400, "validation_error"),
        ({"integration": "tracker", "secrets": {"key": "x"}}, 400, "validation_error"),
        ({"integration": "tracker", "settings": {"nothing": "x"}}, 400, "validation_error"),
    ],
    ids=str,
)
async def test_what_is_not_offered_is_not_linked(
    place: Place, body: dict[str, object], status: int, error_type: str
) -> None:
    """Another connector than the token's, another way, something unknown."""
    browser = await place.opened("tracker")
    answer = await browser.ask("account", body)
    assert (answer.status_code, told(answer)["error_type"]) == (status, error_type)
    assert await place.accounts() == []


@pytest.mark.parametrize("method", ["client_credentials", "github_app"])
async def test_what_proves_nothing_of_who_links_is_not_linked(place: Place, method: str) -> None:
    """The operator's own client, or the number of somebody's installation: an operator links these."""
    browser = await place.opened()
    names = [each["name"] for each in (await browser.show())["integrations"]]
    assert names == ["tracker", "cloud", "sites", "private", "openai"]
    secrets = {"installation_id": "42"} if method == "github_app" else {}
    for name in ("shared", "cloud"):
        body = {"integration": name, "method": method, "secrets": secrets}
        assert (await browser.ask("account", body)).status_code in {400, 404}
    with pytest.raises(InvalidArgument, match="linked with what is the operator's"):
        await place.token("shared")
    assert (place.authority.asked, await place.accounts()) == ([], [])


async def test_a_session_is_of_one_tenant(place: Place) -> None:
    """Two tenants' sessions in one browser do not know each other."""
    place.know_keys()
    browser = await place.opened("tracker")
    mine = browser.session
    await browser.open(await place.token("tracker", tenant=BOLT))
    assert browser.session != mine
    await browser.link()
    assert await place.accounts(ACME) == []
    assert len(await place.accounts(BOLT)) == 1
    browser.session = mine
    assert (await browser.show())["status"] == "open"
    await browser.link()
    assert (await place.only()).id != (await place.accounts(BOLT))[0].id


async def test_a_product_that_is_down(place: Place) -> None:
    """Is told as that, and the person tries again."""
    place.know_keys()
    browser = await place.opened("tracker")
    place.authority.api_faults = [JSONResponse({"message": "down"}, 503) for _ in range(9)]
    answer = await browser.link()
    failure = told(answer)
    assert (failure["error_type"], failure["hint"]) == ("connection_error", "Try again in a moment.")
    place.authority.api_faults = []
    assert (await browser.link()).is_success


async def test_a_product_that_does_not_allow_enough(place: Place) -> None:
    """The scopes that it names as missing are told."""
    place.know_keys()
    browser = await place.opened("tracker")
    missing = {"X-Accepted-OAuth-Scopes": "user:read", "X-OAuth-Scopes": ""}
    place.authority.api_faults = [JSONResponse({}, 403, headers=missing)]
    failure = told(await browser.link())
    assert (failure["error_type"], "missing: user:read" in failure["message"]) == ("validation_error", True)


async def test_an_address_inside_is_not_asked(tmp_path: Path) -> None:
    """A setting may lead to the public internet alone; what is there is not told either."""
    app = await build(
        Settings(home=tmp_path / "home", public_url=BASE), catalog=load(FILE.read_text(), tmp_path)
    )
    await app.tenants.add(ACME)
    made = await app.link_sessions.create(ACME, connectors=["tracker"])
    transport = httpx2.ASGITransport(app=Serving(app).asgi)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as http:
        browser = Browser(http)
        await browser.open(made.text.reveal())
        for site in ("https://169.254.169.254", "http://127.0.0.1:1", "https://[::1]:1", "https://10.0.0.1"):
            answer = await browser.link(settings={"site": site})
            failure = told(answer)
            assert (answer.status_code, failure["code"]) == (502, "egress_refused"), site
            assert "cannot be reached from here" in failure["message"]
            assert "LINKSPAN" not in answer.text
    assert await app.accounts.list(ACME) == []
    await app.aclose()


async def test_the_account_that_pays_for_runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of OpenAI's, which is asked for its models, with the organization and project that it is for."""
    asked: list[Request] = []

    async def exchange(request: Request, **_limits: float) -> Response:
        asked.append(request)
        if request.headers["Authorization"] == "Bearer sk-good":
            return Response(200, {}, b'{"object": "list", "data": []}', request.url)
        body = b'{"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}'
        return Response(401, {}, body, request.url)

    monkeypatch.setattr(place.outside, "exchange", exchange)
    browser = await place.opened("openai")
    (openai,) = (await browser.show())["integrations"]
    assert [(each["name"], each["required"]) for each in openai["settings"]] == [
        ("organization", False),
        ("project", False),
    ]
    assert [(way["title"], way["kind"], way["help_url"]) for way in openai["ways"]] == [
        ("API key", "form", "https://platform.openai.com/api-keys")
    ]
    failure = told(await browser.link("openai", token="sk-bad"))
    assert (failure["error_type"], await place.accounts()) == ("validation_error", [])
    assert "Incorrect API key" in failure["message"]
    settings = {"organization": "org-acme", "project": "proj_1"}
    assert (await browser.link("openai", token="sk-good", settings=settings)).json()["status"] == "linked"
    linked = await place.only()
    assert (linked.connector, linked.subject, linked.settings) == ("openai", None, settings)
    last = asked[-1]
    assert (last.method, last.url) == ("GET", "https://api.openai.com/v1/models")
    assert last.headers["OpenAI-Organization"] == "org-acme"
    assert last.headers["OpenAI-Project"] == "proj_1"


async def test_certificates_of_an_authority_are_entered(place: Place, tmp_path: Path) -> None:
    """A chain of them, as long as chains are; the page does not repeat what nobody reads."""
    place.know_keys()
    pem = Authority(tmp_path).root.read_text()
    chain = pem * (10_000 // len(pem))
    browser = await place.opened("private")
    answer = await browser.link("private", settings={"authority": chain})
    assert answer.is_success, answer.text
    assert (await place.only()).settings == {"authority": chain}
    assert answer.json()["result"]["settings"] == []
    (known,) = (await (await place.opened("private", settings={"authority": chain})).show())["integrations"]
    assert known["given"] == []


async def test_something_is_chosen_that_is_found(place: Place) -> None:
    """Several sites: nothing is linked before one is meant."""
    place.authority.access["bos-canary-key"] = (Grant({"id": "7"}, "", ""), math.inf)
    place.authority.sites = [{"id": "c1", "name": "Acme"}, {"id": "c2", "name": "Bolt"}]
    browser = await place.opened("sites")
    failure = told(await browser.link("sites", method="bearer"))
    assert (failure["error_type"], failure["choices"]) == (
        "post_install_error",
        [
            {"settings": {"site": "c1"}, "label": "Acme"},
            {"settings": {"site": "c2"}, "label": "Bolt"},
        ],
    )
    assert await place.accounts() == []
    answer = await browser.link("sites", method="bearer", settings={"site": "c2"})
    assert answer.json()["result"]["settings"] == [{"title": "Site", "value": "c2"}]


async def test_an_account_is_linked_again(place: Place) -> None:
    """Under its id, with the settings it had; the page says whose it is."""
    place.know_keys()
    await (await place.opened("tracker", person="bo")).link(settings={"team": "red"})
    before = await place.only()
    browser = await place.opened(account=before)
    shown = await browser.show()
    assert shown["relink"] == {
        "id": before.id,
        "integration": "tracker",
        "identity": "bo@acme.example",
    }
    (tracker,) = shown["integrations"]
    assert [setting["value"] for setting in tracker["settings"]] == ["https://cloud.example", "red"]
    await browser.link(settings={"site": "", "team": ""})
    after = await place.only()
    assert (after.id, after.subject, after.settings["team"], after.version) == (before.id, "bo", "red", 1)
    browser = await place.opened(account=after, keep_settings=False)
    assert [each["value"] for each in (await browser.show())["integrations"][0]["settings"]][1] == ""
    await browser.link()
    assert "team" not in (await place.only()).settings


async def test_somebody_else_does_not_take_it_over(place: Place) -> None:
    """Both names are told; not even a yes does it where the token does not allow it."""
    place.know_keys()
    await (await place.opened("tracker")).link()
    before = await place.only()
    browser = await place.opened(account=before)
    for confirmed in (False, True):
        answer = await browser.link(token="eves-canary-key", confirmed=confirmed)
        failure = told(answer)
        assert (answer.status_code, failure["code"], failure["error_type"]) == (
            409,
            "identity_changed",
            "validation_error",
        )
        assert (failure["linked"], failure["given"]) == ("bo@acme.example", "eve@acme.example")
        assert failure["message"] == (
            "This account is connected as bo@acme.example, but you signed in as eve@acme.example."
        )
    assert (await place.only()) == before


async def test_somebody_else_takes_it_over_with_a_yes(place: Place) -> None:
    """Where the token allows it, and only when the question was answered."""
    place.know_keys()
    await (await place.opened("tracker")).link()
    before = await place.only()
    browser = await place.opened(account=before, allow_identity_change=True)
    assert told(await browser.link(token="eves-canary-key"))["code"] == "identity_changed"
    answer = await browser.link(token="eves-canary-key", confirmed=True)
    assert answer.json()["result"]["identity"] == "eve@acme.example"
    after = await place.only()
    assert (after.id, after.identity_id) == (before.id, "8")


async def test_two_attempts_at_once(place: Place) -> None:
    """One is under way, the other is told so; one account comes of it."""
    place.know_keys()
    browser = await place.opened("tracker")
    answers = await asyncio.gather(
        browser.link(token="bos-canary-key"), browser.link(token="eves-canary-key")
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes in ([200, 403], [200, 409])
    assert len(await place.accounts()) == 1


async def test_attempts_are_counted(place: Place) -> None:
    """A product locks people out who try ten keys: the next has to wait."""
    browser = await place.opened("tracker")
    codes = [(await browser.link(token="wrong")).status_code for _ in range(11)]
    assert codes == [409] * 10 + [429]
    place.clock.now += 6
    place.know_keys()
    assert (await browser.link()).is_success


async def test_attempts_are_written_down(place: Place) -> None:
    """Who, what, how it ended; and webhooks hear of the account."""
    await place.app.webhooks.add("https://hooks.example/x")
    place.know_keys()
    browser = await place.opened("tracker", person="bo")
    await browser.link(token="wrong")
    await browser.link()
    linked = await place.only()
    rows = [each.row for each in await find(place.app.database, ACME)]
    assert [
        (row.via, row.principal_kind, row.principal_subject, row.connector, row.account, row.outcome)
        for row in rows
    ] == [
        ("link", "person", "bo", "tracker", linked.id, "ok"),
        ("link", "person", "bo", "tracker", None, "needs_reauth"),
    ]
    assert {row.tool for row in rows} == {"link_account"}
    assert {row.token_id for row in rows} == {browser.session}
    events = [each.event for each in await place.app.outbox.list()]
    assert set(events) == {"integrated_account:created", "integrated_account:active"}
    assert "bos-canary-key" not in json.dumps([each.payload for each in await place.app.outbox.list()])


async def test_the_account_stays_at_its_own_server(place: Place) -> None:
    """Another server answers the same identity if it likes, so its address counts as one."""
    place.know_keys()
    await (await place.opened("tracker")).link()
    before = await place.only()
    browser = await place.opened(account=before)
    answer = await browser.link(settings={"site": "http://elsewhere.example"})
    failure = told(answer)
    assert (answer.status_code, failure["code"]) == (409, "identity_changed")
    assert (failure["linked"], failure["given"]) == (before.settings["site"], "http://elsewhere.example")
    assert (await place.only()) == before
