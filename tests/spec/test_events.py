"""What products tell by themselves: how each proves it, which events there are, what is listened to."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.spec.events import Signature, Timestamp

EVENTS = "events: {ticket.assigned: {when: \"body.type == 'assigned'\", id: body.ticket.id}}"


def webhooks(load: Any, good: str, words: str) -> Any:
    text = good.replace("    rate_limit: {", f"    webhooks: {{{words}, {EVENTS}}}\n    rate_limit: {{")
    return load(text).connectors["desk"].webhooks


VENDORS = {
    "GitHub": (
        "{hmac: sha256, header: X-Hub-Signature-256, prefix: 'sha256='}",
        Signature("hmac", header="x-hub-signature-256", prefix="sha256="),
    ),
    "Sentry": (
        "{hmac: sha256, header: Sentry-Hook-Signature}",
        Signature("hmac", header="sentry-hook-signature"),
    ),
    "Slack": (
        (
            "{hmac: sha256, header: X-Slack-Signature, prefix: v0=, signed: 'v0:{timestamp}:{body}',"
            " timestamp: {header: X-Slack-Request-Timestamp}}"
        ),
        Signature(
            "hmac",
            header="x-slack-signature",
            prefix="v0=",
            signed=("v0:", "{timestamp}", ":", "{body}"),
            timestamp=Timestamp(header="x-slack-request-timestamp"),
        ),
    ),
    "PagerDuty": (
        "{hmac: sha256, header: X-PagerDuty-Signature, prefix: v1=, separator: ','}",
        Signature("hmac", header="x-pagerduty-signature", prefix="v1=", separator=","),
    ),
    "Stripe": (
        (
            "{hmac: sha256, header: Stripe-Signature, prefix: v1=, separator: ',',"
            " signed: '{timestamp}.{body}',"
            " timestamp: {prefix: t=, tolerance: 2m}}"
        ),
        Signature(
            "hmac",
            header="stripe-signature",
            prefix="v1=",
            separator=",",
            signed=("{timestamp}", ".", "{body}"),
            timestamp=Timestamp(prefix="t=", tolerance=120.0),
        ),
    ),
    "Zendesk": (
        (
            "{hmac: sha256, header: X-Zendesk-Webhook-Signature, encoding: base64,"
            " signed: '{timestamp}{body}',"
            " timestamp: {header: X-Zendesk-Webhook-Signature-Timestamp}}"
        ),
        Signature(
            "hmac",
            header="x-zendesk-webhook-signature",
            encoding="base64",
            signed=("{timestamp}", "{body}"),
            timestamp=Timestamp(header="x-zendesk-webhook-signature-timestamp"),
        ),
    ),
    "GitLab": ("{token: X-Gitlab-Token}", Signature("token", header="x-gitlab-token")),
    "Alertmanager": ("{bearer: true}", Signature("bearer")),
    "Standard Webhooks": ("{standard: true}", Signature("standard")),
    "nothing but the address": ("{url: true}", Signature("url")),
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_how_vendors_prove_their_deliveries(vendor: str, load: Any, good: str) -> None:
    """Each in one line, as its documentation has it."""
    words, expected = VENDORS[vendor]
    assert webhooks(load, good, f"verify: {words}").signature == expected


def test_a_secret_in_the_body_and_a_time_there(load: Any, good: str) -> None:
    """Figma's passcode; Linear's time of signing in milliseconds."""
    found = webhooks(load, good, "verify: {body: passcode}").signature
    assert (found.kind, found.body({"passcode": "p"})) == ("body", "p")
    words = "verify: {hmac: sha256, header: Linear-Signature, timestamp: {body: webhookTimestamp, unit: ms}}"
    stamp = webhooks(load, good, words).signature.timestamp
    assert (stamp.body({"webhookTimestamp": 5}), stamp.unit) == (5, "ms")


def test_a_delivery_finds_its_account_and_its_events(load: Any, good: str) -> None:
    """By a setting; what makes it the same delivery; what it is about, and when."""
    found = webhooks(
        load,
        good,
        "scope: app, account: {body: site.slug, setting: site}, verify: {bearer: true}, id: {header: X-Id}",
    )
    delivery = {
        "headers": {"x-id": "d1"},
        "query": {},
        "body": {"site": {"slug": "acme"}, "type": "assigned", "ticket": {"id": 7}},
    }
    assert (found.scope, found.account(delivery), found.setting, found.id(delivery)) == (
        "app",
        "acme",
        "site",
        "d1",
    )
    event = found.events["ticket.assigned"]
    assert (event.entity, event.when(delivery), event.id(delivery)) == ("ticket", True, 7)
    assert not event.when({**delivery, "body": {"type": "closed"}})


def test_a_delivery_of_several_things(load: Any, good: str) -> None:
    """Alertmanager's: each alert is an event, the same one while it began at the same time."""
    events = (
        "events: {ticket.fired: {each: body.alerts, when: \"status == 'firing'\", id: fingerprint,"
        ' same: "[fingerprint, startsAt]", item: "@"}}'
    )
    text = good.replace(
        "    rate_limit: {", f"    webhooks: {{verify: {{bearer: true}}, {events}}}\n    rate_limit: {{"
    )
    event = load(text).connectors["desk"].webhooks.events["ticket.fired"]
    (alert,) = event.each({"body": {"alerts": [{"status": "firing", "fingerprint": "f", "startsAt": "t"}]}})
    assert event.when(alert)
    assert (event.id(alert), event.same(alert), event.item(alert)) == ("f", ["f", "t"], alert)


def test_handshakes(load: Any, good: str) -> None:
    """Slack's challenge is answered, Asana's header sent back."""
    found = webhooks(
        load,
        good,
        "verify: {url: true}, handshake: {when: \"body.type == 'url_verification'\", reply: body.challenge}",
    ).handshake
    delivery = {"headers": {}, "query": {}, "body": {"type": "url_verification", "challenge": "c"}}
    assert (found.when(delivery), found.reply(delivery)) == (True, "c")
    assert (
        webhooks(load, good, "verify: {url: true}, handshake: {echo: X-Hook-Secret}").handshake.echo
        == "X-Hook-Secret"
    )


def test_what_is_listened_to(load: Any, good: str) -> None:
    """A stream of lines that goes on by a parameter, one of SSE that goes on by its own header."""
    text = good.replace(
        "    rate_limit: {",
        """\
    streams:
      live:
        request: GET /sites/{settings.site}/events
        query: {kinds: ticket}
        format: lines
        id: seq
        resume: {query: since}
        events: {ticket.changed: {when: "kind == 'ticket'", id: ticket.id}}
      feed: {request: GET /feed, events: {ticket.seen: {id: id}}}
    rate_limit: {""",
    )
    connector = load(text).connectors["desk"]
    live, feed = connector.streams
    assert (live.plan.method, live.format, live.resume_query, live.id({"seq": 4})) == (
        "GET",
        "lines",
        "since",
        4,
    )
    assert (feed.format, feed.resume_header) == ("sse", "Last-Event-ID")
    assert live.events["ticket.changed"].when({"kind": "ticket"})
    assert set(connector.events) == {"ticket.changed", "ticket.seen"}
