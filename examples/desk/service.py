"""The desk's parts, joined: what the API and the pages both stand on."""

from __future__ import annotations

from dataclasses import dataclass

from desk.alerts import Alerts
from desk.comments import Comments
from desk.designs import Designs
from desk.outbox import Outbox
from desk.store import Store
from desk.switches import Switches
from desk.tickets import Tickets


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything there is, for every organisation."""

    store: Store
    public_url: str
    outbox: Outbox
    comments: Comments
    tickets: Tickets
    alerts: Alerts
    designs: Designs
    switches: Switches


def open_desk(store: Store, public_url: str) -> Desk:
    """Join the parts. `public_url` (no slash at its end) begins the links that are given out."""
    outbox, comments = Outbox(store), Comments(store)
    return Desk(
        store=store,
        public_url=public_url,
        outbox=outbox,
        comments=comments,
        tickets=Tickets(store, outbox, comments, public_url),
        alerts=Alerts(store, outbox, comments, public_url),
        designs=Designs(store, outbox, comments, public_url),
        switches=Switches(),
    )
