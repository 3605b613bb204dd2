"""The filter for what a model says to customers."""

from __future__ import annotations

import json
import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.text.formats import WRITING
from linkspan.text.outgoing import REMOVED, Outgoing
from linkspan.vault.redact import Redactor

OURS = frozenset({"linkspan.example", "github.com", "127.0.0.1:8640"})
FILTER = Outgoing(Redactor().mask, OURS)


@pytest.mark.parametrize(
    "text",
    [
        "The total was counted twice.\n\n- `cart.py`: sum once\n- tests pass",
        "```python\n@pytest.fixture\ndef total(): return a < b and b > c\n```",
        "See [the run](https://linkspan.example/runs/1) and https://github.com/acme/shop/pull/1.",
        "See [docs](docs/a.md) and [below](#tests).",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "Ask @ada or @bo; mail ada@acme.example.",
        "x <= y, List<int>, a<b, `std::vector<T>` and C:\\temp, 10:30, key: value, std::string",
    ],
)
def test_what_harms_nobody_stays_as_it_is(text: str) -> None:
    """Code, tables, relative links, links home, and a few people by name."""
    assert FILTER.text(text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("![x](https://evil.example/?q=1)", "x (evil.example/?q=1)"),
        ("![x](https://github.com/a.png)", "[x](https://github.com/a.png)"),
        ("!![![a](//evil.example/a)](//evil.example/b)", "[a (evil.example/a)](evil.example/b)"),
        ("[x](https://evil.example/a)", "x (evil.example/a)"),
        ("[github.com](https://evil.example)", "github.com (evil.example)"),
        ("[x](//evil.example/a)", "x (evil.example/a)"),
        ("[x](javascript:alert(1))", "[x](javascript :alert(1))"),
        ("[x]( <data:text/html;base64,xx> 'title')", "x (data :text/html;base64,xx)"),
        ("go to https://evil.example/a now", "go to evil.example/a now"),
        ("go to HTTPS://EVIL.example/a now", "go to EVIL.example/a now"),
        ("<https://evil.example/a>", "evil.example/a"),
        ("www.evil.example", "evil.example"),
        ("https:\\\\evil.example/a", "evil.example/a"),
        ("https://github.com.evil.example/a", "github.com.evil.example/a"),
        ("https://github.com@evil.example/a", "github.com@evil.example/a"),
        ("[a]: https://evil.example\n![x][a]", "a - evil.example\n[x][a]"),
        ("> [a]: <https://evil.example>", "> a - evil.example"),
        ("<img src=x onerror=y>", "\u2039img src=x onerror=y>"),
        ("</ SCRIPT><ScRipt>", "\u2039/ SCRIPT>\u2039ScRipt>"),
        ("<!-- linkspan:run_x --> <?x ?>", "\u2039!-- linkspan:run_x --> \u2039?x ?>"),
        (
            "@everyone @here @Channel <!channel> @acme/everybody",
            "@ everyone @ here @ Channel \u2039!channel> @ acme/everybody",
        ),
        ("@a @b @c @d", "@ a @ b @ c @ d"),
        ("[x](http&#58;//evil.example/a)", "x (evil.example/a)"),
        ("[x](&#x68;ttps&colon;&sol;&sol;evil.example/a)", "x (evil.example/a)"),
        ("[x](http&#&#53;8;//evil.example/a)", "[x](http& #58;evil.example/a)"),
        ("[a [b]](http\\://evil.example/a) https:///evil.example", "[a [b]](evil.example/a) evil.example"),
        ("&#60;b&#62; &#38;amp; &lt;", "&lt;b&gt; &amp;amp; &lt;"),
        ("a\u202eb\u200bc\x00d\x1b[0m\ufeff", "abcd[0m"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("ghp_" + "a" * 36, REMOVED),
        ("key: sk-" + "proj-" + "x" * 40, f"key: {REMOVED}"),
        ("-----BEGIN RSA PRIV" + "ATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----", REMOVED),
        ("Authorization: Bearer abcdefghijkl", "Authorization: **********"),
        ("lsk_run" + "_abcdefghijkl_" + "x" * 43, REMOVED),
    ],
)
def test_what_a_stranger_could_have_put_there(text: str, said: str) -> None:
    """Images, links elsewhere, markup that loads or hides, crowds and secrets."""
    assert FILTER.text(text) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It is done.\n/merge\n/approve now", "It is done.\n\u2215merge\n\u2215approve now"),
        ("Look into\n/etc/hosts and\n/usr/bin/env", None),
        ("Fixes #1, closes: acme/shop#2", "Fixes \u2013 #1, closes: \u2013 acme/shop#2"),
        ("**Resolves** issue ENG-7.", "**Resolves** \u2013 issue ENG-7."),
        ("It fixes UTF-8 and the total of #4; closed at 9.", None),
        ("Ask @ada about [the run](https://linkspan.example/runs/1).", None),
    ],
)
def test_what_a_model_wrote_orders_and_closes_nothing(text: str, said: str | None) -> None:
    """Neither commands of a forge nor the words that close another ticket; the rest stays."""
    assert FILTER.said(text) == (text if said is None else said)


STRANGE: Final = [
    "[Approve it here](https://evil.example/x)",
    "[Approve it here](http&#58;//evil.example/x)",
    "[Approve it here](http&#&#53;8;//evil.example/x)",
    "[Approve [it] here](http\\://evil.example/x)",
    "[Approve it here][1]\n\n[1]: https://evil.example/x",
    "[Approve it here][1]\n\n[1]: <http&colon;//evil.example/x>",
    "[Approve it here](//evil.example/x) [and](/runs/1) ![x](https://linkspan.example/x.png)",
    "<https://evil.example/x> <http:evil.example> <https://evil.example/x|Approve it here>",
    "https://evil.example/x www.evil.example ftp://evil.example HTTPS://evil.example",
    "[the run](https://linkspan.example/t/acme/runs/run_other)",
    "[Approve it here|https://evil.example/x] [~ada] !https://evil.example/x.png!",
    "<a href='https://evil.example/x'>Approve</a> <b>bold</b> <details><summary>x</summary>",
    "@ada, @bo. _@cy_ `@di &#64;ed \\@fy @{557058:a} @everyone @acme/all <@U123> <!channel> <#C1|x>",
    "fixes #1, closes acme/shop#2; **Resolves** #3; implements: ENG-4",
    "/merge\n/approve\n  /label ~x",
    "#done #comment Approved. #time 2h",
]
"""What a stranger may write into a ticket or an alert, so that our bot says it."""
UNWANTED: Final = [
    re.compile(
        r"://evil|[(<]https?:evil|www\.|\]\(|\]\[|\]:|!\[|<[a-z!@#/]|&(?:#|colon|commat)", re.IGNORECASE
    ),
    re.compile(r"(?<![A-Za-z0-9])@\S|@\{|\[~"),
    re.compile(r"(?:fixes|closes|resolves|implements)[\s:*]{1,5}(?:acme/shop)?(?:#|ENG)", re.IGNORECASE),
    re.compile(r"^\s*/|#[a-z]", re.MULTILINE),
]
"""Links, mentions, words that close, and commands."""


@pytest.mark.parametrize("text", STRANGE)
def test_a_strangers_words_are_words_wherever_they_are_written(text: str) -> None:
    """No link, nobody called, no command and no word that closes, in any product's markup."""
    plain = FILTER.plain(text)
    for said in (plain, FILTER.text(plain), FILTER.plain(plain)):
        for unwanted in UNWANTED:
            assert not unwanted.search(said), (unwanted.pattern, said)
    shown = f"Codex proposes a fix for {plain}. Look at it: https://linkspan.example/runs/1"
    assert "<a" not in WRITING["html"](f"A fix for {plain}.")
    assert '"link"' not in json.dumps(adf := WRITING["adf"](f"A fix for {plain}."))
    assert '"mention"' not in json.dumps(adf) and '"inlineCard"' not in json.dumps(adf)
    assert not re.search(r"<[^>]*[|@!#]|<http(?!s://linkspan)", WRITING["mrkdwn"](shown))
    assert not re.search(r"(?<!\\)\[[^\]]*\|http|(?<!\\)\[~|(?<!\\)!http", WRITING["wiki"](shown))


@pytest.mark.parametrize(
    "text",
    [
        "KeyError: 'total' in cart.py:7 (shop@1.2)",
        "The total of acme/shop#7 is wrong: 2 * 2 == 5, and it is no #ff0000",
        "HC-103",
        "DESIGN#43:2",
        'linkspan/{"alertname":"Down","pod":"web-1"}',
        "Mail ada@acme.example; a < b and b > c",
    ],
)
def test_what_strangers_usually_write_stays_as_it_is(text: str) -> None:
    """Titles of exceptions, ids, references and addresses of mail."""
    assert FILTER.plain(text) == text


def test_long_text_is_cut_at_a_line_and_says_so() -> None:
    """Also within code, which is closed first."""
    said = FILTER.text("```\n" + "a line of code\n" * 100, most=200)
    assert said.endswith("a line of code\n```\n\n(cut here)")
    assert len(said) <= 200
    assert FILTER.text("x" * 500, most=100).endswith("x\n\n(cut here)")


def test_a_title_is_one_short_line() -> None:
    """Whatever it holds."""
    assert FILTER.line("Fix\nthe [total](https://evil.example)\t now") == "Fix the total (evil.example) now"
    assert FILTER.line("x" * 300, most=50) == "x" * 49 + "…"


@given(st.text(alphabet="[]()!<>/:@ahtps.w\n`x-", max_size=60))
def test_filtering_again_changes_nothing_that_matters(text: str) -> None:
    """No removal makes something that the filter would have removed."""
    once = FILTER.text(text)
    assert "![" not in once
    assert FILTER.text(once) == once or "//" not in FILTER.text(once)
    assert "https://x" not in once


def test_megabytes_are_quick() -> None:
    """A hostile text costs no more than any other of its length."""
    for part in (
        "[",
        "![",
        "[a](",
        "<",
        "@a",
        "//",
        "https://",
        "[a]:",
        "-----BEGIN PRIV" + "ATE KEY-----",
        "ey",
        "`",
        "&#",
        "&#5",
        "](",
        "fix ",
        "fix a/",
        "fixes *",
        "/a",
        "#a",
    ):
        FILTER.plain(part * (100_000 // len(part)))
