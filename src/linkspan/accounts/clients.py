"""Programs that people let act for them: Codex, those that describe themselves, those that registered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from linkspan.accounts.client_documents import (
    ClientDocuments,
    checked_redirects,
    document_host,
    shown_name,
)
from linkspan.accounts.identifiers import identifier
from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.accounts.principal import Tenant
from linkspan.accounts.redirects import Redirect, choose_redirect
from linkspan.errors import RateLimited
from linkspan.store import oauth_clients as rows
from linkspan.store.database import Database
from linkspan.store.oauth_clients import RegisteredClient
from linkspan.vault.keys import Random

UNUSED: Final = 86_400.0
"""Seconds that a registration is kept before somebody signs in with it."""
USED: Final = 100 * 86_400.0
"""Seconds that it is kept after somebody did: longer than any sign-in lasts."""
MOST_REGISTERED: Final = 200
"""Registrations of a tenant at a time."""
_REGISTERED: Final = re.compile(r"client_[a-z0-9]{12}")
_CODEX: Final = re.compile(r"https://chatgpt\.com/oauth/codex(?:/([A-Za-z0-9_-]{12}))?/client\.json")


@dataclass(frozen=True, slots=True)
class Client:
    """A program as the one who is asked for consent sees it."""

    id: str
    name: str
    redirect_uris: tuple[str, ...]
    known_by: Literal["pinned", "document", "registration"]
    """How we know its name: we ship it, its host says it, or it said so itself."""
    host: str | None = None
    """Who stands for it; nobody for one that registered itself."""

    def redirect(self, uri: str) -> Redirect:
        """Answer the redirect of a request. Raises `OAuthRefused`: nobody may be sent to another."""
        found = choose_redirect(self.redirect_uris, uri)
        if found is None:
            raise OAuthRefused(
                "invalid_request",
                f"The redirect_uri is none that {self.name} has registered",
                hint=f"Nothing was allowed. If you were just signing in with {self.name}, start again there.",
            )
        return found


def codex_client(client_id: str) -> Client | None:
    """Answer Codex for its client ids: known here by heart, so that chatgpt.com need not be reachable.

    Codex 0.169 is `…/codex/client.json` where the server sends `iss`, else `…/codex/ID/client.json`.
    """
    match = _CODEX.fullmatch(client_id)
    if match is None:
        return None
    path = f"/callback/{match[1]}" if match[1] else "/callback"
    redirects = tuple(f"http://{host}{path}" for host in ("127.0.0.1", "localhost"))
    return Client(client_id, "Codex", redirects, "pinned", "chatgpt.com")


class Clients:
    """Finds clients by their ids, and lets them register where the operator has said so."""

    def __init__(
        self,
        db: Database,
        documents: ClientDocuments,
        *,
        clock: Callable[[], float],
        random: Random,
        registration: bool,
    ) -> None:
        self._db = db
        self._documents = documents
        self._clock = clock
        self._random = random
        self.registration = registration
        """Whether a client may register itself."""

    async def find(self, tenant: Tenant, client_id: str) -> Client | None:
        """Answer a client that is known without asking anybody; None for one whose document must be fetched.

        Raises `OAuthRefused` with `invalid_client` for an id that is no client's.
        """
        codex = codex_client(client_id)
        if codex is not None:
            return codex
        if document_host(client_id) is not None:
            return None
        if _REGISTERED.fullmatch(client_id) and self.registration:
            row = await rows.find(self._db, tenant, client_id)
            if row is not None and row.expires > self._clock():
                return Client(row.id, row.name, row.redirect_uris, "registration")
        raise OAuthRefused("invalid_client", "This client is not known here")

    async def fetch(self, client_id: str) -> Client:
        """Answer a client by its document. Raises `OAuthRefused` with `invalid_client`."""
        document = await self._documents.fetch(client_id)
        return Client(client_id, document.name, document.redirect_uris, "document", document_host(client_id))

    async def register(self, tenant: Tenant, metadata: Mapping[str, Any]) -> RegisteredClient:
        """Register a public client (RFC 7591 §2). Raises `OAuthRefused`, and `RateLimited` when it is full.

        For a tenant that is not there nothing is kept and the answer is the same: nobody learns which are.
        """
        redirects = checked_redirects(metadata.get("redirect_uris"))
        if metadata.get("token_endpoint_auth_method", "none") != "none":
            raise OAuthRefused(
                "invalid_client_metadata", "Clients are public here: token_endpoint_auth_method is none"
            )
        _only(metadata, "grant_types", {"authorization_code", "refresh_token"})
        _only(metadata, "response_types", {"code"})
        now = self._clock()
        client = RegisteredClient(
            tenant=tenant,
            id=f"client_{identifier(self._random)}",
            name=shown_name(metadata.get("client_name"), "A program without a name"),
            redirect_uris=redirects,
            created=now,
            expires=now + UNUSED,
        )
        if await rows.insert(self._db, client, most=MOST_REGISTERED) == "full":
            raise RateLimited(
                "No more clients can register here for now",
                hint="Registrations that nobody uses end within a day.",
                retry_after=3_600.0,
            )
        return client

    async def used(self, tenant: Tenant, client: Client) -> None:
        """Note that somebody signed in with a client, so that its registration is kept."""
        if client.known_by == "registration":
            await rows.keep_until(self._db, tenant, client.id, self._clock() + USED)


def _only(metadata: Mapping[str, Any], name: str, known: set[str]) -> None:
    given = metadata.get(name)
    if given is None:
        return
    if not isinstance(given, list) or not set(map(str, given)) <= known:
        raise OAuthRefused(
            "invalid_client_metadata", f"{name} may hold {' and '.join(sorted(known))}, nothing else"
        )
