"""The demo with a key of OpenAI: the same button lets a model work, and pays with that key.

A scripted model stands where `OPENAI_BASE_URL` says that OpenAI is; how well a real one works is not shown.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from pathlib import Path

import httpx2
import pytest

from tests.servers.linkspan import PROGRAM
from tests.servers.node import ROOT
from tests.servers.scripted_model import ScriptedModel, message, shell
from tests.servers.serving import alone, running, serving, wait_until

pytestmark = pytest.mark.e2e
KEY = "sk-canary-of-the-operator"
FIX = "sed -i 's/^# .*/# The harbour, mended/' README.md && head -1 README.md"


def test_with_a_key_a_model_works(tmp_path: Path) -> None:
    """On any ticket, and the page says so; the key goes to the model's address and is printed nowhere."""
    model = ScriptedModel(
        [
            lambda seen: [shell(str(seen.body["model"]), FIX)],
            [message("The harbour's page is mended.")],
        ]
    )
    home = ROOT / ".work" / f"demo-{uuid.uuid4().hex[:12]}"
    log = tmp_path / "demo.log"
    with (
        serving(model) as url,
        alone("demo"),
        running(
            [PROGRAM, "--home", home, "demo"],
            log=log,
            env={**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{url}/v1"},
            ready=lambda: "Ctrl+C ends it" in log.read_text(),
            seconds=90,
        ),
    ):
        printed = log.read_text()
        assert "with the key in OPENAI_API_KEY, and costs what it costs" in printed
        found = re.search(r"Press the button Fix with Codex at (\S+)", printed)
        assert found, printed
        desk = found[1].rpartition("/tickets")[0]
        with httpx2.Client(base_url=desk, follow_redirects=True, timeout=30) as browser:
            browser.post("/sign-in", data={"user": "acme/priya"}).raise_for_status()
            page = browser.get("/tickets/HC-101").raise_for_status().text
            assert "OpenAI's model works" in page.replace("&#39;", "'")
            form = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
            browser.post("/tickets/HC-101/codex", data={**form, "act": "start"}).raise_for_status()
            wait_until(
                lambda: 'value="approve"' in browser.get("/tickets/HC-101/codex").text,
                what="a question",
                seconds=90,
            )
            assert "README.md" in browser.get("/tickets/HC-101/codex").text
    shutil.rmtree(home, ignore_errors=True)
    assert {seen.headers["authorization"] for seen in model.requests} == {f"Bearer {KEY}"}
    assert len(model.turns) == 2
    assert KEY not in log.read_text()
