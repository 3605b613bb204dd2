"""Runs over REST: with an admin key for any tenant, and with a tenant's own token for itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest

from linkspan.accounts.principal import Tenant
from linkspan.app import App
from linkspan.runs import feed
from linkspan.runs.ids import approval_id
from linkspan.runs.lease import Lease
from linkspan.serving import Serving
from linkspan.store import approvals, run_events
from linkspan.store import runs as rows
from linkspan.store.approvals import Approval
from linkspan.store.runs import Run
from tests.runs.conftest import House, house, seeded
from tests.web.api.conftest import opened

__all__ = ["house", "seeded"]
NOWHERE = f"run_{'a' * 26}"


@dataclass
class Backend:
    """A product's backend: requests with an admin key, or with a token."""

    house: House
    http: httpx2.AsyncClient
    admin: str
    token: str

    async def __call__(
        self, method: str, path: str, *, key: str | None = None, **more: Any
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {key or self.token}", **more.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **more)

    async def data(self, method: str, path: str, **more: Any) -> Any:
        answer = await self(method, path, **more)
        assert answer.is_success, answer.text
        return opened(answer.json())

    async def code(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        answer = await self(method, path, **more)
        return answer.status_code, answer.json()["error"]["code"]

    async def start(self, ticket: str = "HC-103", key: str | None = None, **more: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"recipe": "mend", "entity_id": ticket, **more}
        return await self.data("POST", "/runs", headers=headers, json=body)


@pytest.fixture
async def backend(house: House) -> AsyncIterator[Backend]:
    """A backend of acme, whose recipe is on, with a token of its own and an admin key."""
    await house.enable("mend")
    made = await house.app.tokens.create(
        Tenant("acme"), subject="shop", scopes=("read", "write", "run.approve", "recipe.enable")
    )
    admin = (await house.app.admins.create("anna")).text.reveal()
    transport = httpx2.ASGITransport(Serving(house.app).asgi)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8640") as http:
        yield Backend(house, http, admin, made.text.reveal())


async def take(app: App, run: str, now: float) -> Run:
    """Let a worker take the run."""
    taken = await rows.take(app.database, "acme", run, worker="w1", now=now)
    assert taken is not None
    return taken


async def asking(backend: Backend) -> tuple[str, str]:
    """Answer a run that asks whether to publish, and the question's id."""
    run = (await backend.start())["id"]
    app, now = backend.house.app, backend.house.now[0]
    taken = await take(app, run, now)
    question = approval_id(run, "publish")
    asked = Approval("acme", question, run, "publish", "Publish?", {"files": 1}, now, now + 600)
    await approvals.ask(app.database, asked, epoch=taken.epoch)
    await rows.change(app.database, "acme", run, taken.epoch, now, state="waiting_approval", worker=None)
    return run, question


async def test_a_queue_that_is_full_says_when_to_come_back(backend: Backend) -> None:
    """429 with Retry-After and the word in tools.yaml; the same key is still the same run."""
    gateway = backend.house.app.gateway
    gateway.replace_catalog(replace(gateway.catalog, runs=replace(gateway.catalog.runs, waiting=1)))
    run = await backend.start(key="k1")
    assert (await backend.start(key="k1"))["id"] == run["id"]
    full = await backend("POST", "/runs", json={"recipe": "mend", "entity_id": "HC-104"})
    assert (full.status_code, full.headers["Retry-After"]) == (429, "60")
    assert full.json()["error"]["code"] == "rate_limited"
    assert "has 1 runs that wait for their turn" in full.json()["error"]["message"]
    assert "runs.waiting" in full.json()["error"]["message"]
    await backend.data("POST", f"/runs/{run['id']}/cancel", json={})
    assert (await backend.start("HC-104"))["state"] == "queued"


async def test_a_run_is_asked_for_once_with_a_key(backend: Backend) -> None:
    """A repetition answers the same run; the same key for something else is a conflict."""
    run = await backend.start(key="k1", person="bo")
    assert (run["state"], run["source"], run["asked_by"]["person"]) == ("queued", "api", "bo")
    assert (await backend.start(key="k1", person="bo"))["id"] == run["id"]
    other = await backend.code(
        "POST", "/runs", headers={"Idempotency-Key": "k1"}, json={"recipe": "mend", "entity_id": "HC-104"}
    )
    assert other == (409, "conflict")
    again = await backend.code("POST", "/runs", json={"recipe": "mend", "entity_id": "HC-103"})
    assert again == (409, "conflict")


async def test_a_thing_is_called_what_its_product_calls_it(backend: Backend) -> None:
    """A group of alerts by all the labels that it is grouped by: asked for, and found by it."""
    group = json.dumps({"alertname": "KubeDeploymentReplicasMismatch", "pod": "p" * 900})
    run = (await backend.start(group))["id"]
    for ask in ({"entity_id": group}, {"entity_id": group[:-1]}):
        found = await backend.data("GET", "/runs", params=ask)
        assert [each["id"] for each in found["result"]] == ([run] if ask["entity_id"] == group else [])


async def test_a_tenant_sees_its_own_runs_only(backend: Backend) -> None:
    """Whichever way it asks; an admin key names the tenant."""
    run = (await backend.start())["id"]
    app = backend.house.app
    other = (await app.tokens.create(Tenant("globex"), subject="x")).text.reveal()
    assert (await backend.data("GET", "/runs", key=other))["result"] == []
    assert await backend.code("GET", f"/runs/{run}", key=other) == (404, "not_found")
    assert await backend.code("GET", f"/runs/{run}?tenant_id=acme", key=other) == (403, "forbidden")
    for path in ("events", "approvals", "artifacts", "artifacts/diff"):
        assert await backend.code("GET", f"/runs/{run}/{path}", key=other) == (404, "not_found")
    assert await backend.code("POST", f"/runs/{run}/cancel", key=other, json={}) == (404, "not_found")
    assert await backend.code("GET", f"/runs/{run}", key=backend.admin) == (400, "invalid_argument")
    shown = await backend.data("GET", f"/runs/{run}?tenant_id=acme", key=backend.admin)
    assert shown["id"] == run


@pytest.mark.parametrize("key", ["", "lsk_tenant_aaaaaaaaaaaa_" + "b" * 43, "nonsense"])
async def test_without_a_good_key_nothing_is_told(backend: Backend, key: str) -> None:
    """Not even whether there is such a run."""
    run = (await backend.start())["id"]
    for path in (f"/runs/{run}", f"/runs/{NOWHERE}", "/usage", "/recipes"):
        assert await backend.code("GET", path, key=key or " ") == (401, "unauthenticated")


async def test_a_token_of_a_sign_in_or_of_one_account_is_not_for_this(backend: Backend) -> None:
    """They are good for one URL, or for one account's data."""
    app = backend.house.app
    account = (await app.accounts.list(Tenant("acme")))[0].id
    bound = await app.tokens.create(Tenant("acme"), subject="x", account=account)
    assert await backend.code("GET", "/runs", key=bound.text.reveal()) == (401, "unauthenticated")


async def test_runs_are_followed_by_their_changes(backend: Backend) -> None:
    """Page after page, nothing twice, nothing left out; later only what changed since."""
    now = backend.house.now
    ids = []
    for ticket in ("HC-101", "HC-102", "HC-103"):
        now[0] += 1
        ids.append((await backend.start(ticket))["id"])
    seen: list[str] = []
    path = "/runs?limit=2&updated_after=2020-01-01T00:00:00Z"
    page = await backend.data("GET", path)
    seen += [run["id"] for run in page["result"]]
    page = await backend.data("GET", f"{path}&next_cursor={page['next_cursor']}")
    seen += [run["id"] for run in page["result"]]
    assert seen == ids
    assert page["next_cursor"] is None
    last = page["result"][-1]["updated_at"]
    now[0] += 1
    await backend.data("POST", f"/runs/{ids[0]}/cancel", json={})
    changed = await backend.data("GET", "/runs", params={"updated_after": last})
    assert [(run["id"], run["state"]) for run in changed["result"]] == [(ids[0], "cancelled")]
    newest = await backend.data("GET", "/runs?limit=2&state=queued")
    assert [run["id"] for run in newest["result"]] == [ids[2], ids[1]]


async def test_what_a_run_asks_is_answered_for_a_person(backend: Backend) -> None:
    """A service names the person; what was decided stays decided."""
    run, question = await asking(backend)
    (asked,) = (await backend.data("GET", f"/runs/{run}/approvals"))["result"]
    assert (asked["id"], asked["decided"]) == (question, None)
    nobody = await backend.code("POST", f"/runs/{run}/approve", json={})
    assert nobody == (400, "invalid_argument")
    done = await backend.data("POST", f"/runs/{run}/approve", json={"person": "bo", "note": "good"})
    assert done["decided"]["by"] == {"kind": "service", "subject": "shop", "person": "bo"}
    path = f"/runs/{run}/approvals/{question}"
    assert (await backend.data("POST", f"{path}/approve", json={"person": "bo"}))["id"] == question
    assert await backend.code("POST", f"{path}/decline", json={"person": "bo"}) == (409, "conflict")


async def test_a_service_without_the_very_scope_approves_nothing(backend: Backend) -> None:
    """`write` does not imply it."""
    run, _question = await asking(backend)
    token = (await backend.house.app.tokens.create(Tenant("acme"), subject="y")).text.reveal()
    refused = await backend.code("POST", f"/runs/{run}/approve", key=token, json={"person": "bo"})
    assert refused == (403, "forbidden")


async def test_what_a_run_made_is_read_as_it_is(backend: Backend) -> None:
    """And no browser takes it for a page."""
    run = (await backend.start())["id"]
    taken = await take(backend.house.app, run, backend.house.now[0])
    await backend.house.app.kept.put("acme", run, "diff", "text/html", b"<script>", epoch=taken.epoch)
    (made,) = (await backend.data("GET", f"/runs/{run}/artifacts"))["result"]
    assert (made["name"], made["size"]) == ("diff", 8)
    answer = await backend("GET", f"/runs/{run}/artifacts/diff")
    assert answer.content == b"<script>"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert await backend.code("GET", f"/runs/{run}/artifacts/no") == (404, "not_found")


async def test_what_cannot_be_done_now_is_a_conflict(backend: Backend) -> None:
    """Steering nobody, retrying what goes on, forking what had not begun."""
    run = (await backend.start())["id"]
    assert (await backend.data("POST", f"/runs/{run}/steer", json={"text": "Be quick."}))["id"] == run
    half = {"content": b'{"text": "x \\ud800"}', "headers": {"Content-Type": "application/json"}}
    assert await backend.code("POST", f"/runs/{run}/steer", **half) == (400, "invalid_argument")
    assert await backend.code("POST", f"/runs/{run}/interrupt", json={}) == (409, "conflict")
    assert await backend.code("POST", f"/runs/{run}/retry", json={}) == (409, "conflict")
    await backend.data("POST", f"/runs/{run}/cancel", json={})
    assert await backend.code("POST", f"/runs/{run}/steer", json={"text": "Hm."}) == (409, "conflict")
    assert await backend.code("POST", f"/runs/{run}/fork", json={"text": "Go on."}) == (409, "conflict")
    retried = await backend.data("POST", f"/runs/{run}/retry", json={})
    assert retried["parent"] == {"id": run, "how": "retry"}


async def test_recipes_are_listed_turned_on_and_off(backend: Backend) -> None:
    """By a service that passes on what a person said."""
    listed = (await backend.data("GET", "/recipes"))["result"]
    assert {each["name"]: each["enabled"] for each in listed} == {
        "fix_ticket": False, "mend": True, "patch": False, "retell": False, "careful": False, "talk": False,
        "look": False,
    }  # fmt: skip
    off = await backend.data("POST", "/recipes/mend/disable", json={"person": "bo"})
    assert not off["enabled"]
    assert await backend.code("POST", "/runs", json={"recipe": "mend", "entity_id": "HC-103"}) == (
        403,
        "forbidden",
    )
    wrong = await backend("POST", "/recipes/mend/enable", json={"person": "bo", "settings": {"repo": "x/y"}})
    assert wrong.json()["error"]["details"][0]["path"] == "repo"
    on = await backend.data(
        "POST", "/recipes/mend/enable", json={"person": "bo", "settings": {"style": "Short."}}
    )
    assert {each["name"]: each["value"] for each in on["settings"]}["style"] == "Short."


async def test_usage_is_summed_up(backend: Backend) -> None:
    """By recipe and model, within a time."""
    run = (await backend.start())["id"]
    app = backend.house.app
    tokens = {"input_tokens": 10, "cached_input_tokens": 0, "output_tokens": 5, "total_tokens": 15}
    await app.run_tokens.spent(Tenant("acme"), run, "gpt-test", tokens)
    (used,) = (await backend.data("GET", "/usage"))["result"]
    assert (used["recipe"], used["model"], used["total_tokens"]) == ("mend", "gpt-test", 15)
    assert used["cost"] == pytest.approx(0.0006)
    now = backend.house.now[0]
    epoch = (await take(app, run, now)).epoch
    assert await rows.change(app.database, "acme", run, epoch, now, spent_seconds=90.0)
    policy = replace(app.catalog.runs, tenant_seconds=120.0, tenant_tokens=10, tenant_money=None)
    app.runs.starting._policy = lambda: policy
    told = await backend.data("GET", "/usage")
    assert [each["minutes"] for each in told["result"]] == [1.5]
    assert told["budget"]["minutes"] == {"used": 1.5, "limit": 2.0, "left": 0.5}
    assert told["budget"]["tokens"] == {"used": 15, "limit": 10, "left": 0}
    assert told["budget"]["money"] == {"used": pytest.approx(0.0006), "limit": None, "left": None}
    later = await backend.data("GET", "/usage", params={"created_at[gt]": "2100-01-01T00:00:00Z"})
    assert later["result"] == []


async def test_who_did_what_is_in_the_audit_log(backend: Backend) -> None:
    """With the token's own name, not the operator's."""
    run = (await backend.start())["id"]
    await backend.data("POST", f"/runs/{run}/cancel", json={})
    kept = await backend.house.app.database.query(
        "SELECT tool, principal_kind, principal_subject FROM audit WHERE via = 'api' ORDER BY time, tool"
    )
    assert {(row["tool"], row["principal_kind"], row["principal_subject"]) for row in kept} == {
        ("start_run", "service", "shop"),
        ("cancel_run", "service", "shop"),
    }


def read(text: str) -> list[tuple[str, str, Any]]:
    """Answer the events of a stream: id, name, data."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
    return found


async def test_events_are_streamed_to_the_end_and_from_where_one_was(backend: Backend) -> None:
    """Each once, in order; a stream that was lost goes on after its last event."""
    run = (await backend.start())["id"]
    app, now = backend.house.app, backend.house.now[0]
    taken = await take(app, run, now)
    accept = {"Accept": "text/event-stream"}

    async def happen() -> None:
        for number in range(3):
            await asyncio.sleep(0)
            told = [(now, "message_delta", {"item_id": "i", "text": str(number)})]
            await run_events.append(app.database, "acme", run, told, epoch=taken.epoch)
        end = [(now, "state", {"state": "failed"})]
        await run_events.append(app.database, "acme", run, end, epoch=taken.epoch)
        await rows.change(
            app.database, "acme", run, taken.epoch, now, state="failed", error_code="x", finished=now
        )

    answer, _ = await asyncio.gather(backend("GET", f"/runs/{run}/events", headers=accept), happen())
    assert answer.headers["content-type"].startswith("text/event-stream")
    streamed = read(answer.text)
    assert [name for _id, name, _data in streamed] == ["state", *["message_delta"] * 3, "state", "end"]
    assert [int(id_) for id_, name, _data in streamed if name != "end"] == [1, 2, 3, 4, 5]
    assert streamed[-1][2]["state"] == "failed"
    again = await backend("GET", f"/runs/{run}/events", headers={**accept, "Last-Event-ID": "3"})
    assert [id_ for id_, _name, _data in read(again.text)] == ["4", "5", ""]
    page = await backend.data("GET", f"/runs/{run}/events?after=3&limit=1")
    assert ([each["seq"] for each in page["result"]], page["next_after"]) == ([4], 4)
    rest = await backend.data("GET", f"/runs/{run}/events?next_cursor={page['next_cursor']}")
    assert ([each["seq"] for each in rest["result"]], rest["next_cursor"]) == ([5], None)


async def test_a_key_that_is_revoked_watches_nothing_more(backend: Backend) -> None:
    """The stream ends without what happened since, and without an end of the run."""
    run = (await backend.start())["id"]
    app, now = backend.house.app, backend.house.now
    taken = await take(app, run, now[0])
    (key,) = await app.tokens.list(Tenant("acme"))
    front = Serving(app, clock=lambda: now[0])
    backend.http = httpx2.AsyncClient(
        transport=httpx2.ASGITransport(front.asgi), base_url="http://127.0.0.1:8640"
    )

    async def happen() -> None:
        while not front.feed._watches:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
        await app.tokens.revoke(Tenant("acme"), key.id)
        now[0] += 10
        told = [(now[0], "message_delta", {"item_id": "i", "text": "secret"})]
        await run_events.append(app.database, "acme", run, told, epoch=taken.epoch)

    answer, _ = await asyncio.gather(
        backend("GET", f"/runs/{run}/events?after=1", headers={"Accept": "text/event-stream"}), happen()
    )
    assert read(answer.text) == []
    await backend.http.aclose()


async def test_a_stop_ends_streams(backend: Backend) -> None:
    """Nobody who watches keeps the process from stopping."""
    run = (await backend.start())["id"]
    front = Serving(backend.house.app)
    follower = front.feed.follow(Tenant("acme"), run)
    assert [event.kind for event in await anext(follower)] == ["state"]
    waiting = asyncio.ensure_future(anext(follower, None))
    await asyncio.sleep(0)
    front.feed.close()
    assert await asyncio.wait_for(waiting, 5) is None


async def test_who_watches_hears_of_this_process_at_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever works the run rings: nobody waits for the next look, which is for runs of other processes."""
    monkeypatch.setattr(feed, "LOOK_EVERY", 3_600.0)
    app, now = backend.house.app, backend.house.now
    run = (await backend.start())["id"]
    lease = Lease(
        app.database,
        await take(app, run, now[0]),
        clock=lambda: now[0],
        mask=lambda text: text,
        bell=app.runs.bell.of(run),
    )
    front = Serving(app)
    follower = front.feed.follow(Tenant("acme"), run)
    assert [event.kind for event in await anext(follower)] == ["state"]
    heard: list[str] = []
    async with asyncio.timeout(30):
        for number in range(3):
            await lease.tell("message_delta", {"item_id": "i", "text": str(number)})
            heard += [event.data["text"] for event in await anext(follower)]
    assert heard == ["0", "1", "2"]
    await lease.enter("failed")
    async with asyncio.timeout(30):
        assert [event.kind for event in await anext(follower)] == ["state"]
    front.feed.close()
