"""The published JSON Schema says what the language accepts."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from click.testing import CliRunner

from linkspan.cli.main import cli
from linkspan.spec.fields import read_model
from linkspan.spec.language import json_schema, model_names
from linkspan.spec.yaml import read

ROOT = Path(__file__).parents[2]
EXAMPLES = ["tools.yaml", "examples/roundup/tools.yaml", "tests/conformance/tools.yaml"]


@functools.cache
def validator() -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json_schema())


def faults(data: Any) -> list[str]:
    return ["/".join(map(str, fault.instance_path)) for fault in validator().iter_errors(data)]


def plain(name: str) -> Any:
    """Answer what an example says, read as YAML 1.2: `on` is a word."""
    root, problems = read((ROOT / name).read_bytes(), name)
    assert root is not None
    assert not problems
    return root.plain()


def test_the_published_schema_is_current() -> None:
    """`linkspan schema` and the file in the package are the same; else run `linkspan schema` into it."""
    published = (ROOT / "src" / "linkspan" / "spec" / "tools.schema.json").read_text(encoding="utf-8")
    assert published == json.dumps(json_schema(), indent=2) + "\n"
    printed = CliRunner().invoke(cli, ["schema"], catch_exceptions=False)
    assert printed.stdout == published


def test_the_schema_is_a_schema() -> None:
    """Valid by its own dialect, and without what only pydantic knows."""
    assert jsonschema_rs.meta.is_valid(json_schema())
    assert "discriminator" not in json.dumps(json_schema())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_accepted(name: str) -> None:
    """What editors complete with is what the examples are written in."""
    assert faults(plain(name)) == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_misspelt_word_is_refused(name: str) -> None:
    """A fixed word with a letter too many is a fault of the schema wherever it stands."""
    data = plain(name)
    words = [path for path in _paths(data) if _is_fixed(path)]
    assert len(words) > 40
    for path in words:
        spoilt = json.loads(json.dumps(data))
        at = spoilt
        for key in path[:-1]:
            at = at[key]
        at[f"{path[-1]}q"] = at.pop(path[-1])
        assert faults(spoilt), path


FREE = {"settings", "headers", "query", "connectors", "entities", "sources", "fields", "operations", "params"}
FREE |= {
    "resources",
    "prompts",
    "arguments",
    "values",
    "write",
    "recipes",
    "prices",
    "update",
    "events",
    "watch",
}
TREES = {
    "body",
    "form",
    "text",
    "schema",
    "items",
    "properties",
    "query",
    "headers",
    "values",
    "write",
    "output",
}


def _paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path and isinstance(path[-1], str) else []
    entries = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [*found, *(below for key, value in entries for below in _paths(value, (*path, key)))]


def _is_fixed(path: tuple[Any, ...]) -> bool:
    """Tell whether a path ends with a word of the language, not with a name or inside a free tree."""
    words = list(path)
    names = 0
    while words:
        word = words.pop(0)
        if not words:
            return names == 0
        if isinstance(word, int):
            continue
        if names:
            names -= 1
            continue
        if word in TREES:
            return False
        names = 1 if word in FREE else 0
    return False


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("linkspan",), 2),
        (("name",), 5),
        (("connectors", "desk", "auth"), []),
        (("connectors", "desk", "auth", 0, "type"), "oauth9"),
        (("connectors", "desk", "pagination", "style"), "pages"),
        (("connectors", "desk", "pagination", "read"), "x" * 301),
        (("connectors", "Desk"), {"base_url": "x", "auth": [{"type": "none"}]}),
        (("entities", "ticket", "model"), "tickets"),
        (("entities", "ticket", "sources", "desk", "operations", "get", "kind"), "reading"),
        (("entities", "ticket", "sources", "desk", "operations", "get", "timeout"), 5),
        (("entities", "ticket", "sources", "desk", "fields", "id"), 5),
        (("entities", "ticket", "sources", "desk", "fields", "Id"), "id"),
    ],
)
def test_wrong_values_are_refused(path: tuple[Any, ...], value: Any, good: str) -> None:
    """Versions, types, words, lengths and names."""
    data = yaml.safe_load(good)
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    assert faults(data)


def test_a_plain_value_may_stand_for_a_mapping(good: str) -> None:
    """Shorthands are in the schema too, in both forms."""
    data = yaml.safe_load(good)
    data["connectors"]["desk"]["verify"] = "GET /me"
    fields = data["entities"]["ticket"]["sources"]["desk"]["fields"]
    fields["title"] = {"from": "subject", "as": "text"}
    assert faults(data) == []
    fields["title"] = {"as": "text"}
    assert faults(data) != []


@pytest.mark.parametrize("name", model_names())
def test_built_in_models_are_sound(name: str) -> None:
    """Every field says what it is; an enum has `unknown` for what fits none; ids come first."""
    model = read_model(name)
    assert next(iter(model.fields)) == "id"
    for field, spec in model.fields.items():
        assert spec.description.endswith("."), field
        assert not spec.enum or spec.enum[-1] == "unknown", field
    assert any(spec.required for spec in model.fields.values())
    assert {"alert", "comment", "design", "ticket", "user"} <= set(model_names())


def test_the_words_of_a_ticket() -> None:
    """The same in every tracker, spelt as everywhere here."""
    ticket = read_model("ticket")
    assert ticket.fields["status"].enum == [
        "backlog",
        "todo",
        "in_progress",
        "in_review",
        "blocked",
        "done",
        "cancelled",
        "unknown",
    ]
    assert ticket.fields["priority"].enum == ["none", "low", "medium", "high", "urgent", "unknown"]
