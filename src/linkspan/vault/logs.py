"""Where log records go: to standard error, through the redactor, as text or as JSON."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import Any, Literal

from linkspan.vault.redact import Redactor

_NOISY = (
    "aiohttp",
    "asyncio",
    "httpx2",
    "httpcore2",
    "mcp",
    "opentelemetry",
    "uvicorn.access",
    "uvicorn.error",
)


_REQUEST = re.compile(r"request ([A-Za-z0-9._-]{1,64}): ")
"""How every line begins that is about one request."""


def _is_news(record: logging.LogRecord) -> bool:
    """Tell that it is not uvicorn's word of an answer that was broken off, of which we told more."""
    return record.msg != "ASGI callable returned without completing response."


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time` (UTC), `level`, `logger`, `message`, fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Answer the line."""
        message = record.getMessage()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
            **getattr(record, "fields", {}),
        }
        if (named := _REQUEST.match(message)) is not None:
            told.setdefault("request_id", named[1])
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            told["exception"] = record.exc_text
        return json.dumps(told, ensure_ascii=False)


def configure_logging(
    redactor: Redactor, level: int = logging.INFO, *, form: Literal["text", "json"] = "text"
) -> None:
    """Log to standard error, one line a record, secrets masked."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if form == "json" else text)
    handler.addFilter(redactor)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_news)
