"""An engine that does what a test says, where the real one would let a model decide."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from linkspan.codex.engine import Event, Failure, Host, Interrupt, Outcome, Question, Steer, Task, Thread

QuestionKind = Literal["command", "file_change", "permissions"]
Act = Callable[[Task, Host], Awaitable[Outcome | None]]
SUMMARY = "The till adds up again. @everyone"


@dataclass
class ScriptedEngine:
    """Begins a conversation, does its acts in order, and ends with a summary unless an act ends it."""

    acts: list[Act] = field(default_factory=list)
    name: str = "app_server"
    tasks: list[Task] = field(default_factory=list)
    stopped: int = 0
    """How often it was cancelled, and came to its end."""

    async def work(self, task: Task, host: Host) -> Outcome:
        """Do the acts."""
        self.tasks.append(task)
        thread = task.thread or Thread(f"thread-{task.run}")
        try:
            await host.began(thread)
            if task.thread is None:
                await host.tell(Event("thread_started", {"id": thread.id}))
            await host.tell(Event("turn_started", {"id": "turn-1"}))
            for act in self.acts or [edit("calc.py", "total = 3\n")]:
                outcome = await act(task, host)
                if outcome is not None:
                    return outcome
            await host.tell(Event("item_completed", {"item": {"type": "agentMessage", "text": SUMMARY}}))
            await host.tell(Event("turn_completed", {"id": "turn-1", "status": "completed"}))
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return Outcome(
            "completed",
            Thread(thread.id, b'{"rollout": 1}\n'),
            SUMMARY,
            versions={"engine": self.name, "model": "gpt-test"},
            log="warning: hush-hush is no key",
        )


def edit(path: str, text: str) -> Act:
    """Write a file of the working tree."""

    async def act(task: Task, host: Host) -> None:
        if task.workspace is not None:
            await asyncio.to_thread((task.workspace / path).write_text, text)
            await host.tell(Event("item_completed", {"item": {"type": "fileChange", "path": path}}))

    return act


def tell(*events: Event) -> Act:
    """Tell what Codex tells."""

    async def act(task: Task, host: Host) -> None:
        for event in events:
            await host.tell(event)

    return act


def ask(command: str = "rm -r build", *, kind: QuestionKind = "command", **about: Any) -> Act:
    """Ask a person, whether a command may run or so; a decline goes on without it, a cancel ends the turn."""

    async def act(task: Task, host: Host) -> Outcome | None:
        question = Question(
            str(about.get("item_id", "q1")),
            kind,
            "It deletes files.",
            about or {"command": command, "cwd": "/"},
        )
        decision = await host.decide(question)
        if decision == "cancel":
            return Outcome("interrupted", Thread(f"thread-{task.run}"))
        await host.tell(Event("item_completed", {"item": {"type": "commandExecution", "status": decision}}))
        return None

    return act


def hang() -> Act:
    """Never end by itself."""

    async def act(task: Task, host: Host) -> None:
        await asyncio.Event().wait()

    return act


def listen() -> Act:
    """Wait for one word of a person: a steer is told back, an interrupt ends the turn."""

    async def act(task: Task, host: Host) -> Outcome | None:
        async for word in host.words():
            if isinstance(word, Interrupt):
                return Outcome("interrupted", Thread(f"thread-{task.run}"), "So far, so good.")
            assert isinstance(word, Steer)
            await host.tell(Event("item_completed", {"item": {"type": "userMessage", "text": word.text}}))
            break
        return None

    return act


def fail(code: str, message: str) -> Act:
    """End with a failure."""

    async def act(task: Task, host: Host) -> Outcome:
        return Outcome("failed", Thread(f"thread-{task.run}"), failure=Failure(code, message))

    return act
