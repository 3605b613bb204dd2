"""The error tree."""

from linkspan import errors


def test_every_error_code_is_in_the_closed_list() -> None:
    """What callers may ever see is exactly the list of the contract."""
    leaves = {error.code for error in errors.LinkspanError.__subclasses__()} - {"configuration"}
    assert leaves == {
        "invalid_argument",
        "not_linked",
        "needs_reauth",
        "forbidden",
        "not_found",
        "conflict",
        "rate_limited",
        "quota_exceeded",
        "upstream_error",
        "upstream_timeout",
        "too_large",
        "egress_refused",
        "unauthenticated",
        "internal",
    }


def test_the_sentence_for_a_model_begins_with_error_and_ends_with_the_next_step() -> None:
    """A model reads one sentence and then what to do."""
    error = errors.NotLinked("desk is not linked", hint="Run: linkspan account link desk")
    assert error.for_model() == "Error: desk is not linked. Run: linkspan account link desk"
