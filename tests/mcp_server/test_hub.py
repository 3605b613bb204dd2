"""Changes reach those who listen, of their own tenant, as long as they read."""

from __future__ import annotations

import asyncio

import pytest

from linkspan.mcp_server.hub import RESOURCES, UPDATED, Event, Hub, Subscription
from linkspan.mcp_server.protocol import Fault


def test_a_listener_hears_its_tenant_until_it_stops() -> None:
    """And is forgotten then, the tenant with it."""
    hub, heard = Hub(), list[Event]()
    stop = hub.listen("acme", heard.append)
    hub.updated("acme", "a:1")
    hub.updated("beta", "a:2")
    stop()
    stop()
    hub.updated("acme", "a:3")
    assert heard == [Event(UPDATED, "a:1")]
    assert hub._listeners == {}


def test_one_tenant_cannot_take_every_place() -> None:
    """The limit is each tenant's own."""
    hub = Hub(max_per_tenant=1)
    hub.listen("acme", lambda _event: None)
    with pytest.raises(Fault):
        hub.listen("acme", lambda _event: None)
    hub.listen("beta", lambda _event: None)


async def test_a_subscription_takes_what_it_asked_for() -> None:
    """Kinds that are true, and resources by their URI."""
    wanted = {
        "resourcesListChanged": True,
        "toolsListChanged": False,
        "resourceSubscriptions": ["a:1", 7, ""],
    }
    subscription = Subscription("s", wanted)
    assert subscription.acknowledgement()[1]["notifications"] == {
        "resourcesListChanged": True,
        "resourceSubscriptions": ["a:1"],
    }
    for event in (Event(UPDATED, "a:2"), Event("notifications/tools/list_changed"), Event(UPDATED, "a:1")):
        subscription.put(event)
    subscription.put(Event(RESOURCES))
    subscription.close()
    first, second, end = [await subscription.next() for _ in range(3)]
    assert first is not None and first[1]["uri"] == "a:1"
    assert second is not None and second[0] == RESOURCES
    assert end is None


@pytest.mark.parametrize("wanted", [None, [], 7, {}, {"resourceSubscriptions": "a:1"}])
async def test_a_filter_of_any_shape_honours_what_it_can(wanted: object) -> None:
    """Nothing, here."""
    assert Subscription(1, wanted).acknowledgement()[1]["notifications"] == {}


async def test_a_reader_that_has_stopped_reading_is_let_go() -> None:
    """Its stream ends; it may listen again and read everything anew."""
    subscription = Subscription("s", {"resourcesListChanged": True})
    for _ in range(1000):
        subscription.put(Event(RESOURCES))
    seen = 0
    async with asyncio.timeout(5):
        while await subscription.next() is not None:
            seen += 1
    assert seen == 256
