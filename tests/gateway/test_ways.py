"""One product at two addresses: each way to connect has its own, and is asked only what that one needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkspan import errors, spec
from linkspan.accounts.principal import Tenant
from tests.fakes.opened import opened
from tests.fakes.shelf import Shelf

FILE = """\
linkspan: 1
name: shelf
instructions: List the tickets of a project. Start with list_tickets.
connectors:
  shelf:
    base_url: http://cloud.example/{settings.cloud}/api
    settings:
      cloud: {title: Cloud}
      site: {title: Site, pattern: "[a-z]+"}
    auth:
      - type: bearer
        connected: {request: GET /sites, base_url: "http://cloud.example", settings: {cloud: id}}
        verify:
          graphql: "query($kind: String!) { viewer(kind: $kind) { id email } }"
          variables: {kind: user}
          id: data.viewer.id
          label: data.viewer.email
      - type: basic
        base_url: http://{settings.site}.example/api
        verify: {request: POST /session, form: {name: $credential.username}, id: user.id, label: user.name}
    graphql: /graphql
entities:
  ticket:
    model: ticket
    sources:
      shelf:
        fields: {id: number, title: title}
        operations:
          list:
            request: GET /projects/{project}/issues
            params: {project: string}
            items: issues
"""


async def test_each_way_has_its_address(tmp_path: Path) -> None:
    """A token's account is found and reached at the one, a password's at the other."""
    shelf = Shelf()
    file = FILE.replace("http://cloud.example/{settings.cloud}/api", "http://cloud.example/{settings.cloud}")
    product = shelf.app()
    async with opened(tmp_path, file.replace("/projects", "/api/projects"), _Prefixed(product)) as app:
        await app.call("list_tickets", project="red")
        assert shelf.asked[-1] == ("cloud.example", "/cloud-7/api/projects/red/issues", "Bearer canary-acme")
    assert shelf.bodies == [
        {
            "query": "query($kind: String!) { viewer(kind: $kind) { id email } }",
            "variables": {"kind": "user"},
        }
    ]


async def test_a_way_of_its_own_is_asked_its_own(tmp_path: Path) -> None:
    """The other's setting is neither asked nor looked up; the request that proves it has a form."""
    shelf = Shelf()
    secrets = {"username": "bob", "password": "canary-bob"}
    file = FILE.replace("/session", "/site/session").replace(
        "{settings.site}.example/api", "{settings.site}.example"
    )
    file = file.replace("/projects", "/api/projects")
    async with opened(
        tmp_path, file, shelf.app(), method="basic", secrets=secrets, settings={"site": "acme"}
    ) as app:
        await app.call("list_tickets", project="blue")
        (account,) = await app.app.accounts.list(Tenant("acme"))
    assert account.settings == {"site": "acme"}
    assert account.origins == ("http://acme.example:80",)
    assert account.identity_label == "Bob"
    assert [(host, path) for host, path, _ in shelf.asked] == [
        ("acme.example", "/site/session"),
        ("acme.example", "/api/projects/blue/issues"),
    ]
    assert shelf.bodies == ["name=bob"]


async def test_a_setting_of_another_way_is_refused(tmp_path: Path) -> None:
    """It would be kept for nothing."""
    shelf = Shelf()
    with pytest.raises(errors.InvalidArgument, match=r"settings\.site: Shelf has no such setting"):
        async with opened(tmp_path, FILE, _Prefixed(shelf.app()), settings={"site": "acme"}):
            pass


def test_what_a_way_needs_is_known(tmp_path: Path) -> None:
    """From the addresses alone."""
    (tmp_path / "tools.yaml").write_text(FILE)
    connector = spec.load(tmp_path / "tools.yaml", {}).connectors["shelf"]
    assert {type_: list(view.settings) for type_, view in connector.ways.items()} == {
        "bearer": ["cloud"],
        "basic": ["site"],
    }
    assert connector.through("bearer").settings["cloud"].is_found
    assert connector.through("basic").connected is None


class _Prefixed:
    """The product behind the address that has the site in its path."""

    def __init__(self, product: object) -> None:
        self.product = product

    async def __call__(self, scope: dict[str, object], receive: object, send: object) -> None:
        path = str(scope["path"])
        if path.startswith("/cloud-7") and path.endswith("/graphql"):
            scope = {**scope, "path": "/graphql", "raw_path": b"/graphql"}
        await self.product(scope, receive, send)  # type: ignore[operator]
