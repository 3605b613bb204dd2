"""Every way in which a run ends, whole: with the real Codex, real git, a forge and a desk that count.

Each ends in a state, with a sentence that a person understands, which the ticket is told as well; and
whatever went wrong there is no second branch, pull request or comment, no process and no file of it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from linkspan.codex.engine import Decision
from linkspan.errors import Conflict
from linkspan.store.runs import Run
from tests.fakes.forge import unwell
from tests.runs.conftest import ACME, BO
from tests.runs.shop import KEY, MEND, REPOSITORY, SUMMARY, Shop, shop_at, working
from tests.servers.scripted_model import Answer, Item, Refusal, Step, function_call, message, shell

pytestmark = pytest.mark.e2e
DAY = 86_400.0
MENDED: Sequence[Step] = ([shell("", MEND)], [message(SUMMARY)])
RECIPE = {
    "entity": "ticket",
    "settings": {"repository": {"type": "repository", "required": True}},
    "prompt": "Fix what the ticket describes that you are given as data.",
    "approve": "before_publish",
    "publish": "pull_request",
    "write_back": {
        "started": {"comment": "Codex has started on this."},
        "finished": {"comment": "{{ run.summary }}"},
        "failed": {"comment": "Codex could not finish this. {{ run.error.message }}"},
    },
}
TOOLS = {
    "recipes": {
        "thrifty": {**RECIPE, "title": "With few tokens", "budget": {"tokens": 1000}},
        "costly": {
            **RECIPE,
            "title": "With little money",
            "model": "scripted-model",
            "budget": {"money": 0.01},
        },
        "careful": {**RECIPE, "title": "A command at a time", "approve": "each_command", "publish": "patch"},
        "hasty": {**RECIPE, "title": "In little time", "budget": {"minutes": 0.05}},
    },
    "runs": {
        "at_once": 2,
        "per_tenant": 1,
        "prices": {"scripted-model": {"input": 10, "cached_input": 1, "output": 100}},
    },
}


@dataclass
class Gate:
    """Holds somebody up until it is opened."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    async def until_reached(self) -> None:
        """Wait until somebody stands before it."""
        async with asyncio.timeout(60):
            while not self.reached.is_set():  # noqa: ASYNC110 - it is set in another thread
                await asyncio.sleep(0.02)

    def is_open(self) -> bool:
        """Tell the one who stands before it."""
        self.reached.set()
        return self.opened.is_set()


class Held(Response):
    """An answer of the forge that comes when a gate is opened."""

    def __init__(self, inner: Response, gate: Gate) -> None:
        super().__init__()
        self._inner, self._gate = inner, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, and answer."""
        while not self._gate.is_open():  # noqa: ASYNC110 - it is opened in another thread
            await asyncio.sleep(0.02)
        await self._inner(scope, receive, send)


@dataclass
class House:
    """The shop with a worker, whose clock can be put forward."""

    shop: Shop
    ahead: list[float]

    async def start(self, *steps: Step, recipe: str = "fix_ticket") -> Run:
        """Ask for a run on the ticket, with a model that says these steps and nothing else."""
        self.shop.model.forget()
        self.shop.model.prepare(steps)
        return await self.shop.app.runs.start(BO, recipe, source="button", entity_id="HC-103")

    async def thinking(self, run: Run, gate: Gate) -> None:
        """Wait until the model thinks, and Codex waits for it."""
        await gate.until_reached()
        assert (await self.shop.app.runs.find(ACME, run.id)).state == "running"
        assert self.shop.at_work(run)

    async def decide(self, run: Run, decision: Decision, **more: Any) -> None:
        """Answer the question whether to publish."""
        waiting = await self.shop.until(run, "waiting_approval")
        assert waiting.state == "waiting_approval", waiting.error_message
        assert waiting.repository == REPOSITORY
        assert not {f"codex/{run.id}"} & self.shop.branches(), "nothing is out before it was approved"
        question = await self.shop.app.runs.open_approval(BO, run.id)
        await self.shop.app.runs.decide(BO, run.id, question.id, decision, **more)

    async def link_model_anew(self) -> None:
        """Have another account at OpenAI."""
        app = self.shop.app
        (account,) = await app.accounts.list(ACME, "openai")
        await app.accounts.unlink(ACME, account.id)
        await app.accounts.link(ACME, app.catalog.connectors["openai"], secrets={"token": KEY})

    async def past(self, run: Run) -> None:
        """Wait until a run has gone on from a question that was answered."""
        async with asyncio.timeout(60):
            while (await self.shop.app.runs.find(ACME, run.id)).state == "waiting_approval":
                await self.shop.app.runs.bell.wait(0.1)

    async def succeeded(self, run: Run) -> Run:
        """Wait for a good end, and count what there is of it."""
        done = await self.shop.until(run)
        assert (done.state, done.error_code, done.error_message) == ("succeeded", None, None)
        assert f"codex/{run.id}" in self.shop.branches()
        assert len(self.shop.pull_requests(run)) == 1
        _started, finished = self.shop.said(run)
        assert "could not" not in finished
        await self.leaves_nothing(run)
        return done

    async def ended(
        self, run: Run, state: str, code: str, sentence: str, *, pushed: bool = False, begun: bool = True
    ) -> Run:
        """Wait for that end and no other, which the ticket was told of, if work had begun."""
        done = await self.shop.until(run)
        told = str(done.error_message).replace(run.id, "RUN")
        assert (done.state, done.error_code, told) == (state, code, sentence)
        assert (f"codex/{run.id}" in self.shop.branches()) is pushed
        assert self.shop.pull_requests(run) == []
        said = self.shop.said(run)
        failed = f"Codex could not finish this. {done.error_message}"
        assert said[1:] == [failed] if begun else said in ([], [failed]), said
        assert not begun or said[0].startswith("Codex has started on this.")
        await self.leaves_nothing(run)
        return done

    async def leaves_nothing(self, run: Run) -> None:
        """Look for what must not be there after the end of a run."""
        left = await self.shop.app.database.query(
            "SELECT count(*) AS n FROM tokens WHERE subject = :run AND revoked IS NULL", {"run": run.id}
        )
        assert left[0]["n"] == 0, "a token of it opens something"
        assert not [each for each in await self.shop.app.runs.approvals(BO, run.id) if each.decision is None]
        assert self.shop.at_work(run) == []
        assert not (self.shop.app.settings.home / "work/acme/runs" / run.id).exists()


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The loop that Linkspan runs on; one for the module, since all share what was started."""
    return "asyncio"


@pytest.fixture(scope="module")
async def house(
    seeded: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    """Everything, started once."""
    ahead = [0.0]

    def clock() -> float:
        return time.time() + ahead[0]

    async def soon(_seconds: float) -> None:
        await asyncio.sleep(0.01)

    folder = tmp_path_factory.mktemp("endings")
    async with shop_at(seeded, folder, tools=TOOLS, clock=clock) as shop:
        for recipe in ("thrifty", "costly", "careful", "hasty"):
            await shop.app.recipes.enable(BO, recipe, {"repository": REPOSITORY})
        async with working(shop, clock=clock, sleep=soon):
            yield House(shop, ahead)


@pytest.fixture(autouse=True)
async def _alone(house: House) -> AsyncIterator[None]:
    """What a test that failed has left going on is no other test's trouble."""
    yield
    house.shop.forge.faults.clear()
    for run in await house.shop.app.runs.list(
        BO, states=["queued", "preparing", "running", "waiting_approval"]
    ):
        await house.shop.app.runs.cancel(BO, run.id)
        await house.shop.until(run)


def outside(command: str) -> Item:
    """A command that is to run outside of the sandbox."""
    wanted = {"cmd": command, "sandbox_permissions": "require_escalated", "justification": "May I?"}
    return function_call("exec_command", wanted)


def thought(gate: Gate) -> Answer:
    """The model thinks until a gate is opened."""
    return Answer([message("Let me think.")], until=gate.is_open)


# What people do ------------------------------------------------------------------------------------------


async def test_a_word_of_a_person_reaches_the_model(house: House) -> None:
    """While it thinks; the run goes on to its pull request."""
    gate = Gate()
    run = await house.start([shell("", MEND)], thought(gate), [message(SUMMARY)])
    await house.thinking(run, gate)
    await house.shop.app.runs.steer(BO, run.id, "Mind the tills as well.")
    gate.opened.set()
    await house.decide(run, "approve")
    await house.succeeded(run)
    assert "Mind the tills as well." in house.shop.model.turns[-1].text
    assert house.shop.said(run)[1].startswith(SUMMARY)


async def test_an_interrupted_turn_keeps_what_was_done(house: House) -> None:
    """Codex stops at once, and what it has changed may still be published."""
    gate = Gate()
    run = await house.start([shell("", MEND)], thought(gate))
    await house.thinking(run, gate)
    await house.shop.app.runs.interrupt(BO, run.id)
    await house.decide(run, "approve")
    assert house.shop.model.aborted.wait(30)
    await house.succeeded(run)


async def test_a_run_is_cancelled_in_the_queue_and_at_work(house: House) -> None:
    """One waits its turn while another works: neither leaves anything but a sentence."""
    gate = Gate()
    working_ = await house.start([shell("", MEND)], thought(gate))
    await house.thinking(working_, gate)
    waiting = await house.shop.app.runs.start(BO, "fix_ticket", source="button", entity_id="HC-104")
    assert waiting.state == "queued"
    await house.shop.app.runs.cancel(BO, waiting.id)
    await house.ended(waiting, "cancelled", "cancelled", "bo cancelled it.", begun=False)
    assert house.shop.said(waiting) == []
    await house.shop.app.runs.cancel(BO, working_.id)
    await house.ended(working_, "cancelled", "cancelled", "bo cancelled it.")


async def test_a_run_is_cancelled_while_it_is_prepared(house: House) -> None:
    """Codex is never started, and the model never asked."""
    gate = Gate()
    forge = house.shop.forge
    forge.faults.append(Held(JSONResponse(forge._shown(forge.repositories[REPOSITORY])), gate))
    run = await house.start(*MENDED)
    await gate.until_reached()
    assert (await house.shop.app.runs.find(ACME, run.id)).state == "preparing"
    await house.shop.app.runs.cancel(BO, run.id)
    gate.opened.set()
    await house.ended(run, "cancelled", "cancelled", "bo cancelled it.")
    assert house.shop.model.requests == ()


async def test_a_run_is_cancelled_while_it_waits_for_a_person(house: House) -> None:
    """Nothing is pushed, and approving it is too late."""
    run = await house.start(*MENDED)
    assert (await house.shop.until(run, "waiting_approval")).state == "waiting_approval"
    question = await house.shop.app.runs.open_approval(BO, run.id)
    await house.shop.app.runs.cancel(BO, run.id)
    await house.ended(run, "cancelled", "cancelled", "bo cancelled it.")
    with pytest.raises(Conflict):
        await house.shop.app.runs.decide(BO, run.id, question.id, "approve")


async def test_cancelling_comes_too_late_once_it_is_being_published(house: House) -> None:
    """The pull request is there, once, and the run says so."""
    gate = Gate()
    run = await house.start(*MENDED)
    assert (await house.shop.until(run, "waiting_approval")).state == "waiting_approval"
    forge = house.shop.forge
    shown = JSONResponse(forge._shown(forge.repositories[REPOSITORY]))
    forge.faults += [shown, Held(JSONResponse([]), gate)]  # where it is; which pull requests there are
    await house.decide(run, "approve")
    await gate.until_reached()
    assert (await house.shop.app.runs.find(ACME, run.id)).state == "publishing"
    await house.shop.app.runs.cancel(BO, run.id)
    gate.opened.set()
    await house.succeeded(run)


async def test_a_person_declines_and_has_it_done_otherwise(house: House) -> None:
    """With a note, which is told; another run goes on from there, with a person's words for Codex."""
    run = await house.start(*MENDED)
    await house.decide(run, "decline", note="The tills are counted at noon.")
    sentence = "bo declined to publish it. The tills are counted at noon."
    await house.ended(run, "cancelled", "declined", sentence)
    house.shop.model.prepare(MENDED)
    forked = await house.shop.app.runs.fork(BO, run.id, "Count the tills at noon.")
    await house.decide(forked, "approve")
    done = await house.succeeded(forked)
    assert (done.parent, done.parent_how) == (run.id, "fork")
    asked = house.shop.model.turns[-1].text
    assert SUMMARY in asked, "it knows what was said before"
    assert "Count the tills at noon." in asked


async def test_each_command_that_leaves_the_sandbox_is_asked_for(house: House) -> None:
    """One is approved and done, one is declined and not done; Codex hears of both and goes on."""
    run = await house.start(
        [outside("echo '# mended' >> cafe/orders.py")],
        [outside("echo '# spoiled' >> test_cafe.py")],
        [message(SUMMARY)],
        recipe="careful",
    )
    decisions: tuple[tuple[Decision, str], ...] = (("approve", "mended"), ("decline", "spoiled"))
    for decision, word in decisions:
        waiting = await house.shop.until(run, "waiting_approval")
        assert waiting.state == "waiting_approval", waiting.error_message
        question = await house.shop.app.runs.open_approval(BO, run.id)
        assert (question.kind, word in question.data["command"]) == ("command", True)
        await house.shop.app.runs.decide(BO, run.id, question.id, decision)
        await house.past(run)
    done = await house.shop.until(run)
    assert (done.state, done.error_message) == ("succeeded", None)
    _artifact, patch = await house.shop.app.runs.artifact(BO, run.id, "patch")
    assert b"+# mended" in patch
    assert b"spoiled" not in patch
    asked = await house.shop.app.runs.approvals(BO, run.id)
    assert [(each.decision, each.person) for each in asked] == [("approve", "bo"), ("decline", "bo")]
    assert f"codex/{run.id}" not in house.shop.branches()
    await house.leaves_nothing(run)


async def test_nobody_decides(house: House) -> None:
    """By the deadline it is declined."""
    run = await house.start(*MENDED)
    assert (await house.shop.until(run, "waiting_approval")).state == "waiting_approval"
    house.ahead[0] += 2 * DAY + 60
    house.shop.app.runs.bell.ring()
    sentence = "Nobody decided within 48 hours whether to publish it, so it was declined."
    await house.ended(run, "timed_out", "declined", sentence)


# What runs out ---------------------------------------------------------------------------------------------


async def test_time_runs_out(house: House) -> None:
    """Codex is ended in the middle of a command, and so is the command."""
    run = await house.start([shell("", "sleep 600")], recipe="hasty")
    await house.ended(run, "timed_out", "timed_out", "Codex did not finish within 0.05 minutes.")


async def test_the_budget_is_spent(house: House) -> None:
    """What the last call cost is counted, and there is no other one."""
    run = await house.start(
        Answer([shell("", MEND)], input_tokens=900, output_tokens=200), [message(SUMMARY)], recipe="thrifty"
    )
    done = await house.ended(
        run, "failed", "quota_exceeded", "The budget of 1,000 tokens for this run is spent."
    )
    assert done.total_tokens == 1100
    assert len(house.shop.model.turns) == 1


async def test_the_money_is_spent(house: House) -> None:
    """At the operator's prices, by the first call: the model is not asked again."""
    run = await house.start(
        Answer([shell("", MEND)], input_tokens=900, output_tokens=200), [message(SUMMARY)], recipe="costly"
    )
    done = await house.ended(
        run, "failed", "quota_exceeded", "The budget of money for this run (0.01) is spent."
    )
    assert done.cost == pytest.approx(0.029)
    assert len(house.shop.model.turns) == 1


# The model ------------------------------------------------------------------------------------------------


async def test_the_model_asks_for_a_short_wait(house: House) -> None:
    """Codex waits as long as it is told, and goes on."""
    wait = Refusal(429, "Slow down.", "tokens", "rate_limit_exceeded", {"retry-after": "1"})
    run = await house.start([shell("", MEND)], wait, [message(SUMMARY)])
    await house.decide(run, "approve")
    await house.succeeded(run)
    assert len(house.shop.model.turns) == 3


@pytest.mark.parametrize(
    ("refusal", "code", "sentence"),
    [
        (
            Refusal(429, "You exceeded your quota.", "insufficient_quota", "insufficient_quota"),
            "quota_exceeded",
            "The OpenAI account has no quota left. See its plan and billing.",
        ),
        (
            Refusal(429, "Slow down.", "tokens", "rate_limit_exceeded", {"retry-after": "7200"}),
            "rate_limited",
            "OpenAI refuses more calls for 2 hours. Try the run again then.",
        ),
    ],
    ids=["quota", "long wait"],
)
async def test_the_model_refuses(house: House, refusal: Refusal, code: str, sentence: str) -> None:
    """In the middle of the work: nothing of it is published, and the model is not asked again."""
    run = await house.start([shell("", MEND)], refusal, [message(SUMMARY)])
    await house.ended(run, "failed", code, sentence)
    assert len(house.shop.model.turns) == 2
    await house.link_model_anew()  # that account is not asked again for as long, by any run


async def test_the_model_refuses_the_key(house: House) -> None:
    """Whoever has it can mend that, and then runs go on."""
    refusal = Refusal(401, "Incorrect API key provided.", code="invalid_api_key")
    run = await house.start([shell("", MEND)], refusal)
    sentence = (
        "OpenAI refused the credential: Incorrect API key provided."
        " Link the account again: linkspan account link openai"
    )
    await house.ended(run, "failed", "needs_reauth", sentence)
    assert len(house.shop.model.turns) == 2
    (account,) = await house.shop.app.accounts.list(ACME, "openai")
    assert account.state == "needs_reauth"
    connector = house.shop.app.catalog.connectors["openai"]
    await house.shop.app.accounts.link(ACME, connector, account=account.id, secrets={"token": KEY})
    again = await house.shop.app.runs.retry(BO, run.id)
    house.shop.model.prepare(MENDED)
    await house.decide(again, "approve")
    await house.succeeded(again)


# The forge ------------------------------------------------------------------------------------------------


async def test_a_repository_is_not_there_any_more(house: House) -> None:
    """The model is not asked, since there is nothing to work on."""
    house.shop.git.repository("acme/gone", {"calc.py": "total = 2\n"})
    house.shop.forge.repository("acme/gone")
    await house.shop.app.recipes.enable(BO, "thrifty", {"repository": "acme/gone"})
    del house.shop.forge.repositories["acme/gone"]
    run = await house.start(*MENDED, recipe="thrifty")
    sentence = (
        "The repository acme/gone could not be prepared: GitHub has no such thing: Not Found."
        " Check that it is there, and that the linked account may see it."
    )
    await house.ended(run, "failed", "not_found", sentence)
    assert house.shop.model.requests == ()
    await house.shop.app.recipes.enable(BO, "thrifty", {"repository": REPOSITORY})


async def test_a_push_is_refused(house: House) -> None:
    """By a rule of the server, in whose words it is told."""
    run = await house.start(*MENDED)
    await house.shop.until(run, "waiting_approval")
    house.shop.git.refuse_pushes(REPOSITORY, "Nobody pushes on Sundays.")
    try:
        await house.decide(run, "approve")
        sentence = (
            f"The change could not be published: The forge refused the branch codex/RUN in {REPOSITORY}"
            " (pre-receive hook declined). It says: Nobody pushes on Sundays. A rule of the repository"
            " forbids it; change the rule, or let the account pass it."
        )
        await house.ended(run, "failed", "forbidden", sentence)
    finally:
        (house.shop.git.root / f"{REPOSITORY}.git/hooks/pre-receive").unlink()


async def test_git_is_out_of_order(house: House) -> None:
    """While the repository is fetched: nothing was begun that would have to be undone."""
    house.shop.git.fault = 503
    try:
        run = await house.start(*MENDED)
        sentence = (
            f"The repository {REPOSITORY} could not be prepared: The repository {REPOSITORY} could not be"
            " read: the forge failed; it answered 503. It says: out of order. Try again in a minute."
        )
        await house.ended(run, "failed", "upstream_error", sentence)
    finally:
        house.shop.git.fault = None


async def test_the_forge_is_out_of_order_for_a_while(house: House) -> None:
    """It answers 502 to what it has done: there is one pull request all the same."""
    forge = house.shop.forge
    forge.faults.append(unwell(502))
    run = await house.start(*MENDED)
    await house.shop.until(run, "waiting_approval")
    forge.faults.append(unwell(503))
    forge.lose_answers_of = "/pulls"
    await house.decide(run, "approve")
    await house.succeeded(run)
    assert forge.faults == []


async def test_the_forge_stays_out_of_order(house: House) -> None:
    """The branch is there, and the sentence says so."""
    forge = house.shop.forge
    run = await house.start(*MENDED)
    await house.shop.until(run, "waiting_approval")
    shown = JSONResponse(forge._shown(forge.repositories[REPOSITORY]))
    forge.faults += [shown, *[unwell(503)] * 40]
    await house.decide(run, "approve")
    try:
        sentence = (
            "The change could not be published: The branch codex/RUN was pushed, but the pull request could"
            " not be opened: GitHub answered 503: GitHub gave no reason. Retry the run in a minute."
        )
        await house.ended(run, "failed", "upstream_error", sentence, pushed=True)
    finally:
        forge.faults.clear()
