"""`linkspan fixtures`: answers of a product kept beside a tools.yaml, and replayed without it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from linkspan.cli.common import JSON_OPTION, TENANT_OPTION, near_config, opened, print_json, run, settings_of
from linkspan.errors import ConfigurationError, LinkspanError

if TYPE_CHECKING:
    from linkspan.accounts.principal import Tenant
    from linkspan.app import App
    from linkspan.cli.live import Seen
    from linkspan.gateway.watch import Watch
    from linkspan.spec.masking import Masker

_HEADERS = ("content-type", "link", "etag")
_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), help="Where they are kept: fixtures beside the tools.yaml."
)


@click.group()
def fixtures() -> None:
    """Keep answers of a product, so that a tools.yaml has tests that run offline."""


@fixtures.command()
@TENANT_OPTION
@click.option("--arg", "arguments", multiple=True, metavar="NAME=VALUE", help="An argument that reads need.")
@_FOLDER
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@JSON_OPTION
@click.pass_context
def record(
    context: click.Context,
    tenant: str | None,
    arguments: tuple[str, ...],
    folder: Path | None,
    allow_egress: str | None,
    as_json: bool,
) -> None:
    """Make each read call once as a tenant and keep what was sent and answered, one file per operation.

    Secrets, emails, names, phone numbers and IP addresses are replaced by pseudonyms that stay the same in
    one recording. Read the files before you keep them.
    """
    given = dict(word.split("=", 1) for word in arguments if "=" in word)
    if len(given) < len(arguments):
        raise click.BadParameter("each is NAME=VALUE, and each name once", param_hint="--arg")
    settings = settings_of(context, tenant=tenant, allow_egress=allow_egress)

    async def work() -> list[dict[str, Any]]:
        from linkspan.accounts.principal import Principal
        from linkspan.cli.live import LiveCheck

        async with opened(settings, with_catalog=True) as app:
            principal = Principal(await app.tenants.only(app.settings.tenant), "operator", "cli")
            seen: list[Seen] = []
            check = LiveCheck(app, principal, given, pages=1, seen=seen)
            looks = await check.run()
            assert settings.config is not None  # noqa: S101
            where = folder or settings.config.parent / "fixtures"
            told = await _keep(app, principal.tenant, seen, where)
            told += [
                {"call": look.call, "connector": look.connector, "file": None, "why": "; ".join(look.notes)}
                for look in looks
                if look.state == "not_called"
            ]
            return told

    told = run(work, as_json=as_json)
    if as_json:
        print_json({"recorded": told})
        return
    for one in told:
        click.echo(f"{one['call']} at {one['connector']}: {one['file'] or 'not recorded: ' + one['why']}")
        for difference in one.get("differs", ()):
            click.echo(f"    replayed, it differs: {difference}")
    click.echo("\nRead them through, then: linkspan fixtures replay")


async def _keep(app: App, tenant: Tenant, seen: list[Seen], folder: Path) -> list[dict[str, Any]]:
    from linkspan.replaying import replay
    from linkspan.spec.masking import Masker
    from linkspan.spec.recordings import write_recording

    accounts: dict[str, Any] = {}
    for account in await app.accounts.list(tenant):
        accounts.setdefault(account.connector, account)
    replaced: dict[str, str] = {}
    for _call, connector, _arguments, watch in seen:
        for exchange in watch.exchanges:
            parts = urlsplit(str(exchange.request["url"]))
            replaced.setdefault(
                f"{parts.scheme}://{parts.netloc}", f"https://{connector.replace('_', '-')}.example"
            )
    masker = Masker(replaced)
    for *_, watch in seen:
        for exchange in watch.exchanges:
            masker.learn(exchange.data)
    told = []
    for call, connector, arguments, watch in seen:
        if not watch.exchanges:
            continue
        settings = accounts[connector].settings if connector in accounts else {}
        recording = _recording(call, connector, arguments, settings, watch, masker, app)
        try:
            result, wrong = await replay(app.catalog, recording)
            recording["result"] = result
        except LinkspanError as error:
            wrong = []
            recording["error"] = error.code
        path = folder / connector / f"{call}.yaml"
        write_recording(path, recording)
        told.append({"call": call, "connector": connector, "file": str(path), "differs": wrong})
    return told


def _recording(
    call: str,
    connector: str,
    arguments: dict[str, Any],
    settings: Mapping[str, str],
    watch: Watch,
    masker: Masker,
    app: App,
) -> dict[str, Any]:
    known = app.catalog.connectors[connector].settings
    exchanges = []
    for exchange in watch.exchanges:
        parts = urlsplit(str(exchange.request["url"]))
        line = masker.request(parts.path + (f"?{parts.query}" if parts.query else ""))
        made: dict[str, Any] = {"request": f"{exchange.request['method']} {line}"}
        if exchange.request["body"] is not None:
            made["body"] = masker.mask(exchange.request["body"])
        if exchange.status != 200:
            made["status"] = exchange.status
        headers = {name: masker.text(value) for name, value in exchange.headers.items() if name in _HEADERS}
        if headers.get("content-type", "").startswith("application/json"):
            headers.pop("content-type")
        if headers:
            made["answer_headers"] = headers
        made["answer"] = masker.mask(exchange.data)
        exchanges.append(made)
    shown = {name: value for name, value in arguments.items() if name != "account"}
    kept = {
        name: masker.text(value)
        for name, value in settings.items()
        if name in known and known[name].type != "certificate"
    }
    recording: dict[str, Any] = {"call": call, "connector": connector}
    if kept:
        recording["settings"] = kept
    if shown:
        recording["arguments"] = masker.mask(shown)
    return {**recording, "exchanges": exchanges}


@fixtures.command()
@_FOLDER
@click.option("--only-recorded", is_flag=True, help="Leave out what is shipped of built-in connectors.")
@JSON_OPTION
@click.pass_context
def replay(context: click.Context, folder: Path | None, only_recorded: bool, as_json: bool) -> None:
    """Make every recorded call again without the product, and say what differs.

    So are the calls that are shipped with the built-in connectors that the tools.yaml uses, with whatever it
    overrides. Exits with 1 when something differs. It uses no account and no network.
    """
    from linkspan.replaying import FOLDER, replayed, replayed_built_in

    config = near_config(settings_of(context))
    where = folder or config.parent / FOLDER
    files = sorted(where.rglob("*.yaml"))
    told = replayed(config, files, os.environ)
    if not only_recorded:
        told += replayed_built_in(config, os.environ)
    if not told:
        raise ConfigurationError(
            f"nothing is recorded in {where}", hint="Record first: linkspan fixtures record --tenant NAME"
        )
    if as_json:
        print_json({"calls": [{"call": name, "differs": differs} for name, differs in told]})
    else:
        for name, differs in told:
            click.echo(f"{'ok' if not differs else 'differs':<8} {name}")
            for one in differs:
                click.echo(f"    {one}")
    raise SystemExit(1 if any(differs for _name, differs in told) else 0)
