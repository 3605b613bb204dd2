"""The words of runs, by which they are found: each word once a run, in no order.

A table of our own, the same in both engines: the tenant is the first part of its keys, so that a search looks
at nobody else's words, and a row that is deleted is gone, with its tenant too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from linkspan.store import runs
from linkspan.store.database import Database, Transaction

MOST: Final = 20_000
"""Words of one run that are kept."""
LONGEST: Final = 64
"""Characters of a word that are kept; two that differ only after them are found as one."""
_WORD: Final = re.compile(r"[^\W_]+")


def terms_of(texts: Iterable[str]) -> list[str]:
    """Answer the words of texts, each once, as they come: without case, accents and punctuation."""
    found: dict[str, None] = {}
    for text in texts:
        plain = unicodedata.normalize("NFKD", text).casefold()
        bare = "".join(letter for letter in plain if not unicodedata.combining(letter))
        for word in _WORD.findall(bare):
            found[word[:LONGEST]] = None
            if len(found) >= MOST:
                return list(found)
    return list(found)


async def put(db: Database, tenant: str, run: str, terms: Iterable[str], *, epoch: int | None) -> bool:
    """Keep the words of a run in place of those it had; False when somebody else took the run since.

    `epoch` is None for who needs not have taken it.
    """

    def work(tx: Transaction) -> bool:
        key = {"tenant": tenant, "run": run}
        if epoch is not None and not runs.held(tx, tenant, run, epoch):
            return False
        tx.execute("DELETE FROM run_terms WHERE tenant = :tenant AND run = :run", key)
        tx.execute_many(
            "INSERT INTO run_terms (tenant, run, term) VALUES (:tenant, :run, :term)",
            [{**key, "term": term} for term in dict.fromkeys(terms)],
        )
        return True

    return await db.transaction(work, durable=False, quiet=True)
