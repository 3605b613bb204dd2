"""What `use` brings in beside what the built-in file says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from linkspan.spec.catalog import Catalog, Tool
from linkspan.spec.language import connector_names
from linkspan.spec.lint import MAX_SCHEMA_BYTES, schema_bytes

HEAD = """\
linkspan: 1
name: all
instructions: list_tickets, list_alerts, list_repositories, list_designs, list_messages and search_tickets.
"""
BUILT_IN = [name for name in connector_names() if name != "openai"]


def file_of(names: Sequence[str], more: str = "") -> str:
    return HEAD + "connectors:\n" + "".join(f"  {name}: {{use: {name}}}\n" for name in names) + more


def offers(tool: Tool) -> bool:
    return "remote_data" in tool.input_schema["properties"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_reads_of_what_is_built_in_show_what_the_product_answered(
    name: str, load: Callable[[str], Catalog]
) -> None:
    """Every one that answers fields, and no write."""
    for tool in load(file_of([name])).tools:
        has_fields = tool.operations[name].shape is not None
        assert offers(tool) == (tool.kind == "read" and has_fields), tool.name


def test_a_file_may_leave_it_out(load: Callable[[str], Catalog]) -> None:
    """For one entity, and the others keep it."""
    more = "entities: {ticket: {sources: {github: {remote_data: false}}}}\n"
    catalog = load(file_of(["github"], more))
    shown = {tool.entity for tool in catalog.tools if offers(tool)}
    assert shown == {tool.entity for tool in catalog.tools if tool.kind == "read"} - {"ticket"}


def test_all_of_it_together_is_within_what_codex_shows(load: Callable[[str], Catalog]) -> None:
    """The largest schema of any choice of connectors is that of all of them."""
    sizes = {tool.name: schema_bytes(tool) for tool in load(file_of(BUILT_IN)).tools}
    assert max(sizes.values()) < MAX_SCHEMA_BYTES
