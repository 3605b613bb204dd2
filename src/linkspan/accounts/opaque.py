"""What we hand out to be shown again: `lsk_KIND_ID_SECRET`, kept as its ID and the SHA-256 of its SECRET.

256 random bits need no slow hash. The comparison takes the same time for every secret, and is made whether
or not there is a row, so that nobody learns from the time which IDs exist.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Literal

from linkspan.accounts.identifiers import identifier
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

OpaqueKind = Literal[
    "tenant", "admin", "run", "link", "view", "refresh", "code", "invite", "session", "console"
]
_FORM = re.compile(r"lsk_([a-z]{1,16})_([a-z0-9]{12})_([A-Za-z0-9_-]{43})")
_SECRET_BYTES = 32
_NOBODY = bytes(32)
"""What the secret of an unknown ID is compared with; no secret is known that hashes to it."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """One that was just made. `text` is shown once and stored nowhere."""

    text: Secret
    id: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Shown:
    """What somebody showed, not yet compared with anything."""

    kind: str
    id: str
    hash: bytes

    def is_of(self, stored: bytes | None) -> bool:
        """Tell whether it is the one whose hash is stored; None for an ID that is not there."""
        return hmac.compare_digest(self.hash, _NOBODY if stored is None else stored)


UNREADABLE = Shown("", "", hashlib.sha256(b"").digest())
"""What a text of another form is taken for: of no kind, with the ID of nothing."""


def mint(kind: OpaqueKind, random: Random) -> Opaque:
    """Make one."""
    secret = base64.urlsafe_b64encode(random(_SECRET_BYTES)).rstrip(b"=").decode()
    made = identifier(random)
    return Opaque(Secret(f"lsk_{kind}_{made}_{secret}"), made, hashlib.sha256(secret.encode()).digest())


def read(text: str | None, kind: OpaqueKind) -> Shown:
    """Read what was shown; `UNREADABLE` when it has not this form or is of another kind."""
    match = _FORM.fullmatch(text or "")
    if match is None or match[1] != kind:
        return UNREADABLE
    return Shown(kind, match[2], hashlib.sha256(match[3].encode()).digest())


def is_like(text: str | None, kind: OpaqueKind) -> bool:
    """Tell whether a text has the form of one: only then is it looked up, and counts as a guess."""
    return bool(read(text, kind).id)
