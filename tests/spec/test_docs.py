"""docs/tools-yaml/ names every word, holds nothing that does not work, and leads where it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from linkspan.cli.main import cli
from linkspan.spec.expressions import FUNCTIONS, _Functions, compile_getter
from linkspan.spec.fields import read_model
from linkspan.spec.language import connector_names, json_schema, model_names
from linkspan.spec.language.reference import slug
from linkspan.spec.problems import CODES

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "tools-yaml"
REFERENCE = FOLDER / "reference.md"
PAGES = {path: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("**/*.md"))}
TEXT = "\n".join(text for path, text in PAGES.items() if path != REFERENCE and path.parent == FOLDER)
INDEX = PAGES[FOLDER / "README.md"]
BLOCKS = {
    f"{path.relative_to(FOLDER).with_suffix('')}-{number}": block
    for path, text in PAGES.items()
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL), start=1)
}
FIRST = BLOCKS["README-1"]
BASE = yaml.safe_load(FIRST)


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


@pytest.mark.parametrize("name", BLOCKS)
def test_every_example_is_good(name: str, check: Any) -> None:
    """What people copy works."""
    block = BLOCKS[name]
    assert check(block if block is FIRST else json.dumps(whole(block), default=str)) == []


def test_every_habit_has_an_example_and_is_listed() -> None:
    """A page that nobody finds, or that shows nothing, helps nobody."""
    habits = {path.stem for path in PAGES if path.parent.name == "habits"}
    assert {name for name in habits if f"habits/{name}-1" not in BLOCKS} == set()
    assert set(re.findall(r"\(habits/([a-z0-9-]+)\.md\)", INDEX)) == habits


def test_the_reference_is_current() -> None:
    """It is made by `linkspan schema --reference > docs/tools-yaml/reference.md`."""
    printed = CliRunner().invoke(cli, ["schema", "--reference"])
    assert (printed.exit_code, printed.stdout) == (0, PAGES[REFERENCE])


def test_the_reference_has_every_word_at_its_place() -> None:
    """One row for each word of each mapping, and nothing else."""
    words = re.findall(r"^\| (?:\*\*)?`([^`]+)`(?:\*\*)? \|", PAGES[REFERENCE], re.MULTILINE)
    schema = json_schema()
    wanted = list(schema["properties"])
    for definition in schema["$defs"].values():
        for part in [definition, *definition.get("anyOf", [])]:
            wanted += part.get("properties", {})
    assert sorted(words) == sorted(wanted)


def headings(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {slug(found.strip()) for found in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize(
    "path", sorted(DOCS.glob("**/*.md")), ids=lambda path: str(path.relative_to(DOCS).with_suffix(""))
)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    """To a file that is there, and to a heading in it."""
    text = re.sub(
        r"^```.*?^```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for target, anchor in re.findall(r"\]\((?!https?:)([^()#\s]*)(?:#([^()\s]*))?\)", text):
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), f"{path.name}: {target}"
        assert not anchor or anchor in headings(there), f"{path.name}: {target}#{anchor}"


def test_the_first_example_gives_what_is_said_of_it(load: Any) -> None:
    """Five tools, and a filter that asks for both words."""
    catalog = load(FIRST)
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
    listed = (DOCS / "connectors" / "README.md").read_text(encoding="utf-8")
    assert {name for name in connector_names() if f"({name}.md)" not in listed} == set()


@pytest.mark.parametrize("model", model_names())
def test_every_field_of_a_model_is_named(model: str) -> None:
    """In the row of its model, in order."""
    (row,) = re.findall(rf"^\| `{model}` \| (.*) \|$", TEXT, re.MULTILINE)
    named = re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", row))
    assert named == list(read_model(model).fields)


def test_every_code_is_explained() -> None:
    """In the words of the list itself."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", INDEX.partition("## Mistakes")[2], re.MULTILINE)
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
