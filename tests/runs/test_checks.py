"""How a pull request stands where tools.yaml has several forges, and each tenant is linked to one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from linkspan import spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.app import App, build
from linkspan.gateway.calls import CallInfo
from linkspan.runs.checks import Check, Checks
from linkspan.settings import Settings
from linkspan.store.runs import Run
from tests.fakes.asgi import AsgiTransport
from tests.fakes.forge import Forge
from tests.fakes.forges import Bitbucket, GitLab
from tests.runs.conftest import by_host

NOW = 1_800_000_000.0
COMMIT = "b" * 40
TOKEN = "canary-forge-token"
KNOWN = {
    "github": Check("ci", "completed", "success", "https://ci.example/9"),
    "bitbucket": Check("ci", "in_progress", None, "https://ci.example/9"),
    "gitlab": Check("ci", "completed", "failure", "https://ci.example/9"),
}


def _github() -> Forge:
    forge = Forge(url="https://api.github.com", git_url="https://github.com", tokens={TOKEN: "acme"})
    repository = forge.repository("acme/shop")
    repository.branches["codex/x"] = COMMIT
    address = f"https://api.github.com/repos/acme/shop/statuses/{COMMIT}"
    told = {"context": "ci", "state": "success", "description": None, "target_url": "https://ci.example/9"}
    repository.statuses = [{"id": 1, "url": address, **told}]
    return forge


def _bitbucket() -> Bitbucket:
    forge = Bitbucket("https://bitbucket.org", lambda _: {"codex/x": COMMIT, "main": "a" * 40})
    address = f"https://api.bitbucket.org/2.0/repositories/acme/shop/commit/{COMMIT}"
    told = {"key": "ci", "state": "INPROGRESS", "url": "https://ci.example/9", "updated_on": None}
    forge.statuses = [{"links": {"commit": {"href": address}}, **told}]
    return forge


def _gitlab() -> GitLab:
    forge = GitLab("https://gitlab.com", lambda _: {"codex/x": COMMIT, "main": "a" * 40})
    told = {"name": "ci", "status": "failed", "target_url": "https://ci.example/9"}
    forge.statuses = [{"id": 1, "sha": COMMIT, **told}, {"id": 2, "sha": "c" * 40, **told, "name": "other"}]
    return forge


@pytest.mark.parametrize("name", list(KNOWN))
async def test_a_tenant_of_one_forge_is_told_of_its_checks(name: str, tmp_path: Path) -> None:
    """A tool that only other forges have is asked of none; what the tenant's own forge knows is told."""
    file = tmp_path / "tools.yaml"
    uses = {each: {"use": each} for each in KNOWN}
    head = {"linkspan": 1, "name": "shop", "instructions": "List pull requests and checks."}
    file.write_text(yaml.safe_dump({**head, "connectors": uses}))
    hosts = {
        "api.github.com": _github().app(),
        "api.bitbucket.org": _bitbucket().app(),
        "gitlab.com": _gitlab().app(),
    }
    app = await build(
        Settings(home=tmp_path / "home"),
        catalog=spec.load([file], {}),
        transport=AsgiTransport(by_host(hosts)),
        clock=lambda: NOW,
    )
    try:
        tenant = await app.tenants.add("acme")
        settings = {"workspace": "acme"} if name == "bitbucket" else {}
        method = {"bitbucket": "bearer", "gitlab": "header"}.get(name)
        secrets = {"key" if name == "gitlab" else "token": TOKEN}
        await app.accounts.link(
            tenant, app.catalog.connectors[name], method=method, secrets=secrets, settings=settings
        )
        where = {"project": "42"} if name == "gitlab" else {"owner": "acme", "repo": "shop"}
        made = await _opened(app, tenant, where)
        run = Run(
            "acme", "run_1", "api", "person", "bo", "bo", "fix", {}, "succeeded", NOW, NOW,
            repository="/".join(where.values()), branch="codex/x", pull_request={"id": made},
        )  # fmt: skip
        standing = await Checks(app.gateway, clock=lambda: NOW, random=lambda _: bytes(16)).of(run)
        assert (standing.state, standing.checks) == ("open", (KNOWN[name],))
    finally:
        await app.aclose()


async def _opened(app: App, tenant: Tenant, where: dict[str, str]) -> str:
    tool = app.catalog.tool_for("pull_request.create")
    assert tool is not None
    words = {**where, "title": "Fix it", "head": "codex/x", "base": "main"}
    principal = Principal(tenant, "operator", "root")
    made: Any = await app.gateway.call(principal, tool, words, info=CallInfo("0" * 32, via="rest"))
    return str(made.result["id"])
