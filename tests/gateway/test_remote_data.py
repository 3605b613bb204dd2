"""The item as the product answered it, beside ours, for who asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkspan import errors
from tests.fakes.opened import opened
from tests.fakes.tracker import Tracker
from tests.gateway.conftest import FILE


async def test_the_item_as_it_came_is_there_on_request(tmp_path: Path) -> None:
    """In reads of a source that offers it: only when asked for, on every page, and never in a write."""
    text = FILE.read_text(encoding="utf-8").replace(
        'identity: "{id}"', 'identity: "{id}"\n        remote_data: true'
    )
    async with opened(tmp_path, text, Tracker().app()) as app:
        plain = await app.call("get_ticket", id="1")
        asked = await app.call("get_ticket", id="1", remote_data=True)
        assert asked.result == {**plain.result, "remote_data": asked.result["remote_data"]}
        assert asked.result["remote_data"]["subject"] == plain.result["title"]
        page = await app.call("list_tickets", limit=1, remote_data=True)
        after = await app.call("list_tickets", cursor=page.next_cursor)
        assert all("remote_data" in item for item in page.result + after.result)
        with pytest.raises(errors.InvalidArgument, match="remote_data"):
            await app.call("create_ticket", title="T", remote_data=True)
