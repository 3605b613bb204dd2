"""What products deliver: proved over its raw bytes, noted, and answered at once. Arrivals are worked later.

A delivery is only a hint: of it is kept which event it tells of which thing, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from linkspan.accounts.hook_secrets import HookSecrets
from linkspan.accounts.principal import Tenant
from linkspan.errors import InvalidArgument, Unauthenticated
from linkspan.net.bodies import whole
from linkspan.runs.bell import Bell
from linkspan.runs.marks import is_ours
from linkspan.runs.signatures import parsed, proves
from linkspan.spec.catalog import Catalog
from linkspan.spec.events import Event, Webhooks
from linkspan.spec.recipe import Trigger
from linkspan.store import accounts as account_rows
from linkspan.store import deliveries as rows
from linkspan.store import run_events
from linkspan.store import runs as run_rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database
from linkspan.store.deliveries import Arrival, Does
from linkspan.telemetry import SILENT, Meters
from linkspan.vault.secret import Secret

log = logging.getLogger("linkspan.runs")
_MOST_THINGS: Final = 2_000
"""Of one delivery, or of one look at a list."""
_LONGEST_ECHO: Final = 500
_LONGEST_UNPROVED: Final = 16_384
_ECHOED: Final = re.compile(r"[A-Za-z0-9_.~+/=:-]{1,500}")
OWN: Final = "Our own account did it."
_AT_WORK: Final = ("running", "waiting_approval")
TEST: Final = "linkspan-test"
"""A header that says: tell what would be noted, and note nothing."""
OWN_WORDS: Final = "A Codex run wrote it."


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
        meters: Meters = SILENT.meters,
    ) -> None:
        self._meters = meters
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
        if (shaken := _unproved(hooks, delivery)) is not None:
            return shaken
        if hooks.handshake is not None and hooks.handshake.secret is not None:
            brought = delivery.headers.get(hooks.handshake.secret.lower())
            if brought is not None:
                return await self._exchange(hooks.handshake.secret, brought, found, kept[1], delivery)
        self._prove(hooks, kept[1].reveal(), delivery)
        return await self._take(found.connector, hooks, delivery, [found])

    async def _exchange(
        self, header: str, brought: str, account: Account, kept: Secret, delivery: Delivery
    ) -> Answer:
        """Keep the secret that a product brings in place of the one in its address, which works this once."""
        known = kept.reveal().encode()
        if delivery.address is None or not hmac.compare_digest(delivery.address.encode(), known):
            raise _refused()
        await self._secrets.of_account(Tenant(account.tenant), account.id, Secret(brought))
        return Answer({"accepted": 0}, {header: brought})

    async def of_connector(self, connector: str, delivery: Delivery) -> Answer:
        """Take what was sent to the one address of a connector. Raises `Unauthenticated`."""
        kept = await self._secrets.find(connector)
        hooks = self._hooks_of(connector, "app")
        if hooks is not None and (shaken := _unproved(hooks, delivery)) is not None:
            return shaken
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
        if hooks.wakes is not None and accounts is not None and TEST not in delivery.headers:
            woken = hooks.wakes(root)
            if isinstance(woken, str) and woken:
                return Answer({"accepted": await self._wake(connector, accounts, woken)})
        waiting = waiting_for(self._catalog(), connector)
        told = list(_told(waiting, hooks, root))
        if not told:
            self._meters.arrival(connector, "nothing")
            return Answer({"accepted": 0})
        if accounts is None:
            accounts = await self._meant(connector, hooks, root)
        named = hooks.id(root) if hooks.id is not None else None
        key = named if isinstance(named, str) and named else hashlib.sha256(delivery.raw).hexdigest()
        own = {account.id: await account_rows.own_identities(self._db, account) for account in accounts}
        arrivals = [
            arrival_of(account, own[account.id], event, thing, entity_id, key, recipe, does, self._clock())
            for account in accounts
            for event, thing, entity_id in told
            for recipe, does in waiting[event.name]
        ]
        if TEST in delivery.headers:
            return Answer({"accepted": 0, "test": [_foretold(each) for each in arrivals]})
        new = await rows.add(self._db, arrivals, quiet=quiet_of(self._catalog())) if arrivals else 0
        self._meters.arrival(connector, "accepted" if new else "repeated" if arrivals else "nothing")
        if new:
            self._bell.ring()
        return Answer({"accepted": new})

    async def _wake(self, connector: str, accounts: list[Account], thread: str) -> int:
        """Have the runs look that work in a conversation of these accounts; answers how many they are.

        It tells them nothing that they do not find out by themselves, so it may come twice, or never.
        """
        woken = 0
        for account in accounts:
            there = await run_rows.listed(self._db, account.tenant, states=_AT_WORK, thread=thread)
            for run in there:
                await run_events.say(
                    self._db,
                    run.tenant,
                    run.id,
                    kind="look",
                    words="",
                    who=f"webhook:{connector}",
                    now=self._clock(),
                )
            woken += len(there)
        self._meters.arrival(connector, "accepted" if woken else "nothing")
        if woken:
            self._bell.ring()
        return woken

    async def _meant(self, connector: str, hooks: Webhooks, root: Any) -> list[Account]:
        value = hooks.account(root) if hooks.account is not None else None
        if not isinstance(value, str | int) or isinstance(value, bool) or not str(value):
            return []
        there = await account_rows.told_by(self._db, connector)
        if hooks.setting is None:
            return [each for each in there if each.identity_id == str(value)]
        return [each for each in there if each.settings.get(hooks.setting) == str(value)]


def waiting_for(catalog: Catalog, connector: str) -> dict[str, list[tuple[str, Does]]]:
    """Answer which recipes wait for which events of a connector, and what these do to them."""
    found: dict[str, list[tuple[str, Does]]] = {}
    for recipe in catalog.recipes.values():
        waits: list[tuple[tuple[Trigger, ...], Does]] = [(recipe.triggers, "start"), (recipe.stops, "stop")]
        if recipe.mention is not None:
            waits.append((recipe.mention.triggers, "mention"))
        if recipe.follow is not None:
            waits.append((recipe.follow.triggers, "follow"))
        for triggers, does in waits:
            for trigger in triggers:
                if trigger.connector == connector:
                    found.setdefault(f"{trigger.entity}.{trigger.event}", []).append((recipe.name, does))
    return found


def quiet_of(catalog: Catalog) -> dict[str, float]:
    """Answer the seconds of quiet that recipes wait for."""
    return {
        each.name: each.debounce or 0.0
        for each in catalog.recipes.values()
        if each.debounce is not None or each.concurrency != "skip"
    }


def _told(waiting: Mapping[str, Any], hooks: Webhooks, root: Any) -> Iterator[tuple[Event, Any, str]]:
    """Yield the events that a recipe waits for, with the id of what each is about."""
    for event in hooks.events.values():
        if event.name in waiting:
            for thing, entity_id in things_of(event, root):
                yield event, thing, entity_id


def things_of(event: Event, root: Any) -> Iterator[tuple[Any, str]]:
    """Yield what an event is about, with the ids."""
    told = event.each(root) if event.each is not None else [root]
    things = told if isinstance(told, list) else []
    if len(things) > _MOST_THINGS:
        log.warning("%s: of %d things the first %d are looked at", event.name, len(things), _MOST_THINGS)
    for thing in things[:_MOST_THINGS]:
        if event.when is not None and not event.when(thing):
            continue
        found = _identified(event.name, event.id(thing))
        if found is not None:
            yield thing, found


def _identified(name: str, found: Any) -> str | None:
    """Answer an id that an event tells: whole, since a piece of one would be another thing's."""
    if not isinstance(found, str | int) or isinstance(found, bool) or not str(found):
        return None
    told: str = whole(str(found))  # half of a surrogate pair could not be kept
    length = len(told.encode())
    if length > rows.LONGEST_ID:
        log.warning("%s starts nothing: its id has %d bytes, of %d at most", name, length, rows.LONGEST_ID)
        return None
    return told


def arrival_of(
    account: Account,
    identities: frozenset[str],
    event: Event,
    thing: Any,
    entity_id: str,
    key: str,
    recipe: str,
    does: Does,
    now: float,
) -> Arrival:
    """Answer an event as it is noted for a recipe; `key` names the delivery, where the event says no more.

    `identities` are those of all accounts that are ours there: one may have written what another is told.
    """
    same = event.same(thing) if event.same is not None else None
    what = ["delivery", key] if same is None else ["same", json.dumps(same, sort_keys=True)]
    own = _own(identities, event, thing)
    if own and does == "follow":  # what we merge ourselves is merged all the same
        does, own = "follow_end", None
    return Arrival(
        tenant=account.tenant,
        id=f"arr_{_digest([account.tenant, account.id, event.name, entity_id, recipe, does, *what])}",
        connector=account.connector,
        account=account.id,
        event=event.name,
        entity=event.entity,
        entity_id=entity_id,
        received=now,
        state="ignored" if own else "pending",
        attempts=0,
        due=now,
        recipe=recipe,
        does=does,
        finished=now if own else None,
        outcome=own,
        comment=_comment(event, thing) if does == "mention" else None,
    )


def _foretold(arrival: Arrival) -> dict[str, str | None]:
    """Answer what would be noted of a delivery; nothing of the account or its tenant."""
    told = {"event": arrival.event, "id": arrival.entity_id, "recipe": arrival.recipe}
    return {**told, "does": arrival.does, "ignored": arrival.outcome, "comment": arrival.comment}


def _comment(event: Event, thing: Any) -> str | None:
    return _identified(event.name, event.comment(thing)) if event.comment is not None else None


def _own(identities: frozenset[str], event: Event, thing: Any) -> str | None:
    """Answer why an event is our own doing; None when it is somebody else's."""
    by = event.by(thing) if event.by is not None else None
    if by is not None and str(by) in identities:
        return OWN
    return OWN_WORDS if event.text is not None and is_ours(event.text(thing)) else None


def _unproved(hooks: Webhooks, delivery: Delivery) -> Answer | None:
    """Answer a handshake by which a product proves nothing yet: short, and with nothing that a page reads."""
    if hooks.handshake is None or not hooks.handshake.unproved or len(delivery.raw) > _LONGEST_UNPROVED:
        return None
    root = {"headers": delivery.headers, "query": delivery.query, "body": parsed(delivery.raw)}
    answer = _handshake(hooks, root)
    if answer is None or (isinstance(answer.body, str) and not _ECHOED.fullmatch(answer.body)):
        return None
    return answer if answer.headers or isinstance(answer.body, str) else None


def _handshake(hooks: Webhooks, root: Any) -> Answer | None:
    shaken = hooks.handshake
    if shaken is None or shaken.secret is not None or (shaken.when is not None and not shaken.when(root)):
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
