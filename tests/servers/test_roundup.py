"""The Roundup launcher."""

from pathlib import Path

import httpx2
import pytest

from tests.servers.roundup import tracker

pytestmark = pytest.mark.e2e


def test_what_a_user_does_is_read_back_with_the_users_name(tmp_path: Path) -> None:
    """A change made over REST by one user is seen by the administrator as that user's."""
    with tracker(tmp_path / "tracker") as roundup:
        roundup.add_user("alice", "alice-password")
        number = roundup.create_bug("Printer on fire", "It smokes.", status="open")
        assert roundup.bug(number)["actor"] == "admin"
        with httpx2.Client(base_url=roundup.url, auth=("alice", "alice-password")) as alice:
            etag = alice.get(f"rest/data/bug/{number}").headers["etag"]
            origin = roundup.url.removesuffix("/support/")
            headers = {"If-Match": etag, "X-Requested-With": "test", "Origin": origin, "Referer": roundup.url}
            done = alice.patch(f"rest/data/bug/{number}", json={"status": "closed"}, headers=headers)
            assert done.status_code == 200, done.text
        assert roundup.bug(number)["status"] == "closed"
        assert roundup.bug(number)["actor"] == "alice"
        assert roundup.messages(number) == [("admin", "It smokes.")]
        assert roundup.bugs() == [number]


def test_a_tracker_can_limit_calls(tmp_path: Path) -> None:
    """Beyond the limit the real tracker answers 429 with Retry-After."""
    with tracker(tmp_path / "tracker", api_calls_per_hour=4) as roundup:
        roundup.add_user("alice", "alice-password")
        url, auth = f"{roundup.url}rest/data/status", ("alice", "alice-password")
        answers = [httpx2.get(url, auth=auth) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
