"""What is asked with a credential before it is used: the settings that the product knows, and whose it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from linkspan import wire
from linkspan.accounts import linking
from linkspan.accounts.choice import shown
from linkspan.errors import Conflict, InvalidArgument, LinkspanError
from linkspan.net.client import Client
from linkspan.spec.catalog import Connector
from linkspan.spec.grants import Connected
from linkspan.store.accounts import Account, State
from linkspan.vault.credential import Credential

IDENTITY_CHANGED: Final = "identity_changed"
_LONGEST_TEXT = 200
_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose account it is at the product, as its verify request told."""

    id: str | None = None
    label: str | None = None


Verifier = Callable[[Connector, Credential], Awaitable[Identity | None]]
"""Proves a credential by a request; None where the connector has none. Raises `NeedsReauth` when refused."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A credential that was tried: with all its settings, and whose it is (None: nothing was asked)."""

    credential: Credential
    identity: Identity | None


class NotProven(Exception):
    """Proving failed: at which step, how far it came, and what the caller is told."""

    def __init__(self, state: State, credential: Credential, error: LinkspanError) -> None:
        super().__init__(state)
        self.state = state
        self.credential = credential
        self.error = error


async def prove(
    connector: Connector,
    credential: Credential,
    verify: Verifier | None,
    client: Client | None,
    given: Mapping[str, str],
) -> Proven:
    """Look up what is found after linking, then verify.

    `given` are settings that choose among several things that are found. Raises `NotProven`.
    """
    connector = connector.through(credential.method)
    try:
        if connector.connected is not None and client is not None:
            found = await look_up(connector, connector.connected, credential, client, given)
            credential = replace(credential, settings={**credential.settings, **found})
        settings = linking.check_settings(connector, credential.settings)
        credential = replace(credential, settings=settings, origins=linking.origins_of(connector, settings))
    except LinkspanError as error:
        raise NotProven("post_install_error", credential, error) from error
    if verify is None:
        return Proven(credential, None)
    try:
        return Proven(credential, await verify(connector, credential))
    except LinkspanError as error:
        raise NotProven("validation_error", credential, error) from error


async def look_up(
    connector: Connector,
    connected: Connected,
    credential: Credential,
    client: Client,
    given: Mapping[str, str],
) -> dict[str, str]:
    """Answer the settings that the product knows.

    Raises `InvalidArgument` when there is nothing to choose, or more than one thing that `given` fits, with
    all of them in its details; and what `wire.send` raises.
    """
    scope = wire.scope_of({}, credential)
    answer = await wire.send(connected.request, scope, connector, credential, client)
    chosen = connected.choose(answer.body)
    things = chosen if isinstance(chosen, list) else [chosen]
    choices = [
        (_settings(connected, thing), connected.label(thing) if connected.label else None) for thing in things
    ]
    whole = [(settings, label) for settings, label in choices if settings is not None]
    fitting = [
        (settings, label)
        for settings, label in whole
        if all(given.get(name, value) == value for name, value in settings.items())
    ]
    if len(fitting) == 1:
        return fitting[0][0]
    if not fitting:
        raise InvalidArgument(
            f"{connector.title} has nothing there that this credential may see"
            if not whole
            else f"None of what {connector.title} has there fits the settings that were given",
            hint=None if not whole else _choose(whole),
            details=_details(whole) or None,
        )
    raise InvalidArgument(
        f"{connector.title} has {len(fitting)} things to choose from",
        hint=_choose(fitting),
        details=_details(fitting),
    )


def same_identity(account: Account, identity: Identity) -> None:
    """Raise `Conflict` when an account would become somebody else's."""
    if None not in (account.identity_id, identity.id) and account.identity_id != short(identity.id):
        given = short(identity.label or identity.id)
        raise Conflict(
            f"Account {shown(account)} is another identity than the one that was given now ({given})",
            hint="Link it as an account of its own, without naming this one.",
            details={
                "reason": IDENTITY_CHANGED,
                "linked": account.identity_label or account.identity_id,
                "given": given,
            },
        )


def same_place(account: Account, connector: Connector, settings: Mapping[str, str]) -> None:
    """Raise `Conflict` when an account would come to lie at another server that somebody named.

    Whoever runs a server answers whichever identity it likes, so the same id there proves nothing.
    """
    for setting in connector.settings.values():
        before, given = account.settings.get(setting.name), settings.get(setting.name)
        if setting.type == "origin" and None not in (before, given) and before != given:
            raise Conflict(
                f"Account {shown(account)} is at {before}, not at {short(given)}",
                hint="Link it as an account of its own, without naming this one.",
                details={"reason": IDENTITY_CHANGED, "linked": before, "given": short(given)},
            )


def short(text: str | None) -> str | None:
    """Text that came from a product, as one line of bounded length."""
    if text is None:
        return None
    line = "".join(character if character.isprintable() else " " for character in text).strip()
    return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"


def _settings(connected: Connected, thing: Any) -> dict[str, str] | None:
    """Answer the settings of one thing; None when one is missing."""
    found: dict[str, str] = {}
    for name, getter in connected.settings:
        value = getter(thing) if thing is not None else None
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            return None
        found[name] = str(value)
    return found


_Choice = tuple[dict[str, str], Any]


def _choose(choices: list[_Choice]) -> str:
    told = "; ".join(
        " ".join(f"--setting {name}={short(value)}" for name, value in settings.items())
        + (f" ({short(str(label))})" if label else "")
        for settings, label in choices[:_MOST_SHOWN]
    )
    return f"Choose one: {told}."


def _details(choices: list[_Choice]) -> list[dict[str, Any]]:
    return [
        {"settings": settings, "label": short(str(label)) if label else None}
        for settings, label in choices[:_MOST_SHOWN]
    ]
