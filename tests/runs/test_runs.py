"""Runs as they are asked for, watched, decided and ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from linkspan.accounts.principal import Principal, Tenant
from linkspan.errors import Conflict, Forbidden, InvalidArgument, NotFound, QuotaExceeded
from linkspan.runs.about import approvers_of, recipe_of
from linkspan.runs.ids import approval_id, run_id
from linkspan.runs.shown import shown_approval, shown_event, shown_run
from linkspan.store import approvals, run_events
from linkspan.store import runs as rows
from linkspan.store.approvals import Approval
from linkspan.store.runs import Run
from tests.runs.conftest import ACME, BO, OPERATOR, SHOP, House


async def start(house: House, principal: Principal = BO, **given: Any) -> Run:
    """Ask for a run of `mend` on a ticket."""
    asked = {"source": "api", "entity_id": "HC-103", "key": "k", **given}
    return await house.app.runs.start(principal, asked.pop("recipe", "mend"), **asked)


async def waiting(house: House, **given: Any) -> tuple[Run, str]:
    """Answer a run that asks whether to publish, and the question's id."""
    run = await start(house, **given)
    taken = await rows.take(house.app.database, "acme", run.id, worker="w1", now=house.now[0])
    assert taken is not None
    question = approval_id(run.id, "publish")
    now = house.now[0]
    await approvals.ask(
        house.app.database,
        Approval("acme", question, run.id, "publish", "Publish?", {"files": 1}, now, now + 3600),
        epoch=taken.epoch,
    )
    await rows.change(
        house.app.database, "acme", run.id, taken.epoch, now, state="waiting_approval", worker=None
    )
    return run, question


async def test_a_run_is_what_was_asked(house: House) -> None:
    """With the recipe and the settings of that moment, and the branch that it will have."""
    await house.enable("mend", style="Be brief.", branch="develop")
    run = await start(house)
    assert run.id == run_id("acme", "api", "k", "person:bo")
    assert len(run.id) == 30
    assert (run.state, run.recipe, run.repository, run.base_branch) == (
        "queued",
        "mend",
        "acme/cafe",
        "develop",
    )
    assert (run.entity, run.entity_id, run.branch) == ("ticket", "HC-103", f"codex/{run.id}")
    assert (run.asker_kind, run.asker, run.person) == ("person", "bo", "bo")
    assert run.plan["settings"]["style"] == "Be brief."
    assert recipe_of(run) == house.app.catalog.recipes["mend"]
    told = await house.app.runs.events(BO, run.id)
    assert [(event.seq, event.kind, event.data["state"]) for event in told] == [(1, "state", "queued")]
    assert shown_run(run)["input"]["id"] == "HC-103"
    assert shown_event(told[0])["seq"] == 1


async def test_asking_twice_is_asking_once(house: House) -> None:
    """The same door and key are the same run; for another thing the key is refused."""
    await house.enable("mend")
    run = await start(house)
    assert (await start(house)).id == run.id
    assert (await house.app.runs.get(BO, run.id)).events == 1
    with pytest.raises(Conflict, match=f"used for {run.id}"):
        await start(house, entity_id="HC-104")
    assert (await start(house, source="mcp", entity_id="HC-104")).id != run.id


async def test_one_thing_is_worked_on_once_at_a_time(house: House) -> None:
    """A second click says where the first one is; when that has ended, it may be asked again."""
    await house.enable("mend")
    run = await start(house)
    with pytest.raises(Conflict, match=rf"{run.id} works on ticket HC-103 already: it waits for its turn"):
        await start(house, key="other")
    await house.app.runs.cancel(BO, run.id)
    assert (await start(house, key="other")).state == "queued"


async def test_who_turned_a_recipe_off_is_not_made_up(house: House) -> None:
    """A person's token names nobody else, and a service's a name that can be shown."""
    await house.enable("mend")
    with pytest.raises(Forbidden, match="cannot ask for al"):
        await house.app.recipes.disable(BO, "mend", person="al")
    with pytest.raises(InvalidArgument, match="must be a name"):
        await house.app.recipes.disable(OPERATOR, "mend", person="al\nbo")
    assert (await house.app.recipes.get(ACME, "mend")).enabled


async def test_a_recipe_is_off_until_somebody_turns_it_on(house: House) -> None:
    """For each tenant by itself; turned off again, it starts nothing."""
    with pytest.raises(Forbidden, match="the recipe mend is off for tenant acme"):
        await start(house)
    await house.enable("mend")
    with pytest.raises(Forbidden, match="off for tenant globex"):
        await start(house, Principal(Tenant("globex"), "person", "al"))
    await start(house)
    await house.app.recipes.disable(BO, "mend")
    with pytest.raises(Forbidden, match="off"):
        await start(house, key="other")
    mend = await house.app.recipes.get(ACME, "mend")
    assert (mend.enabled, mend.settings["repository"]) == (False, "acme/cafe")


async def test_what_is_asked_must_fit(house: House) -> None:
    """A recipe that is there, with its thing or without one."""
    await house.enable("mend")
    await house.enable("look")
    with pytest.raises(NotFound, match="no recipe 'mand'") as told:
        await start(house, recipe="mand")
    assert told.value.hint == "There is fix_ticket, talk, mend, patch, retell, careful, look."
    with pytest.raises(InvalidArgument, match="started on a ticket: give its id"):
        await start(house, entity_id=None)
    with pytest.raises(InvalidArgument, match="started on nothing"):
        await start(house, recipe="look")
    with pytest.raises(InvalidArgument, match="the key must have"):
        await start(house, key="k" * 201)
    assert (await start(house, recipe="look", entity_id=None)).entity is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "repository: is required: Repository"),
        ({"repository": "https://evil.example/x.git"}, "is no repository: write OWNER/NAME"),
        ({"repository": "a/b", "branch": "../main"}, "'../main' is no branch's name"),
        ({"repository": "a/b", "stile": "x"}, "stile: mend has no such setting"),
        ({"repository": "a/b", "approvers": [1]}, "approvers: must be names"),
        ({"repository": "a/b", "author": "Acme <Bot> <b@a.example>"}, "is no author: write NAME <ADDRESS>"),
    ],
)
async def test_settings_must_fit(house: House, given: dict[str, Any], told: str) -> None:
    """A repository is an id, never a URL; every fault is named."""
    with pytest.raises(InvalidArgument, match=told):
        await house.app.recipes.enable(BO, "mend", given)


async def test_settings_are_kept_when_others_change(house: House) -> None:
    """Turning it on again adds to what was said."""
    await house.enable("mend", approvers="bo, al")
    await house.app.recipes.enable(BO, "mend", {"style": "Be brief."})
    found = await house.app.recipes.get(ACME, "mend")
    assert found.settings == {
        "repository": "acme/cafe", "branch": None, "style": "Be brief.", "approvers": ["bo", "al"],
        "author": None,
    }  # fmt: skip
    assert found.said is not None
    assert (found.said.changed_by_kind, found.said.changed_by) == ("person", "bo")


async def test_turning_on_needs_a_person(house: House) -> None:
    """A service needs the very scope and names one; a program that signed in as somebody may not."""
    with pytest.raises(Forbidden, match=r"needs a person.*recipe\.enable"):
        await house.enable("mend", SHOP)
    with pytest.raises(Forbidden, match="a program that somebody signed in to"):
        await house.enable("mend", replace(BO, audience="http://127.0.0.1:8640/t/acme/mcp"))
    vouching = replace(SHOP, scopes=("recipe.enable",))
    with pytest.raises(InvalidArgument, match="say which person"):
        await house.enable("mend", vouching)
    await house.app.recipes.enable(vouching, "mend", {"repository": "acme/cafe"}, person="al")
    found = await house.app.recipes.get(ACME, "mend")
    assert found.said is not None
    assert found.said.changed_by == "shop for al"


async def test_a_run_does_nothing_with_runs(house: House) -> None:
    """Codex's own token starts, reads, steers, decides and ends nothing, whatever its scopes."""
    await house.enable("mend")
    run, question = await waiting(house)
    codex = Principal(ACME, "run", run.id, ("read", "write", "run.*"))
    runs = house.app.runs
    for attempt in (
        runs.start(codex, "mend", source="mcp", entity_id="HC-104"),
        runs.get(codex, run.id),
        runs.list(codex),
        runs.steer(codex, run.id, "Go on."),
        runs.decide(codex, run.id, question, "approve"),
        runs.cancel(codex, run.id),
        runs.retry(codex, run.id),
        runs.fork(codex, run.id, "Go on."),
        house.app.recipes.enable(codex, "mend", {}),
    ):
        with pytest.raises(Forbidden, match="a run may not do this"):
            await attempt


async def test_scopes_are_asked_for(house: House) -> None:
    """Starting is a write of its own name."""
    await house.enable("mend")
    with pytest.raises(Forbidden, match=r"it lacks the scope run\.start"):
        await start(house, replace(BO, scopes=("read", "ticket.*")))
    assert (await start(house, replace(BO, scopes=("run.start",)))).state == "queued"


async def test_a_service_asks_for_a_person(house: House) -> None:
    """It is kept who it was; a person asks for nobody else."""
    await house.enable("mend")
    run = await start(house, SHOP, person="al")
    assert (run.asker_kind, run.asker, run.person) == ("service", "shop", "al")
    with pytest.raises(Forbidden, match="bo's and cannot ask for al"):
        await start(house, person="al", key="other")


async def test_another_tenants_runs_are_not_there(house: House) -> None:
    """Neither to read nor to end."""
    await house.enable("mend")
    run = await start(house)
    other = Principal(Tenant("globex"), "person", "al")
    for attempt in (house.app.runs.get(other, run.id), house.app.runs.cancel(other, run.id)):
        with pytest.raises(NotFound):
            await attempt
    assert await house.app.runs.list(other) == []


async def test_a_person_decides(house: House) -> None:
    """The first word counts; the same again is no fault, another one is."""
    await house.enable("mend")
    run, question = await waiting(house)
    with pytest.raises(Forbidden, match=r"needs a person"):
        await house.app.runs.decide(SHOP, run.id, question, "approve")
    with pytest.raises(InvalidArgument, match="broken character"):
        await house.app.runs.decide(BO, run.id, question, "approve", note="Good. \ud800")
    decided = await house.app.runs.decide(BO, run.id, question, "approve", note="Good.")
    assert shown_approval(decided)["decided"]["by"] == {"kind": "person", "subject": "bo", "person": "bo"}
    assert await house.app.runs.decide(BO, run.id, question, "approve") == decided
    with pytest.raises(Conflict, match="bo has approved it already"):
        await house.app.runs.decide(OPERATOR, run.id, question, "decline")
    last = (await house.app.runs.events(BO, run.id))[-1]
    assert (last.kind, last.data["decision"], last.data["by"]) == ("decided", "approve", "person:bo")
    assert await approvals.settle(house.app.database, house.now[0]) == [("acme", run.id)]


async def test_a_service_passes_a_persons_word_on(house: House) -> None:
    """With the very scope, and the person's name."""
    await house.enable("mend")
    run, question = await waiting(house)
    vouching = replace(SHOP, scopes=("run.get", "run.approve"))
    with pytest.raises(InvalidArgument, match="say which person"):
        await house.app.runs.decide(vouching, run.id, question, "approve")
    decided = await house.app.runs.decide(vouching, run.id, question, "approve", person="al")
    assert (decided.decided_by_kind, decided.decided_by, decided.person) == ("service", "shop", "al")


async def test_approvers_are_those_who_were_named(house: House) -> None:
    """Others may not, and the operator always may."""
    await house.enable("mend", approvers=["al"])
    run, question = await waiting(house)
    assert approvers_of(run) == ("al",)
    with pytest.raises(Forbidden, match="this is for al to decide"):
        await house.app.runs.decide(BO, run.id, question, "approve")
    assert (await house.app.runs.decide(OPERATOR, run.id, question, "decline")).decision == "decline"


async def test_a_question_belongs_to_its_run(house: House) -> None:
    """Under another run's name it is not there, and is not decided."""
    await house.enable("mend")
    run, question = await waiting(house)
    other = await start(house, key="other", entity_id="HC-104")
    with pytest.raises(NotFound, match="has no question"):
        await house.app.runs.decide(BO, other.id, question, "approve")
    assert (await house.app.runs.open_approval(BO, run.id)).decision is None
    with pytest.raises(NotFound, match="waits for nobody"):
        await house.app.runs.open_approval(BO, other.id)


async def test_it_is_too_late_after_the_deadline(house: House) -> None:
    """Nobody decides any more."""
    await house.enable("mend")
    run, question = await waiting(house)
    house.now[0] += 3600
    with pytest.raises(Conflict, match="too late"):
        await house.app.runs.decide(BO, run.id, question, "approve")


async def test_cancelling(house: House) -> None:
    """What was not begun ends at once; what goes on is told, once; what has ended stays."""
    await house.enable("mend")
    run = await start(house)
    ended = await house.app.runs.cancel(BO, run.id)
    assert (ended.state, ended.stopped_by) == ("cancelled", "person:bo")
    assert (await house.app.runs.cancel(BO, run.id)).state == "cancelled"
    kinds = [event.kind for event in await house.app.runs.events(BO, run.id)]
    assert kinds == ["state", "cancel_requested", "state"]
    run, _ = await waiting(house, key="other")
    told = await house.app.runs.cancel(SHOP, run.id, person="al")
    assert (told.state, told.stop, told.stopped_by) == ("waiting_approval", "cancel", "service:shop for al")


async def test_steering_needs_somebody_who_hears(house: House) -> None:
    """Words are left for a run that goes on; an empty word is none."""
    await house.enable("mend")
    run = await start(house)
    await house.app.runs.steer(BO, run.id, "  Look at the till. ")
    (word,) = await run_events.hear(house.app.database, "acme", run.id, epoch=0, now=house.now[0])
    assert (word.kind, word.words, word.who) == ("steer", "Look at the till.", "person:bo")
    for wrong in (" ", "x \ud800"):  # half of a surrogate pair is no text
        with pytest.raises(InvalidArgument):
            await house.app.runs.steer(BO, run.id, wrong)
    with pytest.raises(Conflict, match="waits for its turn: Codex is not at work"):
        await house.app.runs.interrupt(BO, run.id)
    await house.app.runs.cancel(BO, run.id)
    with pytest.raises(Conflict, match="was cancelled"):
        await house.app.runs.steer(BO, run.id, "Go on.")


async def test_retrying_and_forking(house: House) -> None:
    """A new run that says what it comes from; never while the first one goes on."""
    await house.enable("mend")
    run = await start(house)
    with pytest.raises(Conflict, match="waits for its turn, so there is nothing to retry"):
        await house.app.runs.retry(BO, run.id)
    await house.app.runs.cancel(BO, run.id)
    again = await house.app.runs.retry(BO, run.id, key="a")
    assert (again.parent, again.parent_how, again.entity_id, again.state) == (
        run.id,
        "retry",
        "HC-103",
        "queued",
    )
    assert (await house.app.runs.retry(BO, run.id, key="a")).id == again.id
    with pytest.raises(Conflict, match="has no conversation"):
        await house.app.runs.fork(BO, run.id, "Now the tests.")
    taken = await rows.take(house.app.database, "acme", again.id, worker="w1", now=1.0)
    assert taken is not None
    await rows.change(
        house.app.database, "acme", again.id, taken.epoch, 2.0, state="succeeded", finished=2.0, thread_id="t"
    )
    with pytest.raises(Conflict, match="has succeeded"):
        await house.app.runs.retry(BO, again.id)
    forked = await house.app.runs.fork(BO, again.id, "Now the tests.")
    assert (forked.parent_how, forked.thread_id, forked.plan["words"]) == ("fork", "t", "Now the tests.")


async def test_a_tenants_budget_is_kept(house: House) -> None:
    """Whoever has used it up starts nothing, until it is long enough ago."""
    await house.enable("mend")
    run = await start(house)
    tokens = {"input_tokens": 190_000, "output_tokens": 10_000, "total_tokens": 200_000}
    await house.app.run_tokens.spent(ACME, run.id, "other", tokens)
    with pytest.raises(
        QuotaExceeded, match=r"tenant acme has used up its budget for runs of the last 30 days"
    ):
        await start(house, key="other", entity_id="HC-104")
    (usage,) = await house.app.runs.usage(BO, 0.0)
    assert (usage.runs, usage.total_tokens, usage.cost) == (1, 200_000, None)
    house.now[0] += 31 * 86_400
    assert (await start(house, key="other", entity_id="HC-104")).state == "queued"


async def test_following_runs(house: House) -> None:
    """`updated_after` answers what changed since, in order."""
    await house.enable("mend")
    first = await start(house)
    house.now[0] += 1
    second = await start(house, key="other", entity_id="HC-104")
    assert [run.id for run in await house.app.runs.list(BO)] == [second.id, first.id]
    since = await house.app.runs.list(BO, updated_after=first.updated)
    assert [run.id for run in since] == [second.id]
    assert [run.id for run in await house.app.runs.list(BO, states=["cancelled"])] == []
    with pytest.raises(InvalidArgument, match="no states of a run: canceled"):
        await house.app.runs.list(BO, states=["canceled"])
