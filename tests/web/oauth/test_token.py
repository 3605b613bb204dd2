"""Codes and refresh tokens become tokens, and tokens end (statements 2, 4, 5, 20, 22 and 26)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from linkspan.settings import SignIn
from linkspan.store.sqlite import SqliteDatabase
from tests.web.oauth.conftest import ACME, BASE, BOLT, CODEX, LOOPBACK, VERIFIER, Person, World


async def error(answer: Any) -> str:
    """The word of a refusal, which is never kept by anybody."""
    assert answer.status_code == 400, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, str] = answer.json()
    assert set(found) == {"error", "error_description"}
    return found["error"]


async def test_26_tokens_come_as_oauth_says_and_are_kept_by_nobody(anna: Person) -> None:
    """Bearer, a quarter of an hour, with a refresh token, not to be stored on the way."""
    answer = await anna.exchange(await anna.code())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    found = answer.json()
    assert set(found) == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (found["token_type"], found["expires_in"], found["scope"]) == ("Bearer", 900, "read write")


async def test_2_tools_work_with_it_and_for_the_person(anna: Person) -> None:
    """The audit log says who, and which sign-in."""
    found = await anna.tokens()
    answer = await anna.world.rpc(found["access_token"], "tools/call", name="list_tickets", arguments={})
    assert answer.status_code == 200 and not answer.json()["result"].get("isError")
    await anna.world.app.audit.aclose()
    (row,) = await anna.world.app.database.query("SELECT * FROM audit")
    (grant,) = await anna.world.app.grants.list(ACME)
    assert (row["principal_kind"], row["principal_subject"], row["token_id"]) == ("person", "anna", grant.id)


async def test_2_it_is_good_at_its_own_tenant_and_nowhere_else(anna: Person, eve: Person) -> None:
    """The token of one tenant is nothing at another; nor is one in the query string anything."""
    world = anna.world
    for mine, other in ((anna, BOLT), (eve, ACME)):
        token = (await mine.tokens())["access_token"]
        assert (await world.rpc(token, tenant=mine.tenant)).status_code == 200
        assert (await world.rpc(token, tenant=other)).status_code == 401
        async with world.client() as client:
            answer = await client.post(f"/t/{mine.tenant}/mcp", params={"access_token": token}, json={})
        assert answer.status_code == 401


async def test_2_it_is_good_for_the_url_that_it_was_asked_for(anna: Person, world: World) -> None:
    """Bound to the resource (RFC 8707): the same server under another name is another one."""
    token = (await anna.tokens())["access_token"]
    await world.app.database.execute("UPDATE tokens SET audience = 'https://former.example/t/acme/mcp'")
    answer = await world.rpc(token)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("which", ["refresh_token", "code"])
async def test_2_nothing_else_that_we_gave_is_a_bearer(which: str, anna: Person) -> None:
    """A refresh token or a code at the resource server is nothing."""
    shown = await anna.code() if which == "code" else (await anna.tokens())["refresh_token"]
    assert (await anna.world.rpc(shown)).status_code == 401


async def test_2_static_tokens_work_as_before(anna: Person) -> None:
    """Made by the operator, of a service, under any of our names."""
    made = await anna.world.app.tokens.create(ACME, subject="ci")
    assert (await anna.world.rpc(made.text.reveal())).status_code == 200


async def test_4_a_scope_that_is_missing_is_missed_at_the_call(anna: Person) -> None:
    """Not only hidden from the list; and a token that may use nothing is told which scopes there are."""
    token = (await anna.tokens(scope="read"))["access_token"]
    listed = (await anna.world.rpc(token)).json()["result"]["tools"]
    assert {tool["name"] for tool in listed} == {"list_tickets", "get_ticket"}
    answer = await anna.world.rpc(token, "tools/call", name="create_ticket", arguments={"title": "x"})
    assert answer.json()["result"]["structuredContent"]["error"]["code"] == "forbidden"
    assert "ticket.create" in answer.json()["result"]["structuredContent"]["error"]["message"]
    nothing = (await anna.tokens(scope="alert.list"))["access_token"]
    answer = await anna.world.rpc(nothing)
    assert answer.status_code == 403
    challenge = answer.headers["www-authenticate"]
    assert 'error="insufficient_scope"' in challenge and 'scope="read write"' in challenge
    assert "resource_metadata=" in challenge


async def test_5_the_bearer_goes_nowhere_else(anna: Person) -> None:
    """Upstream sees its own credential and never ours."""
    found = await anna.tokens()
    await anna.world.rpc(found["access_token"], "tools/call", name="list_tickets", arguments={})
    sent = anna.world.outside.sent
    assert sent
    for request in sent:
        assert (
            found["access_token"].split("_", 3)[3]
            not in f"{request.url}{dict(request.headers)}{request.body!r}"
        )


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_grant"),
        ({"client_id": "https://chatgpt.com/oauth/codex/AbC-_9012345/client.json"}, "invalid_grant"),
        ({"client_id": None}, "invalid_client"),
        ({"redirect_uri": "http://127.0.0.1:38110/callback"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"resource": f"{BASE}/t/bolt/mcp"}, "invalid_target"),
        ({"resource": None}, "invalid_target"),
        ({"code": None}, "invalid_request"),
        ({"code": "made up"}, "invalid_grant"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": None}, "invalid_request"),
        ({"client_secret": "x"}, "invalid_client"),
        ({"client_id": [CODEX, CODEX]}, "invalid_request"),
        ({"code_verifier": [VERIFIER, VERIFIER]}, "invalid_request"),
    ],
)
async def test_20_a_code_is_exchanged_by_whom_it_was_given_to(
    changes: dict[str, Any], word: str, anna: Person
) -> None:
    """Verifier, client, redirect and resource; no parameter twice; no secret, since there is none."""
    assert await error(await anna.exchange(await anna.code(), **changes)) == word


async def test_20_a_code_is_good_for_one_minute(anna: Person) -> None:
    """Not longer."""
    code = await anna.code()
    anna.world.clock.now += 60
    assert await error(await anna.exchange(code)) == "invalid_grant"


async def test_20_a_code_shown_again_revokes_what_it_gave(anna: Person) -> None:
    """At the resource server, at once."""
    code = await anna.code()
    found = (await anna.exchange(code)).json()
    assert (await anna.world.rpc(found["access_token"])).status_code == 200
    assert await error(await anna.exchange(code)) == "invalid_grant"
    assert (await anna.world.rpc(found["access_token"])).status_code == 401
    assert await error(await anna.refresh(found["refresh_token"])) == "invalid_grant"


async def test_20_a_code_of_one_tenant_is_nothing_at_another(anna: Person, eve: Person) -> None:
    """Each tenant is an authorization server of its own."""
    code = await anna.code()
    assert await error(await eve.exchange(code)) == "invalid_grant"
    assert (await anna.exchange(code)).status_code == 200


async def test_20_two_that_come_at_once_with_a_code(anna: Person) -> None:
    """One gets tokens, which are not good: somebody else has the code."""
    code = await anna.code()
    answers = await asyncio.gather(*(anna.exchange(code) for _ in range(4)))
    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) == 1
    assert (await anna.world.rpc(good[0].json()["access_token"])).status_code == 401


async def test_26_a_refresh_token_is_good_once_and_half_a_minute_more(anna: Person) -> None:
    """Rotation, grace, and the end of the family."""
    first = await anna.tokens()
    second = (await anna.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    anna.world.clock.now += 30
    again = await anna.refresh(
        first["refresh_token"], resource=anna.world.resource(), scope="read offline_access"
    )
    assert (again.status_code, again.json()["scope"]) == (200, "read")
    anna.world.clock.now += 1
    assert await error(await anna.refresh(first["refresh_token"])) == "invalid_grant"
    for token in (first, second, again.json()):
        assert (await anna.world.rpc(token["access_token"])).status_code == 401
        assert await error(await anna.refresh(token["refresh_token"])) == "invalid_grant"


async def test_22_refreshing_cannot_widen(anna: Person) -> None:
    """Neither the resource nor the scopes."""
    found = await anna.tokens(scope="read")
    token = found["refresh_token"]
    assert await error(await anna.refresh(token, resource=f"{BASE}/t/bolt/mcp")) == "invalid_target"
    assert await error(await anna.refresh(token, scope="read write")) == "invalid_scope"
    assert (await anna.refresh(token)).json()["scope"] == "read"


async def test_26_after_a_quarter_of_an_hour_only_a_refresh_helps(anna: Person) -> None:
    """The old one is told to be invalid, which makes Codex refresh."""
    found = await anna.tokens()
    anna.world.clock.now += 900
    answer = await anna.world.rpc(found["access_token"])
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    after = (await anna.refresh(found["refresh_token"])).json()
    assert (await anna.world.rpc(after["access_token"])).status_code == 200


@pytest.mark.parametrize("sign_in", [SignIn(access_lifetime=2.0)])
async def test_26_the_operator_may_make_them_shorter(anna: Person) -> None:
    """As tests do."""
    found = await anna.tokens()
    assert found["expires_in"] == 2
    anna.world.clock.now += 2
    assert (await anna.world.rpc(found["access_token"])).status_code == 401


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
async def test_26_revocation_works_at_once(which: str, anna: Person) -> None:
    """A refresh token ends its family, an access token itself; both answer 200, known or not."""
    found = await anna.tokens()
    assert (await anna.world.rpc(found["access_token"])).status_code == 200
    for _ in range(2):
        answer = await anna.post("revoke", {"token": found[which], "client_id": CODEX})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert (await anna.world.rpc(found["access_token"])).status_code == 401
    expected = 200 if which == "access_token" else 400
    assert (await anna.refresh(found["refresh_token"])).status_code == expected


async def test_26_nobody_revokes_for_others(anna: Person, eve: Person) -> None:
    """Neither another client nor another tenant."""
    found = await anna.tokens()
    other = {"token": found["refresh_token"], "client_id": "https://app.example/client.json"}
    assert await error(await anna.post("revoke", other)) == "invalid_client"
    assert await error(await anna.post("revoke", {"client_id": CODEX})) == "invalid_request"
    assert (await eve.post("revoke", {"token": found["refresh_token"]})).status_code == 200
    assert (await anna.refresh(found["refresh_token"])).status_code == 200


async def test_26_removing_a_person_is_seen_at_once(anna: Person) -> None:
    """By the resource server and by the token endpoint."""
    found = await anna.tokens()
    assert (await anna.world.rpc(found["access_token"])).status_code == 200
    await anna.world.app.people.remove(ACME, "anna")
    assert (await anna.world.rpc(found["access_token"])).status_code == 401
    assert await error(await anna.refresh(found["refresh_token"])) == "invalid_grant"


@pytest.mark.parametrize("scheme", ["Basic Y29kZXg6eA==", "Bearer x"])
async def test_20_a_client_that_authenticates_is_told_that_there_is_no_need(
    scheme: str, anna: Person
) -> None:
    """In kind (RFC 6749 §5.2)."""
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": CODEX}
    answer = await anna.post("token", form, headers={"Authorization": scheme})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("endpoint", ["token", "revoke"])
async def test_10_what_cannot_be_read_is_refused(endpoint: str, anna: Person) -> None:
    """JSON, nothing at all, too much, and in other ways of asking."""
    path = f"/t/acme/oauth/{endpoint}"
    async with anna.world.client() as program:
        assert (
            await error(await program.post(path, json={"grant_type": "refresh_token"})) == "invalid_request"
        )
        assert await error(await program.post(path)) == "invalid_request"
        too_much = await program.post(path, data={"token": "x" * 40_000})
        assert too_much.status_code == 413
        assert (await program.get(path)).status_code == 405


async def test_14_an_address_that_floods_the_token_endpoint_is_told_to_wait(anna: Person) -> None:
    """With a time; another address is not."""
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": CODEX}
    codes = [(await anna.post("token", form)).status_code for _ in range(101)]
    assert codes == [400] * 100 + [429]
    answer = await anna.post("token", form)
    assert (answer.status_code, answer.json()["error"]) == (429, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    async with anna.world.client(address="203.0.113.8") as program:
        assert (await program.post("/t/acme/oauth/token", data=form)).status_code == 400
    anna.world.clock.now += 1
    assert (await anna.post("token", form)).status_code == 400


async def test_20_a_database_that_takes_nothing_is_told_as_such(anna: Person) -> None:
    """A program is told to come back, a person what happened; nothing is half done, and it mends."""
    code, page, database = await anna.code(), await anna.ask(), anna.world.app.database
    assert isinstance(database, SqliteDatabase)
    await database._run(lambda: database._db.execute("PRAGMA query_only = ON"))
    answer = await anna.exchange(code)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert "read-only" in answer.json()["error_description"]
    decided = await anna.decide(page)
    assert decided.status_code == 500 and "read-only" in decided.text
    await database._run(lambda: database._db.execute("PRAGMA query_only = OFF"))
    assert (await anna.exchange(code)).status_code == 200
    assert LOOPBACK in (await anna.decide(page)).headers["location"]
