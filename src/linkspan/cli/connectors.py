"""Connectors: what an operator has to do at a product before anybody can link it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final

import click

from linkspan.cli.common import JSON_OPTION, print_json, settings_of
from linkspan.cli.loopback import PORT, redirect_uri
from linkspan.errors import InvalidArgument

if TYPE_CHECKING:
    from linkspan.spec.catalog import AuthMethod, Connector


_VARIABLES: Final = {"id": "CLIENT_ID", "secret": "CLIENT_SECRET", "private_key": "PRIVATE_KEY"}


@click.group()
def connector() -> None:
    """Show what connectors need."""


@connector.command()
@click.argument("name")
@click.option("--public-url", metavar="URL", help="What people call this server. [LINKSPAN_PUBLIC_URL]")
@JSON_OPTION
@click.pass_context
def setup(context: click.Context, name: str, public_url: str | None, as_json: bool) -> None:
    """Show what to register at the product of the connector NAME: where, which redirect URL, which scopes.

    NAME is one of tools.yaml or built in. What is built in is shown with all its ways to connect, since what
    they need is registered before tools.yaml can have it.
    """
    from linkspan.app import load_catalog
    from linkspan.spec.ready import ready_connector

    settings = settings_of(context, public_url=public_url)
    ready = ready_connector(name)
    without_file = ready is not None and settings.config is None
    connectors = {} if without_file else load_catalog(settings).connectors
    found = connectors.get(name) or ready
    if found is None:
        raise InvalidArgument(
            f"tools.yaml has no connector {name!r}", hint=f"Known: {', '.join(connectors) or 'none'}."
        )
    base = settings.public_url or f"http://{settings.host}:{settings.port}"
    shown = setup_of(found, f"{base}/oauth/callback", redirect_uri(PORT), ready=ready)
    if as_json:
        print_json(shown)
        return
    click.echo(f"{shown['title']} ({name})")
    for way in shown["ways"]:
        click.echo(f"\n{way['type']}{': ' + way['title'] if way['title'] else ''}")
        for line in way["steps"]:
            filled = textwrap.fill(
                line,
                200 if "{" in line else 100,  # what is copied stays on one line
                initial_indent="  - ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            click.echo(filled)


def setup_of(
    connector: Connector, hosted: str, local: str, *, ready: Connector | None = None
) -> dict[str, Any]:
    """Answer what has to be done for every way to connect; no secret is in it.

    `hosted` and `local` are the redirect URLs of the link page and of the command line; `ready` is the
    built-in connector of the same name, which may have ways that the file does not offer yet.
    """
    offered = {way.type for way in connector.auth}
    known = list(connector.auth)
    if ready is not None and connector.title == ready.title:
        known += [way for way in ready.auth if way.type not in offered]
    ways = []
    for way in known:
        oauth = way.oauth
        ways.append(
            {
                "type": way.type,
                "title": way.title,
                "per": way.per,
                "register_url": oauth.register_url if oauth else None,
                "redirect_urls": [hosted, local] if _in_browser(way) else [],
                "scopes": list(oauth.scopes) if oauth else [],
                "steps": _steps(connector, way, hosted, local, ready),
            }
        )
    return {"connector": connector.name, "title": connector.title, "ways": ways}


def _steps(
    connector: Connector, way: AuthMethod, hosted: str, local: str, ready: Connector | None
) -> list[str]:
    oauth = way.oauth
    if way.service is not None:
        return [f"Nothing to link: every tenant's calls carry the key of tools.yaml, and {_mark(way)}."]
    if oauth is None:
        where = f" People find theirs at {way.help_url}." if way.help_url else ""
        return [f"Nothing to register.{where}", f"Link with: linkspan account link {connector.name}"]
    if oauth.client is None:
        asked = "client id" if oauth.client_auth == "none" else "client id and secret"
        return [f"Nothing to register here: each tenant brings a {asked} of its own."]
    where = f" at {oauth.register_url}" if oauth.register_url else f" at {connector.title}"
    steps = [f"Register Linkspan{where}."]
    if _in_browser(way):
        steps.append(f"Redirect URL for the link page: {hosted}")
        steps.append(f"Redirect URL for the command line (--browser): {local}")
    if oauth.scopes:
        steps.append(f"Scopes: {oauth.scope_separator.join(oauth.scopes)}")
    if way.type == "github_app" and _in_browser(way):
        steps.append("Let GitHub ask for the person's authorization during installation.")
    steps.append("Put the client id and the secret into the environment, where tools.yaml reads them from.")
    if ready is not None:
        steps.append(f"In tools.yaml, where the connector is: {_in_file(ready.name, way)}")
    browser = " --browser" if _in_browser(way) else ""
    steps.append(f"Link with: linkspan account link {connector.name} --auth {way.type}{browser}")
    return steps


def _in_file(name: str, way: AuthMethod) -> str:
    """Answer the words of tools.yaml that have a built-in connector offer a way."""
    words = ["id", "secret", *(["private_key"] if way.type == "github_app" else [])]
    client = ", ".join(f'{word}: "${{{name.upper()}_{_VARIABLES[word]}}}"' for word in words)
    return f"client: {{{client}}}"


def _in_browser(way: AuthMethod) -> bool:
    """Tell whether a person consents in a browser, who is sent back to us then."""
    oauth = way.oauth
    if oauth is None or oauth.client is None or way.type == "client_credentials":
        return False
    return way.type != "github_app" or oauth.install_url is not None


def _mark(way: AuthMethod) -> str:
    mark = way.service.tenant if way.service else None
    if mark is None:
        return "nothing else"
    return f"{'a signed token' if mark.key else 'the name'} of the tenant in the header {mark.header}"
