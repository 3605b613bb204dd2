"""The table of the broker against the protocol of the very binaries that are driven."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import pytest

from linkspan.codex.broker.methods import ASKED, CLOSED, INPUTS, OPEN, TOLD, MethodNotOpen, params_of
from linkspan.errors import InvalidArgument
from tests.servers import codex as codex_cli
from tests.servers.protocol import described

Json = dict[str, Any]


@pytest.fixture(scope="module", params=["npm", "python"])
def schema(request: pytest.FixtureRequest) -> Iterator[Mapping[str, Json]]:
    """What a binary says of its protocol, experiments included, by the name of a file."""
    command = codex_cli.npm_command() if request.param == "npm" else codex_cli.python_command()
    with described(command) as protocol:
        yield protocol.schemas


def methods_of(schema: Json) -> dict[str, Json]:
    """Answer each method's own schema."""
    return {each["properties"]["method"]["enum"][0]: each["properties"] for each in schema["oneOf"]}


def parameters_of(schema: Json, method: Json) -> set[str]:
    """Answer the names of a method's parameters."""
    asked = method.get("params", {})
    name = (asked.get("$ref") or "").rpartition("/")[2]
    return set(schema["definitions"].get(name, {}).get("properties", {}))


def undecided_methods(told: Json) -> list[str]:
    """Answer the methods of a schema that stand in neither table."""
    return sorted(methods_of(told).keys() - OPEN.keys() - set(chain.from_iterable(CLOSED.values())))


def undecided_parameters(told: Json) -> dict[str, set[str]]:
    """Answer the parameters of open methods that are neither taken nor refused, by method."""
    methods = methods_of(told)
    return {
        name: left
        for name, method in OPEN.items()
        if (left := parameters_of(told, methods[name]) - method.takes.keys() - method.refuses)
    }


@pytest.mark.e2e
def test_every_method_of_codex_is_decided(schema: Mapping[str, Json]) -> None:
    """A new one is a decision: into `OPEN` with its parameters, or into `CLOSED` with the reason."""
    decided = [*OPEN, *chain.from_iterable(CLOSED.values())]
    assert len(decided) == len(set(decided))
    assert undecided_methods(schema["ClientRequest"]) == []
    brought = {"properties": {"method": {"enum": ["fs/format"]}}}
    later = {**schema["ClientRequest"], "oneOf": [*schema["ClientRequest"]["oneOf"], brought]}
    assert undecided_methods(later) == ["fs/format"]


@pytest.mark.e2e
def test_every_parameter_of_an_open_method_is_decided(schema: Mapping[str, Json]) -> None:
    """A new one is a decision: taken, with its schema, or refused."""
    told = schema["ClientRequest"]
    methods = methods_of(told)
    assert undecided_parameters(told) == {}
    definitions = {**told["definitions"], "TurnStartParams": {"properties": {"runAs": {}, "threadId": {}}}}
    assert undecided_parameters({**told, "definitions": definitions}) == {"turn/start": {"runAs"}}
    for name, method in OPEN.items():
        assert method.takes.keys() <= parameters_of(told, methods[name]), name
        assert not method.takes.keys() & method.refuses, name


@pytest.mark.e2e
def test_every_input_question_and_notification_is_codexs(schema: Mapping[str, Json]) -> None:
    """Types of input and questions are decided; what is told is the protocol's and nothing of our own."""
    inputs = schema["ClientRequest"]["definitions"]["UserInput"]["oneOf"]
    assert {each["properties"]["type"]["enum"][0] for each in inputs} == INPUTS.keys()
    assert methods_of(schema["ServerRequest"]).keys() == ASKED.keys()
    assert methods_of(schema["ServerNotification"]).keys() >= TOLD


def test_what_is_not_in_the_table_is_refused() -> None:
    """By its name, with what there is instead."""
    for name in ("fs/readFile", "command/exec", "config/read", "account/read", "thread/shellCommand", "nope"):
        with pytest.raises(MethodNotOpen, match=name):
            params_of(name, {})
    for name, given in (
        ("thread/start", {"cwd": "/"}),
        ("thread/start", {"config": {}}),
        ("thread/start", {"sandbox": "danger-full-access"}),
        ("thread/start", {"unheardOf": 1}),
        ("thread/start", []),
        ("turn/start", {"threadId": "t", "input": []}),
        ("turn/start", {"threadId": "t", "input": [{"type": "localImage", "path": "/etc/passwd"}]}),
        ("turn/start", {"threadId": "t", "input": [{"type": "text", "text": "x", "path": "/"}]}),
        (
            "turn/start",
            {
                "threadId": "t",
                "input": [{"type": "text", "text": "x"}],
                "sandboxPolicy": {"type": "dangerFullAccess"},
            },
        ),
        ("thread/resume", {}),
        ("thread/resume", {"threadId": "t", "path": "/tmp/x"}),
        ("thread/resume", {"threadId": 7}),
    ):
        with pytest.raises(InvalidArgument, match=name):
            params_of(name, given)


def test_a_refused_parameter_that_says_nothing_is_no_fault() -> None:
    """Clients that are made of Codex's types send null for what they leave to the server."""
    assert params_of("thread/start", {"cwd": None, "model": None}) == {}
    assert params_of("thread/list", None) == {}
