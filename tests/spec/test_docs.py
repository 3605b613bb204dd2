"""docs/tools-yaml.md names every word and holds nothing that does not work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from linkspan.spec.expressions import FUNCTIONS, _Functions, compile_getter
from linkspan.spec.fields import read_model
from linkspan.spec.language import connector_names, json_schema, model_names
from linkspan.spec.problems import CODES

TEXT = (Path(__file__).parents[2] / "docs" / "tools-yaml.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
BASE = yaml.safe_load(BLOCKS[0])


def merged(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {**one, **{key: merged(one.get(key), value) for key, value in other.items()}}
    return other


def whole(block: str) -> dict[str, Any]:
    """Answer the file that a fragment stands for, by the place that its first line names."""
    place, data = block.partition("\n")[0], yaml.safe_load(block)
    if place == "# in a connector":
        kept = {word: BASE["connectors"]["desk"][word] for word in ("base_url", "settings", "auth")}
        return {**BASE, "connectors": {"desk": merged(kept, data)}}
    if place == "# in entities":
        return merged(BASE, {"entities": data})  # type: ignore[no-any-return]
    if place == "# in operations":
        ticket = {**BASE["entities"]["ticket"]["sources"]["desk"], "operations": data}
        entities = {**BASE["entities"], "ticket": {"model": "ticket", "sources": {"desk": ticket}}}
        return {**BASE, "instructions": "Search, read and watch tickets.", "entities": entities}
    if place == "# at the top":
        return {**BASE, **data}
    return data  # type: ignore[no-any-return]


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_every_example_is_good(number: int, check: Any, load: Any) -> None:
    """What people copy works."""
    text = BLOCKS[0] if number == 0 else yaml.safe_dump(whole(BLOCKS[number]), sort_keys=False)
    assert check(text) == []


def test_the_first_example_gives_what_is_said_of_it(load: Any) -> None:
    """Five tools, and a filter that asks for both words."""
    catalog = load(BLOCKS[0])
    assert [tool.name for tool in catalog.tools] == [
        "list_tickets",
        "search_tickets",
        "get_ticket",
        "update_ticket",
        "comment_on_ticket",
    ]
    properties = catalog.tools[0].input_schema["properties"]
    assert list(properties) == ["login", "status", "cursor", "limit"]
    assert properties["status"]["enum"] == ["todo", "in_progress", "done"]


def test_every_word_is_named() -> None:
    """A word that is not in the reference does not exist for people; connectors have pages of their own."""
    named = set(re.findall(r"`([^`\s]+)`", TEXT)) | set(re.findall(r"`(\w+):? [^`]*`", TEXT))
    words = set()
    for definition in json_schema()["$defs"].values():
        for part in [definition, *definition.get("anyOf", [])]:
            words |= set(part.get("properties", {}))
            for below in part.get("properties", {}).values():
                words |= set(below.get("enum", ())) if isinstance(below.get("enum"), list) else set()
    words -= set(connector_names())
    assert words | set(json_schema()["properties"]) <= named
    listed = (Path(__file__).parents[2] / "docs" / "connectors" / "README.md").read_text(encoding="utf-8")
    assert {name for name in connector_names() if f"({name}.md)" not in listed} == set()


@pytest.mark.parametrize("model", model_names())
def test_every_field_of_a_model_is_named(model: str) -> None:
    """In the row of its model, in order."""
    (row,) = re.findall(rf"^\| `{model}` \| (.*) \|$", TEXT, re.MULTILINE)
    named = re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", row))
    assert named == list(read_model(model).fields)


def test_every_code_is_explained() -> None:
    """In the words of the list itself."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT.partition("## Mistakes")[2], re.MULTILINE)
    assert dict(rows) == dict(CODES)


def test_every_function_of_ours_is_named() -> None:
    """JMESPath documents its own."""
    ours = {name.removeprefix("_func_") for name in vars(_Functions) if name.startswith("_func_")}
    assert ours <= set(FUNCTIONS)
    assert all(f"`{name}(" in TEXT for name in ours)


def test_the_translations_from_jsonata_are_jmespath() -> None:
    """Every right-hand side compiles."""
    table = TEXT.partition("| JSONata | JMESPath |")[2].partition("\n\n")[0]
    rows = [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in table.splitlines()[2:]]
    assert len(rows) >= 10
    for _, expression in rows:
        compile_getter(expression.strip("` ").replace("\\|", "|"))
