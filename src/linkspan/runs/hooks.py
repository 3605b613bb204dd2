"""What products deliver: proved over its raw bytes, noted, and answered at once. Arrivals are worked later.

A delivery is only a hint: of it is kept which event it tells of which thing, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from linkspan.accounts.hook_secrets import HookSecrets
from linkspan.errors import InvalidArgument, Unauthenticated
from linkspan.runs.bell import Bell
from linkspan.runs.signatures import parsed, proves
from linkspan.spec.catalog import Catalog
from linkspan.spec.events import Event, Webhooks
from linkspan.store import accounts as account_rows
from linkspan.store import deliveries as rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database
from linkspan.store.deliveries import Arrival

_MOST_THINGS: Final = 200
_LONGEST_ID: Final = 200
_LONGEST_ECHO: Final = 500
OWN: Final = "Our own account did it."


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came in. Header names are in lower case."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    raw: bytes = field(repr=False)
    address: str | None = field(default=None, repr=False)
    """The secret part of the address, where there is one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the product is answered: JSON or text, and perhaps a header that is sent back."""

    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class Hooks:
    """Takes deliveries."""

    def __init__(
        self,
        db: Database,
        secrets: HookSecrets,
        *,
        catalog: Callable[[], Catalog],
        clock: Callable[[], float],
        bell: Bell,
    ) -> None:
        self._db = db
        self._secrets = secrets
        self._catalog = catalog
        self._clock = clock
        self._bell = bell

    async def of_account(self, account: str, delivery: Delivery) -> Answer:
        """Take what was sent to an account's own address. Raises `Unauthenticated` for whatever is wrong."""
        kept = await self._secrets.find(account)
        tenant = kept[0] if kept is not None else None
        found = await account_rows.find(self._db, tenant, account) if tenant is not None else None
        hooks = self._hooks_of(found.connector, "account") if found is not None else None
        if kept is None or found is None or hooks is None or found.subject is not None:
            raise _refused()
        self._prove(hooks, kept[1].reveal(), delivery)
        return await self._take(found.connector, hooks, delivery, [found])

    async def of_connector(self, connector: str, delivery: Delivery) -> Answer:
        """Take what was sent to the one address of a connector. Raises `Unauthenticated`."""
        kept = await self._secrets.find(connector)
        hooks = self._hooks_of(connector, "app")
        if kept is None or kept[0] is not None or hooks is None:
            raise _refused()
        self._prove(hooks, kept[1].reveal(), delivery)
        return await self._take(connector, hooks, delivery, None)

    def _hooks_of(self, connector: str, scope: str) -> Webhooks | None:
        known = self._catalog().connectors.get(connector)
        hooks = known.webhooks if known is not None else None
        return hooks if hooks is not None and hooks.scope == scope else None

    def _prove(self, hooks: Webhooks, secret: str, delivery: Delivery) -> None:
        named = hooks.id({"headers": delivery.headers, "body": None}) if hooks.id is not None else None
        if not proves(
            hooks.signature,
            secret,
            delivery.headers,
            delivery.raw,
            now=self._clock(),
            delivery=named if isinstance(named, str) else None,
            address=delivery.address,
        ):
            raise _refused()

    async def _take(
        self, connector: str, hooks: Webhooks, delivery: Delivery, accounts: list[Account] | None
    ) -> Answer:
        body = parsed(delivery.raw)
        if body is None:
            raise InvalidArgument("The body is not JSON")
        root = {"headers": delivery.headers, "query": delivery.query, "body": body}
        if (shaken := _handshake(hooks, root)) is not None:
            return shaken
        told = list(self._told(connector, hooks, root))
        if not told:
            return Answer({"accepted": 0})
        if accounts is None:
            accounts = await self._meant(connector, hooks, root)
        named = hooks.id(root) if hooks.id is not None else None
        key = named if isinstance(named, str) and named else hashlib.sha256(delivery.raw).hexdigest()
        arrivals = [
            self._arrival(account, event, thing, entity_id, key)
            for account in accounts
            for event, thing, entity_id in told
        ]
        new = await rows.add(self._db, arrivals) if arrivals else 0
        if new:
            self._bell.ring()
        return Answer({"accepted": new})

    def _told(self, connector: str, hooks: Webhooks, root: Any) -> Iterator[tuple[Event, Any, str]]:
        """Yield the events that a recipe waits for, with the id of what each is about."""
        wanted = {
            f"{trigger.entity}.{trigger.event}"
            for recipe in self._catalog().recipes.values()
            if (trigger := recipe.trigger) is not None and trigger.connector == connector
        }
        for event in hooks.events.values():
            if event.name not in wanted:
                continue
            things = event.each(root) if event.each is not None else [root]
            for thing in things[:_MOST_THINGS] if isinstance(things, list) else ():
                if event.when is not None and not event.when(thing):
                    continue
                found = event.id(thing)
                if isinstance(found, str | int) and not isinstance(found, bool) and str(found):
                    yield event, thing, str(found)[:_LONGEST_ID]

    async def _meant(self, connector: str, hooks: Webhooks, root: Any) -> list[Account]:
        value = hooks.account(root) if hooks.account is not None else None
        if not isinstance(value, str | int) or isinstance(value, bool) or not str(value):
            return []
        there = await account_rows.told_by(self._db, connector)
        if hooks.setting is None:
            return [each for each in there if each.identity_id == str(value)]
        return [each for each in there if each.settings.get(hooks.setting) == str(value)]

    def _arrival(self, account: Account, event: Event, thing: Any, entity_id: str, key: str) -> Arrival:
        same = event.same(thing) if event.same is not None else None
        what = ["delivery", key] if same is None else ["same", json.dumps(same, sort_keys=True)]
        parts = [account.tenant, account.id, event.name, entity_id, *what]
        now = self._clock()
        by = event.by(thing) if event.by is not None else None
        is_own = by is not None and account.identity_id is not None and str(by) == account.identity_id
        return Arrival(
            tenant=account.tenant,
            id=f"arr_{_digest(parts)}",
            connector=account.connector,
            account=account.id,
            event=event.name,
            entity=event.entity,
            entity_id=entity_id,
            received=now,
            state="ignored" if is_own else "pending",
            attempts=0,
            due=now,
            finished=now if is_own else None,
            outcome=OWN if is_own else None,
        )


def _handshake(hooks: Webhooks, root: Any) -> Answer | None:
    shaken = hooks.handshake
    if shaken is None or (shaken.when is not None and not shaken.when(root)):
        return None
    if shaken.echo is not None:
        value = root["headers"].get(shaken.echo.lower())
        if value is None:
            return None
        return Answer({"accepted": 0}, {shaken.echo: value[:_LONGEST_ECHO]})
    return Answer(shaken.reply(root) if shaken.reply is not None else None)


def _digest(parts: list[str]) -> str:
    told = "\0".join(f"{len(part)}:{part}" for part in parts)
    return base64.b32encode(hashlib.sha256(told.encode("utf-8", "replace")).digest()).decode().lower()[:20]


def _refused() -> Unauthenticated:
    # The same whatever is wrong: nobody learns here which accounts there are.
    return Unauthenticated(
        "This delivery does not prove itself here",
        hint="Check the address and the secret: linkspan hooks secret",
    )
