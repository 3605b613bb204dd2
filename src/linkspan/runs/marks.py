"""The words by which a text is known to be a run's own, of this installation or of any other.

Comments, reviews and what Codex wrote with a tool name their run. An event about such a text starts nothing:
else two recipes, or two installations at one tracker, would answer each other for ever.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = re.compile(r"[^a-z0-9]+")
_TAG: Final = re.compile(r"</?[a-z][^<>]{0,500}>", re.IGNORECASE)
_OURS: Final = re.compile(r"(?:codexrun|linkspan(?:run)?)run[a-z2-7]{26}")
_MOST: Final = 200_000


def letters_of(text: str) -> str:
    """Answer a text's letters and figures: trackers escape and format the rest as they like."""
    return _WORDS.sub("", text.lower())


def is_ours(text: object) -> bool:
    """Tell whether a run wrote a text: a comment, a review, a commit's message."""
    return isinstance(text, str) and _OURS.search(letters_of(_TAG.sub("", text[:_MOST]))) is not None
