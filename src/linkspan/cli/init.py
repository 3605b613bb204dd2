"""`linkspan init`: a first tools.yaml from a few answers."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from linkspan.errors import ConfigurationError

_AUTH = click.Choice(["bearer", "header", "query", "basic", "none"])
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}\Z")


def _name(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _NAME.match(value):
        raise click.BadParameter(
            f"{value!r} is not lower case letters, digits and _, beginning with a letter"
        )
    return value


def _url(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.match(r"https?://[^\s/@?#{}]+(/[^\s?#]*)?\Z", value):
        raise click.BadParameter(f"{value!r} is not an address such as https://desk.example/api/v2")
    return value.rstrip("/") if value else value


def _path(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value not in (None, "", "-") and not str(value).startswith("/"):
        raise click.BadParameter(f"{value!r} is not a path such as /tickets")
    return value


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--title", metavar="TEXT", help="What people call the product.")
@click.option("--name", metavar="WORD", callback=_name, help="Its name in the file; made of the title.")
@click.option("--base-url", metavar="URL", callback=_url, help="What every path is put behind.")
@click.option("--auth", type=_AUTH, help="How requests prove who they are.")
@click.option("--key-name", metavar="NAME", help="With --auth header or query: the header or parameter.")
@click.option(
    "--verify", metavar="PATH", callback=_path, help="A path that proves a credential, such as /me."
)
@click.option("--entity", metavar="WORD", callback=_name, help="What one thing is called, such as ticket.")
@click.option("--list", "list_path", metavar="PATH", callback=_path, help="Where they are listed: /tickets.")
@click.option(
    "--items", metavar="EXPRESSION", help="Where the list is in that answer: @, tickets, data.items."
)
@click.option("--title-field", metavar="EXPRESSION", help="Where an item has its title: title, subject.")
@click.option(
    "--get", "get_path", metavar="PATH", callback=_path, help="Where one is read: LIST/{id}; - for none."
)
@click.option("--item", metavar="EXPRESSION", help="Where the thing is in that answer; @: it is all of it.")
@click.option("--yes", "-y", is_flag=True, help="Ask nothing: what is not given is as it is offered.")
def init(file: Path | None, yes: bool, **given: Any) -> None:
    """Ask about a product and write a first tools.yaml (or FILE) that `linkspan check` accepts.

    Every question is an option, so that it runs without a terminal. A file that is there is left as it is.
    """
    path = file or Path("tools.yaml")
    if path.exists():
        raise ConfigurationError(
            f"{path} is there already and was left as it is", hint="Name another: linkspan init FILE"
        )
    from linkspan.spec.drafts import First, first_file, mistakes
    from linkspan.spec.language import json_schema, model_names

    def ask(name: str, question: str, offered: str | None = None, kind: Any = str) -> str:
        value = given.get(name)
        if value is not None:
            return str(value)
        if yes:
            if offered is None:
                raise click.UsageError(f"--{name.replace('_', '-')} has to be given: {question.lower()}")
            return offered
        parameter = next(one for one in init.params if one.name == name)
        while True:
            answer = str(click.prompt(question, default=offered, type=kind, err=True))
            try:
                if parameter.callback is not None:
                    answer = parameter.callback(click.get_current_context(), parameter, answer) or ""
                return answer
            except click.BadParameter as error:
                click.echo(f"  {error.message}", err=True)

    title = ask("title", "What people call the product")
    offered = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    name = ask("name", "Its name in the file", offered if _NAME.match(offered) else "product")
    base_url = ask("base_url", "Base URL, which every path is put behind")
    auth = ask("auth", "How requests prove who they are", "bearer", _AUTH)
    key = (
        ask("key_name", "The name of that header or parameter", "X-Api-Key")
        if auth in ("header", "query")
        else ""
    )
    entity = ask("entity", "What one thing is called", "ticket")
    listed = ask("list_path", "The path where they are listed", f"/{entity}s")
    items = ask("items", "Where the list is in that answer (@: the answer is the list)", "@")
    title_field = ask("title_field", "Where an item has its title", "title")
    get_path = ask("get_path", "The path where one is read (- for none)", listed.rstrip("/") + "/{id}").strip(
        "-"
    )
    item = ask("item", "Where the thing is in that answer (@: it is the answer)", "@") if get_path else "@"
    verify = ask("verify", "A path that proves a credential (- for none)", "-").strip("-")
    text = first_file(
        First(
            name, title, base_url, auth, key, verify, entity,
            entity if entity in model_names() else None, listed, items, get_path or None, item, title_field,
        )
    )  # fmt: skip
    problems = mistakes(text, os.environ, str(path))
    if problems:
        for problem in problems:
            click.echo(f"{problem.path}: {problem.message}", err=True)
        raise ConfigurationError("these answers make no good tools.yaml; nothing was written")
    import json

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as written:
        written.write(text)
    schema = path.parent / "tools.schema.json"
    if not schema.exists():
        schema.write_text(json.dumps(json_schema(), indent=1) + "\n", encoding="utf-8")
    shown = f" {path}" if path != Path("tools.yaml") else ""
    home = f"--config {path} "
    click.echo(f"Wrote {path}, and {schema} for your editor. Next:\n")
    click.echo(f"  linkspan check{shown}")
    click.echo("  linkspan tenant add acme")
    click.echo(f"  linkspan {home}account link {name} --tenant acme")
    click.echo(f"  linkspan {home}call {entity}.list --tenant acme --explain")
    click.echo(f"  linkspan {home}check --live --tenant acme")
