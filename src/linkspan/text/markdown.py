"""A shaped item as Markdown, for people and models that read instead of computing.

Nothing is invented: what the entity calls a field is the label, texts that are Markdown stand as they are in
a section of their own, everything else in a list. Text of a product is data: a heading in it is moved below
ours, so that it cannot pass for a field.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

_TITLES: Final = ("title", "name", "summary", "subject")
_HEADING: Final = re.compile(r"^(#{1,6})(?=\s)", re.MULTILINE)
_LONG: Final = 200
_DEPTH: Final = 6


def render(
    item: Any, *, title: str, labels: Mapping[str, str] | None = None, sections: Collection[str] = ()
) -> str:
    """Answer the item as a Markdown document that starts with a heading.

    `title` is what kind of thing it is, `labels` are shown for field names, `sections` names fields whose
    text is Markdown already. Long texts become sections whether named or not.
    """
    if not isinstance(item, Mapping):
        return f"# {_line(title)}\n\n{_text(item, 0)}\n"
    labels = labels or {}
    facts: list[str] = []
    texts: list[str] = []
    for name, value in item.items():
        if value is None or value in ("", [], {}):
            continue
        label = labels.get(name) or _label(name)
        if isinstance(value, str) and (name in sections or len(value) > _LONG or "\n" in value):
            texts.append(f"## {label}\n\n{below(value.strip(), 2)}\n")
        elif isinstance(value, list) and any(isinstance(part, Mapping | list) for part in value):
            texts.append(f"## {label}\n\n{_text(value, 0)}\n")
        else:
            facts.append(f"- **{label}**: {_text(value, 1).lstrip()}")
    heading = f"# {_heading(item, title)}\n"
    return "\n".join(part for part in (heading, "\n".join(facts) + "\n" if facts else "", *texts) if part)


def below(text: str, level: int) -> str:
    """Answer Markdown with its headings moved `level` levels down, so that it nests below a heading."""
    return _HEADING.sub(lambda found: "#" * min(6, len(found.group(1)) + level), text)


def _heading(item: Mapping[str, Any], title: str) -> str:
    word = next((item[name] for name in _TITLES if isinstance(item.get(name), str) and item[name]), None)
    key = item.get("key") or item.get("id")
    named = f"{title} {key}" if isinstance(key, str | int) else title
    return _line(f"{named}: {word}" if word else named)


def _label(name: str) -> str:
    return name.replace("_", " ").strip().capitalize() or name


def _line(text: str) -> str:
    return " ".join(text.split())


def _text(value: Any, depth: int) -> str:
    """Answer a value as a line, or as a list whose lines are indented below one.

    What is too deep to nest further still stands there as a line if it is flat, as a line of source is.
    """
    indent = "  " * depth
    if isinstance(value, Mapping):
        simple = {name: part for name, part in value.items() if part is not None and part != ""}
        if all(not isinstance(part, Mapping | list) for part in simple.values()) and depth:
            return ", ".join(f"{_label(name)} {_scalar(part, depth)}" for name, part in simple.items())
        if depth > _DEPTH:
            return "…"
        lines = [
            f"{indent}- {_label(name)}: {_text(part, depth + 1).lstrip()}" for name, part in simple.items()
        ]
        return "\n" + "\n".join(lines) if depth else "\n".join(lines)
    if isinstance(value, list):
        if all(not isinstance(part, Mapping | list) for part in value):
            joined = ", ".join(_scalar(part, depth) for part in value)
            return joined if depth else f"{indent}{joined}"
        if depth > _DEPTH:
            return "…"
        lines = [f"{indent}- {_text(part, depth + 1).lstrip()}" for part in value]
        return "\n" + "\n".join(lines) if depth else "\n".join(lines)
    return _scalar(value, depth)


def _scalar(value: Any, depth: int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "—"
    text = str(value).strip()
    return text if "\n" not in text else below(text, 2).replace("\n", "\n" + "  " * max(depth, 1))
