"""Accounts: a tenant's links to the products."""

from __future__ import annotations

import os
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
from linkspan.errors import InvalidArgument, NeedsReauth, NotFound
from linkspan.vault.secret import Secret

if TYPE_CHECKING:
    from linkspan.accounts.accounts import Accounts
    from linkspan.accounts.principal import Tenant
    from linkspan.app import App
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
    help="Read the secret from this variable; otherwise it is asked, or read from standard input.",
)
@click.option("--subject", metavar="PERSON", help="Link it for one person instead of the whole tenant.")
@click.option("--account", "account_id", metavar="ID", help="Link this account again.")
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
            method = _method(chosen, auth)
            secrets = _secrets(method, username, secret_env)
            try:
                linked = await app.accounts.link(
                    name,
                    chosen,
                    method=method.type,
                    settings={**_missing_settings(chosen, given, account_id), **given},
                    secrets=secrets,
                    subject=subject,
                    account=account_id,
                    verify=None if no_verify or chosen.verify is None else app.verifier,
                )
            except NeedsReauth as error:
                where = f" (where to get one: {method.help_url})" if method.help_url else ""
                error.hint = error.hint or f"Nothing was linked. Check the credential and try again{where}."
                raise
        if as_json:
            print_json(shown(linked))
        else:
            whose = f", connected as {linked.identity_label}" if linked.identity_label else ""
            checked = "" if linked.verified else " (not verified)"
            click.echo(f"Linked {linked.id} at {chosen.title} for tenant {name}{whose}{checked}.")

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
def verify(
    context: click.Context, account_id: str, tenant: str | None, allow_egress: str | None, as_json: bool
) -> None:
    """Ask the product whether the credential of ACCOUNT_ID is good, and note the answer."""

    async def work() -> None:
        async with opened(
            settings_of(context, tenant=tenant, allow_egress=allow_egress), with_catalog=True
        ) as app:
            name = await app.tenants.only(app.settings.tenant)
            found = await _account(app.accounts, name, account_id)
            chosen = connector_of(app, found.connector)
            if chosen.verify is None:
                raise InvalidArgument(f"connector {chosen.name} declares no `verify` request in tools.yaml")
            try:
                checked = await app.accounts.verify(name, account_id, chosen, app.verifier)
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
@click.pass_context
def unlink(context: click.Context, account_id: str, tenant: str | None) -> None:
    """Delete ACCOUNT_ID and its secrets."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            name = await app.tenants.only(app.settings.tenant)
            await app.accounts.unlink(name, account_id)
        click.echo(f"Unlinked {account_id} of tenant {name}; its secrets are deleted.")

    run(work)


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
        if name not in given and setting.required and setting.default is None
    }


def _secrets(method: AuthMethod, username: str | None, secret_env: str | None) -> dict[str, Secret]:
    secrets: dict[str, Secret] = {}
    for field in method.fields:
        if field == "username":
            if username is None and sys.stdin.isatty():
                username = click.prompt("User name", err=True)
            if username is None:
                raise click.UsageError("this connector asks for a user name: add --username NAME")
            secrets[field] = Secret(username)
        else:
            secrets[field] = _secret(field, method, secret_env)
    return secrets


def _secret(field: str, method: AuthMethod, secret_env: str | None) -> Secret:
    if secret_env is not None:
        value = os.environ.get(secret_env)
        if not value:
            raise click.UsageError(f"the variable {secret_env} is not set or empty")
        return Secret(value)
    if sys.stdin.isatty():
        return Secret(click.prompt(method.title or field.capitalize(), hide_input=True, err=True))
    return Secret(sys.stdin.readline().rstrip("\r\n"))
