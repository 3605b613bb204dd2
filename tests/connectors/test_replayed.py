"""Every built-in connector against kept answers of its product; and what it says it was checked against."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from linkspan import spec
from linkspan.accounts.token_answers import Tokens
from linkspan.app import build
from linkspan.errors import Forbidden, InvalidArgument, LinkspanError, NeedsReauth, RateLimited
from linkspan.settings import Settings
from linkspan.spec.language import CONNECTORS as FILES
from linkspan.spec.language import connector_names
from linkspan.vault.secret import Secret
from tests.connectors.checked import EVIDENCE, NOTE, note_of
from tests.connectors.replayed import (
    CLIENT,
    CONNECTORS,
    WITHOUT_ENTITIES,
    Bench,
    Replayer,
    bench,
    cases,
    catalog_of,
    differences,
    kept,
)
from tests.fakes.asgi import AsgiTransport
from tests.servers.node import ROOT


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop is enough here."""
    return "asyncio"


@pytest.mark.parametrize(
    ("name", "case"), [pytest.param(name, case, id=f"{name}: {title}") for name, title, case in cases()]
)
async def test_a_kept_exchange(name: str, case: Mapping[str, Any], tmp_path: Path) -> None:
    """What is sent, and what comes out of the answer."""
    async with bench(name, tmp_path) as linked:
        linked.product.waiting = list(case["exchanges"])
        error = case.get("error")
        if error is not None:
            with pytest.raises(LinkspanError) as caught:
                await linked.call(case)
            assert caught.value.code == error["code"], caught.value
            assert error.get("message", "") in caught.value.message
            waits = {"retry_after": error["retry_after"]} if "retry_after" in error else {}
            assert waits == ({"retry_after": getattr(caught.value, "retry_after", None)} if waits else {})
        else:
            result = await linked.call(case)
            assert not list(differences(result, case.get("result", result)))
        assert not linked.product.wrong, "\n".join(linked.product.wrong)
        assert not linked.product.waiting
        assert "canary" not in str(case.get("result"))


REFUSES_OTHERWISE = {
    "linear": {"rate_limited": 400},  # with RATELIMITED in its body, as its page on rate limiting says
    "slack": {"needs_reauth": 200},  # as everything that it refuses but for too many calls
}
"""The statuses of products whose documentation has other ones than 401 and 429."""


@pytest.mark.parametrize("name", CONNECTORS)
def test_there_is_an_exchange_of_every_kind(name: str, tmp_path: Path) -> None:
    """A list, one thing, a write, a 401 and a 429; and every operation where no real server is asked."""
    catalog = catalog_of(tmp_path, name)
    kinds, refusals, called = set(), dict[str, int](), set()
    for case in kept(name)["cases"].values():
        tool = catalog.tool_for(case["call"])
        assert tool is not None, case["call"]
        (operation,) = tool.operations.values()
        if "error" in case:
            for last in case["exchanges"][-1:]:
                refusals[case["error"]["code"]] = last.get("status", 200)
        else:
            kinds.add("list" if operation.items else "get" if operation.kind == "read" else "write")
            called.add(tool.key)
    assert kinds == {"list", "get", "write"}
    wanted = {"needs_reauth": 401, "rate_limited": 429, **REFUSES_OTHERWISE.get(name, {})}
    assert {code: refusals.get(code) for code in wanted} == wanted
    if name not in EVIDENCE or EVIDENCE[name].kind != "a real server":
        assert {tool.key for tool in catalog.tools if tool.operations} - called == set()


def test_every_connector_is_among_them_or_has_its_reason() -> None:
    """One that only holds a credential has nothing to list; its refusals are below."""
    assert set(connector_names()) == {*CONNECTORS, *WITHOUT_ENTITIES}
    assert set(REFUSES_OTHERWISE) <= set(CONNECTORS)


@pytest.mark.parametrize("name", connector_names())
def test_it_says_what_it_was_checked_against(name: str) -> None:
    """In its head and in its page, as the run of its tests writes it; the test that is named uses it."""
    for file in (FILES / f"{name}.yaml", ROOT / "docs" / "connectors" / f"{name}.md"):
        said = NOTE.findall(file.read_text())
        assert said == [note_of(name)], "python -m tests.connectors.checked writes it"
    if name in EVIDENCE:
        assert re.search(rf"\b{name}\b", (ROOT / EVIDENCE[name].test).read_text())


def test_all_of_them_beside_one_another(tmp_path: Path) -> None:
    """One tool for an entity whatever the product; what they say of it fits together."""
    file = tmp_path / "tools.yaml"
    words = {name: {"use": name} for name in CONNECTORS}
    head = {"linkspan": 1, "name": "all", "instructions": "List tickets, alerts and pull requests."}
    file.write_text(yaml.safe_dump({**head, "connectors": words}))
    catalog = spec.load([file], {})
    listed = catalog.tool_for("ticket.list")
    assert listed is not None
    assert {"asana", "github", "gitlab", "linear", "servicenow", "zendesk"} <= set(listed.operations)


def test_nothing_is_told_of_entities_that_were_not_chosen(tmp_path: Path) -> None:
    """An event goes with its entity; without any, there is nothing to deliver."""
    assert (
        catalog_of(tmp_path, "alertmanager", entities=["silence"]).connectors["alertmanager"].webhooks is None
    )
    webhooks = catalog_of(tmp_path, "alertmanager", entities=["alert"]).connectors["alertmanager"].webhooks
    assert webhooks is not None
    assert set(webhooks.events) == {"alert.firing", "alert.resolved"}


async def test_datadog_takes_a_pair_of_keys_too(tmp_path: Path) -> None:
    """Each in its header, on every request; neither is shown."""
    pair = {"key": "canary-api-key", "second_key": "canary-application-key"}
    headers = {"dd-api-key": pair["key"], "dd-application-key": pair["second_key"]}
    catalog = catalog_of(tmp_path, "datadog")
    product = Replayer(
        [{"request": "GET /api/v1/monitor?page=0&page_size=1", "headers": headers, "answer": []}]
    )
    transport = AsgiTransport(product)
    app = await build(Settings(home=tmp_path / "home"), catalog=catalog, transport=transport)
    try:
        tenant = await app.tenants.add("acme")
        known = catalog.connectors["datadog"]
        with pytest.raises(InvalidArgument, match="second_key"):
            await app.accounts.link(tenant, known, method="header", secrets={"key": pair["key"]})
        await app.accounts.link(tenant, known, method="header", secrets=pair, verify=app.verifier)
        refused = {"errors": ["Forbidden: " + pair["second_key"]]}
        answers: list[Mapping[str, Any]] = [
            {"request": "GET /api/v1/monitor/1", "headers": headers, "answer": {"id": 1, "name": "Cart"}},
            {"request": "GET /api/v1/monitor/1", "headers": headers, "status": 403, "answer": refused},
        ]
        product.waiting = answers
        linked = Bench(app, product, transport)
        case = {"call": "alert.get", "arguments": {"id": "1"}}
        assert (await linked.call(case))["title"] == "Cart"
        with pytest.raises(Forbidden) as told:
            await linked.call(case)
        assert "canary" not in str(told.value.to_dict()) + str(told.value.raw_response)
        assert not product.wrong, product.wrong
    finally:
        await app.aclose()


@pytest.mark.parametrize(
    ("api", "url"),
    [
        ("https://api.us5.datadoghq.com", "https://us5.datadoghq.com/monitors/7"),
        ("https://api.datadoghq.eu", "https://app.datadoghq.eu/monitors/7"),
        ("https://datadog.acme.example", None),
    ],
)
def test_an_alert_of_datadog_has_the_address_of_its_site(api: str, url: str | None, tmp_path: Path) -> None:
    """As its page of sites has them; behind an API that is none of those it has none."""
    tool = catalog_of(tmp_path, "datadog").tool_for("alert.get")
    assert tool is not None
    shape = tool.operations["datadog"].shape
    assert shape is not None
    assert shape({"id": 7}, {"url": {"origin": api}})["url"] == url


async def test_the_prefixes_of_a_tracker_can_be_said(tmp_path: Path) -> None:
    """Of a connector that is built in, by the one word."""
    own = {"pull_request": {"sources": {"github": {"fields": {"tickets": {"keys": ["utf"]}}}}}}
    file = tmp_path / "tools.yaml"
    head = {"linkspan": 1, "name": "own", "instructions": "List pull requests."}
    words = {"connectors": {"github": {"use": "github", "entities": ["pull_request"]}}, "entities": own}
    file.write_text(yaml.safe_dump({**head, **words}))
    tool = spec.load([file], {}).tool_for("pull_request.get")
    assert tool is not None
    shape = tool.operations["github"].shape
    assert shape is not None
    assert shape({"title": "UTF-8 for ENG-12", "head": {"ref": "main"}})["tickets"] == [
        {"id": "UTF-8", "key": "UTF-8"}
    ]


async def test_the_site_of_jira_is_found(tmp_path: Path) -> None:
    """Of who signed in: nobody types its id, and where a token is good for several a person says which."""
    catalog = catalog_of(tmp_path, "jira", client=CLIENT)
    known = catalog.connectors["jira"]
    assert known.through("oauth2").settings["cloud"].is_found
    assert not known.through("basic").settings["cloud"].is_found
    site, other = ("11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000")
    sites = [
        {"id": site, "name": "acme", "scopes": ["read:jira-work"]},
        {"id": other, "name": "pages", "scopes": ["read:confluence-content.all"]},
    ]
    asked = {
        "request": "GET /oauth/token/accessible-resources",
        "headers": {"authorization": "Bearer canary-1"},
    }
    me = {"accountId": "5b10", "displayName": "Ada"}
    exchanges: list[Mapping[str, Any]] = [
        {**asked, "answer": sites},
        {"request": f"GET /ex/jira/{site}/rest/api/3/myself", "answer": me},
    ]
    product = Replayer(exchanges)
    app = await build(
        Settings(home=tmp_path / "home"), catalog=catalog, transport=AsgiTransport(product), clock=lambda: 0.0
    )
    try:
        tenant = await app.tenants.add("acme")
        tokens = Tokens(Secret("canary-1"), Secret("canary-2"), 3600.0, None)
        account = await app.accounts.link(tenant, known, method="oauth2", tokens=tokens, verify=app.verifier)
        assert (account.state, account.settings) == ("active", {"cloud": site})
        product.waiting = [{**asked, "answer": [sites[0], {**sites[0], "id": other, "name": "harbour"}]}]
        with pytest.raises(InvalidArgument, match="2 things to choose from"):
            await app.accounts.link(
                tenant, known, method="oauth2", account=account.id, tokens=tokens, keep_settings=False,
                verify=app.verifier,
            )  # fmt: skip
        assert not product.wrong, product.wrong
    finally:
        await app.aclose()


async def test_the_organization_of_sentry_is_found(tmp_path: Path) -> None:
    """Of who signed in at sentry.io; a token is for any server, and is told which organization."""
    catalog = catalog_of(tmp_path, "sentry", client=CLIENT)
    known = catalog.connectors["sentry"]
    assert list(known.through("oauth2").settings) == ["organization"]
    assert not known.through("bearer").settings["organization"].is_found
    exchanges: list[Mapping[str, Any]] = [
        {"request": "GET /api/0/organizations/", "answer": [{"id": "2", "slug": "acme", "name": "Acme"}]},
        {"request": "GET /api/0/organizations/acme/", "answer": {"id": "2", "name": "Acme"}},
    ]
    product = Replayer(exchanges)
    app = await build(
        Settings(home=tmp_path / "home"), catalog=catalog, transport=AsgiTransport(product), clock=lambda: 0.0
    )
    try:
        tenant = await app.tenants.add("acme")
        tokens = Tokens(Secret("canary-1"), Secret("canary-2"), 3600.0, None)
        account = await app.accounts.link(tenant, known, method="oauth2", tokens=tokens, verify=app.verifier)
        assert (account.state, account.settings) == ("active", {"organization": "acme"})
        assert account.origins == ("https://sentry.io:443",)
        assert not product.wrong, product.wrong
    finally:
        await app.aclose()


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        (
            401,
            {"code": "invalid_api_key", "message": "Incorrect API key provided."},
            NeedsReauth,
            "needs_reauth",
        ),
        (429, {"code": "rate_limit_exceeded", "message": "Rate limit reached."}, RateLimited, "rate_limited"),
        (403, {"code": None, "message": "Missing scopes: api.model.read"}, LinkspanError, "forbidden"),
    ],
)
async def test_what_openai_refuses_is_told(
    status: int, error: Mapping[str, Any], kind: type[LinkspanError], code: str, tmp_path: Path
) -> None:
    """It has no tools: a key is proven when it is linked, and nothing is kept of one that is refused."""
    catalog = catalog_of(tmp_path, "openai")
    assert not catalog.tools and not catalog.connectors["openai"].events  # its webhooks only wake runs
    answer = {"request": "GET /v1/models", "status": status, "answer": {"error": error}}
    told_to_wait = {"answer_headers": {"retry-after": "600"}} if status == 429 else {}
    product = Replayer([{**answer, **told_to_wait}])
    app = await build(Settings(home=tmp_path / "home"), catalog=catalog, transport=AsgiTransport(product))
    try:
        tenant = await app.tenants.add("acme")
        secrets = {"token": "canary-sk"}
        with pytest.raises(kind) as told:
            await app.accounts.link(
                tenant, catalog.connectors["openai"], secrets=secrets, verify=app.verifier
            )
        assert told.value.code == code
        assert code != "rate_limited" or getattr(told.value, "retry_after", None) == 600
        assert await app.accounts.list(tenant) == []
        assert not product.wrong, product.wrong
    finally:
        await app.aclose()


@pytest.mark.parametrize("name", sorted(CONNECTORS))
def test_every_schema_is_one(name: str, tmp_path: Path) -> None:
    """Of what goes in and of what comes out, patterns and references included."""
    for tool in catalog_of(tmp_path, name).tools:
        for schema in (tool.input_schema, tool.output_schema):
            jsonschema_rs.Draft202012Validator(schema or {}, offline=True)
