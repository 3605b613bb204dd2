"""A link session as its page is told it. No secret is in it, and nothing of other accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

from linkspan.accounts.link_failures import Failure
from linkspan.accounts.link_sessions import host_of, is_consent, ways_of
from linkspan.spec.catalog import AuthMethod, Catalog, Connector, Kind, Setting
from linkspan.store.accounts import Account
from linkspan.store.link_sessions import LinkSession
from linkspan.store.outbox import iso

_TITLES: Final[Mapping[str, str]] = {
    "bearer": "API token",
    "header": "API key",
    "query": "API key",
    "basic": "User name and password",
    "none": "No credential",
    "oauth2": "Sign in",
    "client_credentials": "Client credentials",
    "github_app": "Install the app",
}
_LABELS: Final[Mapping[str, str]] = {
    "token": "Token",
    "key": "Key",
    "username": "User name",
    "password": "Password",
    "client_id": "Client ID",
    "client_secret": "Client secret",
    "installation_id": "Installation ID",
}
_ABILITIES: Final[tuple[tuple[str, Kind], ...]] = (
    ("Read", "read"),
    ("Create, change and comment on", "write"),
    ("Delete", "delete"),
)
_OVER: Final[Failure] = {"error_type": "invalid_token"}
OPEN_TO_SEE: Final = frozenset({"username", "client_id", "installation_id"})
"""Fields whose value may be seen while it is typed."""


def _label(way: AuthMethod, name: str) -> str:
    """Answer what a field is called: of two keys, by their headers."""
    if way.second is not None:
        return (way.second if name == "second_key" else way.name) or name
    return _LABELS.get(name, name)


def session_shown(
    session: LinkSession,
    connectors: list[Connector],
    account: Account | None,
    catalog: Catalog,
    *,
    is_over: bool,
    now: float,
) -> dict[str, Any]:
    """Answer what the page works with. `account` is the one that came of it, or that is linked again."""
    linked = account if session.linked is not None else None
    status = "open"
    if session.linked is not None:
        status = "linked"
    elif session.busy is not None and session.busy > now:
        status = "busy"
    elif is_over:
        status = "over"
    before = account.settings if account is not None and linked is None and session.keep_settings else {}
    return {
        "id": session.id,
        "product": catalog.title or catalog.name,
        "tenant": session.tenant,
        "person": session.subject,
        "expires_at": iso(session.expires),
        "status": status,
        "origins": list(session.origins),
        "relink": _relinked(account) if account is not None and linked is None else None,
        "may_change_identity": session.allow_identity_change,
        "integrations": [_connector(each, session, catalog, before) for each in connectors],
        "result": _result(session, linked, catalog) if linked is not None else None,
        "failure": session.failure,
        "redirect": redirect_of(session, linked, session.failure or (_OVER if status == "over" else None)),
        "redirect_host": host_of(session.redirect_uri) if session.redirect_uri else None,
    }


def redirect_of(session: LinkSession, account: Account | None, failure: Failure | None) -> str | None:
    """Answer where the browser goes afterwards, with what came of it."""
    if session.redirect_uri is None:
        return None
    told = {"status": "closed"}
    if failure is not None:
        told = {"status": "error", "error_type": str(failure["error_type"])}
    elif account is not None:
        told = {"status": "success", "integration": account.connector}
    if account is not None:
        told["integrated_account_id"] = account.id
    mark = "&" if "?" in session.redirect_uri else "?"
    return f"{session.redirect_uri}{mark}{urlencode(told)}"


def _relinked(account: Account) -> dict[str, Any]:
    return {"id": account.id, "integration": account.connector, "identity": account.identity_label}


def _result(session: LinkSession, account: Account, catalog: Catalog) -> dict[str, Any]:
    connector = catalog.connectors.get(account.connector)
    settings = connector.settings if connector is not None else {}
    return {
        "integration": account.connector,
        "title": connector.title if connector is not None else account.connector,
        "integrated_account_id": account.id,
        "state": account.state,
        "identity": account.identity_label or account.identity_id,
        "sandbox": account.sandbox,
        "settings": [
            {"title": settings[name].title if name in settings else name, "value": value}
            for name, value in account.settings.items()
            if name not in settings or settings[name].type != "certificate"
        ],
        "not_granted": _not_granted(session, account, connector),
    }


def _not_granted(session: LinkSession, account: Account, connector: Connector | None) -> list[str]:
    way = connector.auth_method(account.method) if connector is not None else None
    if way is None or way.oauth is None or account.scopes is None:
        return []
    asked = session.scopes or way.oauth.scopes
    return [scope for scope in asked if scope not in account.scopes]


def _connector(
    connector: Connector, session: LinkSession, catalog: Catalog, before: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "name": connector.name,
        "title": connector.title,
        "abilities": _abilities(connector, catalog, only_read=bool(session.sandbox)),
        "settings": [
            {
                "name": setting.name,
                "title": setting.title,
                "description": setting.description,
                "type": setting.type,
                "required": setting.required,
                "value": before.get(setting.name) or setting.default or "",
            }
            for setting in _asked(connector, session)
            if setting.name not in session.settings
        ],
        "given": [
            {"title": connector.settings[name].title, "value": value}
            for name, value in session.settings.items()
            if name in connector.settings and connector.settings[name].type != "certificate"
        ],
        "ways": [_way(way, session, connector) for way in _fitting(connector, session)],
    }


def _asked(connector: Connector, session: LinkSession) -> list[Setting]:
    """Answer the settings that any way asks; one that not all of them need may be left empty."""
    views = [connector.through(way.type) for way in _fitting(connector, session)]
    shown = []
    for name, setting in connector.settings.items():
        asking = [view.settings[name] for view in views if name in view.settings]
        if any(not one.is_found for one in asking):
            needed = len(asking) == len(views) and not any(one.is_found for one in asking)
            shown.append(setting if needed else replace(setting, required=False))
    return shown


def _fitting(connector: Connector, session: LinkSession) -> list[AuthMethod]:
    """Answer the ways to connect, first those that are meant for a person or a tenant, as the token is."""
    per = "tenant" if session.subject is None else "person"
    return sorted(ways_of(connector), key=lambda way: way.per != per)


def _way(way: AuthMethod, session: LinkSession, connector: Connector) -> dict[str, Any]:
    oauth = way.oauth
    settings = connector.through(way.type).settings
    fields = () if way.type == "github_app" else way.fields
    return {
        "type": way.type,
        "kind": "consent" if is_consent(way) else "form",
        "title": way.title or _TITLES[way.type],
        "help_url": way.help_url,
        "fields": [
            {
                "name": name,
                "title": _label(way, name),
                "secret": name not in OPEN_TO_SEE,
                "required": way.type != "basic",
            }
            for name in fields
        ],
        "settings": {name: one.required for name, one in settings.items() if not one.is_found},
        "scopes": list(session.scopes or oauth.scopes) if oauth is not None and is_consent(way) else [],
    }


def _abilities(connector: Connector, catalog: Catalog, *, only_read: bool) -> list[str]:
    """Answer in words what calls with an account of the connector can do."""
    lines = []
    for verb, kind in _ABILITIES[:1] if only_read else _ABILITIES:
        names = dict.fromkeys(
            tool.entity for tool in catalog.tools if tool.kind == kind and connector.name in tool.operations
        )
        of = [_plural(catalog, name) for name in names]
        if of:
            lines.append(f"{verb} {', '.join(of[:-1]) + ' and ' if len(of) > 1 else ''}{of[-1]}")
    return lines


def _plural(catalog: Catalog, name: str) -> str:
    entity = catalog.entities.get(name)
    return (entity.plural if entity is not None else name).replace("_", " ")
