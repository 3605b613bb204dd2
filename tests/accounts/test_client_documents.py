"""Client-id metadata documents (statement 24 of the security checklist)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from linkspan.accounts.client_documents import MOST_BYTES, MOST_KEPT, ClientDocuments, document_host
from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.errors import TooLarge
from linkspan.net import messages
from linkspan.net.egress import EgressGuard
from linkspan.net.transport import AiohttpTransport
from tests.accounts.conftest import Clock
from tests.fakes.asgi import AsgiTransport

URL = "https://app.example/oauth/client.json"


class Site:
    """A host that answers every path with the document of that path, unless it is told otherwise."""

    def __init__(self) -> None:
        self.changes: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.answer: Response | None = None
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        request = Request(scope)
        document = {
            "client_id": str(request.url),
            "client_name": "An App",
            "redirect_uris": ["http://127.0.0.1/callback", "https://app.example/cb"],
            **self.changes,
        }
        answer = self.answer or JSONResponse(document, headers=self.headers)
        await answer(scope, receive, send)


@pytest.fixture
def site() -> Site:
    """The host of the client."""
    return Site()


@pytest.fixture
def documents(site: Site, clock: Clock) -> ClientDocuments:
    """Documents from anywhere."""
    return ClientDocuments(AsgiTransport(site), clock=clock)


async def refusal(documents: ClientDocuments, url: str = URL) -> str:
    with pytest.raises(OAuthRefused) as told:
        await documents.fetch(url)
    assert told.value.error == "invalid_client"
    return told.value.message


async def test_24_a_client_is_what_its_document_says(documents: ClientDocuments) -> None:
    """Its name and its redirect URIs."""
    found = await documents.fetch(URL)
    assert (found.name, found.redirect_uris) == (
        "An App",
        ("http://127.0.0.1/callback", "https://app.example/cb"),
    )


@pytest.mark.parametrize(
    "client_id",
    [
        "http://app.example/client.json",
        "https://app.example",
        "https://app.example/",
        "https://app.example/client.json#x",
        "https://app.example/client.json?x=1",
        "https://user@app.example/client.json",
        "https://user:pw@app.example/client.json",
        "https://127.0.0.1/client.json",
        "https://[::1]/client.json",
        "https://2130706433/client.json",
        "https://0x7f.0.0.1/client.json",
        "https://localhost/client.json",
        "https://app.example/../client.json",
        "https://app.example/a/./client.json",
        "https://app.example/%2e%2e/client.json",
        "https://app.example/client json",
        "https://app.example\\@evil.example/client.json",
        "https://App.example/client.json",
        "https://app.example/\r\nx",
        "client_abcdefabcdef",
        f"https://app.example/{'x' * 1000}",
    ],
)
async def test_24_other_client_ids_are_not_fetched(
    client_id: str, documents: ClientDocuments, site: Site
) -> None:
    """Only https and a public name, with a path and nothing else in it."""
    assert document_host(client_id) is None
    await refusal(documents, client_id)
    assert site.asked == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_id": "https://app.example/other.json"}, "another client id"),
        ({"client_id": None}, "another client id"),
        ({"client_secret": "x"}, "not a public one"),
        ({"token_endpoint_auth_method": "client_secret_post"}, "not a public one"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "not a public one"),
        ({"redirect_uris": []}, "redirect_uris"),
        ({"redirect_uris": "https://app.example/cb"}, "redirect_uris"),
        ({"redirect_uris": [7]}, "redirect URI"),
        ({"redirect_uris": ["javascript:alert(1)"]}, "redirect URI"),
        ({"redirect_uris": ["https://app.example/cb"] * 21}, "redirect_uris"),
    ],
)
async def test_24_a_document_that_does_not_fit_is_refused(
    changes: dict[str, Any], words: str, documents: ClientDocuments, site: Site
) -> None:
    """With the reason, as an invalid client and never as a fault of ours."""
    site.changes = changes
    assert words in await refusal(documents)


@pytest.mark.parametrize(
    "answer",
    [
        Response("{}", media_type="text/html"),
        Response("not json", media_type="application/json"),
        Response("[]", media_type="application/json"),
        Response("[" * 4000, media_type="application/json"),
        Response(b"\xff\xfe", media_type="application/json"),
        Response(status_code=302, headers={"location": "https://elsewhere.example/"}),
        Response(status_code=404),
        Response(status_code=500),
    ],
)
async def test_24_no_other_answer_is_a_document(
    answer: Response, documents: ClientDocuments, site: Site
) -> None:
    """No redirect is followed, no page is read as JSON, nothing becomes an error of ours."""
    site.answer = answer
    await refusal(documents)
    assert site.asked == 1


class Limits:
    """A transport that keeps the limits it was asked to hold, and holds them as the real one does."""

    def __init__(self) -> None:
        self.limits: list[tuple[float, int]] = []

    async def exchange(
        self, request: messages.Request, *, timeout: float, max_bytes: int
    ) -> messages.Response:
        self.limits.append((timeout, max_bytes))
        raise TooLarge("The answer is too large")

    async def aclose(self) -> None: ...


async def test_24_size_and_time_are_limited(clock: Clock) -> None:
    """5 kB in 5 seconds."""
    transport = Limits()
    await refusal(ClientDocuments(transport, clock=clock))
    assert transport.limits == [(5.0, MOST_BYTES)]
    assert MOST_BYTES == 5 * 1024


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "fd00::1"])
async def test_24_a_name_that_leads_inside_is_not_dialled(address: str, clock: Clock) -> None:
    """The egress guard looks at the address that is dialled; why it failed is not told."""

    async def resolver(_host: str, _port: int) -> Sequence[str]:
        return [address]

    transport = AiohttpTransport(EgressGuard(resolver=resolver))
    try:
        told = await refusal(ClientDocuments(transport, clock=clock))
    finally:
        await transport.aclose()
    assert address not in told


async def test_24_only_named_hosts_where_the_operator_named_some(site: Site, clock: Clock) -> None:
    """A list of hosts is a list of hosts, not of endings."""
    documents = ClientDocuments(AsgiTransport(site), clock=clock, hosts=["app.example"])
    assert (await documents.fetch(URL)).name == "An App"
    await refusal(documents, "https://evil-app.example/c.json")
    await refusal(documents, "https://sub.app.example/c.json")
    assert site.asked == 1


@pytest.mark.parametrize(
    ("control", "kept"),
    [
        (None, 3_600),
        ("max-age=60", 60),
        ("public, max-age=600", 600),
        ("max-age=99999999", 86_400),
        ("no-store", 0),
        ("no-cache, max-age=60", 0),
    ],
)
async def test_24_a_document_is_kept_as_its_headers_say_within_bounds(
    control: str | None, kept: int, documents: ClientDocuments, site: Site, clock: Clock
) -> None:
    """Not longer than a day, and not at all where it says so."""
    site.headers = {"cache-control": control} if control else {}
    await documents.fetch(URL)
    if kept:
        clock.now += kept - 1
        await documents.fetch(URL)
        assert site.asked == 1
        clock.now += 1
    await documents.fetch(URL)
    assert site.asked == 2


async def test_24_a_failure_is_remembered_for_a_moment(
    documents: ClientDocuments, site: Site, clock: Clock
) -> None:
    """Nobody makes us ask a host again and again; and a host that was mended is asked again soon."""
    site.answer = Response(status_code=500)
    await refusal(documents)
    await refusal(documents)
    assert site.asked == 1
    site.answer = None
    clock.now += 30
    assert (await documents.fetch(URL)).name == "An App"


async def test_24_only_so_many_documents_are_kept(documents: ClientDocuments, site: Site) -> None:
    """The one that was fetched first goes first."""
    for number in range(MOST_KEPT + 1):
        await documents.fetch(f"https://app.example/{number}.json")
    await documents.fetch(f"https://app.example/{MOST_KEPT}.json")
    assert site.asked == MOST_KEPT + 1
    await documents.fetch("https://app.example/0.json")
    assert site.asked == MOST_KEPT + 2


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("An\n\tApp", "An App"),
        ("Codex\u202e\u200b", "Codex"),
        ("x" * 200, "x" * 79 + "…"),
        ("", "app.example"),
        (None, "app.example"),
        (["Codex"], "app.example"),
    ],
)
async def test_23_a_clients_name_is_one_plain_line(
    name: object, shown: str, documents: ClientDocuments, site: Site
) -> None:
    """It stands on the consent page: nothing that turns, hides or breaks the line."""
    site.changes = {"client_name": name}
    assert (await documents.fetch(URL)).name == shown
