"""Benches in their short forms: that they work. What they measure is read by people."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.servers.node import ROOT

pytestmark = pytest.mark.e2e


def test_the_bench_of_queued_runs_measures_all_that_it_says() -> None:
    """Runs go through the whole of `serve`, beside the bare binary, and each figure is one."""
    command = [sys.executable, "-m", "bench", "queue", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    table, told = done.stdout.rsplit("\n", 2)[0], json.loads(done.stdout.splitlines()[-1])
    assert "| 2 runs, 2 at once: runs a second |" in table
    assert told["runs_per_s"]["ours"] > 0
    assert told["runs_per_s"]["bare"] > 0
    assert 0 < told["codex_to_sse_alone_ms"]["p50"] <= told["codex_to_sse_alone_ms"]["p95"]
    assert 0 <= told["growth_mb"] < 60


def test_the_bench_of_viewers_measures_all_that_it_says() -> None:
    """Readers of Linkspan and of the bare server hear every event, and Chromium shows them."""
    command = [sys.executable, "-m", "bench", "viewers", "--seconds", "1", "--rounds", "1", "--viewers", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    table, told = done.stdout.rsplit("\n", 2)[0], json.loads(done.stdout.splitlines()[-1])
    assert "| 20 reading: of a core |" in table
    for who in ("linkspan", "bare"):
        assert 0 < told["late_ms"][f"{who} 20"]["p50"] <= told["late_ms"][f"{who} 20"]["p95"]
        assert told["events_per_s"][f"{who} 20"] > 0
    assert told["screen_ms"]["p95"] > 0


def test_the_bench_of_the_proxy_measures_all_that_it_says() -> None:
    """The proxy, the bare relay and the raw client answer, stream and hold out; no figure has a bar here."""
    command = [sys.executable, "-m", "bench", "proxy", "--seconds", "0.3", "--rounds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    table, told = done.stdout.rsplit("\n", 2)[0], json.loads(done.stdout.splitlines()[-1])
    assert "| a stream of 128 MiB, MB/s, beside the relay |" in table
    assert set(told["proxy"]) == {"1", "16"}
    rows = (*told["proxy"].values(), told["stream_mb_per_second"], told["tenants"])
    assert {name: figure for row in rows for name, figure in row.items() if figure <= 0} == {}
