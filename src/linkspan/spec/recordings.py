"""Files of recorded calls: read and written as YAML that a person can read and edit.

`connectors/fixtures/NAME.yaml` holds those of a built-in connector in one file: how its account is linked,
and `cases` by what each shows. What a case says of a result is what has to be in it; more may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from linkspan.errors import ConfigurationError
from linkspan.spec.language import CONNECTORS

_HEAD: Final = (
    "# Recorded by linkspan fixtures record. Secrets and personal data are replaced as far as they were\n"
    "# recognised: read it before you keep it.\n"
)
_NEEDED: Final = ("call", "connector", "exchanges")


class _Dumper(yaml.SafeDumper):
    """No anchors: what is there twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def write_recording(path: Path, recording: Mapping[str, Any]) -> None:
    """Write one; a file that is there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.dump(dict(recording), Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)
    path.write_text(_HEAD + text, encoding="utf-8")


def read_recording(path: Path) -> Mapping[str, Any]:
    """Read one. Raises `ConfigurationError` that says what is wrong with it."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict) or any(key not in found for key in _NEEDED):
        raise ConfigurationError(f"{path} is no recording: it needs {', '.join(_NEEDED)}")
    return found


def shipped(name: str) -> Mapping[str, Any]:
    """Read what the package ships of a built-in connector: `link`, and `cases`."""
    text = (CONNECTORS / "fixtures" / f"{name}.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Any] = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return found
