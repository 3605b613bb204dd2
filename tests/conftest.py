"""What all tests share: which of them run, and the clients of end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import codex as codex_cli
from tests.servers.postgres import Cluster, cluster
from tests.store.engines import ON_BOTH, Engine, Postgres, Sqlite

pytest_plugins = ["tests.left_behind"]
HOW = "run `scripts/test --all`, or pytest with --all where that has run before"
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
"""How long an example takes to be made or tried says more of a busy machine than of us."""
UNSTEADY = 3
NOT_RUN = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that `scripts/test --all` gives."""
    parser.addoption("--all", action="store_true", help="also run tests that are slow or need real servers")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out end-to-end and slow tests unless all were asked for; a summary line says so."""
    if config.getoption("--all"):
        return
    left_out = [item for item in items if item.get_closest_marker("e2e") or item.get_closest_marker("slow")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    config.stash[NOT_RUN] = len(left_out)
    if hasattr(config, "workeroutput"):
        config.workeroutput["not_run"] = len(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the number from a pytest-xdist worker; each one collects all tests."""
    node.config.stash[NOT_RUN] = getattr(node, "workeroutput", {}).get("not_run", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how many tests did not run, and how to run them."""
    left_out = config.stash.get(NOT_RUN, 0)
    if left_out:
        terminalreporter.write_line(
            f"NOT RUN: {left_out} end-to-end and slow tests; {HOW}", yellow=True, bold=True
        )
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.write_line(
            f"UNSTEADY: {report.nodeid} failed, and was run again", red=True, bold=True
        )
        terminalreporter.write_line(str(report.longrepr))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A skipped test is a failure, as is a run with more than a few that passed only when run again.

    What is missing here is installed by a script, not passed over.
    """
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    if reporter.stats.get("skipped") or len(reporter.stats.get("rerun", [])) > UNSTEADY:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(params=["npm", "python"])
def codex(request: pytest.FixtureRequest) -> Iterator[codex_cli.Codex]:
    """The real Codex CLI: the npm package's binary, and the one of the extra `linkspan[codex]`."""
    command = codex_cli.npm_command() if request.param == "npm" else codex_cli.python_command()
    with codex_cli.codex_with(command) as made:
        yield made


@pytest.fixture(params=list(codex_cli.ToolMode), ids=str)
def mode(request: pytest.FixtureRequest) -> codex_cli.ToolMode:
    """Each way in which Codex offers tools to a model."""
    chosen: codex_cli.ToolMode = request.param
    return chosen


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server for all tests of a process."""
    with cluster() as made:
        yield made


@pytest.fixture(params=ON_BOTH)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database of each engine."""
    if request.param == "sqlite":
        yield Sqlite(tmp_path / "home" / "linkspan.sqlite")
        return
    server: Cluster = request.getfixturevalue("postgres")
    with server.schema() as url:
        yield Postgres(url)
