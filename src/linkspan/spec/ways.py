"""Compiles what differs between the ways to connect to one product: its address, and what is asked and found.

A product may be reached elsewhere by a token than by OAuth (Jira's site, Atlassian's gateway). Accounts that
are linked one way see the connector with that way's base URL, and are asked only what that address needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from linkspan.spec import language
from linkspan.spec.base_urls import compile_base_url
from linkspan.spec.catalog import Connector, Setting
from linkspan.spec.grants import Connected
from linkspan.spec.leaves import Leaves
from linkspan.spec.questions import AccountNames, question
from linkspan.spec.yaml import Path


def compile_ways(
    form: language.Connector,
    connector: Connector,
    leaves: Leaves,
    path: Path,
    elsewhere: Callable[[], Any],
) -> Mapping[str, Connector]:
    """Answer the connector as each way sees it; nothing where all see the same.

    `elsewhere` answers what else of the file is sent to the connector, whose words may name settings, too.
    """
    if not any(way.base_url is not None or way.connected is not None for way in form.auth):
        return {}
    shared = [form.model_dump(exclude={"auth", "base_url", "connected", "settings"}), elsewhere()]
    made: dict[str, Connector] = {}
    for index, way in enumerate(form.auth):
        here = (*path, "auth", index)
        found = set((way.connected or form.connected or _NOTHING_FOUND).settings)
        settings = {
            name: replace(setting, is_found=name in found)
            for name, setting in connector.settings.items()
            if _is_needed(name, way, form, shared)
        }
        view = replace(connector, settings=settings)
        if way.base_url is not None:
            base = compile_base_url((*here, "base_url"), way.base_url, connector.settings, leaves)
            view = replace(view, base_url=base)
        if way.connected is not None:
            base_url = way.base_url or form.base_url
            looked_up = compile_connected(
                way.connected, base_url, form.graphql, {**connector.settings, **settings}, leaves, here
            )
            view = replace(view, connected=looked_up)
        made.setdefault(way.type, view)
    return made


_NOTHING_FOUND = language.Connected.model_construct(settings={})


def _is_needed(name: str, way: Any, form: language.Connector, shared: Sequence[Any]) -> bool:
    """Tell whether accounts linked that way need a setting: all but what only the others' addresses name."""
    ours = [_address(way, form)]
    others = [_address(other, form) for other in form.auth if other is not way]
    if any(_names(name, one) for one in shared) or name == form.ca or any(_names(name, one) for one in ours):
        return True
    return not any(_names(name, one) for one in others)


def _address(way: Any, form: language.Connector) -> Any:
    connected = way.connected or form.connected
    words = way.model_dump()
    words["base_url"] = way.base_url or form.base_url
    words["connected"] = connected.model_dump() if connected is not None else None
    return words


def _names(setting: str, words: Any) -> bool:
    if isinstance(words, dict) and setting in ((words.get("connected") or {}).get("settings") or {}):
        return True
    account = ((words.get("webhooks") or {}).get("account") or {}) if isinstance(words, dict) else {}
    if account.get("setting") == setting:
        return True
    return re.search(rf"settings\.{re.escape(setting)}\b", json.dumps(words, default=str)) is not None


def compile_connected(
    asks: language.Connected,
    base_url: str,
    posted_to: str,
    settings: Mapping[str, Setting],
    leaves: Leaves,
    path: Path,
) -> Connected | None:
    """Compile the look-up after linking. What it finds is not there yet while it asks."""
    here = (*path, "connected")
    for name in asks.settings:
        if name not in settings:
            message = f"the connector has no setting {name!r}"
            leaves.problems.add(
                (*here, "settings", name), "unknown_setting", message, words=settings, word=name, key=True
            )
    asked = {name: setting for name, setting in settings.items() if name not in asks.settings}
    base = None
    if asks.base_url is not None:
        base = compile_base_url((*here, "base_url"), asks.base_url, asked, leaves)
    elif missing := [name for name in asks.settings if f"{{settings.{name}}}" in base_url]:
        message = f"base_url needs {missing[0]}, which is only found by this; give it a base_url of its own"
        leaves.problems.add(here, "bad_base_url", message, key=True)
    names = AccountNames(asked, has_username=False, leaves=leaves)
    plan = question(asks, names, leaves, here, posted_to=posted_to)
    choose = leaves.getter((*here, "choose"), asks.choose)
    getters = [(name, leaves.getter((*here, "settings", name), text)) for name, text in asks.settings.items()]
    found = tuple((name, getter) for name, getter in getters if getter is not None)
    if plan is None or choose is None:
        return None
    label = leaves.getter((*here, "label"), asks.label)
    return Connected(replace(plan, base=base), choose, found, label)
