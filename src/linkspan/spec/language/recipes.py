"""The words of `recipes` and `runs`: jobs for Codex, and how they are worked."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from linkspan.spec.language.words import NAMES, Duration, Expression, Scalar, Words


class RecipeSetting(Words):
    """Something that a tenant is asked when it turns the recipe on."""

    shorthand = "type"
    type: Literal[
        "text",
        "names",
        "number",
        "choice",
        "repository",
        "repositories",
        "branch",
        "file",
        "people",
        "author",
    ] = Field(
        "text",
        description="`names` are several, such as people of a tracker;"
        " `repository` is where the work is done, an id of a linked forge account;"
        " `repositories` are those among which the thing says where; `branch` is what it begins from;"
        " `file` is one of the repository at that branch, which Codex is given; `people` are those who may"
        " approve; `author` is whose name commits bear.",
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
    """What the entity is told: when work begins, when a person is waited for, and how it ended."""

    started: Back | None = None
    waiting: Back | None = Field(None, description="When a person is asked whether it may be published.")
    finished: Back | None = None
    failed: Back | None = Field(None, description="However else it ended, where no word below says it.")
    declined: Back | None = Field(None, description="When a person said no, or nobody said anything in time.")
    cancelled: Back | None = Field(None, description="When somebody cancelled it.")
    superseded: Back | None = Field(
        None, description="When an event ended it; nothing is written where this is not said."
    )


Moment = Literal["started", "waiting", "finished", "failed", "declined", "cancelled", "superseded"]


class Notice(Words):
    """Who else is told: one call of an operation, such as posting a message."""

    at: list[Moment] = Field(min_length=1, description="When: the words of `write_back`.")
    call: str = Field(description="ENTITY.OPERATION, such as message.create.")
    arguments: dict[str, Scalar] = Field(
        {}, json_schema_extra=NAMES, description="What it is called with; texts are templates."
    )


class Limit(Words):
    """How often events start a recipe on one thing: what goes on longer is taken for a loop."""

    shorthand = "runs"
    runs: int = Field(20, ge=1)
    within: Duration = "1h"


class Stop(Words):
    """Events that end a run which has not published yet."""

    shorthand = "on"
    on: str | list[str] = Field(description="CONNECTOR.ENTITY.EVENT, or several.")
    when: Expression | None = Field(None, description="Rooted at the entity: whether it ends the run.")
    once: bool = Field(
        False,
        description="Whether events start one run on a thing until one of these came: for what is told again"
        " and again while it lasts.",
    )


class Mention(Words):
    """A comment that calls Codex, and starts a run on what it stands at."""

    on: str | list[str] = Field(
        description="Events of comments: CONNECTOR.ENTITY.EVENT, such as github.ticket.commented, or several."
    )
    name: str = Field(
        min_length=2, description="What the comment has to say, such as @codex. May hold {{ settings.x }}."
    )
    by: Expression = Field(
        description="Rooted at the comment, which is read anew, beside `settings`: whose word counts, such as"
        " author.name == 'ada'."
    )


class Follow(Words):
    """What becomes of the pull request afterwards."""

    on: str | list[str] = Field(
        description="The forge's events: CONNECTOR.pull_request.EVENT, such as github.pull_request.closed,"
        " or several."
    )
    merged: Back | None = None
    closed: Back | None = Field(None, description="When it was closed without being merged.")
    approved: Back | None = None
    changes_requested: Back | None = Field(
        None, description="When Codex goes on because of a review: instead of `started`."
    )
    prompt: str | None = Field(
        None,
        description="What Codex is told, in the same thread, when a review asks for changes; without it,"
        " it does not go on.",
    )
    when: Expression | None = Field(
        None, description="Rooted at the review: whether Codex goes on because of it."
    )
    rounds: int = Field(5, ge=1, le=50, description="How often it goes on for one pull request at most.")


class Gathered(Words):
    """What belongs to the entity, listed for it before Codex starts."""

    shorthand = "entity"
    entity: str | None = Field(
        None, description="Its `list` takes the recipe's entity as an argument. Not said: the thing itself."
    )
    whole: int = Field(
        0, ge=0, le=20, description="How many of them, from the first, are read one by one: lists leave out."
    )
    operation: str | None = Field(
        None,
        description="What else is asked of each that is read whole, or of the thing itself: comments,"
        " picture. What answers a picture is given as a picture.",
    )
    optional: bool = Field(
        False, description="Whether the run goes on without it, where it is refused or not there."
    )


class Recipe(Words):
    """A job for Codex, the same for every tenant that turns it on."""

    title: str = Field(description="What the button says.")
    description: str = ""
    entity: str | None = Field(None, description="What it is started on.")
    on: str | list[str] | None = Field(
        None,
        description="What starts it by itself: CONNECTOR.ENTITY.EVENT, such as desk.ticket.assigned, or"
        " several.",
    )
    when: Expression | None = Field(None, description="Rooted at the entity: whether that event starts it.")
    mention: Mention | None = Field(None, description="A comment that starts it, whatever `when` says.")
    debounce: Duration | None = Field(
        None,
        description="How long it is to be quiet before events start it: what comes meanwhile counts once."
        " It waits ten times as long at most.",
    )
    concurrency: Literal["skip", "queue", "supersede"] = Field(
        "skip",
        description="What an event does while a run goes on for the same thing: nothing; it starts one"
        " afterwards; it ends that run and starts one.",
    )
    limit: Limit | None = None
    stop: Stop | None = None
    every: str | None = Field(
        None,
        description="When it starts by itself, for each tenant that has it on: a duration (`7d`), or five"
        " fields of cron (`0 6 * * 1`). For a recipe without an entity.",
    )
    zone: str | None = Field(
        None, description="Whose clock the fields of cron mean: Europe/Berlin. UTC if not said."
    )
    settings: dict[str, RecipeSetting] = Field({}, json_schema_extra=NAMES)
    repository: Expression | None = Field(
        None,
        description="Rooted at the entity: which of the tenant's `repositories` the work is done in.",
    )
    context: list[Gathered] = Field([], description="What is read for it before Codex starts.")
    difference: bool = Field(
        False,
        description="Whether Codex is told what is different from when a run on the same thing last"
        " succeeded.",
    )
    engine: Literal["app_server", "agents_api", "responses"] = Field(
        "app_server",
        description="Codex on this machine; the Codex that OpenAI hosts; or, for a structured answer, a model"
        " of OpenAI in the background.",
    )
    model: str | None = Field(None, description="The engine's default if not said.")
    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None
    tools: list[str] | None = Field(
        None,
        description="What Codex may do with the tenant's tools, as token scopes (ticket.get, comment.*); if"
        " not said, read the entity and its context. Writes reach only the entity it was started on.",
    )
    fetch: list[Literal["submodules", "lfs"]] = Field(
        [],
        description="What is fetched beside the repository's own files: `submodules` at the same forge, and"
        " what pointers of Git LFS name (`lfs`), to be looked at and tested with; a run changes nothing in"
        " them.",
    )
    network: list[str] = Field([], description="Hosts that commands may reach, besides none.")
    budget: Budget | None = None
    prompt: str = Field(
        min_length=1,
        description="What Codex is to do. May hold {{ settings.x }}, {{ tenant.name }} and {{ run.id }}.",
    )
    output: dict[str, Any] | None = Field(None, description="JSON Schema of what the last message must be.")
    approve: Literal["never", "before_publish", "each_command"] = Field(
        "before_publish",
        description="`each_command` asks for each command that is to leave the sandbox, and before it"
        " publishes.",
    )
    approve_within: Duration = Field("1d", description="Without a decision by then it is declined.")
    publish: Publish | None = None
    write_back: WriteBack | None = None
    notify: list[Notice] = Field([], description="Who else is told.")
    follow: Follow | None = Field(None, description="What becomes of the pull request afterwards.")


class Price(Words):
    """What a million tokens cost."""

    input: int | float = Field(ge=0)
    cached_input: int | float | None = Field(None, ge=0, description="As `input` if not said.")
    output: int | float = Field(ge=0)


class TenantBudget(Words):
    """What the runs of one tenant may use up together."""

    tokens: int | None = Field(None, ge=1000)
    money: int | float | None = Field(None, gt=0, description="In the currency of `prices`.")
    minutes: int | float | None = Field(
        None, gt=0, description="Of wall clock that Codex worked; `every` is `keep` at most then."
    )
    every: Duration = Field("30d", description="The time that is looked back on.")


class Runs(Words):
    """How runs are worked in this installation."""

    at_once: int = Field(4, ge=1, description="Runs that one process works at once.")
    everywhere: int | None = Field(
        None, ge=1, description="Runs that all processes together work at once; no bound if not said."
    )
    per_tenant: int = Field(2, ge=1, description="Runs of one tenant that are worked at once.")
    waiting: int = Field(
        200, ge=1, description="Runs of one tenant that may wait for their turn; more are refused for now."
    )
    keep: Duration = Field("90d", description="How long the history of a run that ended is kept.")
    budget: TenantBudget | None = None
    prices: dict[str, Price] = Field({}, description="By model, in one currency. None is built in.")
