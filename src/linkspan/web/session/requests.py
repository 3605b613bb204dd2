"""What one connection asks, method by method, and what it is answered."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from linkspan.codex.broker.methods import OPEN, TOLD, params_of, words_of
from linkspan.errors import Conflict, Internal, InvalidArgument, LinkspanError, NotFound
from linkspan.runs.feed import Feed
from linkspan.runs.runs import Runs
from linkspan.runs.threads import Threads
from linkspan.runs.views import View
from linkspan.store import approvals as approval_rows
from linkspan.store.approvals import Approval, Decision
from linkspan.store.session_threads import SessionThread
from linkspan.telemetry.meters import Meters
from linkspan.web.session.following import Following, News, Record
from linkspan.web.session.shapes import Json, models_of, opened, thread_of, turn_of, welcome

MOST_FOLLOWED: Final = 20
"""Threads that one connection listens to."""
_USUAL_PAGE: Final = 25
_DECISIONS: Final[Mapping[str, Decision]] = {
    "accept": "approve",
    "acceptForSession": "approve",
    "decline": "decline",
    "cancel": "cancel",
}
"""`acceptForSession` lets this one through: nothing is decided here that nobody has seen."""

Send = Callable[[Json], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Parts:
    """What sessions are made of."""

    threads: Threads
    runs: Runs
    feed: Feed
    record: Record
    news: News
    meters: Meters


class Requests:
    """Answers one connection. `view` is looked at anew by whoever keeps the connection."""

    def __init__(self, parts: Parts, view: View, send: Send) -> None:
        self._parts = parts
        self._send = send
        self._following: dict[str, asyncio.Task[None]] = {}
        self._unwanted: frozenset[str] = frozenset()
        self._welcomed = False
        self._asked: set[str] = set()
        self.view = view
        self.fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Fails when following a thread has failed: nobody else would ever hear of it."""
        self._methods: dict[str, Callable[[Json], Awaitable[tuple[Json, Callable[[], None] | None]]]] = {
            "thread/start": self._thread_start,
            "thread/resume": self._thread_resume,
            "thread/read": self._thread_read,
            "thread/list": self._thread_list,
            "thread/turns/list": self._turns_list,
            "thread/unsubscribe": self._unsubscribe,
            "turn/start": self._turn_start,
            "turn/steer": self._turn_steer,
            "turn/interrupt": self._turn_interrupt,
            "model/list": self._model_list,
        }

    async def take(self, message: Any) -> None:
        """Take one message of the other side: a request, an answer, or a notification."""
        if not isinstance(message, dict):
            await self._refuse(None, -32600, "a message is one JSON object")
            return
        number, method = message.get("id"), message.get("method")
        if method is None:
            await self._answered(number, message)
        elif not isinstance(method, str) or not (number is None or _is_id(number)):
            await self._refuse(None, -32600, "a request has a method, and an id that is a string or a number")
        elif number is not None:
            await self._asks(number, method, message.get("params"))

    async def tell(self, method: str, params: Json) -> None:
        """Send a notification, unless the other side said that it does not want it.

        Raises `Internal` for one that the table does not have: nobody has decided that products are told it.
        """
        if method not in TOLD:
            raise Internal(f"{method} is told to no product")
        if method not in self._unwanted:
            await self._send({"jsonrpc": "2.0", "method": method, "params": params})

    async def close(self) -> None:
        """Listen to nothing any more."""
        tasks = list(self._following.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.fault.cancel()

    async def _asks(self, number: str | int, method: str, params: Any) -> None:
        then = None
        try:
            given = params_of(method, params)
            if method == "initialize":
                result = self._initialize(given)
            elif not self._welcomed:
                await self._refuse(number, -32600, "Not initialized")
                return
            else:
                result, then = await self._methods[method](given)
        except LinkspanError as error:
            self._parts.meters.session_request(method if method in OPEN else "_other", error.code)
            await self._fail(number, error)
            return
        self._parts.meters.session_request(method, "ok")
        await self._send({"jsonrpc": "2.0", "id": number, "result": result})
        if then is not None:
            then()

    def _initialize(self, given: Json) -> Json:
        if self._welcomed:
            raise InvalidArgument("Already initialized")
        self._welcomed = True
        wanted = (given.get("capabilities") or {}).get("optOutNotificationMethods")
        self._unwanted = frozenset(wanted or ())
        return welcome()

    async def _thread_start(self, given: Json) -> tuple[Json, Callable[[], None] | None]:  # noqa: ARG002
        self._check_room()
        thread = await self._parts.threads.start(self.view)
        recipe = await self._parts.threads.recipe(self.view)
        told = thread_of(thread, (), recipe)

        async def begin() -> None:
            await self.tell("thread/started", {"thread": told})
            await self._follower().follow(thread, None, None)

        return opened(told, recipe), lambda: self._follow(thread, begin())

    async def _thread_resume(self, given: Json) -> tuple[Json, Callable[[], None] | None]:
        thread = await self._parts.threads.get(self.view, given["threadId"])
        if thread.id not in self._following:
            self._check_room()
        recipe = await self._parts.threads.recipe(self.view)
        runs = await self._parts.threads.turns(thread)
        last: int | None = None
        turns = []
        for run in runs:
            is_last_at_work = run is runs[-1] and not run.is_finished
            if is_last_at_work or not given.get("excludeTurns"):
                turn, seq = await self._parts.record.turn(thread, run)
                turns.append(turn)
                last = seq if is_last_at_work else None
        told = thread_of(thread, runs, recipe, () if given.get("excludeTurns") else turns)
        turn_id = runs[-1].id if runs else None
        return opened(told, recipe), lambda: self._follow(
            thread, self._follower().follow(thread, turn_id, last)
        )

    async def _thread_read(self, given: Json) -> tuple[Json, None]:
        thread = await self._parts.threads.get(self.view, given["threadId"])
        recipe = await self._parts.threads.recipe(self.view)
        runs = await self._parts.threads.turns(thread)
        turns = []
        if given.get("includeTurns"):
            turns = [(await self._parts.record.turn(thread, run))[0] for run in runs]
        return {"thread": thread_of(thread, runs, recipe, turns)}, None

    async def _thread_list(self, given: Json) -> tuple[Json, None]:
        limit = given.get("limit") or _USUAL_PAGE
        at = _read(given.get("cursor"))
        before = (float(at[0]), str(at[1])) if at is not None else None
        found = await self._parts.threads.list(self.view, before=before, limit=limit + 1)
        recipe = await self._parts.threads.recipe(self.view)
        page = found[:limit]
        data = [thread_of(each, await self._parts.threads.turns(each), recipe) for each in page]
        more = _written(page[-1].updated, page[-1].id) if len(found) > limit else None
        return {"data": data, "nextCursor": more}, None

    async def _turns_list(self, given: Json) -> tuple[Json, None]:
        thread = await self._parts.threads.get(self.view, given["threadId"])
        limit = given.get("limit") or _USUAL_PAGE
        runs = list(await self._parts.threads.turns(thread))
        if given.get("sortDirection") != "asc":
            runs.reverse()
        at = _read(given.get("cursor"))
        start = 0
        if at is not None:  # after that turn, however many were begun since
            names = [run.id for run in runs]
            if at[1] not in names:
                raise InvalidArgument("this cursor is none of this list")
            start = names.index(at[1]) + 1
        page = runs[start : start + limit]
        data = [(await self._parts.record.turn(thread, run))[0] for run in page]
        more = _written(0, page[-1].id) if start + limit < len(runs) else None
        return {"data": data, "nextCursor": more}, None

    async def _unsubscribe(self, given: Json) -> tuple[Json, None]:
        thread = await self._parts.threads.get(self.view, given["threadId"])
        task = self._following.pop(thread.id, None)
        if task is None:
            return {"status": "notSubscribed"}, None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return {"status": "unsubscribed"}, None

    async def _turn_start(self, given: Json) -> tuple[Json, Callable[[], None] | None]:
        thread = await self._parts.threads.get(self.view, given["threadId"])
        run = await self._parts.threads.say(self.view, thread, words_of(given["input"]))
        return {"turn": turn_of(run)}, lambda: self._parts.news.ring(thread.id)

    async def _turn_steer(self, given: Json) -> tuple[Json, None]:
        thread = await self._parts.threads.get(self.view, given["threadId"])
        turn, words = given["expectedTurnId"], words_of(given["input"])
        run = await self._parts.threads.steer(self.view, thread, turn, words)
        return {"turnId": run.id}, None

    async def _turn_interrupt(self, given: Json) -> tuple[Json, None]:
        thread = await self._parts.threads.get(self.view, given["threadId"])
        await self._parts.threads.interrupt(self.view, thread, given["turnId"])
        return {}, None

    async def _model_list(self, given: Json) -> tuple[Json, None]:  # noqa: ARG002
        return {"data": models_of(await self._parts.threads.recipe(self.view)), "nextCursor": None}, None

    def _check_room(self) -> None:
        if len(self._following) >= MOST_FOLLOWED:
            raise Conflict(
                f"this connection listens to {MOST_FOLLOWED} threads already: unsubscribe from one"
            )

    def _follower(self) -> Following:
        may_decide = "run.approve" in self.view.token.may
        parts = self._parts
        return Following(
            parts.threads,
            parts.feed,
            parts.record,
            parts.news,
            tell=self.tell,
            ask=self._ask if may_decide else None,
        )

    def _follow(self, thread: SessionThread, following: Any) -> None:
        before = self._following.pop(thread.id, None)
        if before is not None:
            before.cancel()
        self._following[thread.id] = asyncio.create_task(following)
        self._following[thread.id].add_done_callback(self._followed)

    def _followed(self, task: asyncio.Task[None]) -> None:
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not self.fault.done():
            self.fault.set_exception(fault)

    async def _ask(self, number: str, method: str, params: Json) -> None:
        self._asked.add(number)
        await self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})

    async def _answered(self, number: Any, message: Json) -> None:
        """Take an answer to a question; what is no decision leaves the question as it is."""
        if not isinstance(number, str) or number not in self._asked:
            await self._refuse(None, -32600, "nothing was asked under this id")
            return
        record = self._parts.record
        asked = await approval_rows.find(record.database, self.view.token.tenant, number)
        try:
            if asked is None:
                raise NotFound("there is no such question")
            decision = _decision(asked, message)
            await self._parts.runs.decide(
                self.view.principal, asked.run, asked.id, decision, person=self.view.token.person
            )
        except LinkspanError as error:
            await self.tell("warning", {"message": error.for_model().removeprefix("Error: ")})

    async def _refuse(self, number: str | int | None, code: int, message: str) -> None:
        told = {"code": code, "message": message}
        await self._send({"jsonrpc": "2.0", "id": number, "error": told})

    async def _fail(self, number: str | int, error: LinkspanError) -> None:
        codes = {"invalid_argument": -32602, "internal": -32603}
        code = -32601 if type(error).__name__ == "MethodNotOpen" else codes.get(error.code, -32000)
        data = {"code": error.code, "retry_after": error.retry_after}
        message = error.for_model().removeprefix("Error: ")
        told = {"code": code, "message": message, "data": data}
        await self._send({"jsonrpc": "2.0", "id": number, "error": told})


def _decision(asked: Approval, message: Json) -> Decision:
    """Read an answer. Raises `InvalidArgument` for what is none that can be given here."""
    result = message.get("result")
    if not isinstance(result, dict):
        raise InvalidArgument("the question was not answered, and is still open")
    if asked.kind != "permissions":
        named = result.get("decision")
        decision = _DECISIONS.get(named) if isinstance(named, str) else None
        if decision is None:
            raise InvalidArgument("accept, decline or cancel: the question is still open")
        return decision
    permissions = result.get("permissions") or {}
    if not isinstance(permissions, dict):
        raise InvalidArgument("permissions: must be an object; the question is still open")
    granted = {k: v for k, v in permissions.items() if v is not None}
    wanted = {k: v for k, v in (asked.data.get("permissions") or {}).items() if v is not None}
    if granted and granted != wanted:
        raise InvalidArgument("all that was asked for, or nothing: the question is still open")
    return "approve" if granted else "decline"


def _is_id(number: Any) -> bool:
    if isinstance(number, str):
        return len(number) <= 200
    return isinstance(number, int) and not isinstance(number, bool)


def _written(*place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read(cursor: str | None) -> Sequence[Any] | None:
    """Read where a list goes on: of a caller's own, so it says nothing that must be kept from them."""
    if cursor is None:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        number, name = place
        str(name).encode()  # half of a surrogate pair is no text, and named by no list
        return (max(0.0, float(number)), str(name))
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidArgument("this cursor is none of this list") from error
