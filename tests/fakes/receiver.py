"""A receiver of webhooks, and Standard Webhooks checked by somebody who only read its specification."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

TOLERANCE = 300.0
"""Seconds that a message's time may differ from the receiver's."""


class NotGenuine(Exception):
    """A message whose signature, time or form is not as it should be."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> Any:
    """Answer the payload of a genuine message (github.com/standard-webhooks, spec: "Signature scheme").

    Raises `NotGenuine`.
    """
    try:
        message, stamp, signatures = (headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise NotGenuine(f"no header {error}") from error
    if abs(now - int(stamp)) > TOLERANCE:
        raise NotGenuine("too old or too new")
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    mac = hmac.new(key, digestmod=hashlib.sha256)
    mac.update(message.encode() + b"." + stamp.encode() + b"." + body)
    expected = base64.b64encode(mac.digest()).decode()
    for signature in signatures.split(" "):
        version, _, told = signature.partition(",")
        if version == "v1" and hmac.compare_digest(told, expected):
            return json.loads(body)
    raise NotGenuine("no signature fits")


@dataclass
class Receiver:
    """Takes what comes, and answers as it is told to; 204 otherwise."""

    messages: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int | Response] = field(default_factory=list)
    """What the next messages are answered with, first come first served."""
    arrived: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event | None = None
    """Answers wait for this, if there is one."""

    @property
    def ids(self) -> list[str]:
        """The ids of everything that came."""
        return [headers["webhook-id"] for headers, _body in self.messages]

    @property
    def events(self) -> list[str]:
        """The events of everything that came."""
        return [json.loads(body)["event"] for _headers, body in self.messages]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        request = Request(scope, receive)
        self.messages.append((dict(request.headers), await request.body()))
        answer = self.answers.pop(0) if self.answers else 204
        self.arrived.set()
        if self.go_on is not None:
            await asyncio.to_thread(self.go_on.wait, 20)
        response = answer if isinstance(answer, Response) else Response(status_code=answer)
        await response(scope, receive, send)
