"""The pages of docs/recipes, each with a whole tools.yaml that a test runs as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.servers.node import ROOT

PAGES: Final = ROOT / "docs" / "recipes"
_START: Final = "```yaml\nlinkspan: 1\n"


def tools_of(name: str, folder: Path, *, below: str = "") -> Path:
    """Write the tools.yaml of a page, or the one below a heading, to a file, and answer where."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    start = text.index(_START, text.index(below)) + len("```yaml\n")
    path = folder / "tools.yaml"
    path.write_text(text[start : text.index("```", start)], encoding="utf-8")
    return path


def part_of(page: str, first: str) -> str:
    """Answer the YAML of a page of docs that begins with a line."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    start = text.index(f"```yaml\n{first}\n") + len("```yaml\n")
    return text[start : text.index("```", start)]
