"""Deliveries that prove themselves, and those that only look so."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import pytest

from linkspan.runs.signatures import proves, signing
from linkspan.spec.events import Signature, Timestamp

NOW = 1_800_000_000.0
SECRET = "a-secret-of-the-test"
RAW = b'{"type":"ping","passcode":"a-secret-of-the-test","at":1800000000000}'


def mac(signed: bytes, key: bytes = SECRET.encode(), digest: str = "sha256") -> bytes:
    """Sign."""
    return hmac.digest(key, signed, digest)


KEY = base64.b64encode(b"k" * 24).decode()
STANDARD = "v1," + base64.b64encode(mac(b"m1.1800000000." + RAW, b"k" * 24)).decode()
GITHUB = Signature("hmac", header="x-hub-signature-256", prefix="sha256=")
SLACK = Signature(
    "hmac",
    header="x-slack-signature",
    prefix="v0=",
    signed=("v0:", "{timestamp}", ":", "{body}"),
    timestamp=Timestamp(header="x-slack-request-timestamp"),
)
PAGERDUTY = Signature("hmac", header="x-pagerduty-signature", prefix="v1=", separator=",")
STRIPE = Signature(
    "hmac", header="stripe-signature", prefix="v1=", separator=",",
    signed=("{timestamp}", ".", "{body}"), timestamp=Timestamp(prefix="t="),
)  # fmt: skip
LINEAR = Signature(
    "hmac",
    header="linear-signature",
    timestamp=Timestamp(body=lambda body: body["at"] if body else None, unit="ms"),
)
ZENDESK = Signature(
    "hmac",
    header="x-signature",
    encoding="base64",
    signed=("{timestamp}", "{body}"),
    timestamp=Timestamp(header="x-time", unit="date"),
)
SCHEMES: list[tuple[str, Signature, str, dict[str, str]]] = [
    ("github", GITHUB, SECRET, {"x-hub-signature-256": "sha256=" + mac(RAW).hex()}),
    (
        "slack",
        SLACK,
        SECRET,
        {
            "x-slack-signature": "v0=" + mac(b"v0:1800000000:" + RAW).hex(),
            "x-slack-request-timestamp": "1800000000",
        },
    ),
    ("pagerduty", PAGERDUTY, SECRET, {"x-pagerduty-signature": f"v1={'0' * 64},v1={mac(RAW).hex()}"}),
    (
        "stripe",
        STRIPE,
        SECRET,
        {"stripe-signature": f"t=1800000000,v1={mac(b'1800000000.' + RAW).hex()}"},
    ),
    ("linear", LINEAR, SECRET, {"linear-signature": mac(RAW).hex()}),
    (
        "zendesk",
        ZENDESK,
        SECRET,
        {
            "x-signature": base64.b64encode(mac(b"2027-01-15T08:00:00Z" + RAW)).decode(),
            "x-time": "2027-01-15T08:00:00Z",
        },
    ),
    (
        "base64",
        Signature("hmac", digest="sha1", header="x-sig", encoding="base64"),
        SECRET,
        {"x-sig": base64.b64encode(mac(RAW, digest="sha1")).decode()},
    ),
    (
        "standard",
        Signature("standard"),
        f"whsec_{KEY}",
        {"webhook-id": "m1", "webhook-timestamp": "1800000000", "webhook-signature": f"v2,x {STANDARD}"},
    ),
    ("token", Signature("token", header="x-token", prefix="T "), SECRET, {"x-token": f"T {SECRET}"}),
    ("bearer", Signature("bearer"), SECRET, {"authorization": f"Bearer {SECRET}"}),
    (
        "basic",
        Signature("basic"),
        f"al:{SECRET}",
        {"authorization": "Basic " + base64.b64encode(f"al:{SECRET}".encode()).decode()},
    ),
    ("body", Signature("body", body=lambda body: body["passcode"] if body else None), SECRET, {}),
]
SIGNED = [each for each in SCHEMES if each[1].kind in ("hmac", "standard")]
TIMED = [each for each in SIGNED if each[0] in ("slack", "stripe", "linear", "zendesk", "standard")]


def ids(value: Any) -> str | None:
    """Name a case."""
    return value if isinstance(value, str) and value.isalnum() and len(value) < 12 else ""


@pytest.mark.parametrize(("name", "how", "secret", "headers"), SCHEMES, ids=ids)
def test_who_knows_the_secret_is_believed(
    name: str, how: Signature, secret: str, headers: dict[str, str]
) -> None:
    """Each vendor's way; another secret, none at all, or no header are refused."""
    assert name
    assert proves(how, secret, headers, RAW, now=NOW)
    other = f"whsec_{base64.b64encode(b'o' * 24).decode()}" if how.kind == "standard" else "another-secret"
    assert not proves(how, other, headers, RAW, now=NOW)
    assert not proves(how, "", headers, RAW, now=NOW)
    assert not proves(how, secret, {}, b"{}", now=NOW)


@pytest.mark.parametrize(("name", "how", "secret", "headers"), SIGNED, ids=ids)
def test_a_body_that_was_changed_is_refused(
    name: str, how: Signature, secret: str, headers: dict[str, str]
) -> None:
    """By one byte; so is a signature of another length."""
    assert name
    assert not proves(how, secret, headers, RAW + b" ", now=NOW)
    for header, value in headers.items():
        if "signature" in header or header == "x-sig":
            assert not proves(how, secret, {**headers, header: value[:-1]}, RAW, now=NOW)
            assert not proves(how, secret, {**headers, header: value + "0"}, RAW, now=NOW)


@pytest.mark.parametrize(("name", "how", "secret", "headers"), TIMED, ids=ids)
def test_what_was_signed_long_ago_is_refused(
    name: str, how: Signature, secret: str, headers: dict[str, str]
) -> None:
    """Five minutes either way are let pass."""
    assert name
    assert proves(how, secret, headers, RAW, now=NOW + 300)
    assert not proves(how, secret, headers, RAW, now=NOW + 301)
    assert not proves(how, secret, headers, RAW, now=NOW - 301)


@pytest.mark.parametrize("told", ["", "soon", "2027-01-15T08:00:00", "1800000000", "9" * 60])
def test_a_time_that_is_none_is_refused(told: str) -> None:
    """Without an offset nobody knows when that was."""
    signature = base64.b64encode(mac(told.encode() + RAW)).decode()
    assert not proves(ZENDESK, SECRET, {"x-signature": signature, "x-time": told}, RAW, now=NOW)


def test_an_address_that_is_the_secret() -> None:
    """Nothing but its last part proves it."""
    how = Signature("url")
    assert proves(how, SECRET, {}, RAW, now=NOW, address=SECRET)
    assert not proves(how, SECRET, {}, RAW, now=NOW, address="other")
    assert not proves(how, SECRET, {}, RAW, now=NOW)


@pytest.mark.parametrize(
    ("how", "secret"),
    [case[1:3] for case in SCHEMES if case[1].kind != "body"],
    ids=[case[0] for case in SCHEMES if case[1].kind != "body"],
)
def test_a_sample_is_signed_as_the_product_signs(how: Signature, secret: str) -> None:
    """What is made for a scheme proves itself by it, and not with another secret or another body."""
    headers, address = signing(how, secret, RAW, now=NOW, delivery="m1")

    def fits(with_secret: str, raw: bytes) -> bool:
        return proves(how, with_secret, headers, raw, now=NOW, delivery="m1", address=address)

    assert fits(secret, RAW)
    assert not fits(secret[:-1], RAW)
    if how.kind in ("hmac", "standard"):
        assert not fits(secret, RAW + b" ")
