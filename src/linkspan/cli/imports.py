"""`linkspan import openapi`: a first tools.yaml from a product's own description."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkspan.cli.common import JSON_OPTION, print_json, print_table, run, settings_of
from linkspan.errors import ConfigurationError, UpstreamError

if TYPE_CHECKING:
    from linkspan.settings import Settings


@click.group("import")
def import_() -> None:
    """Write a first tools.yaml from what a product says of itself."""


@import_.command()
@click.argument("source", metavar="FILE|URL")
@click.option(
    "--only",
    metavar="PATTERN",
    help="Operations whose method and path or id holds this, or fits it with *; else the first 60.",
)
@click.option("--entity", metavar="NAME", help="What the things are called, for all that is picked.")
@click.option("--name", metavar="NAME", help="What the connector is called; made of the description's title.")
@click.option("--base-url", metavar="URL", help="Where the product is, if the description does not say.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Write to this file; '-' or none: print."
)
@click.option("--allow-egress", metavar="LIST", help="Private networks or host:port that may be reached.")
@JSON_OPTION
@click.pass_context
def openapi(
    context: click.Context,
    source: str,
    only: str | None,
    entity: str | None,
    name: str | None,
    base_url: str | None,
    output: Path | None,
    allow_egress: str | None,
    as_json: bool,
) -> None:
    """Draft tools from an OpenAPI description (JSON or YAML; 2.0 to 3.1), and say what each costs.

    What was concluded from names is marked `# guessed`. The draft passes `linkspan check`; what would not is
    left out, and the reason said. A file that is there is never overwritten.
    """
    from linkspan.spec.fragment import Fragment, cost
    from linkspan.spec.openapi import read_description
    from linkspan.spec.picking import snake

    is_file = output is not None and str(output) != "-"
    if is_file and output is not None and output.exists():
        raise ConfigurationError(
            f"{output} is there already and was left as it is", hint="Name another with -o."
        )
    for word in (name, entity):
        if word is not None and snake(word) != word:
            raise click.BadParameter(f"{word!r} is not lower case letters, digits and _")
    description = read_description(_read(context, source, allow_egress), source)
    draft = Fragment(description, name=name, only=only, entity=entity, base_url=base_url).draft()
    rows = []
    for tool in draft.tools:
        size, tokens = cost(tool["definition"])
        rows.append({"tool": tool["tool"], "request": tool["request"], "bytes": size, "tokens": tokens})
    if as_json:
        left = [{"request": line, "why": why} for line, why in draft.left_out]
        print_json({"yaml": draft.text, "tools": rows, "left_out": left})
    elif not is_file:
        click.echo(draft.text, nl=False)
    if is_file and output is not None:
        with output.open("x", encoding="utf-8") as written:
            written.write(draft.text)
    if as_json:
        return
    _tell(rows, draft.left_out, to_stderr=not is_file)
    if is_file:
        click.echo(f"\nWrote {output}. Read it through, then: linkspan check {output}")


def _tell(rows: list[dict[str, object]], left_out: list[tuple[str, str]], *, to_stderr: bool) -> None:
    """Say what each tool costs and what was left out; beside the YAML, where that goes to standard output."""
    import contextlib
    import sys

    with contextlib.redirect_stdout(sys.stderr) if to_stderr else contextlib.nullcontext():
        print_table(rows, ["tool", "request", "bytes", "tokens"], "There are no tools.")
        total = sum(int(str(row["bytes"])) for row in rows)
        click.echo(
            f"\n{len(rows)} tools, {total} bytes, about {total // 4} tokens if all were shown at once."
        )
        if left_out:
            click.echo(f"\nLeft out ({len(left_out)}):")
            for line, why in left_out[:25]:
                click.echo(f"  {line[:100]}: {why[:160]}")
            if len(left_out) > 25:
                click.echo(f"  and {len(left_out) - 25} more; --json names all")


def _read(context: click.Context, source: str, allow_egress: str | None) -> bytes:
    if not source.startswith(("http://", "https://")):
        from linkspan.spec.openapi import MAX_BYTES

        try:
            with Path(source).open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise ConfigurationError(f"{source} cannot be read: {error.strerror or error}") from error
    settings = settings_of(context, allow_egress=allow_egress)
    return run(lambda: _fetch(source, settings))


async def _fetch(url: str, settings: Settings) -> bytes:
    """Fetch through the egress guard, as every other address is."""
    from linkspan.net.client import Client
    from linkspan.net.egress import EgressGuard
    from linkspan.net.messages import Request
    from linkspan.net.transport import AiohttpTransport
    from linkspan.net.urls import origin_of
    from linkspan.spec.openapi import MAX_BYTES

    client = Client(AiohttpTransport(EgressGuard(settings.egress)), max_bytes=MAX_BYTES)
    try:
        reply = await client.send(
            Request("GET", url, {"Accept": "application/json, application/yaml;q=0.9, */*;q=0.5"}),
            repeatable=True,
            origins=(origin_of(url),),
        )
    finally:
        await client.aclose()
    if reply.response.status != 200:
        raise UpstreamError(
            f"{url} answered {reply.response.status}",
            hint="Give the address of the description itself, or save it to a file.",
            upstream_status=reply.response.status,
        )
    return reply.response.body
