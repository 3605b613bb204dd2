"""Whether a delivery is from whom it says: pure functions over raw bytes, compared in constant time.

Nothing reads a body before it is proved; only where the secret or the time of signing stands in the body
itself is it parsed before, and then nothing else of it is looked at. Header names are in lower case.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from linkspan.spec.events import Signature, Timestamp

_MOST_PIECES: Final = 20
_STANDARD: Final = Timestamp(header="webhook-timestamp")


def parsed(raw: bytes) -> Any:
    """Answer a JSON body; None when it is none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def proves(
    how: Signature,
    secret: str,
    headers: Mapping[str, str],
    raw: bytes,
    *,
    now: float,
    delivery: str | None = None,
    address: str | None = None,
) -> bool:
    """Tell whether a delivery was made by somebody who knows the secret, and not long ago.

    `delivery` is what the sender calls it (of a header), `address` the secret part of the address.
    """
    if not secret:
        return False
    if how.kind == "hmac":
        return _signed(how, secret, headers, raw, now, delivery)
    if how.kind == "standard":
        return _standard(secret, headers, raw, now)
    if how.kind == "body":
        told = how.body(parsed(raw)) if how.body is not None else None
        return isinstance(told, str) and _same(told, secret)
    if how.kind == "url":
        return address is not None and _same(address, secret)
    shown = headers.get(how.header if how.kind == "token" else "authorization", "")
    if how.kind == "token":
        return shown.startswith(how.prefix) and _same(shown[len(how.prefix) :], secret)
    scheme, _, rest = shown.partition(" ")
    if scheme.lower() != how.kind:
        return False
    if how.kind == "bearer":
        return _same(rest.strip(), secret)
    return _same(rest.strip(), base64.b64encode(secret.encode()).decode())


def signing(
    how: Signature, secret: str, raw: bytes, *, now: float, delivery: str
) -> tuple[dict[str, str], str | None]:
    """Answer the headers by which a delivery proves itself, and the secret part of its address, if any.

    Where the secret or the time stands in the body itself, it is there already.
    """
    stamp = how.timestamp
    told = time_told(stamp, now)
    if how.kind == "hmac":
        headers = {stamp.header: told} if stamp is not None and stamp.header is not None else {}
        if stamp is not None and stamp.body is not None:
            told = str(stamp.body(parsed(raw)))
        signature = how.prefix + _digest(how, secret, told, raw, delivery)
        if stamp is not None and stamp.prefix is not None:
            signature = f"{stamp.prefix}{told}{how.separator}{signature}"
        return {**headers, how.header: signature}, None
    if how.kind == "standard":
        signed = f"{delivery}.{told}.".encode() + raw
        digest = hmac.digest(_key(secret.removeprefix("whsec_")), signed, "sha256")
        return {
            "webhook-id": delivery,
            "webhook-timestamp": told,
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }, None
    if how.kind == "token":
        return {how.header: how.prefix + secret}, None
    if how.kind == "bearer":
        return {"authorization": f"Bearer {secret}"}, None
    if how.kind == "basic":
        return {"authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}, None
    return {}, secret if how.kind == "url" else None


def time_told(stamp: Timestamp | None, now: float) -> str:
    """Answer a time as a product that signs it so writes it."""
    if stamp is not None and stamp.unit == "date":
        return datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z")
    return str(int(now * (1000 if stamp is not None and stamp.unit == "ms" else 1)))


def _digest(how: Signature, secret: str, told: str, raw: bytes, delivery: str | None) -> str:
    key = _key(secret) if how.secret == "base64" else secret.encode()  # noqa: S105 - how it is written
    known = {"{body}": raw, "{timestamp}": told.encode(), "{id}": (delivery or "").encode()}
    signed = b"".join(known.get(piece, piece.encode()) for piece in how.signed)
    digest = hmac.digest(key, signed, how.digest)
    return digest.hex() if how.encoding == "hex" else base64.b64encode(digest).decode()


def _signed(
    how: Signature, secret: str, headers: Mapping[str, str], raw: bytes, now: float, delivery: str | None
) -> bool:
    shown = headers.get(how.header, "")
    pieces = shown.split(how.separator)[:_MOST_PIECES] if how.separator else [shown]
    pieces = [piece.strip() for piece in pieces]
    key = _key(secret) if how.secret == "base64" else secret.encode()  # noqa: S105 - how it is written
    if not shown or not key:
        return False
    stamp = how.timestamp
    told = _time(stamp, headers, pieces, raw) if stamp is not None else ""
    expected = _digest(how, secret, told, raw, delivery)
    fits = False
    for piece in pieces:
        if piece.startswith(how.prefix):
            text = piece[len(how.prefix) :]
            fits |= _same(text.lower() if how.encoding == "hex" else text, expected)
    return fits and (stamp is None or _is_fresh(stamp, told, now))


def _standard(secret: str, headers: Mapping[str, str], raw: bytes, now: float) -> bool:
    key = _key(secret.removeprefix("whsec_"))
    identified, told = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not key or not identified:
        return False
    digest = hmac.digest(key, f"{identified}.{told}.".encode() + raw, "sha256")
    expected = base64.b64encode(digest).decode()
    fits = False
    for piece in headers.get("webhook-signature", "").split(" ")[:_MOST_PIECES]:
        version, _, text = piece.partition(",")
        fits |= version == "v1" and _same(text, expected)
    return fits and _is_fresh(_STANDARD, told, now)


def _time(stamp: Timestamp, headers: Mapping[str, str], pieces: list[str], raw: bytes) -> str:
    if stamp.header is not None:
        return headers.get(stamp.header, "")
    if stamp.prefix is not None:
        return next((piece[len(stamp.prefix) :] for piece in pieces if piece.startswith(stamp.prefix)), "")
    told = stamp.body(parsed(raw)) if stamp.body is not None else None
    return "" if told is None or isinstance(told, bool) else str(told)


def _is_fresh(stamp: Timestamp, told: str, now: float) -> bool:
    at = _date(told) if stamp.unit == "date" else _number(told)
    return at is not None and abs(now - at / (1000 if stamp.unit == "ms" else 1)) <= stamp.tolerance


def _number(told: str) -> float | None:
    return int(told) if told.isascii() and told.isdecimal() and len(told) <= 16 else None


def _date(told: str) -> float | None:
    try:
        found = datetime.fromisoformat(told[:40])
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo is not None else None


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
