"""What a person decides, and what nobody is asked."""

from __future__ import annotations

import asyncio

import pytest

from linkspan.codex.engine import Decision, Limits
from tests.codex.app_server.conftest import MODELS, Place
from tests.servers.scripted_model import Item, function_call, message, patch

pytestmark = pytest.mark.e2e


def outside(place: Place) -> Item:
    """A command that needs more than the sandbox: it writes beside the checkout."""
    command = {
        "cmd": f"echo out > {place.folder}/outside.txt",
        "sandbox_permissions": "require_escalated",
        "justification": "May I write beside the checkout?",
    }
    return function_call("exec_command", command)


async def test_a_command_that_is_approved_runs_outside_the_sandbox(place: Place) -> None:
    """The question says what it is about, in Codex's own words."""
    place.host.answers = lambda question: "approve"
    outcome = await place.work([outside(place)], [message("done")], approve_commands=True)
    assert outcome.status == "completed"
    assert (place.folder / "outside.txt").read_text() == "out\n"
    (question,) = place.host.questions
    assert question.kind == "command"
    assert "outside.txt" in question.data["command"]
    assert question.data["cwd"] == str(place.checkout)
    assert question.reason == "May I write beside the checkout?"


async def test_a_command_that_is_declined_does_not_run_and_the_turn_goes_on(place: Place) -> None:
    """The model is told, and may do something else."""
    outcome = await place.work([outside(place)], [message("I left it.")], approve_commands=True)
    assert (outcome.status, outcome.message) == ("completed", "I left it.")
    assert not (place.folder / "outside.txt").exists()
    assert place.host.items("commandExecution")[0]["status"] == "declined"


@pytest.mark.parametrize(
    ("model", "decision"), [*((model, "approve") for model in MODELS), (MODELS[0], "decline")]
)
async def test_a_file_outside_of_the_checkout_is_asked_for(
    place: Place, model: str, decision: Decision
) -> None:
    """The question names the file; it is there if a person approves, and else it is not."""
    file = place.folder / "beside.txt"
    place.host.answers = lambda question: decision
    outcome = await place.work(
        [patch(model, f"*** Begin Patch\n*** Add File: {file}\n+x\n*** End Patch")],
        [message("done")],
        approve_commands=True,
        model_name=model,
    )
    assert outcome.status == "completed"
    (question,) = place.host.questions
    assert (question.kind, question.reason) == (
        "file_change", "Codex wants to change files outside of the checkout."
    )  # fmt: skip
    assert [each["path"] for each in question.data["changes"]] == [str(file)]
    assert file.exists() == (decision == "approve")


async def test_cancel_ends_the_turn(place: Place) -> None:
    """The person has seen enough."""
    place.host.answers = lambda question: "cancel"
    outcome = await place.work([outside(place)], [message("never")], approve_commands=True)
    assert outcome.status == "interrupted"
    assert not (place.folder / "outside.txt").exists()
    assert len(place.model.turns) == 1


async def test_nobody_is_asked_where_the_recipe_does_not_say_so(place: Place) -> None:
    """Then it fails, and the model is told so."""
    outcome = await place.work([outside(place)], [message("I could not.")])
    assert outcome.status == "completed"
    assert place.host.questions == []
    assert not (place.folder / "outside.txt").exists()


async def test_the_clock_stands_while_a_person_thinks(place: Place) -> None:
    """A run that waits for an approval does not run out of time."""
    place.host.asked = asked = asyncio.Event()
    place.host.answered = answered = asyncio.Event()
    limit = 3.0
    loop = asyncio.get_running_loop()

    async def think() -> None:
        await asked.wait()
        loop.call_later(limit + 0.5, answered.set)

    began = loop.time()
    thinking = asyncio.create_task(think())
    outcome = await place.work(
        [outside(place)], [message("done")], approve_commands=True, limits=Limits(seconds=limit)
    )
    await thinking
    assert loop.time() - began > limit
    assert outcome.status == "completed"


async def test_a_repository_cannot_approve_for_people(place: Place) -> None:
    """Its own rules for commands are not read."""
    rules = place.checkout / ".codex" / "rules"
    rules.mkdir(parents=True)
    words = ("echo", "bash", "/bin/bash")
    lines = [f'prefix_rule(pattern=["{word}"], decision="allow")\n' for word in words]
    (rules / "default.rules").write_text("".join(lines))
    outcome = await place.work([outside(place)], [message("I left it.")], approve_commands=True)
    assert outcome.status == "completed"
    assert len(place.host.questions) == 1
    assert not (place.folder / "outside.txt").exists()
