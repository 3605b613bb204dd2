"""Accounts: a tenant's links to the products."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from linkspan.cli.common import (
    JSON_OPTION,
    TENANT_OPTION,
    opened,
    print_json,
    print_table,
    run,
    settings_of,
    time_text,
)
from linkspan.cli.loopback import PORT, listening, redirect_uri
from linkspan.errors import ConfigurationError, InvalidArgument, NeedsReauth, NotFound
from linkspan.vault.secret import Secret

if TYPE_CHECKING:
    from linkspan.accounts.accounts import Accounts, Verifier
    from linkspan.accounts.principal import Tenant
    from linkspan.app import App
    from linkspan.settings import Settings
    from linkspan.spec.catalog import AuthMethod, Connector
    from linkspan.store.accounts import Account


@click.group()
def account() -> None:
    """Link, list, verify and unlink accounts of a tenant."""


@account.command()
@click.argument("connector")
@TENANT_OPTION
@click.option("--auth", metavar="TYPE", help="The way to connect, if the connector has several.")
@click.option(
    "--setting", "settings", multiple=True, metavar="NAME=VALUE", help="A setting; may be repeated."
)
@click.option("--username", help="The user name, where the connector asks for one.")
@click.option(
    "--secret-env",
    metavar="NAME",
    help="Read the secret from this variable (of two, NAME,NAME); otherwise it is asked, or read from"
    " standard input, a line each.",
)
@click.option("--subject", metavar="PERSON", help="Link it for one person instead of the whole tenant.")
@click.option("--account", "account_id", metavar="ID", help="Link this account again.")
@click.option("--browser", is_flag=True, help="Link by consent in a browser on this machine (OAuth).")
@click.option(
    "--callback-port",
    type=int,
    default=PORT,
    metavar="PORT",
    show_default=True,
    help="Where the browser comes back to on this machine; the product must know it.",
)
@click.option("--sandbox", is_flag=True, default=None, help="Let the account only read.")
@click.option("--no-verify", is_flag=True, help="Do not ask the product whether the credential is good.")
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@JSON_OPTION
@click.pass_context
def link(
    context: click.Context,
    connector: str,
    tenant: str | None,
    auth: str | None,
    settings: tuple[str, ...],
    username: str | None,
    secret_env: str | None,
    subject: str | None,
    account_id: str | None,
    browser: bool,
    callback_port: int,
    sandbox: bool | None,
    no_verify: bool,
    allow_egress: str | None,
    as_json: bool,
) -> None:
    """Link an account of CONNECTOR (a name from tools.yaml) to a tenant.

    The secret is never taken from the command line, where other users of the machine could read it.
    """
    given = dict(_pair(word) for word in settings)

    async def work() -> None:
        async with opened(
            settings_of(context, tenant=tenant, allow_egress=allow_egress), with_catalog=True
        ) as app:
            name = await app.tenants.only(app.settings.tenant)
            chosen = connector_of(app, connector)
            way = _method(chosen, auth if auth or not browser else _in_browser(chosen))
            view = chosen.through(way.type)
            verifier = None if no_verify or not (chosen.verify or way.verify) else app.verifier
            wanted = {**_missing_settings(view, given, account_id), **given}
            try:
                if browser:
                    linked = await _link_in_browser(
                        app, name, chosen, auth, wanted, subject, account_id, sandbox, verifier, callback_port
                    )
                else:
                    linked = await app.accounts.link(
                        name,
                        chosen,
                        method=way.type,
                        settings=wanted,
                        secrets=_secrets(way, username, secret_env),
                        subject=subject,
                        account=account_id,
                        verify=verifier,
                        sandbox=sandbox,
                    )
            except NeedsReauth as error:
                urls = [
                    way.help_url for way in chosen.auth if way.help_url and way.type == (auth or way.type)
                ]
                where = f" (where to get one: {urls[0]})" if urls else ""
                error.hint = error.hint or f"Nothing was linked. Check the credential and try again{where}."
                raise
        if as_json:
            print_json(shown(linked))
        else:
            whose = f", connected as {linked.identity_label}" if linked.identity_label else ""
            checked = "" if linked.verified else " (not verified)"
            click.echo(f"Linked {linked.id} at {chosen.title} for tenant {name}{whose}{checked}.")
            if missing := set(_asked_scopes(chosen, linked)) - set(linked.scopes or ()):
                click.echo(f"Not granted: {', '.join(sorted(missing))}", err=True)
        if linked.state != "active":
            again = f"linkspan account verify {linked.id} --tenant {name}"
            click.echo(f"It is not usable yet ({linked.state}): {linked.last_error}. Then: {again}", err=True)
            sys.exit(1)

    run(work, as_json=as_json)


@account.command("list")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, tenant: str | None, as_json: bool) -> None:
    """List the accounts of a tenant with their state."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            name = await app.tenants.only(app.settings.tenant)
            rows = [shown(row) for row in await app.accounts.list(name)]
        if as_json:
            print_json(rows)
            return
        for row in rows:
            row["verified"] = time_text(row["verified"])
            row["connected_as"] = row["identity"]["label"] or row["identity"]["id"]
            row["of"] = row["subject"] or "tenant"
        print_table(
            rows,
            ["id", "connector", "of", "connected_as", "state", "verified", "last_error"],
            f"Tenant {name} has no accounts: linkspan account link CONNECTOR --tenant {name}",
        )

    run(work, as_json=as_json)


async def _link_in_browser(
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
        earlier = await _account(app.accounts, tenant, account_id)
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


def _asked_scopes(connector: Connector, linked: Account) -> tuple[str, ...]:
    way = connector.auth_method(linked.method)
    return way.oauth.scopes if way is not None and way.oauth is not None else ()


@account.command()
@click.argument("account_id")
@TENANT_OPTION
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@JSON_OPTION
@click.pass_context
def refresh(
    context: click.Context, account_id: str, tenant: str | None, allow_egress: str | None, as_json: bool
) -> None:
    """Renew the access token of ACCOUNT_ID now."""

    async def work() -> None:
        async with opened(
            settings_of(context, tenant=tenant, allow_egress=allow_egress), with_catalog=True
        ) as app:
            name = await app.tenants.only(app.settings.tenant)
            found = await _account(app.accounts, name, account_id)
            renewed = await app.accounts.refresh(name, account_id, connector_of(app, found.connector))
        if as_json:
            print_json(shown(renewed))
        else:
            until = f", good until {time_text(renewed.expires)}" if renewed.expires else ""
            click.echo(f"Renewed the access token of {account_id}{until}.")

    run(work, as_json=as_json)


@account.command()
@click.argument("account_id")
@TENANT_OPTION
@click.option(
    "--setting", "settings", multiple=True, metavar="NAME=VALUE", help="Choose among what is found."
)
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@JSON_OPTION
@click.pass_context
def verify(
    context: click.Context,
    account_id: str,
    tenant: str | None,
    settings: tuple[str, ...],
    allow_egress: str | None,
    as_json: bool,
) -> None:
    """Ask the product whether the credential of ACCOUNT_ID is good, and note the answer."""

    async def work() -> None:
        async with opened(
            settings_of(context, tenant=tenant, allow_egress=allow_egress), with_catalog=True
        ) as app:
            name = await app.tenants.only(app.settings.tenant)
            found = await _account(app.accounts, name, account_id)
            chosen = connector_of(app, found.connector)
            way, view = chosen.auth_method(found.method), chosen.through(found.method)
            if not (chosen.verify or view.connected or (way is not None and way.verify)):
                raise InvalidArgument(f"connector {chosen.name} declares no `verify` request in tools.yaml")
            try:
                checked = await app.accounts.verify(
                    name, account_id, chosen, app.verifier, settings=dict(_pair(word) for word in settings)
                )
            except NeedsReauth as error:
                again = f"linkspan account link {chosen.name} --tenant {name} --account {account_id}"
                error.hint = error.hint or f"Link it again: {again}"
                raise
        if as_json:
            print_json(shown(checked))
        else:
            click.echo(f"{account_id} is good: connected as {checked.identity_label or checked.identity_id}.")

    run(work, as_json=as_json)


@account.command()
@click.argument("account_id")
@TENANT_OPTION
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@click.pass_context
def unlink(context: click.Context, account_id: str, tenant: str | None, allow_egress: str | None) -> None:
    """Delete ACCOUNT_ID and its secrets; a grant is given back to the product where it takes it."""
    settings = settings_of(context, tenant=tenant, allow_egress=allow_egress)

    async def work() -> None:
        async with opened(settings, with_catalog=_is_readable(settings)) as app:
            name = await app.tenants.only(app.settings.tenant)
            found = await _account(app.accounts, name, account_id)
            connector = app.catalog.connectors.get(found.connector)
            revoked = await app.accounts.unlink(name, account_id, connector)
        given = "; its grant was given back" if revoked else ""
        click.echo(f"Unlinked {account_id} of tenant {name}; its secrets are deleted{given}.")

    run(work)


def _is_readable(settings: Settings) -> bool:
    """Tell whether there is a good tools.yaml: deleting does not need one."""
    from linkspan.app import load_catalog

    try:
        load_catalog(settings)
    except ConfigurationError:
        return False
    return True


def connector_of(app: App, name: str) -> Connector:
    """Answer the connector of that name; raises `InvalidArgument` with the nearest."""
    found = app.catalog.connectors.get(name)
    if found is None:
        known = ", ".join(app.catalog.connectors) or "none"
        raise InvalidArgument(f"tools.yaml has no connector {name!r}", hint=f"Known: {known}.")
    return found


def shown(row: Account) -> dict[str, Any]:
    """Answer an account as JSON shows it; its secrets are not in it."""
    return {
        "id": row.id,
        "tenant": row.tenant,
        "connector": row.connector,
        "subject": row.subject,
        "auth": row.method,
        "state": row.state,
        "settings": dict(row.settings),
        "origins": list(row.origins),
        "identity": {"id": row.identity_id, "label": row.identity_label},
        "created": row.created,
        "updated": row.updated,
        "verified": row.verified,
        "last_error": row.last_error,
        "last_forbidden": row.last_forbidden,
        "scopes": list(row.scopes) if row.scopes is not None else None,
        "expires": row.expires,
        "sandbox": row.sandbox,
    }


async def _account(accounts: Accounts, tenant: Tenant, account_id: str) -> Account:
    for row in await accounts.list(tenant):
        if row.id == account_id:
            return row
    raise NotFound(
        f"Tenant {tenant} has no account {account_id!r}", hint=f"See: linkspan account list --tenant {tenant}"
    )


def _method(connector: Connector, type_: str | None) -> AuthMethod:
    from linkspan.accounts.linking import choose_method

    return choose_method(connector, type_)


def _in_browser(connector: Connector) -> str | None:
    """Answer the best way that is linked in a browser."""
    return next((way.type for way in connector.auth if way.type in {"oauth2", "github_app"}), None)


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{word!r} is not NAME=VALUE", param_hint="--setting")
    return name, value


def _missing_settings(connector: Connector, given: dict[str, str], again: str | None) -> dict[str, str]:
    """Ask for settings that were not given, on a terminal; a default is taken as it is."""
    if again is not None or not sys.stdin.isatty():
        return {}
    return {
        name: click.prompt(setting.title or name, err=True)
        for name, setting in connector.settings.items()
        if name not in given and setting.required and setting.default is None and not setting.is_found
    }


def _secrets(method: AuthMethod, username: str | None, secret_env: str | None) -> dict[str, Secret]:
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
