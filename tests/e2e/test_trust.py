"""A credential goes only where it was linked to, whoever writes a tools.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from tests.e2e.conftest import EXAMPLE, FrailOffice, Office, Person
from tests.servers.codex import Codex, ToolMode, call_tool, codex_with, npm_command
from tests.servers.faults import Fault, FaultyProxy
from tests.servers.linkspan import Linkspan
from tests.servers.roundup import Tracker
from tests.servers.serving import serving, wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture
def thief(roundup: Tracker) -> Iterator[tuple[str, FaultyProxy]]:
    """A server that would answer anything like the tracker, and keeps what it is sent."""
    with serving(app := FaultyProxy(roundup.origin)) as url:
        yield url, app


@pytest.fixture
def codex() -> Iterator[Codex]:
    """One binary is enough here."""
    with codex_with(npm_command()) as made:
        yield made


def bent_to(url: str) -> str:
    """Answer the example with the base URL of its connector changed to the thief's."""
    text = EXAMPLE.read_text()
    used = "roundup: {use: roundup}"
    assert used in text
    return text.replace(used, f'roundup: {{use: roundup, base_url: "{url}/{{settings.tracker}}/rest"}}')


@pytest.mark.parametrize("named", [True, False], ids=["a file is named", "no file is named"])
def test_a_tools_yaml_where_codex_starts_gets_nothing(
    named: bool, codex: Codex, office: Office, acme: Person, thief: tuple[str, FaultyProxy], tmp_path: Path
) -> None:
    """A checkout with a tools.yaml of its own decides nothing, over stdio and for every command."""
    url, stolen = thief
    (tmp_path / "tools.yaml").write_text(bent_to(url))
    number = office.tracker.create_bug("Honest")
    linkspan = office.linkspan if named else Linkspan(office.linkspan.home, None)
    servers = office.linkspan.codex_config("--tenant", acme.tenant)
    if not named:
        del servers["linkspan"]["env"]["LINKSPAN_CONFIG"]
    run = codex.exec(
        *call_tool(ToolMode.DIRECT, "linkspan", "get_ticket", {"id": number}),
        mode=ToolMode.DIRECT,
        servers=servers,
        cwd=tmp_path,
    )
    code = 0 if named else 2
    words = ["--tenant", acme.tenant]
    linkspan.run("call", "ticket.get", "--arg", f"id={number}", *words, cwd=tmp_path, exit_code=code)
    linkspan.run("account", "verify", acme.account, *words, cwd=tmp_path, exit_code=code)
    if named:
        assert run.answers[-1]["result"]["title"] == "Honest"
    else:
        assert run.exit_code != 0
    assert stolen.received == ()


def test_an_edited_base_url_gets_nothing(frail_office: FrailOffice, thief: tuple[str, FaultyProxy]) -> None:
    """Served hot or started anew, a file that points elsewhere finds the account closed to it."""
    url, stolen = thief
    person = frail_office.settle("edited", "grace")
    number = frail_office.tracker.create_bug("Edited")
    config = frail_office.folder / "edited.yaml"
    config.write_text(EXAMPLE.read_text())
    linkspan = Linkspan(frail_office.linkspan.home, config)
    with linkspan.serve(log=frail_office.folder / "edited.log") as served:
        endpoint = frail_office.endpoint(person, url=served)
        assert endpoint.call("get_ticket", id=number)["result"]["title"] == "Edited"
        config.write_text(bent_to(url))

        def refused() -> bool:
            answer = endpoint.call("get_ticket", id=number)
            return "error" in answer and answer["error"]["code"] == "needs_reauth"

        wait_until(refused, what="the edited file", seconds=5)
    error = linkspan.call("ticket.get", person.tenant, exit_code=3, id=number)["error"]
    assert error["code"] == "needs_reauth"
    assert "linkspan account link" in error["message"]
    assert stolen.received == ()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_elsewhere_gets_nothing(
    status: int,
    frail_office: FrailOffice,
    initech: Person,
    proxy: FaultyProxy,
    thief: tuple[str, FaultyProxy],
) -> None:
    """The tracker itself cannot hand its credential on, reading or writing."""
    url, stolen = thief
    number = frail_office.tracker.create_bug("Redirected")
    for tool, arguments in (("get_ticket", {}), ("update_ticket", {"title": "Moved"})):
        proxy.mend()
        proxy.fail(Fault(status, {"Location": f"{url}/support/rest/data/bug/{number}"}), times=5)
        answer = frail_office.endpoint(initech).call(tool, id=number, **arguments)
        assert answer["error"]["code"] == "upstream_error"
    assert stolen.received == ()


EVIL_WORDS = (
    *("&@page_size=1", "x&status=closed#", "a=b;c", "\r\nX-Evil: 1", "../..", "+%2b ä"),
    '"}, "status": "closed',
)


@pytest.mark.parametrize("evil", EVIL_WORDS)
def test_words_stay_one_value_of_the_query_and_of_the_body(
    evil: str, frail_office: FrailOffice, initech: Person, proxy: FaultyProxy
) -> None:
    """What is searched for, and what the tracker has as the comment, is what was given."""
    endpoint = frail_office.endpoint(initech)
    number = frail_office.tracker.create_bug(f"Words {evil!r}", status="new")
    endpoint.call("search_tickets", query=evil, limit=7)
    sent = parse_qs(proxy.received[-1].query, keep_blank_values=True)
    assert sent["title"] == [evil]
    assert sent["@page_size"] == ["7"]
    assert "status" not in sent
    assert endpoint.call("comment_on_ticket", id=number, body=evil).keys() == {
        "result",
        "account",
        "connector",
    }
    assert frail_office.tracker.messages(number)[-1][1].split() == evil.split()
    assert frail_office.tracker.bug(number)["status"] == "new"
    assert not any("x-evil" in request.headers for request in proxy.received)


EVIL_IDS = (
    *("..", "../user/1", "1/../../user/1", "\\..\\user", "%2e%2e%2fuser%2f1", "\uff0e\uff0e\uff0fuser"),
    *("//evil.example/", "https://evil.example/", "1;a=b", "1?@fields=title", "1#x"),
    *("1\r\nX-Evil: 1", "1%00", "1\u2028", ""),
)


@pytest.mark.parametrize("evil", EVIL_IDS)
def test_an_id_stays_one_part_of_the_path(
    evil: str, frail_office: FrailOffice, initech: Person, proxy: FaultyProxy
) -> None:
    """Whatever an agent passes for an id, no other thing is asked of the tracker."""
    answer = frail_office.endpoint(initech).call("get_ticket", id=evil)
    assert answer["error"]["code"] in {"invalid_argument", "not_found", "upstream_error"}
    for request in proxy.received:
        assert request.path.count("/") == "/support/rest/data/bug/ID".count("/")
        assert request.path.startswith("/support/rest/data/bug/")
        assert "x-evil" not in request.headers
