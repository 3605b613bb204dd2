"""One Chromium for all tests here, and somebody who uses it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.servers.browser import Person, chromium, person


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The browser."""
    with chromium() as running:
        yield running


@pytest.fixture
def anna(browser: Browser) -> Iterator[Person]:
    """Somebody with a browser of her own; whatever its pages did wrong fails the test."""
    with person(browser) as somebody:
        yield somebody
