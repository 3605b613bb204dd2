"""Linked accounts: whose they are, what state they are in, and the only way to a credential."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from linkspan.accounts import linking
from linkspan.accounts.choice import choose, owner_of, shown
from linkspan.accounts.identifiers import identifier
from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.tenants import no_tenant
from linkspan.errors import Conflict, Forbidden, NeedsReauth, NotFound
from linkspan.spec.catalog import Connector
from linkspan.store import accounts as rows
from linkspan.store import tenants as tenant_rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database
from linkspan.vault.credential import Credential
from linkspan.vault.keys import Random
from linkspan.vault.redact import Redactor
from linkspan.vault.seal import SealBroken, Vault
from linkspan.vault.secret import Secret

_PURPOSE = "credential"
_MOST_CACHED = 10_000
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose account it is at the product, as its verify request told."""

    id: str | None = None
    label: str | None = None


Verifier = Callable[[Connector, Credential], Awaitable[Identity | None]]
"""Proves a credential by a request; None where the connector has none. Raises `NeedsReauth` when refused."""


@dataclass(frozen=True, slots=True)
class _Opened:
    mark: int
    connectors: tuple[Connector, ...]
    credential: Credential


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
    ) -> None:
        self._db = db
        self._vault = vault
        self._clock = clock
        self._random = random
        self._redactor = redactor
        self._cache: dict[tuple[str, str | None, str | None, tuple[str, ...]], _Opened] = {}

    async def credential(
        self, principal: Principal, connector: Connector | Sequence[Connector], account: str | None = None
    ) -> Credential:
        """Open the account that the principal means: the named one, or the only one there is.

        With several connectors the account may be of any of them. A person's own account is preferred to
        the one that the tenant shares at the same connector; those of others are not there. Raises
        `NotLinked` (none, or several and none was named), `NotFound` (the named one) and `NeedsReauth`.
        """
        connectors = (connector,) if isinstance(connector, Connector) else tuple(connector)
        owner = owner_of(principal)
        key = (principal.tenant, owner, account, tuple(each.name for each in connectors))
        mark = self._db.change_mark()
        held = self._cache.get(key)
        if held is not None and held.mark == mark and _are_same(held.connectors, connectors):
            return held.credential
        there = await self._there(principal.tenant, connectors)
        found = choose(principal, connectors, there, account)
        credential = await self._open_active(found, next(c for c in connectors if c.name == found.connector))
        if mark is not None:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            self._cache[key] = _Opened(mark, connectors, credential)
        return credential

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
    ) -> Account:
        """Link an account: check what was given, prove it with `verify`, seal it together with its origins.

        `subject` makes it one person's own. `account` links an existing account again, which must be the
        same identity; one that is found to be of the same identity, owner and origins is linked again too.
        Nothing is stored when `verify` raises. Raises `InvalidArgument`, `NotFound`, `Conflict`, and what
        `verify` raises.
        """
        now = self._clock()
        if not await tenant_rows.exists(self._db, tenant):
            raise no_tenant(tenant)
        earlier = await self._require(tenant, account, connector) if account is not None else None
        way = linking.choose_method(connector, method or (earlier.method if earlier else None))
        before = earlier.settings if earlier else {}
        kept = {name: value for name, value in before.items() if name in connector.settings}
        checked = linking.check_settings(connector, {**kept, **(settings or {})})
        values = linking.check_secrets(connector, way, secrets or {})
        origins = linking.origins_of(connector, checked)
        new_id = earlier.id if earlier else f"acc_{identifier(self._random)}"
        identity = None
        if verify is not None:
            tried = Credential(new_id, connector.name, way.type, values, checked, origins)
            self._register(tried)
            identity = await verify(connector, tried)
        if earlier is not None and identity is not None:
            _same_identity(earlier, identity)
        elif earlier is None and identity is not None:
            earlier = await self._twin(tenant, connector, subject, identity, origins)
        if earlier is not None:
            new_id, subject = earlier.id, earlier.subject
        linked = Account(
            tenant=tenant,
            id=new_id,
            connector=connector.name,
            subject=subject,
            method=way.type,
            state="active",
            settings=checked,
            origins=origins,
            identity_id=_short(identity.id) if identity else None,
            identity_label=_short(identity.label) if identity else None,
            sealed=self._vault.seal(_PURPOSE, tenant, new_id, _payload(values, origins)),
            created=earlier.created if earlier else now,
            updated=now,
            verified=now if identity is not None else None,
            last_error=None,
        )
        if earlier is not None and (stored := await rows.replace(self._db, linked)) is not None:
            return stored
        if not await rows.insert(self._db, linked):
            raise no_tenant(tenant)
        return linked

    async def verify(self, tenant: Tenant, account: str, connector: Connector, verify: Verifier) -> Account:
        """Prove an account's credential again, and say what became of it.

        An account that needs re-authentication is active again when the product takes its credential. A
        refusal (`NeedsReauth`) is recorded in its state and a 403 in its last error; other failures change
        nothing. All of them are raised. So is `NotFound`. Where `verify` has nothing to ask (None), the
        account stays as it is.
        """
        found = await self._require(tenant, account, connector)
        credential = await self._open(found, connector)
        try:
            identity = await verify(connector, credential)
        except NeedsReauth as error:
            await self._set_needs_reauth(found, error.message)
            raise
        except Forbidden as error:
            await self.note_forbidden(tenant, account, error.message)
            raise
        if identity is None:
            return found
        _same_identity(found, identity)
        now = self._clock()
        verified = replace(
            found,
            state="active",
            identity_id=_short(identity.id) or found.identity_id,
            identity_label=_short(identity.label) or found.identity_label,
            updated=now,
            verified=now,
            last_error=None,
        )
        stored = await rows.verified(self._db, verified, quiet=found.state == "active")
        return verified if stored else await self._require(tenant, account, connector)

    async def unlink(self, tenant: Tenant, account: str) -> None:
        """Delete an account and its secrets. Raises `NotFound`."""
        if not await rows.delete(self._db, tenant, account, now=self._clock()):
            raise _no_account(tenant, account)

    async def refused(self, tenant: Tenant, credential: Credential, reason: str) -> None:
        """Note that the product refused a credential (401): its account needs re-authentication.

        Nothing changes when the account was linked again since the credential was opened.
        """
        found = await rows.find(self._db, tenant, credential.account)
        if found is not None and self._secrets(found) == dict(credential.secrets):
            await self._set_needs_reauth(found, reason)

    async def note_forbidden(self, tenant: Tenant, account: str, reason: str) -> None:
        """Note that the product does not let an account do something (403); its state stays."""
        await rows.set_error(self._db, tenant, account, _short(reason) or "forbidden")

    async def _there(self, tenant: Tenant, connectors: Sequence[Connector]) -> Sequence[Account]:
        there = [await rows.of_connector(self._db, tenant, connector.name) for connector in connectors]
        return [account for accounts in there for account in accounts]

    async def _open_active(self, account: Account, connector: Connector) -> Credential:
        if account.state != "active":
            why = f": {account.last_error}" if account.last_error else ""
            raise NeedsReauth(
                f"Account {shown(account)} at {connector.title} must be linked again ({account.state}{why})",
                hint=_link_again(account),
            )
        return await self._open(account, connector)

    async def _open(self, account: Account, connector: Connector) -> Credential:
        """Open an account, provided that the file still points where it was linked to (rule of trust 1)."""
        now_at = linking.current_origins(connector, account.settings)
        if now_at != account.origins:
            reason = (
                f"linked for {', '.join(account.origins)}, but base_url now points to"
                f" {', '.join(now_at) if now_at else 'no address'}"
            )
            await self._set_needs_reauth(account, reason)
            raise NeedsReauth(
                f"Account {shown(account)} at {connector.title} is {reason}; nothing was sent",
                hint=_link_again(account),
            )
        method = connector.auth_method(account.method)
        secrets = self._secrets(account)
        if method is None or set(method.fields) - set(secrets):
            raise NeedsReauth(
                f"Account {shown(account)} was linked by {account.method}, which {connector.title} no longer"
                " offers like that",
                hint=_link_again(account),
            )
        credential = Credential(
            account.id, account.connector, account.method, secrets, account.settings, account.origins
        )
        self._register(credential)
        return credential

    def _secrets(self, account: Account) -> dict[str, Secret]:
        payload = json.loads(self._vault.open(_PURPOSE, account.tenant, account.id, account.sealed))
        if tuple(payload["origins"]) != account.origins:
            raise SealBroken(
                f"Account {account.id} was sealed for other origins than its row says",
                hint=_link_again(account),
            )
        return {name: Secret(value) for name, value in payload["secrets"].items()}

    def _register(self, credential: Credential) -> None:
        if self._redactor is not None:
            for secret in credential.secrets.values():
                self._redactor.register(secret.reveal())

    async def _set_needs_reauth(self, account: Account, reason: str) -> None:
        if account.state == "needs_reauth" and account.last_error == _short(reason):
            return
        await rows.set_state(
            self._db,
            account.tenant,
            account.id,
            "needs_reauth",
            _short(reason),
            version=account.version,
            now=self._clock(),
        )

    async def _require(self, tenant: Tenant, account: str, connector: Connector) -> Account:
        found = await rows.find(self._db, tenant, account)
        if found is None or found.connector != connector.name:
            raise _no_account(tenant, account)
        return found

    async def _twin(
        self,
        tenant: Tenant,
        connector: Connector,
        subject: str | None,
        identity: Identity,
        origins: tuple[str, ...],
    ) -> Account | None:
        """Answer the account that is already linked for the same identity, owner and place."""
        if identity.id is None:
            return None
        for there in await rows.of_connector(self._db, tenant, connector.name):
            if (there.identity_id, there.subject, there.origins) == (_short(identity.id), subject, origins):
                return there
        return None


def _are_same(held: tuple[Connector, ...], given: tuple[Connector, ...]) -> bool:
    """Compare by identity: a reloaded catalog has new connectors, which may point elsewhere."""
    return len(held) == len(given) and all(one is other for one, other in zip(held, given, strict=True))


def _same_identity(account: Account, identity: Identity) -> None:
    if None not in (account.identity_id, identity.id) and account.identity_id != _short(identity.id):
        raise Conflict(
            f"Account {shown(account)} is another identity than the one that was given now"
            f" ({_short(identity.label or identity.id)})",
            hint="Link it as an account of its own, without naming this one.",
        )


def _no_account(tenant: Tenant, account: str) -> NotFound:
    return NotFound(
        f"Tenant {tenant} has no account {account!r} there",
        hint=f"See: linkspan account list --tenant {tenant}",
    )


def _link_again(account: Account) -> str:
    return f"Run: linkspan account link {account.connector} --tenant {account.tenant} --account {account.id}"


def _short(text: str | None) -> str | None:
    """Text that came from a product, as one line of bounded length."""
    if text is None:
        return None
    line = "".join(character if character.isprintable() else " " for character in text).strip()
    return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"


def _payload(secrets: Mapping[str, Secret], origins: Sequence[str]) -> bytes:
    opened = {name: secret.reveal() for name, secret in secrets.items()}
    return json.dumps({"origins": origins, "secrets": opened}).encode()
