"""What the log filter masks, and what it leaves."""

from __future__ import annotations

import json
import logging
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.vault.redact import MASK, Redactor


class Kept(logging.Handler):
    """Keeps what would be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def redactor() -> Redactor:
    """A filter that knows one secret."""
    redactor = Redactor()
    redactor.register("s3cr3t+value/ü")
    return redactor


@pytest.fixture
def log(redactor: Redactor) -> tuple[logging.Logger, list[str]]:
    """A logger of its own behind the filter, and what it prints."""
    handler = Kept()
    handler.addFilter(redactor)
    logger = logging.Logger("linkspan.test")
    logger.addHandler(handler)
    return logger, handler.lines


def test_a_known_value_is_masked_wherever_it_stands(log: tuple[logging.Logger, list[str]]) -> None:
    """In the message and its arguments, as URLs and JSON write it, in the middle of a word."""
    logger, lines = log
    value = "s3cr3t+value/ü"
    logger.info("sent %s", value)
    logger.info("x%sx %s", value, quote(value, safe=""))
    logger.info(json.dumps({"v": value}))
    assert lines == [
        f"linkspan.test sent {MASK}",
        f"linkspan.test x{MASK}x {MASK}",
        f'linkspan.test {{"v": "{MASK}"}}',
    ]


def test_a_traceback_is_masked(log: tuple[logging.Logger, list[str]]) -> None:
    """An exception that quotes a secret is printed without it, its trace stays readable."""
    logger, lines = log
    try:
        raise ValueError("refused s3cr3t+value/ü")
    except ValueError:
        logger.exception("it failed")
    assert "s3cr3t" not in lines[0]
    assert f"ValueError: refused {MASK}" in lines[0]
    assert "Traceback" in lines[0]


def test_a_line_that_cannot_be_put_together_is_masked_too(log: tuple[logging.Logger, list[str]]) -> None:
    """A mistake in a log call neither stops the program nor shows a secret."""
    logger, lines = log
    text = "%d things of %s"
    logger.info(text, "s3cr3t+value/ü")
    assert lines == [f"linkspan.test %d things of %s ('{MASK}',)"]


def test_fields_of_a_record_are_masked(redactor: Redactor) -> None:
    """What structured logging adds to a record is text like any other."""
    record = logging.makeLogRecord({"msg": "m", "url": "https://h/?k=s3cr3t+value/ü", "count": 3})
    assert redactor.filter(record)
    assert record.__dict__["url"] == f"https://h/?k={MASK}"
    assert record.__dict__["count"] == 3


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer abc.def-123", f"Authorization: {MASK}"),
        ("authorization=Basic dXNlcjpwYXNz", f"authorization={MASK}"),
        ("Proxy-Authorization: Basic dXNlcjpwYXNz", f"Proxy-Authorization: {MASK}"),
        ("{'Authorization': 'Bearer abc.def'}", f"{{'Authorization': '{MASK}'}}"),
        ('{"access_token": "abc\\"def", "id": 7}', f'{{"access_token": "{MASK}", "id": 7}}'),
        ("GET https://h/v1?api_key=abc123&limit=3", f"GET https://h/v1?api_key={MASK}&limit=3"),
        ("X-Api-Key: abc123", f"X-Api-Key: {MASK}"),
        ("apikey=abc password = hunter2; next", f"apikey={MASK} password = {MASK}; next"),
        ("client_secret=abc123", f"client_secret={MASK}"),
        ("refresh_token: abc123", f"refresh_token: {MASK}"),
        ("b'PASSWORD': b'abc'", f"b'PASSWORD': b'{MASK}'"),
        ("used bearer eyJhbGciOiJub25lIn0", f"used bearer {MASK}"),
        ("https://bo:hunter2@desk.example/x", f"https://bo:{MASK}@desk.example/x"),
        ("lsk_tenant_abcdefabcdef_" + "A" * 43, f"lsk_tenant_abcdefabcdef_{MASK}"),
    ],
)
def test_what_looks_like_a_secret_is_masked(redactor: Redactor, text: str, masked: str) -> None:
    """Nobody has to know it."""
    assert redactor.mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "GET /tickets?status=open&limit=20 200 in 12 ms",
        "account acc_abcdef (bo@acme.example) at https://acme.desk.example:443",
        "next_cursor: null",
        "the token is not valid for this tenant",
        "2 tokens, 1 secret",
    ],
)
def test_ordinary_lines_stay_as_they_are(redactor: Redactor, text: str) -> None:
    """A log that is all stars helps nobody."""
    assert redactor.mask(text) == text


def test_short_values_are_not_looked_for(redactor: Redactor) -> None:
    """A one-letter password must not turn the log into stars."""
    redactor.register("a")
    assert redactor.mask("a line with an a") == "a line with an a"


def test_the_longest_known_value_is_masked_whole() -> None:
    """A secret that begins like another one leaves no rest."""
    redactor = Redactor()
    for value in ("abcdef", "abcdefghij", "abcdefgh"):
        redactor.register(value)
    assert redactor.mask("<abcdefghij> <abcdefgh> <abcdef>") == f"<{MASK}> <{MASK}> <{MASK}>"


def test_only_so_many_values_are_remembered() -> None:
    """The oldest are forgotten; one that is registered again is young again."""
    redactor = Redactor(capacity=2)
    for value in ("first-value", "second-value", "first-value", "third-value"):
        redactor.register(value)
    assert redactor.mask("first-value second-value third-value") == f"{MASK} second-value {MASK}"


@given(
    secret=st.text(min_size=8, max_size=40).filter(lambda text: "*" not in text),
    before=st.text(max_size=20),
    after=st.text(max_size=20),
)
def test_a_known_value_never_passes(secret: str, before: str, after: str) -> None:
    """Whatever it is and whatever stands around it."""
    redactor = Redactor()
    redactor.register(secret)
    assert secret not in redactor.mask(before + secret + after)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"password": "abc\\', f'{{"password": "{MASK}'),
        ('{"password": "abc def', f'{{"password": "{MASK}'),
        ("'token': 'abc\nnext", f"'token': '{MASK}\nnext"),
        ("tool --api-key=abc123", f"tool --api-key={MASK}"),
        ("x-authorization: abc123", f"x-authorization: {MASK}"),
        ("password=basic", f"password={MASK}"),
    ],
)
def test_what_is_not_well_formed_is_masked_too(redactor: Redactor, text: str, masked: str) -> None:
    """A value that somebody cut off, and names with something before them."""
    assert redactor.mask(text) == masked


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("s3cr3t+value/ü", "s3"),
        ("Bearer zyx.def-123", "zy"),
        ("password=zyxter2", "zy"),
        ("https://a:zyx@h/", "zy"),
    ],
)
def test_a_long_text_is_cut_without_halving_a_secret(redactor: Redactor, text: str, begins: str) -> None:
    """Wherever the cut falls, no beginning of the secret is left before it."""
    for before in range(64 * 1024 - len(text) - 2, 64 * 1024 + 2):
        masked = redactor.mask("a" * 100 + " " + "b" * (before - 102) + " " + text + " and more" * 10)
        assert begins not in masked
        assert masked.endswith(" … (cut)")


def test_a_long_text_of_one_word_is_left_out(redactor: Redactor) -> None:
    """Nobody knows what it is a half of."""
    assert redactor.mask("a" * 100_000) == " … (cut)"


def test_a_form_that_two_values_share_is_forgotten_with_the_second() -> None:
    """A value that is what a URL makes of another one stays masked while either is known."""
    redactor = Redactor(capacity=2)
    for value in ("one value", "one%20value", "other-value"):
        redactor.register(value)
    assert redactor.mask("one value, one%20value") == f"one value, {MASK}"
