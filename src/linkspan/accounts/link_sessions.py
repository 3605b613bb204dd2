"""Link tokens: a tenant's own people link an account with one, in a browser, once.

A token is bound to its tenant, person, connectors, scopes and the pages that may show it. It locks itself to
the first browser that opens it, which keeps a secret from then on, and it is used up by the account that
comes of it. Of the token and of what the browser keeps only a digest is stored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from linkspan.accounts import linking
from linkspan.accounts.link_failures import LinkOver
from linkspan.accounts.oauth import new_verifier
from linkspan.accounts.opaque import mint, read
from linkspan.accounts.principal import Tenant
from linkspan.accounts.redirects import LOOPBACK, page_origin, read_redirect
from linkspan.accounts.tenants import no_tenant
from linkspan.errors import Forbidden, InvalidArgument, NotFound, Unauthenticated
from linkspan.spec.catalog import AuthMethod, Catalog, Connector
from linkspan.store import link_sessions as rows
from linkspan.store.accounts import Account
from linkspan.store.database import Database
from linkspan.store.link_sessions import LinkSession
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

LIFETIME: Final = 900.0
"""Seconds that a token is good for, if nothing else is said."""
SHORTEST: Final = 60.0
LONGEST: Final = 7 * 86_400.0
_MOST_ORIGINS: Final = 20
_LONGEST_NAME: Final = 100
_ID: Final = re.compile(r"[a-z0-9]{12}")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link token that was just made. `text` is shown once and stored nowhere."""

    text: Secret
    session: LinkSession


@dataclass(frozen=True, slots=True)
class Entered:
    """A session in its browser. `handle` is set when it was opened just now: what the browser is to keep."""

    session: LinkSession
    handle: Secret | None = None


class LinkSessions:
    """Makes link tokens, opens them in one browser each, and knows that browser again."""

    def __init__(
        self,
        db: Database,
        *,
        clock: Callable[[], float],
        random: Random,
        catalog: Callable[[], Catalog],
    ) -> None:
        self._db = db
        self._clock = clock
        self._random = random
        self._catalog = catalog

    async def create(
        self,
        tenant: Tenant,
        *,
        person: str | None = None,
        connectors: Sequence[str] = (),
        account: Account | None = None,
        scopes: Sequence[str] | None = None,
        allowed_origins: Sequence[str] = (),
        redirect_uri: str | None = None,
        settings: Mapping[str, str] | None = None,
        keep_settings: bool = True,
        allow_identity_change: bool = False,
        sandbox: bool | None = None,
        lifetime: float = LIFETIME,
    ) -> NewLink:
        """Make a link token. `account` is the one of the tenant that is to be linked again.

        Raises `InvalidArgument` with every fault, and `NotFound` for the tenant.
        """
        now = self._clock()
        faults: list[dict[str, str]] = []
        names = self._connectors(connectors, account, faults)
        origins = _checked(allowed_origins, "allowed_origins", page_origin, faults)
        if person is not None and not _is_line(person):
            faults.append({"path": "person", "message": f"one line of at most {_LONGEST_NAME} characters"})
        if account is not None and person is not None:
            faults.append({"path": "person", "message": "an account that is linked again stays whose it is"})
        if redirect_uri is not None and read_redirect(redirect_uri) is None:
            faults.append({"path": "redirect_uri", "message": "must be https://, or http:// on loopback"})
        if len(origins) > _MOST_ORIGINS:
            faults.append({"path": "allowed_origins", "message": f"at most {_MOST_ORIGINS}"})
        faults += [
            {"path": "scopes", "message": f"{scope[:40]!r} is not one scope"}
            for scope in scopes or ()
            if not _SCOPE.fullmatch(scope)
        ]
        if not SHORTEST <= lifetime <= LONGEST:
            faults.append({"path": "expires_in", "message": "from a minute to seven days"})
        given = self._settings(settings or {}, names, faults)
        if faults:
            told = "; ".join(f"{fault['path']}: {fault['message']}" for fault in faults)
            raise InvalidArgument(f"No link token can be made like this: {told}", details=faults)
        made = mint("link", self._random)
        session = LinkSession(
            tenant=tenant,
            id=made.id,
            hash=made.hash,
            subject=account.subject if account is not None else person,
            connectors=names,
            scopes=tuple(scopes) if scopes else None,
            origins=tuple(dict.fromkeys(origins)),
            redirect_uri=redirect_uri,
            settings=given,
            account=account.id if account is not None else None,
            keep_settings=keep_settings,
            allow_identity_change=allow_identity_change,
            sandbox=sandbox,
            created=now,
            expires=now + lifetime,
        )
        if not await rows.insert(self._db, session):
            raise no_tenant(tenant)
        return NewLink(made.text, session)

    async def revoke(self, tenant: Tenant, session: str) -> None:
        """End a link token by its ID, wherever it is open. Raises `NotFound`."""
        if not await rows.revoke(self._db, tenant, session, now=self._clock()):
            raise NotFound(
                f"Tenant {tenant} has no link token {session!r} that can still link something",
                hint="Its ID is the third word of the token: lsk_link_ID_….",
            )

    async def open(self, text: str, handle: str | None, *, parent: str | None = None) -> Entered:
        """Open a token in a browser, the first time for good; `handle` is what this browser may keep of it.

        `parent` is the origin of the page that shows it in a frame. Raises `Unauthenticated`, always the
        same for a token that is malformed, unknown, expired or used up, and `Forbidden` in another browser
        or in the frame of another page, which uses up nothing.
        """
        shown = read(text.strip(), "link")
        found = await rows.find(self._db, shown.id) if shown.id else None
        if not shown.is_of(found.hash if found else None) or found is None or not self._is_open(found):
            raise Unauthenticated(
                "This link is not good, or not any more",
                hint="It works once and for a limited time. Ask for a new one where you got it.",
            )
        if parent is not None and parent not in found.origins:
            raise Forbidden(
                f"This page may not be shown inside {parent}",
                hint="The link token's allowed_origins say where it may.",
            )
        if found.browser is not None:
            return Entered(_in_its_browser(found, handle))
        made = new_verifier(self._random)
        if not await rows.lock(self._db, found, digest(made.reveal())):
            raise _other_browser()
        return Entered(await self._again(found), made)

    async def enter(self, session: str, handle: str | None) -> LinkSession:
        """Answer a session to the browser that opened it, also when it is over. Raises `Unauthenticated`."""
        found = await self.find(session)
        if found is None or found.browser is None:
            raise _unknown()
        return _in_its_browser(found, handle)

    async def find(self, session: str) -> LinkSession | None:
        """Answer a session by its ID: what pages may show it, and nothing to anybody."""
        return await rows.find(self._db, session) if _ID.fullmatch(session) else None

    def linkable(self, session: LinkSession) -> list[Connector]:
        """Answer the connectors that a session may link, of those that are there now."""
        there = self._catalog().connectors
        names = session.connectors or tuple(there)
        return [there[name] for name in names if name in there and ways_of(there[name])]

    def is_over(self, session: LinkSession) -> bool:
        """Tell whether a session can link nothing more."""
        return not self._is_open(session)

    def _is_open(self, session: LinkSession) -> bool:
        return session.linked is None and self._clock() < session.expires

    async def _again(self, session: LinkSession) -> LinkSession:
        return await rows.find(self._db, session.id) or session

    def _connectors(
        self, asked: Sequence[str], account: Account | None, faults: list[dict[str, str]]
    ) -> tuple[str, ...]:
        there = self._catalog().connectors
        if account is not None:
            if set(asked) - {account.connector}:
                message = f"account {account.id} is one of {account.connector}"
                faults.append({"path": "integrations", "message": message})
            asked = [account.connector]
        for name in asked:
            if name not in there:
                known = ", ".join(there) or "none"
                faults.append({"path": "integrations", "message": f"no connector {name!r}; known: {known}"})
            elif not ways_of(there[name]):
                message = f"{name} is linked with what is the operator's: linkspan account link {name}"
                faults.append({"path": "integrations", "message": message})
        return tuple(dict.fromkeys(asked))

    def _settings(
        self, given: Mapping[str, str], names: tuple[str, ...], faults: list[dict[str, str]]
    ) -> dict[str, str]:
        there = self._catalog().connectors
        asked = [there[name] for name in names or tuple(there) if name in there]
        answer = {}
        for name, value in given.items():
            settings = [each.settings[name] for each in asked if name in each.settings]
            if not settings:
                faults.append({"path": f"context.{name}", "message": "no connector here has such a setting"})
                continue
            try:
                for setting in settings:
                    answer[name] = linking.check_setting(setting, value.strip())
            except InvalidArgument as error:
                faults.append({"path": f"context.{name}", "message": error.message})
        return answer


def ways_of(connector: Connector) -> list[AuthMethod]:
    """Answer the ways that a tenant's own people can link a connector by.

    Those that prove something of who links: a key of theirs, their consent. With the operator's key, with the
    operator's client alone, or with nothing but the number of an installation, they would get at what belongs
    to others; these are linked by an operator.
    """
    return [way for way in connector.auth if is_for_people(way)]


def is_consent(way: AuthMethod) -> bool:
    """Tell whether a way leads through a window at the product."""
    oauth = way.oauth
    return oauth is not None and (oauth.authorize_url is not None or oauth.install_url is not None)


def is_for_people(way: AuthMethod) -> bool:
    """Tell whether a way proves something of who links."""
    if way.service is not None:
        return False
    return way.oauth is None or is_consent(way) or (way.type == "client_credentials" and bool(way.fields))


def digest(text: str) -> bytes:
    """Answer what is stored of something that only a browser keeps."""
    return hashlib.sha256(text.encode()).digest()


def _in_its_browser(session: LinkSession, handle: str | None) -> LinkSession:
    if session.browser is None or not handle or digest(handle) != session.browser:
        raise _other_browser()
    return session


def _other_browser() -> LinkOver:
    return LinkOver(
        "This link was opened in another browser already, or this one keeps no cookies",
        hint="Go on there, or ask for a new link where you got it.",
    )


def _is_line(text: str) -> bool:
    return bool(text.strip()) and text.isprintable() and len(text) <= _LONGEST_NAME


def _unknown() -> Unauthenticated:
    return Unauthenticated("This link is not known here", hint="Ask for a new one where you got it.")


def _checked(
    given: Sequence[str], path: str, check: Callable[[str], str | None], faults: list[dict[str, str]]
) -> list[str]:
    answer = []
    for text in given:
        checked = check(text)
        if checked is None:
            loopback = ", ".join(sorted(LOOPBACK - {"[::1]"}))
            message = f"{text[:80]!r} must be https://HOST, or http:// on {loopback}"
            faults.append({"path": path, "message": message})
        else:
            answer.append(checked)
    return answer


def host_of(url: str) -> str:
    """Answer what people call the place that a URL leads to."""
    return urlsplit(url).netloc
