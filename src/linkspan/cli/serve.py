"""The ways to serve MCP, and to work runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

import click

from linkspan.cli.common import settings_of

_SEEN: Final = (
    click.option(
        "--metrics",
        metavar="[ADDRESS:]PORT",
        help="Where Prometheus finds /metrics, on a port of its own; nowhere if empty. [LINKSPAN_METRICS]",
    ),
    click.option(
        "--traces",
        metavar="URL",
        help="A collector that takes OpenTelemetry's OTLP over HTTP; none if empty. [LINKSPAN_TRACES]",
    ),
    click.option(
        "--log", type=click.Choice(("text", "json")), help="How lines are logged. [text; LINKSPAN_LOG]"
    ),
    click.option(
        "--log-calls",
        type=click.Choice(("all", "changes", "none")),
        help="Of which calls there is a line: of all, of those that write or fail."
        " [changes; LINKSPAN_LOG_CALLS]",
    ),
)
"""How an operator sees what a process does: the same words for each that serves or works."""


def _seen(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_SEEN):
        command = option(command)
    return command


@click.command()
@click.option("--host", metavar="ADDRESS", help="Where to listen. [127.0.0.1]")
@click.option("--port", type=int, metavar="PORT", help="The port to listen on. [8640]")
@click.option("--public-url", metavar="URL", help="What clients call it. [LINKSPAN_PUBLIC_URL]")
@click.option(
    "--allow-egress",
    metavar="LIST",
    help="Private networks or host:port that may be reached, comma separated. [LINKSPAN_ALLOW_EGRESS]",
)
@click.option(
    "--trusted-proxies",
    metavar="LIST",
    help="Networks whose X-Forwarded headers count. [LINKSPAN_TRUSTED_PROXIES]",
)
@click.option(
    "--stateful",
    is_flag=True,
    default=None,
    help="Keep MCP sessions, for old clients that need elicitation or subscriptions; needs sticky routing.",
)
@click.option(
    "--dynamic-registration",
    is_flag=True,
    default=None,
    help="Let any program register itself as a client. [LINKSPAN_DYNAMIC_REGISTRATION]",
)
@click.option(
    "--client-hosts",
    metavar="LIST",
    help="Where programs that sign in may describe themselves; anywhere if empty. [LINKSPAN_CLIENT_HOSTS]",
)
@click.option(
    "--call-limits",
    metavar="LIST",
    help="Calls a minute, such as tenant=6000,principal=1200,tool=600; none if empty. [LINKSPAN_CALL_LIMITS]",
)
@click.option(
    "--log-keep",
    metavar="DURATION",
    help="How long rows of the audit log are kept, such as 90d; for ever if empty. [LINKSPAN_LOG_KEEP]",
)
@click.option("--oidc-issuer", metavar="URL", help="Who says who somebody is. [LINKSPAN_OIDC_ISSUER]")
@click.option("--oidc-client-id", metavar="ID", help="What it calls us. [LINKSPAN_OIDC_CLIENT_ID]")
@_seen
@click.option("--no-work", is_flag=True, default=None, help="Work no runs here; see linkspan work.")
@click.pass_context
def serve(context: click.Context, /, **flags: object) -> None:
    """Serve MCP over HTTP: /t/TENANT/mcp for each tenant, with a bearer token of that tenant.

    tools.yaml is watched: a good edit is served within 2 seconds, a bad one is reported and the last good
    one goes on serving. Runs are worked here too, unless --no-work leaves them to linkspan work.
    """
    from linkspan.process import serve as run

    sys.exit(run(settings_of(context, **flags)))


@click.command()
@click.option(
    "--serving-url",
    metavar="URL",
    help="Where Codex on this machine reaches linkspan serve. [http://127.0.0.1:8640; LINKSPAN_SERVING_URL]",
)
@click.option("--public-url", metavar="URL", help="What people call it. [LINKSPAN_PUBLIC_URL]")
@click.option(
    "--allow-egress",
    metavar="LIST",
    help="Private networks or host:port that may be reached, comma separated. [LINKSPAN_ALLOW_EGRESS]",
)
@_seen
@click.pass_context
def work(context: click.Context, /, **flags: object) -> None:
    """Work runs in a process of its own, beside linkspan serve --no-work.

    Several may work at once, over one PostgreSQL database or one SQLite file, with one home that all of them
    see. What is under way when one is stopped or killed goes on at another.
    """
    from linkspan.working import work as run

    sys.exit(run(settings_of(context, **flags)))


@click.command(add_help_option=True)
@click.option(
    "--tenant", metavar="NAME", help="Whose accounts to use. [LINKSPAN_TENANT; the only one there is]"
)
@click.option("--home", metavar="DIR", help="Where data lives. [LINKSPAN_HOME]")
@click.option("--config", metavar="FILE", help="The tools.yaml. [LINKSPAN_CONFIG; HOME/tools.yaml]")
@click.option(
    "--allow-egress",
    metavar="LIST",
    help="Private networks or host:port that may be reached. [LINKSPAN_ALLOW_EGRESS]",
)
@click.pass_context
def stdio(context: click.Context, /, **flags: str | None) -> None:
    """Serve MCP over standard input and output, for one tenant. Codex starts this by itself.

    What to put into Codex's configuration: linkspan codex-config
    """
    from linkspan import standing
    from linkspan.mcp_server.stdio import main

    root = context.find_root().params
    inherited = {name: root.get(name) for name in ("home", "config", "database")}
    named = {**inherited, **{k: v for k, v in flags.items() if v}}
    sys.exit(
        main(
            [
                word
                for name, value in named.items()
                if value
                for word in (f"--{name.replace('_', '-')}", value)
            ],
            lambda: standing,
        )
    )
