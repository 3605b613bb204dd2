"""What products deliver to built-in connectors: what proves itself, what is told of it, and who did it."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from linkspan.runs.hooks import things_of
from linkspan.runs.signatures import proves
from linkspan.spec.events import Webhooks
from linkspan.store.deliveries import LONGEST_ID
from tests.connectors.replayed import CONNECTORS, catalog_of

SECRET: Final = "canary-secret-of-a-webhook"
NOW: Final = 1_800_000_000.0
KEPT: Final[Mapping[str, list[Mapping[str, Any]]]] = yaml.safe_load(
    (Path(__file__).parent / "deliveries.yaml").read_text()
)
Proof = Callable[[str, bytes, float], dict[str, str]]
"""The headers that a product sends, of secret, body and time."""


def digest(secret: str, signed: bytes) -> str:
    """Sign as most of them do."""
    return hmac.digest(secret.encode(), signed, "sha256").hex()


def zendesk(secret: str, raw: bytes, now: float) -> dict[str, str]:
    """The time is a date and stands before the body with nothing between."""
    told = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = base64.b64encode(hmac.digest(secret.encode(), told.encode() + raw, "sha256")).decode()
    return {"x-zendesk-webhook-signature": made, "x-zendesk-webhook-signature-timestamp": told}


def slack(secret: str, raw: bytes, now: float) -> dict[str, str]:
    """The time stands in the text that is signed, and in a header."""
    told = f"{now:.0f}"
    made = digest(secret, f"v0:{told}:".encode() + raw)
    return {"x-slack-signature": f"v0={made}", "x-slack-request-timestamp": told}


def grafana(secret: str, raw: bytes, now: float) -> dict[str, str]:
    """As a contact point signs that has a timestamp header."""
    told = f"{now:.0f}"
    made = digest(secret, f"{told}:".encode() + raw)
    return {"x-grafana-alerting-signature": made, "x-grafana-alerting-timestamp": told}


def bearer(secret: str, _raw: bytes, _now: float) -> dict[str, str]:
    """The secret itself."""
    return {"authorization": f"Bearer {secret}"}


SIGNED: Final[dict[str, Proof]] = {
    "asana": lambda secret, raw, _: {"x-hook-signature": digest(secret, raw)},
    "bitbucket": lambda secret, raw, _: {"x-hub-signature": f"sha256={digest(secret, raw)}"},
    "desk": lambda secret, raw, _: {"x-desk-signature": f"sha256={digest(secret, raw)}"},
    "github": lambda secret, raw, _: {"x-hub-signature-256": f"sha256={digest(secret, raw)}"},
    "grafana": grafana,
    "jira": lambda secret, raw, _: {"x-hub-signature": f"sha256={digest(secret, raw)}"},
    "linear": lambda secret, raw, _: {"linear-signature": digest(secret, raw)},
    "pagerduty": lambda secret, raw, _: {"x-pagerduty-signature": f"v1={'0' * 64},v1={digest(secret, raw)}"},
    "sentry": lambda secret, raw, _: {"sentry-hook-signature": digest(secret, raw)},
    "slack": slack,
    "zendesk": zendesk,
}
"""As each product's documentation says it."""
SHOWN: Final[dict[str, Proof]] = {
    "alertmanager": bearer,
    "datadog": bearer,
    "gitlab": lambda secret, _raw, _now: {"x-gitlab-token": secret},
    "servicenow": bearer,
}
TELLING: Final = [name for name in CONNECTORS if name != "roundup"]
"""Those that deliver anything: the list of Roundup is looked at."""
TIMED: Final = ("grafana", "linear", "slack", "zendesk")
TIME_IN_BODY: Final = ("linear",)
PUBLISHED: Final = [
    # docs.github.com: "Validating webhook deliveries", "Testing the webhook payload validation".
    ("github", "It's a Secret to Everybody", b"Hello, World!", 0.0, {
        "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    }),
    # developer.atlassian.com/cloud/jira/platform/webhooks: "Secure admin webhooks".
    ("jira", "It's a Secret to Everybody", b"Hello World!", 0.0, {
        "x-hub-signature": "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9",
    }),
    # docs.slack.dev: "Verifying requests from Slack".
    ("slack", "8f742231b10e8888abcd99yyyzzz85a5",
     (b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&"
     b"channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&"
     b"response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F"
     b"96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"),
     1531420618.0, {
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        "x-slack-request-timestamp": "1531420618",
    }),
]  # fmt: skip
"""Examples that vendors publish with the result: the secret, what was sent, when, and the headers."""


def hooks_of(name: str, home: Path) -> Webhooks:
    """Answer what the connector says of deliveries."""
    found = catalog_of(home, name).connectors[name].webhooks
    assert found is not None
    return found


def first_of(name: str) -> bytes:
    """Answer the body of a delivery."""
    return json.dumps(KEPT[name][0]["body"]).encode()


@pytest.mark.parametrize(("name", "secret", "raw", "now", "headers"), PUBLISHED, ids=lambda value: "")
def test_what_a_vendor_publishes_as_an_example_proves_itself(
    name: str, secret: str, raw: bytes, now: float, headers: dict[str, str], tmp_path: Path
) -> None:
    """The vendor's own secret, text and signature."""
    how = hooks_of(name, tmp_path).signature
    assert proves(how, secret, headers, raw, now=now)
    assert not proves(how, secret, headers, raw + b"!", now=now)


@pytest.mark.parametrize("name", SIGNED)
def test_a_signature_is_what_the_documentation_says(name: str, tmp_path: Path) -> None:
    """The right one; not one of another secret, length or body, none, or where there is no secret."""
    how, sign, raw = hooks_of(name, tmp_path).signature, SIGNED[name], first_of(name)
    right = sign(SECRET, raw, NOW)
    assert proves(how, SECRET, right, raw, now=NOW)
    assert not proves(how, "another-secret-canary", right, raw, now=NOW)
    assert not proves(how, "", sign("", raw, NOW), raw, now=NOW)
    assert not proves(how, SECRET, {}, raw, now=NOW)
    assert not proves(how, SECRET, right, raw.replace(b"{", b"{ ", 1), now=NOW)
    (header,) = [key for key in right if not key.endswith("timestamp")]
    for wrong in (right[header][:-1], right[header] + "0", right[header][len("sha256=") :], ""):
        if name != "pagerduty" or wrong != right[header][len("sha256=") :]:
            assert not proves(how, SECRET, {**right, header: wrong}, raw, now=NOW)


@pytest.mark.parametrize("name", TIMED)
def test_what_was_signed_long_ago_is_refused(name: str, tmp_path: Path) -> None:
    """With the very signature that it had then; and a time that was put over it does not help."""
    how, raw = hooks_of(name, tmp_path).signature, first_of(name)
    assert how.timestamp is not None
    right = SIGNED[name](SECRET, raw, NOW)
    later = NOW + how.timestamp.tolerance + 2
    assert not proves(how, SECRET, right, raw, now=later)
    if name not in TIME_IN_BODY:
        (stamp,) = [key for key in right if key.endswith("timestamp")]
        forged = {**right, stamp: SIGNED[name](SECRET, raw, later)[stamp]}
        assert not proves(how, SECRET, forged, raw, now=later)


@pytest.mark.parametrize("name", SHOWN)
def test_a_secret_that_is_shown(name: str, tmp_path: Path) -> None:
    """The right one; not another one, a piece of it, or none."""
    how, raw = hooks_of(name, tmp_path).signature, first_of(name)
    assert proves(how, SECRET, SHOWN[name](SECRET, raw, NOW), raw, now=NOW)
    for wrong in ("another-secret-canary", SECRET[:-1], SECRET + "0", ""):
        assert not proves(how, SECRET, SHOWN[name](wrong, raw, NOW), raw, now=NOW)
    assert not proves(how, "", SHOWN[name]("", raw, NOW), raw, now=NOW)
    assert not proves(how, SECRET, {}, raw, now=NOW)


def test_a_secret_in_the_body_and_one_in_the_address(tmp_path: Path) -> None:
    """Figma's passcode, and the address that Bugsink delivers to."""
    figma, raw = hooks_of("figma", tmp_path).signature, first_of("figma")
    assert proves(figma, "canary-passcode", {}, raw, now=NOW)
    for secret in ("canary-passcod", "canary-passcode1", "", SECRET):
        assert not proves(figma, secret, {}, raw, now=NOW)
    bugsink, raw = hooks_of("bugsink", tmp_path).signature, first_of("bugsink")
    assert proves(bugsink, SECRET, {}, raw, now=NOW, address=SECRET)
    for address in (None, "", SECRET[:-1]):
        assert not proves(bugsink, SECRET, {}, raw, now=NOW, address=address)


@pytest.mark.parametrize("name", TELLING)
def test_what_is_told_of_a_delivery(name: str, tmp_path: Path) -> None:
    """Which events of which things, who did them, and what was written."""
    hooks = hooks_of(name, tmp_path)
    assert name in {*SIGNED, *SHOWN, "figma", "bugsink"}
    for delivery in KEPT[name]:
        root = {"headers": delivery["headers"], "query": {}, "body": delivery["body"]}
        told = []
        for event in hooks.events.values():
            for thing, id_ in things_of(event, root):
                said: dict[str, Any] = {"event": event.name, "id": id_}
                said |= {"by": event.by(thing)} if event.by is not None else {}
                said |= {"text": event.text(thing)} if event.text is not None else {}
                said |= {"comment": event.comment(thing)} if event.comment is not None else {}
                told.append(said)
        wanted = [
            {key: value for key, value in each.items() if value is not None} for each in delivery["tells"]
        ]
        assert sorted(told, key=str) == sorted(wanted, key=str)


def test_an_id_is_told_whole_or_not_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A piece of it would be another thing's, or nobody's; the log says that it was too long."""
    firing = hooks_of("alertmanager", tmp_path).events["alert_group.firing"]

    def told(label: str) -> list[str]:
        body = {"status": "firing", "receiver": "team", "groupLabels": {"pod": label}}
        return [id_ for _, id_ in things_of(firing, {"headers": {}, "query": {}, "body": body})]

    whole = 'team/{"pod":"' + "p" * (LONGEST_ID - 15) + '"}'
    assert told("p" * (LONGEST_ID - 15)) == [whole]
    assert caplog.text == ""
    assert told("p" * (LONGEST_ID - 14)) == []
    assert told("\u00fc" * (LONGEST_ID // 2)) == []
    assert "alert_group.firing starts nothing: its id has 2001 bytes, of 2000 at most" in caplog.text


def test_what_one_delivery_tells_of_too_much_the_log_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A large group of alerts is told whole; beyond two thousand it is not lost without a word."""
    firing = hooks_of("alertmanager", tmp_path).events["alert.firing"]

    def told(number: int) -> int:
        alerts = [{"status": "firing", "fingerprint": f"{each:x}"} for each in range(number)]
        return len(list(things_of(firing, {"headers": {}, "query": {}, "body": {"alerts": alerts}})))

    assert told(2_000) == 2_000
    assert caplog.text == ""
    assert told(2_001) == 2_000
    assert "alert.firing: of 2001 things the first 2000 are looked at" in caplog.text
    half = {"body": {"alerts": [{"status": "firing", "fingerprint": "a\ud800"}]}}
    assert [entity_id for _, entity_id in things_of(firing, {"headers": {}, "query": {}, **half})] == [
        "a\ufffd"
    ]


@pytest.mark.parametrize("name", TELLING)
def test_a_delivery_that_was_recorded_is_the_same_one(name: str, tmp_path: Path) -> None:
    """What makes it the same stands in what is signed, whatever is put into its headers."""
    hooks = hooks_of(name, tmp_path)
    for delivery in KEPT[name]:
        told = set()
        for header in ("one", "another"):
            headers = {**delivery["headers"], "x-github-delivery": header, "x-request-uuid": header}
            headers |= {"request-id": header, "linear-delivery": header, "idempotency-key": header}
            root = {"headers": headers, "query": {}, "body": delivery["body"]}
            for event in hooks.events.values():
                for thing, id_ in things_of(event, root):
                    same_as, where = (event.same, thing) if event.same is not None else (hooks.id, root)
                    assert same_as is not None, event.name
                    same = same_as(where)
                    assert None not in (same if isinstance(same, list) else [same]), (event.name, same)
                    told.add((event.name, id_, json.dumps(same, sort_keys=True)))
        assert len(told) == len(delivery["tells"])


def test_handshakes(tmp_path: Path) -> None:
    """Slack's challenge is answered with what it asks for, Asana's secret is kept and sent back."""
    slack_hooks = hooks_of("slack", tmp_path).handshake
    assert slack_hooks is not None
    body = {"type": "url_verification", "challenge": "3eZbrw1aB"}
    root = {"headers": {}, "query": {}, "body": body}
    assert slack_hooks.when is not None
    assert slack_hooks.reply is not None
    assert slack_hooks.when(root)
    assert slack_hooks.reply(root) == "3eZbrw1aB"
    assert not slack_hooks.when({**root, "body": {"type": "event_callback"}})
    asana_hooks = hooks_of("asana", tmp_path).handshake
    assert asana_hooks is not None
    assert (asana_hooks.secret or "").lower() == "x-hook-secret"
