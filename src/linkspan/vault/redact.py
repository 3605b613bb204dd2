"""Redaction: a logging filter that masks secrets, whether it knows them or only what they look like.

It is the last net, not the rule: secrets are `Secret` values, and nothing formats those. But a library may
log a URL, an exception may quote a header, and a product's answer may echo a key.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import traceback
from collections import Counter, OrderedDict
from typing import Any
from urllib.parse import quote

MASK = "**********"
_SHORTEST = 6
"""Shorter values are not looked for: they would mask ordinary words, and protect nothing."""
_LONGEST = 64 * 1024
"""Characters of a text that are kept: searching more would hold up whoever logs it."""
_CUT = " … (cut)"
_OF_CODE = frozenset(
    {
        *("msg", "name", "levelname", "pathname", "filename", "module", "funcName"),
        *("threadName", "processName", "taskName"),
    }
)
"""What of a record is masked already, or says where in our code it was made."""
_NAME = r"(?=[\w-]*?(?:authorization(?![\w-])|api[-_]?key|token|secret|password|passwd))[\w-]++"
# No pattern looks at a character again from another start, or gives back what it took: a text that a product
# chose takes as long as any other of its length.
_PATTERNS = (
    # lsk_KIND_ID_SECRET: the ID may be shown, it is in the audit log.
    (re.compile(r"\b(lsk_[a-z]++_[a-z0-9]++_)[A-Za-z0-9_-]++"), rf"\1{MASK}"),
    # "name": "value", as in JSON and in the repr of a dict; one without an end goes to the end of the line
    (
        re.compile(
            rf"""(?i)(["']{_NAME}["']\s*+:\s*+[bu]?)(["'])(?:\\[\s\S]|(?!\2)[^\\\n])*+(?:\\\Z)?(\2?)"""
        ),
        rf"\1\2{MASK}\3",
    ),
    # Authorization: Bearer value
    (re.compile(r"(?i)\b(bearer|basic|token|apikey|digest)(\s++)[A-Za-z0-9+/._~=-]{8,}+"), rf"\1\2{MASK}"),
    # name=value and name: value, in queries, forms, headers and prose
    (
        re.compile(
            rf"(?i)(?<![\w-])({_NAME})(\s*+[=:]\s*+)(?!\*{{10}})"
            r"(?:(?:bearer|basic|token)\s++)?[^\s&;,'\"<>)\]}]++"
        ),
        rf"\1\2{MASK}",
    ),
    # https://user:password@host
    (re.compile(r"(://[^\s/:@]*+:)[^\s/@]++@"), rf"\1{MASK}@"),
)


_NAMED = re.compile(rf"(?i){_NAME}")


def without_named(data: Any, *, is_secret: bool = False) -> Any:
    """Answer JSON data with each text masked that stands anywhere under the name of a secret."""
    if isinstance(data, dict):
        return {
            name: without_named(value, is_secret=is_secret or _NAMED.fullmatch(name) is not None)
            for name, value in data.items()
        }
    if isinstance(data, list):
        return [without_named(each, is_secret=is_secret) for each in data]
    if not isinstance(data, str):
        return data
    if is_secret:
        return MASK
    if data[:1] in ("{", "["):
        # JSON in a text, as models have the arguments of their calls.
        with contextlib.suppress(ValueError):
            return json.dumps(without_named(json.loads(data)), ensure_ascii=False)
    return data


class Redactor(logging.Filter):
    """Masks registered values and what looks like a secret. Put it on handlers, so that it sees every record.

    It remembers the `capacity` values that were registered last. A line is searched in one pass, however
    many there are.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        super().__init__()
        self._values: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._by_start: dict[str, dict[int, Counter[str]]] = {}
        self._capacity = capacity

    def register(self, value: str) -> None:
        """Mask this value from now on, as it is and as URLs and JSON write it."""
        if len(value) < _SHORTEST:
            return
        if value in self._values:
            self._values.move_to_end(value)
            return
        forms = tuple({value, quote(value, safe="", errors="replace"), json.dumps(value)[1:-1]})
        self._values[value] = forms
        for form in forms:
            self._by_start.setdefault(form[:_SHORTEST], {}).setdefault(len(form), Counter())[form] += 1
        if len(self._values) > self._capacity:
            self._forget(*self._values.popitem(last=False)[1])

    def mask(self, text: str) -> str:
        """Answer the text without secrets, and without what is beyond its first 64 KiB.

        It is cut between words: half of a secret would not be recognised.
        """
        text = self._mask_known(text)
        for pattern, masked in _PATTERNS:
            text = pattern.sub(masked, text)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the message, the traceback and everything else of a record that is text; let it pass."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            message = f"{record.msg} {record.args}"
        record.msg = self.mask(message)
        record.args = None
        if record.exc_info and record.exc_info[0] and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        for name, value in record.__dict__.items():
            if name not in _OF_CODE and isinstance(value, str):
                record.__dict__[name] = self.mask(value)
        fields = record.__dict__.get("fields")
        if fields:
            record.__dict__["fields"] = {
                name: self.mask(value) if isinstance(value, str) else value for name, value in fields.items()
            }
        return True

    def _mask_known(self, text: str) -> str:
        """Mask what is registered and begins in what is kept of the text; cut the rest off."""
        parts: list[str] = []
        kept = place = 0
        end = min(len(text), _LONGEST)
        while place < end and self._by_start:
            found = self._length_of_known(text, place)
            if not found:
                place += 1
                continue
            parts += (text[kept:place], MASK)
            kept = place = place + found
        whole = "".join((*parts, text[kept:end]))
        if end == len(text):
            return whole
        return "".join(whole.rsplit(None, 1)[:-1]) + _CUT

    def _length_of_known(self, text: str, place: int) -> int:
        """Answer how long the longest registered value is that stands at a place; 0 for none."""
        lengths = self._by_start.get(text[place : place + _SHORTEST])
        if lengths is None:
            return 0
        standing = (length for length, forms in lengths.items() if text[place : place + length] in forms)
        return max(standing, default=0)

    def _forget(self, *forms: str) -> None:
        for form in forms:
            lengths = self._by_start[form[:_SHORTEST]]
            there = lengths[len(form)]
            there[form] -= 1
            if not there[form]:
                del there[form]
            if not there:
                del lengths[len(form)]
            if not lengths:
                del self._by_start[form[:_SHORTEST]]
