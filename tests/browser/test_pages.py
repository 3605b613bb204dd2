"""The pages of signing in, and the demo's: how they look, and what they let happen."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.browser.linking import sign_in
from tests.servers.browser import Person, focused, look, tab_to
from tests.servers.linkspan import PROGRAM, Linkspan
from tests.servers.node import ROOT
from tests.servers.oidc import CLIENT, SECRET, oidc
from tests.servers.serving import LOOPBACK, alone, free_port, running, serving

pytestmark = pytest.mark.e2e

CODEX: Final = "https://chatgpt.com/oauth/codex/client.json"
CHALLENGE: Final = base64.urlsafe_b64encode(hashlib.sha256(b"v" * 43).digest()).rstrip(b"=").decode()
REFUSED: Final = r"console error: Failed to load resource: the server responded with a status of 40\d"
"""The browser's own line about a page that is an error."""


@dataclass(frozen=True)
class Place:
    """Linkspan as it serves, and a program on this machine that waits for its answer."""

    linkspan: Linkspan
    url: str
    program: str

    @property
    def tenant(self) -> str:
        """Where everything of the tenant begins."""
        return f"{self.url}/t/acme"

    def invitation(self, name: str = "anna") -> str:
        """The link that the person is given."""
        printed = self.linkspan.run("person", "invite", name, "--tenant", "acme", "--json")
        link = urlsplit(str(json.loads(printed)["link"]))
        return f"{self.url}{link.path}#{link.fragment}"

    def question(self, **changes: str) -> str:
        """The address that Codex opens to sign in."""
        asked = {
            "response_type": "code",
            "client_id": CODEX,
            "state": "a state",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "redirect_uri": f"{self.program}/callback",
            "scope": "read write offline_access",
            "resource": f"{self.tenant}/mcp",
            **changes,
        }
        return f"{self.tenant}/oauth/authorize?{urlencode(asked)}"


async def _callback(_request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>Back in Codex</title><link rel=icon href=data:,>")


@pytest.fixture(scope="module")
def program() -> Iterator[str]:
    """What Codex listens with for the answer to a sign-in."""
    with serving(Starlette(routes=[Route("/callback", _callback)])) as url:
        yield url


@pytest.fixture(scope="module")
def place(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """People sign in with invitations."""
    folder = tmp_path_factory.mktemp("place")
    linkspan = Linkspan(folder / "home", ROOT / "tests" / "fakes" / "tracker.yaml")
    linkspan.add_tenant("acme")
    with linkspan.serve(log=folder / "linkspan.log") as url:
        yield Place(linkspan, url, program)


def test_somebody_signs_in_and_says_yes_with_the_keyboard_alone(anna: Person, place: Place) -> None:
    """From the invitation to the list of what acts for her, and out again."""
    link = place.invitation()
    page = anna.open(link)
    assert link.partition("#")[2] not in page.url
    assert focused(page) == "Sign in"
    look(page, "sign-in-invitation")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{place.tenant}/sign-in")
    look(page, "home-empty")

    page.goto(place.question())
    look(page, "consent")
    tab_to(page, "Everything above")
    page.keyboard.press("ArrowDown")
    tab_to(page, "Allow")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{place.program}/callback?**")
    answer = parse_qs(urlsplit(page.url).query)
    assert set(answer) == {"code", "state", "iss"}

    page.goto(f"{place.tenant}/sign-in")
    tab_to(page, "Sign this browser out")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{place.tenant}/sign-in")
    look(page, "sign-in")


def test_what_acts_for_somebody_is_shown_and_ended(anna: Person, place: Place) -> None:
    """The list has a button for each program, whose name tells which one it ends."""
    page = anna.open(place.invitation())
    page.keyboard.press("Enter")
    page.wait_for_url(f"{place.tenant}/sign-in")
    page.goto(place.question())
    page.get_by_role("button", name="Allow", exact=True).click()
    page.wait_for_url(f"{place.program}/callback?**")
    code = parse_qs(urlsplit(page.url).query)["code"][0]
    form: dict[str, str | float | bool] = {
        "grant_type": "authorization_code",
        "client_id": CODEX,
        "code": code,
        "code_verifier": "v" * 43,
        "redirect_uri": f"{place.program}/callback",
        "resource": f"{place.tenant}/mcp",
    }
    assert page.request.post(f"{place.tenant}/oauth/token", form=form).ok
    page.goto(f"{place.tenant}/sign-in")
    look(page, "home")
    page.get_by_role("button", name=re.compile("End what .* may do")).click()
    page.get_by_text("Nothing yet.").wait_for()


def test_somebody_says_no(anna: Person, place: Place) -> None:
    """The program is told, and nothing else happens."""
    page = anna.open(place.invitation())
    page.keyboard.press("Enter")
    page.wait_for_url(f"{place.tenant}/sign-in")
    page.goto(place.question())
    tab_to(page, "Do not allow")
    page.keyboard.press("Space")
    page.wait_for_url(f"{place.program}/callback?error=access_denied**")


def test_a_program_asks_before_anybody_signed_in(anna: Person, place: Place) -> None:
    """The page says what asks; an invitation that is none is refused on it, and a good one leads on."""
    page = anna.open(place.question())
    look(page, "sign-in-for-codex")
    anna.watch.expect(REFUSED)
    page.keyboard.type("https://linkspan.example/t/acme/invitation#lsk_invite_no")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    look(page, "sign-in-refused")
    page.get_by_label("Invitation link").fill(place.invitation())
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="act for you?").wait_for()


@pytest.mark.parametrize(
    ("name", "changes"),
    [("unknown-address", {"redirect_uri": "https://elsewhere.example/cb"}), ("no-client", {"client_id": ""})],
)
def test_a_question_that_cannot_be_asked(
    name: str, changes: dict[str, str], anna: Person, place: Place
) -> None:
    """It is told on a page that leads nowhere."""
    page = anna.open(place.invitation())
    page.keyboard.press("Enter")
    page.wait_for_url(f"{place.tenant}/sign-in")
    anna.watch.expect(REFUSED)
    page.goto(place.question(**changes))
    look(page, f"refused-{name}")


def test_somebody_signs_in_at_an_identity_provider(anna: Person, tmp_path: Path) -> None:
    """The page says where before one is sent there; and back one is who it says, also at the console."""
    port = free_port()
    here = f"http://{LOOPBACK}:{port}"
    callbacks = (f"{here}/sign-in/callback", f"{here}/console/sign-in/callback")
    with oidc(tmp_path, *callbacks) as provider:
        extra = {
            "LINKSPAN_CONSOLE_PEOPLE": "bo@acme.example=viewer:acme",
            "LINKSPAN_OIDC_ISSUER": provider.url,
            "LINKSPAN_OIDC_CLIENT_ID": CLIENT,
            "LINKSPAN_OIDC_CLIENT_SECRET": SECRET,
        }
        linkspan = Linkspan(tmp_path / "home", ROOT / "tests" / "fakes" / "tracker.yaml", extra)
        linkspan.add_tenant("acme")
        linkspan.run("person", "invite", "bo", "--subject", "bo", "--tenant", "acme")
        with linkspan.serve(log=tmp_path / "linkspan.log", port=port) as url:
            page = anna.open(f"{url}/t/acme/sign-in")
            look(page, "sign-in-provider")
            tab_to(page, "Sign in at")
            page.keyboard.press("Enter")
            sign_in(anna, provider, page)
            page.wait_for_url(f"{url}/t/acme/sign-in")
            page.get_by_role("heading", name="You are signed in").wait_for()
            page.goto(f"{url}/console")
            look(page, "console-sign-in-provider")
            page.get_by_role("link", name="Sign in at").click()
            page.wait_for_url(f"{url}/console")
            page.get_by_text("bo@acme.example").wait_for()


def test_the_page_of_the_demo(anna: Person, tmp_path: Path) -> None:
    """What to paste can be read on every screen, a command as one command."""
    log = tmp_path / "demo.log"
    environment = Linkspan(tmp_path / "home", None).environment
    with (
        alone("demo"),
        running(
            [PROGRAM, "demo"],
            log=log,
            env=environment,
            cwd=ROOT,
            ready=lambda: "Ctrl+C ends it" in log.read_text(),
            seconds=60,
        ),
    ):
        found = re.search(rf"http://{LOOPBACK}:\d+(?=   \(this page)", log.read_text())
        assert found is not None
        page = anna.open(found[0])
        look(page, "demo")
        tab_to(page, "Open the desk")
