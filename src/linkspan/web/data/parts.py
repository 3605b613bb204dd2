"""What the doors to the products work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from linkspan.gateway.call import Gateway
from linkspan.gateway.govern import Governor
from linkspan.gateway.once import Once
from linkspan.gateway.relay import Relay
from linkspan.web.data.entering import Entrance
from linkspan.web.oauth.place import See


class Sealer(Protocol):
    """Protects what a client has to bring back."""

    def seal(self, purpose: str, tenant: str, record: str, data: bytes) -> bytes:
        """Seal `data` for one place."""
        ...

    def open(self, purpose: str, tenant: str, record: str, sealed: bytes) -> bytes:
        """Open what was sealed for exactly this place; raises `LinkspanError`."""
        ...


@dataclass(frozen=True, slots=True)
class DataParts:
    """Everything that these doors need."""

    entrance: Entrance
    gateway: Gateway
    relay: Relay
    governor: Governor
    once: Once
    sealer: Sealer
    clock: Callable[[], float]
    see: See
    max_body: int
