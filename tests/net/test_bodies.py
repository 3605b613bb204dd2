"""Bodies both ways."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkspan.errors import InvalidArgument, UpstreamError
from linkspan.net.bodies import decode, encode, form_text, json_text, text_of
from linkspan.net.messages import Response

JSON = "application/json"
HTML = "text/html; charset=utf-8"


def answer(body: bytes | str, content_type: str | None = JSON, status: int = 200) -> Any:
    headers = {"content-type": content_type} if content_type is not None else {}
    content = body.encode() if isinstance(body, str) else body
    return decode(Response(status, headers, content, "https://desk.example/x"))


plain = st.text(st.characters(exclude_categories=["Cs"]))
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=4),
)


@given(values)
def test_json_comes_back(value: Any) -> None:
    """What is written as JSON is JSON, and is read back as it was."""
    body, content_type = encode("json", value)
    assert content_type == JSON
    assert json.loads(body) == value
    assert answer(body) == value
    assert json_text(value) == body.decode()


def test_json_is_compact() -> None:
    """No blank is sent that says nothing, and letters stay letters."""
    assert encode("json", {"a": [1, True, None], "ü": 1.5}) == ('{"a":[1,true,null],"ü":1.5}'.encode(), JSON)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_json_has_no_word_for_is_null(value: float) -> None:
    """NaN and infinity become null, since JSON has neither (RFC 8259 §6)."""
    assert encode("json", {"a": value})[0] == b'{"a":null}'


@pytest.mark.parametrize("encoding", ["json", "form", "text"])
@pytest.mark.parametrize("value", ["\ud800", b"\xff"])
def test_what_cannot_be_sent_is_refused(encoding: Any, value: Any) -> None:
    """Half characters and raw bytes are refused as an argument's fault, not sent as something else."""
    with pytest.raises(InvalidArgument):
        encode(encoding, {"a": value} if encoding != "text" else value)


@pytest.mark.parametrize(
    ("values_", "text"),
    [
        ({}, ""),
        ({"a": "b c&d=e+f/ä"}, "a=b+c%26d%3De%2Bf%2F%C3%A4"),
        ({"a[]": ["x", "y"], "b": []}, "a%5B%5D=x&a%5B%5D=y"),
        ({"t": True, "f": False, "n": None, "i": 7, "r": 1.5}, "t=true&f=false&n=&i=7&r=1.5"),
        ({"blocks": [{"a": 1}], "o": {"k": [1]}}, "blocks=%7B%22a%22%3A1%7D&o=%7B%22k%22%3A%5B1%5D%7D"),
        ({"l": "a\r\nb"}, "l=a%0D%0Ab"),
    ],
)  # fmt: skip
def test_form(values_: dict[str, Any], text: str) -> None:
    """Forms repeat lists, spell booleans out, and carry objects as JSON."""
    assert form_text(values_) == text
    assert encode("form", values_) == (text.encode(), "application/x-www-form-urlencoded")


@given(st.dictionaries(plain, st.lists(plain, min_size=1, max_size=3), max_size=4))
def test_form_comes_back(given_: dict[str, list[str]]) -> None:
    """Whatever is in names and values, nothing of it becomes another field."""
    pairs = [(name, value) for name, some in given_.items() for value in some]
    assert parse_qsl(form_text(given_), keep_blank_values=True) == pairs


def test_form_needs_names() -> None:
    """Only an object is a form."""
    with pytest.raises(InvalidArgument):
        encode("form", ["a"])


@pytest.mark.parametrize(
    ("value", "text"), [("Grüße\n", "Grüße\n"), (7, "7"), (True, "true"), ({"a": 1}, '{"a":1}')]
)
def test_text(value: Any, text: str) -> None:
    """A text is sent as it is, in UTF-8; what is no text is written as JSON."""
    assert encode("text", value) == (text.encode(), "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("", JSON, 200),
        ("", None, 202),
        ("", HTML, 200),
        (" \r\n", JSON, 200),
        (b"\xef\xbb\xbf", JSON, 200),
        ("ignored", "text/plain", 204),
        ("ignored", JSON, 304),
    ],
)
def test_nothing(body: str | bytes, content_type: str | None, status: int) -> None:
    """An empty answer is None, whatever it says it is."""
    assert answer(body, content_type, status) is None


@pytest.mark.parametrize(
    "content_type",
    [
        JSON,
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/problem+json",
        "application/vnd.github.v3+json; charset=utf-8",
        "application/hal+json",
        "text/json",
        "text/plain",
        "text/html",
        "text/javascript",
        "application/octet-stream",
        "binary/octet-stream",
        "application/x-unknown",
        "garbage",
        "",
        None,
    ],
)
@pytest.mark.parametrize(("body", "value"), [('{"a": [1, "ü"]}', {"a": [1, "ü"]}), (" [1, 2]\n", [1, 2])])
def test_json_whatever_it_is_called(content_type: str | None, body: str, value: Any) -> None:
    """What looks like JSON and is JSON is read as JSON, arrays too."""
    assert answer(body, content_type) == value


@pytest.mark.parametrize(
    ("body", "value"), [("null", None), ("true", True), ("7", 7), ('"x"', "x"), ("1e3", 1000.0)]
)
def test_scalars(body: str, value: Any) -> None:
    """JSON need not be an object."""
    assert answer(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"a": "\xc3\xbc"}',
        '{"a": "ü"}'.encode("utf-16"),
        '{"a": "ü"}'.encode("utf-16-le"),
        '{"a": "ü"}'.encode("utf-32"),
        '{"a": "ü"}'.encode("latin-1"),
        b")]}'\n" + '{"a": "ü"}'.encode(),
        b"while(1);" + '{"a": "ü"}'.encode(),
        b"for (;;); " + '{"a": "ü"}'.encode(),
    ],
)
def test_json_that_is_not_quite(body: bytes) -> None:
    """Marks, other charsets than UTF-8 and guards against scripts do not keep JSON from being read."""
    assert answer(body) == {"a": "ü"}


def test_json_in_the_charset_that_is_named() -> None:
    """A charset that is named is used where UTF-8 does not fit."""
    body = '{"a": "Привет"}'.encode("windows-1251")
    assert answer(body, "application/json; charset=windows-1251") == {"a": "Привет"}
    assert answer(body, "application/json; charset=nonsense")["a"]


def test_json_with_bare_control_characters() -> None:
    """A line break or tab inside of a string, which JSON forbids, is read as what it is."""
    assert answer('{"a": "x\ty\nz"}') == {"a": "x\ty\nz"}


def test_json_with_half_characters() -> None:
    """Half of a surrogate pair becomes the replacement character, since nothing could be written with it."""
    value = answer('{"\\ud83d": ["a\\ude00b", "\\ud83d\\ude00"], "n": 1}')
    assert value == {"\ufffd": ["a\ufffdb", "😀"], "n": 1}
    assert encode("json", value)


def test_json_lines() -> None:
    """Lines of JSON are a list."""
    assert answer('{"a":1}\n\n{"a":2}\r\n', "application/x-ndjson") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("OK", "not valid JSON"),
        ('{"a": 1', "not valid JSON"),
        ("{'a': 1}", "not valid JSON"),
        ('{"a": 1,}', "not valid JSON"),
        ('{"a": 1} trailing', "not valid JSON"),
        ('{"a": NaN}', "not valid JSON"),
        ('{"a": Infinity}', "not valid JSON"),
        ('{"a\t": NaN}', "NaN is no JSON"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('["\t",' + "[" * 100_000 + "]" * 100_000 + "]", "not valid JSON"),
        ("9" * 100_000, "a number that is too large"),
        (b"\x00\xff\xfe\x80", "not valid JSON"),
        (b"\x89PNG\r\n\x1a\n\x00", "not valid JSON"),
    ],
)
def test_broken_json_is_told(body: str | bytes, reason: str) -> None:
    """What says that it is JSON and is none is an error that says why and shows none of it."""
    with pytest.raises(UpstreamError, match=reason) as caught:
        answer(body)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("content_type", [HTML, "text/html", "application/xhtml+xml", JSON, "", None])
@pytest.mark.parametrize(
    "page",
    [
        "<!DOCTYPE html><html><head><title>Acme</title></head></html>",
        "\n <html lang=en>",
        "<!-- comment --><HTML>",
        '<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN">',
        "<head><title>x",
        "\ufeff<!doctype html>",
    ],
)
def test_page_instead_of_data(content_type: str | None, page: str) -> None:
    """An HTML page is no data, whatever status and type it comes with."""
    with pytest.raises(UpstreamError, match="HTML page instead of data"):
        answer(page, content_type, 202)


@pytest.mark.parametrize(
    "page",
    [
        "<html><h1>Sign in to Acme</h1></html>",
        "<!doctype html><title>Log in · Jira</title>",
        "<!doctype html><form><input type=password></form>",
        '<html><body><input name="p" type="password"></body></html>',
        "<html><body>Single sign-on</body></html>",
    ],
)
def test_sign_in_page(page: str) -> None:
    """A sign-in page with 200 is told as what it most often is: a wrong address or credential."""
    with pytest.raises(UpstreamError, match="sign-in page") as caught:
        answer(page, HTML)
    assert "link the account again" in caught.value.for_model()


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("ok", "text/html", "ok"),
        ("ok", HTML, "ok"),
        ("Grüße", "text/plain; charset=utf-8", "Grüße"),
        (b"Gr\xfc\xdfe", "text/plain", "Grüße"),
        (b"Gr\xfc\xdfe", "text/plain; charset=ISO-8859-1", "Grüße"),
        (b"Gr\xfc\xdfe", 'text/plain; charset="latin1"', "Grüße"),
        (b"\x81\x8d", "text/plain", "\x81\x8d"),
        (b"\xef\xbb\xbfmarked", "text/csv", "marked"),
        ("a: b", "application/yaml", "a: b"),
        ("<a/>", "application/xml", "<a/>"),
        ("<svg/>", "image/svg+xml", "<svg/>"),
        ("<!doctype html>", "text/plain", "<!doctype html>"),
        ("[not json", "text/plain", "[not json"),
        ("{{ template }}", "text/plain", "{{ template }}"),
        ("diff --git a b", "text/x-diff", "diff --git a b"),
        ("hello", None, "hello"),
        ("hello", "", "hello"),
        ("x", "text/plain; charset=nonsense", "x"),
        ("x", "text/plain; charset=idna", "x"),
        ("x", "text/plain; charset=base64", "x"),
    ],
)
def test_texts(body: str | bytes, content_type: str | None, text: str) -> None:
    """Texts are texts, in the charset that they are in."""
    assert answer(body, content_type) == text


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"%PDF-1.7", "application/pdf"),
        (b"[looks like JSON]", "application/pdf"),
        (b"hello", "application/octet-stream"),
        (b"{not json}", "application/octet-stream"),
        (b"\xff\xd8\xff", None),
        (b"a\x00b", ""),
        (b"<html>", "application/zip"),
    ],
)
def test_bytes(body: bytes, content_type: str | None) -> None:
    """What is neither data nor text stays bytes."""
    assert answer(body, content_type) == body


@given(
    st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([JSON, HTML, "text/plain", "", "application/octet-stream", "text/plain; charset=utf-7"])
    | st.text(max_size=20),
    st.sampled_from([200, 202, 204, 400, 500]),
)
def test_every_answer_is_read_or_told(body: bytes, content_type: str, status: int) -> None:
    """Whatever comes: it is a value, or the one error that says that it is none."""
    try:
        value = answer(body, content_type, status)
    except UpstreamError:
        return
    if not isinstance(value, bytes):
        assert isinstance(json_text(value), str)


@given(st.binary(max_size=40), st.text(max_size=30))
def test_any_bytes_are_some_text(body: bytes, content_type: str) -> None:
    """Reading as text never fails."""
    assert isinstance(text_of(body, content_type), str)


@pytest.mark.parametrize("start", ["<!---->" * 26, "<!-- a --> <?xml version='1.0'?>\n<!-- b -->"])
def test_a_page_after_comments_is_a_page_and_other_text_is_not(start: str) -> None:
    """However many comments there are, each is read once."""
    with pytest.raises(UpstreamError, match="HTML"):
        decode(Response(200, {"content-type": "text/html"}, f"{start}<p>".encode(), "https://desk.example/"))
    plain = Response(200, {"content-type": "text/html"}, f"{start}x".encode(), "https://desk.example/")
    assert decode(plain) == f"{start}x"


def test_only_a_guard_at_the_start_is_taken_away() -> None:
    """What looks like one further on belongs to the answer."""
    text = b'{"a": "while(1);\x01"}'
    answer = Response(200, {"content-type": "application/json"}, text, "https://desk.example/")
    assert decode(answer) == {"a": "while(1);\x01"}
