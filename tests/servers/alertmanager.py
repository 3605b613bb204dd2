"""A real Alertmanager of Prometheus, which Debian's package `prometheus-alertmanager` brings."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.servers.serving import LOOPBACK, free_port, running

USER: Final = "ada"
PASSWORD: Final = "canary-alertmanager"
_HASHED: Final = "$2b$04$4J8o5L2jYHR5lCldsGFJFuTXGVqW95y6Bm2URoCrLyv.1Nmrx72LG"
"""PASSWORD for `basic_auth_users`, by bcrypt with the fewest rounds."""


def tell(home: Path, origin: str, url: str, secret: str) -> None:
    """Let it tell an address of groups, by the second."""
    hook = {"url": url, "send_resolved": True, "http_config": {"authorization": {"credentials": secret}}}
    pace = {"group_wait": "1s", "group_interval": "1s", "repeat_interval": "1s"}
    config = {
        "route": {"receiver": "on-call", "group_by": ["alertname"], **pace},
        "receivers": [{"name": "on-call", "webhook_configs": [hook]}],
    }
    (home / "alertmanager.yml").write_text(json.dumps(config))
    httpx2.post(f"{origin}/-/reload", auth=(USER, PASSWORD)).raise_for_status()


@contextlib.contextmanager
def alertmanager(home: Path) -> Iterator[str]:
    """Run it until the block ends, behind a password; yields its origin."""
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        raise RuntimeError("prometheus-alertmanager is not installed; run scripts/test --all")
    home.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {"route": {"receiver": "nobody"}, "receivers": [{"name": "nobody"}]}
    (home / "alertmanager.yml").write_text(json.dumps(config))
    (home / "web.yml").write_text(json.dumps({"basic_auth_users": {USER: _HASHED}}))
    address = f"{LOOPBACK}:{free_port()}"
    url = f"http://{address}"

    def ready() -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{url}/-/ready", auth=(USER, PASSWORD)).is_success
        return False

    command = [
        program,
        f"--config.file={home / 'alertmanager.yml'}",
        f"--web.config.file={home / 'web.yml'}",
        f"--storage.path={home / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with running(command, log=home / "alertmanager.log", ready=ready):
        yield url
