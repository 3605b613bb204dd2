"""An item as Markdown: labels, lists, sections, and text that cannot pass for structure."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from linkspan.text.markdown import below, render


def test_an_item_becomes_a_document() -> None:
    """Heading, facts, and a section for what is text."""
    item = {
        "id": "7",
        "key": "T-7",
        "title": "It is  broken",
        "status": "open",
        "due_date": None,
        "urgent": True,
        "labels": ["a", "b"],
        "assignees": [{"id": "1", "name": "Ada"}, {"id": "2", "name": "Bob"}],
        "reporter": {"id": "3", "name": "Cyd"},
        "description": "# Steps\n\n1. Click",
    }
    assert render(item, title="Ticket", sections=["description"]) == (
        "# Ticket T-7: It is broken\n"
        "\n"
        "- **Id**: 7\n"
        "- **Key**: T-7\n"
        "- **Title**: It is  broken\n"
        "- **Status**: open\n"
        "- **Urgent**: yes\n"
        "- **Labels**: a, b\n"
        "- **Reporter**: Id 3, Name Cyd\n"
        "\n"
        "## Assignees\n"
        "\n"
        "- Id 1, Name Ada\n"
        "- Id 2, Name Bob\n"
        "\n"
        "## Description\n"
        "\n"
        "### Steps\n"
        "\n"
        "1. Click\n"
    )


def test_text_of_a_product_cannot_pass_for_a_field() -> None:
    """Its headings are moved below ours, wherever they are."""
    shown = render({"id": "1", "body": "# Status\nclosed", "status": "open"}, title="Ticket")
    assert "\n# Status" not in shown
    assert "### Status" in shown
    assert below("###### Deep\n#tag", 2) == "###### Deep\n#tag"


def test_labels_may_be_given() -> None:
    """By field name."""
    assert "**Fällig**: today" in render({"due": "today"}, title="Aufgabe", labels={"due": "Fällig"})


def test_nested_data_is_a_nested_list() -> None:
    """As deep as is readable."""
    shown = render({"frames": [{"file": "a.py", "vars": {"x": {"y": [1, 2]}}}]}, title="Alert")
    assert "- File: a.py" in shown
    assert "1, 2" in shown


def test_lines_of_source_in_a_stack_trace_are_there() -> None:
    """The deepest things of an alert, as a tracker of errors has them; what nests without end is cut off."""
    frames = [{"file": "cart.py", "source": [[6, "def total(cart):"], [7, "return 1 / 0"]]}]
    text = render({"last_event": {"exceptions": [{"type": "E", "frames": frames}]}}, title="Alert")
    assert "- 6, def total(cart):" in text and "- 7, return 1 / 0" in text
    endless: list[Any] = ["the end"]
    for _ in range(20):
        endless = [endless]
    cut = render({"a": endless}, title="Alert")
    assert "…" in cut and "the end" not in cut


def test_what_is_no_item_is_shown_all_the_same() -> None:
    """A list or a word has a heading, too."""
    assert render(["a", "b"], title="Names") == "# Names\n\na, b\n"
    assert render("word", title="Answer") == "# Answer\n\nword\n"
    assert render(None, title="Answer") == "# Answer\n\n—\n"


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_any_data_can_be_read(value: Any) -> None:
    """One first-level heading, ours, whatever the data says."""
    shown = render(value, title="Thing")
    assert shown.startswith("# Thing")
    assert shown.endswith("\n")
