"""Pages of docs/ whose examples are run as they stand: the examples, and the Linkspan that they speak of."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.servers.linkspan import Linkspan
from tests.servers.node import ROOT
from tests.servers.serving import LOOPBACK

RECIPE: Final = """
recipes:
  fix_ticket:
    title: Fix with Codex
    entity: ticket
    settings: {repository: {type: repository, required: true}}
    prompt: Fix it.
"""


def page(name: str) -> str:
    """Answer the text of a page."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Answer its examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def desk(folder: Path) -> Linkspan:
    """Answer a Linkspan whose one connector, the small tracker, is called `desk`, with a recipe."""
    tracker = (ROOT / "tests" / "fakes" / "tracker.yaml").read_text()
    config = folder / "tools.yaml"
    config.write_text(re.sub(r"^( +)tracker:", r"\1desk:", tracker, flags=re.MULTILINE) + RECIPE)
    return Linkspan(folder / "home", config)


def said_by(command: Sequence[str], linkspan: Linkspan, **environment: str) -> str:
    """Run examples as one program, and answer what it printed; that it fails is an `AssertionError`."""
    own: Mapping[str, str] = {**linkspan.environment, **environment, "no_proxy": LOOPBACK}
    done = subprocess.run(
        command,
        cwd=linkspan.home.parent,
        env=own,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
