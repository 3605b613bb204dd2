"""What is counted, as it happens; this one counts nothing, and `prometheus.py` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from linkspan.telemetry.ended import CallEnded

UseKind = Literal["api", "passed_on", "token", "webhook", "other"]
"""What a request goes out for: an operation, somebody's own request, an access token, a webhook of ours."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a request goes out for, by names that tools.yaml has. It is counted, and never sent."""

    kind: UseKind = "other"
    connector: str = ""
    route: str = ""
    """`METHOD /path/{as}/written`; nothing where the path is the caller's own."""


OTHER: Final = Use()


@dataclass(frozen=True, slots=True)
class Standing:
    """What waits and what there is at a moment, in the whole installation: each replica reads the same."""

    runs: Mapping[str, int] = field(default_factory=dict)
    """State → runs that have not ended."""
    oldest_queued: float = 0.0
    """Seconds that the run at the head of the queue has waited."""
    workers: int = 0
    """That were heard of lately."""
    accounts: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(connector, state) → accounts."""
    outbox: Mapping[str, int] = field(default_factory=dict)
    """State → deliveries to webhooks: those that wait, and dead letters."""
    oldest_delivery: float = 0.0
    """Seconds by which the delivery that is due for longest is late."""
    arrivals: int = 0
    """Events of products that wait to be worked."""
    audit_waiting: int = 0
    """Audit rows of this process that are not written yet."""
    tools_yaml_is_good: bool = True


class Meters:
    """Hears what happens. Times are seconds."""

    is_on = False

    def call(self, ended: CallEnded) -> None:
        """Hear of a call of a tool, or of a request that was passed on, that has ended."""

    def limited(self, limit: str) -> None:
        """Hear of a call that one of our own limits refused."""

    def exchange(self, use: Use, method: str, status: int | None, error: str, seconds: float) -> None:
        """Hear of one exchange with a product; `error` is a code of the tree where no answer came."""

    def waited(self, connector: str, why: str, seconds: float) -> None:
        """Hear of a wait before a request is repeated."""

    def request(self, face: str, method: str, status: int, seconds: float) -> None:
        """Hear of a request to us whose answer has begun."""

    def session_request(self, method: str, outcome: str) -> None:
        """Hear of a request within an embedded session: a method that is open, and `ok` or a code."""

    def answering(self, face: str, change: Literal[1, -1]) -> None:
        """Hear that a request or socket has begun to be answered, or is over."""

    def run_ended(self, *, recipe: str, engine: str, state: str, seconds: float, queued: float) -> None:
        """Hear of a run that has ended, after so many seconds of which it waited some for its turn."""

    def tokens(self, tenant: str, model: str, used: Mapping[str, int]) -> None:
        """Hear what a call of a model has used."""

    def delivery(self, outcome: str) -> None:
        """Hear of an attempt to deliver a webhook."""

    def arrival(self, connector: str, outcome: str) -> None:
        """Hear of what a product has delivered."""
