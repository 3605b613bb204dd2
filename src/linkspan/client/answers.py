"""What is asked and answered, and what is done with a failure: the same for both clients."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2

from linkspan import errors

Thing = dict[str, Any]
PATIENCE: Final = 20.0
"""Seconds that a refused request waits at most before it is tried again."""
TRIES: Final = 3
_AGAIN: Final = frozenset({429, 502, 503, 504})
_SAFE: Final = frozenset({"GET", "HEAD"})
ENDED: Final = frozenset({"succeeded", "failed", "cancelled", "timed_out"})
_ERRORS: Final = {
    kind.code: kind for kind in errors.LinkspanError.__subclasses__() if kind is not errors.ConfigurationError
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list; ask on with `next_cursor`."""

    result: Sequence[Thing]
    next_cursor: str | None = None
    prev_cursor: str | None = None
    is_partial_response: bool = False
    account: str | None = None
    """The id of the linked account that it was read from, of the `connector`."""
    connector: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch found and what of it failed, by name."""

    result: Mapping[str, Sequence[Any]]
    errors: Mapping[str, Sequence[Thing]]
    is_partial_response: bool


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a run; the last one of a stream is `end`, with the run."""

    kind: str
    data: Thing
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One request."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def may_repeat(self) -> bool:
        """Whether it may be sent again when nobody knows whether it was done."""
        return self.method in _SAFE or "Idempotency-Key" in self.headers


class Base:
    """What both clients have."""

    def __init__(self, token: str, account: str | None, tenant: str | None) -> None:
        self._headers = {"Authorization": f"Bearer {token}"}
        named = {"integrated_account_id": account, "tenant_id": tenant}
        self._whose = {name: value for name, value in named.items() if value is not None}

    def request_of(self, ask: Ask) -> dict[str, Any]:
        """Answer a request as the library takes it."""
        params = {name: value for name, value in {**self._whose, **ask.params}.items() if value is not None}
        shown = {
            name: str(value).lower() if isinstance(value, bool) else value for name, value in params.items()
        }
        request: dict[str, Any] = {
            "method": ask.method,
            "url": ask.path,
            "params": shown,
            "headers": ask.headers,
        }
        if ask.body is not None:
            request["json"] = ask.body
        return request


def write(method: str, path: str, fields: Mapping[str, Any], key: str | None) -> Ask:
    """Answer a request that changes something."""
    return Ask(method, path, body=dict(fields), headers={} if key is None else {"Idempotency-Key": key})


def page_of(told: Thing) -> Page:
    """Answer a page."""
    return Page(
        *(told["result"], told["next_cursor"], told.get("prev_cursor"), told["is_partial_response"]),
        account=told.get("integrated_account_id"),
        connector=told.get("integration"),
    )


def batch_of(told: Thing) -> Batch:
    """Answer a batch."""
    return Batch(told["result"], told["errors"], told["is_partial_response"])


def thing_of(told: Thing) -> Thing:
    """Answer a thing, which the API answers below `result`."""
    found: Thing = told["result"]
    return found


def wait_of(answer: httpx2.Response, ask: Ask, left: int) -> float | None:
    """Answer how long to wait before the request is sent again; None where it is not."""
    if not left or answer.status_code not in _AGAIN or not (answer.status_code == 429 or ask.may_repeat):
        return None
    told = answer.headers.get("retry-after", "1")
    wait = float(told) if told.replace(".", "", 1).isdecimal() else 1.0
    is_spent = answer.status_code == 429 and _told(answer).get("code") == "quota_exceeded"
    return None if is_spent or wait > PATIENCE else wait


def good(answer: httpx2.Response) -> httpx2.Response:
    """Answer a success; raises the error that a failure names."""
    if answer.status_code < 400:
        return answer
    told = _told(answer)
    error = told.get("error") if isinstance(told.get("error"), dict) else {}
    kind = _ERRORS.get(str(told.get("code")), errors.UpstreamError)
    raised = kind(
        str(told.get("message") or f"status {answer.status_code}"),
        retry_after=told.get("retry_after"),
        details=(error or {}).get("details"),
        request_id=answer.headers.get("x-request-id"),
        upstream_status=answer.status_code if told.get("is_remote_error") else None,
    )
    raised.raw_response = told.get("raw_response")
    raise raised


def _told(answer: httpx2.Response) -> Thing:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def events_of(lines: Iterator[str]) -> Iterator[Event]:
    """Read server-sent events."""
    kind, seq, data = "message", None, list[str]()
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and data:
            yield Event(kind, json.loads("\n".join(data)), seq)
            kind, seq, data = "message", None, []
        elif name == "event":
            kind = value
        elif name == "id":
            seq = int(value)
        elif name == "data":
            data.append(value)
