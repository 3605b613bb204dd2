"""One Chromium for all tests here, somebody who uses it, and what is linked with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.linking import Office, office
from tests.servers.browser import Person, chromium, person

expect.set_options(timeout=30_000)
"""Milliseconds that a page has to show what is expected, on a machine that does other things as well."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The browser."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="package")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """Linkspan with two products, one of them a real authorization server, and a product's page."""
    with office(tmp_path_factory.mktemp("desk")) as running:
        yield running


@pytest.fixture
def anna(browser: Browser) -> Iterator[Person]:
    """Somebody with a browser of her own; whatever its pages did wrong fails the test."""
    with person(browser) as somebody:
        yield somebody
