"""A mistake made on purpose in each place of the language is found: none passes silently.

The places are read off the models: every word of every mapping, in a mapping of that kind that the examples
of the documentation have. A kind of mapping that is nowhere fails here too, so that the list is whole.
"""

from __future__ import annotations

import copy
import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import yaml

from linkspan import spec
from linkspan.spec import language
from linkspan.spec.language.words import Words
from tests.spec.test_docs import BASE, BLOCKS, FIRST, whole

Place = tuple[str | int, ...]
NONSENSE = [[["nonsense"]]]
"""A list of lists of lists: no word of the language takes it."""
TAKES_ANYTHING = {
    *("body", "text", "query", "form", "multipart", "file", "variables", "where", "default"),
    *("output", "data"),
}
"""Words whose values are the product's own trees, JSON Schemas, or texts of several kinds."""


def bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def choices(annotation: Any) -> list[Any]:
    found = bare(annotation)
    if get_origin(found) in {Union, types.UnionType}:
        return [choice for part in get_args(found) for choice in choices(part)]
    return [found]


def parts_of(info: Any) -> list[Any]:
    """Answer what is said of a field's type, however deep it stands."""
    found: list[Any] = list(info.metadata)
    left = [info.annotation]
    while left:
        one = left.pop()
        found += getattr(one, "__metadata__", ())
        left += get_args(one)
    return [info, *found]


def fits(model: type[Words], data: dict[str, Any]) -> bool:
    for word in ("type", "style"):
        info = model.model_fields.get(word)
        if (
            info is not None
            and get_origin(info.annotation) is Literal
            and word in data
            and info.is_required()
        ):
            return data[word] in get_args(info.annotation)
    return True


def walk(annotation: Any, data: Any, path: Place = ()) -> Iterator[tuple[type[Words], Place]]:
    """Yield every mapping with fixed words: its model, and where it is."""
    for choice in choices(annotation):
        if isinstance(choice, type) and issubclass(choice, Words) and isinstance(data, dict):
            if not fits(choice, data):
                continue
            yield choice, path
            for name, info in choice.model_fields.items():
                word = info.alias or name
                if word in data:
                    yield from walk(info.annotation, data[word], (*path, word))
        elif get_origin(choice) is dict and isinstance(data, dict):
            for key, below in data.items():
                yield from walk(get_args(choice)[1], below, (*path, key))
        elif get_origin(choice) is list and isinstance(data, list):
            for index, below in enumerate(data):
                yield from walk(get_args(choice)[0], below, (*path, index))


RARE = """\
linkspan: 1
name: rare
instructions: List tickets.
connectors:
  one:
    base_url: https://one.example
    auth: [{type: none}]
    pagination: {style: next_url, read: next}
    proxy: {}
  two: {base_url: "https://two.example", auth: [{type: bearer}], pagination: {style: none}}
  three:
    base_url: https://three.example
    auth: [{type: bearer}]
    verify: {request: GET /me, id: id}
    pagination: {style: page, send: {query: page}}
    git: {base_url: "https://three.example", username: three}
    webhooks:
      scope: app
      verify: {hmac: sha256, header: X-S, timestamp: {header: X-T}}
      account: {header: X-A}
      id: {header: X-I}
      handshake: {reply: body.challenge}
      events:
        ticket.made: {id: body.id}
        ticket.said: {id: body.id, comment: body.comment}
        ticket.gone: {id: body.id}
        pull_request.closed: {id: body.id}
entities:
  ticket:
    sources: {three: {fields: {id: id}, operations: {get: {request: "GET /tickets/{id}"}}}}
    fields: {id: string}
  comment:
    fields: {id: string}
    sources:
      three:
        fields: {id: id}
        operations:
          list: {request: "GET /tickets/{ticket}/comments", params: {ticket: {required: true}}, items: "@"}
  message:
    fields: {id: string}
    sources:
      three:
        fields: {id: id}
        operations: {create: {request: POST /messages, params: {text: string}, body: {text: $text}}}
  pull_request:
    model: pull_request
    sources:
      three:
        identity: "{repository}#{number}"
        fields: {number: number, repository: repository}
        operations:
          get: {request: "GET /repositories/{repository}/pulls/{number}"}
          list:
            request: GET /repositories/{repository}/pulls
            params: {repository: {required: true}}
            items: "@"
          create: {request: "POST /repositories/{repository}/pulls", body: {title: $title}}
          reviews:
            description: List the reviews of a pull request.
            request: GET /repositories/{repository}/pulls/{number}/reviews
recipes:
  fix:
    title: Fix
    entity: ticket
    "on": three.ticket.made
    settings: {where: repository}
    prompt: Fix it.
    context: [{entity: comment}]
    limit: {runs: 3}
    mention: {"on": three.ticket.said, name: "@fixer", by: id}
    stop: {"on": three.ticket.gone}
    publish: {as: pull_request}
    follow: {"on": three.pull_request.closed, prompt: Go on.}
    notify: [{at: [started], call: message.create}]
"""
"""Mappings that no example of the documentation has."""
FILES = [
    BASE,
    *(whole(block) for name, block in BLOCKS.items() if "/" not in name and block is not FIRST),
    yaml.safe_load(RARE),
]
MAPPINGS: dict[type[Words], tuple[int, Place]] = {}
for number, file in enumerate(FILES):
    for model, place in walk(language.File, file):
        MAPPINGS.setdefault(model, (number, place))
PLACES = [(model, info.alias or name) for model in MAPPINGS for name, info in model.model_fields.items()]


def spoilt(number: int, place: Place, value: Any) -> Any:
    """Answer the file with another value at a place."""
    file = copy.deepcopy(FILES[number])
    target: Any = file
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    return file


def told(tmp_path: Path, file: Any) -> list[Any]:
    (tmp_path / "tools.yaml").write_text(json.dumps(file, default=str))
    return spec.check([tmp_path / "tools.yaml"], {})


def shown(place: Place) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")


def all_models(model: type[Words] = Words) -> Iterator[type[Words]]:
    for below in model.__subclasses__():
        yield below
        yield from all_models(below)


@pytest.mark.parametrize("number", range(len(FILES)))
def test_no_file_has_a_mistake_by_itself(tmp_path: Path, number: int) -> None:
    """Else what is found in it tells nothing of the mistake that was made on purpose."""
    assert told(tmp_path, FILES[number]) == []


def test_every_kind_of_mapping_is_tried() -> None:
    """Else its words would be tried nowhere."""
    ours = {model for model in all_models() if model.__module__.startswith("linkspan.spec.language")}
    named = {model for model in ours if not model.__name__.startswith("_")} - {language.ModelFile}
    assert {model.__name__ for model in named - set(MAPPINGS)} == set()


@pytest.mark.parametrize(("model", "word"), PLACES, ids=lambda part: getattr(part, "__name__", part))
def test_a_value_of_the_wrong_kind_is_told(tmp_path: Path, model: type[Words], word: str) -> None:
    """At the word itself, or at what it stands in."""
    number, place = MAPPINGS[model]
    if word in TAKES_ANYTHING:
        return
    here = shown((*place, word))
    found = told(tmp_path, spoilt(number, (*place, word), NONSENSE))
    assert any(here.startswith(problem.path) or problem.path.startswith(here) for problem in found)


@pytest.mark.parametrize("model", MAPPINGS, ids=lambda model: model.__name__)
def test_an_unknown_word_is_told(tmp_path: Path, model: type[Words]) -> None:
    """In every kind of mapping, at its own place."""
    number, place = MAPPINGS[model]
    here = (*place, "nonsense")
    found = told(tmp_path, spoilt(number, here, "x"))
    assert ("unknown_key", shown(here)) in [(problem.code, problem.path) for problem in found]


EXPRESSIONS = [
    (model, info.alias or name)
    for model in MAPPINGS
    for name, info in model.model_fields.items()
    if any(getattr(part, "description", None) == "JMESPath, to 300 characters." for part in parts_of(info))
]


@pytest.mark.parametrize(("model", "word"), EXPRESSIONS, ids=lambda part: getattr(part, "__name__", part))
def test_a_bad_expression_is_told(tmp_path: Path, model: type[Words], word: str) -> None:
    """Wherever an expression may stand."""
    number, place = MAPPINGS[model]
    here = shown((*place, word))
    found = told(tmp_path, spoilt(number, (*place, word), "nonsense["))
    assert any(here.startswith(problem.path) or problem.path.startswith(here) for problem in found)


def referring() -> list[tuple[int, Place]]:
    """Answer every place of the examples where a whole text is a reference."""
    found: list[tuple[int, Place]] = []

    def look(number: int, data: Any, path: Place) -> None:
        if isinstance(data, str) and data.startswith("$") and not data.startswith(("$$", "${")):
            found.append((number, path))
        items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
        for key, below in items:
            look(number, below, (*path, key))

    for number, file in enumerate(FILES):
        look(number, file, ())
    return [(number, path) for number, path in found if "schema" not in path]


@pytest.mark.parametrize(
    ("number", "place"), referring(), ids=lambda part: shown(part) if isinstance(part, tuple) else str(part)
)
def test_a_dangling_reference_is_told(tmp_path: Path, number: int, place: Place) -> None:
    """Whatever refers to an argument, a setting or a step says so of one that is not there."""
    found = told(tmp_path, spoilt(number, place, "$nonsense"))
    assert any("nonsense" in problem.message or problem.path == shown(place) for problem in found)


def test_a_chosen_entity_that_is_no_name_is_told(tmp_path: Path) -> None:
    """Among the entities that a built-in connector brings."""
    file = {**BASE, "connectors": {**BASE["connectors"], "github": {"use": "github", "entities": NONSENSE}}}
    assert [(problem.code, problem.path) for problem in told(tmp_path, file)] == [
        ("wrong_type", "connectors.github.entities[0]")
    ]
