"""Answers that are kept to be asked after."""

from __future__ import annotations

from linkspan.net.kept import Kept
from linkspan.net.messages import Response

KEY = ("acme", "desk", "https://desk.example/a")


def answer(body: bytes = b"{}", status: int = 200, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, named, body, KEY[2])


def test_a_304_is_answered_with_what_was_kept() -> None:
    """The body of before, the headers of now."""
    kept = Kept()
    kept.settle(KEY, answer(b"[1]", etag='"a"', x_left="2"))
    assert kept.etag(KEY) == '"a"'
    again = kept.settle(KEY, answer(b"", 304, x_left="1"))
    assert (again.status, again.body, again.headers["x-left"]) == (200, b"[1]", "1")


def test_nothing_is_kept_for_others_or_against_the_products_word() -> None:
    """By tenant, account and address; not without a tag, with no-store, of a failure, or too large."""
    kept = Kept(longest=10)
    kept.settle(KEY, answer(etag='"a"'))
    assert kept.etag(("globex", *KEY[1:])) is None
    assert kept.settle(("globex", *KEY[1:]), answer(b"", 304)).status == 304
    for other in (
        answer(),
        answer(etag='"b"', cache_control="private, no-store"),
        answer(status=404, etag='"b"'),
        answer(b"x" * 11, etag='"b"'),
        answer(etag="x" * 1001),
    ):
        kept.settle(KEY, answer(etag='"a"'))
        assert kept.settle(KEY, other) is other
        assert kept.etag(KEY) is None


def test_the_oldest_goes_first() -> None:
    """So many answers, and so many bytes of them; one that was used stays."""
    kept = Kept(most=2, most_bytes=100)
    keys = [("acme", "desk", str(number)) for number in range(3)]
    for key in keys[:2]:
        kept.settle(key, answer(etag='"a"'))
    kept.settle(keys[0], answer(b"", 304))
    kept.settle(keys[2], answer(etag='"a"'))
    assert [kept.etag(key) for key in keys] == ['"a"', None, '"a"']
    kept.settle(keys[1], answer(b"x" * 99, etag='"a"'))
    assert [kept.etag(key) is not None for key in keys] == [False, True, False]
