"""What the model is told when something fails: a sentence and the next step, nothing of anybody's inside."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import EXAMPLE, PATIENCE, FrailOffice, Person
from tests.servers.codex import (
    Arguments,
    Codex,
    CodexRun,
    ToolMode,
    call_tool,
    codex_with,
    npm_command,
    python_command,
)
from tests.servers.faults import Fault, FaultyProxy
from tests.servers.linkspan import Linkspan
from tests.servers.roundup import tracker
from tests.servers.scripted_model import ModelRequest, Step
from tests.servers.serving import free_port

pytestmark = pytest.mark.e2e

INSIDES = re.compile(r"(?i)backtrace|traceback|\w+::\w+|\.rs\b|\.py\b|site-packages|<unknown>|line \d+, in ")
NEXT_STEP = re.compile(r"`?linkspan \w+|\b[a-z]+_(on_)?tickets?\b|\bin \d+ (second|minute)s?|\bin a minute\b")

Call = Callable[..., CodexRun]


@dataclass(frozen=True)
class Way:
    """How a model comes to Linkspan: which Codex, how that shows tools, by which door."""

    binary: str
    mode: ToolMode
    door: str

    def __str__(self) -> str:
        return f"{self.binary}-{self.mode}-{self.door}"


BINARIES = {"npm": npm_command, "python": python_command}
OVER_HTTP = [Way(binary, mode, "http") for binary in BINARIES for mode in ToolMode]
OVER_STDIO = [Way("npm", mode, "stdio") for mode in ToolMode]
"""What the model is told over stdio is the same but for the door, so one binary is enough."""
over_http = pytest.mark.parametrize("way", OVER_HTTP, ids=str, indirect=True)


@pytest.fixture(params=[*OVER_HTTP, *OVER_STDIO], ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    """Every way in."""
    chosen: Way = request.param
    return chosen


@pytest.fixture
def mode(way: Way) -> ToolMode:
    """The way's."""
    return way.mode


@pytest.fixture
def codex(way: Way) -> Iterator[Codex]:
    """The way's."""
    with codex_with(BINARIES[way.binary]()) as made:
        yield made


@pytest.fixture
def held(frail_office: FrailOffice) -> Person:
    """A tenant of one test, whose account is held back after it: others' calls need not wait for that."""
    name = f"held-{secrets.token_hex(4)}"
    return frail_office.settle(name, name)


@pytest.fixture
def call(
    codex: Codex, way: Way, mode: ToolMode, frail_office: FrailOffice, initech: Person, tmp_path: Path
) -> Call:
    """Let Codex call a tool for the tenant behind the proxy, or another; `url` is another server."""

    def call(
        tool: str,
        arguments: Arguments | Callable[[ModelRequest], Arguments],
        *,
        person: Person = initech,
        url: str = frail_office.url,
        after: Sequence[Step] = (),
        **config: Any,
    ) -> CodexRun:
        door = ["--url", url] if way.door == "http" else []
        tables = frail_office.linkspan.codex_config("--tenant", person.tenant, *door)
        servers = {name: {**table, **config} for name, table in tables.items()}
        steps = [*after, *call_tool(mode, "linkspan", tool, arguments)]
        run = codex.exec(
            *steps, mode=mode, servers=servers, env={"LINKSPAN_TOKEN": person.token}, cwd=tmp_path
        )
        assert run.exit_code == 0, run.stderr
        return run

    return call


def told(run: CodexRun, code: str) -> Mapping[str, Any]:
    """What the model saw of the last call, an error: its shape, its sentence and what is not in it."""
    assert '"error"' in run.outputs[-1], run.outputs[-1]
    error: Mapping[str, Any] = run.answers[-1]["error"]
    assert error["code"] == code
    assert error["message"].startswith("Error: ")
    assert NEXT_STEP.search(error["message"]), error["message"]
    assert not INSIDES.search(run.outputs[-1]), run.outputs[-1]
    assert run.tool_calls[-1]["status"] == "failed"
    return error


def test_too_many_calls_with_a_time(call: Call, proxy: FaultyProxy, held: Person) -> None:
    """A wait beyond the budget is told at once, with the time."""
    proxy.fail(Fault(429, {"Retry-After": "300"}, "Slow down"))
    error = told(call("get_ticket", {"id": "1"}, person=held), "rate_limited")
    assert 240 <= error["retry_after"] <= 300
    assert re.search(r"\b[45] minutes|\b(2\d\d|300) seconds", error["message"])


def test_too_many_calls_without_a_time(call: Call, proxy: FaultyProxy, held: Person) -> None:
    """Even then the model is told when to come back."""
    proxy.fail(Fault(429, body="Slow down"), times=20)
    error = told(call("get_ticket", {"id": "1"}, person=held), "rate_limited")
    assert error["status"] == 429


def test_a_short_wait_is_waited(call: Call, proxy: FaultyProxy, frail_office: FrailOffice) -> None:
    """Inside the budget the model sees the answer, not the 429."""
    number = frail_office.tracker.create_bug("Short wait")
    proxy.fail(Fault(429, {"Retry-After": "0"}, "Slow down"))
    assert call("get_ticket", {"id": number}).answers[-1]["result"]["title"] == "Short wait"


def test_the_product_fails(call: Call, proxy: FaultyProxy) -> None:
    """A 500 with a page full of insides is told without them."""
    page = '<html>Traceback (most recent call last):\n  File "/srv/tracker/app.py", line 3, in serve</html>'
    proxy.fail(Fault(500, {"Content-Type": "text/html"}, page), times=20)
    assert told(call("get_ticket", {"id": "1"}), "upstream_error")["status"] == 500


def test_a_failed_write_is_not_done_again(call: Call, proxy: FaultyProxy, frail_office: FrailOffice) -> None:
    """Nobody knows whether a write that failed was done: it is sent once, and the model is told to look."""
    number = frail_office.tracker.create_bug("Unlucky")
    proxy.fail(Fault(500), times=20)
    told(call("create_ticket", {"title": "Unlucky twin"}), "upstream_error")
    assert [request.method for request in proxy.received].count("POST") == 1
    assert frail_office.tracker.bugs()[-1] == number


def test_a_wrong_credential_is_used_once(
    call: Call, proxy: FaultyProxy, frail_office: FrailOffice, way: Way
) -> None:
    """A password that changed locks nobody out: one attempt, then a command to link again."""
    person = frail_office.settle(f"moved-{way}", f"dave-{way}")
    frail_office.tracker.change_password(person.number, "another")
    proxy.mend()
    error = told(call("get_ticket", {"id": "1"}, person=person), "needs_reauth")
    assert f"linkspan account link roundup --tenant {person.tenant}" in error["message"]
    told(call("get_ticket", {"id": "1"}, person=person), "needs_reauth")
    assert len(proxy.received) == 1


def test_an_unknown_id(call: Call) -> None:
    """The model is told how to find the right one."""
    assert "search_tickets" in told(call("get_ticket", {"id": "99999"}), "not_found")["message"]


def test_wrong_arguments(call: Call, proxy: FaultyProxy) -> None:
    """Every fault is named, and nothing is sent."""
    error = told(call("update_ticket", {"status": "on fire", "colour": "red"}), "invalid_argument")
    assert {"id", "status", "colour"} <= set(re.findall(r"\w+", error["message"]))
    assert proxy.received == ()


def test_somebody_else_changed_it_meanwhile(
    proxy: FaultyProxy, frail_office: FrailOffice, initech: Person
) -> None:
    """Between our reading and our writing: the tracker's 412 is a conflict, and theirs is what stays."""
    tracker, endpoint = frail_office.tracker, frail_office.endpoint(initech)
    number = tracker.create_bug("Before")
    for tool, more in (("update_ticket", {"title": "Ours"}), ("comment_on_ticket", {"body": "Ours."})):
        proxy.meanwhile("PATCH", partial(tracker.rename_bug, number, f"Theirs before {tool}"))
        error = endpoint.call(tool, id=number, **more)["error"]
        assert (error["code"], error["status"]) == ("conflict", 412)
        assert "changed meanwhile" in error["message"]
        assert "Look at it with get_ticket" in error["message"]
        assert ".;" not in error["message"]
        assert tracker.bug(number)["title"] == f"Theirs before {tool}"
    assert tracker.messages(number) == [("admin", "It broke.")]
    assert endpoint.call("update_ticket", id=number, title="Ours")["result"]["id"] == number
    assert tracker.bug(number)["title"] == "Ours"


def test_a_slow_product(call: Call, proxy: FaultyProxy) -> None:
    """The request is given up after the connector's time, long before Codex gives up on us."""
    proxy.fail(Fault(hold=True), times=20)
    told(call("get_ticket", {"id": "1"}), "upstream_timeout")
    assert proxy.aborted.wait(5)


GIVING_UP = [way for way in (*OVER_HTTP, *OVER_STDIO) if way.binary == "npm"]
"""0.163 of the Python extra says nothing when it gives up, and keeps its request open (docs/codex.md)."""


@pytest.mark.parametrize("way", GIVING_UP, ids=str, indirect=True)
def test_a_call_that_codex_gives_up(call: Call, mode: ToolMode, proxy: FaultyProxy) -> None:
    """The request to the product ends with it, and is not sent again."""

    def hold(_seen: ModelRequest) -> Arguments:
        proxy.mend()
        proxy.fail(Fault(hold=True), times=20)
        return {"id": "1"}

    first = call_tool(mode, "linkspan", "list_tickets", {}) * 3  # a server just started needs longer
    call("get_ticket", hold, after=first, tool_timeout_sec=2)
    assert proxy.aborted.wait(5)
    assert proxy.held_for is not None
    assert proxy.held_for < PATIENCE - 0.5
    assert len(proxy.received) == 1


@over_http
def test_a_token_that_is_revoked_in_mid_session(call: Call, frail_office: FrailOffice) -> None:
    """It is refused from the next call on, with 401 as RFC 6750 wants; the words are then Codex's own."""
    token_id, token = frail_office.linkspan.create_token("initech")
    person = Person("initech", "carol", "", "", "", token_id, token)

    def revoke(_seen: ModelRequest) -> Arguments:
        frail_office.linkspan.run("token", "revoke", token_id, "--tenant", "initech")
        return {"id": "1"}

    run = call("get_ticket", revoke, person=person)
    assert "Authentication required" in run.outputs[-1]
    assert not INSIDES.search(run.outputs[-1]), run.outputs[-1]
    assert frail_office.endpoint(person).post("tools/list").status_code == 401


@over_http
def test_a_server_that_is_restarted_in_mid_session(call: Call, frail_office: FrailOffice) -> None:
    """Codex does not notice."""
    number = frail_office.tracker.create_bug("Restart")
    port = free_port()
    log = frail_office.folder / "restarted.log"
    with ExitStack() as first, ExitStack() as second:
        url = first.enter_context(frail_office.linkspan.serve(log=log, port=port))

        def restart(_seen: ModelRequest) -> Arguments:
            first.close()
            second.enter_context(frail_office.linkspan.serve(log=log, port=port))
            return {"id": number}

        assert call("get_ticket", restart, url=url).answers[-1]["result"]["title"] == "Restart"


def test_the_real_trackers_own_limit(tmp_path: Path) -> None:
    """Roundup's 429 names its time in Retry-After; the command line and its exit code say so too."""
    linkspan = Linkspan(tmp_path / "home", EXAMPLE)
    with tracker(tmp_path / "tracker", api_calls_per_hour=3) as strict:
        strict.add_user("erin", "erin-canary")
        linkspan.add_tenant("acme")
        linkspan.link("acme", "roundup", username="erin", password="erin-canary", origin=strict.origin)
        for _ in range(3):
            linkspan.run("call", "ticket.list", "--tenant", "acme", exit_code=None)
        error = linkspan.call("ticket.list", "acme", exit_code=4)["error"]
    assert error["code"] == "rate_limited"
    assert error["retry_after"] > 20


def test_a_product_that_is_not_linked_yet(call: Call, frail_office: FrailOffice, way: Way) -> None:
    """The tools are there all the same, and say how to link it."""
    tenant = f"new-{way}"
    frail_office.linkspan.add_tenant(tenant)
    token_id, token = frail_office.linkspan.create_token(tenant)
    nobody = Person(tenant, "", "", "", "", token_id, token)
    error = told(call("get_ticket", {"id": "1"}, person=nobody), "not_linked")
    assert f"linkspan account link roundup --tenant {tenant}" in error["message"]
