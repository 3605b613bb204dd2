"""Keys that are the same in every run."""

from __future__ import annotations

import random

from linkspan.vault.keys import Key, Keys


def key(seed: int) -> Key:
    """Answer the same key for the same seed."""
    return Key(random.Random(seed).randbytes(32))


def keys(*seeds: int) -> Keys:
    """Answer keys, the first of which seals."""
    return Keys(tuple(key(seed) for seed in seeds), "LINKSPAN_KEYS")
