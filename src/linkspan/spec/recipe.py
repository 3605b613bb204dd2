"""What a recipe of tools.yaml becomes, and how runs are worked: plain data, nothing left to parse.

A run keeps the recipe that it was started with as `plain`, and reads it from there again (`read`): editing
tools.yaml changes what is started next, and nothing that goes on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from linkspan.spec.durations import seconds
from linkspan.spec.schedules import Schedule

if TYPE_CHECKING:
    from linkspan.spec import language

Json = dict[str, Any]
_DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}\Z", re.ASCII)
SettingType = Literal[
    "text", "names", "number", "choice", "repository", "repositories", "branch", "file", "people", "author"
]
Concurrency = Literal["skip", "queue", "supersede"]
Moment = Literal["started", "waiting", "finished", "failed", "declined", "cancelled", "superseded"]
MOMENTS: Final[tuple[Moment, ...]] = get_args(Moment)
Aftermath = Literal["merged", "closed", "approved", "changes_requested"]
AFTERMATHS: Final[tuple[Aftermath, ...]] = get_args(Aftermath)
Approve = Literal["never", "before_publish", "each_command"]
REVIEW_OUTPUT: Final[Json] = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "event": {"enum": ["comment", "request_changes", "approve"]},
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "path": {"type": "string"},
                    "line": {"type": "integer"},
                    "start_line": {"type": ["integer", "null"]},
                    "side": {"enum": ["LEFT", "RIGHT"]},
                    "severity": {"enum": ["blocking", "important", "minor"]},
                    "title": {"type": "string"},
                    "body": {"type": "string"},
                    "suggestion": {"type": ["string", "null"]},
                },
                "required": [
                    *("path", "line", "start_line", "side", "severity", "title", "body", "suggestion"),
                ],
                "additionalProperties": False,
            },
        },
    },
    "required": ["summary", "event", "findings"],
    "additionalProperties": False,
}
"""What a review is made of, where a recipe says nothing else. Strict answers want every member named."""
PublishAs = Literal["pull_request", "review", "patch", "nothing"]


@dataclass(frozen=True, slots=True)
class RecipeSetting:
    """Something that a tenant is asked when it turns a recipe on."""

    name: str
    type: SettingType
    title: str
    description: str
    required: bool
    default: Any
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trigger:
    """An event that starts a recipe by itself, or ends its run."""

    connector: str
    entity: str
    event: str

    def __str__(self) -> str:
        return f"{self.connector}.{self.entity}.{self.event}"


@dataclass(frozen=True, slots=True)
class Mention:
    """A comment that starts a recipe on what it stands at."""

    triggers: tuple[Trigger, ...]
    name: str
    """A template over settings: what the comment has to say."""
    by: str
    """JMESPath rooted at the comment, beside `settings`: whose word counts."""


@dataclass(frozen=True, slots=True)
class Back:
    """What is written into the entity; its texts are templates."""

    comment: str | None
    update: Mapping[str, Any]

    def __bool__(self) -> bool:
        return bool(self.comment or self.update)


@dataclass(frozen=True, slots=True)
class Notice:
    """A call of an operation at some moments of a run; texts among the arguments are templates."""

    moments: tuple[Moment, ...]
    call: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What belongs to the entity and is listed for it; `whole` of them, the first, are read one by one.

    `operation` is called on each of these, or, without an entity, on the thing itself.
    """

    entity: str | None
    whole: int
    operation: str | None = None
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class Follow:
    """What becomes of the pull request afterwards, and what the entity is told of it."""

    triggers: tuple[Trigger, ...]
    backs: Mapping[Aftermath, Back]
    prompt: str | None = field(repr=False)
    """A template as the recipe's own; None: Codex does not go on after a review."""
    when: str | None
    """JMESPath rooted at a review."""
    rounds: int


@dataclass(frozen=True, slots=True)
class Publish:
    """What becomes of the change; title and body are templates."""

    how: PublishAs
    draft: bool
    title: str | None
    body: str | None
    may_approve: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """A job for Codex."""

    name: str
    title: str
    description: str
    entity: str | None
    triggers: tuple[Trigger, ...]
    when: str | None
    """JMESPath rooted at the entity: whether an event starts it."""
    mention: Mention | None
    debounce: float | None
    """Seconds that it is to be quiet before events start it."""
    concurrency: Concurrency
    most_runs: int
    """On one thing, by events, within `limit_within` seconds."""
    limit_within: float
    stops: tuple[Trigger, ...]
    """Events that end a run which has not published yet."""
    stop_when: str | None
    starts_once: bool
    """Whether events start one run on a thing, until one of `stops` came."""
    schedule: Schedule | None
    repository: str | None
    """JMESPath rooted at the entity: which of the tenant's repositories it is about."""
    settings: Mapping[str, RecipeSetting]
    context: tuple[Gathered, ...]
    tells_difference: bool
    """Whether it is told what is different from when a run on the same thing last succeeded."""
    engine: str
    model: str | None
    effort: str | None
    tools: tuple[str, ...]
    """Token scopes."""
    fetch: tuple[Literal["submodules", "lfs"], ...]
    """What is fetched beside the repository's own files."""
    network: tuple[str, ...]
    seconds: float
    tokens: int | None
    money: float | None
    prompt: str = field(repr=False)
    """A template over settings, tenant.name and run.id."""
    output: Json | None = field(repr=False)
    approve: Approve
    approve_within: float
    publish: Publish
    backs: Mapping[Moment, Back]
    """What the entity is told, and when; a moment of which nothing was said is not there."""
    notices: tuple[Notice, ...]
    follow: Follow | None
    plain: Json = field(repr=False)
    """What it was made of."""

    def setting_of(self, kind: SettingType) -> RecipeSetting | None:
        """Answer the setting of a type of which there is at most one."""
        return next((setting for setting in self.settings.values() if setting.type == kind), None)

    def back(self, moment: Moment) -> Back:
        """Answer what the entity is told at a moment: `failed` stands for ends that have no words."""
        usual = "failed" if moment in ("declined", "cancelled") else moment
        return self.backs.get(moment) or self.backs.get(usual) or Back(None, {})

    @property
    def reviews_entity(self) -> bool:
        """Whether what it is started on is a change to review, and where the work is done."""
        return self.entity == "pull_request" and self.publish.how == "review"

    def files_of(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Answer the files of the repository that a tenant has named, by what each is called."""
        named = [each for each in self.settings.values() if each.type == "file"]
        return {each.title: str(settings[each.name]) for each in named if settings.get(each.name)}

    @property
    def asks_commands(self) -> bool:
        """Whether a person is asked before what the sandbox would not let through."""
        return self.approve == "each_command"

    @property
    def asks_before_publishing(self) -> bool:
        """Whether a person is asked before anything leaves."""
        return self.approve != "never" and self.publish.how in ("pull_request", "review")


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in the operator's currency."""

    input: float
    cached_input: float
    output: float

    def of(self, input_tokens: int, cached_input_tokens: int, output_tokens: int) -> float:
        """Answer what tokens cost; `input_tokens` includes the cached ones."""
        fresh = max(input_tokens - cached_input_tokens, 0)
        total = fresh * self.input + cached_input_tokens * self.cached_input + output_tokens * self.output
        return total / 1_000_000


@dataclass(frozen=True, slots=True)
class RunsPolicy:
    """How runs are worked in this installation."""

    at_once: int = 4
    """In one process."""
    everywhere: int | None = None
    """In all processes together."""
    per_tenant: int = 2
    waiting: int = 200
    """Of one tenant, for their turn."""
    keep: float = 90 * 86_400.0
    tenant_tokens: int | None = None
    tenant_money: float | None = None
    tenant_seconds: float | None = None
    """That engines worked for its runs; waiting for a person does not count."""
    every: float = 30 * 86_400.0
    """Seconds that a tenant's budget looks back."""
    prices: Mapping[str, Price] = field(default_factory=dict)

    def price_of(self, model: str) -> Price | None:
        """Answer the price of the model that answered: of its dated release, or else of its name alone.

        Asked for `gpt-5.5`, OpenAI answers as `gpt-5.5-2026-04-23`.
        """
        return self.prices.get(model) or self.prices.get(_DATE.sub("", model))


def policy(form: language.Runs | None) -> RunsPolicy:
    """Answer what `runs:` says."""
    if form is None:
        return RunsPolicy()
    budget = form.budget
    return RunsPolicy(
        at_once=form.at_once,
        everywhere=form.everywhere,
        per_tenant=form.per_tenant,
        waiting=form.waiting,
        keep=seconds(form.keep),
        tenant_tokens=budget.tokens if budget else None,
        tenant_money=None if budget is None or budget.money is None else float(budget.money),
        tenant_seconds=None if budget is None or budget.minutes is None else budget.minutes * 60.0,
        every=seconds(budget.every) if budget else RunsPolicy().every,
        prices={
            model: Price(
                float(price.input),
                float(price.input if price.cached_input is None else price.cached_input),
                float(price.output),
            )
            for model, price in form.prices.items()
        },
    )


def read(name: str, plain: Mapping[str, Any]) -> Recipe:
    """Answer the recipe that `plain` was made of; it was checked when tools.yaml was read."""
    from linkspan.spec import language

    return settle(name, language.Recipe.model_validate(dict(plain)))


def settle(name: str, form: language.Recipe) -> Recipe:
    """Answer what a recipe's words mean, with all that they left out."""
    from linkspan.spec import language

    budget = form.budget or language.Budget.model_validate({})
    publish = form.publish or language.Publish.model_validate({})
    limit = form.limit or language.Limit.model_validate({})
    return Recipe(
        name=name,
        title=form.title,
        description=form.description,
        entity=form.entity,
        triggers=triggers(form.on),
        when=form.when,
        mention=_mention(form.mention),
        debounce=None if form.debounce is None else seconds(form.debounce),
        concurrency=form.concurrency,
        most_runs=limit.runs,
        limit_within=seconds(limit.within),
        stops=triggers(form.stop.on if form.stop else None),
        stop_when=form.stop.when if form.stop else None,
        starts_once=form.stop is not None and form.stop.once,
        schedule=None if form.every is None else Schedule(form.every, form.zone or "UTC"),
        repository=form.repository,
        settings={
            key: RecipeSetting(
                key,
                setting.type,
                setting.title or key.replace("_", " ").capitalize(),
                setting.description,
                setting.required,
                setting.default,
                tuple(setting.choices),
            )
            for key, setting in form.settings.items()
        },
        context=tuple(
            Gathered(each.entity, each.whole, each.operation, each.optional) for each in form.context
        ),
        tells_difference=form.difference,
        engine=form.engine,
        model=form.model,
        effort=form.effort,
        tools=_tools(form),
        fetch=tuple(form.fetch),
        network=tuple(form.network),
        seconds=budget.minutes * 60.0,
        tokens=budget.tokens,
        money=None if budget.money is None else float(budget.money),
        prompt=form.prompt,
        output=form.output or (REVIEW_OUTPUT if publish.as_ == "review" else None),
        approve=form.approve,
        approve_within=seconds(form.approve_within),
        publish=Publish(publish.as_, publish.draft, publish.title, publish.body, publish.may_approve),
        backs={moment: Back(back.comment, dict(back.update)) for moment, back in backs(form)},
        notices=tuple(Notice(tuple(each.at), each.call, dict(each.arguments)) for each in form.notify),
        follow=_follow(form.follow),
        plain=form.model_dump(mode="json", by_alias=True, exclude_unset=True),
    )


def _mention(form: language.Mention | None) -> Mention | None:
    return Mention(triggers(form.on), form.name, form.by) if form is not None else None


def _follow(form: language.Follow | None) -> Follow | None:
    if form is None:
        return None
    said = {moment: back for moment in AFTERMATHS if (back := getattr(form, moment)) is not None}
    backs = {moment: Back(back.comment, dict(back.update)) for moment, back in said.items()}
    return Follow(triggers(form.on), backs, form.prompt, form.when, form.rounds)


def triggers(said: str | Sequence[str] | None) -> tuple[Trigger, ...]:
    """Answer the events that `on` names."""
    names = [said] if isinstance(said, str) else said or ()
    parts = [name.split(".") for name in names]
    return tuple(Trigger(*each) for each in parts if len(each) == 3)


def backs(form: language.Recipe) -> list[tuple[Moment, language.Back]]:
    """Answer what `write_back` says, by moment."""
    said = [(moment, getattr(form.write_back, moment, None)) for moment in MOMENTS]
    return [(moment, back) for moment, back in said if back is not None]


def _tools(form: language.Recipe) -> tuple[str, ...]:
    if form.tools is not None:
        return tuple(form.tools)
    read = (f"{form.entity}.get",) if form.entity else ()
    listed = (f"{each.entity}.list" for each in form.context if each.entity)
    whole = (f"{each.entity}.get" for each in form.context if each.entity and each.whole)
    asked = (f"{each.entity or form.entity}.{each.operation}" for each in form.context if each.operation)
    return (*read, *listed, *whole, *asked)
