"""For `mcp run src/linkspan/server.py` (with `mcp[cli]`): the same as `linkspan stdio` and `linkspan serve`.

`mcp run` passes no arguments on; everything comes from the environment (LINKSPAN_HOME, LINKSPAN_CONFIG,
LINKSPAN_TENANT …). It also puts this file's directory in front of `sys.path`, where our packages would be
taken for others of the same name, so that is taken away first.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from linkspan.mcp_server.bridge import Bridge  # noqa: E402
from linkspan.mcp_server.stdio import main  # noqa: E402

if TYPE_CHECKING:
    from linkspan.mcp_server.stdio_loop import Composition


def _standing() -> Composition:
    from linkspan import standing

    return standing


def _stdio() -> int:
    return main([], _standing)


def _serve() -> int:
    from linkspan.process import serve
    from linkspan.settings import read_settings

    return serve(read_settings())


mcp = Bridge(_stdio, _serve)
