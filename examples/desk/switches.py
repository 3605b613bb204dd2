"""The desk's bad days, at will: `POST /_switch/{429,500,slow,html}` makes the next calls go wrong.

Only with the admin token, and only from this machine. A switch is for one token, one user, one organisation
or everybody, and for a number of calls.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from desk.fields import Rule, choice, nullable, read_fields, text, whole
from desk.store import Token

MODES = ("429", "500", "slow", "html")


def _seconds(sent: Any) -> float:
    if isinstance(sent, bool) or not isinstance(sent, int | float) or not 0 < sent <= 600:
        raise ValueError("must be a number of seconds up to 600")
    return float(sent)


def _retry_after(sent: Any) -> str:
    if isinstance(sent, bool) or not isinstance(sent, int | float | str) or not str(sent).isprintable():
        raise ValueError("must be seconds, or what Retry-After shall say")
    return str(sent)


def _flag(sent: Any) -> bool:
    if not isinstance(sent, bool):
        raise ValueError("must be true or false")
    return sent


def _status(sent: Any) -> int:
    if isinstance(sent, bool) or not isinstance(sent, int) or not 200 <= sent <= 599:
        raise ValueError("must be an HTTP status from 200 to 599")
    return sent


_RULES: dict[str, Rule] = {
    "who": nullable(text(longest=200)),
    "times": whole,
    "method": nullable(choice(("GET", "POST", "PATCH", "DELETE"))),
    "retry_after": nullable(_retry_after),
    "seconds": _seconds,
    "status": _status,
    "late": _flag,
}


@dataclass(frozen=True, slots=True)
class Switch:
    """What goes wrong, for whom, and how many times more."""

    mode: str
    who: str | None = None
    """`acme`, `acme/codex`, a token's id; None is everybody."""
    times: int = 1
    method: str | None = None
    retry_after: str | None = None
    """For 429: what the Retry-After header says; None sends none."""
    seconds: float = 5.0
    """For slow: how long the answer takes."""
    status: int = 0
    """For 500 (default 500) and html (default 200, as products do whose session has ended)."""
    late: bool = False
    """The request is carried out before it goes wrong: its outcome is unknown to whoever asked."""

    def concerns(self, token: Token | None, method: str) -> bool:
        """Whether it is for this call."""
        if self.method not in (None, method):
            return False
        user = token.user if token else None
        names = [None, token.id if token else None]
        if user is not None:
            names += [user.org, f"{user.org}/{user.login}"]
        return self.who in names


class Switches:
    """What is switched on, and the last calls that the API saw."""

    def __init__(self) -> None:
        self._on: list[Switch] = []
        self._calls: deque[dict[str, Any]] = deque(maxlen=1000)
        self._seen = 0

    def set(self, mode: str, body: Mapping[str, Any]) -> Switch:
        """Switch something on. Raises 422."""
        values = read_fields({"mode": mode, **body}, _RULES | {"mode": choice(MODES)})
        switch = Switch(**values)
        self._on.append(switch)
        return switch

    def take(self, token: Token | None, method: str) -> Switch | None:
        """The first switch that concerns a call; one of its times is used up."""
        for number, switch in enumerate(self._on):
            if switch.concerns(token, method):
                self._on[number : number + 1] = [replace(switch, times=switch.times - 1)] * (switch.times > 1)
                return switch
        return None

    def saw(self, call: dict[str, Any]) -> None:
        """Note a call. `call` may be completed later by whoever noted it."""
        self._seen += 1
        self._calls.append(call)

    def clear(self) -> None:
        """Everything off, and the calls forgotten."""
        self._on.clear()
        self._calls.clear()
        self._seen = 0

    def to_dict(self) -> dict[str, Any]:
        """`{"switches": [...], "seen": N, "calls": [the last 1,000, oldest first]}`."""
        return {
            "switches": [asdict(switch) for switch in self._on],
            "seen": self._seen,
            "calls": [*self._calls],
        }


def outage(switch: Switch) -> tuple[int, dict[str, str], bytes]:
    """The answer of a switch other than `slow`: status, headers, body."""
    if switch.mode == "html":
        return switch.status or 200, {"content-type": "text/html; charset=utf-8"}, _SIGN_IN.encode()
    status = 429 if switch.mode == "429" else switch.status or 500
    headers = {"content-type": "application/json"}
    if switch.mode == "429" and switch.retry_after is not None:
        headers["retry-after"] = switch.retry_after
    said = ("rate_limited", "Too many requests.") if status == 429 else ("internal", "Something broke here.")
    return status, headers, json.dumps({"error": {"code": said[0], "message": said[1]}}).encode()


_SIGN_IN = """<!doctype html>
<html lang="en"><head><title>Sign in - Desk</title></head>
<body><h1>Sign in</h1>
<form method="post"><input name="user"><input name="password" type="password"></form></body></html>
"""
