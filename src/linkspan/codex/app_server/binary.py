"""Which Codex is run: found once, and asked at the handshake whether it is one that we know how to drive."""

from __future__ import annotations

import importlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from linkspan.errors import ConfigurationError

OLDEST: Final = (0, 163)
TOO_NEW: Final = (0, 170)
"""The protocol belongs to its version: these are the bounds of what the tests drive."""
_VERSION: Final = re.compile(r"/(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Binary:
    """A Codex that can be started."""

    command: tuple[str, ...]
    folders: tuple[Path, ...]
    """What its sandbox must be able to read of it: it runs itself once more in there."""


def find_binary(named: str | None) -> Binary:
    """Answer the Codex that is named by the operator, or else that of the extra `linkspan[codex]`.

    A name is a path or a command on the PATH. Raises `ConfigurationError`.
    """
    if named is not None:
        found = shutil.which(named)
        if found is None:
            raise ConfigurationError(
                f"there is no Codex at {named!r}", hint="Set LINKSPAN_CODEX to the codex program."
            )
        return _binary(Path(found))
    try:
        package = importlib.import_module("codex_cli_bin")
    except ImportError as error:
        raise ConfigurationError(
            "Codex is not installed here",
            hint="Run: pip install 'linkspan[codex]', or set LINKSPAN_CODEX to the codex program.",
        ) from error
    return _binary(Path(package.bundled_codex_path()))


def version_of(user_agent: str) -> str:
    """Answer the version that Codex states at the handshake, in `CLIENT/0.169.0 (…)`.

    Raises `ConfigurationError` for one that we do not know.
    """
    match = _VERSION.search(user_agent)
    if match is None:
        raise ConfigurationError(
            f"what was started says that it is {user_agent[:100]!r}, which is no Codex",
            hint="Set LINKSPAN_CODEX to the codex program.",
        )
    major, minor, patch = map(int, match.groups())
    version = f"{major}.{minor}.{patch}"
    if not OLDEST <= (major, minor) < TOO_NEW:
        known = f"{OLDEST[0]}.{OLDEST[1]} to {TOO_NEW[0]}.{TOO_NEW[1] - 1}"
        raise ConfigurationError(
            f"this Codex is version {version}, and Linkspan drives {known}",
            hint="Install linkspan[codex], which brings one that fits, or set LINKSPAN_CODEX to another.",
        )
    return version


def _binary(program: Path) -> Binary:
    """The `codex` of npm is a script that starts the program beside it; we start that one ourselves."""
    real = program.resolve()
    if real.suffix == ".js":
        inner = sorted(real.parents[2].glob("codex-*/vendor/*/bin/codex"))
        inner += sorted(real.parents[1].glob("node_modules/@openai/codex-*/vendor/*/bin/codex"))
        if not inner:
            raise ConfigurationError(
                f"there is no program of Codex for this machine beside {program}",
                hint="Install Codex again, or set LINKSPAN_CODEX to the program itself.",
            )
        real = inner[0].resolve()
    package = real.parent.parent
    folders = (package,) if (package / "codex-resources").is_dir() else (real.parent,)
    return Binary((str(real),), folders)
