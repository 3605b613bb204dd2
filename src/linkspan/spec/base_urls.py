"""Compiles a connector's base URL: what settings may choose in it, and what no setting can."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from linkspan.spec import references
from linkspan.spec.catalog import Setting, Template
from linkspan.spec.leaves import Leaves
from linkspan.spec.yaml import Path

_Written = Sequence[tuple[str | None, str, int]]


def compile_base_url(path: Path, text: str, settings: Mapping[str, Setting], leaves: Leaves) -> Template:
    """Compile a base URL.

    A setting of type `origin` stands first and is the whole scheme, host and port; another setting is a part
    of the host's name before a written domain, or a segment of the path.
    """
    written = leaves.placeholders(path, text, 0)
    is_origin = bool(written) and _is_origin(written[0][0], settings)
    parts: list[tuple[str | None, Any, str]] = []
    before = ""
    problems: list[tuple[str, int]] = []
    for index, (name, literal, offset) in enumerate(written):
        if name is None:
            filled = leaves.text(path, literal)
            before += filled
            parts.append((None, filled, ""))
            continue
        key = name.removeprefix("settings.")
        if not name.startswith("settings.") or key not in settings:
            message = f"{{{name}}} is not declared: a base URL knows settings only"
            words = [f"settings.{known}" for known in settings]
            leaves.problems.add(
                path, "undeclared_placeholder", message, offset=offset + 1, word=name, words=words
            )
            return references.BaseUrlTemplate(())
        where = "origin" if is_origin and index == 0 else "path" if before.count("/") >= 3 else "host"
        following = written[index + 1][1] if index + 1 < len(written) else ""
        if fault := _fault(name, where, settings[key], before, following):
            problems.append((fault, offset))
        before += "https://host" if where == "origin" else "x"
        parts.append((name, references.setting(settings[key]), where))
    if leaves.problems.has_below(path, ["missing_variable", "bad_variable"]):
        return references.BaseUrlTemplate(())
    if whole := _whole_fault(before):
        problems.insert(0, (whole, 0))
    for message, offset in problems[:1]:
        leaves.problems.add(path, "bad_base_url", message, offset=offset)
    return references.BaseUrlTemplate(tuple(parts))


def _is_origin(name: str | None, settings: Mapping[str, Setting]) -> bool:
    known = settings.get(name.removeprefix("settings.")) if name is not None else None
    return known is not None and known.type == "origin"


def _fault(name: str, where: str, setting: Setting, before: str, following: str) -> str | None:
    if where != "origin" and setting.type == "origin":
        return f"{{{name}}} is an origin: it stands first, with scheme, host and port"
    if where != "host":
        return None
    if not before.endswith(("//", ".", "-")):
        return f"{{{name}}} cannot stand here: it is a part of the host's name or of the path"
    if not re.match(r"[A-Za-z0-9-]*\.[A-Za-z0-9.-]*[A-Za-z0-9]", following):
        return (
            f"{{{name}}} would choose the whole host; give it the type origin, or write the domain behind it"
        )
    return None


def _whole_fault(shown: str) -> str | None:
    if not shown:
        return None
    if not re.match(r"https?://[^/?#\s]+", shown):
        return "must begin with https:// or http:// and a host"
    if "?" in shown or "#" in shown:
        return "must have no ? and no #; put parameters under query"
    if "@" in shown.split("/")[2]:
        return "must hold no user name or password"
    if re.search(r"/\.\.?(/|$)|[\s\\]", shown[8:]):
        return "must hold no . or .. segments, spaces or \\"
    return None
