"""No text from outside takes longer than its length: no answer, header or argument holds the process up.

A text four times as long may take some six times as long, whatever is in it; what is over in an instant is
not compared. Quadratic reading takes sixteen times as long, so the bound lies well between, in processor
time and with several tries.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from time import process_time
from typing import Final

import pytest

import linkspan
from linkspan.accounts import client_documents, people, redirects, token_answers
from linkspan.errors import LinkspanError
from linkspan.mcp_server import headers as mcp_headers
from linkspan.net import bodies, limits, urls
from linkspan.net.messages import Response
from linkspan.spec import converters, graphql, references
from linkspan.text import formats, markdown
from linkspan.vault.redact import Redactor

BODY: Final = 10 * 2**20
REQUEST: Final = 2**20
HEADERS: Final = 64 * 1024
FILE: Final = 64 * 1024
"""Characters of what somebody writes into tools.yaml."""
RECORD: Final = 60_000
"""Characters just below what is cut off a record."""
INSTANT: Final = 0.1
"""Seconds of processor time below which nothing is compared: they say more of the machine than of us."""
GROWTH: Final = 8.0
"""How many times as long four times the text may take: 4 is linear, 16 is quadratic."""
TRIES: Final = 4

SEEDS: Final = (
    "a", "a-", "a.", "-", ".", "1", "1.", " ", "\n", "\t", "\\", '"', "'", "/", "//", ":", ",", "=", "%",
    "%41", "a=", "=a", "a ", "#", "# ", "{", "{{", "${", "$", "<", "<!---->", "<!--", "<?xml >", "</", "[",
    "(", "@", "a@", "a://", "://a:", "token", "token ", "token=", '"token":"\\', '"token" ', "lsk_a",
    "lsk_a_", "bearer ", "line 1", "stack ", ".py:", "/.", "/%2e", "max-age=", "charset ", 'scope="',
    "=?base64?", "1ms", "+00", "é", "\0",
)  # fmt: skip
"""What texts are made of that send a careless pattern back and forth."""


def seconds(work: Callable[[], object]) -> float:
    begun = process_time()
    with contextlib.suppress(LinkspanError, ValueError):
        work()
    return process_time() - begun


def grows_with_length(work: Callable[[str], object], before: str, seed: str, after: str, size: int) -> bool:
    """Tell whether the longest text takes no more than its share of the time of one that is a quarter."""

    def taken(length: int) -> float:
        text = before + seed * (length // len(seed)) + after
        return seconds(lambda: work(text))

    for part in (4096, 1024, 256, 64, 16):
        if min(taken(max(64, size // part)) for _ in range(2)) > 2 * INSTANT:
            return False  # What is longer would keep us for hours.
    whole = taken(size)
    quarter = 0.0
    for _ in range(TRIES):
        if whole <= max(INSTANT, GROWTH * quarter):
            return True
        quarter = max(quarter, taken(size // 4))
        if whole > GROWTH * quarter:
            whole = min(whole, taken(size))
    return whole <= max(INSTANT, GROWTH * quarter)


def body(content_type: str) -> Callable[[str], object]:
    """Read a text as an answer of that type."""
    return lambda text: bodies.decode(
        Response(200, {"content-type": content_type}, text.encode(), "https://desk.example/")
    )


def known_values() -> Redactor:
    redactor = Redactor()
    for number in range(2_000):
        redactor.register(f"token-{number:020d}")
    return redactor


@pytest.mark.parametrize("content_type", ["text/html", "application/json", "application/x-ndjson"])
@pytest.mark.parametrize(
    "seed", [" ", "\n", "<!---->", "<!--", "<?xml >", ")]}'", "while", "\\", '"', "[", "\x01"]
)
def test_answers_are_read_in_time(content_type: str, seed: str) -> None:
    """Ten MiB of comments, spaces or guards are only ten MiB."""
    assert grows_with_length(body(content_type), "", seed, "x", BODY)


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "token=", "'token': '"])
def test_records_are_masked_in_time(before: str) -> None:
    """What a product chose to say is searched for secrets as fast as anything else."""
    mask = known_values().mask
    slow = [seed for seed in SEEDS if not grows_with_length(mask, before, seed, "", RECORD)]
    assert not slow


def test_a_known_beginning_costs_the_same_for_many_values() -> None:
    """Tokens of one product all begin alike; that many are known does not matter."""
    assert grows_with_length(known_values().mask, "", "token-", "", RECORD)


HEADER_READERS: Final[dict[str, Callable[[str], object]]] = {
    "rate limit": lambda text: limits.read_rate_limit({"x-ratelimit": text, "ratelimit": "=" + text}, 1e9),
    "reset": lambda text: limits.read_rate_limit({"x-ratelimit-reset": text, "x-rate-limit": text}, 1e9),
    "wait": lambda text: limits.retry_after({"retry-after": text, "date": text}, 1e9),
    "charset": lambda text: bodies.text_of(b"\xff", "text/plain; " + text),
    "encoded name": lambda text: mcp_headers.decoded("=?base64?" + text),
    "scopes": token_answers.read_scopes,
    "link": lambda text: urls.resolve("https://desk.example/a", text),
}
REQUEST_READERS: Final[dict[str, Callable[[str], object]]] = {
    "below": lambda text: urls.is_below("https://desk.example/" + text, "https://desk.example/a"),
    "identity": references.decode_part,
    "client": lambda text: client_documents.document_host("https://" + text),
    "redirect": lambda text: redirects.read_redirect("http://a/" + text),
    "address": people.mail_address,
    "headings": lambda text: markdown.below(text, 2),
}
TEXT_READERS: Final[dict[str, Callable[[str], object]]] = {
    "html": formats.READING["html"],
    "wiki": formats.READING["wiki"],
    "mrkdwn": formats.READING["mrkdwn"],
}
FILE_READERS: Final[dict[str, Callable[[str], object]]] = {"graphql": graphql.read}
VALUE_READERS: Final[dict[str, Callable[[str], object]]] = {
    "date": converters.iso8601,
    "number": converters.number,
    "integer": converters.integer,
    "boolean": converters.boolean,
    "text": converters.text,
}


SLOW: Final = {"graphql", "html", "wiki", "mrkdwn"}
"""Readers that take seconds for all these texts."""


@pytest.mark.parametrize(
    ("read", "size"),
    [
        pytest.param(read, size, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for readers, size in (
            (HEADER_READERS, HEADERS),
            (REQUEST_READERS, REQUEST),
            (VALUE_READERS, REQUEST),
            (TEXT_READERS, REQUEST),
            (FILE_READERS, FILE),
        )
        for name, read in readers.items()
    ],
)
def test_headers_arguments_and_values_are_read_in_time(read: Callable[[str], object], size: int) -> None:
    """Every reader, with every text that is made to hold it up."""
    slow = [seed for seed in SEEDS if not grows_with_length(read, "", seed, "\x7f", size)]
    assert not slow


AT_MOST: Final = {
    "linkspan.accounts.redirects._URI": "2,000 characters are the most that it is shown.",
    "linkspan.net.limits._DURATION": "100 characters, likewise.",
    "linkspan.net.limits._ZONE": "100 characters, likewise.",
}
"""Patterns that only see short texts, and how short."""
SEARCHED: Final = (
    "_TRACE",
    "_SIGN_IN",
    "_PAIR",
    "_CHARSET",
    "_DOTS",
    "_CONTROL",
    "_HEADING",
    "_MAX_AGE",
    "_BAD_ESCAPE",
)


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every pattern for texts that a module of ours holds."""
    for found in pkgutil.walk_packages(linkspan.__path__, "linkspan."):
        if found.name.startswith(("linkspan.cli", "linkspan.server", "linkspan.__main__", "linkspan.demo")):
            continue
        for name, value in vars(importlib.import_module(found.name)).items():
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                yield f"{found.name}.{name}", value


def test_every_pattern_of_ours_matches_in_time() -> None:
    """A new pattern is tried here by itself; those that are searched for are tried from every place."""
    slow = []
    for name, pattern in patterns():
        if name in AT_MOST:
            continue
        way = pattern.search if name.endswith(SEARCHED) else pattern.match
        slow += [
            f"{name}: {before + seed!r}"
            for before in ("", "https://a")
            for seed in SEEDS
            if not grows_with_length(way, before, seed, "\x7f", HEADERS)
        ]
    assert not slow
