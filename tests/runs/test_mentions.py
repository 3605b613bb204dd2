"""A comment that calls Codex starts a run: read anew, of somebody whose word counts, and heard once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from linkspan.runs.hooks import OWN, OWN_WORDS, TEST
from linkspan.runs.mentions import calls
from linkspan.spec.recipe import read
from tests.fakes.engine import ScriptedEngine
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import ACME, BO
from tests.runs.test_hooks import Door, door, event, person
from tests.runs.working import Works, parts_of, working

__all__ = ["door"]
PLAIN = {
    "title": "Look",
    "entity": "ticket",
    "on": "desk.ticket.assigned",
    "when": "assignee == 'codex'",
    "mention": {
        "on": "desk.ticket.commented",
        "name": "@{{ settings.bot }}",
        "by": "contains(settings.askers, author.id)",
    },
    "stop": "desk.ticket.assigned",
    "settings": {"bot": {"default": "codex"}, "askers": {"type": "names", "required": True}},
    "prompt": "Do what the comment asks.",
    "write_back": {"finished": "{{ run.summary }}"},
}


async def on(door: Door, **words: Any) -> None:
    """Turn on a recipe that a comment of priya starts."""
    app = door.house.app
    recipes = {"look": read("look", {**PLAIN, **words})}
    app.gateway.replace_catalog(replace(app.catalog, recipes=recipes))
    await app.recipes.enable(BO, "look", {"askers": "priya"})


def said(door: Door, words: str, *, by: str = "priya", told: str | None = None, sender: str = "") -> Any:
    """Let somebody of the desk comment; what is delivered of that says other words where `told` does."""
    made = door.house.desk.tickets.comment(person(door.house, by), "HC-103", {"body_markdown": words})
    comment = {"id": made["id"], "body_markdown": told or words}
    return {**event(f"d{made['id']}", by=sender or by), "type": "ticket.commented", "comment": comment}


async def outcomes(door: Door) -> list[str]:
    """Work what is due; what became of every event, the oldest first."""
    await door.house.app.arrivals.work_due()
    found = sorted(await door.house.app.arrivals.list(ACME), key=lambda each: (each.received, each.id))
    return [f"{each.state}: {each.outcome}" for each in found]


async def test_who_is_called_gets_the_comment(door: Door) -> None:
    """A run on the ticket, once however often it is told, with the words that ask for it."""
    await on(door)
    app = door.house.app
    body = said(door, "@Codex please: the noon report is *empty*.")
    assert (await door.post(body), await door.post(body)) == ((200, {"accepted": 1}), (200, {"accepted": 0}))
    (told,) = await outcomes(door)
    (run,) = await app.runs.list(BO)
    assert (told, run.entity_id) == (f"done: look: {run.id}.", "HC-103")
    works = Works(door.house, ScriptedEngine(), FakePlaces(app.settings.home / "work"), FakeForge())
    async with working(app, parts_of(app, works)):
        assert (await works.until(run.id)).state == "succeeded"
    *_, asked = works.engine.tasks[0].materials
    assert asked.name == "comment that asks for this, at ticket HC-103"
    assert asked.text.startswith("Priya")
    assert "the noon report is" in asked.text
    assert works.engine.tasks[0].prompt == "Do what the comment asks."
    again = await app.runs.start(BO, "look", source="api", entity_id="HC-103", key="other")
    await app.runs.cancel(BO, again.id)
    retried = await app.runs.retry(BO, again.id, key="again")
    assert "comment" not in retried.plan


async def test_the_desks_own_recipe_is_called_by_those_whom_the_tenant_named(door: Door) -> None:
    """As tools.yaml has it: nobody, until somebody is named."""
    app = door.house.app
    for askers in ([], ["priya"]):
        await app.recipes.enable(BO, "fix_ticket", {"repository": "acme/cafe", "askers": askers})
        await door.post(said(door, "@codex please"))
        *_, told = await outcomes(door)
        door.house.now[0] += 1
    (run,) = await app.runs.list(BO)
    assert (run.recipe, run.entity_id, told) == ("fix_ticket", "HC-103", f"done: fix_ticket: {run.id}.")


async def test_a_retry_is_asked_for_by_the_same_comment(door: Door) -> None:
    """What did not succeed is done once more with the same words."""
    await on(door)
    body = said(door, "@codex look")
    await door.post(body)
    await outcomes(door)
    (run,) = await door.house.app.runs.list(BO)
    await door.house.app.runs.cancel(BO, run.id)
    retried = await door.house.app.runs.retry(BO, run.id)
    assert retried.plan["comment"] == str(body["comment"]["id"])


async def test_nobody_else_and_nothing_else_calls_it(door: Door) -> None:
    """Somebody whose word does not count, another name, a quotation, code, us, and a delivery that lies."""
    await on(door)
    now = door.house.now
    for body in (
        said(door, "@codex please", by="mara"),
        said(door, "Who is this codex, and @codexter?"),
        said(door, "> @codex please\n\nShould I?"),
        said(door, "Run `@codex`."),
        said(door, "I said nothing.", told="@codex please"),
        said(door, "@codex please", by="mara", sender="priya"),
        {**said(door, "@codex please"), "comment": {"id": 999_999, "body_markdown": "@codex please"}},
        said(door, "@codex", by="codex"),
        said(door, "@codex, see Codex run run_abcdefghijklmnopqrstuvwxyz"),
    ):
        now[0] += 1
        await door.post(body)
    told = await outcomes(door)
    no_call = "ignored: look: the comment does not call @codex."
    assert told[0].startswith("ignored: look: Mara")
    assert told[0].endswith(" called, whose word does not count (`by`).")
    assert told[5] == told[0]
    assert told[1:5] == [no_call] * 4
    assert told[6:] == [
        "ignored: look: there is no such comment.",
        f"ignored: {OWN}",
        f"ignored: {OWN_WORDS}",
    ]
    assert await door.house.app.runs.list(BO) == []


async def test_what_was_asked_long_ago_is_not_asked_now(door: Door) -> None:
    """However late somebody tells of it: a delivery that was recorded, or any change of a thing."""
    await on(door)
    bodies = [said(door, "@codex please"), said(door, "@codex now")]
    created = "update comments set created = ? where id = ?"
    for body, age in zip(bodies, (86_401, 86_000), strict=True):
        door.house.desk.store.execute(created, (door.house.now[0] - age, body["comment"]["id"]))
        door.house.now[0] += 1
        await door.post(body)
    first, second = await outcomes(door)
    assert first == "ignored: look: the comment is older than a day."
    assert second.startswith("done: look: run_")


async def test_a_call_waits_for_no_quiet_and_is_not_overtaken(door: Door) -> None:
    """Another comment says nothing of it; a run that goes on is waited for, and what is over drops it."""
    await on(door, debounce="1m", concurrency="queue")
    now, app = door.house.now, door.house.app
    await door.post(said(door, "@codex please"))
    now[0] += 1
    await door.post(said(door, "Anyone?"))
    first, second = await outcomes(door)
    (run,) = await app.runs.list(BO)
    assert (first, second) == (f"done: look: {run.id}.", "ignored: look: the comment does not call @codex.")
    now[0] += 1
    await door.post(said(door, "@codex and this"))
    assert (await outcomes(door))[2] == f"pending: look waits for {run.id} to end."
    now[0] += 1
    await door.post(event("over"))
    told = await outcomes(door)
    assert told[2] == "ignored: look: desk.ticket.assigned came before it started."


async def test_what_would_come_of_a_call_is_foreseen(door: Door) -> None:
    """By the very comment, as `hooks test` delivers it; nothing is noted and nothing started."""
    await on(door)
    for words, outcome in (
        ("@codex please", "would start look on it"),
        ("Nobody is called.", "look: the comment does not call @codex"),
    ):
        _status, answer = await door.post(said(door, words), headers={TEST: "1"})
        (told,) = answer["test"]
        assert (told["does"], told["id"]) == ("mention", "HC-103")
        assert await door.house.app.arrivals.foresee(ACME, door.account.id, told) == outcome
    assert await door.house.app.runs.list(BO) == []
    assert await door.house.app.arrivals.list(ACME) == []


@pytest.mark.parametrize(
    ("text", "is_called"),
    [
        ("@codex", True),
        ("Could you, @CODEX?", True),
        ("(@codex)", True),
        ("[@codex](https://tracker.example/codex)", True),
        (r"@codex\_bot", False),
        ("@codex-bot", False),
        ("me@codex.example", False),
        ("a/@codex", False),
        ("```\n@codex\n```", False),
        ("```\n@codex", False),
        ("~~~\n@codex\n~~~\n@codex", True),
        ("> > @codex", False),
        ("1 > 0, @codex", True),
        ("", False),
    ],
)
def test_a_name_stands_as_a_word_of_its_own(text: str, is_called: bool) -> None:
    """Where people write to somebody."""
    assert calls(text, "@codex") is is_called


def test_a_name_with_letters_that_are_escaped() -> None:
    """As Markdown that was made of a vendor's rich text has them."""
    assert calls(r"@codex\_bot, please", "@codex_bot")
    assert calls("<@U1> please", "<@U1>")
    assert not calls("@codex", "")
