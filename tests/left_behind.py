"""The part of `canary.py` that pytest runs: a plugin that `tests/conftest.py` loads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.canary import Find, finds


@pytest.fixture(scope="session", autouse=True)
def _log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Leave everything that is logged in this process behind, as it is before anything is masked."""
    handler = logging.FileHandler(tmp_path_factory.getbasetemp() / "everything.log")
    logging.getLogger().addHandler(handler)
    yield
    logging.getLogger().removeHandler(handler)
    handler.close()


FOUND: Final = pytest.StashKey[list[Find]]()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Read what the run left behind, when all its processes have ended."""
    config = session.config
    if hasattr(config, "workerinput"):
        return
    folder: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    config.stash[FOUND] = list(finds(folder))
    if config.stash[FOUND]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the secrets are."""
    found = config.stash.get(FOUND, [])
    if found:
        terminalreporter.section("SECRETS WERE LEFT BEHIND", red=True, bold=True)
        for each in found:
            terminalreporter.write_line(str(each))
