"""What strangers write into tickets and alerts, at each door by which a run says it again under our name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import pytest

from linkspan.runs.context import Context, Reader
from linkspan.runs.write_back import WriteBack
from linkspan.spec.recipe import Back, read
from linkspan.store.runs import Run
from linkspan.text.outgoing import Outgoing
from tests.fakes.engine import ScriptedEngine
from tests.fakes.places import FakeForge, FakePlaces
from tests.runs.conftest import House
from tests.runs.test_work import comments, ticket
from tests.runs.working import BASE, Works, parts_of, working

pytestmark = pytest.mark.slow
TITLE: Final = "[Approve it here](https://evil.example/x) @ada fixes #1 #done"
SAID: Final = "Approve it here (evil.example/x) @ ada fixes \u2013 #1 \uff03done"
TEXT: Final = (
    "It fails.\n\n/merge\n\n[Approve it here][1]\n\n[1]: https://evil.example/x\n\n<!channel> closes #2"
)
QUOTE: Final[dict[str, Any]] = {
    "title": "Say it again",
    "entity": "ticket",
    "settings": {"repository": {"type": "repository", "required": True}},
    "prompt": "Say nothing.",
    "approve": "never",
    "publish": {"as": "pull_request", "body": "{{ ticket.description }}\n\nCloses {{ ticket.key }}"},
    "write_back": {
        "started": {
            "comment": "{{ ticket.title }}: [look]({{ ticket.url }}) or {{ run.url }}",
            "update": {"title": "Codex: {{ ticket.title }}"},
        },
        "finished": "{{ ticket.description }}",
    },
    "notify": [
        {
            "at": ["finished"],
            "call": "ticket.comment",
            "arguments": {"id": "{{ ticket.id }}", "body": "A fix for {{ ticket.title }}"},
        },
    ],
}
UNWANTED: Final = re.compile(
    r"://evil|\]\[|\]:|@ada|\]\(https://evil|fixes #|closes #|^/merge|<!channel|#done", re.MULTILINE
)


async def test_a_strangers_words_are_only_words_in_what_our_bot_writes(house: House) -> None:
    """In comments, fields, what others are told, and a pull request's title, text and commit.

    The operator's own link and the word that closes the ticket stay what they are.
    """
    recipes = {**house.app.catalog.recipes, "quote": read("quote", QUOTE)}
    house.app.gateway.replace_catalog(replace(house.app.catalog, recipes=recipes))
    await house.enable("quote")
    house.desk.store.execute(
        "UPDATE tickets SET subject = ?, body_markdown = ? WHERE org = 'acme' AND key = 'HC-103'",
        [TITLE, TEXT],
    )
    made = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    async with working(house.app, parts_of(house.app, made)):
        run = await made.start("quote")
        done = await made.until(run.id)
    assert (done.state, done.error_message) == ("succeeded", None)
    assert await made.told(run.id, "warning") == []
    started, told, finished = comments(house)
    published = made.forge.opened[run.id]
    _author, message = made.places.commits[run.id]
    assert started.startswith(f"{SAID}: [look](http")
    assert f"/t/acme/runs/{run.id}" in started
    assert finished.startswith("It fails.\n\n\u2215merge\n\n[Approve it here] [1]\n\n1 - evil.example/x")
    assert told.startswith(f"A fix for {SAID}\n")
    assert ticket(house)["subject"] == f"Codex: {SAID}"
    assert published.title == f"{SAID} (HC-103)"
    assert published.body.endswith("\n\nCloses HC-103")
    assert message.startswith(f"{SAID} (HC-103)\n\nLinkspan-Run: ")
    for text in (
        started,
        finished,
        told,
        ticket(house)["subject"],
        published.title,
        published.body,
        message,
    ):
        assert not UNWANTED.search(text), text


@dataclass
class Product:
    """Takes what is written into its things."""

    run: Run
    given: list[dict[str, Any]] = field(default_factory=list)

    async def check(self) -> None:
        """It is ours."""

    async def note(self, kind: str, **data: Any) -> None:
        """Nothing goes wrong."""
        raise AssertionError((kind, data))

    async def call(self, _run: Run, _key: str, arguments: dict[str, Any], **_given: Any) -> None:
        """Take it."""
        self.given.append(arguments)


async def test_an_id_is_as_it_was_where_it_is_all_of_an_argument(house: House) -> None:
    """A product finds its thing again. In a text it is words, and so is an address that is none.

    What no text names is not looked through: a thing may be a tree of thousands.
    """
    await house.enable("patch")
    works = Works(house, ScriptedEngine(), FakePlaces(house.app.settings.home / "work"), FakeForge())
    product = Product(replace(await works.start("patch"), entity="alert", entity_id="x"))
    words, looked_through = Outgoing(str), set[str]()

    def plain(text: str) -> str:
        looked_through.add(text)
        return words.plain(text)

    back = WriteBack(
        cast("Reader", product),
        lambda: house.app.catalog,
        clean=words.said,
        plain=plain,
        bare=words.bare,
        base=BASE,
    )
    id_, url = 'web/{"user":"@ada fixes #1"}', "https://alerts.example/a?b=1"
    alert = {
        "id": id_,
        "url": url,
        "run_url": f"[x]({url})",
        "tags": [{"name": "@ada", "url": url}],
        "count": 7,
        "nodes": [{"name": "a node", "nodes": [{"name": "another"}]}],
    }
    fields = {
        "alert": "{{ alert.id }}",
        "text": "Of {{ alert.id }}",
        "see": "{{ alert.url }}",
        "also": "{{ alert.run_url }}",
        "count": "{{ alert.count }}",
        "kept": 7,
    }
    await back.write(product, "finished", Back(None, fields), Context(alert))
    assert product.given == [
        {
            "id": "x",
            "alert": id_,
            "text": 'Of web/{"user":"@ ada fixes \u2013 #1"}',
            "see": url,
            "also": "x (alerts.example/a?b=1)",
            "count": "7",
            "kept": 7,
        }
    ]
    assert looked_through & {"a node", "another", id_} == {id_}
