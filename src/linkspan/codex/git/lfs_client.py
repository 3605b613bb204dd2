"""The Batch API of Git LFS, downloads alone (git-lfs: docs/api/batch.md, docs/api/basic-transfers.md).

The forge is asked below the repository's own address with the account's credential, and nobody else is:
`.lfsconfig` is written by strangers and not read. Where it says that an object is, is a stranger's word as
well: https, through the egress guard, without our credential at any other origin, and what comes is taken
only when it has the size and the SHA-256 that the commit names.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from linkspan.codex.places import GitAccess, Repository
from linkspan.errors import EgressRefused, LinkspanError, UpstreamError
from linkspan.net.limits import in_words, retry_after
from linkspan.net.messages import Request, Response, Streamed, StreamingTransport, set_header
from linkspan.net.urls import origin_of, resolve

AT_ONCE: Final = 100
"""Objects of one question: GitHub and GitLab take no more."""
_TYPE: Final = "application/vnd.git-lfs+json"
_LONGEST_ANSWER: Final = 4_000_000
_ANSWER_SECONDS: Final = 60.0
_IDLE_SECONDS: Final = 60.0
_BLOCK: Final = 1_000_000
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 3
_BUSY: Final = frozenset({429, 503})
"""Answers that say to come back later (RFC 6585 §4, RFC 9110 §15.6.4)."""
_TRIES: Final = 4
_FIRST_WAIT: Final = 1.0
"""Seconds, where a server names none; then twice as long."""
_LONGEST_WAIT: Final = 60.0
"""Who wants to be left alone for longer is not asked again: the run goes on without."""
_MOST_HEADERS: Final = 20
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_OURS: Final = frozenset(
    {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "te", "upgrade", "range"}
)
"""Headers that are the exchange's own business."""


@dataclass(frozen=True, slots=True)
class LfsObject:
    """What a pointer names: content of this SHA-256, of so many bytes."""

    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class Action:
    """Where an object is to be had. The headers may hold a credential for that place."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class LfsClient:
    """Asks the forge of one repository for objects."""

    def __init__(
        self,
        transport: StreamingTransport,
        repository: Repository,
        access: GitAccess | None,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        url = repository.clone_url.rstrip("/")
        self._batch = f"{url if url.endswith('.git') else url + '.git'}/info/lfs/objects/batch"
        self._home = origin_of(url)
        self._access = access

    async def find(self, objects: Sequence[LfsObject]) -> dict[LfsObject, Action | str]:
        """Answer where each of at most `AT_ONCE` objects is, or in words why it is not to be had.

        A forge that is busy, all of it or for one of them, is asked again for what it has not told. Raises
        `UpstreamError`, `UpstreamTimeout`, `EgressRefused` and `TooLarge` when nothing can be told.
        """
        found: dict[LfsObject, Action | str] = {}
        waiting, tries = objects, 1
        while True:
            try:
                answer = await self._ask(waiting)
                if answer.status == 200:
                    told = _read(answer.body)
                    found |= {each: self._action(each, told.get(each.oid)) for each in waiting}
                    busy = {each: code for each in waiting if (code := _code(told.get(each.oid))) in _BUSY}
                    if not busy:
                        return found
                    waiting, codes = list(busy), sorted(set(busy.values()))
                    status, refused = codes[0], f"the forge refused it ({', '.join(map(str, codes))})"
                else:
                    status = answer.status
                    refused = f"the forge answered {status} when it was asked for them"
                await self._wait(tries, status, answer.headers, refused)
            except LinkspanError as error:
                if not found:
                    raise
                return {**found, **dict.fromkeys(waiting, error.message)}
            tries += 1

    async def _ask(self, objects: Sequence[LfsObject]) -> Response:
        asked = {
            "operation": "download",
            "transfers": ["basic"],
            "objects": [{"oid": each.oid, "size": each.size} for each in objects],
            "hash_algo": "sha256",
        }
        headers = {"Accept": _TYPE, "Content-Type": _TYPE, **self._credential()}
        request = Request("POST", self._batch, headers, json.dumps(asked).encode(), ca=self._ca(self._batch))
        return await self._transport.exchange(request, timeout=_ANSWER_SECONDS, max_bytes=_LONGEST_ANSWER)

    async def download(self, wanted: LfsObject, action: Action, into: Path) -> None:
        """Write an object into a new file, whole and the one that was asked for, or raise as `find` does."""
        url, headers = action.url, dict(action.headers)
        redirects, tries = 0, 1
        while redirects <= _MOST_REDIRECTS:
            request = Request("GET", url, {**headers, "Accept-Encoding": "identity"}, ca=self._ca(url))
            async with self._transport.stream(request, timeout=_ANSWER_SECONDS, idle=_IDLE_SECONDS) as answer:
                if answer.status in _REDIRECTS:
                    there = self._place(url, answer.headers.get("location", ""))
                    headers = headers if origin_of(there) == origin_of(url) else {}
                    url = there
                    redirects += 1
                    continue
                if answer.status == 200:
                    await _keep(answer, wanted, into)
                    return
                status, told = answer.status, answer.headers
            await self._wait(tries, status, told, f"{urlsplit(url).hostname} answered {status}")
            tries += 1
        raise UpstreamError(f"it was sent on more than {_MOST_REDIRECTS} times")

    async def _wait(self, tries: int, status: int, headers: Mapping[str, str], refused: str) -> None:
        """Wait for as long as a busy server wants it; raises `UpstreamError` for what is not asked again."""
        if status not in _BUSY:
            raise UpstreamError(refused, upstream_status=status)
        named = retry_after(headers, self._clock())
        wait = _FIRST_WAIT * 2 ** (tries - 1) if named is None else named
        if wait > _LONGEST_WAIT:
            raise UpstreamError(f"{refused}, until {in_words(wait)} from now", upstream_status=status)
        if tries >= _TRIES:
            raise UpstreamError(f"{refused}, {tries} times", upstream_status=status)
        await self._sleep(wait)

    def _action(self, wanted: LfsObject, told: Mapping[str, Any] | None) -> Action | str:
        if told is None:
            return "the forge said nothing of it"
        if isinstance(told.get("error"), dict):
            code = _code(told)
            if code in (404, 410):
                return "the forge does not have it"
            return "the forge refused it" if code is None else f"the forge refused it ({code})"
        if told.get("size") != wanted.size:
            return "the forge has it with another size"
        actions = told.get("actions")
        download = actions.get("download") if isinstance(actions, dict) else None
        if not isinstance(download, dict) or not isinstance(download.get("href"), str):
            return "the forge does not say where it is"
        try:
            url = self._place(self._batch, download["href"])
            headers = self._headers(url, download.get("header"))
        except (EgressRefused, UpstreamError) as error:
            return error.message
        has_own = "authorization" in {name.lower() for name in headers}
        if origin_of(url) == self._home and not has_own and told.get("authenticated") is not True:
            headers.update(self._credential())
        return Action(url, headers)

    def _place(self, here: str, said: str) -> str:
        """Answer a URL that a server named. Raises `UpstreamError` for none, `EgressRefused` without TLS."""
        try:
            url = resolve(here, said)
            origin = origin_of(url)
        except ValueError as error:
            raise UpstreamError("the forge names an address that is none") from error
        if not origin.startswith("https://") and origin != self._home:
            raise EgressRefused(f"it is said to be at {urlsplit(url).hostname}, without TLS")
        return url

    def _headers(self, url: str, said: object) -> dict[str, str]:
        """Answer what the forge wants to be shown where the object is, our own credential never elsewhere."""
        headers: dict[str, str] = {}
        pairs = said.items() if isinstance(said, dict) else ()
        if len(pairs) > _MOST_HEADERS:
            raise UpstreamError("the forge wants too much to be shown")
        for name, value in pairs:
            if not isinstance(value, str) or not _HEADER.fullmatch(name) or not _is_plain(value):
                raise UpstreamError("the forge wants a header to be shown that is none")
            if name.lower() not in _OURS:
                set_header(headers, name, value)
        ours = [self._access.password.reveal(), *self._credential().values()] if self._access else []
        if origin_of(url) != self._home and any(word in value for value in headers.values() for word in ours):
            raise EgressRefused("the forge wants the account's credential to be shown elsewhere")
        return headers

    def _credential(self) -> dict[str, str]:
        """Answer what is shown to the forge, and to nobody else (RFC 7617)."""
        if self._access is None:
            return {}
        pair = f"{self._access.username}:{self._access.password.reveal()}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    def _ca(self, url: str) -> str | None:
        """Answer who vouches for a place instead of the usual ones: the account's own, for its own forge."""
        return self._access.authorities if self._access and origin_of(url) == self._home else None


def _read(body: bytes) -> dict[str, Mapping[str, Any]]:
    """Answer what was told of each object, by its id."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UpstreamError("the forge answered with something that is not of Git LFS") from error
    objects = told.get("objects") if isinstance(told, dict) else None
    if not isinstance(objects, list):
        raise UpstreamError("the forge answered with something that is not of Git LFS")
    if told.get("transfer", "basic") != "basic" or told.get("hash_algo", "sha256") != "sha256":
        raise UpstreamError("the forge hands them out in a way that is not known here")
    return {
        each["oid"]: each for each in objects if isinstance(each, dict) and isinstance(each.get("oid"), str)
    }


def _code(told: Mapping[str, Any] | None) -> int | None:
    """Answer the status that an object is refused with, which is that of an answer (docs/api/batch.md)."""
    fault = told.get("error") if told is not None else None
    code = fault.get("code") if isinstance(fault, dict) else None
    return code if isinstance(code, int) and code in range(1_000) else None


async def _keep(answer: Streamed, wanted: LfsObject, into: Path) -> None:
    host = urlsplit(answer.url).hostname
    digest, size = hashlib.sha256(), 0
    with into.open("xb") as file:
        async for block in _blocks(answer.chunks):
            size += len(block)
            if size > wanted.size:
                raise UpstreamError(f"{host} sent more than its {wanted.size:,} bytes")
            await asyncio.to_thread(digest.update, block)
            await asyncio.to_thread(file.write, block)
    if size != wanted.size or digest.hexdigest() != wanted.oid:
        raise UpstreamError(f"{host} sent something else: the content is not what the commit names")


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Gather small pieces, which are not worth a thread's while."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= _BLOCK:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and len(value) <= 8_192
