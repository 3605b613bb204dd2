"""What stdio answers before anything heavy is imported: the lists of the last start, if they still hold.

One file per tools.yaml under `$LINKSPAN_HOME/cache/`, written after a successful compile. It holds what
lists show and nothing of a tenant. It counts only while every file it was made from, every environment
variable that those files name, and the version of Linkspan are what they were. Needs nothing but the
standard library.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from linkspan import __version__

FORMAT = 1
_VARIABLE = re.compile(rb"\$\{([A-Za-z_][A-Za-z0-9_]*)")

Answers = Mapping[str, str]
"""Results as JSON text, by `initialize VERSION` or `METHOD ERA`."""


def cache_path(home: Path, config: Path) -> Path:
    """Answer where the answers for a tools.yaml are kept."""
    name = hashlib.sha256(str(config).encode()).hexdigest()[:24]
    return home / "cache" / f"stdio-{name}.json"


def read(path: Path, environ: Mapping[str, str]) -> Answers | None:
    """Answer what was kept, or None when there is nothing or it no longer holds."""
    try:
        kept = json.loads(path.read_bytes())
        if kept["format"] != FORMAT or kept["version"] != __version__:
            return None
        if kept["digest"] != digest([Path(file) for file in kept["files"]], environ):
            return None
        answers = kept["answers"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return answers if isinstance(answers, dict) else None


def write(path: Path, files: Sequence[str], environ: Mapping[str, str], answers: Answers) -> None:
    """Keep answers; a directory that cannot be written to is no reason to fail."""
    content = {
        "format": FORMAT,
        "version": __version__,
        "files": list(files),
        "digest": digest([Path(file) for file in files], environ),
        "answers": dict(answers),
    }
    with contextlib.suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file)
            Path(temporary).replace(path)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise


def digest(files: Iterable[Path], environ: Mapping[str, str]) -> str:
    """Answer a digest of the files' bytes and of the environment variables that they name."""
    whole = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        whole.update(f"{file}\0{len(content)}\0".encode())
        whole.update(content)
        for name in sorted(set(_VARIABLE.findall(content))):
            value = environ.get(name.decode())
            whole.update(name + (b"\0" if value is None else b"=" + value.encode("utf-8", "surrogateescape")))
    return whole.hexdigest()
