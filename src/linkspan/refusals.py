"""What a product's refusal means: an error of the one tree, with the product's words made harmless."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from linkspan import errors
from linkspan.net.limits import retry_after
from linkspan.spec.catalog import Connector

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Control characters, and those that nobody sees or that turn the direction of writing."""
_LONGEST = 4000
_TRACE = re.compile(
    r"Traceback|stack ?trace|\bat 0x|File \"|\.(?:py|rs|rb|js|java|go|php):\d|line \d+, in|</?\w",
    re.IGNORECASE,
)
_WORDS = ("message", "msg", "detail", "error_description", "title", "error", "errors", "reason")
_KINDS: dict[int, tuple[type[errors.LinkspanError], str]] = {
    400: (errors.InvalidArgument, "did not accept the request"),
    401: (errors.NeedsReauth, "refused the credential"),
    403: (errors.Forbidden, "does not allow this for the linked account"),
    404: (errors.NotFound, "has no such thing"),
    405: (errors.UpstreamError, "does not know this method"),
    408: (errors.UpstreamTimeout, "did not answer in time"),
    409: (errors.Conflict, "reports a conflict"),
    410: (errors.NotFound, "has it no more"),
    412: (errors.Conflict, "says that it was changed meanwhile"),
    413: (errors.TooLarge, "says that it is too large"),
    422: (errors.InvalidArgument, "did not accept the values"),
    429: (errors.RateLimited, "refuses more calls for now"),
    504: (errors.UpstreamTimeout, "did not answer in time"),
}


_BY_CODE: dict[str, type[errors.LinkspanError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidArgument, errors.NeedsReauth, errors.Forbidden, errors.NotFound, errors.Conflict,
        errors.RateLimited, errors.QuotaExceeded, errors.UpstreamError, errors.UpstreamTimeout,
        errors.TooLarge,
    )
}  # fmt: skip
_WORDS_OF: dict[type[errors.LinkspanError], str] = {
    errors.InvalidArgument: "did not accept the values",
    errors.NeedsReauth: "refused the credential",
    errors.Forbidden: "does not allow this for the linked account",
    errors.NotFound: "has no such thing",
    errors.Conflict: "reports a conflict",
    errors.RateLimited: "refuses more calls for now",
    errors.QuotaExceeded: "says that a quota is spent",
    errors.TooLarge: "says that it is too large",
}
_GRAPHQL: dict[str, type[errors.LinkspanError]] = {
    **dict.fromkeys(("UNAUTHENTICATED", "AUTHENTICATIONERROR", "UNAUTHORIZED"), errors.NeedsReauth),
    **dict.fromkeys(("FORBIDDEN", "INSUFFICIENTSCOPES", "FEATURENOTACCESSIBLE"), errors.Forbidden),
    **dict.fromkeys(("NOTFOUND", "ENTITYNOTFOUND"), errors.NotFound),
    **dict.fromkeys(("RATELIMITED", "RATELIMIT", "THROTTLED", "MAXCOMPLEXITYEXCEEDED"), errors.RateLimited),
    **dict.fromkeys(
        ("BADUSERINPUT", "INVALIDINPUT", "GRAPHQLVALIDATIONFAILED", "GRAPHQLPARSEFAILED", "UNPROCESSABLE"),
        errors.InvalidArgument,
    ),
}
"""What servers of GraphQL call a failure, letters only: Apollo's words, GitHub's, Linear's, Shopify's."""


def refusal(
    root: Mapping[str, Any], connector: Connector, *, now: float | None = None
) -> errors.LinkspanError:
    """Answer the error for an answer `{status, headers, body}` that is no success, with what it said.

    With `now` (epoch seconds) a time to come back is understood in all its forms.
    """
    error = _refusal(root, connector, now)
    error.raw_response = root["body"]
    return error


def _refusal(root: Mapping[str, Any], connector: Connector, now: float | None) -> errors.LinkspanError:
    status: int = root["status"]
    kind, words = _KINDS.get(status, (errors.UpstreamError, f"answered {status}"))
    if status < 300:
        words = "answered with a failure"
    named = _named(root, connector)
    if named is not None:
        kind, words = named, _WORDS_OF.get(named, words)
    said = connector.failure.message(root) if connector.failure.message else None
    said = said if isinstance(said, str) else _said(root["body"])
    told = harmless(said) if said else ""
    message = f"{connector.title} {words}" + (f": {told}" if told else "")
    if kind is errors.RateLimited:
        return errors.RateLimited(
            message,
            hint="Try again later.",
            retry_after=_wait(root["headers"], now),
            upstream_status=status,
        )
    if kind is errors.QuotaExceeded:
        return kind(message, hint="Waiting does not help: see its plan and billing.", upstream_status=status)
    missing = _missing_scopes(root["headers"]) if kind is errors.Forbidden else []
    return kind(message, upstream_status=status, details={"missing_scopes": missing} if missing else None)


def is_quota_spent(root: Mapping[str, Any], connector: Connector) -> bool:
    """Tell whether an answer `{status, headers, body}` says, in the product's declared words, that one is.

    Most products give it the status of a rate limit, which is waited for: this is not.
    """
    rule = connector.failure
    if root["status"] < 300 and (rule.when is None or not rule.when(root)):
        return False
    return _declared(root, connector) is errors.QuotaExceeded


def _declared(root: Mapping[str, Any], connector: Connector) -> type[errors.LinkspanError] | None:
    rule = connector.failure
    word = rule.code(root) if rule.code is not None else None
    code = rule.codes.get(str(word)) if word is not None else None
    return _BY_CODE[code] if code is not None else None


def _named(root: Mapping[str, Any], connector: Connector) -> type[errors.LinkspanError] | None:
    """Answer what the product's own word for the failure means: as declared, or as usual in GraphQL."""
    if (declared := _declared(root, connector)) is not None:
        return declared
    if root["status"] >= 300 and root["status"] != 400:
        return None
    return next((kind for said in _graphql_words(root["body"]) if (kind := _GRAPHQL.get(said))), None)


def _graphql_words(body: Any) -> Iterator[str]:
    """Yield what the first error of a GraphQL answer is called: in `extensions`, or in `type` (GitHub)."""
    found = body.get("errors") if isinstance(body, dict) else None
    first = found[0] if isinstance(found, list) and found else None
    if isinstance(first, dict):
        more = first.get("extensions")
        places = (more, first) if isinstance(more, dict) else (first,)
        for place in places:
            for name in ("code", "type"):
                if isinstance(place.get(name), str):
                    yield re.sub(r"[^A-Z]", "", place[name][:100].upper())


def _wait(headers: Mapping[str, str], now: float | None) -> float:
    if now is not None and (wait := retry_after(headers, now)) is not None:
        return wait
    told = headers.get("retry-after", "")
    return float(told) if told.isdecimal() and len(told) < 6 else 30.0


def _missing_scopes(headers: Mapping[str, str]) -> list[str]:
    """Answer the scopes that a 403 says are missing (RFC 6750 §3.1, and GitHub's two headers)."""
    challenge = headers.get("www-authenticate", "")
    if "insufficient_scope" in challenge:
        found = re.search(r'scope="([^"]{1,1000})"', challenge)
        return found[1].split() if found else []
    accepted = [word.strip() for word in headers.get("x-accepted-oauth-scopes", "").split(",")]
    held = {word.strip() for word in headers.get("x-oauth-scopes", "").split(",")}
    return [] if held & set(accepted) else [word for word in accepted if word][:20]


def _said(body: Any, depth: int = 0) -> str | None:
    """Find the sentence in an error body of any shape."""
    if depth > 4:
        return None
    if isinstance(body, str):
        return body
    if isinstance(body, list):
        return next((said for part in body[:3] if (said := _said(part, depth + 1))), None)
    if isinstance(body, dict):
        for word in _WORDS:
            if word in body and (said := _said(body[word], depth + 1)):
                return said
        if depth <= 1:
            for name, value in list(body.items())[:5]:
                if isinstance(value, str | list) and (said := _said(value, depth + 1)):
                    return f"{name}: {said}"
    return None


def harmless(said: str) -> str:
    """Answer one short line of a product's words, or nothing when they look like a program's insides."""
    said = said[:_LONGEST]
    if _TRACE.search(said):
        return ""
    line = " ".join(_HIDDEN.sub(" ", said).split())
    return line if len(line) <= 300 else line[:299] + "…"
