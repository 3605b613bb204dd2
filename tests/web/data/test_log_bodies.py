"""Bodies beside the log: for one account, for an hour, masked, cut, sealed, and gone by themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App
from linkspan.errors import InvalidArgument, NotFound, UpstreamTimeout
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.log_bodies import KEPT, LONGEST, MOST_SHOWN, _masked
from linkspan.vault.redact import Redactor
from linkspan.wire import Passing
from tests.web.api.conftest import opened
from tests.web.data.conftest import Desk

UNKNOWN = "hush-of-somebody-else"
"""Not ours, so that the proxy may hand it on: only what is kept must be without it."""
SECRET = {
    "subject": "a printer is on fire",
    "password": UNKNOWN,
    "nested": {"api_keys": [UNKNOWN, {"of": UNKNOWN}]},
    "arguments": json.dumps({"access_token": UNKNOWN}),
    "note": f"Authorization: Bearer {UNKNOWN}",
    "max_tokens": 5,
}


def switch(desk: Desk, tenant: str = "acme") -> str:
    """Answer the address at which an account's bodies are turned on."""
    return f"/integrated-account/{desk.accounts[tenant]}/log-bodies"


async def operated(desk: Desk, method: str, path: str, **more: Any) -> Any:
    """Ask the management API with an admin key; answer its list, or the thing in its envelope."""
    return opened(await desk.data(method, path, **{"key": desk.admin, **more}))


async def newest(desk: Desk, tenant: str = "acme", **more: Any) -> dict[str, Any]:
    """Answer the newest row of a tenant's log that is about a product, whole."""
    listed = await operated(desk, "GET", f"/log?tenant_id={tenant}&via=rest")
    row: dict[str, Any] = listed["result"][0]
    whole = await operated(desk, "GET", f"/log/{row['id']}?tenant_id={tenant}", **more)
    assert {name: whole[name] for name in row} == row
    return dict(whole)


async def stored(app: App) -> list[bytes]:
    """Answer what the database has of bodies."""
    return [bytes(row["sealed"]) for row in await app.database.query("SELECT sealed FROM log_bodies")]


async def test_nothing_is_kept_unless_an_operator_wants_it(desk: Desk) -> None:
    """Then of that account alone, through the proxy as through the unified API; and who wanted it is told."""
    await desk.data("POST", "/proxy/tracker/tickets", json=SECRET)
    row = await newest(desk)
    assert (row["has_bodies"], row["exchanges"], await stored(desk.app)) == (False, [], [])
    told = await operated(desk, "POST", switch(desk), json={"minutes": 10})
    assert (told["is_on"], told["wanted_by"], told["until"]) == (True, "anna", "2027-01-15T08:10:00.000Z")
    assert await operated(desk, "GET", switch(desk)) == told
    assert (await operated(desk, "GET", switch(desk, "globex")))["is_on"] is False
    (row_of_switch,) = await desk.rows(tool="keep_log_bodies")
    assert (row_of_switch.principal_subject, row_of_switch.account) == ("anna", desk.accounts["acme"])

    await desk.data("POST", "/proxy/tracker/tickets", key="globex", json=SECRET)
    assert (await newest(desk, "globex"))["has_bodies"] is False
    await desk.data("POST", "/proxy/tracker/tickets?colour=mauve", json=SECRET)
    row = await newest(desk)
    (seen,) = row["exchanges"]
    assert (seen["request_line"], seen["status"]) == ("POST /tickets", 201)
    assert seen["request"]["content_type"] == "application/json"
    assert "a printer is on fire" in seen["request"]["text"]
    assert "a printer is on fire" in seen["response"]["text"]
    assert '"max_tokens": 5' in seen["request"]["text"]
    assert "hush" not in json.dumps(row)
    assert "mauve" not in json.dumps(row)
    for sealed in await stored(desk.app):
        assert b"printer" not in sealed

    answer = await desk.data("GET", "/unified/ticketing/tickets/1")
    assert answer["result"]["id"] == "1"
    (seen,) = (await newest(desk))["exchanges"]
    assert (seen["request_line"], seen["request"]) == ("GET /tickets/{id}", None)
    assert "acme ticket 1" in seen["response"]["text"]
    failed = await desk("GET", "/unified/ticketing/tickets/99")
    assert failed.status_code == 404
    (seen,) = (await newest(desk))["exchanges"]
    assert (seen["status"], "no such ticket" in seen["response"]["text"]) == (404, True)


async def test_it_ends_by_itself(desk: Desk) -> None:
    """To the second, and with a word; longer than an hour it cannot be wanted."""
    await desk.failure(400, "POST", switch(desk), key=desk.admin, json={"minutes": 61})
    await desk.failure(400, "POST", switch(desk), key=desk.admin, json={"minutes": 0})
    await operated(desk, "POST", switch(desk), json={})
    desk.now[0] += LONGEST - 0.5
    await desk.data("GET", "/proxy/tracker/me")
    assert (await newest(desk))["has_bodies"] is True
    desk.now[0] += 1
    await desk.data("GET", "/proxy/tracker/me")
    assert (await newest(desk))["has_bodies"] is False
    assert (await operated(desk, "GET", switch(desk)))["is_on"] is False
    await operated(desk, "POST", switch(desk), json={})
    assert (await operated(desk, "DELETE", switch(desk)))["is_on"] is False
    await desk.data("GET", "/proxy/tracker/me")
    assert (await newest(desk))["has_bodies"] is False
    bodies = desk.app.log_bodies
    with pytest.raises(InvalidArgument):
        await bodies.turn_on("acme", desk.accounts["acme"], LONGEST + 1, "anna")
    with pytest.raises(NotFound):
        await bodies.turn_on("nobody", "acc_1", 60, "anna")


async def test_who_may(desk: Desk) -> None:
    """To turn it on takes an admin's key; an operator's reads them, a viewer's sees that they are there."""
    viewer = (await desk.app.admins.create("vera", role="viewer")).text.reveal()
    operator = (await desk.app.admins.create("otto", role="operator")).text.reveal()
    for key in (viewer, operator):
        await desk.failure(403, "POST", switch(desk), key=key, json={})
    await desk.failure(401, "POST", switch(desk), json={})
    await operated(desk, "POST", switch(desk), json={})
    await desk.data("GET", "/proxy/tracker/me")
    row = await newest(desk)
    address = f"/log/{row['id']}?tenant_id=acme"
    assert (await operated(desk, "GET", address, key=operator))["exchanges"] == row["exchanges"] != []
    seen = await operated(desk, "GET", address, key=viewer)
    assert (seen["has_bodies"], seen["exchanges"]) == (True, [])
    await desk.failure(401, "GET", address)
    for wrong in (f"/log/{row['id']}?tenant_id=globex", "/log/x?tenant_id=acme", "/log/0?tenant_id=acme"):
        assert "row" in (await desk.failure(404, "GET", wrong, key=desk.admin))["message"]


async def test_what_is_no_text_is_left_out_and_what_is_long_is_cut(desk: Desk) -> None:
    """But for how much there was; a secret at the cut does not come through in half."""
    await operated(desk, "POST", switch(desk), json={})
    desk.tracker.faults.append(Response(b"\x89PNG" * 100, media_type="image/png"))
    sent = await desk(
        "POST", "/proxy/tracker/tickets", content=b"\0\1", headers={"content-type": "image/gif"}
    )
    assert sent.status_code == 200
    (seen,) = (await newest(desk))["exchanges"]
    assert (seen["request"]["text"], seen["request"]["size"]) == (None, 2)
    assert (seen["response"]["text"], seen["response"]["size"]) == (None, 400)
    desk.tracker.faults.append(PlainTextResponse("a long story " * 10_000))
    whole = (await desk("GET", "/proxy/tracker/me")).text
    (seen,) = (await newest(desk))["exchanges"]
    assert (seen["response"]["is_cut"], seen["response"]["size"]) == (True, len(whole))
    assert 0 < len(seen["response"]["text"]) <= MOST_SHOWN
    desk.tracker.faults.append(JSONResponse({"error": "canary-acme is no good token"}, 400))
    await desk("GET", "/proxy/tracker/me")
    (seen,) = (await newest(desk))["exchanges"]
    assert "is no good token" in seen["response"]["text"]
    assert "canary" not in seen["response"]["text"]


def test_no_way_of_writing_hides_a_secret_that_is_known() -> None:
    """Wherever the body is cut, and whatever JSON escapes."""
    redactor = Redactor()
    redactor.register(UNKNOWN)
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in UNKNOWN)
    text, _ = _masked(f'{{"a": "{escaped}"}}'.encode(), redactor)
    assert UNKNOWN not in text
    assert "**" in text
    for before in range(MOST_SHOWN - 40, MOST_SHOWN + 40):
        text, is_cut = _masked(("y" * before + UNKNOWN * 1_000).encode(), redactor)
        assert is_cut
        assert "hush" not in text
    assert _masked(b"[" * 100_000, redactor)[1] is True


async def test_they_go_with_the_log_or_sooner(desk: Desk) -> None:
    """After the log's retention or seven days; the row stays and says that they were there."""
    await operated(desk, "POST", switch(desk), json={})
    await desk.data("GET", "/proxy/tracker/me")
    row = await newest(desk)
    assert await desk.app.log_bodies.forget(None) == 0
    desk.now[0] += 100
    assert await desk.app.log_bodies.forget(101) == 0
    assert await desk.app.log_bodies.forget(99) == 1
    left = await operated(desk, "GET", f"/log/{row['id']}?tenant_id=acme")
    assert (left["has_bodies"], left["exchanges"]) == (True, [])
    await desk.data("GET", "/proxy/tracker/me")
    await desk.app.log_bodies.flush()
    desk.now[0] += KEPT + 1
    assert len(await stored(desk.app)) == 1
    await desk.app.trail_keeper.look()
    assert await stored(desk.app) == []
    assert await desk.app.database.query("SELECT * FROM log_keepings") == []
    await desk.data("GET", "/proxy/tracker/me")
    assert (await operated(desk, "DELETE", "/tenant/acme"))["id"] == "acme"


async def test_of_a_stream_that_is_broken_off_there_is_what_came(desk: Desk) -> None:
    """The request whole, and so much of the answer; of a product that does not answer the request alone."""
    await operated(desk, "POST", switch(desk), json={})
    principal, info = Principal(Tenant("acme"), "run", "run_1", scopes=()), CallInfo("req-1", via="run")
    ask = Passing("POST", "/tickets", "", {"content-type": "application/json"}, b'{"subject": "Slowly"}')
    opening = desk.app.relay.open(principal, "tracker", ask, info=info, name="pass")
    with pytest.raises(TimeoutError):
        async with opening as answer:
            assert (await anext(answer.chunks)).startswith(b'{"ticket"')
            raise TimeoutError
    (row,) = await desk.rows(tool="pass")
    (seen,) = await desk.app.log_bodies.read("acme", row.bodies)
    assert (seen.line, seen.status, row.outcome) == ("POST /tickets", 201, "cancelled")
    assert seen.request is not None
    assert "Slowly" in (seen.request.text or "")
    assert seen.response is not None
    assert "Slowly" in (seen.response.text or "")
    desk.tracker.faults.append(30.0)
    late = desk.app.relay.open(principal, "tracker", ask, info=info, name="late", timeout=0.01)
    with pytest.raises(UpstreamTimeout):
        async with late:
            pass
    (row,) = await desk.rows(tool="late")
    (seen,) = await desk.app.log_bodies.read("acme", row.bodies)
    assert (seen.status, seen.response, seen.request is None) == (None, None, False)
