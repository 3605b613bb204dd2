"""Events in: what the desk delivers, proved, kept once, and made a run of."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from desk.outbox import signature
from desk.store import User
from linkspan.accounts.principal import Tenant
from linkspan.cli.main import cli
from linkspan.errors import InvalidArgument, NotFound, UpstreamTimeout
from linkspan.runs.hooks import OWN
from linkspan.serving import Serving
from linkspan.spec.events import Handshake
from linkspan.store import accounts as account_rows
from linkspan.store import deliveries as rows
from linkspan.store.accounts import Account
from linkspan.vault.secret import Secret
from linkspan.working import work_with
from tests.fakes.engine import ScriptedEngine
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import ACME, BO, House
from tests.runs.working import PATIENCE, Works, parts_of
from tests.servers.serving import serving

BASE = "http://127.0.0.1:8765"


@dataclass
class Door:
    """The desk's account of acme with its secret, and the port where deliveries come in."""

    house: House
    client: httpx2.AsyncClient
    account: Account
    secret: str

    async def post(
        self,
        body: Any,
        *,
        secret: str | None = None,
        account: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Deliver as the desk does; the answer's status and body."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Desk-Signature": signature(secret or self.secret, raw), **(headers or {})}
        path = f"/hooks/account/{account or self.account.id}"
        answer = await self.client.post(path, content=raw, headers=headers)
        return answer.status_code, answer.json()

    async def work(self) -> list[tuple[str, str | None]]:
        """Work what is due; what became of every event, the newest first."""
        await self.house.app.arrivals.work_due()
        return [(each.state, each.outcome) for each in await self.house.app.arrivals.list(ACME)]


@pytest.fixture
async def door(house: House) -> AsyncIterator[Door]:
    """A Linkspan that serves, with fix_ticket turned on."""
    await house.enable("fix_ticket")
    (account,) = await house.app.accounts.list(ACME, "desk")
    secret = await house.app.hook_secrets.of_account(ACME, account.id)
    transport = httpx2.ASGITransport(app=Serving(house.app).asgi)
    async with httpx2.AsyncClient(transport=transport, base_url=BASE) as client:
        yield Door(house, client, account, secret.reveal())


@dataclass
class DoorProxy:
    """The door on a port of its own: what is asked there is asked in the loop of the test."""

    door: Door

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand one request through."""
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        headers["host"] = "127.0.0.1:8765"
        asked = self.door.client.post(scope["path"], content=raw, headers=headers)
        done = asyncio.run_coroutine_threadsafe(asked, self.loop)
        answer = await asyncio.wrap_future(done)
        kept = [(b"content-type", answer.headers["content-type"].encode())]
        await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
        await send({"type": "http.response.body", "body": answer.content})


def person(house: House, login: str = "priya") -> User:
    """Somebody of acme's desk."""
    found: User = next(user for user in house.desk.store.users("acme") if user.login == login)
    return found


def assign(house: House, assignee: str = "codex", ticket: str = "HC-103") -> None:
    """Assign a ticket in the desk itself."""
    house.desk.store.execute(
        "update tickets set assignee = ? where org = 'acme' and key = ?", (assignee, ticket)
    )


def event(delivery: str = "dlv_1", *, by: str = "priya", ticket: str = "HC-103") -> dict[str, Any]:
    """What the desk tells of an assignment."""
    return {
        "type": "ticket.assigned",
        "delivery": delivery,
        "org": {"slug": "acme"},
        "actor": {"login": by},
        "ticket": {"key": ticket, "assignee": {"login": "codex"}},
    }


async def test_the_desks_own_webhook_ends_in_a_pull_request(door: Door) -> None:
    """Registered at the desk, signed by it, worked by a worker: nobody has pressed anything."""
    house = door.house
    sent: list[int] = []

    async def post(url: str, headers: Any, body: bytes) -> int:
        answer = await door.client.post(url, content=body, headers=dict(headers))
        sent.append(answer.status_code)
        return answer.status_code

    house.desk.store.insert(
        "webhooks",
        {
            "id": "whk_1",
            "org": "acme",
            "url": f"{BASE}/hooks/account/{door.account.id}",
            "secret": door.secret,
            "events": json.dumps(["ticket.assigned"]),
            "created": 1.0,
        },
    )
    tickets = house.desk.tickets
    priya = person(house)
    tickets.update(priya, "HC-103", {"assignee": "codex"}, "*")
    await house.desk.outbox.deliver_due(post)
    assert sent == [200]
    works = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    at_work = asyncio.create_task(
        work_with(house.app, parts_of(house.app, works), worker="wrk_hooks", polling=0.05)
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while not (found := await house.app.runs.list(BO)):
                await house.app.runs.bell.wait(0.05)
        (run,) = found
        assert (run.source, run.asker, run.entity_id) == ("webhook:desk", "webhook:desk", "HC-103")
        await works.until(run.id, "waiting_approval")
        question = await house.app.runs.open_approval(BO, run.id)
        await house.app.runs.decide(BO, run.id, question.id, "approve")
        done = await works.until(run.id)
        (arrived,) = await house.app.arrivals.list(ACME)
        assert (arrived.state, arrived.outcome) == ("done", f"fix_ticket: {run.id}.")
    finally:
        at_work.cancel()
        await asyncio.gather(at_work, return_exceptions=True)
    assert (done.state, done.error_message) == ("succeeded", None)


async def test_what_does_not_prove_itself_is_told_nothing(door: Door) -> None:
    """A wrong secret, a changed body, no signature, no secret, no such account: one and the same answer."""
    raw = json.dumps(event()).encode()
    good = signature(door.secret, raw)
    path = f"/hooks/account/{door.account.id}"
    (other,) = await door.house.app.accounts.list(Tenant("globex"), "desk")
    answers = [
        await door.client.post(where, content=content, headers={**headers, "X-Request-Id": "same"})
        for where, content, headers in [
            (path, raw, {"X-Desk-Signature": signature("wrong", raw)}),
            (path, raw, {"X-Desk-Signature": good[:-1]}),
            (path, raw + b" ", {"X-Desk-Signature": good}),
            (path, raw, {}),
            (f"/hooks/account/{other.id}", raw, {"X-Desk-Signature": good}),
            ("/hooks/account/acc_nobody", raw, {"X-Desk-Signature": good}),
            ("/hooks/desk", raw, {"X-Desk-Signature": good}),
            ("/hooks/nothing", raw, {"X-Desk-Signature": good}),
        ]
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1
    assert await rows.listed(door.house.app.database, "acme") == []


async def test_another_tenants_secret_opens_nothing(door: Door) -> None:
    """What globex signs for acme's account is refused, and what it signs for its own is its own."""
    app, globex = door.house.app, Tenant("globex")
    (other,) = await app.accounts.list(globex, "desk")
    secret = (await app.hook_secrets.of_account(globex, other.id)).reveal()
    assert (await door.post(event(), secret=secret))[0] == 401
    assert (await door.post(event(), secret=secret, account=other.id))[0] == 200
    assert await app.arrivals.list(ACME) == []
    await app.arrivals.work_due()
    ((only),) = await app.arrivals.list(globex)
    assert (only.state, only.outcome) == ("ignored", "The recipe fix_ticket is off.")


async def test_a_delivery_counts_once(door: Door) -> None:
    """Delivered again, before or after it was worked: one event, one run."""
    assign(door.house)
    assert await door.post(event()) == (200, {"accepted": 1})
    assert await door.post(event()) == (200, {"accepted": 0})
    ((state, _),) = await door.work()
    assert state == "done"
    assert await door.post(event()) == (200, {"accepted": 0})
    assert len(await door.work()) == 1
    assert len(await door.house.app.runs.list(BO)) == 1


async def test_a_ticket_that_is_worked_already_is_left_alone(door: Door) -> None:
    """A second assignment meanwhile says which run works on it, and starts none."""
    assign(door.house)
    await door.post(event())
    await door.work()
    door.house.now[0] += 1
    await door.post(event("dlv_2"))
    (state, outcome), _ = await door.work()
    (run,) = await door.house.app.runs.list(BO)
    assert state == "ignored"
    assert outcome is not None
    assert outcome.startswith(f"fix_ticket: {run.id} works on ticket HC-103 already")


async def test_a_payload_is_only_a_hint(door: Door) -> None:
    """What was delivered says codex, and the ticket itself somebody else: nothing is started."""
    assign(door.house, "priya")
    await door.post(event())
    assert await door.work() == [("ignored", "fix_ticket: `when` is not so.")]
    await door.post(event("dlv_2", ticket="HC-999"))
    assert [state for state, _ in await door.work()].count("failed") == 1
    assert await door.house.app.runs.list(BO) == []


async def test_what_we_did_ourselves_starts_nothing(door: Door) -> None:
    """The account's own doings come back as events, and end there."""
    assign(door.house)
    assert door.account.identity_id == "acme/codex"
    await door.post(event(by="codex"))
    assert await door.work() == [("ignored", OWN)]


async def test_what_another_account_of_ours_did_starts_nothing_and_what_a_person_did_does(
    door: Door, seeded: tuple[Path, dict[str, Any]]
) -> None:
    """Whichever account is told; a person who linked an account of their own still writes by hand."""
    app, tokens = door.house.app, seeded[1]["tokens"]["acme"]
    desk = app.catalog.connectors["desk"]
    for name, subject in (("mara", None), ("priya", "priya")):
        await app.accounts.link(
            ACME,
            desk,
            settings=dict(door.account.settings),
            secrets={"token": tokens[name]},
            subject=subject,
            verify=app.verifier,
        )
    elsewhere = replace(
        door.account, id="acc_elsewhere", origins=("https://other.example",), identity_id="acme/lena"
    )
    assert await account_rows.insert(app.database, elsewhere)
    assign(door.house)
    for number, name in enumerate(("codex", "mara", "priya", "lena")):
        door.house.now[0] += 1
        await door.post(event(f"dlv_{number}", by=name))
    lenas, priyas, maras, codexs = await app.arrivals.list(ACME)
    assert [each.outcome for each in (codexs, maras)] == [OWN, OWN]
    assert [each.state for each in (priyas, lenas)] == ["pending", "pending"]


async def test_a_worker_that_dies_loses_and_doubles_nothing(door: Door) -> None:
    """Taken by one that is gone: the next one works it when the lease is over, and a run is there once."""
    assign(door.house)
    await door.post(event())
    app, now = door.house.app, door.house.now
    (taken,) = await rows.claim(app.database, now=now[0], lease=120.0, limit=10)
    assert (await door.work())[0][0] == "pending"
    now[0] += 121
    ((state, outcome),) = await door.work()
    assert state == "done"
    assert not await rows.settle(app.database, taken, "failed", "late", now=now[0])
    await app.arrivals.replay(ACME, taken.id)
    assert await door.work() == [("done", outcome)]
    assert len(await app.runs.list(BO)) == 1


async def test_a_product_that_does_not_answer_is_asked_again(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event waits, says why, and is worked when the product is there."""
    assign(door.house)
    await door.post(event())

    async def slow(*_: Any, **__: Any) -> Any:
        raise UpstreamTimeout("Desk did not answer in time")

    with monkeypatch.context() as patch:
        patch.setattr(door.house.transport, "exchange", slow)
        ((state, outcome),) = await door.work()
    assert (state, outcome) == ("pending", "Desk did not answer in time")
    door.house.now[0] += 11
    assert (await door.work())[0][0] == "done"


async def test_a_handshake_and_what_nobody_waits_for(door: Door) -> None:
    """A ping is answered from itself; other events, and no JSON, leave nothing."""
    assert await door.post({"type": "ping", "delivery": "dlv_9"}) == (200, {"pong": "dlv_9"})
    assert await door.post({"type": "ticket.updated"}) == (200, {"accepted": 0})
    assert (await door.post(b"not JSON"))[0] == 400
    assert (await door.post(b" " * (2 * 2**20 + 1)))[0] == 413
    assert await door.work() == []


async def test_a_product_that_proves_nothing_yet_is_answered_a_word(door: Door) -> None:
    """By GET or POST, where the connector says so; nothing that a page would read, and nothing else opens."""
    app, url = door.house.app, f"/hooks/account/{door.account.id}"
    assert (await door.client.get(f"{url}?challenge=abc")).status_code == 401
    connector = app.catalog.connectors["desk"]
    assert connector.webhooks is not None
    shaken = Handshake(
        lambda root: bool(root["query"].get("challenge")), lambda root: root["query"]["challenge"], None, True
    )
    hooks = replace(connector.webhooks, handshake=shaken)
    changed = {**app.catalog.connectors, "desk": replace(connector, webhooks=hooks)}
    app.gateway.replace_catalog(replace(app.catalog, connectors=changed))
    for answer in (
        await door.client.get(f"{url}?challenge=abc-1.2"),
        await door.client.post(f"{url}?challenge=abc-1.2"),
    ):
        assert (answer.status_code, answer.text) == (200, "abc-1.2")
        assert answer.headers["content-type"].startswith("text/plain")
    for wrong in ("<b>", "a" * 501, ""):
        refused = await door.client.get(url, params={"challenge": wrong})
        assert refused.status_code == 401
    assert (await door.client.get("/hooks/account/acc_nobody?challenge=abc")).status_code == 401
    raw = json.dumps(event()).encode()
    assert (await door.client.post(url, content=raw)).status_code == 401
    assert await app.arrivals.list(ACME) == []


async def test_an_address_for_all_accounts_finds_whose_it_is(door: Door) -> None:
    """By what the delivery says of itself, behind one secret; who is not linked is not told apart."""
    app = door.house.app
    connector = app.catalog.connectors["desk"]
    assert connector.webhooks is not None

    def meant(delivery: Any) -> Any:
        return f"{delivery['body']['org']['slug']}/codex"

    hooks = replace(connector.webhooks, scope="app", account=meant)
    changed = {**app.catalog.connectors, "desk": replace(connector, webhooks=hooks)}
    app.gateway.replace_catalog(replace(app.catalog, connectors=changed))
    secret = (await app.hook_secrets.of_connector("desk")).reveal()
    assign(door.house)

    async def post(body: Any, key: str = secret) -> Any:
        raw = json.dumps(body).encode()
        headers = {"X-Desk-Signature": "sha256=" + hmac.digest(key.encode(), raw, "sha256").hex()}
        return await door.client.post("/hooks/desk", content=raw, headers=headers)

    assert (await post(event())).json() == {"accepted": 1}
    assert (await post({**event(), "org": {"slug": "nobody"}})).json() == {"accepted": 0}
    assert (await post(event(), door.secret)).status_code == 401
    assert (await door.post(event()))[0] == 401
    assert (await door.work())[0][0] == "done"


async def test_a_secret_is_an_accounts_and_goes_with_it(door: Door) -> None:
    """A new one replaces the old one, one that the product gave is kept, and none is kept of nobody."""
    app = door.house.app
    await app.hook_secrets.of_account(ACME, door.account.id, Secret("given-by-the-desk"))
    assert (await door.post(event()))[0] == 401
    assert (await door.post(event(), secret="given-by-the-desk"))[0] == 200
    with pytest.raises(NotFound):
        await app.hook_secrets.of_account(Tenant("globex"), door.account.id)
    with pytest.raises(InvalidArgument, match="16 to 1000"):
        await app.hook_secrets.of_account(ACME, door.account.id, Secret("short"))
    await app.accounts.unlink(ACME, door.account.id)
    assert await rows.secret(app.database, door.account.id) is None
    assert (await door.post(event(), secret="given-by-the-desk"))[0] == 401


async def test_a_sample_tells_what_would_be(door: Door, tmp_path: Path) -> None:
    """Signed and delivered to our own address over HTTP; nothing is noted, and no run starts."""
    sample = tmp_path / "sample.json"
    sample.write_text(json.dumps(event()))
    home = ["--home", str(tmp_path / "home"), "--config", "tools.yaml", "hooks", "test", door.account.id]
    with serving(DoorProxy(door)) as url:

        async def told(*words: str) -> str:
            given = [*home, "--tenant", "acme", "--url", url, *words]
            result = await asyncio.to_thread(CliRunner().invoke, cli, given)
            return str(result.output)

        assert "It proved itself." in await told()
        assert "No recipe waits for what it tells." in await told()
        first = json.loads(await told("--body", str(sample), "--json"))
        assert first["status"] == 200
        (would,) = first["told"]
        assert (would["event"], would["id"], would["recipe"]) == ("ticket.assigned", "HC-103", "fix_ticket")
        assert would["ignored"] is None
        sample.write_text(json.dumps(event(by="codex")))
        assert OWN in await told("--body", str(sample))
    assert "does not answer" in await told()
    assert await door.house.app.arrivals.list(ACME) == []
    assert await door.house.app.runs.list(BO) == []


async def test_what_would_come_of_an_event_is_foreseen(door: Door) -> None:
    """By the thing itself: on or off, `when`, and whether a run is there already."""
    app, account = door.house.app, door.account.id
    told = {
        "event": "ticket.assigned",
        "id": "HC-103",
        "recipe": "fix_ticket",
        "does": "start",
        "ignored": None,
    }
    assert await app.arrivals.foresee(ACME, account, told) == "fix_ticket: `when` is not so"
    assign(door.house)
    assert await app.arrivals.foresee(ACME, account, told) == "would start fix_ticket on it"
    await door.post(event())
    await door.work()
    (run,) = await app.runs.list(BO)
    assert await app.arrivals.foresee(ACME, account, told) == f"ignored: {run.id} works on it already"
    stops = {**told, "does": "stop"}
    assert await app.arrivals.foresee(ACME, account, stops) == f"would end {run.id}"
    await app.recipes.disable(BO, "fix_ticket")
    off = "ignored: the recipe fix_ticket is off for tenant acme"
    assert await app.arrivals.foresee(ACME, account, told) == off


async def test_the_commands_show_what_came_in(door: Door, tmp_path: Path) -> None:
    """The secret is shown once, and an event is listed, shown and worked again."""
    await door.post(event())
    ((arrived),) = await door.house.app.arrivals.list(ACME)
    home = ["--home", str(tmp_path / "home"), "--config", "tools.yaml"]

    async def told(*words: str) -> str:
        result = await asyncio.to_thread(CliRunner().invoke, cli, [*home, "hooks", *words])
        assert result.exit_code == 0, result.output
        return str(result.output)

    listed = await told("list", "--tenant", "acme")
    assert arrived.id in listed
    assert "ticket.assigned" in listed
    assert "entity_id: HC-103" in await told("show", arrived.id, "--tenant", "acme")
    assert "will be worked again" in await told("replay", arrived.id, "--tenant", "acme")
    made = json.loads(await told("secret", door.account.id, "--tenant", "acme", "--json"))
    assert made["url"].endswith(f"/hooks/account/{door.account.id}")
    assert (await door.post(event("dlv_2"), secret=made["secret"]))[0] == 200
    assert made["secret"] not in await told("show", arrived.id, "--tenant", "acme", "--json")
