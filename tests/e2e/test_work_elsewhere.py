"""Runs that are asked for at one process and worked by another: `serve --no-work` and `work`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from bench.contestants import LINKSPAN, run_linkspan
from bench.processes import free_port
from bench.processes import serving as served
from tests.servers import codex as codex_cli
from tests.servers.node import ROOT
from tests.servers.scripted_model import ScriptedModel, message
from tests.servers.serving import serving, wait_until

pytestmark = pytest.mark.e2e
MARK = "working runs as"
"""What the log says when runs are worked."""


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder that is not below the system's temporary directory: Codex works in it."""
    folder = ROOT / ".work" / f"elsewhere-{uuid.uuid4().hex[:12]}"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def installed(work: Path, model_url: str) -> tuple[dict[str, str], str]:
    """Make an installation with one recipe by its own commands; answer its environment, and a token."""
    config = work / "tools.yaml"
    tools = {
        "linkspan": 1,
        "name": "elsewhere",
        "instructions": "Nothing but runs.",
        "connectors": {"openai": {"use": "openai", "base_url": f"{model_url}/v1"}},
        "recipes": {"chore": {"title": "A chore", "prompt": "Go.", "model": "scripted-model"}},
    }
    config.write_text(yaml.safe_dump(tools))
    environ = {
        **os.environ,
        "LINKSPAN_HOME": str(work / "home"),
        "LINKSPAN_CONFIG": str(config),
        "LINKSPAN_ALLOW_EGRESS": "127.0.0.0/8",
        "LINKSPAN_CODEX": codex_cli.npm_command()[1],
    }
    run_linkspan(environ, "tenant", "add", "acme")
    run_linkspan(environ, "account", "link", "openai", "--no-verify", given="upstream-key\n")
    run_linkspan(environ, "recipe", "enable", "chore")
    return environ, json.loads(run_linkspan(environ, "token", "create", "--json"))["token"]


@contextlib.contextmanager
def working(environ: Mapping[str, str], url: str, log: Path) -> Iterator[None]:
    """Run `linkspan work`."""
    command = [str(LINKSPAN), "work", "--serving-url", url]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=environ, stdout=output, stderr=output, cwd=log.parent) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()


def test_a_run_waits_for_a_worker_elsewhere(work: Path) -> None:
    """Who serves works nothing; `linkspan work` does, and its Codex reaches the one that serves."""
    model = ScriptedModel([[message("It is done.")]])
    with serving(model) as model_url:
        environ, token = installed(work, model_url)
        port, log, worked = free_port(), work / "serve.log", work / "work.log"
        command: list[str | Path] = [LINKSPAN, "serve", "--no-work", "--port", str(port)]
        url = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {token}"}
        with (
            served(command, port, cwd=work, environ=environ, log=log),
            httpx2.Client(base_url=url, headers=headers) as http,
        ):
            made = http.post("/runs", json={"recipe": "chore"}, headers={"Idempotency-Key": "1"})
            assert made.status_code == 201, made.text

            def told() -> Any:
                run = made.json()["result"]["id"]
                return http.get(f"/runs/{run}").raise_for_status().json()["result"]

            assert (told()["state"], model.turns) == ("queued", ())
            with working(environ, url, worked):
                wait_until(lambda: MARK in worked.read_text(), what="a worker", seconds=60)
                wait_until(lambda: told()["state"] == "succeeded", what="the run's end", seconds=60)
                with contextlib.closing(sqlite3.connect(work / "home" / "linkspan.sqlite")) as db:
                    known = "SELECT count(*) FROM replicas"
                    wait_until(lambda: db.execute(known).fetchone() == (2,), what="both", seconds=60)
            assert (told()["summary"], len(model.turns)) == ("It is done.", 1)
            assert MARK not in log.read_text()
