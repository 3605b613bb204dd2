"""Spans, as they begin and end; this one makes none, and `otel.py` does."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Literal

Attributes = Mapping[str, "str | int | float | bool"]
Kind = Literal["server", "client", "internal"]


class Span:
    """A piece of work that is under way."""

    __slots__ = ()

    def set(self, name: str, value: str | float) -> None:
        """Say something of it: names and numbers, never what somebody typed."""

    def failed(self, code: str) -> None:
        """Say that it came to no good end."""


NO_SPAN = Span()
_NOTHING = contextlib.nullcontext(NO_SPAN)


class Tracer:
    """Makes spans. What begins inside of another one's block is a part of it."""

    is_on = False

    def span(
        self,
        name: str,  # noqa: ARG002
        attributes: Attributes | None = None,  # noqa: ARG002
        *,
        kind: Kind = "internal",  # noqa: ARG002
        headers: Mapping[str, str] | None = None,  # noqa: ARG002
        run: str | None = None,  # noqa: ARG002
    ) -> AbstractContextManager[Span]:
        """Begin a span that ends with the block.

        It is a part of what the caller's `headers` say (W3C `traceparent`), or of a run's trace, or of what
        is under way.
        """
        return _NOTHING

    def headers(self) -> dict[str, str]:
        """Answer the headers by which what is asked now becomes a part of this trace."""
        return {}

    def trace_id(self) -> str | None:
        """Answer what the trace that is under way is found by."""
        return None

    def run_ended(self, run: str, attributes: Attributes, *, began: float, ended: float, state: str) -> None:
        """Make the span of a whole run, which its steps are parts of. Times are epoch seconds."""

    def close(self) -> None:
        """Send what waits to be sent."""
