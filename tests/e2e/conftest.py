"""One real tracker, Linkspan with tenants that are linked to it, and the doors that Codex comes in by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.faults import FaultyProxy
from tests.servers.linkspan import Endpoint, Linkspan
from tests.servers.node import ROOT
from tests.servers.roundup import Tracker, tracker
from tests.servers.serving import serving

EXAMPLE = ROOT / "examples" / "roundup" / "tools.yaml"
PATIENCE = 5
"""Seconds that a request may take at the tracker behind the proxy."""


@dataclass(frozen=True)
class Person:
    """A tenant, the tracker's user that its account is linked with, and a token for its endpoint."""

    tenant: str
    username: str
    number: str
    password: str
    account: str
    token_id: str
    token: str


@dataclass(frozen=True)
class Office:
    """Linkspan with its home, the tracker behind it, and where it serves."""

    tracker: Tracker
    linkspan: Linkspan
    origin: str
    """Where accounts find the tracker: itself, or a proxy before it."""
    url: str
    folder: Path

    def settle(self, tenant: str, username: str, *, roles: str = "User,Developer") -> Person:
        """Add a user to the tracker, and a tenant that is linked with it."""
        password = f"{username}-canary"
        number = self.tracker.add_user(username, password, roles=roles)
        self.linkspan.add_tenant(tenant)
        who = {"username": username, "password": password}
        account = self.linkspan.link(tenant, "roundup", **who, origin=self.origin)
        token_id, token = self.linkspan.create_token(tenant)
        return Person(tenant, username, number, password, account, token_id, token)

    def endpoint(self, person: Person, *, url: str | None = None) -> Endpoint:
        """The MCP endpoint of a tenant, here or where else this Linkspan serves."""
        return Endpoint(f"{url or self.url}/t/{person.tenant}/mcp", person.token)


@dataclass(frozen=True)
class FrailOffice(Office):
    """Here the tracker is reached through a proxy that can be told to fail, and nothing waits long."""

    proxy: FaultyProxy


@pytest.fixture(scope="session")
def roundup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracker]:
    """A real tracker."""
    with tracker(tmp_path_factory.mktemp("roundup") / "home") as running:
        yield running


@pytest.fixture(scope="session")
def office(roundup: Tracker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Linkspan with examples/roundup as it is."""
    folder = tmp_path_factory.mktemp("office")
    linkspan = Linkspan(folder / "home", EXAMPLE)
    with linkspan.serve(log=folder / "linkspan.log") as url:
        yield Office(roundup, linkspan, roundup.origin, url, folder)


@pytest.fixture(scope="session")
def acme(office: Office) -> Person:
    """A tenant whose user may change every bug."""
    return office.settle("acme", "alice")


@pytest.fixture(scope="session")
def globex(office: Office) -> Person:
    """A tenant whose user may only report and comment."""
    return office.settle("globex", "bob", roles="User")


def _with_on(value: Any) -> Any:
    """Give the key `on` back, which YAML 1.1 reads as True."""
    if isinstance(value, dict):
        return {"on" if key is True else key: _with_on(each) for key, each in value.items()}
    return [_with_on(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="session")
def frail_office(roundup: Tracker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrailOffice]:
    """Linkspan with examples/roundup, but for shorter waits, behind a proxy that can fail."""
    folder = tmp_path_factory.mktemp("frail-office")
    spec = _with_on(yaml.safe_load(EXAMPLE.read_text()))
    connector = spec["connectors"]["roundup"]
    connector["timeout"] = f"{PATIENCE}s"
    connector["rate_limit"] = {**connector.get("rate_limit", {}), "wait": "1s"}
    (folder / "tools.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    linkspan = Linkspan(folder / "home", folder / "tools.yaml")
    proxy = FaultyProxy(roundup.origin)
    with serving(proxy) as origin, linkspan.serve(log=folder / "linkspan.log") as url:
        yield FrailOffice(roundup, linkspan, origin, url, folder, proxy)


@pytest.fixture(scope="session")
def initech(frail_office: FrailOffice) -> Person:
    """A tenant behind the proxy."""
    return frail_office.settle("initech", "carol")


@pytest.fixture
def proxy(frail_office: FrailOffice) -> Iterator[FaultyProxy]:
    """The proxy, mended before and after."""
    frail_office.proxy.mend()
    yield frail_office.proxy
    frail_office.proxy.mend()
