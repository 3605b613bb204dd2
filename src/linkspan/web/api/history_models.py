"""What was, as it is asked for and answered: conversations, their calls, and runs found by words."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from linkspan.web.api.models import Cursor, Limit, MaybeOfTenant, Name, Page, ThingId, Time
from linkspan.web.api.reading import Model
from linkspan.web.api.run_models import Run


class ConversationListing(MaybeOfTenant):
    """Which conversations: those that called something on a kind of things, or on one thing."""

    entity: Name | None = None
    entity_id: ThingId | None = None
    limit: Limit = 50
    next_cursor: Cursor | None = None


class Words(MaybeOfTenant):
    """Which runs that have ended: each of the words must begin a word of what was said and done."""

    words: Annotated[str, Field(min_length=1, max_length=500, examples=["till zurich"])]
    limit: Limit = 20


class Form(MaybeOfTenant):
    """As what: JSON Lines for programs, or one HTML file for people."""

    format: Literal["jsonl", "html"] = "jsonl"


class Conversation(Model):
    """A conversation with Codex that called tools: a run's, or one of somebody's own Codex."""

    id: Annotated[str, Field(description="What Codex calls it; it is not proved.")]
    calls: int
    subject: str
    """By whose token it called; of several, one of them."""
    runs: list[str]
    first_at: Time
    last_at: Time


class CallOfConversation(Model):
    """One call: of which tool, on which thing, and how it ended. No values, no secrets."""

    at: Time
    tool: str
    entity: str
    entity_id: str | None
    integration: str | None
    integrated_account_id: str | None
    subject: str
    outcome: str
    upstream_status: int | None
    duration_ms: float
    turn_id: str | None
    call_id: str | None


class ConversationCalls(Model):
    """What a conversation called, in order."""

    id: str
    runs: list[str]
    calls: list[CallOfConversation]


class FoundRun(Model):
    """A run in which all of the words are, and a line of it that has one of them."""

    run: Run
    line: str | None


class FoundRuns(Page[FoundRun]):
    """The run that changed last first."""
