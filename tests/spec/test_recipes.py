"""Recipes: what their words mean, with all that they left out."""

from __future__ import annotations

import re
from typing import Any

import pytest

from linkspan.errors import SpecError
from linkspan.spec.recipe import Price, Recipe, RunsPolicy, read
from linkspan.spec.templates import BadTemplateError, check, render


def only(load: Any, text: str) -> Recipe:
    """Answer the one recipe of a file."""
    (recipe,) = load(text).recipes.values()
    assert isinstance(recipe, Recipe)
    return recipe


def test_what_is_left_out(good: str, load: Any) -> None:
    """A title and a prompt are enough: half an hour, nothing published, a person asked before."""
    recipe = only(load, good + "recipes: {tidy: {title: Tidy up, prompt: Tidy up.}}")
    assert (recipe.engine, recipe.seconds, recipe.tokens, recipe.approve_within) == (
        "app_server",
        1800,
        None,
        86400,
    )
    assert (recipe.publish.how, recipe.approve, recipe.tools) == ("nothing", "before_publish", ())
    assert not recipe.asks_before_publishing
    assert not recipe.back("started")
    assert recipe.triggers == ()


def test_what_is_said(good: str, recipe: str, load: Any) -> None:
    """It reads the entity, asks before it publishes, and knows which setting is the repository."""
    fix = only(load, good + recipe)
    assert fix.tools == ("ticket.get",)
    assert fix.asks_before_publishing
    assert not fix.asks_commands
    assert [str(each) for each in fix.triggers] == ["desk.ticket.assigned"]
    repository = fix.setting_of("repository")
    assert repository is not None
    assert (repository.name, repository.title, repository.required) == ("repository", "Repository", True)
    assert fix.setting_of("people") is None
    assert fix.back("finished").update == {"status": "in_progress"}


CONTEXT = "\nrecipes: {r: {title: R, entity: ticket, prompt: Do., context: [%s]}}"


def test_what_is_read_before(good: str, load: Any) -> None:
    """Operations of the thing itself, and of what is listed for it; Codex may read them again."""
    found = only(load, good + CONTEXT % "{operation: get, optional: true}")
    (read_first,) = found.context
    assert (read_first.entity, read_first.operation, read_first.is_optional) == (None, "get", True)
    assert found.tools == ("ticket.get", "ticket.get")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("{whole: 2}", "the word 'operation' is missing"),
        ("{operation: get, whole: 2}", "the word 'entity' is missing"),
        ("{operation: nowhere}", "context needs ticket.nowhere"),
        ("{operation: update}", "update_ticket does not only read"),
        ("{operation: search}", "search_tickets needs 'query', which nothing says"),
        ("{entity: ticket, operation: get}", "said by 'whole', which is missing"),
    ],
)
def test_what_cannot_be_read_before(good: str, said: str, told: str, load: Any) -> None:
    """Each mistake is told in words that say what to do."""
    with pytest.raises(SpecError, match=re.escape(told)):
        load(good + CONTEXT % said)


FOLLOW = """
connectors:
  forge:
    base_url: https://forge.example
    auth: [{type: bearer}]
    pagination: {style: none}
    webhooks:
      verify: {hmac: sha256, header: X-S}
      events: {pull_request.closed: {id: body.id}, pull_request.reviewed: {id: body.id}}
entities:
  pull_request:
    model: pull_request
    sources: {forge: {fields: {id: id}, operations: {get: {request: "GET /pulls/{id}"}}}}
recipes:
  r:
    title: R
    entity: ticket
    prompt: Do.
    settings: {repository: {type: repository}}
    publish: pull_request
    follow: {on: [forge.pull_request.closed], %s}
"""


REVIEWS = """
          reviews:
            description: List the reviews of a pull request.
            request: GET /pulls/{id}/reviews
            items: "@"
            returns: %s
  review:
    model: review
    sources: {forge: {fields: {id: id, body: text, state: state, author: "{name: who}"}}}
"""


def test_which_reviews_are_gone_on_from(good: str, load: Any) -> None:
    """By their fields; of what is passed on as it came nobody knows what there is."""
    word = 'operations: {get: {request: "GET /pulls/{id}"}}}}\n'
    assert word in FOLLOW
    spread = '\n        fields: {id: id}\n        operations:\n          get: {request: "GET /pulls/{id}"}'
    plain = FOLLOW.replace("{forge: {fields: {id: id}, " + word, "\n      forge:" + spread + REVIEWS)
    there = plain.replace("returns: %s", "returns: review")
    load(good, there % "prompt: Go on., when: author.name == 'ada' && state_raw")
    told = "recipes.r.follow.when: 'authr' is not known here; there are id, body, state, state_raw, author"
    with pytest.raises(SpecError, match=re.escape(f"{told} (did you mean 'author'?)")):
        load(good, there % "prompt: Go on., when: authr.name == 'ada'")
    load(good, plain.replace("returns: %s", "returns: raw") % "prompt: Go on., when: authr.name == 'ada'")


def test_what_becomes_of_a_pull_request(good: str, load: Any) -> None:
    """By moment, as what is written back; without a prompt Codex does not go on."""
    follow = next(iter(load(good, FOLLOW % "merged: {update: {status: todo}}").recipes.values())).follow
    assert follow is not None
    assert [str(each) for each in follow.triggers] == ["forge.pull_request.closed"]
    assert (follow.backs["merged"].update, follow.prompt, follow.rounds) == ({"status": "todo"}, None, 5)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("merged: {update: {status: nowhere}}", "cannot be 'nowhere'"),
        ("closed: Closed.", "a comment needs ticket.comment"),
        ("prompt: Go on.", "follow needs pull_request.reviews"),
        ("rounds: 3", "rounds is about Codex going on, and the word 'prompt' is missing"),
        ("merged: {update: {title: '{{ nothing }}'}}", "nothing"),
    ],
)
def test_what_cannot_be_followed(said: str, told: str, good: str, load: Any) -> None:
    """Each mistake is told in words that say what to do."""
    with pytest.raises(SpecError, match=re.escape(told)):
        load(good, FOLLOW % said)


def test_a_run_reads_again_what_it_was_started_with(good: str, recipe: str, load: Any) -> None:
    """The plain words are enough, and are what was written."""
    fix = only(load, good + recipe)
    assert read("fix_ticket", fix.plain) == fix
    assert fix.plain["publish"] == {"as": "pull_request", "title": "{{ ticket.title }}"}


def test_how_runs_are_worked(good: str, load: Any) -> None:
    """Said or not."""
    assert load(good).runs == RunsPolicy()
    said = load(
        good + "runs: {at_once: 9, everywhere: 20, budget: {tokens: 5000, minutes: 1.5, every: 1d},"
        " prices: {m: {input: 1, output: 10}, n: {input: 2, cached_input: 0, output: 3}}}"
    ).runs
    assert (said.at_once, said.per_tenant, said.tenant_tokens, said.every) == (9, 2, 5000, 86400)
    assert (said.everywhere, said.tenant_seconds) == (20, 90.0)
    assert said.prices == {"m": Price(1.0, 1.0, 10.0), "n": Price(2.0, 0.0, 3.0)}
    assert said.prices["n"].of(1_500_000, 500_000, 1_000_000) == 5.0


def test_money_is_counted_for_models_with_a_price(good: str, load: Any) -> None:
    """A budget of it without one is a mistake, wherever it stands; a dated name has the price of its name."""
    prices = "prices: {gpt-5.5: {input: 1, output: 10}}"
    tidy = "recipes: {tidy: {title: Tidy up, prompt: Tidy up., model: MODEL, budget: {money: 1}}}\n"
    for model in ("gpt-5.5", "gpt-5.5-2026-04-23"):
        assert only(load, good + tidy.replace("MODEL", model) + f"runs: {{{prices}}}").money == 1
    for runs, told in (
        ("{}", "recipes.tidy.budget.money: a budget of money bounds nothing"),
        (f"{{{prices}}}", r"recipes.tidy.model: .* has no price of 'gpt-5.6' \(did you mean 'gpt-5.5'\?\)"),
    ):
        with pytest.raises(SpecError, match=told):
            load(good + tidy.replace("MODEL", "gpt-5.6") + f"runs: {runs}")
    with pytest.raises(SpecError, match=r"runs.budget.money: a budget of money bounds nothing"):
        load(good + "runs: {budget: {money: 5}}")


def test_a_text_is_filled_in() -> None:
    """Lists are joined, what is missing is nothing, and a line that only decides leaves no line."""
    text = "To {{ settings.people }}: {{ settings.none }}{{ run.id | upper }}\n"
    text += "{% if settings.none %}\nno\n{% endif %}\n.\n"
    values = {"settings": {"people": ["bo", "al"], "none": None}, "run": {"id": "r"}}
    check(text, {"settings": {"people": None, "none": None}, "run": {"id": None}})
    assert render(text, values) == "To bo, al: R\n.\n"


@pytest.mark.parametrize(
    "text",
    [
        "{{ settings.__class__ }}",
        "{{ settings['x'] }}",
        "{{ ''.__class__ }}",
        "{% set a = 1 %}",
        "{% include 'x' %}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ settings.x * 99999999 }}",
        "{{ cycler }}",
        "{% macro a() %}{% endmacro %}",
        "{% for a in settings.x %}{% endfor %}",
        "{{ settings.x | map('upper') }}",
        "{{ settings.x.format(1) }}",
    ],
)
def test_nothing_else_may_stand_there(text: str) -> None:
    """No way to code, loops or growth."""
    with pytest.raises(BadTemplateError):
        check(text, {"settings": {"x": None}})


MENTION = "\nrecipes: {r: {title: R, entity: ticket, prompt: Do., settings: {bot: text}%s, mention: {%s}}}"
TOLD = """    webhooks:
      verify: {bearer: true}
      events: {ticket.said: {id: body.id, comment: body.comment.id}, ticket.moved: {id: body.id}}
    rate_limit: {"""
COMMENTS = """          comments:
            tool: list_comments_of_ticket
            description: List the comments of a ticket.
            request: GET /tickets/{id}/comments
            items: "@"
            returns: comment
          search: {"""
COMMENT = """
  comment:
    model: comment
    sources: {desk: {fields: {id: id, body: text, author: "{name: who}", created_at: when}}}
"""
CALLED = 'on: desk.ticket.said, name: "@{{ settings.bot }}", by: "author.name == \'ada\'"'


def with_comments(good: str) -> str:
    """Answer the file with tickets that have comments, of which the product tells."""
    return good.replace("    rate_limit: {", TOLD).replace("          search: {", COMMENTS) + COMMENT


def test_a_comment_that_calls(good: str, load: Any) -> None:
    """Its events, its name with settings, and whose word counts; nothing else has to start the recipe."""
    found = only(load, with_comments(good) + MENTION % ("", CALLED) + "\n")
    assert found.mention is not None
    assert [str(each) for each in found.mention.triggers] == ["desk.ticket.said"]
    assert (found.mention.name, found.mention.by) == ("@{{ settings.bot }}", "author.name == 'ada'")
    assert found.triggers == ()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            CALLED.replace(".said", ".moved"),
            "desk.ticket.moved names no comment: its event has no word 'comment'",
        ),
        (CALLED.replace(".said", ".sad"), "desk tells no event ticket.sad (did you mean 'ticket.said'?)"),
        (CALLED.replace(".bot", ".bod"), "did you mean 'bot'?"),
        (CALLED.replace("settings.bot", "run.id"), "run"),
        (CALLED.replace("author.name ==", "author.name ="), "mention.by"),
        (
            CALLED.replace("author.name", "authr.name"),
            "'authr' is not known here; there are id, body, author, created_at, created_at_raw, settings",
        ),
        (
            CALLED.replace("author.name", "settings.bod"),
            "recipes.r.mention.by: 'bod' is none of the settings; there are bot (did you mean 'bot'?)",
        ),
        (
            CALLED.replace("author.name ==", "contains(settings.bots, id) && id =="),
            "recipes.r.mention.by: 'bots' is none of the settings; there are bot (did you mean 'bot'?)",
        ),
        (CALLED.partition(", by")[0], "the word 'by' is missing"),
        ('on: desk.ticket.said, by: "@"', "the word 'name' is missing"),
    ],
)
def test_what_cannot_call(good: str, said: str, told: str, load: Any) -> None:
    """Each mistake is told in words that say what to do."""
    with pytest.raises(SpecError, match=re.escape(told)):
        load(with_comments(good) + MENTION % ("", said))


@pytest.mark.parametrize(
    "by",
    [
        *("@", "settings.bot == author.name", "created_at_raw", "author.nick", "settings", "`true`"),
        *("sort_by([author], &nick)[0].nick == settings.bot", "[author][?nick == settings.bots]"),
    ],
)
def test_whose_word_counts(by: str, good: str, load: Any) -> None:
    """By what is read of a comment, and by what the tenant set; what is inside of things is free."""
    said = CALLED.replace("author.name == 'ada'", by.replace('"', "'"))
    mention = only(load, with_comments(good) + MENTION % ("", said)).mention
    assert mention is not None
    assert mention.by == by


def test_comments_have_to_be_readable(good: str, load: Any) -> None:
    """A delivery is only a hint: without a list of comments nobody is heard."""
    told = "a comment is read anew: ticket needs the operation comments, or comment a list"
    with pytest.raises(SpecError, match=re.escape(told)):
        load(good.replace("    rate_limit: {", TOLD) + MENTION % ("", CALLED))


def test_quiet_and_when_belong_to_events(good: str, load: Any) -> None:
    """What only a mention starts may wait for another run, and not for quiet."""
    ways = ", concurrency: queue, limit: 3, stop: desk.ticket.moved"
    assert only(load, with_comments(good) + MENTION % (ways, CALLED)).stops
    with pytest.raises(SpecError, match="debounce belongs to `on`, which is not there"):
        load(with_comments(good) + MENTION % (", debounce: 10s", CALLED))
