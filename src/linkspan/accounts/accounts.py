"""Linked accounts: whose they are, what state they are in, and the only way to a credential."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from linkspan.accounts import linking
from linkspan.accounts.admission import UNFINISHED, Admission
from linkspan.accounts.choice import choose, owner_of
from linkspan.accounts.identifiers import identifier
from linkspan.accounts.oauth import OAuthClient
from linkspan.accounts.opening import Opened, Opener
from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.providers import provider_of
from linkspan.accounts.proving import Identity, Verifier, same_identity, short
from linkspan.accounts.refresh import Refresher, obtain, renewed_row
from linkspan.accounts.safe import Kept, Safe
from linkspan.accounts.tenants import no_tenant
from linkspan.accounts.token_answers import Tokens
from linkspan.errors import (
    Forbidden,
    InvalidArgument,
    LinkspanError,
    NeedsReauth,
    NotFound,
)
from linkspan.net.client import Client
from linkspan.spec.catalog import AuthMethod, Connector
from linkspan.store import accounts as rows
from linkspan.store import tenants as tenant_rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database, OutcomeUnknown, StoreFault
from linkspan.vault.credential import Credential
from linkspan.vault.keys import Random
from linkspan.vault.redact import Redactor
from linkspan.vault.seal import Vault
from linkspan.vault.secret import Secret

__all__ = ["Accounts", "Identity", "Verifier"]
_MOST_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class _Held:
    mark: int
    connectors: tuple[Connector, ...]
    opened: Opened


class Accounts:
    """Links accounts, and opens their credentials for who may use them."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        *,
        clock: Callable[[], float],
        random: Random,
        redactor: Redactor | None = None,
        client: Client | None = None,
    ) -> None:
        """`client` reaches token endpoints; without it no account is linked that needs one."""
        self._db = db
        self._clock = clock
        self._random = random
        self._client = client
        self.safe = Safe(vault, redactor)
        self.oauth = OAuthClient(client, clock=clock) if client is not None else None
        self._refresher = (
            Refresher(db, self.safe, self.oauth, clock=clock, random=random) if self.oauth else None
        )
        self._opener = Opener(db, self.safe, self._refresher, clock=clock)
        self._admission = Admission(db, self.safe, self._opener, client, clock=clock)
        self._cache: dict[tuple[str, str | None, str | None, str | None, tuple[str, ...]], _Held] = {}

    async def aclose(self) -> None:
        """Let renewals that run come to their end."""
        if self._refresher is not None:
            await self._refresher.aclose()

    async def credential(
        self, principal: Principal, connector: Connector | Sequence[Connector], account: str | None = None
    ) -> Credential:
        """Open the account that the principal means: the named one, or the only one there is.

        With several connectors the account may be of any of them. A person's own account is preferred to
        the one that the tenant shares at the same connector; those of others are not there. Where nothing is
        linked, the operator's own key is used if there is one. Raises `NotLinked` (none, or several and none
        was named), `NotFound` (the named one), `NeedsReauth`, and what keeps a token from being renewed.
        """
        connectors = (connector,) if isinstance(connector, Connector) else tuple(connector)
        owner = owner_of(principal)
        key = (principal.tenant, owner, account, principal.account, tuple(each.name for each in connectors))
        mark = self._db.change_mark()
        held = self._cache.get(key)
        if (
            held is not None
            and held.mark == mark
            and self._clock() < held.opened.until
            and _are_same(held.connectors, connectors)
        ):
            return held.opened.credential
        there = await self._there(principal.tenant, connectors)
        opened = None
        if principal.account is None and not any(
            each.subject is None or each.subject == owner for each in there
        ):
            opened = self._opener.of_operator(principal, connectors, account)
        if opened is None:
            found = choose(principal, connectors, there, account)
            meant = next(each for each in connectors if each.name == found.connector)
            opened = await self._opener.open_active(principal, found, meant)
        if mark is not None:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            self._cache[key] = _Held(mark, connectors, opened)
        return opened.credential

    async def has_own(self, tenant: Tenant, person: str, connectors: Iterable[Connector]) -> bool:
        """Tell whether a call for this person may be answered what others of the tenant are not shown.

        So it is with an account of its own, and where the operator's own key says for whom it is used.
        """
        there = await rows.of_tenant(self._db, tenant)
        linked = {each.connector for each in there}
        return any(each.subject == person for each in there) or any(
            way.service is not None and way.service.tenant.key is not None
            for connector in connectors
            if connector.name not in linked
            for way in connector.auth
        )

    async def list(self, tenant: Tenant, connector: str | None = None) -> list[Account]:
        """Answer the tenant's accounts, everybody's, by connector and age."""
        if connector is not None:
            return await rows.of_connector(self._db, tenant, connector)
        return await rows.of_tenant(self._db, tenant)

    async def link(
        self,
        tenant: Tenant,
        connector: Connector,
        *,
        method: str | None = None,
        settings: Mapping[str, str] | None = None,
        secrets: Mapping[str, str | Secret] | None = None,
        subject: str | None = None,
        account: str | None = None,
        verify: Verifier | None = None,
        sandbox: bool | None = None,
        tokens: Tokens | None = None,
        keep_settings: bool = True,
        allow_identity_change: bool = False,
    ) -> Account:
        """Link an account: check what was given, prove it with `verify`, seal it together with its origins.

        `subject` makes it one person's own, `sandbox` one that only reads. `account` links an existing
        account again, which must be the same identity unless `allow_identity_change`, and which keeps the
        settings that are not given where `keep_settings`; one that is found to be of the same identity, owner
        and origins is linked again too. Raises `InvalidArgument`, `NotFound`, `Conflict`, and what `verify`
        raises.

        When proving fails nothing is stored; but with `tokens`, which a person consented to and which would
        be lost, a new account is stored all the same, in the state that says what failed (`verify` tries
        again), and no error is raised; nor is one when it is stored and its state cannot be written any more.
        """
        if not await tenant_rows.exists(self._db, tenant):
            raise no_tenant(tenant)
        earlier = await self._require(tenant, account, connector) if account is not None else None
        way = linking.choose_method(connector, method or (earlier.method if earlier else None))
        connector = connector.through(way.type)
        given = dict(settings or {})
        before = earlier.settings if earlier and keep_settings else {}
        known = {name: value for name, value in before.items() if name in connector.settings}
        checked = linking.check_settings(connector, {**known, **given}, is_complete=False)
        values = linking.check_secrets(connector, way, secrets or {})
        now = self._clock()
        row = Account(
            tenant=tenant,
            id=earlier.id if earlier else f"acc_{identifier(self._random)}",
            connector=connector.name,
            subject=earlier.subject if earlier else subject,
            method=way.type,
            state="connecting",
            settings=checked,
            origins=linking.first_origins(connector, checked),
            identity_id=None,
            identity_label=None,
            sealed=b"",
            created=earlier.created if earlier else now,
            updated=now,
            verified=None,
            last_error=None,
            sandbox=sandbox if sandbox is not None else earlier is not None and earlier.sandbox,
            scopes=way.oauth.scopes if way.oauth is not None else None,
        )
        kept = Kept(values, row.origins, linking.token_origins(connector, way, checked, values))
        if way.oauth is not None:
            self.safe.register_client(way.oauth.client)
            tokens = tokens or await self._first_tokens(connector, way, row, kept)
            row = await renewed_row(row, kept, tokens, self.safe, now)
            kept = await self.safe.open(row)
        self.safe.register(kept.secrets)
        is_stored = tokens is not None and way.type == "oauth2" and earlier is None
        if is_stored and not await rows.insert(self._db, row):
            raise no_tenant(tenant)
        try:
            return await self._admission.settle(
                row, kept, connector, way, earlier, verify, given, allow_identity_change=allow_identity_change
            )
        except OutcomeUnknown:
            raise
        except StoreFault as fault:
            if not is_stored:
                raise
            return replace(row, last_error=short(fault.message))

    async def _first_tokens(self, connector: Connector, way: AuthMethod, row: Account, kept: Kept) -> Tokens:
        if self.oauth is None or way.type == "oauth2":
            raise InvalidArgument(
                f"{connector.title} is linked in a browser",
                hint=f"Run: linkspan account link {connector.name} --tenant {row.tenant} --browser",
            )
        return await obtain(self.oauth, connector, way, row, kept)

    async def verify(
        self,
        tenant: Tenant,
        account: str,
        connector: Connector,
        verify: Verifier,
        *,
        settings: Mapping[str, str] | None = None,
    ) -> Account:
        """Prove an account's credential again, and say what became of it.

        An account that was not active is, when the product takes its credential. A refusal (`NeedsReauth`) is
        recorded in its state, after its access token was renewed once, and a 403 in its last error; other
        failures change nothing. All of them are raised. So is `NotFound`. Where `verify` has nothing to ask
        (None), the account stays as it is, unless what was missing was found. `settings` choose among several
        things that are found.
        """
        found = await self._require(tenant, account, connector)
        credential = (await self._opener.open(found, connector)).credential
        is_unfinished = found.state in UNFINISHED
        try:
            try:
                proven = await self._admission.prove(found, connector, credential, verify, settings or {})
            except NeedsReauth as error:
                if error.upstream_status is None:
                    raise
                fresh = await self._renewed(tenant, credential, connector)
                if fresh is None:
                    raise
                proven = await self._admission.prove(found, connector, fresh, verify, settings or {})
        except NeedsReauth as error:
            await self._opener.set_needs_reauth(
                await self._require(tenant, account, connector), error.message
            )
            raise
        except Forbidden as error:
            await self.note_forbidden(tenant, account, error)
            raise
        identity, tried = proven
        if identity is None and not is_unfinished:
            return found
        identity = identity or Identity()
        same_identity(found, identity)
        now = self._clock()
        current = await self._require(tenant, account, connector)
        if not _has(await self.safe.open(current), tried):
            return current
        verified = replace(
            current,
            state="active",
            identity_id=short(identity.id) or found.identity_id,
            identity_label=short(identity.label) or found.identity_label,
            updated=now,
            verified=now,
            last_error=None,
        )
        if is_unfinished:
            return await self._admission.finish(verified, tried) or current
        stored = await rows.verified(self._db, verified, quiet=found.state == "active")
        return verified if stored else await self._require(tenant, account, connector)

    async def unlink(self, tenant: Tenant, account: str, connector: Connector | None = None) -> bool:
        """Delete an account and its secrets; with its connector, give its grant back to the product first.

        Answers whether the product took it back. What fails there does not keep the account from being
        deleted. Raises `NotFound`.
        """
        found = await rows.find(self._db, tenant, account)
        revoked = found is not None and connector is not None and await self._revoke(found, connector)
        if not await rows.delete(self._db, tenant, account, now=self._clock()):
            raise _no_account(tenant, account)
        return revoked

    async def _revoke(self, account: Account, connector: Connector) -> bool:
        way = connector.auth_method(account.method)
        if way is None or way.oauth is None or self.oauth is None:
            return False
        try:
            kept = await self.safe.open(account)
            provider = provider_of(connector, way, account.settings, kept.secrets)
            if not set(provider.origins()) <= set(kept.token_origins):
                return False
            for name in ("refresh_token", "access_token"):
                if name in kept.secrets:
                    return await self.oauth.revoke(provider, kept.secrets[name], name)
        except LinkspanError:
            pass
        return False

    async def refresh(self, tenant: Tenant, account: str, connector: Connector) -> Account:
        """Renew an account's access token now. Raises `InvalidArgument` where there is nothing to renew."""
        found = await self._require(tenant, account, connector)
        if self._refresher is None or found.renewed is None:
            raise InvalidArgument(f"Account {account} has no access token that can be renewed")
        return await self._refresher.renew(found, connector)

    async def after_refusal(
        self, tenant: Tenant, credential: Credential, connector: Connector, reason: str
    ) -> Credential | None:
        """Answer another credential for one that the product refused (401), to try once more with.

        None when there is no other: then the account needs re-authentication, and says so. Raises what keeps
        a token from being renewed, which says nothing of the account.
        """
        fresh = await self._renewed(tenant, credential, connector)
        if fresh is None:
            await self.refused(tenant, credential, reason)
        return fresh

    async def _renewed(
        self, tenant: Tenant, credential: Credential, connector: Connector
    ) -> Credential | None:
        found = await rows.find(self._db, tenant, credential.account)
        if found is None or found.renewed is None or self._refresher is None:
            return None
        if _has(await self.safe.open(found), credential):
            found = await self._refresher.renew(found, connector)
        return (await self._opener.open(found, connector)).credential

    async def refused(self, tenant: Tenant, credential: Credential, reason: str) -> None:
        """Note that the product refused a credential (401): its account needs re-authentication.

        Nothing changes when the account was linked again since the credential was opened.
        """
        found = await rows.find(self._db, tenant, credential.account)
        if found is not None and _has(await self.safe.open(found), credential):
            await self._opener.set_needs_reauth(found, reason)

    async def note_forbidden(
        self,
        tenant: Tenant,
        account: str,
        error: LinkspanError | str,
        *,
        resource: str | None = None,
        method: str | None = None,
    ) -> None:
        """Note that the product does not let an account do something (403); its state stays."""
        reason = short(error if isinstance(error, str) else error.message) or "forbidden"
        details: Any = {} if isinstance(error, str) else error.details
        missing = details.get("missing_scopes", []) if isinstance(details, Mapping) else []
        if resource is None and not missing:
            await rows.set_error(self._db, tenant, account, reason)
            return
        forbidden = {
            "resource": resource,
            "method": method,
            "missing_scopes": missing,
            "occurred_at": self._clock(),
        }
        await rows.set_forbidden(self._db, tenant, account, reason, forbidden)

    async def _there(self, tenant: Tenant, connectors: Sequence[Connector]) -> Sequence[Account]:
        there = [await rows.of_connector(self._db, tenant, connector.name) for connector in connectors]
        return [account for accounts in there for account in accounts]

    async def _require(self, tenant: Tenant, account: str, connector: Connector) -> Account:
        found = await rows.find(self._db, tenant, account)
        if found is None or found.connector != connector.name:
            raise _no_account(tenant, account)
        return found


def _has(kept: Kept, credential: Credential) -> bool:
    """Tell whether an account still keeps what a credential was opened with."""
    return all(kept.secrets.get(name) == secret for name, secret in credential.secrets.items())


def _are_same(held: tuple[Connector, ...], given: tuple[Connector, ...]) -> bool:
    """Compare by identity: a reloaded catalog has new connectors, which may point elsewhere."""
    return len(held) == len(given) and all(one is other for one, other in zip(held, given, strict=True))


def _no_account(tenant: Tenant, account: str) -> NotFound:
    return NotFound(
        f"Tenant {tenant} has no account {account!r} there",
        hint=f"See: linkspan account list --tenant {tenant}",
    )
