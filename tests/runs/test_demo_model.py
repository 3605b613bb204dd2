"""Who answers behind the demo's button: a script that is named as such, or OpenAI with the operator's key."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from linkspan import spec
from linkspan.accounts.principal import Principal
from linkspan.app import build
from linkspan.demo import _held
from linkspan.demo_codex import furnish, port_of, start_forge
from linkspan.settings import Settings, parse_egress
from tests.runs.conftest import ACME
from tests.servers.node import ROOT
from tests.servers.serving import LOOPBACK

pytestmark = pytest.mark.slow
KEY = "canary-key-of-the-operator"


def environment_of(pid: int) -> str:
    """Answer what a process was started with."""
    return Path(f"/proc/{pid}/environ").read_text()


@pytest.mark.parametrize("key", [None, KEY], ids=["script", "key"])
async def test_the_button_asks_who_the_page_says(
    key: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the environment goes to OpenAI and nowhere else; without one nothing goes there."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    examples = ROOT / "examples"
    at = socket.create_server((LOOPBACK, 0)), socket.create_server((LOOPBACK, 0))
    workshop = await start_forge(examples / "forge", examples / "harbour", tmp_path / "forge", at)
    try:
        hosts = parse_egress(",".join(workshop.hosts))
        catalog = spec.load([ROOT / "tools.yaml", workshop.places], os.environ)
        app = await build(Settings(home=tmp_path / "home", egress=hosts), catalog=catalog)
        await app.tenants.add("acme")
        await furnish(app, workshop)
        asks = Principal(ACME, "run", "run_1", ())
        credential = await app.accounts.credential(asks, [app.catalog.connectors["openai"]])
        await app.aclose()
        around = environment_of(workshop.process.pid)
    finally:
        workshop.process.terminate()
        await workshop.process.wait()
        shutil.rmtree(tmp_path / "forge")
    assert KEY not in around
    origins, shown = credential.origins, credential.secrets["token"].reveal()
    if key is None:
        assert workshop.note.startswith("A script stands in for the model")
        assert (origins, shown) == ((workshop.url,), "a-script-needs-no-key")
    else:
        assert workshop.note.startswith("OpenAI's model works, with the key in OPENAI_API_KEY")
        assert (origins, shown) == (("https://api.openai.com:443",), key)


async def test_the_demo_holds_the_ports_that_it_chose() -> None:
    """From the moment in which it chose them: nobody else, another demo included, gets one in between."""
    wanted = socket.create_server((LOOPBACK, 0))
    port = port_of(wanted)
    first, second = _held(port), _held(port)
    assert len({port, port_of(first), port_of(second)}) == 3
    for listener in (wanted, first, second):
        listener.close()
