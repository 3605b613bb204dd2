"""`linkspan webhook`, as it is typed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.conftest import Shell
from tests.fakes.receiver import Receiver, verify
from tests.servers.serving import serving

CREATED = "integrated_account:created"


@pytest.fixture
def receiver() -> Receiver:
    """Takes what comes."""
    return Receiver()


@pytest.fixture
def url(receiver: Receiver) -> Iterator[str]:
    """Where it listens."""
    with serving(receiver) as base:
        yield base


def test_from_adding_to_a_replay(shell: Shell, receiver: Receiver, url: str) -> None:
    """Add, test, see what waits, start it anew, remove."""
    shell.data("tenant", "add", "acme", "--json")
    added = shell.run("webhook", "add", url, "--event", CREATED, "--tenant", "acme")
    secret = added.stdout.strip()
    assert secret.startswith("whsec_")
    (row,) = shell.data("webhook", "list", "--json")
    assert (row["tenant"], row["events"], row["active"]) == ("acme", [CREATED], True)
    assert secret not in str(row)
    tested = shell.data("webhook", "test", row["id"], "--allow-egress", url.removeprefix("http://"), "--json")
    assert tested == {"delivered": True, "status": 204, "error": None}
    ((headers, body),) = receiver.messages
    stamp = float(headers["webhook-timestamp"])
    assert verify(secret, headers, body, now=stamp)["event"] == "test"
    shell.link("acme")
    (waiting,) = shell.data("webhook", "deliveries", row["id"], "--json")
    assert (waiting["event"], waiting["state"]) == (CREATED, "pending")
    assert waiting["id"] in shell.run("webhook", "deliveries", "--state", "pending").stdout
    assert shell.data("webhook", "deliveries", "--state", "dead", "--json") == []
    assert shell.data("webhook", "replay", waiting["id"], "--json")["id"] == waiting["id"]
    removed = shell.run("webhook", "remove", row["id"])
    assert "and 1 deliveries" in removed.stdout
    assert "no webhooks" in shell.run("webhook", "list").stdout


def test_a_test_that_fails_has_its_exit_code(shell: Shell, receiver: Receiver, url: str) -> None:
    """1, and why: what the receiver said, or that it may not be reached."""
    made = shell.data("webhook", "add", url, "--truto-signature", "--json")
    refused = shell.run("webhook", "test", made["id"])
    assert refused.exit_code == 1
    assert "not allowed" in refused.stderr
    receiver.answers = [500]
    failed = shell.run("webhook", "test", made["id"], "--allow-egress", url.removeprefix("http://"))
    assert failed.exit_code == 1
    assert "answered 500" in failed.stderr
    assert "x-truto-signature" in receiver.messages[0][0]


def test_wrong_use_is_told(shell: Shell) -> None:
    """A URL and an event that are none: exit code 2, and which events there are."""
    wrong = shell.run("webhook", "add", "nowhere", "--event", "x")
    assert wrong.exit_code == 2
    assert CREATED in wrong.output
    for words in (("remove", "wh_x"), ("test", "wh_x"), ("replay", "dlv_x")):
        assert shell.run("webhook", *words).exit_code == 1
    assert shell.run("webhook", "add", "https://x.example", "--tenant", "nobody").exit_code == 1
