"""Delivers what the outbox holds: at least once, under one id, until the receiver takes it or a day is over.

A delivery is taken with a lease that is longer than an attempt can last. Between the receiver's answer and
the note of it, this process may die; then it is sent again under the same `webhook-id`, by which a receiver
knows that it has it. What no attempt got through is a dead letter: it is kept, shown, and can be replayed.
Order is not promised: `created_at` and the account's state are in the body.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from linkspan import __version__
from linkspan.accounts.webhooks import Webhooks
from linkspan.errors import Conflict, LinkspanError, NotFound, RateLimited
from linkspan.net.client import Client
from linkspan.net.limits import retry_after
from linkspan.net.messages import Request, Response
from linkspan.net.urls import origin_of
from linkspan.store import outbox as rows
from linkspan.store import webhooks as webhook_rows
from linkspan.store.database import Database, StoreFault
from linkspan.store.outbox import Delivery, DeliveryState, iso
from linkspan.store.webhooks import Webhook
from linkspan.telemetry import SILENT, Meters
from linkspan.telemetry.meters import Use
from linkspan.vault.keys import Random

log = logging.getLogger("linkspan.webhooks")
WAITS: Final = (5.0, 60.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 28_800.0, 28_800.0)
"""Seconds after each attempt that failed until the next one: nine attempts within a day."""
LEASE: Final = 60.0
TIMEOUT: Final = 15.0
"""Seconds that a receiver gets to answer; much less than the lease."""
KEPT: Final = 30 * 86_400.0
"""Seconds that a delivery can be seen and replayed after it was delivered or given up."""
AT_ONCE: Final = 16
GRACE: Final = 3.0
"""Seconds that requests under way get to end when the process is stopped."""
INTERVAL: Final = 1.0
"""Seconds between two looks at the outbox."""
_LONGEST_WAIT: Final = 6 * 3_600.0
"""The most that a receiver's Retry-After is heeded."""
_SWEEP_EVERY: Final = 3_600.0
_LONGEST_ERROR: Final = 200


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one request to a receiver went. `status` is None when there was no answer."""

    status: int | None
    error: str | None
    retry_after: float | None = None
    is_final: bool = False
    """Whether trying again by itself would be of no use."""

    @property
    def is_taken(self) -> bool:
        """Whether the receiver said that it has it: any 2xx."""
        return self.error is None


class Outbox:
    """Sends deliveries, shows them, and starts them anew."""

    def __init__(
        self,
        db: Database,
        webhooks: Webhooks,
        client: Client,
        *,
        clock: Callable[[], float],
        random: Random,
        meters: Meters = SILENT.meters,
    ) -> None:
        self._meters = meters
        self._db = db
        self._webhooks = webhooks
        self._client = client
        self._clock = clock
        self._random = random
        self._sending: set[asyncio.Task[None]] = set()
        self._swept = 0.0
        self._is_failing = False

    async def run(self, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Deliver until cancelled; what is not sent to its end then is given back, for whoever runs next."""
        try:
            while True:
                await self._turn()
                if self._sending:
                    await asyncio.wait(self._sending, timeout=INTERVAL, return_when=asyncio.FIRST_COMPLETED)
                else:
                    await sleep(INTERVAL)
        finally:
            sending = set(self._sending)
            if sending:
                _, sending = await asyncio.wait(sending, timeout=GRACE)
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)

    async def deliver_due(self) -> int:
        """Send everything that is due now, once; answer how many that were."""
        begun = await self._turn(at_once=1_000)
        await asyncio.gather(*begun)
        return len(begun)

    async def test(self, webhook: str) -> Attempt:
        """Send one event `test` right now, kept nowhere, and answer how it went. Raises `NotFound`."""
        found = await self._webhooks.require(webhook)
        now = self._clock()
        message = f"dlv_test_{self._random(8).hex()}"
        payload = {"message": "A test of this webhook."}
        return await self._attempt(found, message, _body(message, "test", payload, found.id, now))

    async def list(
        self,
        *,
        tenant: str | None = None,
        webhook: str | None = None,
        state: DeliveryState | None = None,
        event: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Delivery]:
        """Answer the newest deliveries that fit, newest first."""
        return await rows.listed(
            self._db, tenant=tenant, webhook=webhook, state=state, event=event, before=before, limit=limit
        )

    async def replay(self, delivery: str) -> Delivery:
        """Send a delivery again from the beginning, under its own id. Raises `NotFound` and `Conflict`."""
        found = await rows.find(self._db, delivery)
        if found is None:
            raise _no_delivery(delivery)
        webhook = await webhook_rows.find(self._db, found.webhook)
        if webhook is not None and not webhook.active:
            raise Conflict(
                f"Webhook {webhook.id} is switched off",
                hint="Switch it on first, then replay its deliveries.",
            )
        if not await rows.replay(self._db, found.tenant, found.id, self._clock()):
            raise _no_delivery(delivery)
        return await rows.find(self._db, delivery) or found

    async def _turn(self, *, at_once: int = AT_ONCE) -> Sequence[asyncio.Task[None]]:
        """Take what is due and begin to send it; a database that cannot do it now is told once."""
        begun = []
        try:
            now = self._clock()
            due = await rows.next_due(self._db)
            free = at_once - len(self._sending)
            if due is not None and due <= now and free > 0:
                for delivery in await rows.claim(self._db, now=now, lease=LEASE, limit=free):
                    task = asyncio.get_running_loop().create_task(self._send(delivery))
                    begun.append(task)
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
            if now - self._swept >= _SWEEP_EVERY:
                self._swept = now
                await rows.sweep(self._db, finished_before=now - KEPT)
        except StoreFault as fault:
            if not self._is_failing:
                log.error("webhooks wait to be delivered: %s", fault.message)
            self._is_failing = True
        except Exception:
            log.exception("looking for what is to be delivered failed")
        else:
            self._is_failing = False
        return begun

    async def _send(self, delivery: Delivery) -> None:
        try:
            attempt = await self._sent(delivery)
            if attempt is not None:
                await self._settle(delivery, attempt)
        except asyncio.CancelledError:
            with contextlib.suppress(StoreFault):
                await asyncio.shield(rows.release(self._db, delivery))
            raise
        except StoreFault as fault:
            # The lease ends, and the delivery is sent again under its id.
            log.error("how a webhook was delivered could not be noted: %s", fault.message)
        except Exception:
            log.exception("delivery %s failed inside Linkspan", delivery.public_id)

    async def _sent(self, delivery: Delivery) -> Attempt | None:
        """Send a delivery; None when its webhook was deleted meanwhile, and the delivery with it."""
        webhook = await webhook_rows.find(self._db, delivery.webhook)
        if webhook is None:
            return None
        if not webhook.active:
            return Attempt(None, "the webhook is switched off", is_final=True)
        message = delivery.public_id
        payload = json.loads(delivery.payload)
        return await self._attempt(
            webhook, message, _body(message, delivery.event, payload, webhook.id, delivery.created)
        )

    async def _attempt(self, webhook: Webhook, message: str, body: bytes) -> Attempt:
        now = self._clock()
        try:
            request = Request(
                "POST",
                webhook.url,
                {
                    "Content-Type": "application/json",
                    "User-Agent": f"linkspan/{__version__}",
                    **await self._webhooks.sign(webhook, message, int(now), body),
                },
                body,
                use=Use("webhook"),
            )
            reply = await self._client.send(
                request,
                repeatable=False,
                origins=(origin_of(webhook.url),),
                timeout=TIMEOUT,
                budget=0.0,
            )
        except RateLimited as error:
            return Attempt(error.upstream_status, error.message[:_LONGEST_ERROR], error.retry_after)
        except StoreFault:
            raise
        except LinkspanError as error:
            return Attempt(error.upstream_status, error.message[:_LONGEST_ERROR])
        return _judge(reply.response, now)

    async def _settle(self, delivery: Delivery, attempt: Attempt) -> None:
        now = self._clock()
        if attempt.error is None:
            await rows.delivered(self._db, delivery, status=attempt.status or 0, now=now)
            self._meters.delivery("delivered")
            return
        wait = self._wait(delivery, attempt)
        due = None if wait is None else now + wait
        settled = await rows.failed(
            self._db, delivery, status=attempt.status, error=attempt.error, due=due, now=now
        )
        self._meters.delivery("dead" if due is None else "failed")
        if settled and due is None:
            log.warning(
                "delivery %s to webhook %s is a dead letter: %s",
                delivery.public_id,
                delivery.webhook,
                attempt.error,
            )

    def _wait(self, delivery: Delivery, attempt: Attempt) -> float | None:
        """Answer the seconds until the next attempt; None when there is none.

        A tenth more or less, so that what failed together does not come back together.
        """
        tried = delivery.attempts - delivery.since
        if attempt.is_final or tried > len(WAITS):
            return None
        spread = 0.9 + 0.2 * int.from_bytes(self._random(2), "big") / 0xFFFF
        return max(WAITS[tried - 1] * spread, min(attempt.retry_after or 0.0, _LONGEST_WAIT))


def _judge(response: Response, now: float) -> Attempt:
    if 200 <= response.status < 300:
        return Attempt(response.status, None)
    told = retry_after(response.headers.get("retry-after"), now)
    return Attempt(response.status, f"the receiver answered {response.status}", told)


def _body(message: str, event: str, payload: dict[str, Any], webhook: str, created: float) -> bytes:
    """Answer the body, the same bytes for every attempt: Truto's keys."""
    told = {
        "id": message,
        "event": event,
        "payload": payload,
        "webhook_id": webhook,
        "created_at": iso(created),
    }
    return json.dumps(told, separators=(",", ":")).encode()


def _no_delivery(delivery: str) -> NotFound:
    return NotFound(f"There is no delivery {delivery!r}", hint="See: linkspan webhook deliveries")
