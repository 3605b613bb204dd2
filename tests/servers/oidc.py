"""The certified `oidc-provider` with rotation on: who shows a refresh token twice loses the grant."""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import httpx2

from tests.servers.node import NODE, ROOT, installed
from tests.servers.serving import LOOPBACK, free_port, running

SCRIPT: Final = ROOT / "tests" / "servers" / "oidc.mjs"
CLIENT, SECRET = "linkspan", "linkspan-secret-canary"
_FORM: Final = re.compile(r'<form[^>]*action="([^"]+)"')


@dataclass(frozen=True)
class Oidc:
    """A running authorization server."""

    url: str

    def counts(self) -> dict[str, int]:
        """Answer how often tokens were renewed and refused, and how many grants were revoked."""
        counted: dict[str, int] = httpx2.get(f"{self.url}/counts").raise_for_status().json()
        return counted

    def consent(self, url: str, *, person: str = "bo") -> str:
        """Sign in and consent as a person does in a browser; answer where the browser is sent then."""
        with httpx2.Client(timeout=20) as browser:
            answer = browser.get(url)
            for _step in range(12):
                if answer.is_redirect:
                    target = urljoin(str(answer.url), answer.headers["location"])
                    if not target.startswith(self.url):
                        return target
                    answer = browser.get(target)
                    continue
                action = _FORM.search(answer.text)
                assert action is not None, f"{answer.status_code}: {answer.text[:2000]}"
                is_login = 'name="login"' in answer.text
                form = (
                    {"prompt": "login", "login": person, "password": "x"}
                    if is_login
                    else {"prompt": "consent"}
                )
                answer = browser.post(urljoin(str(answer.url), html.unescape(action[1])), data=form)
        raise AssertionError("the browser came nowhere")

    def tools(self, *, more: str = "") -> str:
        """Answer a tools.yaml whose one connector is this server's own user information."""
        return f"""\
linkspan: 1
name: oidc
instructions: Who is signed in. Start with get_user.
connectors:
  oidc:
    title: Identity
    base_url: {self.url}
    auth:
      - type: oauth2
        authorize_url: {self.url}/auth
        token_url: {self.url}/token
        revoke_url: {self.url}/token/revocation
        scopes: [openid, email, offline_access]
        authorize_params: {{prompt: consent}}
        issuer: {self.url}
        client: {{id: {CLIENT}, secret: {SECRET}}}
    verify: {{request: GET /me, id: sub, label: email}}
{more}entities:
  user:
    model: user
    sources:
      oidc:
        identity: "{{id}}"
        fields: {{id: sub}}
        operations:
          list: {{description: List the user who is signed in., request: GET /me, items: "[@]"}}
"""


@contextlib.contextmanager
def oidc(folder: Path, *redirect_uris: str, lifetime: int = 5) -> Iterator[Oidc]:
    """Run the server until the block ends. `lifetime` is how many seconds an access token is good for."""
    module = installed("oidc-provider/lib/index.js")
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"

    def ready() -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{url}/counts").is_success
        return False

    command: list[Any] = [NODE, SCRIPT, module, str(port), str(lifetime), *redirect_uris]
    with running(command, log=folder / "oidc.log", ready=ready):
        yield Oidc(url)
