"""Runs that are worked, by the journal, from what is asked to each of their ends."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from linkspan.accounts.principal import Tenant
from linkspan.codex.engine import Failure, Host, Outcome, Task
from linkspan.codex.places import Change, Checkout
from linkspan.errors import (
    Conflict,
    Forbidden,
    InvalidArgument,
    NotFound,
    QuotaExceeded,
    Unauthenticated,
    UpstreamError,
)
from linkspan.runs.history import History
from linkspan.runs.lease import LostError
from linkspan.runs.verdicts import End
from linkspan.runs.work import Work
from linkspan.runs.worker import Worker
from linkspan.store import runs as rows
from linkspan.store import workers
from linkspan.store.database import StoreFault
from linkspan.store.runs import Run
from tests.fakes.engine import SUMMARY, ScriptedEngine, ask, fail, hang, listen
from tests.fakes.places import RULES, FakeForge, FakePlaces
from tests.runs.conftest import ACME, BO, OPERATOR, House
from tests.runs.working import BASE, Works, parts_of, working

pytestmark = pytest.mark.slow


@pytest.fixture
async def works(house: House) -> AsyncIterator[Works]:
    """A worker at work, with every recipe turned on."""
    for recipe in ("mend", "patch", "careful", "look"):
        await house.enable(recipe)
    made = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    async with working(house.app, parts_of(house.app, made)):
        yield made


def comments(house: House, number: int = 103) -> list[str]:
    """Answer what runs have said of a ticket, as the desk has it."""
    found = house.desk.store.query(
        "SELECT body_markdown FROM comments WHERE org = 'acme' AND kind = 'ticket' AND parent = ?"
        " AND author = 'codex' AND body_markdown LIKE '%Codex run run%' ORDER BY id",
        [f"HC-{number}"],
    )
    return [row["body_markdown"] for row in found]


def ticket(house: House, number: int = 103) -> Any:
    """Answer a ticket as the desk has it."""
    return house.desk.store.one("SELECT * FROM tickets WHERE org = 'acme' AND key = ?", [f"HC-{number}"])


async def decide(works: Works, run: str, decision: Any, **given: Any) -> None:
    """Answer the one question of a run."""
    approval = await works.house.app.runs.open_approval(BO, run)
    await works.house.app.runs.decide(BO, run, approval.id, decision, **given)


async def test_from_a_ticket_to_a_pull_request(works: Works) -> None:
    """Read, worked, approved by a person, published, and written back, with all of it kept."""
    run = await works.start()
    waiting = await works.until(run.id, "waiting_approval")
    assert waiting.worker is None
    assert works.places.pushed == []
    await decide(works, run.id, "approve")
    done = await works.until(run.id)
    assert (done.state, done.error_message) == ("succeeded", None)
    assert done.summary == SUMMARY
    assert (done.repository, done.base_commit, done.branch) == ("acme/cafe", "c0ffee", f"codex/{run.id}")
    assert (done.thread_id, done.turns, done.items) == (f"thread-{run.id}", 1, 2)
    assert done.pull_request == {
        "number": 7, "url": "https://forge.example/acme/cafe/pull/7", "state": "open"
    }  # fmt: skip
    assert await works.states(run.id) == [
        "queued", "preparing", "running", "waiting_approval", "publishing", "succeeded"
    ]  # fmt: skip
    assert works.places.pushed == [f"codex/{run.id}"]
    assert works.places.discarded == [run.id]
    texts = comments(works.house)
    assert texts[0].startswith(f"Codex has started: {BASE}/t/acme/runs/{run.id}")
    assert texts[1].startswith("The till adds up again. everyone\n\nhttps://forge.example/acme/cafe/pull/7")
    assert all(f"Codex run {run.id}" in text and text.endswith("asked for by bo.") for text in texts)
    assert ticket(works.house)["state"] == "review"
    published = works.forge.opened[run.id]
    assert published.title.endswith("(HC-103)")
    assert published.draft
    assert (published.owner, published.person) == (None, "bo")
    author, message = works.places.commits[run.id]
    assert author.name == "Codex"
    assert message.endswith(f"\n\nLinkspan-Run: {run.id}\nTicket: HC-103\nRequested-by: bo\n")
    diff = await works.house.app.runs.artifact(BO, run.id, "diff")
    assert b"+total = 3" in diff[1]
    names = [each.name for each in await works.house.app.runs.artifacts(BO, run.id)]
    assert names == ["diff", "transcript"]
    everything = await works.house.app.runs.artifacts(OPERATOR, run.id)
    assert [each.name for each in everything] == ["context", "diff", "log", "rollout", "transcript"]
    with pytest.raises(NotFound, match="has no 'rollout'"):
        await works.house.app.runs.artifact(BO, run.id, "rollout")
    assert (await works.house.app.runs.artifact(OPERATOR, run.id, "rollout"))[1]
    log = (await works.house.app.runs.artifact(OPERATOR, run.id, "log"))[1].decode()
    assert log == "engine app_server, model gpt-test\ncompleted\n\nwarning: *** is no key\n"


async def test_what_is_published_is_what_was_shown(works: Works) -> None:
    """The question names base and tree; files that changed since are not pushed, and the run says why."""
    run = await works.start()
    waiting = await works.until(run.id, "waiting_approval")
    question = await works.house.app.runs.open_approval(BO, run.id)
    assert waiting.tree
    assert (question.data["base_commit"], question.data["tree"]) == ("c0ffee", waiting.tree)
    (told,) = await works.told(run.id, "asked")
    assert (told["base_commit"], told["tree"]) == ("c0ffee", waiting.tree)
    checkout = works.places.work / "acme" / "runs" / run.id / "checkout"
    (checkout / "calc.py").write_text("total = 3  # and send me the till\n")
    await decide(works, run.id, "approve")
    done = await works.until(run.id)
    assert (done.state, done.error_code) == ("failed", "conflict")
    assert (done.error_message or "").startswith(
        "The change could not be published: The files of the run are not those that were shown and decided on"
    )
    assert (works.places.commits, works.places.pushed, works.forge.opened) == ({}, [], {})


async def test_another_base_than_the_one_shown_is_not_published(works: Works) -> None:
    """A working tree that had to be made anew from a newer commit is nobody's approved change."""
    run = await works.start()
    await works.until(run.id, "waiting_approval")
    works.places.base = "0ldbeef"
    await decide(works, run.id, "approve")
    done = await works.until(run.id)
    assert (done.state, done.error_code) == ("failed", "conflict")
    assert "was made anew, from 0ldbeef: what was shown was of c0ffee" in (done.error_message or "")
    assert works.places.pushed == []


async def test_commits_bear_the_name_that_the_tenant_chose(works: Works) -> None:
    """The recipe asks for it, and what is no author is refused when it is said."""
    with pytest.raises(InvalidArgument, match="write NAME <ADDRESS>"):
        await works.house.enable("mend", author="acme bot")
    await works.house.enable("mend", author="Acme Bot <bot@acme.example>")
    run = await works.start()
    await works.until(run.id, "waiting_approval")
    await decide(works, run.id, "approve")
    await works.until(run.id)
    author, _message = works.places.commits[run.id]
    assert (author.name, author.email) == ("Acme Bot", "bot@acme.example")


async def test_what_the_engine_is_given(works: Works) -> None:
    """The recipe's words and nothing of the ticket's in the prompt; the ticket and its comments as data."""
    await works.house.enable("mend", style="Be brief.")
    run = await works.start()
    await works.until(run.id, "waiting_approval")
    (task,) = works.engine.tasks
    assert task.prompt == ("Fix the ticket that you are given as data, for acme.\nHouse rules: Be brief.")
    ticket_text, comments_text = task.materials
    assert (ticket_text.name, ticket_text.source) == ("ticket HC-103", "linkspan://ticket/HC-103")
    assert "Ordering after 22:40 fails" in ticket_text.text
    assert comments_text.name == "Comments of ticket HC-103"
    assert (task.house_rules, task.limits.seconds, task.limits.tokens) == (RULES, 600.0, 50_000)
    assert (task.model.url, task.tools and task.tools.url) == (f"{BASE}/codex/v1", f"{BASE}/t/acme/mcp")
    assert task.workspace is not None
    assert task.folder == works.house.app.settings.home / "work/acme/runs" / run.id
    assert not task.approve_commands
    assert (task.model_name, task.effort, task.network) == (None, None, ())
    patch = await works.until((await works.start("patch", key="2")).id)
    assert patch.state == "succeeded", patch.error_message
    told = works.engine.tasks[1]
    assert (told.model_name, told.effort) == ("gpt-test", "high")


async def test_a_person_declines(works: Works) -> None:
    """Nothing is published, and the ticket is told who and why."""
    run = await works.start()
    await works.until(run.id, "waiting_approval")
    await decide(works, run.id, "decline", note="Too risky before the weekend.")
    done = await works.until(run.id)
    told = "bo declined to publish it. Too risky before the weekend."
    assert (done.state, done.error_code, done.error_message) == ("cancelled", "declined", told)
    assert works.places.pushed == []
    assert comments(works.house)[-1].startswith(f"Codex could not finish. {told}")


async def test_a_tenants_minutes_are_kept(works: Works) -> None:
    """What Codex worked counts for all of a tenant's runs: it gets what is left, and then no run starts."""
    app = works.house.app
    app.runs.starting._policy = lambda: replace(app.catalog.runs, tenant_seconds=720.0)

    async def work(task: Task, host: Host) -> Outcome | None:
        works.house.now[0] += 500.0
        return Outcome("failed", None, failure=Failure("upstream_timeout", "Time is over."))

    works.engine.acts = [work]
    first = await works.until((await works.start()).id)
    second = await works.until((await works.start(key="2", entity_id="HC-104")).id)
    assert [task.limits.seconds for task in works.engine.tasks] == [600.0, 220.0]
    assert (first.state, first.error_message) == ("timed_out", "Codex did not finish within 10 minutes.")
    spent = "Tenant acme has used up its minutes: `runs.budget` in tools.yaml bounds them."
    assert (second.state, second.error_code, second.error_message) == ("failed", "quota_exceeded", spent)
    with pytest.raises(QuotaExceeded, match="tenant acme has used up its budget for runs of the last 30"):
        await works.start(key="3", entity_id="HC-105")
    works.house.now[0] += 31 * 86_400
    assert (await works.start(key="3", entity_id="HC-105")).state == "queued"


async def test_a_run_that_waited_finds_no_minutes_left(works: Works) -> None:
    """Taken from the queue when others have used them up, it ends with that sentence, and asks no model."""
    app = works.house.app
    run = await works.start()
    await works.until(run.id, "waiting_approval")
    app.runs.starting._policy = lambda: replace(app.catalog.runs, tenant_seconds=720.0)
    works.engine.acts = [hang()]
    waiting = [await works.start(key=str(n), entity_id=f"HC-{n}") for n in (104, 105, 106)]
    while len(at_work := await app.runs.list(BO, states=["running"])) < 2:
        await app.runs.bell.wait(0.05)
    (third,) = {each.id for each in waiting} - {each.id for each in at_work}
    works.house.now[0] += 800.0
    await app.runs.cancel(BO, at_work[0].id)
    done = await works.until(third)
    assert (done.state, done.error_code) == ("failed", "quota_exceeded")
    assert len(works.engine.tasks) == 3


async def test_nobody_decides(works: Works) -> None:
    """By the deadline it is declined."""
    run = await works.start()
    await works.until(run.id, "waiting_approval")
    works.house.now[0] += 3600
    done = await works.until(run.id)
    assert (done.state, done.error_code) == ("timed_out", "declined")
    assert done.error_message == "Nobody decided within 1 hours whether to publish it, so it was declined."


@pytest.mark.parametrize("state", ["queued", "running", "waiting_approval"])
async def test_cancelling(works: Works, state: str) -> None:
    """In each state it ends, says who did it, and leaves nothing behind."""
    if state == "running":
        works.engine.acts = [hang()]
    if state == "queued":
        works.engine.acts = [hang()]
        for number in (104, 105):
            await works.start(entity_id=f"HC-{number}", key=str(number))
        for _ in range(2):
            await works.house.app.runs.bell.wait(0.3)
    run = await works.start()
    await works.until(run.id, state)
    await works.house.app.runs.cancel(BO, run.id)
    done = await works.until(run.id)
    assert (done.state, done.error_code) == ("cancelled", "cancelled")
    assert done.error_message == "bo cancelled it."
    assert works.places.pushed == []
    if state == "running":
        assert works.engine.stopped == 1
        assert comments(works.house)[-1].startswith("Codex could not finish. bo cancelled it.")


async def test_commands_are_asked_for(works: Works) -> None:
    """The question says what; approved or declined, the work goes on; the turn's end ends the run."""
    works.engine.acts = [ask()]
    for decision, ended in (("approve", "failed"), ("decline", "failed"), ("cancel", "cancelled")):
        run = await works.start("careful", key=decision)
        await works.until(run.id, "waiting_approval")
        approval = await works.house.app.runs.open_approval(BO, run.id)
        assert (approval.kind, approval.data["command"]) == ("command", "rm -r build")
        await decide(works, run.id, decision)
        done = await works.until(run.id)
        assert done.state == ended
        if decision != "cancel":
            assert done.error_code == "nothing_to_publish"
            items = [data["item"] for data in await works.told(run.id, "item_completed")]
            assert {"type": "commandExecution", "status": decision} in items
            states = await works.states(run.id)
            assert states[1:5] == ["preparing", "running", "waiting_approval", "running"]
        else:
            assert done.error_message == "bo cancelled it."


async def test_a_question_that_nobody_answers_is_declined(works: Works) -> None:
    """After its deadline."""
    works.engine.acts = [ask()]
    run = await works.start("careful")
    await works.until(run.id, "waiting_approval")
    works.house.now[0] += 3600
    await works.until(run.id)
    (approval,) = await works.house.app.runs.approvals(BO, run.id)
    assert (approval.decision, approval.decided_by) == ("decline", "nobody")


async def test_steering_and_interrupting(works: Works) -> None:
    """Words reach the engine; an interrupt keeps what was done."""
    works.engine.acts = [listen(), listen()]
    run = await works.start("patch")
    await works.until(run.id, "running")
    await works.house.app.runs.steer(BO, run.id, "Look at the till.")
    while not await works.told(run.id, "item_completed"):
        await works.house.app.runs.bell.wait(0.05)
    (item,) = await works.told(run.id, "item_completed")
    assert item["item"]["text"] == "Look at the till."
    await works.house.app.runs.interrupt(BO, run.id)
    done = await works.until(run.id)
    assert (done.summary, done.error_code) == ("So far, so good.", "nothing_to_publish")


async def test_a_patch_is_kept(works: Works) -> None:
    """Nothing leaves, and no person is asked."""
    run = await works.start("patch")
    done = await works.until(run.id)
    assert done.state == "succeeded"
    assert b"+total = 3" in (await works.house.app.runs.artifact(BO, run.id, "patch"))[1]
    assert works.places.pushed == []
    with pytest.raises(NotFound, match="has no 'output'") as told:
        await works.house.app.runs.artifact(BO, run.id, "output")
    assert told.value.hint == "It has: diff, patch, transcript."


async def test_half_a_patch_is_none(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """A diff that was cut is shown, and not handed out as the change."""
    whole = works.places.change

    async def cut(checkout: Checkout) -> Change:
        return replace(await whole(checkout), truncated=True)

    monkeypatch.setattr(works.places, "change", cut)
    run = await works.start("patch")
    done = await works.until(run.id)
    assert (done.state, done.error_code) == ("failed", "too_large")
    names = [each.name for each in await works.house.app.runs.artifacts(BO, run.id)]
    assert names == ["diff", "transcript"]


async def test_what_is_left_out_of_a_change_is_told(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among the events of the run, before anybody decides on the rest."""
    whole = works.places.change

    async def some(checkout: Checkout) -> Change:
        return replace(await whole(checkout), left_out=["The LFS file logo.png was changed."])

    monkeypatch.setattr(works.places, "change", some)
    run = await works.start("patch")
    assert (await works.until(run.id)).state == "succeeded"
    assert await works.told(run.id, "warning") == [{"message": "The LFS file logo.png was changed."}]


async def test_a_run_of_nothing(works: Works) -> None:
    """Without a thing and a repository it still has its answer."""
    run = await works.start("look")
    done = await works.until(run.id)
    assert (done.state, done.repository) == ("succeeded", None)
    assert works.engine.tasks[0].workspace is None
    assert works.engine.tasks[0].output_schema is not None


@pytest.mark.parametrize(
    ("code", "message", "state"),
    [
        ("quota_exceeded", "The budget of this run is spent.", "failed"),
        ("needs_reauth", "The model refused the key.", "failed"),
        ("rate_limited", "The model answered 429 again and again.", "failed"),
        ("upstream_timeout", "Time is over.", "timed_out"),
    ],
)
async def test_the_engine_fails(works: Works, code: str, message: str, state: str) -> None:
    """The run says why, in a sentence, and so does the ticket."""
    works.engine.acts = [fail(code, message)]
    run = await works.start()
    done = await works.until(run.id)
    told = message if state == "failed" else "Codex did not finish within 10 minutes."
    assert (done.state, done.error_message) == (state, told)
    assert comments(works.house)[-1].startswith(f"Codex could not finish. {told}")


@pytest.mark.parametrize(
    ("where", "what", "error", "told"),
    [
        ("forge", "locate", NotFound("there is no repository acme/cafe"),
         "The repository acme/cafe could not be prepared: there is no repository acme/cafe."),
        ("places", "prepare", NotFound("acme/cafe has no branch develop"),
         "The repository acme/cafe could not be prepared: acme/cafe has no branch develop."),
        ("places", "change", UpstreamError("git failed"),
         "What Codex changed could not be read: git failed."),
        ("places", "push", Forbidden("the push was refused"),
         "The change could not be published: the push was refused."),
        ("places", "push", Conflict("somebody else's commits are on codex/x"),
         "The change could not be published: somebody else's commits are on codex/x."),
        ("forge", "open", UpstreamError("the forge answered 502"),
         "The change could not be published: the forge answered 502."),
    ],
)  # fmt: skip
async def test_git_or_the_forge_fail(
    works: Works, where: str, what: str, error: Exception, told: str
) -> None:
    """The run ends with a sentence that says what was being done."""
    getattr(works, where).faults[what] = error
    run = await works.start()
    if what in ("push", "open"):
        await works.until(run.id, "waiting_approval")
        await decide(works, run.id, "approve")
    done = await works.until(run.id)
    assert (done.state, done.error_message) == ("failed", told)
    assert comments(works.house)[-1].startswith(f"Codex could not finish. {told}")


async def test_a_ticket_that_is_not_there(works: Works) -> None:
    """It ends before anything else is done."""
    run = await works.start(entity_id="HC-999")
    done = await works.until(run.id)
    assert done.state == "failed"
    assert (done.error_message or "").startswith("The ticket could not be read:")
    assert works.engine.tasks == []


async def test_a_product_that_is_down_for_a_while(works: Works) -> None:
    """It is waited for, and a comment that was made although it failed is not made again."""
    switches = works.house.desk.switches
    switches.set("500", {"method": "GET", "times": 3})
    switches.set("500", {"method": "POST", "times": 1, "late": True})
    switches.set("429", {"method": "PATCH", "times": 1, "retry_after": "1"})
    run = await works.start("mend")
    await works.until(run.id, "waiting_approval")
    assert len(comments(works.house)) == 1
    assert ticket(works.house)["state"] == "wip"


async def test_a_product_that_cannot_be_told_ends_nothing(works: Works) -> None:
    """It is noted, and the run goes on."""
    works.house.desk.switches.set("500", {"method": "POST", "times": 50})
    run = await works.start("mend")
    await works.until(run.id, "waiting_approval")
    (warning,) = await works.told(run.id, "warning")
    assert warning["message"].startswith("ticket was not told:")


async def test_a_fork_goes_on_with_the_conversation(works: Works) -> None:
    """With its rollout, and with the words of the person for a prompt."""
    run = await works.start("patch")
    await works.until(run.id)
    forked = await works.house.app.runs.fork(BO, run.id, "Now the tests.")
    await works.until(forked.id)
    task = works.engine.tasks[-1]
    assert task.prompt == "Now the tests."
    assert task.thread is not None
    assert (task.thread.id, task.thread.rollout) == (f"thread-{run.id}", b'{"rollout": 1}\n')


async def test_a_tenant_has_so_many_at_once(works: Works) -> None:
    """Two of one tenant are worked; the third waits for its turn, and gets it."""
    works.engine.acts = [hang()]
    made = [await works.start(entity_id=f"HC-{n}", key=str(n)) for n in (103, 104, 105)]
    while len(running := [each.id for each in await works.house.app.runs.list(BO, states=["running"])]) < 2:
        await works.house.app.runs.bell.wait(0.05)
    (third,) = {run.id for run in made} - set(running)
    assert (await works.house.app.runs.find(ACME, third)).state == "queued"
    await works.house.app.runs.cancel(BO, running[0])
    await works.until(third, "running")


class Crowd:
    """Runs whose engine counts how many are at work at once; it holds them until there are `full`."""

    def __init__(self, house: House, full: int) -> None:
        self._house = house
        self._at_work: set[str] = set()
        self._full = asyncio.Event()
        self._enough = full
        self.most = 0

    async def work(self, task: Task, host: Host) -> None:
        """Be one of them."""
        self._at_work.add(task.run)
        self.most = max(self.most, len(self._at_work))
        if self.most >= self._enough:
            self._full.set()
        await self._full.wait()
        await asyncio.sleep(0.3)  # time enough for one too many
        self._at_work.discard(task.run)

    async def start(self, count: int) -> list[Run]:
        """Ask for so many of each of two tenants."""
        made = []
        for who in (BO, replace(BO, tenant=Tenant("globex"))):
            await self._house.enable("look", who)
            for number in range(count):
                run = await self._house.app.runs.start(who, "look", source="api", key=str(number))
                made.append(run)
        return made

    async def until_ended(self, runs: list[Run]) -> None:
        """Wait for the end of all."""
        for run in runs:
            while not (await self._house.app.runs.find(Tenant(run.tenant), run.id)).is_finished:
                await self._house.app.runs.bell.wait(0.05)


async def test_a_process_works_so_many_at_once(house: House) -> None:
    """Of all tenants together."""
    crowd = Crowd(house, full=2)
    started = await crowd.start(3)
    engine = ScriptedEngine([crowd.work])
    made = Works(house, engine, FakePlaces(house.app.settings.home / "work"), FakeForge())
    policy = replace(house.app.catalog.runs, at_once=2, per_tenant=3)
    async with asyncio.timeout(60), working(house.app, parts_of(house.app, made), policy=policy):
        await crowd.until_ended(started)
    assert (crowd.most, len(engine.tasks)) == (2, 6)


async def test_all_processes_work_so_many_at_once(house: House) -> None:
    """What another one works counts, whichever tenant it is of."""
    await house.enable("mend")
    made = Works(house, ScriptedEngine([hang()]), FakePlaces(house.app.settings.home / "work"), FakeForge())
    policy = replace(house.app.catalog.runs, at_once=5, everywhere=3, per_tenant=5)
    async with working(house.app, parts_of(house.app, made), name="wrk_other", policy=policy):
        other = await made.start()
        await made.until(other.id, "running")
    await workers.beat(house.app.database, "wrk_other", version="1", now=house.now[0] + 1)  # lives on
    crowd = Crowd(house, full=2)
    started = await crowd.start(2)
    made.engine.acts = [crowd.work]
    async with asyncio.timeout(60), working(house.app, parts_of(house.app, made), policy=policy):
        await crowd.until_ended(started)
    assert crowd.most == 2
    assert (await house.app.runs.find(ACME, other.id)).state == "running"


async def test_tokens_end_with_the_run(works: Works) -> None:
    """What the engine was given opens nothing any more."""
    run = await works.start("patch")
    await works.until(run.id)
    (task,) = works.engine.tasks
    with pytest.raises(Unauthenticated):
        await works.house.app.run_tokens.grant(task.model.token.reveal())


async def test_a_worker_that_ends_lets_go(house: House) -> None:
    """Stopped in the middle, its process ends the engine; the next worker goes on where it was."""
    await house.enable("patch")
    made = Works(house, ScriptedEngine([hang()]), FakePlaces(house.app.settings.home / "work"), FakeForge())
    async with working(house.app, parts_of(house.app, made)):
        run = await made.start("patch")
        while not await made.told(run.id, "turn_started"):
            await house.app.runs.bell.wait(0.05)
    assert made.engine.stopped == 1
    assert await workers.living(house.app.database, seen_after=0.0) == set()
    made.engine.acts = []
    async with working(house.app, parts_of(house.app, made)):
        done = await made.until(run.id)
    assert done.state == "succeeded"
    assert [task.thread and task.thread.id for task in made.engine.tasks] == [None, f"thread-{run.id}"]
    assert len(await made.told(run.id, "thread_started")) == 1


async def test_who_lost_a_run_writes_nothing(house: House) -> None:
    """A worker that was taken for dead goes on in its mind: its run is not touched by it any more."""
    await house.enable("patch")
    made = Works(house, ScriptedEngine([hang()]), FakePlaces(house.app.settings.home / "work"), FakeForge())
    async with working(house.app, parts_of(house.app, made)):
        run = await made.start("patch")
        await made.until(run.id, "running")
        taken = await rows.take(house.app.database, "acme", run.id, worker="other", now=1.0)
        assert taken is not None
        while not made.engine.stopped:
            await house.app.runs.bell.wait(0.05)
        after = await house.app.runs.find(ACME, run.id)
        assert (after.state, after.worker, after.epoch) == ("running", "other", taken.epoch)


async def test_who_lost_a_run_does_not_close_it(house: House) -> None:
    """Its tokens and its question are those of who has it now."""
    await house.enable("patch")
    made = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    run = await made.start("patch")
    slow = Work(parts_of(house.app, made), "w1")
    lease = await slow.take("acme", run.id)
    assert lease is not None
    taken = await rows.take(house.app.database, "acme", run.id, worker="w2", now=house.now[0])
    assert taken is not None
    await rows.change(house.app.database, "acme", run.id, taken.epoch, house.now[0], state="running")
    pair = await house.app.run_tokens.issue(taken, expires=house.now[0] + 60)
    with pytest.raises(LostError):
        await slow.close(lease, End("failed", "internal", "Something went wrong."))
    await house.app.run_tokens.grant(pair.model.reveal())


@pytest.mark.parametrize(
    ("where", "what"), [("places", "commit"), ("places", "push"), ("forge", "open_pull_request")]
)
async def test_who_lost_a_run_publishes_nothing_more(
    house: House, where: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken for dead in the middle of publishing it does what it was doing, and nothing after that."""
    await house.enable("mend")
    made = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    run = await made.start()
    slow = Work(parts_of(house.app, made), "w1")
    lease = await slow.take("acme", run.id)
    assert lease is not None
    for step in (slow.gather, slow.begin, slow.prepare, slow.codex, slow.collect, slow.ask):
        await step(lease)
    await decide(made, run.id, "approve")
    lease = await slow.take("acme", run.id)
    assert lease is not None
    does = getattr(getattr(made, where), what)

    async def lose(*given: Any, **words: Any) -> Any:
        done = await does(*given, **words)
        await rows.take(house.app.database, "acme", run.id, worker="w2", now=house.now[0])
        return done

    monkeypatch.setattr(getattr(made, where), what, lose)
    with pytest.raises(LostError):
        await slow.publish(lease)
    with pytest.raises(LostError):
        await slow.finish(lease)
    with pytest.raises(LostError):
        await slow.close(lease, End("succeeded"))
    assert made.places.pushed == ([f"codex/{run.id}"] if what != "commit" else [])
    assert list(made.forge.opened) == ([run.id] if where == "forge" else [])
    assert len(comments(house)) == 1, "that it was started"
    after = await house.app.runs.find(ACME, run.id)
    assert (after.state, after.worker, after.pull_request, after.finished) == ("publishing", "w2", None, None)
    assert made.places.discarded == []


async def test_a_sentence_is_filtered_before_the_ticket_has_it(works: Works) -> None:
    """It may quote a product, a file's name or a model."""
    works.engine.acts = [fail("upstream_error", "Codex failed: @everyone look here")]
    run = await works.start()
    await works.until(run.id)
    assert "Codex failed: everyone look here" in comments(works.house)[-1]


async def test_what_is_filled_into_fields_has_no_secret_and_an_end(works: Works) -> None:
    """Whoever wrote it: a key that stands in a ticket is not said again, and no text is without bounds."""
    await works.house.enable("retell")
    long = f"The key is ghp_{'a' * 36}. " + "And so on. " * 5_000
    works.house.desk.store.execute(
        "UPDATE tickets SET subject = 'hush-hush', body_markdown = ? WHERE org = 'acme' AND key = 'HC-103'",
        [long],
    )
    run = await works.start("retell")
    await works.until(run.id)
    assert await works.told(run.id, "warning") == [
        {"message": "There are no submodules here."},
        {"message": "There are no lfs here."},
    ]
    told = ticket(works.house)
    assert told["subject"] == "Codex: ***"
    for text in (told["body_markdown"], comments(works.house)[-1]):
        assert text.startswith("The key is [secret removed]. And so on.")
        assert len(text) < 16_200


async def test_a_run_that_was_cancelled_in_the_queue_is_remembered(house: House) -> None:
    """Nobody has worked it: its transcript is there all the same, and it is found by its words."""
    await house.enable("mend")
    run = await house.app.runs.start(BO, "mend", source="api", key="k", entity_id="HC-103")
    await house.app.runs.cancel(BO, run.id)
    _made, data = await house.app.runs.artifact(BO, run.id, "transcript")
    assert "Ended: bo cancelled it." in data.decode()
    found = await History(house.app.database, house.app.runs).search(BO, "cancelled 103")
    assert [each.run.id for each in found] == [run.id]


async def test_the_journal_forgets_what_has_ended(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it at once, also behind runs that wait for a person."""
    for recipe in ("mend", "patch"):
        await house.enable(recipe)
    made = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    async with working(house.app, parts_of(house.app, made)) as worker:
        waits = await made.start()
        await made.until(waits.id, "waiting_approval")
        for number in (101, 102, 103):
            done = await made.start("patch", entity_id=f"HC-{number}", key=f"k{number}")
            await made.until(done.id)
        journal = worker._journal
        while len(await journal.ended()) < 4:
            await house.app.runs.bell.wait(0.05)
        with monkeypatch.context() as patch:
            patch.setattr(journal, "ended", functools.partial(journal.ended, limit=1))
            await worker._tidy()
        assert await journal.ended() == [waits.id]


async def test_files_of_nobody_go(house: House) -> None:
    """Those of a run that ended without removing them, and all of a tenant that was removed; no others."""
    await house.enable("patch")
    made = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    run = await made.start("patch")
    for place in (f"acme/runs/{run.id}", "acme/runs/run_gone", "acme/mirrors", "left/mirrors"):
        (made.places.work / place).mkdir(parents=True)
    await Work(parts_of(house.app, made), "w1").tidy()
    there = {str(each.relative_to(made.places.work)) for each in made.places.work.glob("*/**")}
    assert there == {"acme", "acme/runs", f"acme/runs/{run.id}", "acme/mirrors"}


async def test_an_end_is_a_line_in_the_log(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    """With run, tenant, state and code, and without a customer's words."""
    caplog.set_level("INFO", "linkspan.runs")
    works.engine.acts = [fail("quota_exceeded", "words of a customer")]
    run = await works.start("patch")
    await works.until(run.id)
    (line,) = [each for each in caplog.messages if " ended: " in each]
    assert line.startswith(f"run {run.id} of tenant acme ended: failed, quota_exceeded (recipe patch,")
    assert "words of a customer" not in line


async def test_a_look_reads_what_is_new_and_not_what_waits(house: House) -> None:
    """However many runs wait, each is let in once, and only now and then all of them are looked at."""

    class Counting:
        rows = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(house.app.database, name)

        async def query(self, *words: Any) -> Any:
            found = await house.app.database.query(*words)
            self.rows += len(found)
            return found

    class Notes:
        entered: ClassVar[list[str]] = []

        async def enqueue(self, tenant: str, run: str) -> None:
            assert tenant == "acme"
            self.entered.append(run)

        async def left_by_the_dead(self, living: set[str]) -> list[str]:
            return []

    await house.enable("patch")
    made = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    for number in range(100):
        await made.start("patch", entity_id=f"HC-{number}", key=str(number))
    house.now[0] += 300
    db: Any = Counting()
    worker = Worker(
        db,
        Work(parts_of(house.app, made), "w1"),
        Notes(),  # type: ignore[arg-type]
        house.app.runs.bell,
        policy=lambda: house.app.catalog.runs,
        clock=lambda: house.now[0],
    )
    await worker.look()
    assert len(Notes.entered) == 100
    db.rows = 0
    late = await made.start("patch", entity_id="HC-200", key="late")
    await worker.look()
    assert Notes.entered[100:] == [late.id]
    assert db.rows <= 3
    house.now[0] += 300
    await worker.look()
    assert len(Notes.entered) == 101


async def test_what_is_asked_during_a_look_is_looked_for_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ring is not lost on a worker that just did not listen."""
    seen = []

    async def look(worker: Worker) -> None:
        seen.append(house.app.runs.bell.rung)
        if len(seen) == 1:
            house.app.runs.bell.ring()

    monkeypatch.setattr(Worker, "look", look)
    made = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    async with asyncio.timeout(30), working(house.app, parts_of(house.app, made), look=3600):
        while len(seen) < 2:  # noqa: ASYNC110 - nobody rings
            await asyncio.sleep(0.01)
    assert seen[1] > seen[0]


async def test_questions_of_the_dead_are_withdrawn(house: House) -> None:
    """What was asked before a worker ended is not answered by what its successor asks, nor the other way."""
    await house.enable("careful")
    made = Works(
        house, ScriptedEngine([ask("rm -r build")]), FakePlaces(house.app.settings.home / "work"), FakeForge()
    )
    async with working(house.app, parts_of(house.app, made)):
        run = await made.start("careful")
        await made.until(run.id, "waiting_approval")
        first = await house.app.runs.open_approval(BO, run.id)
    made.engine.acts = [ask("rm -r /")]
    async with working(house.app, parts_of(house.app, made)):
        while len(asked := await house.app.runs.approvals(BO, run.id)) < 2:
            await house.app.runs.bell.wait(0.05)
        (second,) = [each for each in asked if each.id != first.id]
        with pytest.raises(Conflict, match="nobody waits for this answer any more"):
            await house.app.runs.decide(BO, run.id, first.id, "approve")
        assert second.data["command"] == "rm -r /"
        assert second.decision is None
        await house.app.runs.cancel(BO, run.id)
        await made.until(run.id)
    asked = await house.app.runs.approvals(BO, run.id)
    assert {each.decided_by_kind for each in asked} == {"withdrawn"}


async def test_a_fault_of_ours_ends_a_run_and_stays_out_of_the_journal(works: Works) -> None:
    """It is told in a sentence without its cause; the journal keeps nobody's words."""

    async def burst(task: Any, host: Any) -> None:
        raise RuntimeError("words of a customer")

    works.engine.acts = [burst]
    run = await works.start()
    done = await works.until(run.id)
    told = "Something went wrong inside Linkspan; its log has more."
    assert (done.state, done.error_code, done.error_message) == ("failed", "internal", told)
    for table in ("workflow_status", "operation_outputs", "workflow_input", "workflow_output"):
        rows_there = await works.house.app.database.query(f"SELECT * FROM {table}")
        text = str(rows_there)
        assert "words of a customer" not in text
        assert "Ordering after" not in text


async def test_a_run_ends_whatever_fails_at_its_end(
    works: Works, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """None stays open: each ends, with a line that says why, also where the store is what failed."""
    tokens = works.house.app.run_tokens
    revoke, left_open = tokens.revoke, "was left open by a fault of ours"

    def faults() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]

    async def fail_once(*_given: Any, **_how: Any) -> Any:
        monkeypatch.undo()
        raise RuntimeError("words of a customer")

    # What is for later readers is not what a run stays open for.
    monkeypatch.setattr("linkspan.runs.work.remember", fail_once)
    kept = await works.until((await works.start("patch", key="a")).id)
    assert (kept.state, faults()) == ("succeeded", [f"the transcript of run {kept.id} could not be kept"])
    # A fault while it is closed, and one of the store at whatever is tried.
    caplog.clear()
    monkeypatch.setattr(tokens, "revoke", fail_once)
    broken = await works.until((await works.start("patch", key="b")).id)
    assert (broken.state, broken.error_code, broken.worker) == ("failed", "internal", None)
    assert faults() == [f"run {broken.id} of tenant acme could not be closed"]
    assert (await works.states(broken.id))[-1] == "failed"
    caplog.clear()
    fails: list[str] = []

    async def fail_twice(run: Run, **_how: Any) -> None:
        fails.append(run.id)
        raise StoreFault("the database is locked")

    monkeypatch.setattr(tokens, "revoke", fail_twice)
    monkeypatch.setattr("linkspan.runs.work.give_up", lambda _db, run, **_how: fail_twice(run))
    run = await works.start("patch", key="c")
    while len(fails) < 2:
        await works.house.app.runs.bell.wait(0.05)
    monkeypatch.setattr(tokens, "revoke", revoke)
    async with asyncio.timeout(30):
        while not (done := await works.house.app.runs.find(ACME, run.id)).is_finished:
            works.house.now[0] += 61  # a worker looks at everything; the workflow may have ended only since
            await works.house.app.runs.bell.wait(0.2)
    assert (done.state, done.error_code) == ("failed", "internal")
    assert f"run {run.id} of tenant acme {left_open}" in faults()


async def test_a_run_whose_row_cannot_be_had_is_taken_later(
    works: Works, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would wait in its queue for ever otherwise; nobody else takes what no worker has taken."""
    take, tried = rows.take, 0

    async def locked(*given: Any, **how: Any) -> Run | None:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise StoreFault("the database is locked")
        return await take(*given, **how)

    monkeypatch.setattr("linkspan.runs.journal._AGAIN", 0.05)
    monkeypatch.setattr(rows, "take", locked)
    run = await works.start("patch")
    assert (await works.until(run.id)).state == "succeeded"
    told = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert told == [f"run {run.id} of tenant acme cannot be taken: the database is locked"]
