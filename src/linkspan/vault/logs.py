"""Where log records go: to standard error, through the redactor."""

from __future__ import annotations

import logging
import sys

from linkspan.vault.redact import Redactor


def configure_logging(redactor: Redactor, level: int = logging.INFO) -> None:
    """Log to standard error, one line a record, secrets masked."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(redactor)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("aiohttp", "asyncio", "httpx2", "httpcore2", "mcp", "uvicorn.access", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
