"""The desk's API: what it promises to programs."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import httpx2
import pytest

from desk.outbox import WAITS
from tests.examples.conftest import Counter, Receiver

SHOP = Path(__file__).parents[2] / "examples/harbour"


async def test_me_says_whose_token_it_is(counter: Counter) -> None:
    """A credential can be verified, and says whose it is."""
    answer = (await counter.api("globex/nadia").get("/me")).json()
    assert (answer["user"]["login"], answer["org"]["slug"]) == ("nadia", "globex")


@pytest.mark.parametrize("header", [None, "Bearer desk_wrong", "Basic YTpi", "Bearer"])
async def test_without_a_token_nothing_is_told(counter: Counter, header: str | None) -> None:
    """A missing or wrong token gets 401 with a challenge, in the shape of every refusal."""
    answer = await counter.client().get("/tickets", headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"]["code"] == "unauthenticated"
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


async def test_a_revoked_token_ends_at_once(counter: Counter) -> None:
    """A token that its owner revoked is not known any more; its text is stored nowhere."""
    api = counter.api()
    made = (await api.post("/tokens", json={"name": "laptop"})).json()
    other = counter.client(made["token"])
    assert (await other.get("/me")).status_code == 200
    assert made["token"] not in json.dumps(counter.desk.store.query("select * from tokens"))
    assert (await api.delete(f"/tokens/{made['id']}")).status_code == 204
    assert (await other.get("/me")).status_code == 401


async def test_organisations_see_nothing_of_each_other(counter: Counter) -> None:
    """What another organisation has does not exist: not read, changed, listed, searched or drawn."""
    globex = counter.api("globex/nadia")
    for path in ("/tickets/HC-103", "/tickets/HC-103/comments", "/alerts/HC-A31", "/designs/HC-D7/image.png"):
        assert (await globex.get(path)).status_code == 404, path
    change = await globex.patch("/tickets/HC-103", json={"state": "fixed"}, headers={"If-Match": "*"})
    assert change.status_code == 404
    assert (await globex.post("/alerts/HC-A31/resolve")).status_code == 404
    assert (await globex.post("/tickets/HC-103/comments", json={"body_markdown": "x"})).status_code == 404
    listed = (await globex.get("/tickets", params={"limit": 100})).json()
    assert {ticket["key"][:3] for ticket in listed["tickets"]} == {"GX-"}
    assert (await globex.get("/search", params={"q": "basket"})).json()["hits"] == []
    assert {user["login"] for user in (await globex.get("/users")).json()["users"]}.isdisjoint(
        {"mara", "otto"}
    )


async def test_viewers_may_read_only(counter: Counter) -> None:
    """A viewer reads everything and changes nothing; webhooks are for admins."""
    viewer = counter.api("acme/otto")
    assert (await viewer.get("/tickets/HC-104")).status_code == 200
    refused = await viewer.post("/tickets", json={"subject": "x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert (await counter.api("acme/jonas").get("/webhooks")).status_code == 403


async def test_pages_end_and_hold_every_ticket_once(counter: Counter) -> None:
    """Following next_cursor shows each ticket once, also when new ones come meanwhile."""
    api = counter.api()
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = (
            await api.get("/tickets", params={"limit": 4} | ({"cursor": cursor} if cursor else {}))
        ).json()
        seen += [ticket["key"] for ticket in page["tickets"]]
        cursor = page["meta"]["next_cursor"]
        if cursor is None:
            break
        counter.clock.now += 1
        await api.post("/tickets", json={"subject": "newer"})
    assert len(seen) == len(set(seen)) == 13
    assert seen[0] == "HC-108"


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "ten"},
        {"cursor": "x"},
        {"cursor": "WzFd"},
        {"state": "done"},
        {"sort": "key"},
        {"priority": "p1"},
        {"updated_after": "yesterday"},
    ],
)
async def test_a_bad_query_is_named(counter: Counter, query: dict[str, str]) -> None:
    """422 names the parameter that is wrong."""
    answer = await counter.api().get("/tickets", params=query)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["error"]["fields"]] == list(query)


async def test_filters(counter: Counter) -> None:
    """Tickets are filtered by state (several are or), assignee, label, priority, words and time."""
    api = counter.api()

    async def keys(**query: str | list[str]) -> set[str]:
        return {ticket["key"] for ticket in (await api.get("/tickets", params=query)).json()["tickets"]}

    assert await keys(state=["wip", "reopened"]) == {"HC-105", "HC-112"} == await keys(state="wip,reopened")
    assert await keys(assignee="codex") == {"HC-109"}
    assert "HC-103" in await keys(assignee="none", state="open")
    assert await keys(label="receipts") == {"HC-108", "HC-110"}
    assert await keys(priority="urgent") == {"HC-103"}
    assert await keys(updated_after="2026-09-21T00:00:00+00:00") == set()
    hits = (await api.get("/search", params={"q": "midnight MONTH"})).json()["hits"]
    assert [hit["key"] for hit in hits] == ["HC-103"]  # the words stand in a comment
    assert (await api.get("/search", params={"q": "100%_"})).json()["hits"] == []


async def test_create_and_comment(counter: Counter) -> None:
    """A ticket is made with all its fields, a comment on it counts; HTML is cleaned on its way in."""
    api = counter.api()
    made = await api.post(
        "/tickets",
        json={
            "subject": " Coffee is cold ",
            "body_html": "<p onclick='x()'>Very <b>cold</b><script>alert(1)</script></p>",
            "labels": ["kitchen", "kitchen"],
            "assignee": "codex",
        },
    )
    ticket = made.json()
    assert made.status_code == 201
    assert (ticket["key"], ticket["subject"], ticket["labels"]) == ("HC-301", "Coffee is cold", ["kitchen"])
    assert ticket["body_html"] == "<p>Very <b>cold</b></p>"
    assert ticket["body_markdown"] == "Very **cold**"
    assert ticket["links"]["web"] == "http://127.0.0.1:8650/tickets/HC-301"
    await api.post(
        "/tickets/HC-301/comments", json={"body_markdown": "Use a *thermos*:\n\n- `steel`\n- glass"}
    )
    comments = (await api.get("/tickets/HC-301/comments")).json()["comments"]
    assert comments[0]["author"] == {"login": "codex", "name": "Codex"}
    assert "<li><code>steel</code></li>" in comments[0]["body_html"]
    assert (await api.get("/tickets/HC-301")).json()["comment_count"] == 1


async def test_every_fault_of_a_body_is_named(counter: Counter) -> None:
    """422 names all the faults at once; what is no JSON object is told apart."""
    api = counter.api()
    body = {"titel": "x", "priority": "P1", "assignee": "nadia", "labels": "a"}
    answer = await api.post("/tickets", json=body)
    assert answer.status_code == 422
    named = [fault["field"] for fault in answer.json()["error"]["fields"]]
    assert named == ["subject", "titel", "priority", "labels"]
    foreign = await api.post("/tickets", json={"subject": "x", "assignee": "nadia"})
    assert foreign.json()["error"]["fields"][0]["field"] == "assignee"
    json_type = {"Content-Type": "application/json"}
    assert (await api.post("/tickets", content=b"[1]", headers=json_type)).status_code == 400
    assert (await api.post("/tickets", content=b"{" * 9999, headers=json_type)).status_code == 400
    half = b'{"subject": "x \\ud800"}'
    assert (await api.post("/tickets", content=half, headers=json_type)).json()["error"]["code"] == "not_json"
    assert (await api.post("/tickets", data={"subject": "x"})).status_code == 415
    assert (await api.post("/tickets", content=b" " * 2_000_000, headers=json_type)).status_code == 413


async def test_update_needs_the_version_that_was_read(counter: Counter) -> None:
    """A change names the ETag it is of: 428 without, 412 when somebody was faster, and nothing is lost."""
    api = counter.api()
    etag = (await api.get("/tickets/HC-104")).headers["etag"]
    assert (await api.patch("/tickets/HC-104", json={"state": "wip"})).status_code == 428
    first = await api.patch("/tickets/HC-104", json={"state": "wip"}, headers={"If-Match": etag})
    assert (first.status_code, first.json()["state"]) == (200, "wip")
    late = await api.patch("/tickets/HC-104", json={"state": "fixed"}, headers={"If-Match": etag})
    assert (late.status_code, late.json()["error"]["code"]) == (412, "changed_meanwhile")
    nobody = await api.patch("/tickets/HC-104", json={"assignee": None}, headers={"If-Match": "*"})
    assert (nobody.json()["assignee"], nobody.json()["state"]) == (None, "wip")
    unchanged = await api.get("/tickets/HC-104", headers={"If-None-Match": nobody.headers["etag"]})
    assert unchanged.status_code == 304


async def test_idempotency_key(counter: Counter) -> None:
    """The same key does a thing once and answers the same; with another body it is refused."""
    api = counter.api()
    headers = {"Idempotency-Key": "k1"}
    first = await api.post("/tickets", json={"subject": "Spoonless"}, headers=headers)
    again = await api.post("/tickets", json={"subject": "Spoonless"}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert (await api.post("/tickets", json={"subject": "two"}, headers=headers)).status_code == 409
    assert len((await api.get("/search", params={"q": "Spoonless"})).json()["hits"]) == 1
    other = await counter.api("acme/mara").post("/tickets", json={"subject": "two"}, headers=headers)
    assert other.status_code == 201


async def test_alerts(counter: Counter) -> None:
    """An alert has its stack trace as data and as text; it is acknowledged and resolved."""
    api = counter.api()
    alert = (await api.get("/alerts/HC-A31")).json()
    assert alert["exception"]["traceback"].startswith("Traceback (most recent call last):")
    assert alert["exception"]["traceback"].endswith("ValueError: hour must be in 0..23")
    assert alert["culprit"] == "cafe/orders.py:35 in pickup_time"
    firing = (await api.get("/alerts", params={"status": "firing"})).json()["alerts"]
    assert [one["id"] for one in firing] == ["HC-A31", "HC-A35", "HC-A33"]
    taken = (await api.post("/alerts/HC-A31/acknowledge")).json()
    assert (taken["status"], taken["acknowledged_by"]["login"]) == ("acknowledged", "codex")
    assert (await api.post("/alerts/HC-A31/resolve")).json()["status"] == "resolved"
    assert (await api.post("/alerts/HC-A31/resolve")).status_code == 200
    assert (await api.post("/alerts/HC-A31/acknowledge")).status_code == 409


async def test_the_same_error_is_one_alert(counter: Counter) -> None:
    """Occurrences are counted together; after it was resolved, the alert fires again."""
    api = counter.api()
    body = {
        "service": "orders",
        "exception_type": "KeyError",
        "exception_value": "'table'",
        "frames": [{"file": "cafe/receipts.py", "line": 9, "function": "receipt", "code": "line['table']"}],
    }
    first = await api.post("/alerts", json=body)
    again = await api.post("/alerts", json=body | {"release": "2026.11.3"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert (again.json()["count"], again.json()["release"]) == (2, "2026.11.3")
    id_ = first.json()["id"]
    await api.post(f"/alerts/{id_}/resolve")
    assert (await api.post("/alerts", json=body)).json()["status"] == "firing"
    wrong = await api.post("/alerts", json=body | {"frames": [{"file": "x"}]})
    assert wrong.json()["error"]["fields"][0]["field"] == "frames"


async def test_sample_traces_point_at_the_shop(counter: Counter) -> None:
    """Every frame of a sample alert about the shop shows the line that is really there."""
    checked = 0
    for alert in (await counter.api().get("/alerts")).json()["alerts"]:
        for frame in alert["exception"]["frames"]:
            if (source := SHOP / frame["file"]).exists():
                assert source.read_text().splitlines()[frame["line"] - 1].strip() == frame["code"]
                checked += 1
    assert checked == 4


async def test_designs(counter: Counter) -> None:
    """A list leaves the trees out; one design has its nodes; changing a node makes a new version."""
    api = counter.api()
    listed = (await api.get("/designs")).json()["designs"]
    assert [(one["id"], one["state"], "document" in one) for one in listed] == [
        ("HC-D8", "draft", False),
        ("HC-D7", "ready", False),
    ]
    design = (await api.get("/designs/HC-D7")).json()
    assert design["document"]["children"][0]["children"][0]["text"] == "Harbour Cafe"
    assert design["tokens"]["color"]["action"] == "#c2410c"
    before = (await api.get("/designs/HC-D7/image.png")).content
    changed = await api.patch("/designs/HC-D7/nodes/6:1", json={"fill": "#0f766e"})
    assert changed.json()["version"] == design["version"] + 1
    assert (await api.get("/designs/HC-D7/image.png")).content != before
    assert (await api.patch("/designs/HC-D7/nodes/6:1", json={"fill": "teal"})).status_code == 422
    assert (await api.patch("/designs/HC-D7/nodes/9:9", json={"fill": "#000000"})).status_code == 404
    assert (await api.patch("/designs/HC-D8", json={"state": "ready"})).json()["state"] == "ready"


async def test_switch_429(counter: Counter) -> None:
    """The next calls of one user are refused, with or without a time; others notice nothing."""
    await counter.switch("429", who="acme/codex", times=2, retry_after=7)
    await counter.switch("429", who="acme/codex")
    api = counter.api()
    answers = [await api.get("/me") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [429, 429, 429, 200]
    assert [answer.headers.get("retry-after") for answer in answers] == ["7", "7", None, None]
    await counter.switch("429", who="globex")
    assert (await api.get("/me")).status_code == 200
    assert (await counter.api("globex/codex").get("/me")).status_code == 429


async def test_switch_500_and_html(counter: Counter) -> None:
    """A failure may come before or after the work was done; a sign-in page comes with status 200."""
    api = counter.api()
    await counter.switch("500", status=503, method="POST")
    assert (await api.get("/me")).status_code == 200
    assert (await api.post("/tickets", json={"subject": "lost"})).status_code == 503
    await counter.switch("500", late=True)
    assert (await api.post("/tickets", json={"subject": "kept"})).status_code == 500
    await counter.switch("html")
    page = await api.get("/tickets")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len((await api.get("/search", params={"q": "kept"})).json()["hits"]) == 1
    assert (await api.get("/search", params={"q": "lost"})).json()["hits"] == []


async def test_switch_slow(counter: Counter) -> None:
    """A slow answer is the right one in the end, its body read though it came before the wait."""
    await counter.switch("slow", seconds=0.01)
    assert (await counter.api().post("/tickets", json={"subject": "slow"})).status_code == 201


async def test_a_slow_call_ends_when_its_caller_hangs_up(counter: Counter) -> None:
    """Hanging up ends the wait, nothing is done, and the call is noted as aborted."""
    await counter.switch("slow", seconds=600)
    body = json.dumps({"subject": "never"}).encode()
    messages: list[dict[str, object]] = [
        {"type": "http.request", "body": body, "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    async def send(message: object) -> None:
        raise AssertionError(message)

    headers = [
        (b"host", b"127.0.0.1"),
        (b"authorization", f"Bearer {counter.tokens['acme']['codex']}".encode()),
    ]
    scope = {"type": "http", "method": "POST", "path": "/api/v1/tickets", "headers": headers}
    await counter.app(scope, receive, send)
    assert counter.desk.switches.to_dict()["calls"][-1]["status"] == "aborted"
    assert (await counter.api().get("/search", params={"q": "never"})).json()["hits"] == []


async def test_switches_are_for_the_admin_on_this_machine(counter: Counter) -> None:
    """No user flips a switch, nobody from elsewhere does; what the API saw is told to the admin."""
    assert (
        await counter.client(counter.tokens["acme"]["mara"], "http://127.0.0.1:8650").get("/_switch")
    ).status_code == 401
    admin = {"Authorization": f"Bearer {counter.admin_token}"}
    far = httpx2.ASGITransport(app=counter.app, client=("192.0.2.1", 5))
    async with httpx2.AsyncClient(transport=far, base_url="http://127.0.0.1:8650", headers=admin) as client:
        assert (await client.post("/_switch/429", json={})).status_code == 403
    assert (await counter.client(counter.admin_token).get("/tickets")).status_code == 401
    await counter.api().get("/me", headers={"Idempotency-Key": "k"})
    client = counter.client(counter.admin_token, "http://127.0.0.1:8650")
    seen = (await client.get("/_switch")).json()
    last = seen["calls"][-1]
    assert (last["path"], last["who"], last["status"], last["idempotency_key"]) == (
        "/api/v1/me",
        "acme/codex",
        200,
        "k",
    )
    assert (await client.post("/_switch/nonsense", json={})).status_code == 422
    assert (await client.delete("/_switch")).status_code == 204


async def test_webhooks_are_signed(counter: Counter) -> None:
    """An event reaches the organisation's webhooks that want it, signed, with who did it."""
    admin, receiver = counter.api("acme/mara"), Receiver()
    made = (
        await admin.post("/webhooks", json={"url": "http://127.0.0.1:1/h", "events": ["ticket.assigned"]})
    ).json()
    await admin.post("/webhooks", json={"url": "http://127.0.0.1:1/all", "secret": "s"})
    await counter.api("globex/nadia").post("/webhooks", json={"url": "http://127.0.0.1:1/globex"})
    await counter.api().patch("/tickets/HC-103", json={"assignee": "codex"}, headers={"If-Match": "*"})
    await counter.desk.outbox.deliver_due(receiver)
    got = {(url[-3:], headers["X-Desk-Event"]) for url, headers, _ in receiver.got}
    assert got == {("1/h", "ticket.assigned"), ("all", "ticket.assigned"), ("all", "ticket.updated")}
    headers, body = next((headers, body) for url, headers, body in receiver.got if url.endswith("/h"))
    mac = hmac.new(made["secret"].encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Desk-Signature"] == f"sha256={mac}"
    event = json.loads(body)
    assert (event["type"], event["delivery"]) == ("ticket.assigned", headers["X-Desk-Delivery"])
    assert (event["org"]["slug"], event["actor"]["login"], event["ticket"]["key"]) == (
        "acme",
        "codex",
        "HC-103",
    )
    assert made["secret"] not in (await admin.get("/webhooks")).text


async def test_deliveries_are_tried_again(counter: Counter) -> None:
    """A delivery is tried four times under one id, later each time; then it has failed; it can be resent."""
    admin = counter.api("acme/mara")
    id_ = (await admin.post("/webhooks", json={"url": "http://127.0.0.1:1/h"})).json()["id"]
    await admin.post(f"/webhooks/{id_}/ping")
    receiver = Receiver(statuses=[500, 0, 302, 404, 200])
    outbox = counter.desk.outbox
    assert await outbox.deliver_due(receiver) == 1
    for wait in WAITS:
        assert await outbox.deliver_due(receiver) == 0
        counter.clock.now += wait
        assert await outbox.deliver_due(receiver) == 1
    delivery = (await admin.get(f"/webhooks/{id_}/deliveries")).json()["deliveries"][0]
    assert (delivery["state"], delivery["attempts"], delivery["answer"]) == ("failed", 4, "HTTP 404")
    assert len({headers["X-Desk-Delivery"] for _, headers, _ in receiver.got}) == 1
    await admin.post(f"/webhooks/{id_}/deliveries/{delivery['id']}/redeliver")
    await outbox.deliver_due(receiver)
    assert (await admin.get(f"/webhooks/{id_}/deliveries")).json()["deliveries"][0]["state"] == "delivered"
    assert (await admin.delete(f"/webhooks/{id_}")).status_code == 204
    assert (await admin.post("/webhooks", json={"url": "file:///etc/passwd"})).status_code == 422


async def test_a_change_that_is_refused_tells_nobody(counter: Counter) -> None:
    """An event is kept together with its change: no change, no event."""
    await counter.api("acme/mara").post("/webhooks", json={"url": "http://127.0.0.1:1/h"})
    headers = {"If-Match": '"HC-103-v0"'}
    await counter.api().patch("/tickets/HC-103", json={"state": "fixed"}, headers=headers)
    receiver = Receiver()
    assert await counter.desk.outbox.deliver_due(receiver) == 0
