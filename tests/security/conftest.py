"""The whole HTTP face with two tenants in front of the tracker, as `tests/web/oauth` has it."""

from __future__ import annotations

from tests.web.oauth.conftest import (  # noqa: F401
    anna,
    anyio_backend,
    browser,
    eve,
    public_url,
    settings,
    sign_in,
    world,
)
