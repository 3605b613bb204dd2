"""The command `linkspan`: every group is imported when it is used, so that --help is quick."""

from __future__ import annotations

import importlib
import keyword
import sys
from typing import Any

import click

from linkspan import __version__

COMMANDS = {
    "init": ("linkspan.cli.init", "Ask about a product and write a first tools.yaml."),
    "import": (
        "linkspan.cli.imports",
        "Write a first tools.yaml from a product's own description (OpenAPI).",
    ),
    "check": ("linkspan.cli.spec", "Read a tools.yaml and tell every mistake with file, line and column."),
    "schema": ("linkspan.cli.spec", "Print the JSON Schema of tools.yaml (for editors)."),
    "tools": ("linkspan.cli.spec", "Show what Codex will see, with bytes and estimated tokens."),
    "fixtures": (
        "linkspan.cli.fixtures",
        "Keep answers of a product, and replay the calls of a tools.yaml offline.",
    ),
    "doctor": (
        "linkspan.cli.doctor",
        "Look for what keeps this installation from working, and say what to do.",
    ),
    "demo": ("linkspan.cli.demo", "Start the sample product and Linkspan, and say what to paste into Codex."),
    "serve": ("linkspan.cli.serve", "Serve MCP over HTTP, one endpoint per tenant."),
    "work": ("linkspan.cli.serve", "Work runs in a process of its own."),
    "recipe": ("linkspan.cli.recipes", "Turn recipes on and off for a tenant: jobs for Codex."),
    "run": ("linkspan.cli.runs", "Start, watch, approve and cancel runs of Codex."),
    "history": ("linkspan.cli.history", "List conversations with Codex and what each of them called."),
    "stdio": ("linkspan.cli.serve", "Serve MCP over standard input and output, for one tenant."),
    "codex-config": ("linkspan.cli.codex", "Print what to put into Codex's config.toml."),
    "call": ("linkspan.cli.call", "Call one operation, or show the request it would send."),
    "tenant": ("linkspan.cli.tenants", "Add, list and remove tenants."),
    "connector": ("linkspan.cli.connectors", "Show what to register at a product before it can be linked."),
    "account": ("linkspan.cli.accounts", "Link, list, verify and unlink accounts of a tenant."),
    "link": (
        "linkspan.cli.links",
        "Make and end links with which a tenant's people link an account themselves.",
    ),
    "person": ("linkspan.cli.people", "Invite, list and remove people, who sign in with a browser or Codex."),
    "backup": ("linkspan.cli.db", "Copy the database to a file while Linkspan serves."),
    "restore": ("linkspan.cli.db", "Put a backup where the database was."),
    "db": ("linkspan.cli.db", "Move the database to PostgreSQL."),
    "keys": ("linkspan.cli.keys", "List and change the keys that seal credentials."),
    "token": ("linkspan.cli.tokens", "Create, list and revoke tokens of a tenant."),
    "admin": ("linkspan.cli.admins", "Create, list and revoke keys for the management API."),
    "log-bodies": (
        "linkspan.cli.log",
        "Keep bodies of one account's calls beside the log, masked, for at most an hour.",
    ),
    "log": ("linkspan.cli.log", "List what was done for a tenant, by whom, and how it ended."),
    "webhook": ("linkspan.cli.webhooks", "Tell URLs of what happens to accounts; see and replay deliveries."),
    "hooks": ("linkspan.cli.hooks", "Let a product's events start recipes; see and replay what came in."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Answer the names in the order of a first use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        name = cmd_name.replace("-", "_")
        command = getattr(module, f"{name}_" if keyword.iskeyword(name) else name)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_module, words) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Tell errors of the tree in one sentence."""
        from linkspan.cli.common import fail
        from linkspan.errors import LinkspanError

        try:
            return super().invoke(ctx)
        except LinkspanError as error:
            sys.exit(fail(error))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--home", metavar="DIR", help="Where data lives. [LINKSPAN_HOME; ~/.local/share/linkspan]")
@click.option("--config", metavar="FILE", help="The tools.yaml. [LINKSPAN_CONFIG; HOME/tools.yaml]")
@click.option(
    "--database",
    metavar="URL",
    help="postgresql://USER@HOST/NAME instead of SQLite in HOME. [LINKSPAN_DATABASE, better for a password]",
)
@click.version_option(__version__, prog_name="linkspan")
def cli(**_options: str | None) -> None:
    """Linkspan joins a SaaS product's tickets, alerts and designs with OpenAI's Codex.

    Declare them in a tools.yaml; every customer's Codex reads and acts on them over MCP with that
    customer's own credentials.
    """
