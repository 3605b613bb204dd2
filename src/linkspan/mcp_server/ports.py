"""What this face needs from the parts below it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from linkspan.accounts.principal import Principal
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Blocks, DryRun, Item, Page
from linkspan.spec.catalog import Catalog, Tool

Answer = Page | Item | DryRun | Blocks

Authenticate = Callable[[str, str], Awaitable[Principal]]
"""Takes the token's text and the tenant of the path; raises `Unauthenticated`."""


class Gateway(Protocol):
    """One call for a principal, start to finish."""

    @property
    def catalog(self) -> Catalog:
        """The catalog that is served now; a hot reload swaps it."""
        ...

    async def call(
        self, principal: Principal, tool: Tool, arguments: Mapping[str, Any], *, info: CallInfo
    ) -> Answer:
        """Answer what the tool answers; raises `LinkspanError`s and nothing else on purpose."""
        ...
