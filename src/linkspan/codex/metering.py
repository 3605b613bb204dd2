"""What an answer of a model cost, read off its bytes as they pass by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_ENDS: Final = (b'"response.completed"', b'"response.incomplete"', b'"response.failed"')
_KIND_WITHIN: Final = 400
"""Bytes at the beginning of an event in which its kind stands."""
_LONGEST: Final = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Used:
    """One call: which model answered, and how many tokens it took and gave."""

    model: str
    tokens: Mapping[str, int]
    """`input_tokens` (`cached_input_tokens` among them), `output_tokens`, `total_tokens`."""


class Meter:
    """Reads Server-Sent Events of the Responses API, or its one JSON answer, for usage and nothing else."""

    def __init__(self, content_type: str) -> None:
        self._is_stream = content_type.startswith("text/event-stream")
        self._is_json = content_type.startswith("application/json")
        self._line = bytearray()
        self._is_skipping = False
        self._used: Used | None = None

    def feed(self, chunk: bytes) -> None:
        """Look at what passes."""
        if self._is_json:
            self._keep(chunk)
        if not self._is_stream:
            return
        *whole, rest = chunk.split(b"\n")
        for piece in whole:
            self._keep(piece)
            self._read()
        self._keep(rest)

    def close(self) -> None:
        """Look at what is left, at the end of the answer."""
        if self._is_json and not self._is_skipping:
            self._take(bytes(self._line), whole=True)
        elif self._line:
            self._read()

    def used(self) -> Used | None:
        """Answer what was used, once; None while, or if, the answer does not say."""
        used, self._used = self._used, None
        return used

    def _keep(self, piece: bytes) -> None:
        """Keep a line only while it can be one that tells of usage."""
        if self._is_skipping:
            return
        self._line += piece
        begun = len(self._line) >= _KIND_WITHIN
        if len(self._line) > _LONGEST or (self._is_stream and begun and not self._may_end()):
            self._is_skipping = True
            self._line.clear()

    def _may_end(self) -> bool:
        head = bytes(self._line[:_KIND_WITHIN])
        return head.startswith(b"data:") and any(end in head for end in _ENDS)

    def _read(self) -> None:
        if not self._is_skipping and self._may_end():
            self._take(bytes(self._line[5:]), whole=False)
        self._is_skipping = False
        self._line.clear()

    def _take(self, text: bytes, *, whole: bool) -> None:
        try:
            told: Any = json.loads(text)
            response = told if whole else told["response"]
            usage = response["usage"]
            details = usage.get("input_tokens_details") or {}
            counted = {
                "input_tokens": int(usage["input_tokens"]),
                "cached_input_tokens": int(details.get("cached_tokens") or 0),
                "output_tokens": int(usage["output_tokens"]),
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        total = counted["input_tokens"] + counted["output_tokens"]
        self._used = Used(str(response.get("model") or ""), {**counted, "total_tokens": total})
