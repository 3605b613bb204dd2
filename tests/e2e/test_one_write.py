"""The same write sent many times at once to two replicas on PostgreSQL is made once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests.fakes.tracker import Tracker, patient
from tests.servers.linkspan import Linkspan
from tests.servers.postgres import Cluster
from tests.servers.serving import serving, wait_until

pytestmark = pytest.mark.e2e
MANY = 50
WAIT = 60.0


def serving_now(database: str) -> int:
    """How many processes each of them knows of: who shares what products allow."""
    with psycopg.connect(database) as connection:
        (row,) = connection.execute("SELECT count(*) FROM replicas")
        return int(row[0])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/unified/ticketing/tickets", {"title": "Once"}),
        ("/proxy/tracker/tickets", {"subject": "Once"}),
    ],
)
def test_fifty_at_once_write_once(tmp_path: Path, postgres: Cluster, path: str, body: dict[str, str]) -> None:
    """All get the same answer, those who only waited for it too."""
    tracker = Tracker()
    with postgres.schema() as database, serving(tracker.app()) as site:
        linkspan = Linkspan(
            tmp_path / "home",
            patient(tmp_path),
            {"LINKSPAN_DATABASE": database, "LINKSPAN_NO_WORK": "yes"},
        )
        linkspan.add_tenant("acme")
        words = ["account", "link", "tracker", "--tenant", "acme", "--setting", f"site={site}"]
        linkspan.run(*words, "--secret-env", "TOKEN", "--json", env={"TOKEN": "canary-acme"})
        _, token = linkspan.create_token("acme")
        with linkspan.serve(log=tmp_path / "one") as one, linkspan.serve(log=tmp_path / "two") as two:
            headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}

            def send(number: int) -> httpx2.Response:
                url = (one, two)[number % 2] + path
                return httpx2.post(url, json=body, headers=headers, timeout=WAIT)

            with ThreadPoolExecutor(MANY) as threads:
                answers = list(threads.map(send, range(MANY)))
            wait_until(lambda: serving_now(database) == 2, what="the two of them", seconds=WAIT)
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
    assert sum(ticket["subject"] == "Once" for ticket in tracker.tickets["acme"]) == 1
