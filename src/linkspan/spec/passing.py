"""Compiles what the proxy passes on: headers by name, paths in groups."""

from __future__ import annotations

import re
from typing import Final

from linkspan.spec import language
from linkspan.spec.catalog import ProxyRule
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.yaml import Path

_HEADER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{2,}\*?\Z")
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~-]+)+\Z")
_NEVER: Final = (
    *("authorization", "proxy-authorization", "cookie", "set-cookie", "host", "connection", "keep-alive"),
    *("transfer-encoding", "te", "trailer", "upgrade", "forwarded", "x-forwarded-for", "x-forwarded-host"),
    *("x-forwarded-proto", "x-real-ip", "content-length", "content-security-policy"),
    *("strict-transport-security", "access-control-allow-origin", "x-request-id"),
)
"""What is ours, belongs to one connection, or tells of our callers."""


def compile_proxy(form: language.Proxy, leaves: Leaves, path: Path) -> ProxyRule:
    """Compile the rule; mistakes go to the problems."""
    for tier, paths in form.tiers.items():
        if not NAME.match(tier):
            message = f"the group {tier!r} must be lower case letters, digits and _"
            leaves.problems.add((*path, "tiers", tier), "bad_name", message, key=True)
        for index, one in enumerate(paths):
            if not _PATH.match(one):
                message = f"{one!r} is no path such as /responses: no parameters, no / at its end"
                leaves.problems.add((*path, "tiers", tier, index), "bad_value", message)
    for index, tier in enumerate(form.on or ()):
        if tier not in form.tiers:
            message = f"there is no group {tier!r}"
            where = (*path, "on", index)
            leaves.problems.add(where, "bad_enum", message, words=list(form.tiers), word=tier)
    return ProxyRule(
        headers=_names(form.headers, leaves, (*path, "headers")),
        answers=_names(form.answers, leaves, (*path, "answers")),
        tiers={tier: tuple(paths) for tier, paths in form.tiers.items()},
        on=tuple(form.tiers if form.on is None else form.on),
        positions=tuple(
            (re.compile(re.escape(one).replace(r"\*", "[^/]+") + r"\Z"), name)
            for name, paths in form.positions.items()
            for one in paths
        ),
    )


def _names(given: list[str], leaves: Leaves, path: Path) -> tuple[str, ...]:
    for index, name in enumerate(given):
        beginning = name.removesuffix("*").lower()
        if not _HEADER.match(name):
            leaves.problems.add((*path, index), "bad_header", f"{name!r} is no name of a header")
        elif any(never.startswith(beginning) for never in _NEVER):
            message = f"{name} is never passed on: it is ours, or tells of our callers"
            leaves.problems.add((*path, index), "bad_header", message)
    return tuple(name.lower().removesuffix("*") for name in given)
