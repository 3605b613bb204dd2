"""Opening an account for use: only where it was linked to, only as it was linked, only while it is good."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from linkspan.accounts import linking
from linkspan.accounts.choice import owner_of, shown
from linkspan.accounts.principal import Principal
from linkspan.accounts.proving import short
from linkspan.accounts.refresh import Refresher
from linkspan.accounts.safe import Kept, Safe
from linkspan.errors import LinkspanError, NeedsReauth
from linkspan.spec.catalog import AuthMethod, Connector
from linkspan.spec.grants import Service
from linkspan.store import accounts as rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database
from linkspan.vault.credential import Credential
from linkspan.vault.secret import Secret
from linkspan.vault.signing import sign_hs256

_ISSUER = "linkspan"


@dataclass(frozen=True, slots=True)
class Opened:
    """An opened credential, and until when it may be used without asking again (epoch seconds)."""

    credential: Credential
    until: float = math.inf


class Opener:
    """Makes credentials of rows."""

    def __init__(
        self, db: Database, safe: Safe, refresher: Refresher | None, *, clock: Callable[[], float]
    ) -> None:
        self._db = db
        self._safe = safe
        self._refresher = refresher
        self._clock = clock

    async def open_active(self, principal: Principal, account: Account, connector: Connector) -> Opened:
        """Open an account for a call, its access token renewed if that is due. Raises `NeedsReauth`."""
        if account.state != "active":
            why = f": {account.last_error}" if account.last_error else ""
            raise NeedsReauth(
                f"Account {shown(account)} at {connector.title} must be linked again ({account.state}{why})",
                hint=link_again(account),
            )
        return await self.open(account, connector, principal)

    async def open(
        self, account: Account, connector: Connector, principal: Principal | None = None
    ) -> Opened:
        """Open an account of any state, provided that the file still points where it was linked to.

        Rule of trust 1: a credential goes only where it was linked to. Raises `NeedsReauth`.
        """
        await self._check_place(account, connector)
        way = connector.auth_method(account.method)
        if way is not None and self._refresher is not None and account.expires is not None:
            account = await self._refresher.fresh(account, connector)
        kept = await self._safe.open(account)
        if way is None or (way.service is None and set(way.sent) - set(kept.secrets)):
            raise NeedsReauth(
                f"Account {shown(account)} was linked by {account.method}, which {connector.title} no longer"
                " offers like that",
                hint=link_again(account),
            )
        until = self._refresher.due_at(account) if self._refresher is not None else math.inf
        secrets: Mapping[str, Secret] = {
            name: kept.secrets[name] for name in way.sent if name in kept.secrets
        }
        if way.service is not None:
            secrets, until = self.service(way.service, account.tenant, principal)
        credential = credential_of(account, secrets)
        return Opened(credential, until)

    def of_operator(
        self, principal: Principal, connectors: Sequence[Connector], account: str | None
    ) -> Opened | None:
        """Open the operator's own key where nothing has to be linked for it; None where there is none."""
        for connector in connectors:
            way = next((way for way in connector.auth if way.service is not None), None)
            if way is None or way.service is None or account not in {None, connector.name}:
                continue
            try:
                view = connector.through(way.type)
                settings = linking.check_settings(view, {})
                origins = linking.origins_of(view, settings)
            except LinkspanError:
                continue
            secrets, until = self.service(way.service, principal.tenant, principal)
            person = None if way.service.tenant.key is None else owner_of(principal)
            name = connector.name
            credential = Credential(name, name, way.type, secrets, settings, origins, person=person)
            return Opened(credential, until)
        return None

    def service(
        self, service: Service, tenant: str, principal: Principal | None
    ) -> tuple[Mapping[str, Secret], float]:
        """Answer the operator's key and what tells the product which tenant it is used for."""
        mark, now = service.tenant, self._clock()
        word, until = tenant, math.inf
        if mark.key is not None:
            claims: dict[str, object] = {"iss": _ISSUER, "sub": tenant, "iat": int(now)}
            claims["exp"] = int(now + mark.lifetime)
            if mark.audience is not None:
                claims["aud"] = mark.audience
            if principal is not None and (owner := owner_of(principal)) is not None:
                claims["person"] = owner
            word, until = sign_hs256(mark.key, claims), now + mark.lifetime / 2
        secrets = {name: Secret(value) for name, value in service.secrets.items()}
        self._safe.register(secrets)
        return {**secrets, "tenant": Secret(word)}, until

    async def _check_place(self, account: Account, connector: Connector) -> None:
        connector = connector.through(account.method)
        now_at = linking.current_origins(connector, account.settings)
        if account.state in {"connecting", "post_install_error"} and now_at != account.origins:
            now_at = linking.first_origins(connector, account.settings)
        if now_at == account.origins:
            return
        now = f"base_url now points to {', '.join(now_at)}" if now_at else "base_url now needs its settings"
        reason = f"linked for {', '.join(account.origins)}, but {now}"
        await self.set_needs_reauth(account, reason)
        raise NeedsReauth(
            f"Account {shown(account)} at {connector.title} is {reason}; nothing was sent",
            hint=link_again(account),
        )

    async def set_needs_reauth(self, account: Account, reason: str) -> None:
        """Record that an account's credential is no longer good, unless it was changed meanwhile."""
        if account.state == "needs_reauth" and account.last_error == short(reason):
            return
        await rows.set_state(
            self._db,
            account.tenant,
            account.id,
            "needs_reauth",
            short(reason),
            version=account.version,
            now=self._clock(),
        )


def credential_of(account: Account, secrets: Mapping[str, Secret]) -> Credential:
    """Answer a row's credential with these secrets."""
    return Credential(
        account.id,
        account.connector,
        account.method,
        secrets,
        account.settings,
        account.origins,
        subject=account.subject,
        sandbox=account.sandbox,
    )


def sent_of(way: AuthMethod, kept: Kept) -> dict[str, Secret]:
    """Answer the secrets that requests carry."""
    return {name: kept.secrets[name] for name in way.sent if name in kept.secrets}


def link_again(account: Account) -> str:
    """Answer the command that links an account again."""
    return f"Run: linkspan account link {account.connector} --tenant {account.tenant} --account {account.id}"
