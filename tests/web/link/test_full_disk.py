"""The disk is full while somebody links: it is said plainly, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.net.messages import Request
from linkspan.store import accounts, link_sessions
from linkspan.store.accounts import Account
from linkspan.store.database import Database, StoreFault
from linkspan.store.link_sessions import LinkSession
from tests.store.engines import Sqlite, on_postgres
from tests.store.rows import account
from tests.web.link.conftest import BOLT, Place, message, told


async def fill(place: Place) -> None:
    """Let no account fit any more: on SQLite what is free in pages that are there is used up too."""
    db = place.app.database
    await place.engine.fill_disk(db)
    if isinstance(place.engine, Sqlite):
        for size in (2_000, 500, 1):
            number = 0
            while await _fits(db, account(BOLT, id=f"{size}_{number}", last_error="x" * size)):
                number += 1


async def _fits(db: Database, row: Account) -> bool:
    try:
        return await accounts.insert(db, row)
    except StoreFault:
        return False


def fill_with(place: Place, path: str) -> None:
    """Let the disk be full from the moment in which the product has answered there."""

    async def then(request: Request) -> None:
        if request.url.endswith(path):
            place.outside.then = None
            await fill(place)

    place.outside.then = then


async def test_a_key_is_entered_again(place: Place) -> None:
    """Nothing was linked and nothing used up; with room the same page links."""
    place.know_keys()
    browser = await place.opened("tracker")
    await fill(place)
    answer = await browser.link()
    failure = told(answer)
    assert (answer.status_code, failure["error_type"]) == (500, "connection_error")
    assert "is full; nothing was written" in failure["message"]
    assert failure["hint"].startswith("Nothing was linked.")
    assert "LINKSPAN" not in answer.text
    assert await place.accounts() == []
    await place.engine.free_disk(place.app.database)
    assert (await browser.link()).json()["status"] == "linked"
    assert (await place.only()).state == "active"


async def test_a_grant_is_given_back(place: Place) -> None:
    """What somebody consented to and could not be stored does not stay at the product."""
    browser = await place.opened("cloud")
    url = await browser.depart()
    fill_with(place, "/token")
    page = await browser.back(place.authority.consent(url))
    assert "is full; nothing was written" in message(page.text)
    assert "What you consented to was given back." in message(page.text)
    (grant,) = place.authority.grants.values()
    assert grant.ended
    shown = await browser.show()
    assert (shown["status"], shown["failure"]["error_type"]) == ("open", "connection_error")
    assert await place.accounts() == []
    await place.engine.free_disk(place.app.database)
    await browser.back(place.authority.consent(await browser.depart()))
    assert (await place.only()).state == "active"
    assert (await browser.show())["status"] == "linked"


@on_postgres
async def test_a_grant_that_others_may_need_is_left_alone(place: Place) -> None:
    """Some products end all of somebody's grants with one: not where the tenant has an account there."""
    browser = await place.opened("cloud")
    await browser.back(place.authority.consent(await browser.depart()))
    before = await place.only()
    browser = await place.opened(account=before)
    url = await browser.depart()
    fill_with(place, "/token")
    page = await browser.back(place.authority.consent(url))
    assert "is full; nothing was written. Nothing was linked. Try again later" in message(page.text)
    assert not any(grant.ended for grant in place.authority.grants.values())
    assert await place.only() == before
    await place.engine.free_disk(place.app.database)
    await browser.back(place.authority.consent(await browser.depart()))
    assert (await place.only()).version == before.version + 1


@on_postgres
async def test_a_grant_that_is_stored_is_not_given_back(place: Place) -> None:
    """It was there before the disk was full: the page says what is left to do, and does it with room."""
    browser = await place.opened("cloud")
    url = await browser.depart()
    fill_with(place, "/me")
    page = await browser.back(place.authority.consent(url))
    assert ('data-linked="no"' in page.text, "is full" in message(page.text)) == (True, True)
    assert (await place.only()).state == "connecting"
    assert not any(grant.ended for grant in place.authority.grants.values())
    shown = await browser.show()
    assert (shown["status"], shown["failure"]["error_type"]) == ("linked", "validation_error")
    assert (await browser.ask("again")).json()["failure"]["code"] == "internal"
    await place.engine.free_disk(place.app.database)
    answer = await browser.ask("again")
    assert answer.json()["result"]["state"] == "active"
    assert (await place.only()).state == "active"
    assert len(place.authority.grants) == 1


@on_postgres
async def test_a_window_that_comes_back_too_early(place: Place) -> None:
    """The code is not shown to the product while nothing can be stored: loading the page again links."""
    browser = await place.opened("cloud")
    answer = place.authority.consent(await browser.depart())
    await fill(place)
    page = await browser.back(answer)
    assert (page.status_code, "is full" in message(page.text)) == (500, True)
    assert place.authority.asked == []
    await place.engine.free_disk(place.app.database)
    page = await browser.back(answer)
    assert 'data-linked="yes"' in page.text
    assert (await place.only()).state == "active"


@on_postgres
async def test_a_token_that_cannot_be_opened_now(place: Place) -> None:
    """Is as good as before once there is room, and so is one that cannot be made."""
    token = await place.token("tracker")
    await fill(place)
    browser = place.browser()
    assert told(await browser.open(token))["message"].endswith("nothing was written.")
    with pytest.raises(StoreFault):
        await place.token("tracker")
    await place.engine.free_disk(place.app.database)
    assert (await browser.open(token)).is_success


async def test_an_end_that_cannot_be_noted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was linked is linked, and the page says so; it is noted as soon as there is room."""
    place.know_keys()
    browser = await place.opened("tracker")
    full = [True]
    real = link_sessions.end

    async def end(db: Database, session: LinkSession, **more: Any) -> None:
        if full[0]:
            raise StoreFault("The disk is full; nothing was written")
        await real(db, session, **more)

    monkeypatch.setattr(link_sessions, "end", end)
    assert (await browser.link(token="wrong")).status_code == 409
    assert (await browser.link()).status_code == 409  # the first attempt still holds the session
    full[0] = False
    assert (await browser.show())["status"] == "open"
    full[0] = True
    assert (await browser.link()).json()["status"] == "linked"
    assert (await browser.show())["status"] == "linked"
    assert (await browser.link()).status_code == 403
    full[0] = False
    assert (await browser.show())["status"] == "linked"
    ended = await link_sessions.find(place.app.database, browser.session)
    assert ended is not None
    assert (ended.linked, ended.busy) == ((await place.only()).id, None)
