"""The engine with the real Codex, a scripted model behind it, and a host that writes down what it is told."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from linkspan.accounts.principal import Tenant
from linkspan.codex.app_server.engine import AppServer
from linkspan.codex.engine import (
    Access,
    Decision,
    Event,
    Interrupt,
    Limits,
    Outcome,
    Question,
    Steer,
    Task,
    Thread,
)
from linkspan.settings import CodexSettings
from linkspan.vault.secret import Secret
from tests.servers import codex as codex_cli
from tests.servers.node import ROOT
from tests.servers.scripted_model import ScriptedModel, Step
from tests.servers.serving import serving

MODELS = [mode.model for mode in codex_cli.ToolMode]
TOKEN = "run-token-canary"


@dataclass
class Watcher:
    """A host. `said` are words that people say; `answers` decides questions, and declines by default."""

    events: list[Event] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    answers: Callable[[Question], Decision] = lambda question: "decline"
    answered: asyncio.Event | None = None
    """Questions wait for it, where it is given."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is a question."""
    said: asyncio.Queue[Steer | Interrupt] = field(default_factory=asyncio.Queue)
    on: Callable[[Event], None] = lambda event: None
    is_holding: bool = True

    async def tell(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)
        self.on(event)

    async def began(self, thread: Thread) -> None:
        """Keep the thread."""
        self.threads.append(thread)

    async def holds(self) -> bool:
        """Tell whether the run is this host's."""
        return self.is_holding

    async def decide(self, question: Question) -> Decision:
        """Answer as a person would."""
        self.questions.append(question)
        self.asked.set()
        if self.answered is not None:
            await self.answered.wait()
        return self.answers(question)

    async def words(self) -> AsyncIterator[Steer | Interrupt]:
        """Say what there is to say."""
        while True:
            yield await self.said.get()

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The finished items of a type."""
        return [
            event.data["item"]
            for event in self.events
            if event.kind == "item_completed" and event.data["item"]["type"] == kind
        ]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The data of the events of a kind."""
        return [event.data for event in self.events if event.kind == kind]


@dataclass
class Place:
    """A run's folder with a checkout in it, an engine, and a model that is asked directly."""

    folder: Path
    engine: AppServer
    url: str = ""
    model: ScriptedModel = field(default_factory=ScriptedModel)
    host: Watcher = field(default_factory=Watcher)

    @property
    def checkout(self) -> Path:
        """The working tree."""
        return self.folder / "checkout"

    def task(self, **members: Any) -> Task:
        """A task for this place."""
        given: dict[str, Any] = {
            "run": "run_1",
            "tenant": Tenant("acme"),
            "folder": self.folder,
            "prompt": "Do what the script says.",
            "model": Access(f"{self.url}/v1", Secret(TOKEN)),
            "limits": Limits(seconds=60),
            "workspace": self.checkout,
            "model_name": "scripted-model",
        }
        return Task(**{**given, **members})

    async def work(self, *steps: Step, **members: Any) -> Outcome:
        """Let the engine work on a script."""
        self.model = ScriptedModel(steps)
        with serving(self.model) as self.url:
            return await self.engine.work(self.task(**members), self.host)


def git(folder: Path, *words: str) -> str:
    """Run git as somebody."""
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.test")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture
def work_root() -> Iterator[Path]:
    """A folder for runs, which must not be below the system's temporary directory."""
    folder = ROOT / ".work" / f"runs-{uuid.uuid4().hex[:12]}"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["npm", "python"])
def settings(request: pytest.FixtureRequest) -> CodexSettings:
    """The Codex of npm, as somebody would name it, and the one of the extra, which is found by itself."""
    if request.param == "python":
        return CodexSettings()
    return CodexSettings(binary=codex_cli.npm_command()[1])


@pytest.fixture
def place(work_root: Path, settings: CodexSettings) -> Place:
    """A run's folder with a small repository in it."""
    folder = work_root / "acme" / "runs" / "run_1"
    checkout = folder / "checkout"
    checkout.mkdir(parents=True)
    git(checkout, "init", "-q")
    (checkout / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (checkout / "check.py").write_text("from calc import add\n\nassert add(2, 2) == 4\nprint('all good')\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-qm", "Begin")
    return Place(folder, AppServer(settings))


__all__ = ["MODELS", "TOKEN", "Place", "Watcher", "git", "replace"]
