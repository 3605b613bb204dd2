"""Delivery to a receiver on a loopback port."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from starlette.responses import Response

from linkspan.accounts.outbox import KEPT, LEASE, WAITS, Outbox
from linkspan.accounts.webhooks import NewWebhook, Webhooks
from linkspan.errors import Conflict, NotFound
from linkspan.net.client import Client
from linkspan.net.egress import EgressGuard
from linkspan.net.transport import AiohttpTransport
from linkspan.settings import parse_egress
from linkspan.store import accounts
from linkspan.store import webhooks as webhook_rows
from linkspan.store.database import Database
from linkspan.store.outbox import Delivery
from linkspan.vault.seal import Vault
from tests.accounts.conftest import ACME, BOLT, Clock
from tests.fakes.receiver import Receiver, verify
from tests.servers.serving import serving
from tests.store.engines import Engine
from tests.store.processes import SOURCE
from tests.store.rows import account

CREATED = "integrated_account:created"
DAY = 86_400.0


@dataclass
class Post:
    """An outbox, and a receiver that hears of all tenants when an account is linked."""

    db: Database
    outbox: Outbox
    webhooks: Webhooks
    receiver: Receiver
    url: str
    clock: Clock
    made: NewWebhook

    async def link(self, tenant: str = ACME, **changes: object) -> None:
        """Link an account."""
        now = self.clock.now
        await accounts.insert(self.db, account(tenant, created=now, updated=now, **changes))

    async def only(self) -> Delivery:
        """Answer the one delivery there is."""
        (found,) = await self.outbox.list()
        return found


@pytest.fixture
def receiver() -> Receiver:
    """Takes what comes."""
    return Receiver()


@pytest.fixture
def url(receiver: Receiver) -> Iterator[str]:
    """Where it listens."""
    with serving(receiver) as base:
        yield f"{base}/hook?for=us"


@pytest.fixture
async def client(clock: Clock) -> AsyncIterator[Client]:
    """The real transport, which may go to loopback."""
    made = Client(AiohttpTransport(EgressGuard(parse_egress("127.0.0.0/8"))), clock=clock)
    yield made
    await made.aclose()


@pytest.fixture
async def post(
    db: Database, vault: Vault, clock: Clock, client: Client, receiver: Receiver, url: str
) -> Post:
    """All of it."""
    webhooks = Webhooks(db, vault, clock=clock, random=os.urandom)
    made = await webhooks.add(url, events=[CREATED])
    outbox = Outbox(db, webhooks, client, clock=clock, random=os.urandom)
    return Post(db, outbox, webhooks, receiver, url, clock, made)


async def test_a_change_reaches_its_receiver_signed(post: Post) -> None:
    """Once, with Truto's keys, a signature that somebody else verifies, and no secret."""
    await post.link(sealed=b"sealed-already")
    assert await post.outbox.deliver_due() == 1
    assert await post.outbox.deliver_due() == 0
    ((headers, body),) = post.receiver.messages
    told = verify(post.made.secret.reveal(), headers, body, now=post.clock.now)
    delivery = await post.only()
    assert set(told) == {"id", "event", "payload", "webhook_id", "created_at"}
    assert told["id"] == headers["webhook-id"] == delivery.public_id
    assert (told["event"], told["webhook_id"]) == (CREATED, post.made.webhook.id)
    assert told["payload"]["id"] == "acc_1"
    assert told["payload"]["tenant_id"] == "acme"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"].startswith("linkspan/")
    assert "x-truto-signature" not in headers
    assert b"sealed" not in body
    assert (delivery.state, delivery.last_status) == ("delivered", 204)


async def test_trutos_header_comes_where_it_was_asked_for(post: Post) -> None:
    """Beside the others."""
    await post.webhooks.change(post.made.webhook.id, truto_signature=True)
    await post.link()
    await post.outbox.deliver_due()
    ((headers, _body),) = post.receiver.messages
    assert headers["x-truto-signature"].startswith("format=sha256,v=")
    assert "webhook-signature" in headers


async def test_it_is_tried_again_for_a_day_and_then_given_up(post: Post) -> None:
    """Later and later, always the same id and body, each attempt with its own time; then a dead letter."""
    await post.link()
    began = post.clock.now
    post.receiver.answers = [500] * 20
    while (await post.only()).state == "pending":
        assert await post.outbox.deliver_due() == 1
        waiting = await post.only()
        if waiting.state == "pending":
            post.clock.now = waiting.due - 1
            assert await post.outbox.deliver_due() == 0, "nothing is sent before its time"
            post.clock.now = waiting.due
    assert len(post.receiver.messages) == len(WAITS) + 1
    assert len(set(post.receiver.ids)) == len({body for _headers, body in post.receiver.messages}) == 1
    assert len({headers["webhook-timestamp"] for headers, _body in post.receiver.messages}) == len(WAITS) + 1
    assert 0.8 * DAY < post.clock.now - began < 1.2 * DAY
    dead = await post.only()
    assert (dead.state, dead.last_status, dead.last_error) == ("dead", 500, "the receiver answered 500")
    post.clock.now += DAY
    assert await post.outbox.deliver_due() == 0


async def test_a_dead_letter_can_be_replayed(post: Post) -> None:
    """Under its own id, with all its attempts before it again."""
    await post.link()
    post.receiver.answers = [500] * (len(WAITS) + 2)
    while (found := await post.only()).state == "pending":
        post.clock.now = found.due
        await post.outbox.deliver_due()
    again = await post.outbox.replay(found.public_id)
    assert again.state == "pending"
    await post.outbox.deliver_due()
    assert (await post.only()).state == "pending", "one more failure does not end it"
    post.clock.now = (await post.only()).due
    await post.outbox.deliver_due()
    assert (await post.only()).state == "delivered"
    assert set(post.receiver.ids) == {found.public_id}


async def test_what_was_delivered_can_be_replayed_too(post: Post) -> None:
    """The receiver knows by the id that it has it."""
    await post.link()
    await post.outbox.deliver_due()
    await post.outbox.replay((await post.only()).public_id)
    await post.outbox.deliver_due()
    assert len(post.receiver.ids) == 2
    assert len(set(post.receiver.ids)) == 1
    with pytest.raises(NotFound, match="no delivery 'dlv_1'"):
        await post.outbox.replay("dlv_1")


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (Response(status_code=429, headers={"Retry-After": "120"}), 120.0),
        (Response(status_code=503, headers={"Retry-After": "120"}), 120.0),
        (Response(status_code=503, headers={"Retry-After": "9999999"}), 6 * 3600.0),
        (Response(status_code=302, headers={"Location": "/elsewhere"}), 4.5),
        (Response(status_code=404), 4.5),
    ],
)
async def test_a_receiver_is_heeded_but_not_followed(answer: Response, wait: float, post: Post) -> None:
    """Its Retry-After counts, within reason; a redirect is a failure."""
    await post.link()
    post.receiver.answers = [answer]
    await post.outbox.deliver_due()
    waiting = await post.only()
    assert waiting.due - post.clock.now >= wait
    assert waiting.due - post.clock.now <= max(wait, 5.5)
    assert waiting.last_status == answer.status_code
    assert len(post.receiver.messages) == 1


async def test_nobody_listening_is_tried_again(post: Post) -> None:
    """A refused connection is a failure like another."""
    await post.webhooks.change(post.made.webhook.id, url="http://127.0.0.1:1/")
    await post.link()
    await post.outbox.deliver_due()
    waiting = await post.only()
    assert (waiting.state, waiting.last_status) == ("pending", None)
    assert waiting.last_error


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest", "http://10.0.0.1/", "http://0xa9fea9fe/", "http://8.8.8.8/"]
)
async def test_a_webhook_reaches_nothing_that_is_not_meant_for_it(target: str, post: Post) -> None:
    """The egress guard stands before it as before every connection."""
    await post.webhooks.change(post.made.webhook.id, url=target)
    await post.link()
    await post.outbox.deliver_due()
    refused = await post.only()
    assert (refused.last_status, refused.state) == (None, "pending")
    assert "not allowed" in (refused.last_error or "")


async def test_two_replicas_send_each_delivery_once(post: Post, other_db: Database, client: Client) -> None:
    """Both ask at the same moment."""
    other = Outbox(other_db, post.webhooks, client, clock=post.clock, random=os.urandom)
    for number in range(20):
        await post.link(id=f"acc_{number}")
    await asyncio.gather(post.outbox.deliver_due(), other.deliver_due())
    assert len(post.receiver.ids) == len(set(post.receiver.ids)) == 20
    assert {row.state for row in await post.outbox.list()} == {"delivered"}


async def test_who_dies_while_sending_is_followed_by_another(post: Post, engine: Engine) -> None:
    """A process is killed between the receiver's taking and its own note: sent again under the same id."""
    await post.link(id="acc_1")
    post.receiver.go_on = threading.Event()
    code = f"""
import asyncio, os, sys
from pathlib import Path
from linkspan.accounts.outbox import Outbox
from linkspan.accounts.webhooks import Webhooks
from linkspan.net.client import Client
from linkspan.net.egress import EgressGuard
from linkspan.net.transport import AiohttpTransport
from linkspan.settings import parse_egress
from linkspan.store.engines import open_database
from linkspan.vault.keys import Key, Keys
from linkspan.vault.seal import Vault

async def main():
    place = sys.argv[1]
    db = open_database(place if "://" in place else Path(place))
    clock = lambda: {post.clock.now!r}
    webhooks = Webhooks(db, Vault(Keys((Key(bytes(32)),), "test")), clock=clock, random=os.urandom)
    client = Client(AiohttpTransport(EgressGuard(parse_egress("127.0.0.0/8"))), clock=clock)
    await Outbox(db, webhooks, client, clock=clock, random=os.urandom).deliver_due()

asyncio.run(main())
"""
    process = _python(code, str(engine.place))
    try:
        assert await asyncio.to_thread(post.receiver.arrived.wait, 20)
    finally:
        process.kill()
        process.wait()
        post.receiver.go_on.set()
    taken = await post.only()
    assert (taken.state, taken.attempts) == ("pending", 1)
    assert await post.outbox.deliver_due() == 0, "it is still leased"
    post.clock.now += LEASE
    assert await post.outbox.deliver_due() == 1
    assert (await post.only()).state == "delivered"
    assert post.receiver.ids == [taken.public_id] * 2


def _python(code: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *words], env={"PYTHONPATH": str(SOURCE)})


async def test_a_stopped_server_gives_back_what_it_was_sending(post: Post) -> None:
    """`run` delivers by itself; when it is cancelled, the next one sends at once what it could not end."""
    running = asyncio.create_task(post.outbox.run())
    await post.link()
    assert await asyncio.to_thread(post.receiver.arrived.wait, 10)
    post.receiver.arrived.clear()
    post.receiver.go_on = threading.Event()
    await post.link(id="acc_2")
    assert await asyncio.to_thread(post.receiver.arrived.wait, 10)
    running.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - began < 10
    post.receiver.go_on.set()
    post.receiver.go_on = None
    assert await post.outbox.deliver_due() == 1
    assert {row.state for row in await post.outbox.list()} == {"delivered"}
    assert len(set(post.receiver.ids)) == 2


async def test_each_webhook_hears_of_its_tenant_only(post: Post) -> None:
    """What happens at one tenant never goes to another's receiver."""
    await post.webhooks.remove(post.made.webhook.id)
    of_acme = await post.webhooks.add(post.url, tenant=ACME)
    await post.link(BOLT, id="acc_bolt")
    await post.link(ACME, id="acc_acme")
    await post.outbox.deliver_due()
    told = [json.loads(body) for _headers, body in post.receiver.messages]
    assert {(each["payload"]["tenant_id"], each["webhook_id"]) for each in told} == {
        ("acme", of_acme.webhook.id)
    }


async def test_a_webhook_that_is_switched_off_is_told_nothing(post: Post) -> None:
    """What waited is a dead letter at once, and can be replayed when it is on again."""
    await post.link()
    await post.webhooks.change(post.made.webhook.id, active=False)
    await post.outbox.deliver_due()
    dead = await post.only()
    assert (dead.state, dead.last_error) == ("dead", "the webhook is switched off")
    assert post.receiver.messages == []
    with pytest.raises(Conflict, match="switched off"):
        await post.outbox.replay(dead.public_id)
    await post.webhooks.change(post.made.webhook.id, active=True)
    await post.outbox.replay(dead.public_id)
    await post.outbox.deliver_due()
    assert post.receiver.ids == [dead.public_id]


async def test_a_webhook_that_was_removed_is_told_nothing(post: Post) -> None:
    """Also when that happened while its delivery was taken."""
    await post.link()
    await post.db.execute("DELETE FROM webhooks")
    await post.outbox.deliver_due()
    assert post.receiver.messages == []
    assert await webhook_rows.find(post.db, post.made.webhook.id) is None


async def test_a_secret_that_does_not_open_sends_nothing(post: Post) -> None:
    """An unsigned delivery would be worth nothing; it waits for the key to come back."""
    await post.link()
    await post.db.execute("UPDATE webhooks SET sealed = :sealed", {"sealed": bytes(64)})
    await post.outbox.deliver_due()
    assert post.receiver.messages == []
    assert (await post.only()).state == "pending"


async def test_a_test_is_sent_now_and_kept_nowhere(post: Post) -> None:
    """Signed like everything else; the answer says how it went."""
    attempt = await post.outbox.test(post.made.webhook.id)
    assert (attempt.is_taken, attempt.status) == (True, 204)
    ((headers, body),) = post.receiver.messages
    assert verify(post.made.secret.reveal(), headers, body, now=post.clock.now)["event"] == "test"
    assert await post.outbox.list() == []
    post.receiver.answers = [500]
    failed = await post.outbox.test(post.made.webhook.id)
    assert (failed.is_taken, failed.status, failed.error) == (False, 500, "the receiver answered 500")


async def test_old_deliveries_are_forgotten(post: Post) -> None:
    """A month after they were delivered."""
    await post.link()
    await post.outbox.deliver_due()
    post.clock.now += KEPT + 1
    await post.outbox.deliver_due()
    assert await post.outbox.list() == []


async def test_a_full_database_is_told_and_survived(
    post: Post, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is sent that cannot be noted; when there is space again, it goes on."""
    await post.link()
    await engine.make_read_only(post.db)
    assert await post.outbox.deliver_due() == 0
    assert "webhooks wait to be delivered" in caplog.text
    assert post.receiver.messages == []
