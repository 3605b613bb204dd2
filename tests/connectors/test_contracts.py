"""What connectors really send, against what their products say that they take.

`tests/contracts/NAME.json` keeps the paths that we call as they are in the description, and leaves the others
out; `x-origin` says where it is from and under which licence. What is GraphQL has a schema. Answers that are
replayed are not held against it: they are shortened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema_rs
import openai
import pytest
from graphql import build_schema, parse, validate
from graphql.execution.values import get_variable_values
from graphql.language import OperationDefinitionNode

from linkspan.errors import LinkspanError
from linkspan.net.messages import Request
from linkspan.net.urls import origin_of
from tests.connectors.replayed import bench, catalog_of, kept
from tests.connectors.test_deliveries import KEPT
from tests.servers.node import ROOT

CONTRACTS: Final = ("asana", "bitbucket", "datadog", "figma", "github", "jira", "sentry")
NEWER: Final = ("/rest/api/3/search/jql",)
"""Paths that are newer than the description which we have: held against documentation only."""
GATEWAY: Final = re.compile(r"/ex/jira/[^/]+")
"""Where Atlassian's gateway has what the description has at the site's own address."""
FILES: Final = ROOT / "tests" / "contracts"
UNLISTED: Final = {
    "asana": ('"created_by.name" is not one of',),
    "bitbucket": (
        r"GET \S+: no parameter (pagelen|page|q)$",
        r'POST \S+/pullrequests: \[\]: "type" is a required property',
        r'PUT \S+/pullrequests/\d+: \[\]: "type" is a required property',
        r'POST \S+/comments: \[\]: "type" is a required property',
        r"POST \S+/pullrequests: no member description$",
        r"POST \S+/pullrequests: no member draft$",
    ),
    "sentry": (r'PUT \S+/issues/\d+/: \[\]: "\w+" is a required property',),
}
"""The objections that a connector does not heed, each of which has to be raised.

Asana lists `created_by.name` for stories, and for tasks `created_by` alone, which answers no name. Bitbucket
says of all lists at once, on a page of its own, how they are paged and filtered; the examples of its
description have no `type`; it names `description` in the words of the operation alone; `draft` is newer than
the description that we have. Sentry's has each member of an issue as required, and says that only those
submitted are modified.
"""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One loop is enough here."""
    return "asyncio"


def described(name: str) -> dict[str, Any]:
    """Answer the description; its version 3.0 has `nullable`, which no body of ours needs."""
    found: dict[str, Any] = json.loads((FILES / f"{name}.json").read_text())
    return found


def resolved(description: Mapping[str, Any], part: Any) -> Any:
    """Follow a `$ref` of the description."""
    while isinstance(part, dict) and "$ref" in part:
        found: Any = description
        for word in part["$ref"].removeprefix("#/").split("/"):
            name = word.replace("~1", "/").replace("~0", "~")
            found = found[int(name)] if isinstance(found, list) else found[name]
        part = found
    return part


def members(description: Mapping[str, Any], schema: Any) -> dict[str, Any]:
    """Answer the members that an object may have, by name, with their schemas."""
    schema = resolved(description, schema)
    found = dict(schema.get("properties", {}))
    for part in schema.get("allOf", ()):
        found |= members(description, part)
    return found


def unknown(description: Mapping[str, Any], schema: Any, body: Any, at: str = "") -> Iterator[str]:
    """Yield the members of a body that its schema does not name, however deep."""
    known = members(description, schema)
    if not isinstance(body, dict) or not known:
        return
    for name, value in body.items():
        if name not in known:
            yield f"{at}{name}"
        else:
            yield from unknown(description, known[name], value, f"{at}{name}.")


def _as_pattern(template: str) -> str:
    return re.sub(r"\\\{[^{}]*\\\}", "([^/]+)", re.escape(template))


def typed(description: Mapping[str, Any], schema: Any, text: str) -> Any:
    """Answer what a text of a URL is to its schema: a number, true or false, or itself."""
    schema = resolved(description, schema)
    options = [schema, *(resolved(description, one) for one in schema.get("anyOf", schema.get("oneOf", ())))]
    kinds = {kind for one in options for kind in _listed(one.get("type"))}
    if kinds & {"integer", "number"} and re.fullmatch(r"-?\d+(\.\d+)?", text):
        return float(text) if "." in text else int(text)
    return text == "true" if "boolean" in kinds and text in ("true", "false") else text


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def unfit(description: Mapping[str, Any], known: Mapping[str, Any], sent: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of a URL that the schema of their parameter does not allow."""
    for name, text in sent.items():
        schema = resolved(description, known.get(name, {}).get("schema", {}))
        if schema.get("type") == "array":
            value: Any = [typed(description, schema.get("items", {}), part) for part in text.split(",")]
        else:
            value = typed(description, schema, text)
        whole = {**schema, "components": description.get("components", {})}
        for error in jsonschema_rs.Draft202012Validator(whole, validate_formats=True).iter_errors(value):
            yield f"{name} cannot be {text!r}: {error.message}"


def objections(description: Mapping[str, Any], request: Request) -> Iterator[str]:
    """Yield what the description does not allow of a request: path, method, parameters, body."""
    parts = urlsplit(request.url)
    said = f"{request.method} {parts.path}"
    server = urlsplit(description.get("servers", [{}])[0].get("url", "")).path
    asked = GATEWAY.sub("", parts.path.removeprefix(server))
    if asked in NEWER:
        return
    templates = (template for template in description["paths"] if re.fullmatch(_as_pattern(template), asked))
    template = next(templates, None)
    if template is None:
        yield f"{said}: no such path"
        return
    path = description["paths"][template]
    operation = path.get(request.method.lower())
    if operation is None:
        yield f"{said}: {template} has no such method"
        return
    given = [
        resolved(description, each)
        for each in (*path.get("parameters", []), *operation.get("parameters", []))
    ]
    names, values = re.findall(r"\{([^{}]*)\}", template), re.fullmatch(_as_pattern(template), asked)
    placed = dict(zip(names, map(unquote, values.groups()), strict=True)) if values else {}
    in_path = {one["name"]: one for one in given if one["in"] == "path"}
    yield from (f"{said}: {line}" for line in unfit(description, in_path, placed))
    known = {one["name"]: one for one in given if one["in"] == "query"}
    sent = dict(parse_qsl(parts.query, keep_blank_values=True))
    yield from (f"{said}: no parameter {name}" for name in sent if name not in known)
    yield from (
        f"{said}: {name} is missing"
        for name, one in known.items()
        if one.get("required") and name not in sent
    )
    yield from (f"{said}: {line}" for line in unfit(description, known, sent))
    body = resolved(description, operation.get("requestBody"))
    if request.body and body is None:
        yield f"{said}: takes no body"
    if body is not None and (request.body or body.get("required")):
        kind = (
            next(iter(body["content"])) if "application/json" not in body["content"] else "application/json"
        )
        schema = {**body["content"][kind]["schema"], "components": description["components"]}
        read = json.loads(request.body or b"{}") if kind == "application/json" else form(request)
        for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(read):
            yield f"{said}: {error.instance_path}: {error.message}"
        for name in unknown(description, schema, read):
            yield f"{said}: no member {name}"


def unlike_figmas(delivery: Mapping[str, Any]) -> list[str]:
    """Answer what Figma's description does not allow of the body of a delivery."""
    description = described("figma")
    schemas = description["components"]["schemas"]
    event = "".join(word.capitalize() for word in str(delivery.get("event_type")).split("_"))
    schema = schemas.get(f"Webhook{event}Payload")
    if schema is None:
        return [f"no payload of {delivery.get('event_type')}"]
    whole = {**schema, "components": description["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    found = [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(delivery)]
    return found + [f"no member {name}" for name in unknown(description, schema, delivery)]


def form(request: Request) -> dict[str, Any]:
    """Answer the parts of a form (RFC 7578) by name; what is not text is bytes, which a schema cannot see."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    whole = message_from_bytes(head + (request.body or b""))
    parts = whole.get_payload() if whole.is_multipart() else []
    return {
        str(part.get_param("name", header="content-disposition")): str(part.get_payload())
        for part in parts
        if isinstance(part, Message)
    }


@pytest.mark.parametrize("name", CONTRACTS)
async def test_what_is_sent_is_allowed(name: str, tmp_path: Path) -> None:
    """Every operation of the connector is called once at least, and every request is as it should be."""
    description, called = described(name), set()
    async with bench(name, tmp_path) as linked:
        for case in kept(name)["cases"].values():
            if "error" in case:
                continue
            linked.product.waiting = list(case["exchanges"])
            try:
                await linked.call(case)
            except LinkspanError as error:
                pytest.fail(f"{case['call']}: {error}")
            called.add(case["call"])
        hosts = linked.app.catalog.connectors[name].hosts
        asked = [
            each
            for each in linked.transport.sent
            if not each.url.endswith("/graphql") and origin_of(each.url) not in hosts
        ]
        wrong = [line for request in asked for line in objections(description, request)]
        unlisted = UNLISTED.get(name, ())
        assert not [line for line in wrong if not any(re.search(words, line) for words in unlisted)]
        assert not [words for words in unlisted if not any(re.search(words, line) for line in wrong)]
        operations = {tool.key for tool in linked.app.catalog.tools if tool.operations}
    assert operations - called == set()


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_request_that_is_wrong_is_found(name: str) -> None:
    """The check is one: a path, a parameter and a body that are not in the description are told."""
    description = described(name)
    assert "licen" in description["x-origin"].lower()
    base = "https://api.example"
    post, body, words = {
        "asana": ("/api/1.0/tasks/1/stories", b'{"data": {"wrong": 1}}', "no member data.wrong"),
        "bitbucket": ("/2.0/repositories/a/b/pullrequests", b'{"wrong": 1}', "no member wrong"),
        "datadog": ("/api/v1/monitor", b"{}", "is a required property"),
        "figma": ("/v1/files/a/comments", b"{}", "is a required property"),
        "github": ("/repos/a/b/issues", b"{}", "is a required property"),
        "jira": ("/ex/jira/7/rest/api/3/issue/A-1/comment", b'{"wrong": 1}', "no member wrong"),
        "sentry": ("/api/0/organizations/a/issues/1/", b'{"wrong": 1}', "no member wrong"),
    }[name]
    for request, wanted in [
        (Request("GET", f"{base}/nowhere", {}, None), "no such path"),
        (Request("PATCH", f"{base}{post}", {}, None), "no such method"),
        (Request("GET", f"{base}{post}?wrong=1", {}, None), "no parameter wrong"),
        (Request("PUT" if name == "sentry" else "POST", f"{base}{post}", {}, body), words),
    ]:
        assert wanted in " ".join(objections(description, request))


def test_deliveries_of_figma_are_as_described() -> None:
    """One of each event that is told of at least; another event, type, date or member is found."""
    told = [each["body"] for each in KEPT["figma"]]
    assert [found for body in told for found in unlike_figmas(body)] == []
    payloads = described("figma")["x-beside"]
    assert len({body["event_type"] for body in told}) == len(payloads)
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"event_type": "FILE_RENAMED"}, "no payload of FILE_RENAMED"),
        ({"file_key": 7}, '7 is not of type "string"'),
        ({"timestamp": "yesterday"}, "yesterday"),
        ({"mine": 1}, "no member mine"),
    ]
    for wrong, wanted in mistakes:
        assert wanted in " ".join(unlike_figmas({**told[0], **wrong}))


@pytest.mark.parametrize(
    ("name", "asked", "wanted"),
    [
        ("asana", "/api/1.0/tasks?limit=0", "limit cannot be '0'"),
        ("asana", "/api/1.0/tasks?opt_fields=name,nonsense", "opt_fields cannot be 'name,nonsense'"),
        ("bitbucket", "/2.0/repositories/a/b/pullrequests?state=AJAR", "state cannot be 'AJAR'"),
        ("sentry", "/api/0/organizations/a/issues/?limit=many", "limit cannot be 'many'"),
        ("datadog", "/api/v1/monitor?page_size=many", "page_size cannot be 'many'"),
        ("datadog", "/api/v1/monitor/mine", "monitor_id cannot be 'mine'"),
        ("figma", "/v1/files/a/versions?page_size=many", "page_size cannot be 'many'"),
        ("github", "/repos/a/b/issues?since=yesterday", "since cannot be 'yesterday'"),
        ("github", "/repos/a/b/issues?state=ajar", "state cannot be 'ajar'"),
        ("github", "/repos/a/b/issues/first", "issue_number cannot be 'first'"),
    ],
)
def test_a_value_of_a_url_that_is_wrong_is_found(name: str, asked: str, wanted: str) -> None:
    """In its query and in its path: what is no number, no date, none of the words, or out of bounds."""
    (found,) = objections(described(name), Request("GET", f"https://api.example{asked}", {}, None))
    assert wanted in found


async def test_what_is_asked_of_openai_is_allowed(tmp_path: Path) -> None:
    """The one request that is the connector's own, and that its answer is what such a key is answered."""
    description = described("openai")
    assert "MIT" in description["x-origin"]
    async with bench("openai", tmp_path) as linked:
        (request,) = linked.transport.sent
        assert not list(objections(description, request))
    said = description["paths"]["/models"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    schema = {**said, "components": description["components"]}
    (exchange,) = kept("openai")["link"]["exchanges"]
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(exchange["answer"])
    wrong = Request("GET", "https://api.openai.com/v1/models?wrong=1", {}, None)
    assert "no parameter wrong" in " ".join(objections(description, wrong))


def test_paths_of_openai_have_their_tier(tmp_path: Path) -> None:
    """Those of its description; of agents, vaults and webhooks, which that lacks, the package's."""
    paths = {path.partition("?")[0] for path in described("openai")["x-paths"]}
    sources = Path(openai.__file__).parent / "resources"
    literals = re.compile(r'"(/(?:agents|vaults|webhook_)[^"?]*)"')
    typed = {found for file in sources.rglob("*.py") for found in literals.findall(file.read_text())}
    assert len(typed) > 20
    assert not typed & paths
    rule = catalog_of(tmp_path, "openai").connectors["openai"].proxy
    tiers = {path: rule.tier_of(path) for path in paths | typed}
    assert not [path for path, tier in tiers.items() if tier is None]
    assert {tiers[path] for path in typed} == {"codex"}
    assert not [path for path, tier in tiers.items() if path.startswith("/organization") and tier in rule.on]


@pytest.mark.parametrize("name", ["linear", "github"])
async def test_documents_are_allowed(name: str, tmp_path: Path) -> None:
    """Every document is one of the schema, and so are the variables that are sent with it."""
    schema = build_schema((FILES / f"{name}.graphql").read_text())
    called = set()
    async with bench(name, tmp_path) as linked:
        for case in kept(name)["cases"].values():
            if "error" not in case:
                linked.product.waiting = list(case["exchanges"])
                await linked.call(case)
                called.add(case["call"])
        asked = [each for each in linked.transport.sent if each.url.endswith("/graphql")]
        assert asked
        for request in asked:
            body = json.loads(request.body or b"")
            document = parse(body["query"])
            assert not validate(schema, document)
            (definition,) = document.definitions
            assert isinstance(definition, OperationDefinitionNode)
            found = get_variable_values(
                schema, definition.variable_definitions or (), body.get("variables") or {}
            )
            assert not isinstance(found, list), found
        assert {tool.key for tool in linked.app.catalog.tools if tool.operations} - called == set()
    assert validate(schema, parse("{ wrong }"))
