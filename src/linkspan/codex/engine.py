"""The port between runs and the ways to drive Codex: what an engine is given, what it tells, how it ends.

A run gives an engine a `Task` and is its `Host` meanwhile. The engine knows no store, no tenant's key and
no ticket system: it reaches its model and its tools through two addresses of ours, each with a token of the
run's own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from linkspan.accounts.principal import Tenant
from linkspan.vault.secret import Secret

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that belongs to a material, as the model is to see it."""

    media_type: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Material:
    """Text from outside that Codex is given as data, with a tool answer's authority, never as a prompt."""

    name: str
    """What it is, in plain words: `ticket HC-101`."""
    source: str
    """Where it is from: a `linkspan://` address."""
    text: str = field(repr=False)
    """Markdown."""
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class Access:
    """An address of ours and the token of the run that opens it."""

    url: str
    token: Secret


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use up."""

    seconds: float
    """Of wall clock, for this stay in the engine; waiting for a person does not count."""
    tokens: int | None = None
    """Input and output of all model calls together; None for as many as the tenant's budget has."""
    output_bytes: int = 20_000_000
    """Of everything that the engine tells."""


@dataclass(frozen=True, slots=True)
class Thread:
    """What is needed to go on with a conversation, here or on another machine."""

    id: str
    rollout: bytes = field(default=b"", repr=False)
    """The engine's own record of it; empty when it lies where the engine left it, or at the vendor."""


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work for an engine."""

    run: str
    tenant: Tenant
    """Whose run it is; an engine that is told so works under a system user of the tenant's own."""
    folder: Path
    """The run's own directory, in which the engine keeps what is its own beside the checkout."""
    prompt: str = field(repr=False)
    """From the recipe and nothing else: no word of it comes from a SaaS."""
    model: Access
    """The model proxy: an OpenAI-compatible base URL."""
    limits: Limits
    tools: Access | None = None
    """The run's own MCP endpoint."""
    workspace: Path | None = None
    """The checkout; None for work that needs none."""
    base_commit: str | None = None
    """What the checkout is of."""
    hands_in: bool = True
    """Whether what is changed in the checkout counts: not so for who only looks at it."""
    house_rules: str | None = field(default=None, repr=False)
    """AGENTS.md of the base commit, capped; an untrusted checkout's own file is not read by Codex."""
    materials: tuple[Material, ...] = ()
    model_name: str | None = None
    """None: the engine's default."""
    effort: str | None = None
    approve_commands: bool = False
    """Ask the host before a command or a change that the sandbox would not let through; else they fail."""
    network: tuple[str, ...] = ()
    """Hosts that commands may reach, through the egress proxy; none by default."""
    output_schema: Mapping[str, Any] | None = None
    """What the last message must be, as JSON Schema; None for free text."""
    thread: Thread | None = None
    """A conversation to go on with: after a restart, a review, or a fork."""


EventKind = Literal[
    "thread_started",  # id
    "turn_started",  # id
    "turn_completed",  # id, status: completed | interrupted | failed, error?
    "item_started",  # item: {id, type, …} as Codex names them (agentMessage, commandExecution, fileChange …)
    "item_completed",  # item
    "message_delta",  # item_id, text
    "reasoning_delta",  # item_id, text
    "output_delta",  # item_id, text: what a command printed
    "plan",  # steps: [{step, status}]
    "diff",  # diff: unified, of the turn so far; the authoritative one is git's
    "usage",  # input_tokens, cached_input_tokens, output_tokens, reasoning_output_tokens, total_tokens
    "warning",  # message
    "error",  # message, code, will_retry
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in the order in which it happened. Its number is given by who keeps it."""

    kind: EventKind
    data: Json


@dataclass(frozen=True, slots=True)
class Question:
    """What only a person may answer: a command, a change of files, or more than the sandbox allows."""

    id: str
    kind: Literal["command", "file_change", "permissions"]
    reason: str
    data: Json
    """What it is about: command and cwd, or the changes with their diffs."""


Decision = Literal["approve", "decline", "cancel"]
"""`cancel` also ends the turn."""


@dataclass(frozen=True, slots=True)
class Steer:
    """Words of a person for the turn that goes on."""

    text: str
    who: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """End the turn now, and keep what was done."""

    who: str


@dataclass(frozen=True, slots=True)
class Look:
    """Somebody who knows tells that something has happened: look now, and not at the next turn."""


class Host(Protocol):
    """What an engine works for. Every method may be called at any time while `work` lasts."""

    async def tell(self, event: Event) -> None:
        """Take an event; comes back when it was taken in, so a slow host slows the engine down."""
        ...

    async def began(self, thread: Thread) -> None:
        """Keep, before anything else, which conversation this is: after a crash it is gone on with."""
        ...

    async def holds(self) -> bool:
        """Tell whether the run is still this host's: nobody touches what another one's stay has on the disk.

        False also when that cannot be known.
        """
        ...

    async def decide(self, question: Question) -> Decision:
        """Ask a person; comes back with `decline` when the deadline has passed."""
        ...

    def words(self) -> AsyncIterator[Steer | Interrupt | Look]:
        """Answer what is said to the run, as it is said."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the work failed. `code` is one of errors.py; the message is for people.

    `upstream_timeout` says that `Limits.seconds` are over, and nothing else; `too_large` that
    `Limits.output_bytes` are.
    """

    code: str
    message: str
    retryable: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work ended."""

    status: Literal["completed", "interrupted", "failed"]
    thread: Thread | None
    message: str = field(default="", repr=False)
    """The last words of the model."""
    output: Any = None
    """What `output_schema` asked for, parsed and checked."""
    failure: Failure | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    """What did the work: engine, codex, model, effort."""
    log: str = field(default="", repr=False)
    """The end of what its program wrote beside its work. It names places of this machine."""


class Engine(Protocol):
    """One way to drive Codex."""

    name: str

    async def work(self, task: Task, host: Host) -> Outcome:
        """Do the task, or go on with it where its thread was left.

        Whatever goes wrong with the work is an `Outcome` with a failure. Cancellation ends every process and
        every request of the run before it comes back. A second call for a run whose first one died goes on:
        nothing that the thread has already done is asked for again.
        """
        ...
