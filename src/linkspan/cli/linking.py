"""What `linkspan account link` asks of somebody, at a terminal or by a consent in a browser."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from linkspan.cli.loopback import listening, redirect_uri
from linkspan.errors import InvalidArgument, NotFound
from linkspan.vault.secret import Secret

if TYPE_CHECKING:
    from linkspan.accounts.accounts import Accounts, Verifier
    from linkspan.accounts.principal import Tenant
    from linkspan.app import App
    from linkspan.spec.catalog import AuthMethod, Connector
    from linkspan.store.accounts import Account


def method_of(connector: Connector, type_: str | None) -> AuthMethod:
    """Answer the way to connect that was named, or the only one."""
    from linkspan.accounts.linking import choose_method

    return choose_method(connector, type_)


def way_in_browser(connector: Connector) -> str | None:
    """Answer the best way that is linked in a browser."""
    return next((way.type for way in connector.auth if way.type in {"oauth2", "github_app"}), None)


def pair(word: str) -> tuple[str, str]:
    """Read NAME=VALUE."""
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{word!r} is not NAME=VALUE", param_hint="--setting")
    return name, value


def missing_settings(connector: Connector, given: dict[str, str], again: str | None) -> dict[str, str]:
    """Ask for settings that were not given, on a terminal; a default is taken as it is."""
    if again is not None or not sys.stdin.isatty():
        return {}
    return {
        name: click.prompt(setting.title or name, err=True)
        for name, setting in connector.settings.items()
        if name not in given and setting.required and setting.default is None and not setting.is_found
    }


def secrets_of(method: AuthMethod, username: str | None, secret_env: str | None) -> dict[str, Secret]:
    """Answer a way's secrets: of the environment, typed at a terminal, or a line each of standard input."""
    secrets: dict[str, Secret] = {}
    variables = (secret_env or "").split(",")
    if secret_env is not None and len(variables) > 1 and len(variables) != len(_kept(method)):
        raise click.UsageError(f"this way takes {len(_kept(method))} secrets: {', '.join(_kept(method))}")
    for field in method.fields:
        if field == "username":
            if username is None and sys.stdin.isatty():
                username = click.prompt("User name", err=True)
            if username is None:
                raise click.UsageError("this connector asks for a user name: add --username NAME")
            secrets[field] = Secret(username)
        else:
            which = _kept(method).index(field) if len(variables) > 1 else 0
            secrets[field] = _secret(field, method, variables[which] if secret_env is not None else None)
    return secrets


def _kept(method: AuthMethod) -> list[str]:
    return [field for field in method.fields if field != "username"]


def _secret(field: str, method: AuthMethod, secret_env: str | None) -> Secret:
    if secret_env is not None:
        value = os.environ.get(secret_env)
        if not value:
            raise click.UsageError(f"the variable {secret_env} is not set or empty")
        return Secret(value)
    if sys.stdin.isatty():
        asked = method.title or field.capitalize()
        if method.second is not None:
            asked = (method.second if field == "second_key" else method.name) or asked
        return Secret(click.prompt(asked, hide_input=True, err=True))
    return Secret(sys.stdin.readline().rstrip("\r\n"))


async def link_in_browser(
    app: App,
    tenant: Tenant,
    connector: Connector,
    auth: str | None,
    settings: dict[str, str],
    subject: str | None,
    account_id: str | None,
    sandbox: bool | None,
    verifier: Verifier | None,
    port: int,
) -> Account:
    """Open a consent, wait for the browser on a port of this machine, and link what it brings back."""
    from linkspan.accounts.consent import LIFETIME, Consents

    consents = Consents(app.accounts, clock=time.time, random=os.urandom)
    if account_id is not None:
        earlier = await account_of(app.accounts, tenant, account_id)
        kept = {name: value for name, value in earlier.settings.items() if name in connector.settings}
        settings = {**kept, **settings}
    consent = consents.begin(
        tenant,
        connector,
        method=auth,
        redirect_uri=redirect_uri(port),
        settings=settings,
        subject=subject,
        account=account_id,
        sandbox=sandbox,
    )
    done: list[Account] = []

    async def take(answer: dict[str, str]) -> str | None:
        if not consents.is_answer(consent, answer):
            return None
        linked = await consents.finish(consent, connector, answer, verifier)
        done.append(linked)
        whose = f" as {linked.identity_label}" if linked.identity_label else ""
        if linked.state != "active":
            return f"Linked{whose}, but it is not usable yet: {linked.last_error}."
        return f"Connected{whose} at {connector.title}."

    async with listening(port, take) as listener:
        click.echo(f"Open this in a browser on this machine:\n{consent.url}", err=True)
        if sys.stderr.isatty() and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            import webbrowser

            webbrowser.open(consent.url)
        try:
            await listener.wait(LIFETIME)
        except TimeoutError as error:
            raise InvalidArgument("Nobody consented within ten minutes", hint="Begin again.") from error
    return done[0]


def asked_scopes(connector: Connector, linked: Account) -> tuple[str, ...]:
    """Answer what an account's way asks a product for."""
    way = connector.auth_method(linked.method)
    return way.oauth.scopes if way is not None and way.oauth is not None else ()


async def account_of(accounts: Accounts, tenant: Tenant, account_id: str) -> Account:
    """Answer an account of a tenant. Raises `NotFound`."""
    for row in await accounts.list(tenant):
        if row.id == account_id:
            return row
    raise NotFound(
        f"Tenant {tenant} has no account {account_id!r}", hint=f"See: linkspan account list --tenant {tenant}"
    )
