"""What fields may say beyond an expression: lists of things, recursion, findings, formats, dates."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.spec.catalog import Scope

FILE = """\
linkspan: 1
name: studio
instructions: Read designs with get_design and changes with get_change.
connectors:
  studio:
    base_url: https://studio.example
    settings: {site: {title: Site}}
    auth: [{type: bearer}]
entities:
  design:
    model: design
    sources:
      studio:
        remote_data: true
        fields:
          id: key
          description: {from: about, format: html}
          updated_at: {from: changed, date: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
          created_at: {from: made, zone: America/New_York}
          nodes:
            each: document.children
            map:
              id: id
              type: {from: type, as: lower}
              status: {from: state, values: {R: ready, D: done, F: done}}
              note: {from: note, format: mrkdwn}
              at: {from: at, as: iso8601}
              children: {each: children, map: self, depth: 2}
        operations:
          get: {request: "GET /files/{id}"}
  folder:
    fields:
      id: string
      name: string
      folders: {type: array, items: {type: object}}
    sources:
      studio:
        fields:
          id: id
          name: name
          folders: {each: folders, map: self, depth: 1}
        operations:
          get: {request: "GET /folders/{id}"}
  change:
    model: pull_request
    fields: {keys: {type: array, items: {type: string}}, ticket: string}
    sources:
      studio:
        fields:
          id: id
          tickets: {from: "[title, branch]", match: "(?P<id>(?P<key>[A-Za-z]{2,10}-[0-9]+))", as: upper}
          keys: {from: "[title, branch]", match: "[A-Z]{2,10}-[0-9]+"}
          ticket: {from: branch, match: "[a-z]{2,10}-[0-9]+", as: upper}
        operations:
          get: {request: "GET /changes/{id}"}
          create:
            request: POST /changes
            params: {since: string}
            body:
              text: {adf: {$: description, format: adf}, html: {$: description, format: html}}
              due: {$: since, as: epoch_ms}
              day: {$: since, as: day}
              mail: {$: since, as: rfc5322}
              own: {$: since, date: "%d/%m/%y"}
            returns: nothing
"""


def shape(load: Any, tool: str, more: str = "") -> Any:
    return load(FILE + more).tool(tool).operations["studio"].shape


def test_a_list_is_mapped_thing_by_thing(load: Any) -> None:
    """Each with its own fields, words, formats and dates; what is no thing has none of them."""
    made = shape(load, "get_design")(
        {
            "document": {
                "children": [{"id": 1, "type": "FRAME", "state": "R", "note": "*b*", "at": 1795351339}, 7]
            }
        }
    )
    assert made["nodes"] == [
        {
            "id": 1,
            "type": "frame",
            "status": "ready",
            "note": "**b**",
            "at": "2026-11-22T12:42:19Z",
            "children": None,
        },
        {"id": None, "type": None, "status": None, "note": None, "at": None, "children": None},
    ]


def test_words_in_a_list_keep_what_they_were(load: Any) -> None:
    """Unknown ones, and those that share one of ours."""
    nodes = shape(load, "get_design")({"document": {"children": [{"state": "F"}, {"state": "X"}]}})["nodes"]
    assert [(node["status"], node["status_raw"]) for node in nodes] == [("done", "F"), ("unknown", "X")]


def test_recursion_ends_at_its_depth(load: Any) -> None:
    """Two levels down and no further, however deep the document is; what is deeper is null."""
    node: dict[str, Any] = {"id": "9", "children": []}
    for level in range(8, 0, -1):
        node = {"id": str(level), "children": [node]}
    (top,) = shape(load, "get_design")({"document": {"children": [node]}})["nodes"]
    (second,) = top["children"]
    (third,) = second["children"]
    assert [top["id"], second["id"], third["id"], third["children"]] == ["1", "2", "3", None]


def test_an_item_may_hold_its_like(load: Any) -> None:
    """With ids of our making and all; a list with nothing in it is an empty one."""
    made = shape(load, "get_folder")(
        {"id": 1, "name": "a", "folders": [{"id": 2, "name": "b", "folders": [{}]}]}
    )
    assert made == {
        "id": "1",
        "name": "a",
        "folders": [{"id": "2", "name": "b", "folders": []}],
    }


@pytest.mark.parametrize("found", [None, 5, "text", [], {}, [[]], {"children": {"id": 1}}])
def test_what_is_no_list_raises_nothing(found: Any, load: Any) -> None:
    """A product may answer anything."""
    shape(load, "get_design")({"document": found})
    shape(load, "get_design")({"document": {"children": found}})


def test_texts_and_dates_of_other_shapes(load: Any) -> None:
    """HTML becomes Markdown; a form of date and a time zone are read as declared, other dates as ever."""
    get = shape(load, "get_design")
    made = get(
        {
            "key": "1",
            "about": "<p>a <b>b</b></p>",
            "changed": "22.11.2026 13:42",
            "made": "2026-11-22 07:42:19",
        }
    )
    assert (made["description"], made["updated_at"], made["created_at"]) == (
        "a **b**",
        "2026-11-22T12:42:00Z",
        "2026-11-22T12:42:19Z",
    )
    assert get({"changed": "2026-11-22T12:42:19Z"})["updated_at"] == "2026-11-22T12:42:19Z"
    for sent, beside in (("soon", "soon"), ("2026-02-30T12:00:00Z",) * 2, ([1], "[1]"), (True, "true")):
        none = get({"key": "1", "changed": sent})
        assert (none["updated_at"], none["updated_at_raw"]) == (None, beside)
        assert list(none).index("updated_at_raw") == list(none).index("updated_at") + 1
    for nothing in ("", " ", None):
        none = get({"key": "1", "changed": nothing})
        assert none["updated_at"] is None and "updated_at_raw" not in none


def test_links_are_found_in_texts(load: Any) -> None:
    """Issue keys in a title and in a branch: objects with their groups, texts, or the first one."""
    made = shape(load, "get_change")({"id": 1, "title": "ENG-12: mend OPS-7", "branch": "eng-12-mend"})
    assert made["tickets"] == [
        {"id": "ENG-12", "key": "ENG-12"},
        {"id": "OPS-7", "key": "OPS-7"},
    ]
    assert (made["keys"], made["ticket"]) == (["ENG-12", "OPS-7"], "ENG-12")
    nothing = shape(load, "get_change")({"id": 1, "title": None, "branch": 5})
    assert (nothing["tickets"], nothing["keys"], nothing["ticket"]) == ([], [], None)


KEYS = """
  merge:
    plural: merges
    fields:
      id: string
      first: string
      tickets: {type: array, items: {type: object}}
      theirs: {type: array, items: {type: string}}
      address: string
    sources:
      studio:
        fields:
          id: id
          first: {from: branch, keys: any}
          tickets: {from: "[title, branch]", keys: any}
          theirs: {from: "[title, branch]", keys: [eng, Ops]}
          address: {settings: [site], from: "join('', ['https://', settings.site, '/merges/', id])"}
        operations: {get: {request: "GET /merges/{id}"}}
"""


@pytest.mark.parametrize(
    ("title", "branch", "found"),
    [
        ("ENG-12: mend OPS-7, again ENG-12", "eng-12-mend", ["ENG-12", "OPS-7"]),
        ("Mend it", "ada/eng-12-mend", ["ENG-12"]),
        ("Mend it", "feature/ENG-12_mend", ["ENG-12"]),
        ("[SHOP2-3] Mend it", "codex/run", ["SHOP2-3"]),
        ("NET-5: mend FIX-3", "net-5-mend", ["NET-5", "FIX-3"]),
        ("Read UTF-8, SHA-256, SHA3-512, ISO-8601, RFC-9110 and CVE-2026-1234", "utf-8-names", []),
        ("AES-256 over TLS-1, at UTC-5, in Q3-2026 and NOV-2026", "renovate/node-22-x", []),
        ("the top-10 of eng-12 things, in 2-3 steps", "release/eng-x-12", []),
        ("Step-2 of ENG-0 and xENG-12, ENG-12b", "fix-3-tests", []),
    ],
)
def test_keys_of_tickets_are_told_from_standards(
    load: Any, title: str, branch: str, found: list[str]
) -> None:
    """In capitals anywhere, else where a part of a branch's name begins; each once."""
    made = shape(load, "get_merge", KEYS)({"id": "5", "title": title, "branch": branch})
    assert made["tickets"] == [{"id": key, "key": key} for key in found]
    assert made["first"] in (*found, None)


def test_keys_of_named_projects_are_found_however_they_are_written(load: Any) -> None:
    """And no others, whatever they look like."""
    get = shape(load, "get_merge", KEYS)
    made = get({"id": "5", "title": "mend eng-12 and UTF-8, SHOP-3, Ops-4", "branch": "ENG-12"})
    assert made["theirs"] == ["ENG-12", "OPS-4"]
    assert get({"id": "5", "title": None, "branch": {"x": "ENG-1"}})["theirs"] == []


def test_a_field_is_made_of_a_setting_and_the_item(load: Any) -> None:
    """What the account has, beside what came; without it the expression does as without any member."""
    get = shape(load, "get_merge", KEYS)
    given = {"address": {"site": "acme.example"}}
    assert get({"id": "5", "settings": {"site": "evil.example"}}, given)["address"] == (
        "https://acme.example/merges/5"
    )
    assert get({"id": "5"})["address"] is None
    assert get(None, given)["address"] is None


def test_findings_are_bounded(load: Any) -> None:
    """Fifty at most, in the first ten thousand characters of a text."""
    made = shape(load, "get_change")(
        {"title": " ".join(f"AB-{n}" for n in range(1000)), "branch": "x" * 10_000 + "CD-1"}
    )
    assert len(made["keys"]) == 50
    assert made["ticket"] is None


def test_texts_and_dates_are_sent_as_the_product_wants_them(load: Any) -> None:
    """Markdown goes out as ADF and HTML, a date in four shapes."""
    plan = load(FILE).tool("create_change").operations["studio"].plan
    body = plan.body.value(Scope({"description": "**b**", "since": "2026-11-22T12:42:19Z"}))
    assert body["text"] == {
        "adf": {
            "version": 1,
            "type": "doc",
            "content": [
                {
                    "type": "paragraph",
                    "content": [{"type": "text", "text": "b", "marks": [{"type": "strong"}]}],
                }
            ],
        },
        "html": "<p><strong>b</strong></p>",
    }
    assert [body[name] for name in ("due", "day", "mail", "own")] == [
        1795351339000,
        "2026-11-22",
        "Sun, 22 Nov 2026 12:42:19 +0000",
        "22/11/26",
    ]


def test_the_item_as_it_came_is_offered_where_the_source_says_so(load: Any) -> None:
    """As an argument of reads, and in what they answer."""
    catalog = load(FILE)
    assert catalog.tool("get_design").input_schema["properties"]["remote_data"]["type"] == "boolean"
    assert "remote_data" in catalog.tool("get_design").output_schema["properties"]["result"]["properties"]
    assert "remote_data" not in catalog.tool("get_folder").input_schema["properties"]
