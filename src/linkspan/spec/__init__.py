"""tools.yaml in, an immutable `Catalog` out. Pure: reads files, nothing else.

load(paths, environ)    the catalog; raises SpecError with every mistake in it
check(paths, environ)   the mistakes
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from linkspan.errors import Problem
    from linkspan.spec.catalog import Catalog

__all__ = ["check", "load"]

Paths = str | PathLike[str] | Iterable[str | PathLike[str]]


def load(paths: Paths, environ: Mapping[str, str]) -> Catalog:
    """Read, check and compile one tools.yaml, or several that add to one another.

    `${VARIABLE}` is replaced from `environ` and from nothing else. Raises `SpecError` with every mistake.
    """
    from linkspan.errors import SpecError
    from linkspan.spec.files import read_catalog

    catalog, problems = read_catalog(paths, environ)
    if catalog is None:
        raise SpecError(problems)
    return catalog


def check(paths: Paths, environ: Mapping[str, str]) -> list[Problem]:
    """Answer every mistake in one tools.yaml or several, in the files' order."""
    from linkspan.spec.files import read_catalog

    return read_catalog(paths, environ)[1]
