"""Names that follow from what they are for, so that asking twice means the same thing."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

RUN_LENGTH: Final = 26
_APPROVAL_LENGTH: Final = 20


def run_id(tenant: str, source: str, key: str, asker: str | None = None) -> str:
    """Answer a run's id: of the door it came through, and of the key that it has there.

    A key that a caller chose is the `asker`'s own: nobody finds another's run by guessing it.
    """
    return f"run_{_digest(RUN_LENGTH, tenant, source, key, *(() if asker is None else (asker,)))}"


def approval_id(run: str, question: str) -> str:
    """Answer the id of a question of a run."""
    return f"apr_{_digest(_APPROVAL_LENGTH, run, question)}"


def _digest(length: int, *parts: str) -> str:
    told = "\0".join(f"{len(part)}:{part}" for part in parts)
    return base64.b32encode(hashlib.sha256(told.encode()).digest()).decode().lower()[:length]
