"""`linkspan connector setup`: what an operator does at a product, once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linkspan.spec.language import connector_names
from tests.cli.conftest import Shell
from tests.fakes.cloud import ENVIRONMENT
from tests.servers.node import ROOT

BASE = "https://linkspan.example"
USED = """\
linkspan: 1
name: forge
instructions: Pull requests. Start with get_pull_request.
connectors:
  github: {use: github}
"""
FILE = Path(__file__).parents[1] / "fakes/authority.yaml"


@pytest.fixture
def cloud(shell: Shell) -> Shell:
    """A home whose tools.yaml has every way to connect."""
    openai = FILE.read_text().replace("connectors:\n", "connectors:\n  openai: {use: openai}\n")
    (shell.home / "tools.yaml").write_text(openai)
    return shell


def test_where_which_url_and_which_scopes(cloud: Shell) -> None:
    """The exact redirect URLs, of the link page and of the command line; and no secret."""
    result = cloud.run(
        "connector", "setup", "cloud", LINKSPAN_PUBLIC_URL="https://bridge.example", **ENVIRONMENT
    )
    assert result.exit_code == 0, result.output
    assert "Redirect URL for the link page: https://bridge.example/oauth/callback" in result.output
    assert "http://127.0.0.1:8641/oauth/callback" in result.output
    assert "Scopes: read write" in result.output
    assert "linkspan account link cloud --auth oauth2 --browser" in result.output
    assert "canary" not in result.output
    assert "PRIVATE" not in result.output


def test_as_data(cloud: Shell) -> None:
    """Every way, in the order of the file."""
    result = cloud.run("connector", "setup", "cloud", "--json", **ENVIRONMENT)
    shown: dict[str, Any] = json.loads(result.stdout)
    assert [way["type"] for way in shown["ways"]] == [
        "oauth2",
        "client_credentials",
        "github_app",
        "bearer",
    ]
    assert shown["ways"][0]["redirect_urls"] == [
        "http://127.0.0.1:8640/oauth/callback",
        "http://127.0.0.1:8641/oauth/callback",
    ]
    assert shown["ways"][1]["redirect_urls"] == shown["ways"][3]["redirect_urls"] == []


def test_keys_need_no_setup(cloud: Shell) -> None:
    """The built-in connector says where people find theirs; one key for all says how tenants are told."""
    result = cloud.run("connector", "setup", "openai", **ENVIRONMENT)
    assert "https://platform.openai.com/api-keys" in result.output
    result = cloud.run("connector", "setup", "own", **ENVIRONMENT)
    assert "a signed token of the tenant in the header X-Tenant" in " ".join(result.output.split())


def test_a_way_that_the_file_does_not_offer_yet(shell: Shell) -> None:
    """What has to be registered is told before tools.yaml can have it, with the words that it needs then."""
    words = ("connector", "setup", "github", "--public-url", BASE)
    without = shell.run(*words, LINKSPAN_CONFIG=str(shell.home / "none.yaml"))
    assert without.exit_code == 2
    (shell.home / "tools.yaml").write_text(USED)
    before = shell.run(*words)
    assert before.exit_code == 0, before.output
    assert "https://github.com/settings/applications/new" in before.output
    assert 'client: {id: "${GITHUB_CLIENT_ID}", secret: "${GITHUB_CLIENT_SECRET}"}' in before.output
    client = ', client: {id: "${GITHUB_CLIENT_ID}", secret: "${GITHUB_CLIENT_SECRET}"}'
    (shell.home / "tools.yaml").write_text(USED.replace("use: github", f"use: github{client}"))
    after = shell.run(*words, GITHUB_CLIENT_ID="gh", GITHUB_CLIENT_SECRET="gh-canary")
    assert after.exit_code == 0, after.output
    assert sorted(after.output.splitlines()) == sorted(before.output.splitlines())


@pytest.mark.parametrize("name", connector_names())
def test_docs_connectors_say_the_same(name: str, shell: Shell) -> None:
    """A page for every built-in connector, with what the command prints, letter by letter."""
    (shell.home / "tools.yaml").unlink()
    printed = shell.run("connector", "setup", name, "--public-url", BASE).output
    page = ROOT / "docs" / "connectors" / f"{name}.md"
    block = f"```console\n$ linkspan connector setup {name} --public-url {BASE}\n{printed}```\n"
    assert page.exists() and block in page.read_text(), f"docs/connectors/{name}.md lacks:\n{block}"
    assert f"[{name}]({name}.md)" in (ROOT / "docs" / "connectors" / "README.md").read_text()


def test_an_unknown_connector(cloud: Shell) -> None:
    """Names those there are."""
    result = cloud.run("connector", "setup", "clod", **ENVIRONMENT)
    assert result.exit_code == 2
    assert "cloud" in result.output


def test_two_keys_are_read_each_from_its_own_place(shell: Shell) -> None:
    """From two variables, or from two lines; a number that does not fit is told with what is asked."""
    file = shell.home / "tools.yaml"
    way = '{type: header, name: Authorization, prefix: "Bearer ", second: X-Second-Key}'
    text = file.read_text()
    start = text.index("{type: bearer")
    file.write_text(text[:start] + way + text[text.index("\n", start) :])
    shell.run("tenant", "add", "acme")
    words = ("account", "link", "tracker", "--tenant", "acme", "--setting", f"site={shell.url}")
    keys = {"FIRST": "canary-acme", "SECOND": "canary-second"}
    linked = shell.run(*words, "--secret-env", "FIRST,SECOND", **keys)
    assert linked.exit_code == 0, linked.output
    shown = shell.data("call", "ticket.list", "--tenant", "acme", "--dry-run")
    assert "X-Second-Key" in json.dumps(shown) and "[credential]" in json.dumps(shown)
    assert shell.run(*words, stdin="canary-acme\ncanary-second\n").exit_code == 0
    refused = shell.run(*words, "--secret-env", "FIRST,SECOND,THIRD", **keys)
    assert refused.exit_code == 2
    assert "this way takes 2 secrets: key, second_key" in refused.output
