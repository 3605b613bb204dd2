"""A client of the REST API: entities, the proxy, batches, runs and the audit log; plain and async.

    from linkspan.client import Linkspan

    with Linkspan("https://linkspan.example", "lsk_tenant_…") as linkspan:
        for ticket in linkspan.entities("ticketing/tickets").list(status="todo"):
            print(ticket["title"])

What fails raises the error of the one tree (`linkspan.errors`) that its code names. What was surely not done
(429, and 502 to 504 of what may be repeated) is tried again while waiting is worth it. Things are the dicts
that the API answers: docs/unified.md and /openapi.json say what is in them.
"""

from linkspan.client.answers import Ask, Batch, Event, Page, Thing
from linkspan.client.asynchronous import AsyncLinkspan
from linkspan.client.plain import Entities, Linkspan, Proxy, Runs

__all__ = [
    "Ask",
    "AsyncLinkspan",
    "Batch",
    "Entities",
    "Event",
    "Linkspan",
    "Page",
    "Proxy",
    "Runs",
    "Thing",
]
