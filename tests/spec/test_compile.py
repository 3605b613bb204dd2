"""From tools.yaml to requests and items, end to end."""

from __future__ import annotations

from typing import Any

import pytest

from bench import compiles
from linkspan.errors import InvalidArgument
from linkspan.spec.catalog import ABSENT, Catalog, Operation, Scope


def operation(catalog: Catalog, name: str, connector: str = "desk") -> Operation:
    tool = catalog.tool(name)
    assert tool is not None
    return tool.operations[connector]


def request(operation: Operation, settings: dict[str, str] | None = None, **arguments: Any) -> dict[str, Any]:
    """Answer everything that a plan makes of arguments."""
    plan = operation.plan
    assert plan is not None
    scope = Scope(arguments, settings or {})
    query = {name: value(scope) for name, value in plan.query}
    made: dict[str, Any] = {"request": f"{plan.method} {plan.path.expand(scope)}"}
    made["query"] = {name: value for name, value in query.items() if value is not ABSENT}
    if plan.headers:
        made["headers"] = {name: value(scope) for name, value in plan.headers}
    if plan.body is not None:
        made[plan.body.encoding] = plan.body.value(scope)
    return made


# Requests -------------------------------------------------------------------------------------------------


def test_a_filter_sends_every_word_of_the_product(good: str, load: Any) -> None:
    """Two states of the product are one status of the model: asking for it asks for both."""
    tickets = operation(load(good), "list_tickets")
    assert request(tickets, status="todo")["query"] == {"state": ["open", "again"]}
    assert request(tickets, status="in_progress", login="me")["query"] == {"state": "wip", "who": "me"}
    assert request(tickets) == {"request": "GET /tickets", "query": {}}


def test_a_write_sends_the_word_to_write(good: str, load: Any) -> None:
    """`write` says which of several; where there is only one it needs no saying."""
    update = operation(load(good), "update_ticket")
    assert request(update, id="1", status="todo", title="T") == {
        "request": "PATCH /tickets/1",
        "query": {},
        "json": {"state": "open", "subject": "T"},
    }
    assert request(update, id="1", status="in_progress")["json"] == {"state": "wip"}
    assert request(update, id="1", title=None)["json"] == {}


def test_a_word_that_cannot_be_sent_is_refused(good: str, load: Any) -> None:
    """Should it get past the schema, it still never reaches the product."""
    catalog = load(good)
    for name, status in (("list_tickets", "done"), ("update_ticket", "unknown")):
        with pytest.raises(InvalidArgument, match=r"status: '\w+' is not one of todo, in_progress"):
            request(operation(catalog, name), id="1", status=status)


@pytest.mark.parametrize(
    ("reference", "value", "sent"),
    [
        ("$status", "todo", ["open", "again"]),
        ("{$: status, join: ','}", "todo", "open,again"),
        ("{$: status, list: true}", "in_progress", ["wip"]),
        ("{$: status}", "in_progress", "wip"),
        ("{any: {state: $status}}", "in_progress", {"any": {"state": "wip"}}),
        ("[a, $status]", None, ["a"]),
        ("{any: {state: $status}}", None, ABSENT),
        ("{any: {state: $status}, none: {}}", None, {"none": {}}),
        ("$$status", None, "$status"),
        ("'{status}'", None, "{status}"),
        ("7", None, 7),
        ("$settings.site", None, "acme"),
    ],
)
def test_values(reference: str, value: Any, sent: Any, good: str, load: Any) -> None:
    """Typed references, lists, joined lists, literals, dollars, settings; absent is left out."""
    text = good.replace("state: $status", f"state: {reference}, x: $status")
    plan = operation(load(text), "list_tickets").plan
    assert plan is not None
    scope = Scope({"status": value} if value else {}, {"site": "acme"})
    assert dict(plan.query)["state"](scope) == sent


@pytest.mark.parametrize(
    ("conversion", "value", "sent"),
    [("integer", "12", 12), ("string", 12, "12"), ("iso8601", "2026-11-22.12:42:19", "2026-11-22T12:42:19Z")],
)
def test_a_value_is_converted_on_its_way_out(
    conversion: str, value: Any, sent: Any, good: str, load: Any
) -> None:
    """`as` works in both directions."""
    text = good.replace("who: $login", f"who: {{$: login, as: {conversion}}}")
    assert request(operation(load(text), "list_tickets"), login=value)["query"] == {"who": sent}


def test_several_words_may_be_asked_for(good: str, load: Any) -> None:
    """A parameter of type array takes the field's words."""
    text = good.replace("{state: $status, who", "{state: $statuses, who").replace(
        "params:\n", "params:\n              statuses: {type: array, field: status}\n"
    )
    tickets = operation(load(text), "list_tickets")
    assert request(tickets, statuses=["todo", "in_progress"])["query"] == {"state": ["open", "again", "wip"]}
    assert tickets.schema["properties"]["statuses"] == {
        "type": "array",
        "items": {"type": "string", "enum": ["todo", "in_progress"]},
        "description": "Where the work stands.",
    }


def test_defaults_are_sent(good: str, load: Any) -> None:
    """A default is what is sent for an absent argument, and the model is told it in words."""
    text = good.replace("description: Login of a person}", "description: Login., default: me}")
    tickets = operation(load(text), "list_tickets")
    assert request(tickets)["query"] == {"who": "me"}
    assert tickets.schema["properties"]["login"]["description"] == 'Login. Default: "me".'


@pytest.mark.parametrize(
    ("words", "encoding", "value"),
    [
        ("body: {a: $title}", "json", {"a": "T"}),
        ("form: {a: $title}", "form", {"a": "T"}),
        ("text: $title", "text", "T"),
        ("body: [$title, 1]", "json", ["T", 1]),
        ("body: {}", "json", {}),
    ],
)
def test_bodies(words: str, encoding: str, value: Any, good: str, load: Any) -> None:
    """JSON, form or text."""
    text = good.replace("body: {state: $status, subject: $title}", words)
    assert request(operation(load(text), "update_ticket"), id="1", title="T")[encoding] == value


def test_headers_of_an_operation(good: str, load: Any) -> None:
    """Templates and references; absent when anything in them is."""
    text = good.replace(
        "items: hits}", "items: hits, headers: {X-A: 'a {query} {settings.site}', X-B: $status, X-C: 5}}"
    )
    search = operation(load(text), "search_tickets")
    assert request(search, {"site": "s"}, query="q")["headers"] == {"X-A": "a q s", "X-B": ABSENT, "X-C": "5"}


def test_ids_and_parameters_match_their_patterns_as_a_whole(good: str, load: Any) -> None:
    """The schema says so, and so does the request itself."""
    text = good.replace('identity: "{id}"', 'identity: "{id}"\n        id_pattern: "[0-9]+"').replace(
        "login: {type: string,", "login: {type: string, pattern: a|b,"
    )
    catalog = load(text)
    ticket, tickets = operation(catalog, "get_ticket"), operation(catalog, "list_tickets")
    assert ticket.schema["properties"]["id"]["pattern"] == "^(?:[0-9]+)$"
    assert tickets.schema["properties"]["login"]["pattern"] == "^(?:a|b)$"
    assert request(ticket, id="12")["request"] == "GET /tickets/12"
    assert request(tickets, login="b")["query"] == {"who": "b"}
    for id_ in ("12/title", "a", "12\n", "\u0661"):
        with pytest.raises(InvalidArgument, match=r"^id: must match"):
            request(ticket, id=id_)
    with pytest.raises(InvalidArgument, match=r"^login: must match a\|b"):
        request(tickets, login="ab")


def test_what_may_be_sent_twice(good: str, load: Any) -> None:
    """Reads, and what HTTP calls idempotent; a POST that reads is a read."""
    text = good.replace("GET /search, query", "POST /search, kind: read, body")
    text = text.replace(
        "          update:\n",
        '          delete: {request: "DELETE /tickets/{id}", returns: nothing}\n          update:\n',
    )
    catalog = load(text)
    kinds = {tool.name: tool.operations["desk"] for tool in catalog.tools}
    assert {name: (one.kind, one.plan and one.plan.repeatable) for name, one in kinds.items()} == {
        "list_tickets": ("read", True),
        "search_tickets": ("read", True),
        "get_ticket": ("read", True),
        "delete_ticket": ("delete", True),
        "update_ticket": ("write", False),
    }


# Answers --------------------------------------------------------------------------------------------------


def test_an_item_becomes_fields_in_their_order(good: str, load: Any) -> None:
    """`id` first and always text, then the fields as they are declared."""
    shape = operation(load(good), "get_ticket").shape
    assert shape is not None
    assert list(shape({"subject": 5, "id": 7, "state": "again", "more": 1}).items()) == [
        ("id", "7"),
        ("title", "5"),
        ("status", "todo"),
        ("status_raw", "again"),
    ]


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("wip", {"status": "in_progress"}),
        ("strange", {"status": "unknown", "status_raw": "strange"}),
        (4, {"status": "unknown", "status_raw": "4"}),
        ({"name": "x"}, {"status": "unknown", "status_raw": '{"name":"x"}'}),
        (None, {"status": None}),
    ],
)
def test_a_word_that_is_not_mapped_is_unknown(state: Any, shown: Any, good: str, load: Any) -> None:
    """With what the product said beside it."""
    shape = operation(load(good), "get_ticket").shape
    assert shape is not None
    assert shape({"id": 1, "state": state}) == {"id": "1", "title": None, **shown}


@pytest.mark.parametrize(
    ("item", "shown"),
    [
        ({"state": "wip", "name": "Reviewing"}, {"status": "in_progress", "status_raw": "Reviewing"}),
        ({"state": "again", "name": "Reopened"}, {"status": "todo", "status_raw": "Reopened"}),
        ({"state": "odd", "name": "In Orbit"}, {"status": "unknown", "status_raw": "In Orbit"}),
        ({"state": "wip", "name": 7}, {"status": "in_progress", "status_raw": "7"}),
        ({"name": "Reviewing"}, {"status": None, "status_raw": "Reviewing"}),
        ({"state": "wip"}, {"status": "in_progress"}),
        ({"state": "again"}, {"status": "todo", "status_raw": "again"}),
        ({"state": "odd"}, {"status": "unknown", "status_raw": "odd"}),
    ],
)
@pytest.mark.parametrize("raw", ["name", "name || nothing.here", "[name][?@ != `9`] | [0]"])
def test_a_product_s_own_word_stands_beside_its_category(
    raw: str, item: Any, shown: Any, good: str, load: Any
) -> None:
    """`raw` finds it, however it is written; without it the category is what was said."""
    text = good.replace("values: {open: todo", f'raw: "{raw}", values: {{open: todo')
    assert text != good
    shape = operation(load(text), "get_ticket").shape
    assert shape is not None
    assert shape({"id": 1, **item}) == {"id": "1", "title": None, **shown}


def test_numbers_booleans_and_null_can_be_words(good: str, load: Any) -> None:
    """Keys of `values` are the product's words as they are written."""
    text = good.replace(
        "values: {open: todo, again: todo, wip: in_progress}",
        "values: {1: todo, true: in_progress, null: cancelled, odd: unknown}",
    ).replace("write: {todo: open}", "write: {todo: 1}")
    catalog = load(text)
    shape = operation(catalog, "get_ticket").shape
    assert shape is not None
    assert [shape({"state": state})["status"] for state in (1, "1", True, None)] == [
        "todo",
        "todo",
        "in_progress",
        "cancelled",
    ]
    assert shape({"state": "odd"}) == {"id": None, "title": None, "status": "unknown", "status_raw": "odd"}
    assert request(operation(catalog, "update_ticket"), id="1", status="todo")["json"] == {"state": 1}


@pytest.mark.parametrize(
    ("field", "item", "value"),
    [
        ("number: n", {"n": "12"}, 12),
        ("created_at: at", {"at": "2026-11-22.12:42:19"}, "2026-11-22T12:42:19Z"),
        ("labels: tags", {"tags": None}, []),
        ("labels: tags", {"tags": "one"}, ["one"]),
        ("labels: tags", {"tags": ["one", 2, None]}, ["one", "2"]),
        ("reporter: by", {"by": {"id": 5, "name": None, "more": 1}}, {"id": "5", "name": None, "more": 1}),
        ("reporter: by", {"by": "alice"}, None),
        ("assignees: who", {"who": {"id": 5}}, [{"id": "5"}]),
        ("comments_count: n", {"n": "many"}, None),
        ("labels: tags[].name", {"tags": [{"name": "a"}]}, ["a"]),
        ("description: text", {"text": "a\r\nb"}, "a\nb"),
        ("description: {from: text, as: string}", {"text": "a\r\nb"}, "a\r\nb"),
        ("key: '{a: b}'", {"b": 1}, '{"a":1}'),
        ("priority: p", {"p": "high"}, "high"),
        ("priority: p", {"p": "P1"}, "unknown"),
    ],
)
def test_fields_have_the_type_of_the_model(field: str, item: Any, value: Any, good: str, load: Any) -> None:
    """Whatever the product sends."""
    text = good.replace("          title: subject\n", f"          title: subject\n          {field}\n")
    shape = operation(load(text), "get_ticket").shape
    assert shape is not None
    assert shape(item)[field.partition(":")[0]] == value


@pytest.mark.parametrize("item", [None, 5, "text", [], {}, {"id": {}}, {"state": []}])
def test_items_of_any_shape_give_fields(item: Any, good: str, load: Any) -> None:
    """A strange answer is shown as nothing, never as a crash."""
    shape = operation(load(good), "get_ticket").shape
    assert shape is not None
    assert list(shape(item))[:3] == ["id", "title", "status"]


RETURNS = """\
  comment:
    model: comment
    sources:
      desk:
        fields: {id: id, body: text}
"""


@pytest.mark.parametrize(
    ("returns", "answer", "result", "entity"),
    [
        ("comment", {"id": 1, "text": "t"}, {"id": "1", "body": "t"}, "comment"),
        ("comment.id", {"id": 1, "text": "t"}, {"id": "1"}, "comment"),
        ("id", {"id": 1, "subject": "t"}, {"id": "1"}, None),
        ("ticket", {"id": 1, "subject": "t"}, {"id": "1", "title": "t", "status": None}, None),
        ("raw", {"ok": True}, {"ok": True}, None),
        ("nothing", {"ok": True}, None, None),
    ],
)
def test_what_a_write_answers(
    returns: str, answer: Any, result: Any, entity: str | None, good: str, load: Any
) -> None:
    """Another entity, only the id, the answer as it came, or nothing."""
    text = (
        good.replace("subject: $title}\n", f"subject: $title}}\n            returns: {returns}\n") + RETURNS
    )
    update = operation(load(text), "update_ticket")
    assert update.item is not None
    found = update.item(answer)
    assert (update.shape(found) if update.shape and found is not None else found) == result
    assert update.returns == entity


def test_where_the_items_are(good: str, load: Any) -> None:
    """`items` makes a list, `item` finds the one."""
    catalog = load(good)
    tickets, ticket = operation(catalog, "list_tickets"), operation(catalog, "get_ticket")
    assert tickets.items is not None
    assert ticket.item is not None
    assert (tickets.is_list, tickets.item, tickets.items({"tickets": [1]})) == (True, None, [1])
    assert (ticket.is_list, ticket.items, ticket.item({"ticket": {"id": 1}})) == (False, None, {"id": 1})


# Connectors -----------------------------------------------------------------------------------------------


def test_a_connector(good: str, load: Any) -> None:
    """Everything that is said of it is compiled."""
    desk = load(good).connectors["desk"]
    assert desk.base_url.expand(Scope({}, {"site": "acme"})) == "https://acme.desk.example/api/v2"
    assert desk.settings["site"].pattern.fullmatch("a-1")
    assert [(way.type, way.prefix, way.fields, way.per) for way in desk.auth] == [
        ("bearer", "Bearer ", ("token",), "tenant")
    ]
    assert desk.verify.request.method == "GET"
    assert (desk.verify.id({"id": 5}), desk.verify.label({"email": "e"})) == (5, "e")
    assert (desk.paging.style, desk.paging.send, desk.paging.size, desk.paging.max_size) == (
        "cursor",
        "cursor",
        "limit",
        50,
    )
    assert desk.paging.read({"meta": {"next": "c2"}}) == "c2"
    assert desk.rate.when({"status": 429, "headers": {}, "body": None}) is True
    assert desk.failure.when({"status": 200, "headers": {}, "body": {"ok": False}}) is True
    assert desk.failure.message({"status": 200, "headers": {}, "body": {"error": "e"}}) == "e"
    assert (desk.timeout, desk.rate_budget) == (30.0, 20.0)


def test_durations(good: str, load: Any) -> None:
    """Seconds out of `500ms`, `1.5s`, `2m`."""
    text = good.replace("rate_limit: {when", "timeout: 500ms\n    rate_limit: {wait: 2m, when").replace(
        "items: hits}", "items: hits, timeout: 1.5s}"
    )
    catalog = load(text)
    desk = catalog.connectors["desk"]
    assert (desk.timeout, desk.rate_budget) == (0.5, 120.0)
    assert operation(catalog, "search_tickets").timeout == 1.5


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ("{type: bearer, prefix: 'Token '}", ("bearer", None, "Token ", ("token",))),
        ("{type: header, name: X-Key}", ("header", "X-Key", "", ("key",))),
        (
            "{type: header, name: Authorization, prefix: 'Key '}",
            ("header", "Authorization", "Key ", ("key",)),
        ),
        ("{type: basic}", ("basic", None, "", ("username", "password"))),
        ("{type: query, name: api_key}", ("query", "api_key", "", ("key",))),
        ("{type: none}", ("none", None, "", ())),
    ],
)
def test_ways_to_connect(way: str, expected: Any, good: str, load: Any) -> None:
    """What is asked, and how it is sent."""
    (method,) = load(good.replace("{type: bearer, title: API token}", way)).connectors["desk"].auth
    assert (method.type, method.name, method.prefix, method.fields) == expected


@pytest.mark.parametrize(
    ("pagination", "expected"),
    [
        ("{style: none}", ("none", None, "query", None, None, 1)),
        ("{style: link, more: results, size: {query: n}}", ("link", None, "query", "results", "n", 1)),
        ("{style: next_url, read: next}", ("next_url", None, "query", None, None, 1)),
        ("{style: page, send: {query: p}, pages: pages}", ("page", "p", "query", None, None, 1)),
        ("{style: page, send: {query: p}, first: 0, more: more}", ("page", "p", "query", None, None, 0)),
        ("{style: offset, send: {query: o}, size: {query: n}}", ("offset", "o", "query", None, "n", 0)),
    ],
)
def test_paginations(pagination: str, expected: Any, good: str, load: Any) -> None:
    """Every style, for all lists of a connector."""
    before = "{style: cursor, send: {query: cursor}, read: meta.next, size: {query: limit, max: 50}}"
    assert before in good
    paging = operation(load(good.replace(before, pagination)), "list_tickets").paging
    found = (paging.style, paging.send, paging.send_in, paging.more_link, paging.size, paging.first)
    assert found == expected


def test_a_list_may_go_on_in_its_own_way(good: str, load: Any) -> None:
    """An operation's own pagination wins; in the body where it searches with POST."""
    text = good.replace("GET /search, query", "POST /search, kind: read, body").replace(
        "items: hits}",
        "items: hits, pagination: {style: offset, send: {body: from}, size: {body: n, default: 5}}}",
    )
    catalog = load(text)
    assert operation(catalog, "list_tickets").paging.style == "cursor"
    paging = operation(catalog, "search_tickets").paging
    assert (paging.style, paging.send, paging.send_in, paging.size_in, paging.default_size) == (
        "offset",
        "from",
        "body",
        "body",
        5,
    )


# Steps ----------------------------------------------------------------------------------------------------


def test_steps_are_requests_before_the_last(good: str, load: Any) -> None:
    """Their kind is the strongest; their names can be referred to by those after them."""
    text = good.replace(
        "            request: PATCH /tickets/{id}\n            body: {state: $status, subject: $title}\n",
        """\
            steps:
              - {as: way, when: $status, request: "GET /tickets/{id}/ways", item: ways}
              - request: PATCH /tickets/{id}/{way.id}
                if_match: true
                body: {subject: $title}
            item: ticket
""",
    )
    update = operation(load(text), "update_ticket")
    (step,) = update.steps
    assert (step.name, step.plan.method, step.plan.repeatable, update.kind) == ("way", "GET", True, "write")
    assert step.item is not None
    assert step.item({"ways": {"id": 3}}) == {"id": 3}
    assert update.plan is not None
    assert update.plan.if_match
    assert update.plan.path.expand(Scope({"id": "1"}, found={"way": {"id": 3}})) == "/tickets/1/3"
    assert update.schema["required"] == ["id"]


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ("[{request: GET /a, as: x}]", "the last step's answer is the operation's: as cannot stand here"),
        (
            "[{request: GET /a, item: b}, {request: PATCH /b}]",
            "what a step finds needs a name: say it with as",
        ),
        ("[{request: GET /a, as: title}, {request: 'PATCH /b/{id}'}]", None),
        ("[{request: GET /a, as: settings}, {request: PATCH /b}]", "the name 'settings' is taken"),
        ("[{request: GET /a, when: title}, {request: PATCH /b}]", "when is a reference, such as $title"),
        ("[{as: a}, {request: PATCH /b}]", "the word 'request' is missing"),
        ("[{request: 'PATCH /b/{x.y}'}, {request: GET /a}]", "{x.y} is not declared"),
        ("[]", "must not be empty"),
    ],
)
def test_steps_that_cannot_be(steps: str, told: str | None, good: str, check: Any) -> None:
    """Names, order, and the words that only make sense before the last one."""
    text = good.replace(
        "            request: PATCH /tickets/{id}\n            body: {state: $status, subject: $title}\n",
        f"            steps: {steps}\n",
    )
    problems = check(text)
    if told is None:
        assert problems == []
    else:
        assert any(told in problem for problem in problems)


# Entities -------------------------------------------------------------------------------------------------


POLICY = """\
  policy:
    fields:
      name: string
      level: {enum: [low, high]}
      since: {type: date, description: Since when.}
    sources:
      desk:
        identity: "{name}"
        fields: {name: n, level: l, since: s}
        operations:
          list: {request: GET /policies, query: {level: $level}, items: "@"}
"""


def test_an_entity_of_ones_own(good: str, load: Any) -> None:
    """Without a model: its fields, its plural, its words."""
    text = good + POLICY
    catalog = load(text)
    entity = catalog.entities["policy"]
    assert (entity.plural, entity.title, [field.name for field in entity.fields]) == (
        "policies",
        "Policy",
        ["name", "level", "since"],
    )
    policies = operation(catalog, "list_policies")
    assert policies.shape is not None
    assert policies.shape({"n": "x", "l": "low", "s": "2026-1-2"}) == {
        "id": "x",
        "name": "x",
        "level": "low",
        "since": "2026-01-02",
    }
    assert policies.schema["properties"]["level"]["enum"] == ["low", "high"]


def test_an_entity_without_fields_passes_answers_on(load: Any) -> None:
    """What has no fields has no shape."""
    catalog = load(
        "linkspan: 1\nname: a\ninstructions: Read a report with get_report.\n"
        "connectors: {x: {base_url: 'https://x.example', auth: [{type: none}]}}\n"
        "entities: {report: {sources: {x: {operations: {get: {request: 'GET /reports/{id}'}}}}}}\n"
    )
    report = operation(catalog, "get_report", "x")
    assert report.shape is None
    assert report.item is not None
    assert report.item({"a": 1}) == {"a": 1}


def test_a_catalog_cannot_be_changed(good: str, load: Any) -> None:
    """One catalog serves every tenant."""
    catalog = load(good)
    with pytest.raises(TypeError):
        catalog.connectors["x"] = None
    with pytest.raises(AttributeError):
        catalog.name = "x"


def test_a_catalogue_of_25_connectors_compiles(load: Any) -> None:
    """The file of `python -m bench compile` is as large as is said of it, and has no mistake."""
    catalog = load(compiles.catalogue())
    assert len(catalog.connectors) == compiles.CONNECTORS
    assert sum(len(tool.operations) for tool in catalog.tools) == compiles.OPERATIONS
