"""Makes what the baselines need, apart from Linkspan's own environment, in `.tools/bench`: once per pins."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".tools" / "bench"
PINS = ROOT / "bench" / "pins"
_PYTHON = HOME / "venv" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Baselines:
    """A Python with the baselines' packages, and MCP Toolbox's binary (None where there is no npm)."""

    python: Path
    toolbox: Path | None


def prepare() -> Baselines:
    """Install what is not there yet; pip and npm say themselves what went wrong."""
    HOME.mkdir(parents=True, exist_ok=True)
    _once(HOME / ".python", PINS / "python.txt", _install_packages)
    if shutil.which("npm") is None:
        print("There is no npm here, so MCP Toolbox is left out.", file=sys.stderr)
        return Baselines(_PYTHON, None)
    _once(HOME / ".npm", PINS / "npm.txt", _install_toolbox)
    binaries = sorted(HOME.glob("toolbox/node_modules/@toolbox-sdk/server-*/bin/toolbox"))
    return Baselines(_PYTHON, binaries[0] if binaries else None)


def _once(stamp: Path, pins: Path, install: Callable[[Path], None]) -> None:
    made_from = f"{sys.version}\n{pins.read_text()}"
    if stamp.exists() and stamp.read_text() == made_from:
        return
    print(f"Installing the baselines of {pins.relative_to(ROOT)} …", file=sys.stderr)
    install(pins)
    stamp.write_text(made_from)


def _install_packages(pins: Path) -> None:
    _run(sys.executable, "-m", "venv", "--clear", HOME / "venv")
    _run(_PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", pins)


def _install_toolbox(pins: Path) -> None:
    home = HOME / "toolbox"
    home.mkdir(exist_ok=True)
    (home / "package.json").write_text('{"private": true}')
    packages = pins.read_text().split()
    _run("npm", "--prefix", home, "install", "--no-audit", "--no-fund", "--loglevel=error", *packages)


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr)
