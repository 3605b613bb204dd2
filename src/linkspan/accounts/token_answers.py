"""What token endpoints answer: tokens, when they end and what for, or why there are none (RFC 6749 §5).

No message holds a code, a token or a client's secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from linkspan.accounts.providers import Provider
from linkspan.errors import LinkspanError, NeedsReauth, UpstreamError
from linkspan.net import bodies
from linkspan.net.messages import Response
from linkspan.spec.grants import TokenAnswer
from linkspan.vault.secret import Secret

LONGEST_TOKEN: Final = 16_384
_GONE: Final = frozenset({"invalid_grant", "bad_refresh_token", "invalid_refresh_token"})
"""RFC 6749 §5.2, and what GitHub and Slack say instead."""
_BAD_CLIENT: Final = frozenset({"invalid_client", "unauthorized_client", "incorrect_client_credentials"})
_SENSITIVE: Final = ("code", "code_verifier", "refresh_token", "client_secret")
_TOKEN = re.compile(r"[\x21-\x7e]+\Z")
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")


class GrantGone(NeedsReauth):
    """The product says that the grant is over: expired, revoked, or used up."""


class ClientRefused(UpstreamError):
    """The product does not know our client, or not by this secret."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a token endpoint gave. Times are epoch seconds."""

    access_token: Secret
    refresh_token: Secret | None
    """None: the one that was used stays good (RFC 6749 §6)."""
    expires: float | None
    scopes: tuple[str, ...] | None
    """None: those that were asked for (RFC 6749 §5.1)."""


def _member(name: str) -> Callable[[Any], Any]:
    return lambda body: body.get(name) if isinstance(body, dict) else None


_PLAIN: Final = TokenAnswer(
    access_token=_member("access_token"),
    refresh_token=_member("refresh_token"),
    expires=_member("expires_in"),
    scope=_member("scope"),
    error=_member("error"),
)
"""RFC 6749 §5: how a GitHub App's code is answered; `OAuth.answer` is of its installation tokens."""


def tokens_of(provider: Provider, response: Response, sent_at: float, form: Mapping[str, str]) -> Tokens:
    """Read what a token endpoint answered to a form. Raises `GrantGone`, `ClientRefused`, `UpstreamError`."""
    body = _body(response)
    is_code = form.get("grant_type") == "authorization_code"
    answer = _PLAIN if is_code and provider.oauth.install_url is not None else provider.oauth.answer
    code = answer.error(body)
    if response.status >= 300 or (isinstance(code, str) and code):
        sent = [form[name] for name in _SENSITIVE if name in form]
        if provider.client_secret is not None:
            sent.append(provider.client_secret.reveal())
        raise _refusal(provider, response.status, code, _description(body, sent))
    access = answer.access_token(body)
    refresh = answer.refresh_token(body)
    if not _is_token(access) or not (refresh is None or refresh == "" or _is_token(refresh)):
        raise UpstreamError(
            f"{provider.title} answered without an access token where tools.yaml expects one",
            upstream_status=response.status,
        )
    return Tokens(
        access_token=Secret(access),
        refresh_token=Secret(refresh) if refresh else None,
        expires=_expires(answer, answer.expires(body), sent_at),
        scopes=read_scopes(answer.scope(body), provider.oauth.scope_separator),
    )


def read_scopes(value: Any, separator: str = " ") -> tuple[str, ...] | None:
    """Read granted scopes, which products separate with spaces, commas or as they are asked, or list."""
    if isinstance(value, str):
        words = re.split(rf"[\s,]+|{re.escape(separator)}", value)
    elif isinstance(value, list):
        words = [word for word in value if isinstance(word, str)]
    else:
        return None
    return tuple(dict.fromkeys(word.strip()[:200] for word in words if word.strip())) or None


def _expires(answer: TokenAnswer, value: Any, sent_at: float) -> float | None:
    """Answer when a token ends, counted from when it was asked for; None when nobody says."""
    unit = answer.unit
    if isinstance(value, str) and unit == "date":
        try:
            date = datetime.fromisoformat(value.strip())
        except ValueError:
            value = None
        else:
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    try:
        number = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        number = 0.0
    if not 0 < number < 1e15:
        return sent_at + answer.lifetime if answer.lifetime is not None else None
    if unit in {"ms", "epoch_ms"}:
        number /= 1000
    return number if unit.startswith("epoch") else sent_at + number


def _body(response: Response) -> Any:
    """Read an answer: JSON, or a form, as GitHub gives to who does not ask for JSON."""
    media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media == "application/x-www-form-urlencoded":
            return dict(parse_qsl(response.body.decode("utf-8", "replace")))
        return bodies.decode(response)
    except LinkspanError as error:
        if response.status >= 300:
            return None
        error.upstream_status = response.status
        raise


def _refusal(provider: Provider, status: int, code: Any, told: str | None) -> LinkspanError:
    """Answer the error of the tree for an error answer (RFC 6749 §5.2)."""
    word = code if isinstance(code, str) and _CODE.match(code) else None
    said = "".join((f" ({word})" if word else f" (status {status})", f": {told}" if told else ""))
    if word is not None and (word in _GONE or word in provider.oauth.answer.gone):
        return GrantGone(f"{provider.title} says that the grant is over{said}", upstream_status=status)
    if word in _BAD_CLIENT or (word is None and status == 401):
        if provider.is_own_client:
            return GrantGone(f"{provider.title} refuses this client{said}", upstream_status=status)
        return ClientRefused(
            f"{provider.title} does not take Linkspan's client{said}",
            hint="Ask the operator to look at `client` and `client_auth` of this connector in tools.yaml.",
            upstream_status=status,
        )
    return UpstreamError(f"{provider.title} gave no token{said}", upstream_status=status)


def _description(body: Any, sent: Sequence[str]) -> str | None:
    """Answer the product's own words in one short line, unless they quote what was sent."""
    words = body.get("error_description") if isinstance(body, dict) else None
    if not isinstance(words, str) or any(value in words for value in sent if value):
        return None
    line = " ".join("".join(each if each.isprintable() else " " for each in words).split())
    return line[:200] or None


def _is_token(value: Any) -> bool:
    """Tell whether a value can be a token, which is sent in a header."""
    return isinstance(value, str) and len(value) <= LONGEST_TOKEN and _TOKEN.match(value) is not None
