"""What is kept of a description is what was there: cutting, comparing, and the sums of the originals."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from graphql import build_schema

from tests.contracts.cut import FILES, SHA256, changed, changed_types, cut, differences, rewrite

ORIGINAL = {
    "openapi": "3.1.0",
    "info": {"title": "Desk"},
    "paths": {
        "/tickets": {"get": {"parameters": [{"$ref": "#/components/parameters/page"}]}},
        "/people": {"get": {"responses": {"200": {"schema": {"$ref": "#/components/schemas/Person"}}}}},
    },
    "components": {
        "parameters": {"page": {"name": "page", "schema": {"$ref": "#/components/schemas/Page"}}},
        "schemas": {"Page": {"type": "integer"}, "Person": {"type": "object"}},
    },
}


def test_what_is_referred_to_is_kept_and_nothing_else() -> None:
    """However far it is, and once."""
    made = cut(ORIGINAL, ["/tickets"])
    assert list(made["paths"]) == ["/tickets"]
    assert made["components"] == {
        "parameters": ORIGINAL["components"]["parameters"],  # type: ignore[index]
        "schemas": {"Page": {"type": "integer"}},
    }
    assert changed(made, ORIGINAL) == []


def test_what_no_path_refers_to_is_kept_by_its_place(tmp_path: Path) -> None:
    """With all that it refers to, also when it is cut anew; what the original lacks is named."""
    place = "#/components/schemas/Person"
    original, file = tmp_path / "original.json", tmp_path / "desk.json"
    original.write_text(json.dumps(ORIGINAL))
    rewrite(file, original, ["/tickets", place])
    rewrite(file, original, [])
    made = json.loads(file.read_text())
    assert (list(made["paths"]), made["x-beside"]) == (["/tickets"], [place])
    assert made["components"]["schemas"] == ORIGINAL["components"]["schemas"]  # type: ignore[index]
    assert differences(file, original) == []
    made["x-beside"].append("#/components/schemas/Mine")
    assert changed(made, ORIGINAL) == ["components: no #/components/schemas/Mine in the original"]


def test_what_was_changed_or_added_is_named() -> None:
    """By its place."""
    made = json.loads(json.dumps(cut(ORIGINAL, ["/tickets"])))
    made["components"]["schemas"]["Page"]["type"] = "string"
    made["components"]["schemas"]["Mine"] = {}
    made["paths"]["/tickets"]["post"] = {}
    found = ["paths./tickets", "components.schemas"]
    assert changed(made, ORIGINAL) == found
    made["paths"]["/mine"] = {}
    assert changed(made, ORIGINAL) == ["paths: no /mine in the original"]


def test_a_file_is_cut_and_held_against_its_original(tmp_path: Path) -> None:
    """Another version of it is refused by its sum; cut anew with one more path, it is good again."""
    original, file = tmp_path / "original.json", tmp_path / "desk.json"
    original.write_text(json.dumps(ORIGINAL))
    rewrite(file, original, ["/tickets"])
    assert differences(file, original) == []
    original.write_text(json.dumps({**ORIGINAL, "info": {"title": "Desk 2"}}))
    assert "another file" in differences(file, original)[0]
    rewrite(file, original, ["/people"])
    assert differences(file, original) == []
    assert list(json.loads(file.read_text())["paths"]) == ["/tickets", "/people"]


def test_a_schema_holds_what_its_original_has(tmp_path: Path) -> None:
    """Types, fields, arguments and words may be left out, not changed."""
    text = "type Query { ticket(id: ID!): Ticket } type Ticket { id: ID!, title: String }"
    text += " enum State { OPEN SHUT }"
    original, kept = build_schema(text), build_schema(text.replace(", title: String", ""))
    assert changed_types(kept, original) == []
    other = text.replace("ID!)", "ID)").replace("title: String", "name: String").replace("SHUT", "GONE")
    wrong = build_schema(other)
    assert changed_types(wrong, original) == ["Query.ticket(id: ID)", "Ticket.name: String", "State.GONE"]
    file, whole = tmp_path / "desk.graphql", tmp_path / "schema.graphql"
    whole.write_text(text)
    file.write_text(f"# SHA-256 of the original: {hashlib.sha256(text.encode()).hexdigest()}.\n{text}")
    assert differences(file, whole) == []


KEPT = sorted(path.name for path in FILES.iterdir() if path.suffix in {".json", ".graphql"})


@pytest.mark.parametrize("name", KEPT)
def test_every_file_names_its_original_and_is_whole(name: str) -> None:
    """The sum of the file that it was cut from; nothing that is referred to is missing, or left over."""
    text = (FILES / name).read_text()
    assert SHA256.search(text)
    if name.endswith(".json"):
        description = json.loads(text)
        assert set(changed(description, description)) <= {"x-paths"}
