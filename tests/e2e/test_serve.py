"""`linkspan serve` as a process: how it starts, how it stops, what it does with an edit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.tracker import Tracker
from tests.servers.linkspan import PROGRAM, Endpoint, Linkspan
from tests.servers.serving import LOOPBACK, accepts, free_port, running, serving, wait_until

pytestmark = pytest.mark.e2e
FILE = Path(__file__).parents[1] / "fakes/tracker.yaml"


class Site:
    """A home with one linked tenant, the tracker, and a token."""

    def __init__(self, folder: Path, tracker: Tracker, url: str) -> None:
        self.tracker = tracker
        self.config = folder / "tools.yaml"
        self.config.write_text(FILE.read_text().replace("timeout: 1s", "timeout: 10s"))
        self.linkspan = Linkspan(folder / "home", self.config)
        self.linkspan.add_tenant("acme")
        words = ("account", "link", "tracker", "--setting", f"site={url}", "--secret-env", "TOKEN")
        self.linkspan.run(*words, env={"TOKEN": "canary-acme"})
        self.token = self.linkspan.create_token("acme")[1]
        self.log = folder / "serve.log"

    def endpoint(self, url: str) -> Endpoint:
        """The tenant's endpoint."""
        return Endpoint(f"{url}/t/acme/mcp", self.token)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The tracker, and Linkspan's home in front of it."""
    tracker = Tracker()
    with serving(tracker.app()) as url:
        yield Site(tmp_path, tracker, url)


def test_a_stop_lets_the_calls_in_flight_end(site: Site) -> None:
    """SIGTERM in the middle of a call: the answer comes, the audit row is kept, the exit code is 0."""
    port = free_port()
    answers: list[Any] = []
    command = [PROGRAM, "serve", "--port", str(port)]
    with running(
        command, log=site.log, env=site.linkspan.environment, ready=lambda: accepts(port)
    ) as process:
        site.tracker.faults = [1.5]
        endpoint = site.endpoint(f"http://{LOOPBACK}:{port}")
        caller = threading.Thread(target=lambda: answers.append(endpoint.call("get_ticket", id="3")))
        caller.start()
        wait_until(lambda: not site.tracker.faults, what="the call", seconds=10)
        os.kill(process.pid, signal.SIGTERM)
        caller.join(timeout=15)
        assert process.wait(timeout=15) == 0, site.log.read_text()
    assert answers[0]["result"]["id"] == "3"
    assert not accepts(port)


def test_an_edit_is_served_within_two_seconds_and_a_bad_one_is_not(site: Site) -> None:
    """The last good file goes on serving, and the log says what is wrong and where."""
    good = site.config.read_text()
    with site.linkspan.serve(log=site.log) as url:
        endpoint = site.endpoint(url)

        def described() -> str:
            tools = endpoint.post("tools/list").json()["result"]["tools"]
            return str(next(tool for tool in tools if tool["name"] == "list_tickets")["description"])

        site.config.write_text(good.replace("List tickets, oldest", "List the tickets, oldest"))
        began = time.monotonic()
        wait_until(lambda: described().startswith("List the tickets"), what="the edit", seconds=10)
        assert time.monotonic() - began < 2
        site.config.write_text(good.replace("request: GET /tickets\n", "requst: GET /tickets\n"))
        wait_until(lambda: "requst" in site.log.read_text(), what="the log", seconds=10)
        assert described().startswith("List the tickets")
        assert f"{site.config}:" in site.log.read_text()


def test_a_port_that_is_taken_is_told(site: Site) -> None:
    """Exit code 2, and what to do."""
    with site.linkspan.serve(log=site.log) as url:
        said = site.linkspan.run("serve", "--port", url.rpartition(":")[2], exit_code=2)
    assert "--port" in said
    assert "Traceback" not in said


def test_a_bad_tools_yaml_keeps_serve_from_starting(site: Site) -> None:
    """At a start there is no last good one: every mistake is told, exit code 2."""
    site.config.write_text(
        site.config.read_text().replace("request: GET /tickets\n", "requst: GET /tickets\n")
    )
    said = site.linkspan.run("serve", "--port", str(free_port()), exit_code=2)
    assert f"{site.config}:" in said
    assert "Traceback" not in said


def test_a_lost_key_file_keeps_serve_from_starting(site: Site) -> None:
    """Nothing is stored under a new key beside what the old one sealed."""
    (site.linkspan.home / "keys").unlink()
    said = site.linkspan.run("serve", "--port", str(free_port()), exit_code=2)
    assert "key file" in said
    assert not (site.linkspan.home / "keys").exists()


def test_a_key_file_that_others_can_read_is_refused(site: Site) -> None:
    """With the command that mends it."""
    (site.linkspan.home / "keys").chmod(0o644)
    said = site.linkspan.run("serve", "--port", str(free_port()), exit_code=2)
    assert "chmod" in said


def test_a_token_revoked_by_another_process_ends_at_once(site: Site) -> None:
    """The command line and the server are two processes with one store."""
    token_id, text = site.linkspan.create_token("acme")
    with site.linkspan.serve(log=site.log) as url:
        endpoint = Endpoint(f"{url}/t/acme/mcp", text)
        assert endpoint.post("tools/list").status_code == 200
        site.linkspan.run("token", "revoke", token_id)
        assert endpoint.post("tools/list").status_code == 401


def test_nothing_secret_is_logged(site: Site) -> None:
    """Neither the tenant's token nor the product's stands in what serve wrote."""
    with site.linkspan.serve(log=site.log) as url:
        endpoint = site.endpoint(url)
        endpoint.call("list_tickets")
        site.tracker.tokens.clear()
        endpoint.call("list_tickets")
    log = site.log.read_text()
    assert "canary-acme" not in log
    assert site.token not in log
    assert site.token.split("_", 3)[3] not in log


def test_several_processes_start_on_one_empty_home(tmp_path: Path) -> None:
    """Tables and key file are made once."""
    environment = Linkspan(tmp_path / "home", FILE).environment
    started = [
        subprocess.Popen(
            [PROGRAM, "tenant", "add", f"tenant-{number}", "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    for number, process in enumerate(started):
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out) == {"tenant": f"tenant-{number}"}
