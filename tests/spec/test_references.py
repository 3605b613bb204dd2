"""No value of an argument, a setting or a step can change anything of a request but itself."""

from __future__ import annotations

import functools
import json
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from linkspan.errors import InvalidArgument
from linkspan.spec import yaml
from linkspan.spec.catalog import ABSENT, LATER, Catalog, Connector, Operation, Scope
from linkspan.spec.compile import compile_catalog

FILE = """\
linkspan: 1
name: acme
instructions: Search tickets with search_tickets.
connectors:
  desk:
    base_url: https://{settings.site}.desk.example/api/{settings.team}
    settings: {site: , team: }
    auth: [{type: basic}]
    headers: {X-Team: "t {settings.team}", X-User: $credential.username}
    query: {team: $settings.team, fixed: "1"}
  own:
    base_url: "{settings.origin}/api"
    settings: {origin: {type: origin}}
    auth: [{type: bearer}]
    headers: {Origin: "{settings.origin}"}
entities:
  ticket:
    model: ticket
    fields: {owner: string, repo: string}
    sources:
      desk:
        identity: "{owner}/{repo}#{number}"
        fields: {owner: repo.owner, repo: repo.name, number: number, title: title}
        operations:
          get: {request: "GET /repos/{owner}/{repo}/issues/{number}/x"}
          search:
            request: GET /search
            query: {q: $query, fixed: "1", many: $many, joined: {$: many, join: ","}, flag: $flag}
            headers: {X-Kind: "kind {kind}; v=1"}
            params:
              many: {type: array, items: {type: string}}
              flag: {type: boolean}
              kind: {type: string}
            items: hits
          create:
            steps:
              - {as: made, when: $title, request: POST /drafts, body: {t: $title}, item: draft}
              - request: POST /repos/{repo}/{made.id}/done
                body: {title: $title, draft: $made.id, whole: $made, "$$literal": $$x, n: [1, $description]}
          export:
            description: Export a ticket.
            request: GET /files/{name}.{kind}/raw
            params: {name: string, kind: string}
      own:
        fields: {id: id}
        operations:
          get: {request: "GET /tickets/{id}"}
"""
NASTY = [
    "..", ".", "", "../..", "..%2f..", "%2e%2e", "a/b", "a\\b", "?x=1", "#f", "&x=1", "a;b",
    "http://evil.example/", "//evil.example", "@evil.example", "a\r\nX-Evil: 1", "\n", "\x00",
    "a b", "ä", "\uff0e\uff0e", "\uff0f", "%", "%00", "{id}", "${HOME}", "$title", "{{ 7 * 7 }}",
    "\u2028", "\u202e", "\ud800", "x" * 5000, "[]", ":", "::1", "%C0%AE", "+",
]  # fmt: skip
TEXTS = (
    st.sampled_from(NASTY)
    | st.text(max_size=30)
    | st.text(st.sampled_from("./%\\?#&;:@\r\n 2ef"), max_size=8)
)


@functools.cache
def catalog() -> Catalog:
    """The file above."""
    root, problems = yaml.read(FILE.encode(), "tools.yaml")
    assert root is not None
    compiled, found = compile_catalog(root, {})
    assert compiled is not None, [*problems, *found]
    return compiled


def operation(name: str, connector: str = "desk") -> Operation:
    tool = catalog().tool(name)
    assert tool is not None
    return tool.operations[connector]


def path_of(tool: str, connector: str = "desk", /, **arguments: Any) -> str:
    plan = operation(tool, connector).plan
    assert plan is not None
    return plan.path.expand(Scope(arguments))


def query_of(name: str, **arguments: Any) -> dict[str, Any]:
    plan = operation(name).plan
    assert plan is not None
    values = {name: value(Scope(arguments)) for name, value in plan.query}
    return {name: value for name, value in values.items() if value is not ABSENT}


@settings(deadline=None)
@given(TEXTS)
def test_an_id_stays_in_its_segment(value: str) -> None:
    """It comes back exactly from its one segment, or is refused."""
    try:
        path = path_of("get_ticket", "own", id=value)
    except InvalidArgument as error:
        assert error.details == [{"path": "id", "message": error.message.removeprefix("id: ")}]
        return
    whole = urlsplit(f"https://desk.example/api{path}?a=b")
    assert (whole.netloc, whole.query, whole.fragment) == ("desk.example", "a=b", "")
    segments = whole.path.split("/")
    assert segments[:3] == ["", "api", "tickets"]
    assert [unquote(segment) for segment in segments[3:]] == [value]
    assert value not in {"", ".", ".."}


@pytest.mark.parametrize(
    "value", ["..", ".", "", "a\r\nb", "\x00", "\x7f", "\x85", "\u2028", "\ud800", {}, []]
)
def test_what_could_leave_its_segment_is_refused(value: Any) -> None:
    """Dots, nothing, control characters, half characters, mappings."""
    with pytest.raises(InvalidArgument, match=r"^id: "):
        path_of("get_ticket", "own", id=value)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [("a/b", "a%2Fb"), ("..%2f", "..%252f"), ("a?b#c", "a%3Fb%23c"), ("é", "%C3%A9"), (7, "7"),
     (True, "true"), (["a", "b/c"], "a,b%2Fc"), ("-._~", "-._~"), ("a b", "a%20b"),
     ("\uff0e\uff0e", "%EF%BC%8E%EF%BC%8E")],
)  # fmt: skip
def test_a_path_is_encoded_as_rfc_6570_says(value: Any, encoded: str) -> None:
    """Simple expansion: everything but unreserved characters is percent-encoded."""
    assert path_of("get_ticket", "own", id=value) == f"/tickets/{encoded}"


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_two_values_in_a_segment_stay_there(name: str, kind: str) -> None:
    """`{name}.{kind}` is one segment whatever they hold, and never dots alone."""
    try:
        path = path_of("export_ticket", name=name, kind=kind)
    except InvalidArgument:
        return
    segments = path.split("/")
    assert segments[:2] + segments[3:] == ["", "files", "raw"]
    assert unquote(segments[2]) == f"{name}.{kind}"
    assert segments[2].strip(".")


@settings(deadline=None)
@given(st.text(max_size=12), st.text(max_size=12), st.integers(0, 10**6))
@example("a/b", "c#d%", 1)
@example("..", "x", 1)
def test_an_identity_is_taken_apart_as_it_was_put_together(owner: str, repo: str, number: int) -> None:
    """Whatever the parts hold, the id leads back to exactly the same path."""
    shape = operation("get_ticket").shape
    assert shape is not None
    made = shape({"repo": {"owner": owner, "name": repo}, "number": number})["id"]
    if not owner or not repo:
        assert made is None
        return
    try:
        path = path_of("get_ticket", id=made)
    except InvalidArgument:
        assert owner in {".", ".."} or repo in {".", ".."} or not (owner + repo).isprintable()
        return
    segments = [unquote(segment) for segment in path.split("/")]
    assert segments == ["", "repos", owner, repo, "issues", str(number), "x"]


@settings(deadline=None)
@given(TEXTS)
def test_an_id_that_is_none_is_refused(value: str) -> None:
    """It fits the identity's form as a whole, or it is told so."""
    try:
        path = path_of("get_ticket", id=value)
    except InvalidArgument:
        return
    assert path.count("/") == 6


@settings(deadline=None)
@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_a_query_value_is_one_value(value: str, many: list[str]) -> None:
    """Encoded as a form, every value comes back as it was, and no parameter is added or lost."""
    assume("\ud800" not in value and not any("\ud800" in part for part in many))
    query = query_of("search_tickets", query=value, many=many)
    found = parse_qsl(urlencode(query, doseq=True), keep_blank_values=True)
    assert found == [
        ("q", value),
        ("fixed", "1"),
        *(("many", part) for part in many),
        ("joined", ",".join(many)),
    ]


@settings(deadline=None)
@given(TEXTS)
def test_a_header_value_stays_on_its_line(value: str) -> None:
    """Printable ASCII or refused."""
    plan = operation("search_tickets").plan
    assert plan is not None
    header = dict(plan.headers)["X-Kind"]
    try:
        made = header(Scope({"kind": value}))
    except InvalidArgument as error:
        assert not (value.isascii() and value.isprintable())
        assert error.message.startswith("kind: ")
        return
    assert made == f"kind {value.strip()}; v=1"
    assert made.isascii()
    assert made.isprintable()


@settings(deadline=None)
@given(
    st.recursive(
        TEXTS | st.integers() | st.booleans(), lambda below: st.lists(below, max_size=2), max_leaves=3
    )
)
def test_a_body_value_keeps_its_type_and_its_place(value: Any) -> None:
    """Nothing is parsed out of a value: what looks like a reference is only text."""
    plan = operation("create_ticket").plan
    assert plan is not None
    assert plan.body is not None
    found = {"made": {"id": 5}}
    body = plan.body.value(Scope({"title": value, "description": value}, found=found))
    expected = {"title": value, "draft": 5, "whole": {"id": 5}, "$$literal": "$x", "n": [1, value]}
    assert body == expected
    assert json.dumps(body) == json.dumps(expected)


@pytest.mark.parametrize("step_id", [*NASTY, 7, ["a"]])
def test_what_a_step_found_is_encoded_too(step_id: Any) -> None:
    """A product's answer is no more trusted in a path than an argument is."""
    plan = operation("create_ticket").plan
    assert plan is not None
    scope = Scope({"id": "o/r#1"}, found={"made": {"id": step_id}})
    try:
        path = plan.path.expand(scope)
    except InvalidArgument as error:
        assert error.message.startswith("made.id: ")
        return
    assert path.split("/")[::4] == ["", "done"]


def test_a_step_that_was_left_out_is_absent() -> None:
    """References to it are not sent; in a path it is named as missing."""
    create = operation("create_ticket")
    assert create.plan is not None
    assert create.plan.body is not None
    (step,) = create.steps
    assert step.when is not None
    assert step.when(Scope({})) is ABSENT
    assert create.plan.body.value(Scope({"title": "t"})) == {"title": "t", "$$literal": "$x", "n": [1]}
    with pytest.raises(InvalidArgument, match=r"made\.id: is missing"):
        create.plan.path.expand(Scope({"id": "o/r#1"}))


def test_a_dry_run_shows_what_a_step_would_find() -> None:
    """LATER stands for it, by its name."""
    create = operation("create_ticket")
    assert create.plan is not None
    assert create.plan.body is not None
    scope = Scope({"id": "o/r#1"}, found={"made": LATER})
    assert create.plan.path.expand(scope) == "/repos/r/%5Bmade.id%5D/done"
    assert create.plan.body.value(scope)["draft"] == "[made.id]"


# Settings -----------------------------------------------------------------------------------------------


def base(connector: Connector, **values: str) -> str:
    return connector.base_url.expand(Scope({}, values))


@settings(deadline=None)
@given(TEXTS)
def test_a_setting_cannot_choose_the_host(value: str) -> None:
    """It is a part of the host's name before the written domain, or it is refused."""
    try:
        url = urlsplit(base(catalog().connectors["desk"], site=value, team="t"))
    except InvalidArgument as error:
        assert error.message.startswith("settings.site: ")
        return
    assert url.hostname == f"{value.lower()}.desk.example"
    assert (url.scheme, url.port, url.username, url.path) == ("https", None, None, "/api/t")


@settings(deadline=None)
@given(TEXTS)
def test_a_setting_in_the_path_stays_in_its_segment(value: str) -> None:
    """As an argument does."""
    try:
        url = urlsplit(base(catalog().connectors["desk"], site="s", team=value))
    except InvalidArgument as error:
        assert error.message.startswith("settings.team: ")
        return
    assert (url.hostname, url.query, url.fragment) == ("s.desk.example", "", "")
    assert [unquote(part) for part in url.path.split("/")] == ["", "api", value]


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("https://bugs.example", "https://bugs.example"),
        ("HTTPS://bugs.example", None),
        ("http://Bugs.Example:8080/", "http://bugs.example:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://127.0.0.1:08080", "http://127.0.0.1:8080"),
        ("https://bugs.example/path", None),
        ("https://me@bugs.example", None),
        ("https://bugs.example?x", None),
        ("https://bugs.example#x", None),
        ("https://bugs.example:0", None),
        ("https://bugs.example:99999", None),
        ("https://bugs..example", None),
        ("https://bugs.example\r\n", None),
        ("ftp://bugs.example", None),
        ("bugs.example", None),
        ("//bugs.example", None),
        ("https://", None),
        ("https://b\u00fcgs.example", None),
    ],
)
def test_an_origin_is_scheme_host_and_port(value: str, origin: str | None) -> None:
    """In its normal form in the base URL and in headers; anything more is refused."""
    own = catalog().connectors["own"]
    if origin is None:
        with pytest.raises(InvalidArgument, match=r"settings\.origin: must be scheme://host"):
            base(own, origin=value)
        return
    assert base(own, origin=value) == f"{origin}/api"
    assert dict(own.headers)["Origin"](Scope({}, {"origin": value})) == origin


def test_constant_parts_of_a_connector() -> None:
    """Headers and query of a connector see settings and the user name, nothing else."""
    desk = catalog().connectors["desk"]
    scope = Scope({"team": "x"}, {"team": "t"}, {"credential": {"username": "alice"}})
    assert {name: value(scope) for name, value in desk.headers} == {"X-Team": "t t", "X-User": "alice"}
    assert {name: value(scope) for name, value in desk.query} == {"team": "t", "fixed": "1"}
    nothing = Scope({})
    assert [value(nothing) for _, value in desk.headers] == [ABSENT, ABSENT]
