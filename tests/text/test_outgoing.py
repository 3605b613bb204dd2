"""The filter for what a model says to customers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ):
        FILTER.text(part * (200_000 // len(part)))
