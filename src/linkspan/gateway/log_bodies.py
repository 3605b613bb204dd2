"""Bodies beside the audit log: of one account, for as long as an operator says, masked, cut and sealed.

Nothing is kept unless an operator turns it on for an account, and it turns itself off within the hour. What
is kept is text only; secrets are masked by what is known and by what looks like one, and what is personal in
a body is not: who turns this on sees customers' data. Neither headers nor queries are kept.

Another process learns within two seconds that it was turned on or off; that it is over, everyone knows by
the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from linkspan import errors
from linkspan.accounts.identifiers import identifier
from linkspan.net.messages import Response, Streamed
from linkspan.store import log_bodies
from linkspan.store.database import Database
from linkspan.store.log_bodies import Keeping
from linkspan.vault.keys import Random
from linkspan.vault.redact import Redactor, without_named
from linkspan.vault.seal import Vault
from linkspan.wire import Passing

LONGEST: Final = 3600.0
"""Seconds that an account's bodies may be kept for at once."""
KEPT: Final = 7 * 86_400.0
"""Seconds after which they go, whatever the log's own retention is."""
MOST_SHOWN: Final = 16 * 1024
"""Characters of one body that are kept."""
MOST_EXCHANGES: Final = 20
"""Exchanges of one call of which bodies are kept."""
_BEYOND: Final = 8 * 1024
"""Characters that are looked at beyond those that are kept: a secret that is cut is known before."""
_TAKEN: Final = 256 * 1024
_LOOK_AGAIN: Final = 2.0
_MOST_WAITING: Final = 100
_PURPOSE: Final = "log bodies"
_TEXT: Final = frozenset(
    {
        *("application/json", "application/x-ndjson", "application/xml", "application/graphql"),
        *("application/x-www-form-urlencoded", "application/yaml", "application/javascript"),
    }
)

log = logging.getLogger("linkspan.gateway")


@dataclass(frozen=True, slots=True, repr=False)
class Body:
    """A body as it is kept. `text` is None for what is no text, `size` counts its bytes as they passed."""

    content_type: str
    size: int
    text: str | None
    is_cut: bool


@dataclass(frozen=True, slots=True, repr=False)
class KeptExchange:
    """One request to a product and its answer, by method and path. None: there was no such body."""

    line: str
    status: int | None
    request: Body | None
    response: Body | None


class _Passed:
    """A body on its way: its beginning, and how much there was."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        named = {name.lower(): value for name, value in headers.items()}
        self.content_type = named.get("content-type", "").partition(";")[0].strip().lower()[:100]
        is_packed = named.get("content-encoding", "identity").lower() != "identity"
        self.is_text = not is_packed and _is_text(self.content_type)
        self.size = 0
        self.start = bytearray()

    def feed(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.is_text and len(self.start) < _TAKEN:
            self.start += chunk[: _TAKEN - len(self.start)]

    def kept(self, redactor: Redactor) -> Body | None:
        if not self.size:
            return None
        if not self.is_text:
            return Body(self.content_type, self.size, None, is_cut=False)
        text, is_cut = _masked(bytes(self.start), redactor)
        return Body(self.content_type, self.size, text, is_cut or self.size > len(self.start))


def _kept(passed: _Passed | None, redactor: Redactor) -> Body | None:
    return None if passed is None else passed.kept(redactor)


class _Tee:
    """Hands on what comes, and lets a body see it."""

    def __init__(self, chunks: AsyncIterator[bytes], passed: _Passed) -> None:
        self._chunks = chunks
        self._passed = passed

    def __aiter__(self) -> _Tee:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._chunks.__anext__()
        self._passed.feed(chunk)
        return chunk


class Collected:
    """What is seen of one call."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, int | None, _Passed | None, _Passed | None]] = []

    def exchanged(
        self, line: str, headers: Mapping[str, str], body: bytes | None, response: Response
    ) -> None:
        """Keep a whole exchange, whose request is as it was before the credential was put in."""
        if len(self._seen) < MOST_EXCHANGES:
            asked, answered = _Passed(headers), _Passed(response.headers)
            asked.feed(body or b"")
            answered.feed(response.body)
            self._seen.append((line, response.status, asked, answered))

    def passing(self, ask: Passing) -> Passing:
        """Answer a request whose body is seen as it is sent."""
        asked = _Passed(ask.headers)
        self._seen.append((f"{ask.method} {ask.path}", None, asked, None))
        if ask.content is not None:
            return replace(ask, content=_Tee(aiter(ask.content), asked))
        asked.feed(ask.body or b"")
        return ask

    def answering(self, answer: Streamed) -> Streamed:
        """Answer the same, with a body that is seen as it is read."""
        answered = _Passed(answer.headers)
        line, _, asked, _ = self._seen[-1]
        self._seen[-1] = (line, answer.status, asked, answered)
        return replace(answer, chunks=_Tee(aiter(answer.chunks), answered))

    def masked(self, redactor: Redactor) -> list[KeptExchange]:
        """Answer it all as it may be kept."""
        return [
            KeptExchange(line, status, _kept(asked, redactor), _kept(answered, redactor))
            for line, status, asked, answered in self._seen
        ]


class LogBodies:
    """Keeps bodies of calls for whom an operator wants it. It lives on one event loop."""

    def __init__(
        self, db: Database, vault: Vault, redactor: Redactor, *, clock: Callable[[], float], random: Random
    ) -> None:
        self._db = db
        self._vault = vault
        self._redactor = redactor
        self._clock = clock
        self._random = random
        self._on: dict[tuple[str, str], Keeping] = {}
        self._look_at = 0.0
        self._storing: set[asyncio.Task[None]] = set()

    async def turn_on(self, tenant: str, account: str, seconds: float, wanted_by: str) -> Keeping:
        """Keep an account's bodies for so many seconds from now. Raises `InvalidArgument` and `NotFound`."""
        if not 0 < seconds <= LONGEST:
            raise errors.InvalidArgument("bodies are kept for at most an hour", hint="Turn it on again then.")
        now = self._clock()
        keeping = Keeping(tenant, account, now, now + seconds, wanted_by)
        if not await log_bodies.turn_on(self._db, keeping):
            raise errors.NotFound(f"there is no tenant {tenant!r}")
        self._look_at = 0.0
        return keeping

    async def turn_off(self, tenant: str, account: str) -> bool:
        """Keep no more of them; answers whether any were kept."""
        self._look_at = 0.0
        return await log_bodies.turn_off(self._db, tenant, account)

    async def state(self, tenant: str, account: str) -> Keeping | None:
        """Answer until when an account's bodies are kept; None: they are not."""
        await self._look()
        return self._of(tenant, account)

    async def of_call(self, tenant: str, account: str) -> Collected | None:
        """Answer where to put what is seen of an account's call; None: nothing of it is kept."""
        if self._clock() >= self._look_at:
            try:
                await self._look()
            except errors.LinkspanError as error:
                log.error("for which accounts bodies are kept could not be read: %s", error.message)
                self._on = {}
        return None if self._of(tenant, account) is None else Collected()

    def keep(self, tenant: str, collected: Collected | None) -> str | None:
        """Store what was seen of a call, soon; answers what it is called by."""
        if collected is None or len(self._storing) >= _MOST_WAITING:
            return None
        exchanges = collected.masked(self._redactor)
        if not exchanges:
            return None
        name = f"lb_{identifier(self._random)}"
        task = asyncio.get_running_loop().create_task(self._store(tenant, name, exchanges))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)
        return name

    async def read(self, tenant: str, name: str | None) -> list[KeptExchange]:
        """Answer what was kept of a call; nothing where it is gone."""
        await self.flush()
        sealed = None if name is None else await log_bodies.get(self._db, tenant, name)
        if name is None or sealed is None:
            return []
        read = json.loads(await self._vault.open_stored(_PURPOSE, tenant, name, sealed))
        return [
            KeptExchange(each["line"], each["status"], _read(each["request"]), _read(each["response"]))
            for each in read
        ]

    async def forget(self, keep: float | None) -> int:
        """Delete what is older than the log is kept, or than seven days; answer of how many calls."""
        now = self._clock()
        return await log_bodies.forget(self._db, now - min(KEPT, KEPT if keep is None else keep), now)

    async def flush(self) -> None:
        """Wait for what is being stored."""
        if self._storing:
            await asyncio.wait(set(self._storing))

    def _of(self, tenant: str, account: str) -> Keeping | None:
        found = self._on.get((tenant, account))
        return found if found is not None and found.until > self._clock() else None

    async def _look(self) -> None:
        now = self._clock()
        self._look_at = now + _LOOK_AGAIN
        self._on = {(each.tenant, each.account): each for each in await log_bodies.on_now(self._db, now)}

    async def _store(self, tenant: str, name: str, exchanges: list[KeptExchange]) -> None:
        data = json.dumps([asdict(each) for each in exchanges]).encode()
        try:
            sealed = await self._vault.seal_stored(_PURPOSE, tenant, name, data)
            await log_bodies.insert(self._db, tenant, name, self._clock(), sealed)
        except errors.LinkspanError as error:
            log.error("bodies of a call could not be kept: %s", error.message)


def _read(body: Mapping[str, Any] | None) -> Body | None:
    return None if body is None else Body(**body)


def _is_text(content_type: str) -> bool:
    is_derived = content_type.endswith(("+json", "+xml"))
    return is_derived or content_type.startswith("text/") or content_type in _TEXT


def _masked(body: bytes, redactor: Redactor) -> tuple[str, bool]:
    """Answer a body's text without secrets, and whether it was cut.

    JSON is read and written anew, so that no way of escaping hides a secret.
    """
    text = body.decode(errors="replace")
    with contextlib.suppress(ValueError, RecursionError):
        text = json.dumps(without_named(json.loads(text)), ensure_ascii=False)
    window = text[: MOST_SHOWN + _BEYOND]
    masked = redactor.mask(window)
    if len(window) == len(text):
        return masked[:MOST_SHOWN], len(masked) > MOST_SHOWN
    return masked[: max(0, min(MOST_SHOWN, len(masked) - _BEYOND))], True
