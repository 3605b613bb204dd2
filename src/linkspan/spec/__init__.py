"""tools.yaml in, an immutable `Catalog` out. Pure: reads files, nothing else.

load(paths, environ)    the catalog; raises SpecError with every mistake in it
check(paths, environ)   the mistakes
read(paths, environ)    both: the catalog, None if there is a mistake, and the mistakes
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkspan.errors import Problem
    from linkspan.spec.catalog import Catalog

__all__ = ["check", "load", "read"]

Paths = str | PathLike[str] | Iterable[str | PathLike[str]]


def load(paths: Paths, environ: Mapping[str, str]) -> Catalog:
    """Read, check and compile one tools.yaml, or several that add to one another.

    `${VARIABLE}` is replaced from `environ` and from nothing else. Raises `SpecError` with every mistake.
    """
    from linkspan.errors import SpecError

    catalog, problems = read(paths, environ)
    if catalog is None:
        raise SpecError(problems)
    return catalog


def check(paths: Paths, environ: Mapping[str, str]) -> list[Problem]:
    """Answer every mistake in one tools.yaml or several, in the files' order."""
    return read(paths, environ)[1]


def read(paths: Paths, environ: Mapping[str, str]) -> tuple[Catalog | None, list[Problem]]:
    """Answer the catalog, None if there is a mistake, and every mistake, of one reading."""
    from linkspan.spec.files import read_catalog

    return read_catalog(paths, environ)
