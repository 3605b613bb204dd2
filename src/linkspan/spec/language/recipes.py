"""The words of `recipes` and `runs`: jobs for Codex, and how they are worked."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from linkspan.spec.language.words import NAMES, Duration, Expression, Scalar, Words


class RecipeSetting(Words):
    """Something that a tenant is asked when it turns the recipe on."""

    shorthand = "type"
    type: Literal["text", "number", "choice", "repository", "branch", "file", "people", "author"] = Field(
        "text",
        description="`repository` is where the work is done, an id of a linked forge account; `branch` is"
        " what it begins from; `file` is one of the repository at that branch, which Codex is given; `people`"
        " are those who may approve; `author` is whose name commits bear.",
    )
    title: str = Field("", description="What people are asked.")
    description: str = ""
    required: bool = False
    default: Scalar | list[str] | None = None
    choices: list[str] = Field([], description="The words of a `choice`.")


class Budget(Words):
    """What one run may use up; it ends when it is spent."""

    minutes: int | float = Field(30, gt=0, description="Of wall clock; waiting for a person does not count.")
    tokens: int | None = Field(None, ge=1000, description="Input and output of all model calls together.")
    money: int | float | None = Field(None, gt=0, description="In the currency of `runs.prices`.")


class Publish(Words):
    """What becomes of the change."""

    shorthand = "as"
    as_: Literal["pull_request", "review", "patch", "nothing"] = Field(
        "nothing",
        alias="as",
        description="A branch with a pull request; a review of the change that is there; a patch that is kept"
        " with the run; nothing.",
    )
    draft: bool = Field(True, description="Whether the pull request is a draft.")
    title: str | None = Field(None, description="The pull request's and the commit's title.")
    body: str | None = Field(None, description="What the pull request says, in Markdown.")
    may_approve: bool = Field(False, description="Whether a review may approve; else it comments.")


class Back(Words):
    """What is written into the entity: a comment, new values of its fields, or both."""

    shorthand = "comment"
    comment: str | None = Field(None, description="Markdown.")
    update: dict[str, Scalar] = Field({}, json_schema_extra=NAMES)


class WriteBack(Words):
    """What the entity is told: when work begins, and how it ended."""

    started: Back | None = None
    finished: Back | None = None
    failed: Back | None = Field(None, description="Also when somebody cancelled or declined it.")


class Recipe(Words):
    """A job for Codex, the same for every tenant that turns it on."""

    title: str = Field(description="What the button says.")
    description: str = ""
    entity: str | None = Field(None, description="What it is started on.")
    on: str | None = Field(
        None, description="What starts it by itself: CONNECTOR.ENTITY.EVENT, such as desk.ticket.assigned."
    )
    when: Expression | None = Field(None, description="Rooted at the entity: whether that event starts it.")
    settings: dict[str, RecipeSetting] = Field({}, json_schema_extra=NAMES)
    context: list[str] = Field([], description="Entities that are listed for it before Codex starts.")
    engine: Literal["app_server"] = "app_server"
    model: str | None = Field(None, description="The engine's default if not said.")
    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    tools: list[str] | None = Field(
        None,
        description="What Codex may do with the tenant's tools, as token scopes (ticket.get, comment.*); if"
        " not said, read the entity and its context. Writes reach only the entity it was started on.",
    )
    network: list[str] = Field([], description="Hosts that commands may reach, besides none.")
    budget: Budget | None = None
    prompt: str = Field(
        min_length=1,
        description="What Codex is to do. May hold {{ settings.x }}, {{ tenant.name }} and {{ run.id }}.",
    )
    output: dict[str, Any] | None = Field(None, description="JSON Schema of what the last message must be.")
    approve: Literal["never", "before_publish", "each_command"] = Field(
        "before_publish", description="`each_command` asks before it publishes, too."
    )
    approve_within: Duration = Field("1d", description="Without a decision by then it is declined.")
    publish: Publish | None = None
    write_back: WriteBack | None = None


class Price(Words):
    """What a million tokens cost."""

    input: int | float = Field(ge=0)
    cached_input: int | float | None = Field(None, ge=0, description="As `input` if not said.")
    output: int | float = Field(ge=0)


class TenantBudget(Words):
    """What the runs of one tenant may use up together."""

    tokens: int | None = Field(None, ge=1000)
    money: int | float | None = Field(None, gt=0, description="In the currency of `prices`.")
    every: Duration = Field("30d", description="The time that is looked back on.")


class Runs(Words):
    """How runs are worked in this installation."""

    at_once: int = Field(4, ge=1, description="Runs that one process works at once.")
    per_tenant: int = Field(2, ge=1, description="Runs of one tenant that are worked at once.")
    keep: Duration = Field("90d", description="How long the history of a run that ended is kept.")
    budget: TenantBudget | None = None
    prices: dict[str, Price] = Field({}, description="By model, in one currency. None is built in.")
