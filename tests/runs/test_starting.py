"""Starting runs: whose key it is, and where the thing is."""

from __future__ import annotations

import pytest

from linkspan.accounts.principal import Principal
from linkspan.errors import Conflict
from tests.runs.conftest import ACME, BO, DESK, SHOP, House

AL = Principal(ACME, "person", "al")


async def test_a_key_is_its_callers(house: House) -> None:
    """Another caller's same key asks for another run, and answers nothing of the first."""
    await house.enable("mend")
    runs = house.app.runs
    bos = await runs.start(BO, "mend", source="api", key="1", entity_id="HC-103")
    shops = await runs.start(SHOP, "mend", source="api", key="1", entity_id="HC-104")
    assert shops.id != bos.id
    assert (await runs.start(SHOP, "mend", source="api", key="1", entity_id="HC-104")).id == shops.id
    await runs.cancel(BO, bos.id)
    again = await runs.retry(BO, bos.id, key="r")
    await runs.cancel(BO, again.id)
    assert (await runs.retry(AL, bos.id, key="r")).id != again.id


async def test_a_key_is_of_one_thing_at_one_place(house: House) -> None:
    """With another account it is about something else, however the thing is called there."""
    await house.enable("mend")
    (shared,) = await house.app.accounts.list(ACME, "desk")
    asked = {"source": "api", "key": "k", "entity_id": "HC-103"}
    first = await house.app.runs.start(BO, "mend", account=shared.id, **asked)
    assert (await house.app.runs.start(BO, "mend", **asked)).id == first.id
    with pytest.raises(Conflict, match="about something else"):
        await house.app.runs.start(BO, "mend", account="acc_elsewhere", **asked)


async def test_a_private_run_in_the_way_is_not_named(house: House) -> None:
    """Who may not look at it learns that the thing is worked on, and neither its name nor its state."""
    await house.enable("mend")
    connector = house.app.catalog.connectors["desk"]
    opened = await house.app.accounts.credential(SHOP, connector)
    await house.app.accounts.link(
        ACME, connector, subject="bo", settings={"site": DESK}, secrets=dict(opened.secrets)
    )
    run = await house.app.runs.start(BO, "mend", source="api", key="k", entity_id="HC-103")
    assert run.private_to == "bo"
    with pytest.raises(Conflict, match="somebody else has ticket HC-103 worked on") as told:
        await house.app.runs.start(AL, "mend", source="api", key="k", entity_id="HC-103")
    assert run.id not in str(told.value.to_dict())
    with pytest.raises(Conflict, match=run.id):
        await house.app.runs.start(BO, "mend", source="api", key="other", entity_id="HC-103")
