"""Client-id metadata documents: a client is named by the URL where it describes itself.

draft-ietf-oauth-client-id-metadata-document. Whoever asks us to authorize a client makes us fetch its URL,
so that is done with care: https and a public name only, over the egress guard, no redirect, a small answer
in a short time, kept for as long as its headers allow within bounds, and only for somebody who has signed in.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.accounts.redirects import read_redirect
from linkspan.errors import LinkspanError
from linkspan.net.messages import Request, Response, Transport

MOST_BYTES: Final = 5_120
TIMEOUT: Final = 5.0
KEPT: Final = 3_600.0
"""Seconds that a document is kept whose headers do not say."""
LONGEST_KEPT: Final = 86_400.0
FAILURE_KEPT: Final = 30.0
"""Seconds in which a document that could not be had is not asked for again."""
MOST_KEPT: Final = 256
LONGEST_NAME: Final = 80
MOST_REDIRECTS: Final = 20
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_URL = re.compile(
    rf"https://(?P<host>(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?)(?::[0-9]{{1,5}})?"
    r"(?P<path>/[!$-;=@-Z_a-z~]+)",
    re.ASCII,
)
_DOTS = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=\"?([0-9]{1,10})")


@dataclass(frozen=True, slots=True)
class ClientDocument:
    """What a client says of itself."""

    name: str
    redirect_uris: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    until: float
    what: ClientDocument | OAuthRefused


def document_host(client_id: str) -> str | None:
    """Answer the host of a client id that is the URL of a document; None for every other client id."""
    match = _URL.fullmatch(client_id) if len(client_id) <= 1_000 else None
    return match["host"] if match and not _DOTS.search(match["path"]) else None


def shown_name(name: object, otherwise: str) -> str:
    """Answer a client's name for its own eyes: one line, no control or direction characters, not long."""
    if not isinstance(name, str):
        return otherwise
    line = " ".join("".join(mark if mark.isprintable() else " " for mark in name).split())
    return (line if len(line) <= LONGEST_NAME else f"{line[: LONGEST_NAME - 1]}…") or otherwise


def checked_redirects(uris: object) -> tuple[str, ...]:
    """Answer the redirect URIs that a client gives. Raises `OAuthRefused` with `invalid_redirect_uri`."""
    if not isinstance(uris, list) or not 0 < len(uris) <= MOST_REDIRECTS:
        raise OAuthRefused(
            "invalid_redirect_uri", f"A client has one to {MOST_REDIRECTS} redirect_uris, in a list"
        )
    bad = [uri for uri in uris if not isinstance(uri, str) or read_redirect(uri) is None]
    if bad:
        raise OAuthRefused(
            "invalid_redirect_uri",
            "A redirect URI is https, or http to 127.0.0.1, [::1] or localhost; without a fragment",
        )
    return tuple(uris)


class ClientDocuments:
    """Fetches documents and keeps a bounded number of them."""

    def __init__(
        self, transport: Transport, *, clock: Callable[[], float], hosts: Collection[str] = ()
    ) -> None:
        """`hosts`: where documents may stand; empty for anywhere."""
        self._transport = transport
        self._clock = clock
        self._hosts = frozenset(hosts)
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def fetch(self, client_id: str) -> ClientDocument:
        """Answer the document at a client id. Raises `OAuthRefused` with `invalid_client`, and why."""
        host = document_host(client_id)
        if host is None:
            raise OAuthRefused("invalid_client", "This client id is not the URL of a client's document")
        if self._hosts and host not in self._hosts:
            raise OAuthRefused(
                "invalid_client",
                f"Clients of {host} may not sign in here",
                hint="The operator names hosts with LINKSPAN_CLIENT_HOSTS.",
            )
        now = self._clock()
        kept = self._kept.get(client_id)
        if kept is None or kept.until <= now:
            kept = await self._fetch(client_id, host, now)
        if isinstance(kept.what, OAuthRefused):
            raise kept.what
        return kept.what

    async def _fetch(self, client_id: str, host: str, now: float) -> _Kept:
        try:
            answer = await self._transport.exchange(
                Request("GET", client_id, {"Accept": "application/json"}),
                timeout=TIMEOUT,
                max_bytes=MOST_BYTES,
            )
            kept = _Kept(now + _lifetime(answer.headers), _read(client_id, host, answer))
        except OAuthRefused as refused:
            kept = _Kept(now + FAILURE_KEPT, refused)
        except LinkspanError:
            # Why it could not be reached is nothing that a stranger's URL should make us tell.
            kept = _Kept(
                now + FAILURE_KEPT,
                OAuthRefused("invalid_client", f"The document of this client at {host} could not be had"),
            )
        self._kept[client_id] = kept
        self._kept.move_to_end(client_id)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return kept


def _read(client_id: str, host: str, answer: Response) -> ClientDocument:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status != 200 or not (kind == "application/json" or kind.endswith("+json")):
        raise OAuthRefused("invalid_client", f"At this client id {host} has no JSON document")
    try:
        document: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise OAuthRefused("invalid_client", f"The document of this client at {host} is not a JSON object")
    if document.get("client_id") != client_id:
        raise OAuthRefused("invalid_client", f"The document at {host} is of another client id")
    method = document.get("token_endpoint_auth_method", "none")
    if method != "none" or "client_secret" in document:
        raise OAuthRefused(
            "invalid_client", f"The client at {host} is not a public one, which it has to be here"
        )
    try:
        redirects = checked_redirects(document.get("redirect_uris"))
    except OAuthRefused as refused:
        raise OAuthRefused("invalid_client", refused.message) from refused
    return ClientDocument(shown_name(document.get("client_name"), host), redirects)


def _lifetime(headers: Mapping[str, str]) -> float:
    control = headers.get("cache-control", "").lower()
    if "no-store" in control or "no-cache" in control:
        return 0.0
    age = _MAX_AGE.search(control)
    return min(float(age[1]), LONGEST_KEPT) if age else KEPT
