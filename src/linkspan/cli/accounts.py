"""Accounts: a tenant's links to the products."""

from __future__ import annotations

import sys
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
from linkspan.cli.linking import (
    account_of,
    asked_scopes,
    link_in_browser,
    method_of,
    missing_settings,
    pair,
    secrets_of,
    way_in_browser,
)
from linkspan.cli.loopback import PORT
from linkspan.errors import ConfigurationError, InvalidArgument, NeedsReauth

if TYPE_CHECKING:
    from linkspan.app import App
    from linkspan.settings import Settings
    from linkspan.spec.catalog import Connector
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
    given = dict(pair(word) for word in settings)

    async def work() -> None:
        async with opened(
            settings_of(context, tenant=tenant, allow_egress=allow_egress), with_catalog=True
        ) as app:
            name = await app.tenants.only(app.settings.tenant)
            chosen = connector_of(app, connector)
            way = method_of(chosen, auth if auth or not browser else way_in_browser(chosen))
            view = chosen.through(way.type)
            verifier = None if no_verify or not (chosen.verify or way.verify) else app.verifier
            wanted = {**missing_settings(view, given, account_id), **given}
            try:
                if browser:
                    linked = await link_in_browser(
                        app, name, chosen, auth, wanted, subject, account_id, sandbox, verifier, callback_port
                    )
                else:
                    linked = await app.accounts.link(
                        name,
                        chosen,
                        method=way.type,
                        settings=wanted,
                        secrets=secrets_of(way, username, secret_env),
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
            if missing := set(asked_scopes(chosen, linked)) - set(linked.scopes or ()):
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
            found = await account_of(app.accounts, name, account_id)
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
            found = await account_of(app.accounts, name, account_id)
            chosen = connector_of(app, found.connector)
            way, view = chosen.auth_method(found.method), chosen.through(found.method)
            if not (chosen.verify or view.connected or (way is not None and way.verify)):
                raise InvalidArgument(f"connector {chosen.name} declares no `verify` request in tools.yaml")
            try:
                checked = await app.accounts.verify(
                    name, account_id, chosen, app.verifier, settings=dict(pair(word) for word in settings)
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
            found = await account_of(app.accounts, name, account_id)
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
