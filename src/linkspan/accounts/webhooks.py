"""Webhooks out: who is told of what, and the signature by which a receiver knows that it is us.

Deliveries are signed as Standard Webhooks 1.0 says (standardwebhooks.com, "Webhook scheme"): HMAC-SHA256 over
`id.timestamp.body`, its key the bytes behind `whsec_`. Who comes from Truto can have Truto's header too: the
HMAC of the body alone, its key the whole secret as text. That one has no time in it, so a receiver that looks
at nothing else cannot tell a replay.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from linkspan.accounts.identifiers import identifier
from linkspan.accounts.tenants import no_tenant
from linkspan.errors import InvalidArgument, NotFound
from linkspan.store import tenants as tenant_rows
from linkspan.store import webhooks as rows
from linkspan.store.database import Database
from linkspan.store.outbox import EVENTS
from linkspan.store.webhooks import Webhook
from linkspan.vault.keys import Random
from linkspan.vault.seal import Vault
from linkspan.vault.secret import Secret

URL_PATTERN: Final = (
    r"^https?://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
    r"(?::(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3}))?"
    r"(?:[/?][!-\"$-~]*)?$"
)
"""An encoded http(s) URL: visible ASCII, no user and no fragment in it.

An IPv6 address has to have a name: no pattern tells which texts in brackets are one.
"""
LONGEST_URL: Final = 2000
_URL: Final = re.compile(URL_PATTERN.removeprefix("^").removesuffix("$"), re.ASCII)
_PURPOSE: Final = "webhook"
_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook that was just made. `secret` is shown once and only sealed in the store."""

    webhook: Webhook
    secret: Secret


class Webhooks:
    """Adds, lists, changes and removes webhooks, and signs for them."""

    def __init__(self, db: Database, vault: Vault, *, clock: Callable[[], float], random: Random) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._random = random

    async def add(
        self,
        url: str,
        *,
        tenant: str | None = None,
        events: Sequence[str] = (),
        truto_signature: bool = False,
    ) -> NewWebhook:
        """Tell a URL of events: those named, or all; of one tenant, or of all.

        What happened before is not told. Raises `InvalidArgument` with every fault, and `NotFound` for the
        tenant.
        """
        now = self._clock()
        checked_url, checked_events = _check(url, events)
        if tenant is not None and not await tenant_rows.exists(self._db, tenant):
            raise no_tenant(tenant)
        new_id = f"wh_{identifier(self._random)}"
        secret = _PREFIX + base64.b64encode(self._random(_SECRET_BYTES)).decode()
        webhook = Webhook(
            id=new_id,
            tenant=tenant,
            url=checked_url,
            events=checked_events,
            truto_signature=truto_signature,
            active=True,
            sealed=await self._vault.seal_stored(_PURPOSE, tenant, new_id, secret.encode()),
            created=now,
            updated=now,
        )
        if not await rows.insert(self._db, webhook):
            raise no_tenant(tenant or "")
        return NewWebhook(webhook, Secret(secret))

    async def list(
        self, *, tenant: str | None = None, after: tuple[float, str] | None = None, limit: int = 100
    ) -> list[Webhook]:
        """Answer webhooks, oldest first; with `tenant`, those that are for it alone."""
        return await rows.listed(self._db, tenant=tenant, after=after, limit=limit)

    async def require(self, webhook: str) -> Webhook:
        """Answer one webhook. Raises `NotFound`."""
        found = await rows.find(self._db, webhook)
        if found is None:
            raise _no_webhook(webhook)
        return found

    async def change(
        self,
        webhook: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        truto_signature: bool | None = None,
        active: bool | None = None,
    ) -> Webhook:
        """Change what is given of a webhook. Raises `InvalidArgument` and `NotFound`."""
        found = await self.require(webhook)
        checked_url, checked_events = _check(
            found.url if url is None else url, found.events if events is None else events
        )
        changed = replace(
            found,
            url=checked_url,
            events=checked_events,
            truto_signature=found.truto_signature if truto_signature is None else truto_signature,
            active=found.active if active is None else active,
            updated=self._clock(),
        )
        if not await rows.replace(self._db, changed):
            raise _no_webhook(webhook)
        return changed

    async def remove(self, webhook: str) -> int:
        """Delete a webhook with what it waits to be told; answers how many deliveries. Raises `NotFound`."""
        gone = await rows.delete(self._db, webhook)
        if gone is None:
            raise _no_webhook(webhook)
        return gone

    async def sign(self, webhook: Webhook, message: str, at: int, body: bytes) -> dict[str, str]:
        """Answer the headers that prove a delivery: its id, its time (epoch seconds) and the signature.

        Raises `SealBroken` when the secret does not open.
        """
        secret = await self._vault.open_stored(_PURPOSE, webhook.tenant, webhook.id, webhook.sealed)
        key = base64.b64decode(secret.decode().removeprefix(_PREFIX))
        signed = hmac.digest(key, f"{message}.{at}.".encode() + body, "sha256")
        headers = {
            "webhook-id": message,
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }
        if webhook.truto_signature:
            told = hmac.digest(secret, body, "sha256").hex()
            headers["X-Truto-Signature"] = f"format=sha256,v={told}"
        return headers


def _check(url: str, events: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    faults = []
    if len(url) > LONGEST_URL or not _URL.fullmatch(url):
        faults.append(
            {
                "path": "target_url",
                "message": "must be an encoded http:// or https:// URL without a user and a fragment,"
                f" of at most {LONGEST_URL} characters",
            }
        )
    faults += [
        {"path": "events", "message": f"{event[:100]!r} is not an event"}
        for event in events
        if event not in EVENTS
    ]
    if faults:
        raise InvalidArgument(
            f"The webhook cannot be like this: {'; '.join(f['path'] + ' ' + f['message'] for f in faults)}",
            hint=f"Events are: {', '.join(EVENTS)}.",
            details=faults,
        )
    return url, tuple(dict.fromkeys(events))


def _no_webhook(webhook: str) -> NotFound:
    return NotFound(f"There is no webhook {webhook!r}", hint="See: linkspan webhook list")
