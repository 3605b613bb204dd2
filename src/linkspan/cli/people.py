"""People: who may sign in at a tenant, with browsers and with Codex."""

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
from linkspan.errors import InvalidArgument
from linkspan.settings import parse_duration

if TYPE_CHECKING:
    from linkspan.app import App
    from linkspan.store.grants import Grant
    from linkspan.store.people import Person

SCOPE_OPTION = click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="The most that a program can get: read, write, ENTITY.OPERATION or ENTITY.*; may be repeated.",
)


@click.group()
def person() -> None:
    """Invite, list and remove people: who may sign in, in a browser and with `codex mcp login`."""


@person.command()
@click.argument("name")
@TENANT_OPTION
@SCOPE_OPTION
@click.option("--expires", metavar="DURATION", default="7d", show_default=True, help="When the link ends.")
@click.option("--email", metavar="ADDRESS", help="With an identity provider: whom it means by this person.")
@click.option("--subject", metavar="SUB", help="With an identity provider: what it calls this person.")
@JSON_OPTION
@click.pass_context
def invite(
    context: click.Context,
    name: str,
    tenant: str | None,
    scopes: tuple[str, ...],
    expires: str,
    email: str | None,
    subject: str | None,
    as_json: bool,
) -> None:
    """Let the person NAME sign in, and print the link that does it, once.

    NAME is what the audit log, accounts and tokens call the person. Without an identity provider the link is
    to be given to nobody else: whoever opens it first is NAME. With one (LINKSPAN_OIDC_ISSUER) there is no
    link, and --email or --subject says who NAME is there.
    """
    try:
        lifetime = parse_duration(expires)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expires") from error

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            where = await app.tenants.only(app.settings.tenant)
            issuer = app.provider.issuer if app.provider else None
            if issuer is None and (email or subject):
                raise InvalidArgument(
                    "--email and --subject are for an identity provider, and there is none",
                    hint="Set LINKSPAN_OIDC_ISSUER and LINKSPAN_OIDC_CLIENT_ID, or leave them out.",
                )
            if issuer is not None and not (email or subject):
                raise InvalidArgument(
                    f"Who is {name} at {issuer}?", hint="Say it with --email ADDRESS or --subject SUB."
                )
            invited = await app.people.invite(
                where,
                name,
                link=issuer is None,
                lifetime=lifetime,
                email=email,
                identity=(issuer, subject) if issuer and subject else None,
                scopes=scopes or None,
            )
            place = f"{_base(app)}/t/{where}"
        secret = invited.secret
        link = f"{place}/invitation#{secret.reveal()}" if secret else f"{place}/sign-in"
        if as_json:
            print_json({**_shown(invited.person, []), "link": link, "expires": invited.expires})
            return
        click.echo(link)
        if invited.secret is None:
            click.echo(f"{invited.person.name} of tenant {where} can sign in there.", err=True)
        else:
            who, until = invited.person.name, time_text(invited.expires)
            click.echo(
                f"Give this link to {who} alone: until {until} UTC it signs in, once, as {who} of {where}."
                " It is not shown again.",
                err=True,
            )

    run(work, as_json=as_json)


@person.command("list")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def list_(context: click.Context, tenant: str | None, as_json: bool) -> None:
    """List the people of a tenant, and the programs that act for them."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            where = await app.tenants.only(app.settings.tenant)
            grants = await app.grants.list(where)
            people = await app.people.list(where)
            domains = await app.people.domains(where)
        rows = [_shown(each, [grant for grant in grants if grant.person == each.name]) for each in people]
        if as_json:
            print_json(
                {"people": rows, "domains": [{"domain": d.domain, "scopes": d.scopes} for d in domains]}
            )
            return
        for row in rows:
            row["signed_in"] = time_text(row["signed_in"])
            row["programs"] = [program["client"] for program in row["programs"]]
        print_table(
            rows,
            ["name", "email", "scopes", "signed_in", "programs"],
            f"Tenant {where} has no people: linkspan person invite NAME --tenant {where}",
        )
        for domain in domains:
            click.echo(f"Also everybody of {domain.domain}, with {', '.join(domain.scopes)}.")

    run(work, as_json=as_json)


@person.command()
@click.argument("name")
@TENANT_OPTION
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON_OPTION
@click.pass_context
def remove(context: click.Context, name: str, tenant: str | None, yes: bool, as_json: bool) -> None:
    """Remove the person NAME: browsers and programs are signed out at once, own accounts unlinked."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            where = await app.tenants.only(app.settings.tenant)
            if not yes:
                if not sys.stdin.isatty():
                    raise click.UsageError(f"this signs out and unlinks everything of {name}: add --yes")
                click.confirm(f"Remove {name} of tenant {where}, with sign-ins and own accounts?", abort=True)
            removed: dict[str, int] = await app.people.remove(where, name)
            own = [account for account in await app.accounts.list(where) if account.subject == name]
            for account in own:
                await app.accounts.unlink(where, account.id)
            removed["accounts"] = len(own)
        if as_json:
            print_json({"tenant": where, "name": name, "removed": removed})
        else:
            counts = ", ".join(f"{count} {table}" for table, count in removed.items())
            click.echo(f"Removed {name} of tenant {where}: {counts}")

    run(work, as_json=as_json)


@person.command()
@click.argument("domain")
@TENANT_OPTION
@SCOPE_OPTION
@click.pass_context
def allow(context: click.Context, domain: str, tenant: str | None, scopes: tuple[str, ...]) -> None:
    """Let everybody whose mail address is of DOMAIN sign in, where the identity provider has verified it.

    Only for a domain in which nobody outside of the customer can have an address.
    """

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            where = await app.tenants.only(app.settings.tenant)
            allowed = await app.people.allow(where, domain, scopes=scopes or ("read", "write"))
        click.echo(
            f"Everybody of {allowed.domain} can sign in at tenant {where}: {', '.join(allowed.scopes)}."
        )

    run(work)


@person.command()
@click.argument("domain")
@TENANT_OPTION
@click.pass_context
def disallow(context: click.Context, domain: str, tenant: str | None) -> None:
    """Let nobody new of DOMAIN in; who is in stays until removed."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            where = await app.tenants.only(app.settings.tenant)
            await app.people.disallow(where, domain)
        click.echo(f"Nobody new of {domain} can sign in at tenant {where}.")

    run(work)


@person.command("sign-out")
@click.argument("program")
@TENANT_OPTION
@click.pass_context
def sign_out(context: click.Context, program: str, tenant: str | None) -> None:
    """End what a program may do: PROGRAM is its id, as `person list --json` shows it."""

    async def work() -> None:
        async with opened(settings_of(context, tenant=tenant)) as app:
            where = await app.tenants.only(app.settings.tenant)
            ended = await app.grants.end(where, program)
        click.echo(f"{ended.client_name} does not act for {ended.person} of tenant {where} any more.")

    run(work)


def _base(app: App) -> str:
    return app.settings.public_url or f"http://{app.settings.host}:{app.settings.port}"


def _shown(person: Person, grants: list[Grant]) -> dict[str, Any]:
    return {
        "name": person.name,
        "tenant": person.tenant,
        "email": person.email,
        "scopes": list(person.scopes),
        "created": person.created,
        "signed_in": person.signed_in,
        "programs": [
            {
                "id": grant.id,
                "client": grant.client_name,
                "client_id": grant.client_id,
                "scopes": list(grant.scopes),
                "since": grant.created,
            }
            for grant in grants
        ],
    }
