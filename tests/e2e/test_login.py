"""`codex mcp login` with nothing but the URL, and what becomes of the tokens it gets."""

from __future__ import annotations

import contextlib
import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.conftest import EXAMPLE, Office, Person
from tests.servers.codex import Codex, CodexRun, ToolMode, call_tool, clean_environment
from tests.servers.linkspan import Linkspan
from tests.servers.node import conformance
from tests.servers.serving import LOOPBACK, free_port, stop, wait_until

pytestmark = pytest.mark.e2e

NAME = "linkspan"
CODEX_ID = "https://chatgpt.com/oauth/codex/client.json"
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@dataclass(frozen=True)
class Door:
    """Linkspan as it serves for these tests, and its tenant that is linked with the tracker."""

    linkspan: Linkspan
    url: str
    person: Person

    @property
    def resource(self) -> str:
        """What Codex is given, and nothing else."""
        return f"{self.url}/t/{self.person.tenant}/mcp"

    def link(self) -> str:
        """The secret of an invitation."""
        printed = self.linkspan.run("person", "invite", "anna", "--tenant", self.person.tenant, "--json")
        return str(json.loads(printed)["link"]).partition("#")[2]


@pytest.fixture(scope="module")
def door(office: Office, acme: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Registration is on, and an access token lives four seconds."""
    folder = tmp_path_factory.mktemp("door")
    extra = {"LINKSPAN_ACCESS_LIFETIME": "4s", "LINKSPAN_DYNAMIC_REGISTRATION": "yes"}
    linkspan = replace(office.linkspan, config=EXAMPLE, extra=extra)
    with linkspan.serve(log=folder / "linkspan.log") as url:
        yield Door(linkspan, url, acme)


def consent(door: Door, address: str) -> str:
    """Do in a browser what a person does: paste the invitation, press Allow; answers where that leads."""
    tenant = f"{door.url}/t/{door.person.tenant}"
    with httpx2.Client(timeout=20) as browser:
        page = browser.get(address)
        form = {**_fields(page), "invitation": door.link()}
        sent = browser.post(f"{tenant}/invitation", data=form)
        assert sent.status_code == 303, sent.text
        page = browser.get(f"{door.url}{sent.headers['location']}")
        form = {**_fields(page), "decision": "allow", "extent": "asked"}
        return str(browser.post(f"{tenant}/oauth/authorize", data=form).headers["location"])


def _fields(page: httpx2.Response) -> dict[str, str]:
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(page.text)}


def log_in(codex: Codex, door: Door, registration: str, *, pasted: bool = False) -> None:
    """Run `codex mcp login --no-browser`; the answer comes to its port, or is pasted into it."""
    shutil.rmtree(codex.home, ignore_errors=True)
    (codex.home / "tmp").mkdir(parents=True)
    config = f'mcp_oauth_credentials_store = "file"\n[mcp_servers.{NAME}]\nurl = "{door.resource}"\n'
    (codex.home / "config.toml").write_text(config)
    words = ["mcp", "login", NAME, "--no-browser", "--oauth-client-registration", registration]
    process = subprocess.Popen(
        [*codex.command, *words],
        env=clean_environment(codex.home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        answer = consent(door, _address(process))
        if pasted:
            output, _ = process.communicate(f"{answer}\n", timeout=30)
        else:
            assert httpx2.get(answer, timeout=20).is_success
            process.wait(timeout=30)  # it reads its input meanwhile: to close that is an answer too
            output, _ = process.communicate(timeout=30)
    finally:
        stop(process)
    assert process.returncode == 0, output


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        found = re.search(r"https?://\S+/oauth/authorize\?\S+", line)
        if found:
            return found[0]
    raise AssertionError(said)


def stored(codex: Codex) -> Mapping[str, Any]:
    """What Codex keeps of its sign-in."""
    (entry,) = json.loads((codex.home / ".credentials.json").read_text()).values()
    assert isinstance(entry, dict)
    return entry


def ask(codex: Codex, door: Door, tool: str, arguments: Mapping[str, Any], cwd: Path) -> CodexRun:
    """Let Codex call a tool with what it keeps, and nothing else."""
    kept = (codex.home / ".credentials.json").read_text()
    servers = {NAME: {"url": door.resource, "required": True}}
    return codex.exec(
        *call_tool(ToolMode.DIRECT, NAME, tool, arguments),
        mode=ToolMode.DIRECT,
        servers=servers,
        files={".credentials.json": kept},
        config={"mcp_oauth_credentials_store": "file"},
        cwd=cwd,
    )


@pytest.mark.parametrize("registration", ["cimd", "dcr"])
def test_codex_signs_in_and_works_and_refreshes(
    registration: str, codex: Codex, door: Door, office: Office, tmp_path: Path
) -> None:
    """By its document and by registering; then tools work, also once the access token is over."""
    number = office.tracker.create_bug(f"Signed in by {registration}")
    log_in(codex, door, registration)
    first = stored(codex)
    assert (first["issuer"], first["scopes"]) == (door.resource.removesuffix("/mcp"), ["read", "write"])
    assert (first["client_id"] == CODEX_ID) == (registration == "cimd")
    run = ask(codex, door, "get_ticket", {"id": number}, tmp_path)
    assert run.answers[-1]["result"]["id"] == number
    wait_until(lambda: _is_over(door, first["access_token"]), what="the end of the token", seconds=10)
    run = ask(codex, door, "get_ticket", {"id": number}, tmp_path)
    assert run.answers[-1]["result"]["id"] == number
    assert stored(codex)["refresh_token"] != first["refresh_token"]


def test_the_answer_may_be_pasted(codex: Codex, door: Door) -> None:
    """On a machine without a browser."""
    log_in(codex, door, "auto", pasted=True)
    assert stored(codex)["client_id"] == CODEX_ID


def test_a_revoked_token_is_refreshed_and_a_revoked_sign_in_is_told(
    codex: Codex, door: Door, office: Office, tmp_path: Path
) -> None:
    """Codex mends what it can by itself; when the sign-in is over it says that it is not signed in."""
    number = office.tracker.create_bug("Revoked")
    log_in(codex, door, "auto")
    tenant = ("--tenant", door.person.tenant)
    token_id = stored(codex)["access_token"].split("_")[2]
    door.linkspan.run("token", "revoke", token_id, *tenant)
    run = ask(codex, door, "get_ticket", {"id": number}, tmp_path)
    assert run.answers[-1]["result"]["id"] == number
    door.linkspan.run("person", "remove", "anna", "--yes", *tenant)
    run = ask(codex, door, "get_ticket", {"id": number}, tmp_path)
    assert run.exit_code != 0
    assert re.search(r"(?i)auth|log ?in|invalid_grant", run.stderr), run.stderr


def _is_over(door: Door, token: str) -> bool:
    answer = httpx2.post(door.resource, headers={"Authorization": f"Bearer {token}"}, json={})
    return answer.status_code == 401


def test_the_conformance_suite_finds_a_good_authorization_server(door: Door, tmp_path: Path) -> None:
    """Its scenarios for authorization servers, with a person at the page that it prints."""
    issuer, port = door.resource.removesuffix("/mcp"), free_port()
    options = ["--url", issuer, "--client-id", CODEX_ID, "--resource", door.resource]
    process = subprocess.Popen(
        [*conformance(), "authorization", *options, "--port", str(port), "-o", str(tmp_path), "--verbose"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said: list[str] = []
    try:
        answer = consent(door, _address(process))
        assert answer.startswith(f"http://{LOOPBACK}:{port}/callback?")
        reading = threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True)
        reading.start()
        with contextlib.suppress(httpx2.TransportError):
            httpx2.get(answer, timeout=20)
        assert process.wait(timeout=60) == 0, "".join(said)
        reading.join(timeout=10)
    finally:
        stop(process)
        if process.stdout is not None:
            process.stdout.close()
    checks = []
    for file in list(tmp_path.rglob("checks.json")):
        checks += json.loads(file.read_text())
        file.unlink()  # It holds the code that the suite was given, which was good once.
    assert {check["id"] for check in checks} >= {"authorization-server-metadata", "authorization-code-grant"}
    assert {check["status"] for check in checks} == {"SUCCESS"}, checks
