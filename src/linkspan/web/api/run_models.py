"""What the doors for runs and recipes take and answer."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from linkspan.store.runs import State
from linkspan.web.api.models import (
    NAMED,
    Cursor,
    GivenTime,
    Limit,
    Line,
    MaybeOfTenant,
    Name,
    Page,
    ThingId,
    Time,
)
from linkspan.web.api.reading import Example, Model

RunId = Annotated[str, Field(pattern=r"^run_[a-z2-7]{26}$")]
Words = Annotated[str, Field(pattern=r"\S", max_length=20_000)]
Person = Annotated[
    Line | None, Field(description="For which person it is done, where a service or an operator asks.")
]


class NewRun(Model):
    """A run to be. The header `Idempotency-Key` makes a repetition the same run."""

    example: ClassVar[Example] = {"recipe": "fix_ticket", "entity_id": "7", "person": "anna"}
    recipe: Name
    entity_id: ThingId | None = None
    integrated_account_id: Name | None = None
    person: Person = None


class RunListing(MaybeOfTenant):
    """Which runs. With `updated_after` they come in the order of their changes, for whoever follows them."""

    state: State | None = None
    recipe: Name | None = None
    entity: Name | None = None
    entity_id: ThingId | None = None
    person: Line | None = None
    updated_after: GivenTime | None = None
    limit: Limit = 50
    next_cursor: Cursor | None = None


class EventListing(MaybeOfTenant):
    """Which events of a run."""

    after: Annotated[int, Field(ge=0, le=2**53, description="The `seq` of the last event that is known.")] = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 200
    next_cursor: (
        Annotated[str, Field(pattern="^[0-9]{1,15}$", description="`next_cursor` of the page before.")] | None
    ) = None


class UsageOf(MaybeOfTenant):
    """Of which time: that in which the runs began."""

    created_after: Annotated[GivenTime | None, Field(alias="created_at[gt]")] = None
    created_before: Annotated[GivenTime | None, Field(alias="created_at[lt]")] = None


class Who(Model):
    """Who asks."""

    example: ClassVar[Example] = {"person": "anna"}
    person: Person = None


class Said(Who):
    """What a person says to Codex."""

    example: ClassVar[Example] = {"person": "anna", "text": "Mend the test as well, please."}
    text: Words


class Decided(Who):
    """A person's answer."""

    example: ClassVar[Example] = {"person": "anna", "note": "It is what the ticket asks for."}
    note: Annotated[str, Field(max_length=1000)] | None = None


class Enabled(Who):
    """What a tenant answers when it turns a recipe on; what is left out stays as it was."""

    example: ClassVar[Example] = {"person": "anna", "settings": {"repository": "acme/cafe"}}
    settings: Annotated[dict[str, Any], Field(max_length=50)] = {}


class Asker(Model):
    """Who asked for a run."""

    kind: str
    subject: str
    person: str | None


class Input(Model):
    """What a run is about."""

    entity: str | None
    id: str | None
    title: str | None
    account: str | None


class RunUsage(Model):
    """What a run has used; `cost` where the operator gave a price, in that currency."""

    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    total_tokens: int
    cost: float | None


class RunError(Model):
    """Why a run did not succeed, for programs and for people."""

    code: str
    message: str | None


class Parent(Model):
    """The run that this one goes on from."""

    id: str
    how: Literal["retry", "fork"]


class Run(Model):
    """One piece of work for Codex."""

    id: str
    tenant_id: str
    state: State
    recipe: str
    source: str
    asked_by: Asker
    private_to: Annotated[
        str | None,
        Field(
            description="The person whose own accounts it reads with: it is shown to them, to the recipe's"
            " approvers, to operators and to services with the scope `run.approve`."
        ),
    ]
    input: Input
    engine: str
    model: str | None
    versions: Annotated[dict[str, Any], NAMED]
    repository: str | None
    base_branch: str | None
    base_commit: str | None
    branch: str | None
    tree: Annotated[str | None, Field(description="git's id of the files that the diff shows.")]
    thread_id: str | None
    turns: int
    items: int
    last_event: int
    usage: RunUsage
    pull_request: dict[str, Any] | None
    summary: str | None
    error: RunError | None
    parent: Parent | None
    cancel_requested_by: str | None
    created_at: Time
    updated_at: Time
    started_at: Time | None
    finished_at: Time | None


class RunEvent(Model):
    """One thing that happened in a run; docs/runs.md names the kinds."""

    seq: int
    time: Time
    kind: str
    data: dict[str, Any]


class Events(Page[RunEvent]):
    """Events in order. There are more when `last_event` of the run is beyond the last one."""

    next_after: int
    """What to ask with next."""


class DecidedBy(Model):
    """Who decided: the person, and through what."""

    kind: str | None
    subject: str | None
    person: str | None


class Decision(Model):
    """An answer to a question of a run."""

    decision: str
    by: DecidedBy
    note: str | None
    at: Time | None


class Approval(Model):
    """What a run asks a person, and the answer."""

    id: str
    run: str
    kind: str
    reason: str
    data: dict[str, Any]
    created_at: Time
    deadline: Time
    decided: Decision | None


class Approvals(Page[Approval]):
    """What a run has asked."""


class Artifact(Model):
    """Something that a run made."""

    name: str
    media_type: str
    size: int
    updated_at: Time


class Artifacts(Page[Artifact]):
    """What a run has made so far."""


class Usage(Model):
    """What runs of one recipe used of one model."""

    recipe: str | None
    model: str | None
    runs: int
    calls: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    total_tokens: int
    cost: float | None
    minutes: Annotated[
        float, Field(description="That Codex worked for these runs, as far as they are still kept.")
    ]


class TokensOfBudget(Model):
    """Tokens that a budget bounds."""

    used: int
    limit: int | None
    left: int | None


class ShareOfBudget(Model):
    """Something that a budget bounds; a null `limit` is none."""

    used: float
    limit: float | None
    left: float | None


class Budget(Model):
    """What the tenant's runs used of `runs.budget`, in the time that it looks back."""

    since: str
    tokens: TokensOfBudget
    money: ShareOfBudget
    minutes: ShareOfBudget


class Usages(Page[Usage]):
    """What the tenant's runs used."""

    budget: Budget


class RecipeSetting(Model):
    """What a recipe asks a tenant, and the answer."""

    name: str
    type: str
    title: str
    description: str
    required: bool
    value: Any


class Recipe(Model):
    """A job for Codex, as a tenant has it."""

    name: str
    title: str
    description: str
    entity: str | None
    enabled: bool
    approve: str
    publish: str
    settings: list[RecipeSetting]
    changed_by: str | None
    changed_at: Time | None


class Recipes(Page[Recipe]):
    """The recipes of tools.yaml."""
