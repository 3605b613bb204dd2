"""Where every command starts: `linkspan stdio` before any import that takes time, the rest through click."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkspan.mcp_server.stdio_loop import Composition


def standing() -> Composition:
    """Import the composition root of stdio."""
    from linkspan import standing

    return standing


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["stdio"] and not {"--help", "-h"} & set(sys.argv[2:]):
        from linkspan.mcp_server.stdio import main as stdio

        sys.exit(stdio(sys.argv[2:], standing))
    from linkspan.cli.main import cli

    cli(prog_name="linkspan")


if __name__ == "__main__":
    main()
