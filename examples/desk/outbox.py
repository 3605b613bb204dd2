"""Events on their way out: kept with the change that caused them, sent signed, tried again a few times.

A receiver checks `X-Desk-Signature: sha256=HEX`, the HMAC-SHA-256 of the raw body under the webhook's secret.
`X-Desk-Delivery` is the same on every attempt; `X-Desk-Event` says what happened.
"""

from __future__ import annotations

import asyncio
import hmac
import http.client
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from typing import Any, Protocol
from urllib.parse import urlsplit

from desk.store import Row, Store, User, iso

EVENTS = (
    "ticket.created",
    "ticket.updated",
    "ticket.assigned",
    "ticket.commented",
    "alert.fired",
    "alert.acknowledged",
    "alert.resolved",
    "alert.commented",
    "design.updated",
    "design.ready",
    "design.commented",
    "ping",
)
WAITS = (1.0, 5.0, 30.0)
"""Seconds before the second, third and fourth attempt; then the delivery has failed."""
TIMEOUT = 10.0

log = logging.getLogger("desk.outbox")


class Post(Protocol):
    """Sends one request and answers the status. Raises OSError or HTTPException when nothing answered."""

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Awaitable[int]:
        """Send it."""
        ...


class Outbox:
    """Takes events inside the transaction that makes them true."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wake = asyncio.Event()

    def add(self, actor: User, event: str, what: Mapping[str, Any], *, only: str | None = None) -> None:
        """Queue an event for every webhook of the actor's organisation that wants it (or for one)."""
        now = self._store.clock()
        for hook in self._store.query("select * from webhooks where org = ?", (actor.org,)):
            wanted = json.loads(hook["events"])
            if (only or hook["id"]) != hook["id"] or (only is None and wanted and event not in wanted):
                continue
            delivery = f"dlv_{self._store.random(12).hex()}"
            body = {
                "type": event,
                "delivery": delivery,
                "created_at": iso(now),
                "org": {"slug": actor.org, "name": actor.org_name},
                "actor": {"login": actor.login, "name": actor.name, "role": actor.role},
                **what,
            }
            self._store.insert(
                "deliveries",
                {
                    "id": delivery,
                    "org": actor.org,
                    "webhook": hook["id"],
                    "event": event,
                    "body": json.dumps(body, separators=(",", ":")),
                    "state": "pending",
                    "attempts": 0,
                    "due": now,
                    "created": now,
                },
            )
            self._wake.set()

    def again(self, user: User, webhook: str, delivery: str) -> bool:
        """Queue a delivery once more, under the same id; False when there is none."""
        touched = self._store.execute(
            "update deliveries set state = 'pending', attempts = 0, due = ?"
            " where org = ? and webhook = ? and id = ?",
            (self._store.clock(), user.org, webhook, delivery),
        )
        self._wake.set()
        return bool(touched)

    async def deliver(self, post: Post) -> None:
        """Send what is due, forever; what an earlier process left is sent as well."""
        while True:
            self._wake.clear()
            await self.deliver_due(post)
            row = self._store.one("select min(due) as due from deliveries where state = 'pending'")
            wait = max(0.05, row["due"] - self._store.clock()) if row and row["due"] is not None else 60.0
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def deliver_due(self, post: Post) -> int:
        """Send every delivery that is due, once each, and answer how many were tried."""
        rows = self._store.query(
            "select deliveries.*, url, secret from deliveries join webhooks on webhooks.id = webhook"
            " where state = 'pending' and due <= ? order by due, deliveries.rowid",
            (self._store.clock(),),
        )
        for row in rows:
            await self._attempt(row, post)
        return len(rows)

    async def _attempt(self, row: Row, post: Post) -> None:
        body = row["body"].encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Desk-Webhooks/1",
            "X-Desk-Event": row["event"],
            "X-Desk-Delivery": row["id"],
            "X-Desk-Signature": signature(row["secret"], body),
        }
        try:
            status = await post(row["url"], headers, body)
            delivered, answer = 200 <= status < 300, f"HTTP {status}"
        except (OSError, http.client.HTTPException, TimeoutError) as error:
            delivered, answer = False, type(error).__name__
        attempts = row["attempts"] + 1
        over = attempts > len(WAITS)
        state = "delivered" if delivered else "failed" if over else "pending"
        due = self._store.clock() + (0.0 if delivered or over else WAITS[attempts - 1])
        self._store.execute(
            "update deliveries set state = ?, attempts = ?, answer = ?, due = ? where id = ?",
            (state, attempts, answer, due, row["id"]),
        )
        if not delivered:
            log.info("delivery %s, attempt %d: %s", row["id"], attempts, answer)


def signature(secret: str, body: bytes) -> str:
    """What `X-Desk-Signature` holds for these bytes."""
    return "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


async def post_over_http(url: str, headers: Mapping[str, str], body: bytes) -> int:
    """Send over the network, from a thread of its own; redirects are answers, not followed."""
    return await asyncio.to_thread(_post, url, headers, body)


def _post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    parts = urlsplit(url)
    kind: Callable[..., http.client.HTTPConnection] = (
        http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with closing(kind(parts.hostname, parts.port, timeout=TIMEOUT)) as connection:
        connection.request("POST", target, body=body, headers=dict(headers))
        return connection.getresponse().status


def webhook_dict(row: Row) -> Row:
    """A webhook as the API shows it: never with its secret."""
    events = json.loads(row["events"])
    return {"id": row["id"], "url": row["url"], "events": events, "created_at": iso(row["created"])}


def delivery_dict(row: Row) -> Row:
    """A delivery as the API shows it."""
    return {
        "id": row["id"],
        "event": row["event"],
        "state": row["state"],
        "attempts": row["attempts"],
        "answer": row["answer"],
        "created_at": iso(row["created"]),
        "body": json.loads(row["body"]),
    }
