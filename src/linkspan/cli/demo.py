"""The demo: a first minute with nothing prepared."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from linkspan.cli.common import settings_of
from linkspan.errors import ConfigurationError


def _source() -> Path:
    """Answer the folder that holds examples/desk and tools.yaml: a checkout, or what was installed.

    Never the current directory: what stands there is run.
    """
    import linkspan

    here = Path(linkspan.__file__).parent
    for folder in (here.parents[1], here / "sample"):
        if (folder / "examples/desk/__main__.py").exists() and (folder / "tools.yaml").exists():
            return folder
    raise ConfigurationError("the sample desk is not here", hint="Run it in a checkout: scripts/demo")


@click.command()
@click.pass_context
def demo(context: click.Context) -> None:
    """Start the sample desk and Linkspan with two customers linked, and say what to paste into Codex.

    Everything is kept in its own folder: HOME/demo, or the folder given with --home.
    """
    from linkspan.demo import run

    settings = settings_of(context)
    if context.find_root().params.get("home") is None:
        settings = replace(settings, home=settings.home / "demo")
    source = _source()
    sys.exit(run(settings, source / "examples/desk", source / "tools.yaml"))
