"""Linking in a browser: what is asked there, and what may come back.

`begin` answers the URL to open and a `Consent`, which whoever sent the browser keeps until it returns:
sealed if it is written down, for ten minutes, and for one use. `finish` takes what the browser brought back.
Whether it came back to the browser that set out is for the caller to know: by a cookie, or, on the command
line, by a listener that only this machine reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from linkspan.accounts import linking
from linkspan.accounts.accounts import Accounts
from linkspan.accounts.oauth import authorize_url, is_state, new_verifier
from linkspan.accounts.principal import Tenant
from linkspan.accounts.providers import Provider, provider_of
from linkspan.accounts.proving import Verifier, short
from linkspan.accounts.token_answers import Tokens
from linkspan.errors import ConfigurationError, Forbidden, InvalidArgument, LinkspanError, UpstreamError
from linkspan.spec.catalog import AuthMethod, Connector
from linkspan.store.accounts import Account
from linkspan.store.database import OutcomeUnknown, StoreFault
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

LIFETIME: Final = 600.0
"""Seconds that a person has to consent."""


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent that was asked for: what it is for, and what must come back."""

    tenant: str
    connector: str
    method: str
    settings: Mapping[str, str]
    secrets: Mapping[str, Secret] = field(repr=False)
    """A client of the account's own (`AuthMethod.fields`), where it brings one."""
    subject: str | None
    account: str | None
    """The account that is linked again."""
    sandbox: bool | None
    redirect_uri: str
    scopes: tuple[str, ...]
    state: Secret
    verifier: Secret | None
    expires: float
    url: str = field(repr=False)
    """Where the browser goes."""
    keep_settings: bool = True
    """Linked again, the account keeps the settings that are not given."""
    allow_identity_change: bool = False


class Consents:
    """Asks for consents, and makes accounts of those that were given."""

    def __init__(self, accounts: Accounts, *, clock: Callable[[], float], random: Random) -> None:
        self._accounts = accounts
        self._clock = clock
        self._random = random

    def begin(
        self,
        tenant: Tenant,
        connector: Connector,
        *,
        redirect_uri: str,
        method: str | None = None,
        settings: Mapping[str, str] | None = None,
        secrets: Mapping[str, str | Secret] | None = None,
        subject: str | None = None,
        account: str | None = None,
        sandbox: bool | None = None,
        scopes: tuple[str, ...] | None = None,
        keep_settings: bool = True,
        allow_identity_change: bool = False,
    ) -> Consent:
        """Ask for a consent. `scopes` are asked instead of those that tools.yaml says.

        Raises `InvalidArgument` for settings, and for a way that is not linked in a browser.
        """
        way = _browser_way(connector, method)
        connector = connector.through(way.type)
        checked = linking.check_settings(connector, settings or {}, is_complete=False)
        own = linking.check_secrets(connector, way, secrets or {}) if way.type == "oauth2" else {}
        oauth = way.oauth
        assert oauth is not None  # noqa: S101
        state = new_verifier(self._random)
        verifier = new_verifier(self._random) if oauth.pkce and way.type == "oauth2" else None
        asked = scopes if scopes is not None else oauth.scopes
        url = authorize_url(
            provider_of(connector, way, checked, own),
            state=state,
            verifier=verifier,
            redirect_uri=redirect_uri,
            scopes=asked,
        )
        return Consent(
            tenant=tenant,
            connector=connector.name,
            method=way.type,
            settings=dict(settings or {}),
            secrets=own,
            subject=subject,
            account=account,
            sandbox=sandbox,
            redirect_uri=redirect_uri,
            scopes=asked,
            state=state,
            verifier=verifier,
            expires=self._clock() + LIFETIME,
            url=url,
            keep_settings=keep_settings,
            allow_identity_change=allow_identity_change,
        )

    async def seal(self, consent: Consent, record: str) -> bytes:
        """Seal a consent to be written down, for one record of its tenant."""
        words = {name: getattr(consent, name) for name in _WORDS}
        secrets = {f"own.{name}": secret for name, secret in consent.secrets.items()}
        secrets["state"] = consent.state
        if consent.verifier is not None:
            secrets["verifier"] = consent.verifier
        return await self._accounts.safe.seal_words(_PURPOSE, consent.tenant, record, words, secrets)

    async def open(self, tenant: str, record: str, sealed: bytes) -> Consent:
        """Open a consent that was written down. Raises `SealBroken`."""
        words, secrets = await self._accounts.safe.open_words(_PURPOSE, tenant, record, sealed)
        own = {
            name.removeprefix("own."): secret for name, secret in secrets.items() if name.startswith("own.")
        }
        return Consent(
            **{**words, "scopes": tuple(words["scopes"])},
            secrets=own,
            state=secrets["state"],
            verifier=secrets.get("verifier"),
        )

    def is_answer(self, consent: Consent, answer: Mapping[str, str]) -> bool:
        """Tell whether what a browser brought is the answer to this consent, be it a yes or a no."""
        return is_state(consent.state, answer.get("state"))

    async def finish(
        self, consent: Consent, connector: Connector, answer: Mapping[str, str], verify: Verifier | None
    ) -> Account:
        """Make an account of what the browser brought back; use a consent once.

        `answer` is the query of the redirect. The account's state may say that something after the consent
        failed (`Accounts.link`). Raises `Forbidden` when consent was denied, came too late, or is not the
        answer to this one; and what `OAuthClient.redeem` and `Accounts.link` raise. A grant that cannot be
        stored (the disk is full) is given back.
        """
        way = _browser_way(connector, consent.method)
        if not self.is_answer(consent, answer):
            raise Forbidden("What came back is not the answer to this consent", hint=_AGAIN)
        if self._clock() > consent.expires:
            raise Forbidden("The consent took longer than ten minutes", hint=_AGAIN)
        _check_answer(connector, way, answer)
        if way.type == "github_app" and answer.get("setup_action") == "request":
            raise Forbidden(
                f"An owner of the organization has to approve the app at {connector.title} first",
                hint="Ask one, and begin again when it is installed.",
            )
        settings = linking.check_settings(connector.through(way.type), consent.settings, is_complete=False)
        provider = provider_of(connector, way, settings, consent.secrets)
        oauth = self._accounts.oauth
        if oauth is None:
            raise ConfigurationError("Nothing here reaches token endpoints")
        tokens = await oauth.redeem(
            provider, Secret(answer["code"]), verifier=consent.verifier, redirect_uri=consent.redirect_uri
        )
        secrets: Mapping[str, Secret] = consent.secrets
        granted: Tokens | None = tokens
        if way.type == "github_app":
            installation = Secret(answer.get("installation_id", ""))
            secrets, granted = {"installation_id": installation}, None
            linking.check_secrets(connector, way, secrets)
            if not await oauth.may_see(provider, installation, tokens.access_token):
                raise Forbidden(f"Who came back from {connector.title} may not use that installation")
        elif tokens.scopes is None:
            granted = replace(tokens, scopes=consent.scopes)
        try:
            return await self._accounts.link(
                Tenant(consent.tenant),
                connector,
                method=consent.method,
                settings=consent.settings,
                secrets=secrets,
                subject=consent.subject,
                account=consent.account,
                verify=verify,
                sandbox=consent.sandbox,
                tokens=granted,
                keep_settings=consent.keep_settings,
                allow_identity_change=consent.allow_identity_change,
            )
        except OutcomeUnknown:
            raise
        except StoreFault as fault:
            given = await self._give_back(consent, provider, tokens)
            fault.hint = f"{_GIVEN_BACK if given else _LEFT_THERE} {fault.hint or ''}".rstrip()
            raise

    async def _give_back(self, consent: Consent, provider: Provider, tokens: Tokens) -> bool:
        """Give a grant back that could not be stored; tell whether the product took it.

        Some products end everything that the same person has granted us, so where the tenant has another
        account there, the grant is left alone.
        """
        oauth = self._accounts.oauth
        try:
            if oauth is None or await self._accounts.list(Tenant(consent.tenant), consent.connector):
                return False
            if tokens.refresh_token is not None:
                return await oauth.revoke(provider, tokens.refresh_token, "refresh_token")
            return await oauth.revoke(provider, tokens.access_token, "access_token")
        except LinkspanError:
            return False


_AGAIN = "Begin again."
_GIVEN_BACK = "The grant was given back; consent again once it can be stored."
_LEFT_THERE = "The consent is to be given again once it can be stored."
_PURPOSE = "consent"
_WORDS = (
    "tenant", "connector", "method", "settings", "subject", "account", "sandbox", "redirect_uri", "scopes",
    "expires", "url", "keep_settings", "allow_identity_change",
)  # fmt: skip


def _browser_way(connector: Connector, method: str | None) -> AuthMethod:
    """Answer the way of that type, or the best that is linked in a browser."""
    ways = [
        way
        for way in connector.auth
        if way.oauth is not None
        and (way.oauth.authorize_url is not None or way.oauth.install_url is not None)
    ]
    for way in ways:
        if method is None or way.type == method:
            return way
    raise InvalidArgument(
        f"{connector.title} is not linked in a browser" + (f" by {method!r}" if method else ""),
        hint=f"It takes: {', '.join(way.type for way in connector.auth)}.",
    )


def _check_answer(connector: Connector, way: AuthMethod, answer: Mapping[str, str]) -> None:
    """Raise when the answer says no (RFC 6749 §4.1.2.1), or comes from another server (RFC 9207)."""
    issuer = way.oauth.issuer if way.oauth is not None else None
    if issuer is not None and answer.get("iss", issuer) != issuer:
        raise Forbidden(f"The answer does not come from {connector.title}", hint=_AGAIN)
    error = answer.get("error")
    if error == "access_denied":
        raise Forbidden(f"The consent was denied at {connector.title}", hint=_AGAIN)
    if error is not None or not answer.get("code"):
        said = short(answer.get("error_description") or error) or "it gave no code"
        raise UpstreamError(f"{connector.title} did not consent: {said}", hint=_AGAIN)
