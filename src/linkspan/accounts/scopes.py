"""Scopes of a sign-in: what was asked for, within what the person may give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from linkspan.spec.catalog import Catalog, scopes_allow


def narrow(asked: Iterable[str], allowed: Sequence[str], catalog: Catalog) -> tuple[str, ...]:
    """Answer scope words that allow what both allow, in the order that they were asked for.

    A word that is allowed as a whole stays; of another one there stay the words of the person that are within
    it, else the single operations that both allow.
    """
    kept: dict[str, None] = {}
    for word in asked:
        if word in allowed or "write" in allowed:
            kept[word] = None
        elif word == "write":
            kept.update(dict.fromkeys(allowed))
        else:
            both = (
                tool.key
                for tool in catalog.tools
                if scopes_allow((word,), tool.key, tool.kind) and scopes_allow(allowed, tool.key, tool.kind)
            )
            kept.update(dict.fromkeys(both))
    return tuple(kept)
