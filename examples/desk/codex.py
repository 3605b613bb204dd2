"""The button "Fix with Codex": the desk's own server asks Linkspan for runs, with a token of its customer.

Nothing of this is in the browser: no token, no script, no address of Linkspan. Whoever may write here may
start, approve and decline; Linkspan is told who it was.
"""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Awaitable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode, urlsplit

from desk.errors import DeskError
from desk.store import User

Json = dict[str, Any]
TIMEOUT = 10.0
ENDED: Final = ("succeeded", "failed", "cancelled", "timed_out")
WORDS: Final = {
    "queued": "It waits for its turn",
    "preparing": "The repository is being prepared",
    "running": "Codex is at work",
    "waiting_approval": "It waits for somebody to approve it",
    "publishing": "It is being published",
    "succeeded": "It is done",
    "failed": "It failed",
    "cancelled": "It was cancelled",
    "timed_out": "It ran out of time",
}
_LAST_EVENTS = 200
_LINES = 30


class Ask(Protocol):
    """Sends one request to Linkspan and answers status and JSON. Raises OSError when nothing answered."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Awaitable[tuple[int, Any]]:
        """Send it."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """What a ticket's page shows of Codex."""

    run: Json | None = None
    question: Json | None = None
    """What it asks people."""
    lines: list[str] = field(default_factory=list)
    """What it did last, in the order of time."""
    fault: str | None = None
    """Why nothing of it is known."""

    @property
    def words(self) -> str:
        """The state as a sentence."""
        return WORDS.get(str(self.run["state"]), "") if self.run else ""

    @property
    def goes_on(self) -> bool:
        """Whether something is still to come."""
        return self.run is not None and self.run["state"] not in ENDED

    @property
    def link(self) -> str | None:
        """Where the pull request is."""
        url = ((self.run or {}).get("pull_request") or {}).get("url")
        return url if isinstance(url, str) and url.startswith(("https://", "http://")) else None


class Codex:
    """Runs of one recipe on tickets. `tokens` are Linkspan's, by organisation; others have no button."""

    def __init__(
        self,
        url: str,
        tokens: Mapping[str, str],
        *,
        recipe: str = "fix_ticket",
        model_note: str = "",
        ask: Ask | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._tokens = dict(tokens)
        self._recipe = recipe
        self._ask = ask or over_http
        self.model_note = model_note
        """What people should know of the model; it is shown beside the button."""

    def is_for(self, user: User) -> bool:
        """Whether the user's organisation has the button."""
        return user.org in self._tokens

    async def progress(self, user: User, ticket: str, *, whole: bool = False) -> Progress:
        """Answer the last run on a ticket; `whole` with what it did and asks."""
        asked = urlencode({"recipe": self._recipe, "entity_id": ticket, "limit": "1"})
        try:
            found = (await self._call(user, "GET", f"/runs?{asked}"))["result"]
            if not found or not whole:
                return Progress(found[0] if found else None)
            run = found[0]
            at = f"/runs/{quote(run['id'], safe='')}"
            after = max(run["last_event"] - _LAST_EVENTS, 0)
            events = (await self._call(user, "GET", f"{at}/events?after={after}&limit={_LAST_EVENTS}"))[
                "result"
            ]
            waits = run["state"] == "waiting_approval"
            asked_for = (await self._call(user, "GET", f"{at}/approvals"))["result"] if waits else []
        except DeskError as error:
            return Progress(fault=error.message)
        lines = [line for event in events for line in _lines(event)]
        open_ = [each for each in asked_for if each["decided"] is None]
        return Progress(run, open_[0] if open_ else None, lines[-_LINES:])

    async def start(self, user: User, ticket: str, key: str) -> None:
        """Start a run; the same key is the same run. Raises `DeskError` with Linkspan's sentence."""
        body = {"recipe": self._recipe, "entity_id": ticket, "person": user.login}
        await self._call(user, "POST", "/runs", body, {"Idempotency-Key": key})

    async def decide(self, user: User, ticket: str, act: str, approval: str) -> None:
        """Approve or decline what the ticket's run asks, or cancel it. Raises `DeskError`."""
        run = (await self.progress(user, ticket)).run
        if run is None or act not in ("approve", "decline", "cancel"):
            raise DeskError(404, "not_found", "There is no run of Codex on this ticket.")
        at = f"/runs/{quote(run['id'], safe='')}"
        if act != "cancel":
            at += f"/approvals/{quote(approval, safe='')}"
        await self._call(user, "POST", f"{at}/{act}", {"person": user.login})

    async def _call(
        self,
        user: User,
        method: str,
        path: str,
        body: Json | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._tokens[user.org]}", **(more or {})}
        data = None if body is None else json.dumps(body).encode()
        try:
            status, answer = await self._ask(method, self._url + path, headers, data)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise DeskError(502, "unavailable", "Linkspan cannot be reached at the moment.") from error
        if status >= 400:
            message = answer.get("message") if isinstance(answer, dict) else None
            raise DeskError(409 if status == 409 else 502, "refused", str(message or "Linkspan refused it."))
        return answer


async def over_http(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, Any]:
    """Send it with the standard library, on a thread."""
    return await asyncio.to_thread(_sent, method, url, headers, body)


def _sent(method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> tuple[int, Any]:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    with closing(kind(parts.netloc, timeout=TIMEOUT)) as connection:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(method, path, body, {**headers, "Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")


def _lines(event: Json) -> list[str]:
    """What people are shown of an event: words, commands and files; no output."""
    data = event["data"]
    item = data.get("item") or {}
    match event["kind"], item.get("type"):
        case "state", _:
            return [WORDS.get(data.get("state"), "")]
        case "item_completed", "agentMessage":
            return [str(item.get("text") or "")]
        case "item_completed", "commandExecution":
            return [f"$ {item.get('command')}"]
        case "item_completed", "mcpToolCall":
            return [f"It used {item.get('tool')}"]
        case "change", _:
            return [f"{each['path']} +{each['additions']} -{each['deletions']}" for each in data["files"]]
        case (("warning" | "error"), _):
            return [str(data.get("message") or "")]
    return []
