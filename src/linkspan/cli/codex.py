"""What to put into Codex's configuration."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import click

from linkspan.cli.common import JSON_OPTION, TENANT_OPTION, print_json, settings_of
from linkspan.settings import Settings

NAME = re.compile(r"[A-Za-z0-9_-]+\Z")


def program() -> str:
    """Answer the absolute path of the command `linkspan` of this installation."""
    beside = Path(sys.executable).with_name("linkspan")
    found = str(beside) if beside.exists() else shutil.which("linkspan")
    return found or str(beside)


def stdio_config(settings: Settings, name: str, tenant: str | None) -> tuple[str, str]:
    """Answer the config.toml part and the `codex mcp add` line for stdio."""
    env = {"LINKSPAN_HOME": str(settings.home)}
    if settings.config is not None and settings.config != settings.home / "tools.yaml":
        env["LINKSPAN_CONFIG"] = str(settings.config)
    if tenant is not None:
        env["LINKSPAN_TENANT"] = tenant
    if str(settings.egress):
        env["LINKSPAN_ALLOW_EGRESS"] = str(settings.egress)
    table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in env.items())
    secret = {"LINKSPAN_KEYS": settings.keys, "LINKSPAN_DATABASE": settings.database}
    handed_on = [variable for variable, value in secret.items() if value]
    part = (
        f"[mcp_servers.{name}]\n"
        f"command = {json.dumps(program())}\n"
        'args = ["stdio"]\n'
        f"env = {{ {table} }}\n"
        f"{f'env_vars = {json.dumps(handed_on)}' + chr(10) if handed_on else ''}"
        "required = true\n"
        "tool_timeout_sec = 120\n"
    )
    flags = " ".join(f"--env {key}={_quoted(value)}" for key, value in env.items())
    return part, f"codex mcp add {name} {flags} -- {_quoted(program())} stdio"


def http_config(url: str, name: str, variable: str) -> tuple[str, str]:
    """Answer the config.toml part and the `codex mcp add` line for the HTTP endpoint of a tenant."""
    part = (
        f"[mcp_servers.{name}]\n"
        f"url = {json.dumps(url)}\n"
        f'bearer_token_env_var = "{variable}"\n'
        "required = true\n"
        "tool_timeout_sec = 120\n"
    )
    return part, f"codex mcp add {name} --url {_quoted(url)} --bearer-token-env-var {variable}"


@click.command("codex-config")
@click.option("--name", default="linkspan", show_default=True, help="What Codex calls the server.")
@click.option("--http", is_flag=True, help="Use the HTTP endpoint of the tenant instead of stdio.")
@click.option("--url", metavar="URL", help="Where `linkspan serve` is reached. [LINKSPAN_PUBLIC_URL]")
@click.option("--token-env", default="LINKSPAN_TOKEN", show_default=True, help="The variable with the token.")
@TENANT_OPTION
@JSON_OPTION
@click.pass_context
def codex_config(
    context: click.Context,
    name: str,
    http: bool,
    url: str | None,
    token_env: str,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Print a part for Codex's config.toml, and the `codex mcp add` line that does the same.

    `required = true` makes Codex wait for the tools: without it the first turn may run before they are there.
    """
    if not NAME.match(name):
        raise click.BadParameter("letters, digits, - and _ only", param_hint="--name")
    settings = settings_of(context, tenant=tenant, public_url=url)
    if http or url:
        if settings.tenant is None:
            raise click.UsageError("the HTTP endpoint is one tenant's: add --tenant NAME")
        base = settings.public_url or f"http://{settings.host}:{settings.port}"
        part, line = http_config(f"{base}/t/{settings.tenant}/mcp", name, token_env)
        create = f"linkspan token create --tenant {settings.tenant}"
        before = f"Create the token and keep it in {token_env}:\n\n  {create}\n"
    else:
        part, line = stdio_config(settings, name, settings.tenant)
        before = ""
    if as_json:
        print_json({"name": name, "config": part, "command": line})
        return
    if before:
        click.echo(before)
    click.echo("Paste this into ~/.codex/config.toml:\n")
    click.echo(part)
    click.echo("or run this instead (then add `required = true` to what it wrote):\n")
    click.echo(f"  {line}")


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_./:@%+=-]+", text) else "'" + text.replace("'", "'\\''") + "'"
