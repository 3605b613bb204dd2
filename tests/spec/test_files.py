"""Files: several of them, variables, versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linkspan import spec
from linkspan.errors import SpecError
from linkspan.spec.catalog import Scope


def test_load_raises_with_every_problem(good: str, load: Any) -> None:
    """`load` answers a catalog or raises; there is nothing between."""
    with pytest.raises(SpecError) as caught:
        load(good.replace("name: acme", "name: 12").replace("items: tickets", "items: tickets["))
    assert [problem.code for problem in caught.value.problems] == ["wrong_type", "bad_expression"]
    assert "tools.yaml:2:7: name: must be text" in caught.value.message


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A missing file is one problem with its name."""
    (problem,) = spec.check(tmp_path / "none.yaml", {})
    assert (problem.code, problem.message) == ("unreadable", "cannot be read: No such file or directory")


def test_paths_may_be_texts(tmp_path: Path, good: str) -> None:
    """A text, a path or several of both."""
    (tmp_path / "a.yaml").write_text(good)
    assert spec.load(str(tmp_path / "a.yaml"), {}).name == "acme"
    assert spec.load([str(tmp_path / "a.yaml")], {}).files == (str(tmp_path / "a.yaml"),)


SECOND = """\
linkspan: 1
connectors:
  tracker:
    base_url: https://tracker.example
    auth: [{type: none}]
entities:
  ticket:
    sources:
      tracker:
        fields: {id: id, title: name}
        operations:
          get: {request: "GET /t/{id}"}
"""


def test_files_add_to_one_another(good: str, load: Any) -> None:
    """A second file brings connectors, and sources for entities of the first."""
    catalog = load(good, SECOND)
    assert list(catalog.connectors) == ["desk", "tracker"]
    assert list(catalog.tool("get_ticket").operations) == ["desk", "tracker"]
    assert len(catalog.files) == 2


def test_files_do_not_contradict_one_another(tmp_path: Path, good: str) -> None:
    """The same word in both is told in the second, with the name of the first."""
    for name, text in (("a.yaml", good), ("b.yaml", SECOND + "title: Other\nname: other\n")):
        (tmp_path / name).write_text(text)
    (problem,) = spec.check([tmp_path / "a.yaml", tmp_path / "b.yaml"], {})
    assert str(problem) == f"{tmp_path}/b.yaml:14:1: name: 'name' stands in {tmp_path}/a.yaml already"


def test_a_mistake_in_the_second_file_is_told_there(tmp_path: Path, good: str) -> None:
    """Places keep their file when files are put together."""
    (tmp_path / "a.yaml").write_text(good)
    (tmp_path / "b.yaml").write_text(SECOND.replace("GET /t/{id}", "GET /t/{if}"))
    (problem,) = spec.check([tmp_path / "a.yaml", tmp_path / "b.yaml"], {})
    assert (Path(problem.file).name, problem.line, problem.column) == ("b.yaml", 12, 35)


def test_variables_come_from_the_given_environment_only(
    good: str, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process's own environment is not looked at."""
    monkeypatch.setenv("DESK_NAME", "Wrong")
    text = good.replace("title: Acme Desk", "title: The ${DESK_NAME} Desk")
    assert load(text, environ={"DESK_NAME": "Right"}).connectors["desk"].title == "The Right Desk"
    with pytest.raises(SpecError, match="the environment has no variable DESK_NAME"):
        load(text)


def test_a_variable_is_only_text(good: str, load: Any) -> None:
    """Its value is neither a reference nor a placeholder nor another variable."""
    text = good.replace("who: $login", 'who: $login, a: "${A}", b: "$${A}", c: "x${A}"')
    text = text.replace("    rate_limit: {", "    headers: {X-A: '${A}'}\n    rate_limit: {")
    catalog = load(text, environ={"A": "$login ${A} {id}"})
    query = dict(catalog.tool("list_tickets").operations["desk"].plan.query)
    scope = Scope({"login": "me"})
    assert query["a"](scope) == "$login ${A} {id}"
    assert query["b"](scope) == "${A}"
    assert query["c"](scope) == "x$login ${A} {id}"
    assert dict(catalog.connectors["desk"].headers)["X-A"](scope) == "$login ${A} {id}"


def test_the_version_names_everything_it_was_made_from(good: str, load: Any) -> None:
    """A changed byte or a changed variable is another version; nothing else is."""
    text = good.replace("title: Acme Desk", "title: ${A}")
    first = load(text, environ={"A": "1", "B": "1"}).version
    assert first == load(text, environ={"A": "1", "B": "2"}).version
    assert first != load(text, environ={"A": "2", "B": "1"}).version
    assert first != load(text + "\n", environ={"A": "1"}).version
