"""Ids that we give: short, readable aloud, never guessed at as a secret."""

from __future__ import annotations

from linkspan.vault.keys import Random

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
LENGTH = 12


def identifier(random: Random) -> str:
    """Answer 12 characters of `[a-z0-9]`: 62 bits, enough to be unique in an installation."""
    number = int.from_bytes(random(16), "big")
    characters = []
    for _ in range(LENGTH):
        number, place = divmod(number, len(_ALPHABET))
        characters.append(_ALPHABET[place])
    return "".join(characters)
