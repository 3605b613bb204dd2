"""Two tenants of one Linkspan, two users of one tracker: neither is ever the other, at any door."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from tests.e2e.conftest import FrailOffice, Office, Person
from tests.servers.codex import Codex, ToolMode, call_tool
from tests.servers.faults import FaultyProxy
from tests.servers.linkspan import Endpoint

pytestmark = pytest.mark.e2e


def test_a_token_opens_its_own_tenants_endpoint_only(office: Office, acme: Person, globex: Person) -> None:
    """Another tenant's endpoint answers it as an endpoint that is not there: nothing can be guessed."""
    other = Endpoint(f"{office.url}/t/{globex.tenant}/mcp", acme.token).post("tools/list")
    nobody = Endpoint(f"{office.url}/t/nobody-here/mcp", acme.token).post("tools/list")
    assert (other.status_code, nobody.status_code) == (401, 401)
    told = [each.text.replace(each.headers["x-request-id"], "N") for each in (other, nobody)]
    assert told[0].replace(globex.tenant, "nobody-here") == told[1]
    challenge = other.headers["www-authenticate"].replace(globex.tenant, "nobody-here")
    assert challenge == nobody.headers["www-authenticate"]


@pytest.mark.parametrize("door", ["http", "stdio", "command"])
def test_what_a_tenant_writes_is_written_by_its_own_user(
    door: str, codex: Codex, office: Office, acme: Person, globex: Person, tmp_path: Path
) -> None:
    """Alice may close bugs and Bob may not; the tracker itself judges, so neither can have been the other."""
    number = office.tracker.create_bug("Whose is it?", status="new")

    def close(person: Person) -> str:
        change = {"id": number, "status": "done"}
        if door == "command":
            words = ["call", "ticket.update", "--tenant", person.tenant, *pairs(change), "--json"]
            return office.linkspan.run(*words, exit_code=None)
        words = ["--tenant", person.tenant, *(["--url", office.url] if door == "http" else [])]
        run = codex.exec(
            *call_tool(ToolMode.DIRECT, "linkspan", "update_ticket", change),
            mode=ToolMode.DIRECT,
            servers=office.linkspan.codex_config(*words),
            env={"LINKSPAN_TOKEN": person.token},
            cwd=tmp_path,
        )
        return run.outputs[-1]

    refused = close(globex)
    assert '"forbidden"' in refused
    assert office.tracker.bug(number)["actor"] == "admin"
    done = close(acme)
    assert '"error"' not in done
    bug = office.tracker.bug(number)
    assert (bug["status"], bug["actor"]) == ("closed", acme.username)


def test_every_request_carries_the_credential_of_its_own_tenant(
    frail_office: FrailOffice, initech: Person, proxy: FaultyProxy
) -> None:
    """Calls that alternate quickly between tenants never share a credential on the wire."""
    umbrella = frail_office.settle("umbrella", "frank")
    number = frail_office.tracker.create_bug("Alternating")
    for _ in range(5):
        for person in (initech, umbrella):
            proxy.mend()
            answer = frail_office.endpoint(person).call("get_ticket", id=number)
            assert answer["result"]["id"] == number
            login = base64.b64encode(f"{person.username}:{person.password}".encode()).decode()
            assert {request.headers["authorization"] for request in proxy.received} == {f"Basic {login}"}


def test_a_cursor_of_one_tenant_is_refused_to_another(office: Office, acme: Person, globex: Person) -> None:
    """Positions in a list are bound to the tenant that they were given to."""
    for _ in range(2):
        office.tracker.create_bug("Paged")
    first = office.endpoint(acme).call("search_tickets", query="Paged", limit=1)
    assert first["next_cursor"]
    second = office.endpoint(acme).call("search_tickets", cursor=first["next_cursor"])
    assert second.get("result"), second
    stolen = office.endpoint(globex).call("search_tickets", cursor=first["next_cursor"])
    assert stolen["error"]["code"] == "invalid_argument"


def test_a_token_that_may_only_read_cannot_write(office: Office, acme: Person) -> None:
    """Scopes hold whatever the tracker's user may do; tools that are not allowed are not listed."""
    number = office.tracker.create_bug("Read only", status="new")
    _id, token = office.linkspan.create_token(acme.tenant, "--scope", "read")
    reader = Endpoint(f"{office.url}/t/{acme.tenant}/mcp", token)
    names = {tool["name"] for tool in reader.post("tools/list").json()["result"]["tools"]}
    assert "get_ticket" in names
    assert not names & {"update_ticket", "create_ticket", "comment_on_ticket"}
    answer = reader.post("tools/call", name="update_ticket", arguments={"id": number, "status": "done"})
    assert "error" in answer.json() or answer.json()["result"]["isError"]
    assert office.tracker.bug(number)["actor"] == "admin"


def pairs(arguments: dict[str, str]) -> list[str]:
    return [word for name, value in arguments.items() for word in ("--arg", f"{name}={value}")]
