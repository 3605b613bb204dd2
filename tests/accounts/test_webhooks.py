"""Webhooks, and the signature of what they are told."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.accounts.webhooks import URL_PATTERN, Webhooks
from linkspan.errors import InvalidArgument, NotFound
from linkspan.net.urls import origin_of
from linkspan.store.database import Database
from linkspan.vault.seal import SealBroken, Vault
from tests.accounts.conftest import ACME, BOLT, Clock
from tests.fakes.receiver import NotGenuine, verify
from tests.store.engines import Engine

URL = "https://hooks.example/linkspan?for=acme"


@pytest.fixture
def webhooks(db: Database, vault: Vault, clock: Clock) -> Webhooks:
    """The webhooks of this process."""
    return Webhooks(db, vault, clock=clock, random=os.urandom)


async def test_a_receiver_can_tell_that_it_is_us(webhooks: Webhooks, clock: Clock) -> None:
    """By an implementation of Standard Webhooks that shares nothing with ours."""
    made = await webhooks.add(URL)
    body = b'{"event":"test"}'
    headers = await webhooks.sign(made.webhook, "dlv_1", int(clock.now), body)
    secret = made.secret.reveal()
    assert set(headers) == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert verify(secret, headers, body, now=clock.now) == {"event": "test"}
    for spoilt in (
        {**headers, "webhook-id": "dlv_2"},
        {**headers, "webhook-timestamp": str(int(clock.now) + 1)},
        {**headers, "webhook-signature": "v1,AAAA"},
    ):
        with pytest.raises(NotGenuine):
            verify(secret, spoilt, body, now=clock.now)
    with pytest.raises(NotGenuine):
        verify(secret, headers, body + b" ", now=clock.now)
    with pytest.raises(NotGenuine):
        verify(secret, headers, body, now=clock.now + 301)


async def test_the_signature_is_that_of_the_specification(webhooks: Webhooks) -> None:
    """The example that the Standard Webhooks libraries are tested with."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    body = b'{"test": 2432232314}'
    assert verify(secret, headers, body, now=1614265330.0) == {"test": 2432232314}


async def test_trutos_header_is_an_option(webhooks: Webhooks) -> None:
    """For whoever has a receiver for Truto: the HMAC of the raw body, its key the secret as text."""
    import hashlib
    import hmac

    made = await webhooks.add(URL, truto_signature=True)
    told = (await webhooks.sign(made.webhook, "dlv_1", 1, b"body"))["X-Truto-Signature"]
    expected = hmac.new(made.secret.reveal().encode(), b"body", hashlib.sha256).hexdigest()
    assert told == f"format=sha256,v={expected}"


async def test_the_secret_is_shown_once_and_only_sealed_in_the_store(
    webhooks: Webhooks, db: Database, engine: Engine
) -> None:
    """Nothing that is asked later holds it, nor does the database."""
    made = await webhooks.add(URL)
    secret = made.secret.reveal()
    assert len(secret) == len("whsec_") + 44
    assert secret not in repr(await webhooks.require(made.webhook.id))
    assert secret not in repr(made)
    stored = await engine.stored(db)
    assert secret.encode() not in stored
    assert secret.removeprefix("whsec_").encode() not in stored


async def test_a_secret_that_was_moved_to_another_webhook_does_not_open(
    webhooks: Webhooks, db: Database
) -> None:
    """Nor does it open as another tenant's."""
    one = (await webhooks.add(URL, tenant=ACME)).webhook
    two = (await webhooks.add(URL, tenant=BOLT)).webhook
    await db.execute(
        "UPDATE webhooks SET sealed = :sealed WHERE id = :id", {"id": two.id, "sealed": one.sealed}
    )
    with pytest.raises(SealBroken):
        await webhooks.sign(await webhooks.require(two.id), "dlv_1", 1, b"")
    await db.execute("UPDATE webhooks SET tenant = 'bolt' WHERE id = :id", {"id": one.id})
    with pytest.raises(SealBroken):
        await webhooks.sign(await webhooks.require(one.id), "dlv_1", 1, b"")


async def test_every_fault_is_named(webhooks: Webhooks) -> None:
    """The URL and each event."""
    with pytest.raises(InvalidArgument, match=r"target_url.*events") as told:
        await webhooks.add("ftp://x", events=["integrated_account:nothing", "x"])
    assert [fault["path"] for fault in told.value.details or ()] == ["target_url", "events", "events"]  # type: ignore[index]
    assert "integrated_account:active" in told.value.for_model()
    with pytest.raises(NotFound, match="no tenant 'nobody'"):
        await webhooks.add(URL, tenant="nobody")


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example", "//hooks.example", "ftp://hooks.example", "https://", "https://anna@hooks.example",
        "https://a:b@hooks.example", "https://hooks.example/#x", "https://hooks.example/a b",
        "https://hooks.example/ü", "https://hooks.example:0", "https://hooks.example:65536",
        "https://hooks.example/\n", "https://hooks.example\\@evil.example", "https://x/" + "a" * 2000,
        "http://[0.B40F:4F000]", "https://[::1]/",
    ],
)  # fmt: skip
async def test_a_url_that_cannot_be_called_is_refused(url: str, webhooks: Webhooks) -> None:
    """Before it is stored."""
    with pytest.raises(InvalidArgument, match="target_url"):
        await webhooks.add(url)


@given(st.from_regex(URL_PATTERN, fullmatch=True))
def test_every_url_that_is_taken_has_an_origin(url: str) -> None:
    """What the published pattern allows can be called."""
    assert origin_of(url).startswith(("http://", "https://"))


async def test_a_change_changes_what_is_given(webhooks: Webhooks, clock: Clock) -> None:
    """And nothing else."""
    made = (await webhooks.add(URL, events=["integrated_account:active"])).webhook
    clock.now += 5
    changed = await webhooks.change(made.id, active=False)
    assert (changed.url, changed.events, changed.active) == (URL, made.events, False)
    assert changed.updated == made.updated + 5
    assert await webhooks.require(made.id) == changed
    assert (await webhooks.change(made.id, events=[])).events == ()
    with pytest.raises(InvalidArgument):
        await webhooks.change(made.id, url="nowhere")
    for act in (webhooks.change, webhooks.remove, webhooks.require):
        with pytest.raises(NotFound, match="no webhook 'wh_x'"):
            await act("wh_x")
