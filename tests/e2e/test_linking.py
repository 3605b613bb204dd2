"""Linking an account in a browser with the command line, at a real authorization server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest

from tests.servers.linkspan import PROGRAM, Linkspan
from tests.servers.oidc import SECRET, Oidc, oidc
from tests.servers.serving import LOOPBACK, free_port

pytestmark = pytest.mark.e2e
PORT: Final = free_port()
REDIRECT: Final = f"http://{LOOPBACK}:{PORT}/oauth/callback"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Oidc]:
    """A server that knows our redirect URL."""
    with oidc(tmp_path, REDIRECT) as made:
        yield made


@pytest.fixture
def linkspan(server: Oidc, tmp_path: Path) -> Linkspan:
    """A home with a connector to it."""
    tools = tmp_path / "tools.yaml"
    tools.write_text(server.tools())
    made = Linkspan(tmp_path / "home", tools)
    made.add_tenant("acme")
    return made


def link(linkspan: Linkspan, server: Oidc, *words: str, person: str = "bo") -> tuple[int, str, str]:
    """Link as a person does: open what is printed, sign in, consent, and be sent back."""
    command = [str(PROGRAM), "account", "link", "oidc", "--tenant", "acme", "--browser"]
    with subprocess.Popen(
        [*command, "--callback-port", str(PORT), *words],
        env=linkspan.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        url = next((line.strip() for line in process.stderr if line.startswith("http")), "")
        page = httpx2.get(server.consent(url, person=person))
        printed = process.stdout.read() + process.stderr.read()
        process.wait(timeout=20)
    return process.returncode, printed, page.text


def test_an_account_is_linked_used_renewed_and_given_back(linkspan: Linkspan, server: Oidc) -> None:
    """With nothing but a browser; and nowhere in the home is a secret in the clear."""
    code, printed, page = link(linkspan, server)
    assert (code, "connected as bo@acme.example" in printed) == (0, True), printed
    assert "Connected as bo@acme.example at Identity." in page
    (account,) = json.loads(linkspan.run("account", "list", "--tenant", "acme", "--json"))
    assert (account["state"], account["auth"]) == ("active", "oauth2")
    assert set(account["scopes"]) == {"openid", "email", "offline_access"}
    assert linkspan.call("user.list", "acme")["result"] == [{"id": "bo"}]
    before = server.counts()["refreshed"]
    linkspan.run("account", "refresh", account["id"], "--tenant", "acme")
    assert server.counts()["refreshed"] == before + 1
    linkspan.run("account", "verify", account["id"], "--tenant", "acme")
    for file in linkspan.home.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    linkspan.run("account", "unlink", account["id"], "--tenant", "acme")
    assert server.counts()["revoked"] == 1


def test_somebody_else_cannot_take_an_account_over(linkspan: Linkspan, server: Oidc) -> None:
    """Linked again by another person it is a conflict; by the same one it keeps its id."""
    link(linkspan, server)
    (account,) = json.loads(linkspan.run("account", "list", "--tenant", "acme", "--json"))
    code, printed, page = link(linkspan, server, "--account", account["id"], person="eve")
    assert code == 1
    assert "another identity" in printed
    assert "another identity" in page
    code, printed, _page = link(linkspan, server, "--account", account["id"])
    assert (code, account["id"] in printed) == (0, True)


def test_a_server_that_forgot_everything(linkspan: Linkspan, server: Oidc, tmp_path: Path) -> None:
    """It was restarted, and knows no grant any more: the account says so, with the command that mends it."""
    link(linkspan, server)
    (account,) = json.loads(linkspan.run("account", "list", "--tenant", "acme", "--json"))
    with oidc(tmp_path, REDIRECT) as other:
        moved = linkspan.config
        assert moved is not None
        moved.write_text(other.tools())
        refused = linkspan.call("user.list", "acme", exit_code=3)
    assert refused["error"]["code"] == "needs_reauth"
    assert "nothing was sent" in refused["error"]["message"]
    assert f"--account {account['id']}" in refused["error"]["message"]
    assert other.url != server.url
