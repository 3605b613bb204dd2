"""Linking an account with a link token: by what somebody enters, or by a consent in a browser window.

One attempt of a session is under way at a time, and the first that leads to an account uses the token up.
A consent goes: `ask` stores it, sealed, and answers a ticket; `depart` lets one browser set out with the
ticket, which remembers the browser; `come_back` takes what that browser brings, once. Where somebody else's
browser brings it, or another state, nothing is linked and nothing is used up.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from linkspan.accounts.accounts import Accounts
from linkspan.accounts.consent import Consents
from linkspan.accounts.link_failures import Failure, LinkOver, failure_of, state_failure
from linkspan.accounts.link_sessions import LinkSessions, digest, is_consent, ways_of
from linkspan.accounts.oauth import new_verifier
from linkspan.accounts.opaque import mint
from linkspan.accounts.principal import Tenant
from linkspan.accounts.proving import Verifier
from linkspan.errors import Conflict, Forbidden, Internal, InvalidArgument, LinkspanError, NotFound
from linkspan.spec.catalog import Connector
from linkspan.store import accounts as account_rows
from linkspan.store import link_sessions as rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database, StoreFault
from linkspan.store.link_sessions import LinkConsent, LinkSession
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

log = logging.getLogger("linkspan.accounts")
_LEASE: Final = 120.0
"""Seconds after which an attempt whose process died no longer holds others back."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How somebody wants to link: what was chosen and entered."""

    connector: Connector
    method: str | None
    settings: Mapping[str, str]
    secrets: Mapping[str, Secret]
    confirmed: bool = False
    """Somebody else than the account belongs to may take it over."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: an account, a failure, or an account that is not usable yet and why."""

    session: LinkSession
    connector: str
    account: Account | None = None
    failure: Failure | None = None
    error: LinkspanError | None = None


class LinkAttempts:
    """Makes accounts of link sessions."""

    def __init__(
        self,
        db: Database,
        accounts: Accounts,
        consents: Consents,
        sessions: LinkSessions,
        verifier: Verifier,
        *,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._db = db
        self._accounts = accounts
        self._consents = consents
        self._sessions = sessions
        self._verifier = verifier
        self._clock = clock
        self._random = random
        self._unnoted: dict[str, LinkSession] = {}
        """Sessions as they ended while that could not be written."""

    async def noted(self, session: LinkSession) -> LinkSession:
        """Answer a session as it ended, and write it now if that was not possible before."""
        ended = self._unnoted.get(session.id)
        if ended is None:
            return session
        try:
            await rows.end(self._db, ended, linked=ended.linked, failure=ended.failure)
        except StoreFault:
            return ended
        self._unnoted.pop(session.id, None)
        return ended

    def connector(self, session: LinkSession, name: str) -> Connector:
        """Answer a connector that the session may link. Raises `NotFound`."""
        for connector in self._sessions.linkable(session):
            if connector.name == name:
                return connector
        raise NotFound("This link is not for that product", hint="Choose one that is shown.")

    async def account(self, session: LinkSession) -> Account | None:
        """Answer the account of a session: that which came of it, or that which it links again."""
        named = session.linked or session.account
        return await account_rows.find(self._db, session.tenant, named) if named else None

    async def by_credential(self, session: LinkSession, asked: Asked) -> Outcome:
        """Link by what was entered. Raises `Conflict` while another attempt is under way."""
        method = _way(asked, by_consent=False)
        settings = await self._settings(session, asked, method)

        async def work() -> Account:
            return await self._accounts.link(
                Tenant(session.tenant),
                asked.connector,
                method=method,
                settings=settings,
                secrets=asked.secrets,
                subject=session.subject,
                account=session.account,
                verify=self._verifier,
                sandbox=session.sandbox,
                keep_settings=session.keep_settings,
                allow_identity_change=asked.confirmed and session.allow_identity_change,
            )

        return await self._attempt(session, asked.connector, work)

    async def ask(self, session: LinkSession, asked: Asked, *, redirect_uri: str) -> Secret:
        """Ask for a consent; answer the ticket with which a browser sets out. Raises `InvalidArgument`."""
        self._check_open(session)
        method = _way(asked, by_consent=True)
        consent = self._consents.begin(
            Tenant(session.tenant),
            asked.connector,
            method=method,
            redirect_uri=redirect_uri,
            settings=await self._settings(session, asked, method),
            secrets=asked.secrets,
            subject=session.subject,
            account=session.account,
            sandbox=session.sandbox,
            scopes=session.scopes,
            keep_settings=session.keep_settings,
            allow_identity_change=asked.confirmed and session.allow_identity_change,
        )
        made = mint("link", self._random)
        ticket = new_verifier(self._random)
        await rows.send(
            self._db,
            LinkConsent(
                tenant=session.tenant,
                id=made.id,
                session=session.id,
                state=digest(consent.state.reveal()),
                ticket=digest(ticket.reveal()),
                browser=None,
                sealed=await self._consents.seal(consent, made.id),
                expires=consent.expires,
            ),
        )
        return ticket

    async def depart(self, ticket: str, browser: str) -> str:
        """Let a browser set out with a ticket, once; answer where to. Raises `Forbidden`."""
        consent = await rows.depart(self._db, digest(ticket), digest(browser), now=self._clock())
        if consent is None:
            raise Forbidden("This window was not waited for, or not any more", hint=_BEGIN_AGAIN)
        return (await self._consents.open(consent.tenant, consent.id, consent.sealed)).url

    async def come_back(self, answer: Mapping[str, str], browser: str | None) -> Outcome:
        """Take what a browser brings back, once.

        Raises `Forbidden` when it is not the answer to a consent that this very browser set out for, and
        `StoreFault` before anything was done; whatever fails after that is in the outcome.
        """
        state = answer.get("state")
        consent = await rows.consent_of(self._db, digest(state)) if state else None
        if consent is None or not _is_of(consent, browser):
            raise Forbidden(
                "This window is not waited for: it was used already, took too long, belongs to another"
                " browser, or this one keeps no cookies",
                hint=_BEGIN_AGAIN,
            )
        session = await self._sessions.find(consent.session)
        if session is None or session.tenant != consent.tenant or self._sessions.is_over(session):
            raise LinkOver("The link that this belongs to is used up, or over", hint=_BEGIN_AGAIN)
        opened = await self._consents.open(consent.tenant, consent.id, consent.sealed)
        connector = self.connector(session, opened.connector)

        async def work() -> Account:
            if not await rows.take(self._db, consent):
                raise Forbidden("This window was used already", hint=_BEGIN_AGAIN)
            return await self._consents.finish(opened, connector, answer, self._verifier)

        return await self._attempt(session, connector, work)

    async def again(self, session: LinkSession, settings: Mapping[str, str]) -> Outcome:
        """Try an account again that was linked and was not usable, perhaps with what was chosen now.

        Raises `InvalidArgument` where there is none.
        """
        session = await self.noted(session)
        account = await self.account(session) if session.linked else None
        if account is None or account.state == "active" or self._clock() >= session.expires:
            raise InvalidArgument("There is nothing here to try again")
        connector = self.connector(session, account.connector)
        tenant = Tenant(session.tenant)
        try:
            done = await self._accounts.verify(
                tenant, account.id, connector, self._verifier, settings=settings
            )
        except LinkspanError as error:
            return await self._end(Outcome(session, connector.name, account, failure_of(error), error))
        return await self._end(Outcome(session, connector.name, done, _unusable(done)))

    async def _attempt(
        self, session: LinkSession, connector: Connector, work: Callable[[], Awaitable[Account]]
    ) -> Outcome:
        session = await self.noted(session)
        self._check_open(session)
        now = self._clock()
        if not await rows.begin(self._db, session, now=now, until=now + _LEASE):
            raise Conflict("Another attempt with this link is under way, or it was used", hint="Wait.")
        try:
            account = await work()
        except LinkspanError as error:
            return await self._end(Outcome(session, connector.name, None, failure_of(error), error))
        except Exception:
            # A fault of ours: whoever waits is told, and the next attempt need not wait for the lease.
            ours = Internal("Something went wrong here")
            await self._end(Outcome(session, connector.name, None, failure_of(ours), ours))
            raise
        if account.state == "post_install_error":
            account, failure = await self._choices(account, connector)
        else:
            failure = _unusable(account)
        return await self._end(Outcome(session, connector.name, account, failure))

    async def _choices(self, account: Account, connector: Connector) -> tuple[Account, Failure | None]:
        """Ask once more what keeps an account from being usable: there may be a choice to make."""
        tenant = Tenant(account.tenant)
        try:
            found = await self._accounts.verify(tenant, account.id, connector, self._verifier)
        except LinkspanError as error:
            return account, failure_of(error, error_type="post_install_error")
        return found, _unusable(found)

    async def _end(self, outcome: Outcome) -> Outcome:
        session, account, failure = outcome.session, outcome.account, outcome.failure
        if failure is not None:
            failure = {**failure, "integration": outcome.connector}
        linked = account.id if account is not None else None
        ended = replace(session, busy=None, linked=linked or session.linked, failure=failure)
        try:
            await rows.end(self._db, session, linked=linked, failure=failure)
        except StoreFault as fault:
            log.error("link session %s cannot be noted as it ended: %s", session.id, fault.message)
            self._unnoted[session.id] = ended
        return replace(outcome, session=ended, failure=failure)

    async def _settings(self, session: LinkSession, asked: Asked, method: str) -> dict[str, str]:
        """Answer the settings: those that the token came with win, then what was entered, then what was."""
        known = asked.connector.through(method).settings
        before: Mapping[str, str] = {}
        if session.account is not None and session.keep_settings:
            account = await self.account(session)
            before = account.settings if account is not None else {}
        others = asked.connector.settings.keys() - known.keys()
        entered = {
            name: value for name, value in asked.settings.items() if value.strip() and name not in others
        }
        return {
            **{name: value for name, value in before.items() if name in known},
            **entered,
            **{name: value for name, value in session.settings.items() if name in known},
        }

    def _check_open(self, session: LinkSession) -> None:
        if self._sessions.is_over(session):
            raise LinkOver("This link was used, or is over", hint="Ask for a new one where you got it.")


_BEGIN_AGAIN: Final = "Begin again on the page where you came from."


def _way(asked: Asked, *, by_consent: bool) -> str:
    """Answer the way that was chosen, or the best.

    An installation is never linked by its number alone, which proves nothing: only by who comes back from it.
    """
    ways = [way for way in ways_of(asked.connector) if is_consent(way) is by_consent]
    for way in ways:
        if asked.method is None or way.type == asked.method:
            return way.type
    raise InvalidArgument(
        f"{asked.connector.title} is not linked like this"
        + (f" by {asked.method!r}" if asked.method else ""),
        hint=f"It takes: {', '.join(way.type for way in ways) or 'nothing'}.",
    )


def _unusable(account: Account) -> Failure | None:
    return None if account.state == "active" else state_failure(account.state, account.last_error)


def _is_of(consent: LinkConsent, browser: str | None) -> bool:
    return consent.browser is not None and hmac.compare_digest(consent.browser, digest(browser or ""))
