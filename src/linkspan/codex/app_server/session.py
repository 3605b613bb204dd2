"""One turn, watched: what Codex tells goes to the host, what it asks to a person, what people say to Codex.

Limits are kept here. Each way to stop is a request to Codex to end its turn, so that its record stays whole;
a Codex that does not within a few seconds is ended by who started it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from linkspan.codex.app_server.events import event_of
from linkspan.codex.app_server.failures import failure_of
from linkspan.codex.app_server.questions import answer_of, question_of, refusal_of
from linkspan.codex.app_server.rpc import Connection, Refused, Told
from linkspan.codex.engine import Event, EventKind, Failure, Host, Interrupt, Json, Steer, Task, Thread
from linkspan.errors import LinkspanError
from linkspan.net.limits import in_words

_TO_END: Final = 5.0
"""Seconds that Codex gets to end a turn that it was told to end."""
_LOST: Final = Failure("upstream_error", "Codex ended in the middle of its work.", retryable=True)


@dataclass(frozen=True, slots=True)
class Stopped:
    """How a turn ended that did not come to its end."""

    status: Literal["interrupted", "failed"]
    failure: Failure | None = None


class Session:
    """The turn of one task. `run` once."""

    def __init__(self, task: Task, host: Host, connection: Connection) -> None:
        self._task = task
        self._host = host
        self._connection = connection
        self.thread: Thread | None = None
        self._turn = asyncio.get_running_loop().create_future()
        self._items: dict[str, Json] = {}
        self._questions: dict[str | int, asyncio.Task[None]] = {}
        self._stopped: Stopped | None = None
        self._words = ""
        self._bytes = 0
        self._before: int | None = None
        self._deadline: asyncio.Timeout | None = None
        self._main: asyncio.Task[Any] | None = None
        self._fault: BaseException | None = None
        self._left = task.limits.seconds

    async def tell(self, kind: EventKind, data: Json) -> None:
        """Tell the host something that Codex did not say itself."""
        await self._host.tell(Event(kind, data))

    async def run(self, begin: Callable[[], Awaitable[str]]) -> tuple[Stopped | None, str]:
        """Begin a turn and see it to its end; answer how it was stopped, if it was, and its last words.

        Raises what beginning raises, and what the host raises, whichever of its methods that is.
        """
        self._main = asyncio.current_task()
        listening = asyncio.create_task(self._listen())
        listening.add_done_callback(self._helped)
        try:
            async with asyncio.timeout(None) as self._deadline:
                self._resume_clock()
                self._turn.set_result(await begin())
                await self._watch()
        except TimeoutError:
            limit = in_words(self._task.limits.seconds)
            message = f"The work took longer than the {limit} that it may take."
            await self._stop(Stopped("failed", Failure("upstream_timeout", message)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TO_END):
                    await self._watch()
        except asyncio.CancelledError:
            if self._fault is None or self._main is None or self._main.uncancel():
                raise
            raise self._fault from None
        finally:
            listening.cancel()
            waiting = [listening, *self._questions.values()]
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return self._stopped, self._words

    def _helped(self, helper: asyncio.Task[None]) -> None:
        """End the work with what a helper failed of: nobody else would ever hear of it."""
        fault = None if helper.cancelled() else helper.exception()
        if fault is not None and self._fault is None and self._main is not None:
            self._fault = fault
            self._main.cancel()

    async def _watch(self) -> None:
        """Take what Codex tells until the turn is over; once it is being stopped, not for long."""
        while True:
            wait = None if self._stopped is None else _TO_END
            try:
                async with asyncio.timeout(wait):
                    told = await self._connection.next()
            except TimeoutError:
                if wait is None:
                    raise
                return
            if told is None:
                self._stopped = self._stopped or Stopped("failed", _LOST)
                return
            if await self._take(told):
                return

    async def _take(self, told: Told) -> bool:
        """Take one thing; answers whether it was the end of the turn."""
        if told.id is not None:
            await self._asked(told)
            return False
        params = told.params
        if params.get("threadId", self._id) != self._id:
            return False  # of a thread that the model started beside ours
        self._bytes += told.size
        if told.method in {"item/started", "item/completed"}:
            self._note(params["item"])
        elif told.method == "serverRequest/resolved":
            self._withdraw(params.get("requestId"))
        event = event_of(told)
        if event is not None:
            await self._host.tell(event)
        if told.method == "turn/completed":
            self._end(params["turn"])
            return True
        await self._keep_limits(event)
        return False

    @property
    def _id(self) -> str:
        return self.thread.id if self.thread is not None else ""

    def _note(self, item: Json) -> None:
        self._items[str(item.get("id"))] = item
        if item.get("type") == "agentMessage" and item.get("text"):
            self._words = str(item["text"])

    def _end(self, turn: Json) -> None:
        if self._stopped is not None:
            return
        if turn["status"] == "interrupted":
            self._stopped = Stopped("interrupted")
        elif turn["status"] == "failed":
            self._stopped = Stopped("failed", failure_of(turn.get("error")))

    async def _keep_limits(self, event: Event | None) -> None:
        if self._stopped is not None:
            return
        if event is not None and event.kind == "error" and event.data["code"] == "unauthenticated":
            # The run's token was revoked. Codex would try for a while.
            failure = Failure(event.data["code"], event.data["message"])
            await self._stop(Stopped("failed", failure))
            return
        limits = self._task.limits
        if self._bytes > limits.output_bytes:
            size = f"{limits.output_bytes / 1_000_000:g} MB"
            failure = Failure("too_large", f"The work told more than the {size} that are kept of it.")
            await self._stop(Stopped("failed", failure))
        elif event is not None and event.kind == "usage" and limits.tokens is not None:
            total = event.data["total_tokens"]
            self._before = 0 if self._before is None else self._before
            if total - self._before > limits.tokens:
                message = f"The budget of {limits.tokens:,} tokens for this run is spent."
                await self._stop(Stopped("failed", Failure("quota_exceeded", message)))

    async def _stop(self, how: Stopped) -> None:
        """Tell Codex to end its turn; the first reason is the one that counts."""
        self._stopped = self._stopped or how
        if not self._turn.done():
            return
        asked = {"threadId": self._id, "turnId": self._turn.result()}
        with contextlib.suppress(LinkspanError):
            await self._connection.call("turn/interrupt", asked, seconds=_TO_END)

    async def _asked(self, told: Told) -> None:
        assert told.id is not None  # noqa: S101
        question = question_of(told, self._items) if self._task.approve_commands else None
        if question is None:
            await self._decline(told)
            return

        async def decide() -> None:
            decision = await self._host.decide(question)
            await self._connection.answer(told, answer_of(told, decision))
            if decision == "cancel":
                await self._stop(Stopped("interrupted"))

        self._pause_clock()
        deciding = asyncio.create_task(decide())
        self._questions[told.id] = deciding
        deciding.add_done_callback(self._helped)
        deciding.add_done_callback(lambda _: self._answered(told.id))

    async def _decline(self, told: Told) -> None:
        no = refusal_of(told)
        if question_of(told, self._items) is not None:
            await self._connection.answer(told, answer_of(told, "decline"))
        elif no is not None:
            await self._connection.answer(told, no)
        else:
            await self._connection.refuse(told)

    def _withdraw(self, request: Any) -> None:
        """Stop asking a person what Codex does not need to know any more."""
        deciding = self._questions.get(request)
        if deciding is not None and not deciding.done():
            deciding.cancel()

    def _answered(self, request: str | int | None) -> None:
        if request is not None:
            self._questions.pop(request, None)
        if not self._questions:
            self._resume_clock()

    def _pause_clock(self) -> None:
        if self._questions or self._deadline is None:
            return
        now = asyncio.get_running_loop().time()
        when = self._deadline.when()
        if when is not None and not self._deadline.expired():
            self._left = max(0.0, when - now)
            self._deadline.reschedule(None)

    def _resume_clock(self) -> None:
        if self._deadline is not None and not self._deadline.expired():
            with contextlib.suppress(RuntimeError):  # it has been left meanwhile
                self._deadline.reschedule(asyncio.get_running_loop().time() + self._left)

    async def _listen(self) -> None:
        """Take in what people say; before the turn has begun it waits."""
        async for word in self._host.words():
            turn = await asyncio.shield(self._turn)
            if isinstance(word, Interrupt):
                await self._stop(Stopped("interrupted"))
            elif isinstance(word, Steer):
                await self._steer(word, turn)

    async def _steer(self, word: Steer, turn: str) -> None:
        asked = {
            "threadId": self._id,
            "expectedTurnId": turn,
            "input": [{"type": "text", "text": word.text}],
        }
        try:
            await self._connection.call("turn/steer", asked)
        except Refused:
            await self.tell("warning", {"message": f"What {word.who} said came too late for this turn."})
