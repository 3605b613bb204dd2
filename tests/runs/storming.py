"""A process that takes deliveries and works them, to be killed: what tests/runs/test_storm.py starts.

python -m tests.runs.storming HOME DATABASE PORT TOOLS
    DATABASE is `-` for SQLite in HOME

Runs are started and stay queued: nobody works them here.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import uvicorn

from linkspan.runs.arrivals import Arrivals
from linkspan.serving import Serving
from tests.runs.dying import opened

LEASE = 10.0
"""Seconds after which another process works what one had taken that was killed."""


async def main(home: Path, database: str | None, port: int, tools: Path) -> None:
    """Serve and work until killed."""
    app = await opened(home, database, [tools])
    arrivals = Arrivals(app.database, app.gateway, app.runs, clock=time.time, random=os.urandom, lease=LEASE)
    config = uvicorn.Config(
        Serving(app).asgi, host="127.0.0.1", port=port, log_level="error", lifespan="off", ws="none"
    )
    await asyncio.gather(uvicorn.Server(config).serve(), arrivals.run())


if __name__ == "__main__":
    home, database, port, tools = sys.argv[1:]
    asyncio.run(main(Path(home), None if database == "-" else database, int(port), Path(tools)))
