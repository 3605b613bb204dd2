"""A real Bugsink: an error tracker that takes what Sentry's own SDK sends."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from tests.servers.node import ROOT
from tests.servers.serving import LOOPBACK, accepts, free_port, running

PROGRAMS: Final = ROOT / ".tools" / "bugsink" / "bin"
_SETTINGS: Final = """
SECURE_PROXY_SSL_HEADER = None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = False
SNAPPEA["TASK_ALWAYS_EAGER"] = True  # one process digests what it takes
BUGSINK["BASE_URL"] = {url!r}
BUGSINK["ALERTS_WEBHOOK_DENY_NON_GLOBAL"] = False  # it may tell a server on this machine
ALLOWED_HOSTS = ["*"]
"""
_ISSUES: Final = """
from datetime import datetime, timezone
from issues.models import Issue
from projects.models import Project
now = datetime.now(timezone.utc)
Issue.objects.bulk_create(
    Issue(project_id={project}, digest_order=1000 + number, first_seen=now, last_seen=now,
          digested_event_count=1, stored_event_count=0, calculated_type="Old", calculated_value=str(number))
    for number in range({count}))
"""

_WEBHOOK: Final = """
import json
from alerts.models import MessagingServiceConfig
MessagingServiceConfig.objects.create(
    project_id={project}, display_name="Hook", kind="custom", config=json.dumps({{"webhook_url": {url!r}}}))
"""
_COMMENTS: Final = """
import json
from issues.models import TurningPoint
print(json.dumps([p.comment for p in TurningPoint.objects.filter(issue_id={issue!r}).order_by("timestamp")
                  if p.comment]))
"""


@dataclass(frozen=True)
class Bugsink:
    """A running Bugsink, with a token of its own."""

    url: str
    token: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask it beside of what is tested."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx2.request(method, f"{self.url}/api/canonical/0{path}", json=body, headers=headers)
        return answer.raise_for_status().json()

    def project(self, name: str) -> tuple[str, str]:
        """Make a project; answers its number and its DSN."""
        team = self.ask("POST", "/teams/", {"name": f"Team of {name}"})["id"]
        number = self.ask("POST", "/projects/", {"name": name, "team": team})["id"]
        return str(number), self.ask("GET", f"/projects/{number}/")["dsn"]

    def make_issues(self, project: str, count: int) -> None:
        """Put issues without events into a project, as old ones are whose events were evicted."""
        _manage(self.environment, "shell", "-c", _ISSUES.format(project=project, count=count))

    def tell(self, project: str, url: str) -> None:
        """Let it tell an address of a project's issues, as its page "Alerts" does."""
        _manage(self.environment, "shell", "-c", _WEBHOOK.format(project=project, url=url))

    def comments(self, issue: str) -> list[str]:
        """Answer what was said of an issue, which its API does not tell."""
        printed = _manage(self.environment, "shell", "-c", _COMMENTS.format(issue=issue))
        found: list[str] = json.loads(printed.strip().splitlines()[-1])
        return found


@contextlib.contextmanager
def bugsink(home: Path) -> Iterator[Bugsink]:
    """Make one in `home` and run it until the block ends."""
    if not (PROGRAMS / "bugsink-manage").exists():
        raise RuntimeError(".tools/bugsink is not installed; run scripts/test --all")
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(home),
        "DJANGO_SETTINGS_MODULE": "bugsink_conf",
        "PYTHONWARNINGS": "ignore",
    }
    conf = home / "bugsink_conf.py"
    words = ["--template", "singleserver", "--base-dir", str(home), "-o", str(conf)]
    subprocess.run([str(PROGRAMS / "bugsink-create-conf"), *words], check=True, capture_output=True, cwd=home)
    with conf.open("a") as file:
        file.write(_SETTINGS.format(url=url))
    _manage(environment, "migrate")
    _manage(environment, "migrate", "--database=snappea")
    token = _manage(environment, "create_auth_token").split()[-1]
    command = [PROGRAMS / "gunicorn", f"--bind={LOOPBACK}:{port}", "--threads=4", "bugsink.wsgi"]
    with running(
        command, log=home / "gunicorn.log", env=environment, cwd=home, ready=lambda: accepts(port), seconds=60
    ):
        yield Bugsink(url, token, environment)


def _manage(environment: Mapping[str, str], *words: str) -> str:
    command = [str(PROGRAMS / "bugsink-manage"), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"bugsink-manage {words[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout
