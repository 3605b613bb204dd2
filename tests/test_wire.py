"""A whole request: what an argument holds is one value at its place, and nothing around it changes."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linkspan import wire
from linkspan.errors import InvalidArgument
from linkspan.net.messages import Response
from linkspan.spec import yaml
from linkspan.spec.catalog import AuthMethod, Catalog, Scope
from linkspan.spec.compile import compile_catalog
from linkspan.vault.credential import Credential
from linkspan.vault.secret import Secret
from linkspan.wire import Outgoing, Position
from linkspan.wire.credentials import authorized, without_secrets

FILE = """\
linkspan: 1
name: acme
instructions: Search tickets with search_tickets.
connectors:
  desk:
    base_url: https://desk.example/api
    auth: [{type: bearer}]
    headers: {X-Fixed: fixed}
    query: {fixed: "1"}
    pagination: {style: cursor, send: {query: cursor}, read: next, size: {query: limit, max: 50}}
entities:
  ticket:
    model: ticket
    sources:
      desk:
        fields: {id: id, title: title}
        operations:
          search:
            request: GET /search/{kind}
            query: {q: $query, many: $many}
            headers: {X-Tone: $tone}
            params: {kind: string, tone: string, many: {type: array, items: {type: string}}}
            items: hits
          create:
            request: POST /tickets
            headers: {X-Kind: $kind}
            params: {kind: string}
            body: {title: $title, draft: false, more: {text: $description}}
            item: ticket
          submit:
            description: Submit a ticket.
            request: POST /forms
            params: {words: string}
            form: {words: $words, fixed: "1"}
            item: ticket
"""
EVIL = [
    "..", "../..", "%2e%2e%2f", "a%2fb", "?x=1", "&limit=9&cursor=c", "#f", ";x=1", "a=b", "+", "%",
    "https://evil.example/", "//evil.example", "@evil.example", "a\r\nX-Evil: 1", "a\n\nGET / HTTP/1.1",
    "\x00", "\uff0e\uff0e\uff0f", "\u2028", "\u202e", "\ud800", '"}, "draft": true, "x": {"y": "', "${HOME}",
    "$kind", "{kind}", "{{ 7 * 7 }}", "ä",
]  # fmt: skip
TEXTS = (
    st.sampled_from(EVIL)
    | st.text(max_size=20)
    | st.text(st.sampled_from("./%\\?#&;=:@+\r\n \"'{}$2ef"), max_size=10)
)


@functools.cache
def catalog() -> Catalog:
    """The file above."""
    root, problems = yaml.read(FILE.encode(), "tools.yaml")
    assert root is not None
    compiled, found = compile_catalog(root, {})
    assert compiled is not None, [*problems, *found]
    return compiled


def request(name: str, arguments: Mapping[str, Any], at: str | None = None) -> Outgoing | None:
    """Put a tool's request together; None when an argument was refused for where it would stand."""
    tool = catalog().tool(name)
    assert tool is not None
    operation = tool.operations["desk"]
    assert operation.plan is not None
    try:
        return wire.build(
            operation.plan,
            Scope(arguments),
            catalog().connectors["desk"],
            page=operation.paging if operation.items else None,
            position=Position(at, 10),
        )
    except InvalidArgument as error:
        assert "evil" not in error.message.lower()
        return None


@settings(deadline=None)
@given(TEXTS, TEXTS, st.lists(TEXTS, max_size=2), TEXTS, st.none() | TEXTS)
@example("x", "a&limit=9", ["b#c"], "d", "&")
@example("x", "\ud800", [], "d", None)
@example("x", "a", [], "\ud800", None)
def test_path_query_and_header_hold_each_value_and_nothing_else(
    kind: str, query: str, many: list[str], at: str, tone: str | None
) -> None:
    """Host, segments, names of parameters and their number, and the headers are as declared."""
    given = {"kind": kind, "query": query, "many": many, "tone": tone}
    made = request("search_tickets", {name: part for name, part in given.items() if part is not None}, at)
    if made is None:
        return
    assert made.url.isascii()
    assert made.url.isprintable()
    url = urlsplit(made.url)
    assert (url.scheme, url.netloc, url.fragment) == ("https", "desk.example", "")
    assert [unquote(part) for part in url.path.split("/")] == ["", "api", "search", kind]
    assert kind not in {"", ".", ".."}
    assert parse_qsl(url.query, keep_blank_values=True, errors="strict") == [
        ("fixed", "1"),
        ("q", query),
        *(("many", part) for part in many),
        ("cursor", at),
        ("limit", "10"),
    ]
    declared = {"Accept", "User-Agent", "X-Fixed"}
    assert made.headers.keys() == (declared if tone is None else {*declared, "X-Tone"})
    assert made.headers.get("X-Tone", "").strip() == (tone or "").strip()
    assert "".join(made.headers.values()).isprintable()
    assert made.body is None


@settings(deadline=None)
@given(TEXTS, TEXTS)
@example('"}, "draft": true, "x": {"y": "', "x")
def test_a_json_body_holds_each_value_and_nothing_else(title: str, text: str) -> None:
    """Its members are as declared, whatever looks like one inside of a text."""
    made = request("create_ticket", {"title": title, "description": text, "kind": "bug"})
    if made is None:
        assert "\ud800" in title + text or any("\ud800" <= sign <= "\udfff" for sign in title + text)
        return
    assert made.body is not None
    assert json.loads(made.body) == {"title": title, "draft": False, "more": {"text": text}}
    assert made.url == "https://desk.example/api/tickets?fixed=1"


@settings(deadline=None)
@given(TEXTS)
@example("a&fixed=2")
def test_a_form_holds_each_value_and_nothing_else(words: str) -> None:
    """No field is added, and none is changed."""
    made = request("submit_ticket", {"words": words})
    if made is None:
        assert any("\ud800" <= sign <= "\udfff" for sign in words)
        return
    assert made.body is not None
    fields = parse_qsl(made.body.decode(), keep_blank_values=True, errors="strict")
    assert fields == [("words", words), ("fixed", "1")]


NO_HEADER = [word for word in EVIL if set(word) & set("\r\n\x00") or not word.isascii()]


@pytest.mark.parametrize("value", NO_HEADER)
def test_what_no_header_can_hold_is_refused(value: str) -> None:
    """Line ends above all: nothing is sent instead of two headers."""
    assert request("create_ticket", {"title": "x", "kind": value}) is None


def test_a_credential_that_is_a_parameter_is_there_once() -> None:
    """Whatever the address has of that name already, as that of a next page has; all else stays as it was."""
    there = "https://desk.example/api?k%65y=old&a=b%20c&key=x&&keys=1"
    outgoing = Outgoing("GET", there, {}, None, None, repeatable=True, base="https://desk.example/api")
    method = AuthMethod("query", name="key", fields=("key",))
    made = authorized(outgoing, method, {"key": "canary/1"}.__getitem__)
    assert made.url == "https://desk.example/api?a=b%20c&keys=1&key=canary%2F1"
    alone = authorized(replace(outgoing, url="https://desk.example/api"), method, {"key": "c"}.__getitem__)
    assert alone.url == "https://desk.example/api?key=c"


@pytest.mark.parametrize("form", ["canary/+1", "canary%2F%2B1", "canary%2f%2b1"])
def test_a_credential_is_masked_in_headers_however_it_is_encoded(form: str) -> None:
    """In the address of a next page it is encoded, by each product in its way."""
    credential = Credential("acc_1", "desk", "query", {"key": Secret("canary/+1")}, {}, ())
    answer = Response(200, {"link": f"<https://desk.example/?key={form}&page=2>"}, form.encode(), "")
    masked = without_secrets(answer, credential)
    assert masked.headers == {"link": "<https://desk.example/?key=[credential]&page=2>"}
    assert masked.body == b"[credential]"
