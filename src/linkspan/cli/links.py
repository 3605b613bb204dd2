"""Links: with one, somebody of a tenant links an account in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from linkspan.cli.common import (
    JSON_OPTION,
    TENANT_OPTION,
    opened,
    print_json,
    run,
    settings_of,
    time_text,
)
from linkspan.errors import NotFound
from linkspan.settings import parse_duration

if TYPE_CHECKING:
    from linkspan.accounts.principal import Tenant
    from linkspan.app import App
    from linkspan.store.accounts import Account


@click.group()
def link() -> None:
    """Make and end links with which a tenant's people link an account themselves."""


@link.command()
@click.argument("connectors", nargs=-1, metavar="[CONNECTOR]...")
@TENANT_OPTION
@click.option("--person", metavar="NAME", help="Whose own account it will be. [the tenant's]")
@click.option("--account", "account_id", metavar="ID", help="Link this account again.")
@click.option(
    "--allow-identity-change",
    is_flag=True,
    help="With --account: let somebody else take it over, if the page's question is answered so.",
)
@click.option("--setting", "settings", multiple=True, metavar="NAME=VALUE", help="A setting not to be asked.")
@click.option("--scope", "scopes", multiple=True, metavar="SCOPE", help="Ask the product for this instead.")
@click.option("--sandbox", is_flag=True, default=None, help="Let the account only read.")
@click.option(
    "--allowed-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="A page that may show it in a frame and hears how it went, such as https://app.acme.example.",
)
@click.option("--redirect-uri", metavar="URL", help="Where the browser goes afterwards.")
@click.option("--expires", metavar="DURATION", default="15m", show_default=True, help="Up to 7d.")
@JSON_OPTION
@click.pass_context
def create(
    context: click.Context,
    connectors: tuple[str, ...],
    tenant: str | None,
    person: str | None,
    account_id: str | None,
    allow_identity_change: bool,
    settings: tuple[str, ...],
    scopes: tuple[str, ...],
    sandbox: bool | None,
    origins: tuple[str, ...],
    redirect_uri: str | None,
    expires: str,
    as_json: bool,
) -> None:
    """Print a link that links an account of one of the CONNECTORs, of any if none is named; once.

    Whoever opens it first can link an account of the tenant, so give it to nobody else. It is opened at the
    server that `linkspan serve` runs, under LINKSPAN_PUBLIC_URL.
    """
    try:
        lifetime = parse_duration(expires)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from error
    given = dict(_pair(word) for word in settings)

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant), with_catalog=True) as app:
            where = await app.tenants.only(app.settings.tenant)
            made = await app.link_sessions.create(
                where,
                person=person,
                connectors=connectors,
                account=await _account(app, where, account_id) if account_id else None,
                scopes=scopes,
                allowed_origins=origins,
                redirect_uri=redirect_uri,
                settings=given,
                allow_identity_change=allow_identity_change,
                sandbox=sandbox,
                lifetime=lifetime,
            )
            base = app.settings.public_url or f"http://{app.settings.host}:{app.settings.port}"
        token, session = made.text.reveal(), made.session
        url = f"{base}/connect-account#link_token={token}"
        if as_json:
            shown = {"id": session.id, "link_token": token, "url": url}
            print_json({**shown, "expires": session.expires, "tenant": where})
            return
        click.echo(url)
        whose = f"{session.subject} of {where}" if session.subject else f"tenant {where}"
        click.echo(
            f"Until {time_text(session.expires)} UTC it links an account for {whose}, once."
            f" It is not shown again; linkspan link revoke {session.id} --tenant {where} ends it sooner.",
            err=True,
        )

    run(work, as_json=as_json)


@link.command()
@click.argument("link_id", metavar="ID")
@TENANT_OPTION
@click.pass_context
def revoke(context: click.Context, link_id: str, tenant: str | None) -> None:
    """End the link with that ID at once, wherever it is open; an account that it linked stays."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            where = await app.tenants.only(app.settings.tenant)
            await app.link_sessions.revoke(where, link_id)
        click.echo(f"Link {link_id} of tenant {where} links nothing any more.")

    run(work)


async def _account(app: App, tenant: Tenant, account_id: str) -> Account:
    for row in await app.accounts.list(tenant):
        if row.id == account_id:
            return row
    raise NotFound(
        f"Tenant {tenant} has no account {account_id!r}", hint=f"See: linkspan account list --tenant {tenant}"
    )


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{word!r} is not NAME=VALUE", param_hint="--setting")
    return name, value
