"""Hot reload: a good edit of tools.yaml is served within 2 seconds, a bad one is only reported."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from linkspan.errors import SpecError
from linkspan.spec.catalog import Catalog

log = logging.getLogger("linkspan.reload")
INTERVAL = 0.5
"""Seconds between two looks at the files."""


class Reloader:
    """Looks at the files of a catalog and hands over each new good one."""

    def __init__(
        self, files: Sequence[Path], load: Callable[[], Catalog], replace: Callable[[Catalog], None]
    ) -> None:
        self._files = tuple(files)
        self._load = load
        self._replace = replace
        self._seen = self._mark()
        self.error: SpecError | None = None
        """What is wrong with the file as it is now; the last good one is served meanwhile."""

    def _mark(self) -> tuple[tuple[int, int, int] | None, ...]:
        marks: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                stat = file.stat()
            except OSError:
                marks.append(None)
            else:
                marks.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return tuple(marks)

    async def look(self) -> bool:
        """Look once; answer whether a new catalog was handed over."""
        mark = self._mark()
        if mark == self._seen:
            return False
        self._seen = mark
        try:
            catalog = await asyncio.to_thread(self._load)
        except SpecError as error:
            self.error = error
            log.error("tools.yaml was edited and has mistakes; the last good one goes on serving\n%s", error)
            return False
        self.error = None
        self._replace(catalog)
        version = catalog.version[:12]
        log.info("tools.yaml was edited; %d tools are served now, version %s", len(catalog.tools), version)
        return True

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.look()
