"""What stdio stands on: one tenant, and a log without secrets."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linkspan import errors, spec, standing
from linkspan.app import build
from linkspan.gateway.calls import CallInfo
from linkspan.settings import Settings
from linkspan.vault.redact import MASK

TRACKER = Path(__file__).parent / "fakes/tracker.yaml"
SECRET = "k4711canaryprivate"


class Failing:
    """A transport that fails, and tells everything it knows."""

    async def exchange(self, *_request: Any, **_options: Any) -> Any:
        try:
            raise RuntimeError(f"cannot send with {SECRET}")
        except RuntimeError:
            logging.getLogger("aiohttp.client").exception("cannot send with %s", SECRET)
            raise

    def stream(self, *_request: Any, **_options: Any) -> Any:
        """Nothing streams here."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing is held."""


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_no_secret_is_written_to_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a library logs of a request that fails, with its traceback."""
    catalog = spec.load([TRACKER], {})
    settings = Settings(home=tmp_path / "home", config=TRACKER)
    app = await build(settings, catalog=catalog)
    tenant = await app.tenants.add("acme")
    await app.accounts.link(tenant, catalog.connectors["tracker"], secrets={"token": SECRET})
    await app.aclose()

    monkeypatch.setattr(standing, "build", functools.partial(build, transport=Failing()))
    stood = await standing.open_stdio(settings, catalog, lambda _catalog: None)
    try:
        tool = catalog.tool("list_tickets")
        assert tool is not None
        with pytest.raises((errors.LinkspanError, RuntimeError)):
            await stood.gateway.call(stood.principal, tool, {}, info=CallInfo("req-1"))
    finally:
        await stood.aclose()
    told = capsys.readouterr().err
    assert "aiohttp.client" in told and MASK in told and "Traceback" in told
    assert SECRET not in told
