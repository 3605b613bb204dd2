"""Letting an account in: proving what was linked, and storing what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from linkspan.accounts.opening import Opener, credential_of, sent_of
from linkspan.accounts.proving import Identity, NotProven, Verifier, prove, same_identity, same_place, short
from linkspan.accounts.safe import Kept, Safe
from linkspan.accounts.tenants import no_tenant
from linkspan.net.client import Client
from linkspan.spec.catalog import AuthMethod, Connector
from linkspan.store import accounts as rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database
from linkspan.vault.credential import Credential

UNFINISHED = ("connecting", "post_install_error")
"""States of accounts whose settings are not all found yet."""


class Admission:
    """Proves accounts and stores the result."""

    def __init__(
        self, db: Database, safe: Safe, opener: Opener, client: Client | None, *, clock: Callable[[], float]
    ) -> None:
        self._db = db
        self._safe = safe
        self._opener = opener
        self._client = client
        self._clock = clock

    async def settle(
        self,
        row: Account,
        kept: Kept,
        connector: Connector,
        way: AuthMethod,
        earlier: Account | None,
        verify: Verifier | None,
        given: Mapping[str, str],
        *,
        allow_identity_change: bool,
    ) -> Account:
        """Prove what was linked, and store what became of it."""
        if earlier is not None and not allow_identity_change:
            same_place(earlier, connector, row.settings)
        is_stored = way.type == "oauth2" and earlier is None
        secrets = sent_of(way, kept)
        if way.service is not None:
            secrets = dict(self._opener.service(way.service, row.tenant, None)[0])
        try:
            proven = await prove(connector, credential_of(row, secrets), verify, self._client, given)
        except NotProven as failure:
            if not is_stored:
                raise failure.error from failure
            return await self._store_failure(row, failure)
        identity, credential = proven.identity, proven.credential
        twin = None
        if earlier is not None and identity is not None:
            if not allow_identity_change:
                same_identity(earlier, identity)
        elif earlier is None and identity is not None:
            twin = await self._twin(row, identity, credential.origins)
        target = earlier or twin
        identified = target.id if target else row.id
        linked = replace(
            row,
            id=identified,
            subject=target.subject if target else row.subject,
            created=target.created if target else row.created,
            state="active",
            settings=credential.settings,
            origins=credential.origins,
            identity_id=short(identity.id) if identity else None,
            identity_label=short(identity.label) if identity else None,
            sealed=await self._safe.seal(row.tenant, identified, replace(kept, origins=credential.origins)),
            verified=row.updated if identity is not None else None,
        )
        if target is not None or is_stored:
            gone = row.id if twin is not None and is_stored else None
            stored = await rows.replace(self._db, linked, instead_of=gone)
            if stored is not None:
                return stored
        if not await rows.insert(self._db, linked):
            raise no_tenant(row.tenant)
        return linked

    async def _store_failure(self, row: Account, failure: NotProven) -> Account:
        await rows.set_state(
            self._db,
            row.tenant,
            row.id,
            failure.state,
            short(failure.error.message),
            version=row.version,
            now=self._clock(),
        )
        return replace(row, state=failure.state, last_error=short(failure.error.message))

    async def prove(
        self,
        found: Account,
        connector: Connector,
        credential: Credential,
        verify: Verifier,
        settings: Mapping[str, str],
    ) -> tuple[Identity | None, Credential]:
        """Try an account's credential, and find what is still missing. Raises what failed."""
        if found.state not in UNFINISHED:
            return await verify(connector, credential), credential
        try:
            proven = await prove(connector, credential, verify, self._client, settings)
        except NotProven as failure:
            await self._store_failure(found, failure)
            raise failure.error from failure
        return proven.identity, proven.credential

    async def finish(self, verified: Account, tried: Credential) -> Account | None:
        """Store an account whose settings were found at last, sealed for where it goes now."""
        kept = await self._safe.open(verified)
        return await rows.replace(
            self._db,
            replace(
                verified,
                settings=tried.settings,
                origins=tried.origins,
                sealed=await self._safe.seal(
                    verified.tenant, verified.id, replace(kept, origins=tried.origins)
                ),
            ),
        )

    async def _twin(self, row: Account, identity: Identity, origins: tuple[str, ...]) -> Account | None:
        """Answer the account that is already linked for the same identity, owner and place."""
        if identity.id is None:
            return None
        for there in await rows.of_connector(self._db, row.tenant, row.connector):
            same = (there.identity_id, there.subject, there.origins)
            if there.id != row.id and same == (short(identity.id), row.subject, origins):
                return there
        return None
