"""The policy over the transport: what is repeated, how long is waited, which redirect is followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from linkspan.errors import LinkspanError, NeedsReauth, RateLimited, TooLarge, UpstreamError, UpstreamTimeout
from linkspan.net.client import MAX_ATTEMPTS, UNTOLD_WAIT, Client, LimitRule, Reply
from linkspan.net.limits import RateLimit
from linkspan.net.messages import ConnectionFailed, Request, Response
from linkspan.net.transport import AiohttpTransport
from tests.net.conftest import Clock, Servers
from tests.net.test_transport import free_port, read_head

Answer = Callable[[web.BaseRequest], web.Response]


class Product:
    """A product that answers each request with the next of its answers, and the last one from then on."""

    def __init__(self, *answers: web.Response | Answer) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.asked.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        return answer(request) if callable(answer) else answer


def status(code: int, text: str = "", /, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: web.Response(status=code, text=text, headers=named)


@pytest.fixture
async def client(transport: AiohttpTransport, clock: Clock) -> AsyncIterator[Client]:
    """A client whose waits pass at once, spread by nothing."""
    yield Client(transport, clock=clock, sleep=clock.sleep, jitter=lambda: 1.0)


async def send(
    client: Client,
    origin: str,
    path: str = "/x?key=hunter2",
    *,
    method: str = "GET",
    repeatable: bool | None = None,
    body: bytes | None = None,
    **options: Any,
) -> Reply:
    request = Request(method, origin + path, {"Authorization": "Bearer hunter2", "X-Other": "1"}, body)
    options.setdefault("origins", (origin,))
    options.setdefault("sensitive_headers", ("authorization",))
    return await client.send(
        request, repeatable=method != "POST" if repeatable is None else repeatable, **options
    )


async def test_answers_come_back_with_their_limit(servers: Servers, client: Client, clock: Clock) -> None:
    """A good answer takes one request, no wait, and brings what it said about the vendor's limit."""
    product = Product(status(200, "ok", x_ratelimit_limit="60", x_ratelimit_remaining="59"))
    reply = await send(client, await servers.http(product))
    assert (reply.response.status, reply.response.body) == (200, b"ok")
    assert reply.rate_limit == RateLimit(limit=60, remaining=59)
    assert (len(product.asked), clock.slept) == (1, [])


@pytest.mark.parametrize("code", [201, 204, 300, 304, 400, 401, 403, 404, 409, 412, 422, 500, 501])
async def test_every_status_is_an_answer(servers: Servers, client: Client, code: int) -> None:
    """What a product says is handed up at once; a wrong credential above all is not tried again."""
    product = Product(status(code))
    assert (await send(client, await servers.http(product))).response.status == code
    assert len(product.asked) == 1


async def test_foreign_origin_gets_nothing(servers: Servers, client: Client) -> None:
    """A request to an origin that the account was not linked for is not sent."""
    product = Product(status(200))
    origin = await servers.http(product)
    with pytest.raises(NeedsReauth, match="not linked for"):
        await send(client, origin, origins=("https://desk.example:443",))
    assert not product.asked


@pytest.mark.parametrize("code", [502, 503, 504])
async def test_unavailable_is_tried_again(servers: Servers, client: Client, clock: Clock, code: int) -> None:
    """What may be repeated is, when the product is away for a moment."""
    product = Product(status(code), status(code), status(200, "back"))
    reply = await send(client, await servers.http(product), body=b"same", method="PUT")
    assert reply.response.body == b"back"
    assert [(asked[0], asked[3]) for asked in product.asked] == [("PUT", b"same")] * 3
    assert 0 < sum(clock.slept) < 2


@pytest.mark.parametrize("code", [502, 503, 504])
async def test_write_is_not_repeated_when_it_may_be_done(servers: Servers, client: Client, code: int) -> None:
    """A write that may have been done is sent once, whatever the status."""
    product = Product(status(code, retry_after="1"), status(200))
    reply = await send(client, await servers.http(product), method="POST")
    assert (reply.response.status, len(product.asked)) == (code, 1)


async def test_unavailable_for_good_is_an_answer(servers: Servers, client: Client) -> None:
    """After three attempts the last answer stands."""
    product = Product(status(503, "maintenance"))
    reply = await send(client, await servers.http(product))
    assert (reply.response.status, reply.response.body) == (503, b"maintenance")
    assert len(product.asked) == MAX_ATTEMPTS


async def test_unavailable_says_when_to_come_back(servers: Servers, client: Client, clock: Clock) -> None:
    """A 503 with Retry-After inside the budget is waited for, a longer one is not."""
    product = Product(status(503, retry_after="7"), status(200))
    assert (await send(client, await servers.http(product))).response.status == 200
    assert clock.slept == [7.0]
    product = Product(status(503, retry_after="3600"))
    assert (await send(client, await servers.http(product))).response.status == 503
    assert len(product.asked) == 1


async def test_refused_connection_is_tried_again_even_for_writes(
    servers: Servers, client: Client, clock: Clock
) -> None:
    """Where nothing was sent everything may be repeated, and after three attempts it is told."""
    with pytest.raises(ConnectionFailed, match="refused") as caught:
        await send(client, f"http://127.0.0.1:{free_port()}", method="POST")
    assert len(clock.slept) == MAX_ATTEMPTS - 1
    assert "hunter2" not in caught.value.for_model()
    assert "not known" not in caught.value.for_model()


@pytest.mark.parametrize(("repeatable", "times"), [(True, MAX_ATTEMPTS), (False, 1)])
async def test_lost_connection(servers: Servers, client: Client, repeatable: bool, times: int) -> None:
    """A lost connection repeats only what may be; otherwise the unknown outcome is told."""
    asked: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_head(reader))
        writer.close()

    with pytest.raises(ConnectionFailed) as caught:
        await send(client, await servers.raw(handler), method="POST", repeatable=repeatable)
    assert len(asked) == times
    assert ("not known whether the change was made" in caught.value.for_model()) is not repeatable


async def test_kept_connection_that_was_closed_is_no_failure(servers: Servers, client: Client) -> None:
    """A read on a connection that the product has meanwhile closed is simply sent again."""
    asked: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_head(reader))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        if len(asked) == 1:
            await read_head(reader)
        writer.close()

    origin = await servers.raw(handler)
    assert (await send(client, origin)).response.body == b"ok"
    assert (await send(client, origin)).response.body == b"ok"


async def test_unreadable_answer_is_not_repeated(servers: Servers, client: Client) -> None:
    """What is no HTTP today is none in a second."""
    asked: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(1000))
        writer.write(b"hello\r\n")
        await writer.drain()
        writer.close()

    with pytest.raises(ConnectionFailed, match="could not be read"):
        await send(client, await servers.raw(handler))
    assert len(asked) == 1


@pytest.mark.parametrize("repeatable", [True, False])
async def test_time_out_is_told_and_not_repeated(servers: Servers, client: Client, repeatable: bool) -> None:
    """A product that does not answer in time is not asked again; a write's outcome is told as unknown."""
    asked: list[str] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await read_head(reader))
        await reader.read()
        writer.close()

    origin = await servers.raw(handler)
    with pytest.raises(UpstreamTimeout) as caught:
        await send(client, origin, method="POST", repeatable=repeatable, timeout=0.05)
    assert len(asked) == 1
    assert ("not known whether" in caught.value.for_model()) is not repeatable


async def test_cap(servers: Servers, transport: AiohttpTransport) -> None:
    """The client's cap is the one that the transport keeps."""
    client = Client(transport, max_bytes=10)
    with pytest.raises(TooLarge):
        await send(client, await servers.http(Product(status(200, "x" * 11))))


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_rate_limit_is_waited_for(servers: Servers, client: Client, clock: Clock, method: str) -> None:
    """A refused call was not done: even a write is sent again, after the time that was told."""
    product = Product(status(429, retry_after="2"), status(429, retry_after="0"), status(200))
    reply = await send(client, await servers.http(product), method=method, body=b"once")
    assert reply.response.status == 200
    assert [asked[3] for asked in product.asked] == [b"once"] * 3
    first, second = clock.slept
    assert 2 <= first < 2.5
    assert 0 < second < 1


async def test_long_wait_is_told(servers: Servers, client: Client, clock: Clock) -> None:
    """A wait beyond the budget is told at once: in seconds, in words, and as a time of day."""
    product = Product(status(429, "slow down", retry_after="720"))
    origin = await servers.http(product)
    with pytest.raises(RateLimited) as caught:
        await send(client, origin)
    error = caught.value
    assert (error.retry_after, error.upstream_status, clock.slept) == (720.0, 429, [])
    assert error.for_model() == (
        "Error: 127.0.0.1 refuses more calls for now. Try again in 12 minutes, at 11:18:40 UTC."
    )
    assert len(product.asked) == 1


async def test_waits_add_up(servers: Servers, client: Client, clock: Clock) -> None:
    """The budget is for all waits of a call together."""
    product = Product(status(429, retry_after="12"), status(429, retry_after="12"), status(200))
    with pytest.raises(RateLimited) as caught:
        await send(client, await servers.http(product))
    assert caught.value.retry_after == 12
    assert len(product.asked) == 2
    assert sum(clock.slept) <= 20


async def test_budget_is_the_callers(servers: Servers, client: Client) -> None:
    """A budget of nothing waits for nothing."""
    product = Product(status(429, retry_after="1"), status(200))
    with pytest.raises(RateLimited, match="refuses more calls"):
        await send(client, await servers.http(product), budget=0)


async def test_untold_wait(servers: Servers, client: Client, clock: Clock) -> None:
    """Without a time there are two short waits, and then a guess that is told as one."""
    product = Product(status(429))
    with pytest.raises(RateLimited, match="does not say for how long") as caught:
        await send(client, await servers.http(product))
    assert caught.value.retry_after == UNTOLD_WAIT
    assert "Try again in 30 seconds or later." in caught.value.for_model()
    assert len(product.asked) == MAX_ATTEMPTS
    assert 1 < sum(clock.slept) < 10


@pytest.mark.parametrize(
    "headers",
    [
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "1795002400"},
        {"retry_after": "2400"},
        {"X_RateLimit_Requests_Remaining": "0", "X_RateLimit_Requests_Reset": "1795002400000"},
    ],
)
async def test_refusal_with_403(servers: Servers, client: Client, headers: dict[str, str]) -> None:
    """A 403 with nothing remaining, or with a time, is a rate limit: GitHub's is."""
    clock_of_the_product = "Wed, 18 Nov 2026 11:06:40 GMT"
    product = Product(status(403, Date=clock_of_the_product, **headers))
    with pytest.raises(RateLimited) as caught:
        await send(client, await servers.http(product))
    assert caught.value.retry_after == 2400
    assert "Try again in 40 minutes" in caught.value.for_model()


async def test_plain_403_is_an_answer(servers: Servers, client: Client) -> None:
    """A 403 with calls remaining is about rights."""
    product = Product(status(403, x_ratelimit_remaining="4999", x_ratelimit_reset="1795002400"))
    assert (await send(client, await servers.http(product))).response.status == 403


@pytest.mark.parametrize(
    ("told", "waited"), [(3, 3.0), (3.5, 3.5), ("4s", 4.0), (None, 1.0), (True, 1.0), ("soon", 1.0)]
)
async def test_rule_of_the_connector(
    servers: Servers, client: Client, clock: Clock, told: float | str | bool | None, waited: float
) -> None:
    """A connector's own rule makes a limit of a 200, with a time of its own or without."""

    def rule(response: Response) -> float | str | bool | None:
        return told if b"RATELIMITED" in response.body else False

    product = Product(status(200, "RATELIMITED"), status(200, "data"))
    reply = await send(client, await servers.http(product), rate_limited=rule)
    assert reply.response.body == b"data"
    assert waited <= clock.slept[0] < waited + 1.5


async def test_rule_adds_to_what_is_understood(servers: Servers, client: Client, clock: Clock) -> None:
    """With a rule of the connector's 429 still is a rate limit, and other answers are none."""
    rule: LimitRule = lambda _response: False  # noqa: E731
    product = Product(status(429, retry_after="1"), status(200))
    assert (await send(client, await servers.http(product), rate_limited=rule)).response.status == 200
    assert len(clock.slept) == 1


async def test_headers_tell_the_time_of_a_rule(servers: Servers, client: Client, clock: Clock) -> None:
    """Where a rule knows no time, the headers of the answer are asked."""
    product = Product(status(200, "RATELIMITED", retry_after="5"), status(200))
    await send(client, await servers.http(product), rate_limited=lambda r: None if r.body else False)
    assert 5 <= clock.slept[0] < 6


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_redirect_inside_the_origin(servers: Servers, client: Client, code: int, method: str) -> None:
    """A read follows a redirect inside the origin, with its credential and without its query."""
    product = Product(status(code, Location="/new/../here?y=%20z#part"), status(200, "here"))
    origin = await servers.http(product)
    reply = await send(client, origin, method=method)
    assert reply.response.status == 200
    assert reply.response.url == f"{origin}/here?y=%20z"
    assert [asked[:2] for asked in product.asked] == [(method, "/x?key=hunter2"), (method, "/here?y=%20z")]
    assert product.asked[1][2]["Authorization"] == "Bearer hunter2"


async def test_redirect_to_another_linked_origin_drops_the_credential(
    servers: Servers, client: Client
) -> None:
    """Another origin that the account was linked for may be read, but not with the credential."""

    def back(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{origin}/back"})

    other = Product(back)
    there = await servers.http(other)
    product = Product(status(302, Location=f"{there}/file"), status(200))
    origin = await servers.http(product)
    reply = await send(client, origin, origins=(origin, there), sensitive_headers=("AUTHORIZATION",))
    assert reply.response.url == f"{origin}/back"
    assert "Authorization" not in other.asked[0][2]
    assert other.asked[0][2]["X-Other"] == "1"
    assert "Authorization" not in product.asked[1][2]


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example/x?secret=1",
        "//evil.example/x",
        "https://127.0.0.1/",
        "http://127.0.0.1:1/",
        "http://user@127.0.0.1/",
        "ftp://127.0.0.1/",
        "javascript:alert(1)",
        "http://[bad/",
        "\\\\evil.example",
        "http:\\\\evil.example",
    ],
)
async def test_redirect_away_is_refused(servers: Servers, client: Client, location: str) -> None:
    """A redirect out of the origin ends the call and says so; of where, only the origin is told."""
    product = Product(status(302, Location=location))
    origin = await servers.http(product)
    with pytest.raises(UpstreamError, match="redirected the request") as caught:
        await send(client, origin)
    assert caught.value.upstream_status == 302
    assert "secret" not in caught.value.for_model()
    assert "hunter2" not in caught.value.for_model()
    assert len(product.asked) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirected_write_is_refused(servers: Servers, client: Client, code: int) -> None:
    """A redirected write is neither sent on nor taken for done."""
    product = Product(status(code, Location="/elsewhere"))
    with pytest.raises(UpstreamError, match=f"redirected a PATCH.*status {code}"):
        await send(client, await servers.http(product), method="PATCH", body=b"{}")
    assert len(product.asked) == 1


async def test_redirects_end(servers: Servers, client: Client) -> None:
    """A circle of redirects is left after five."""
    product = Product(status(302, Location="/x"))
    with pytest.raises(UpstreamError, match="more than 5 times"):
        await send(client, await servers.http(product))
    assert len(product.asked) == 6


async def test_redirect_without_an_address_is_an_answer(servers: Servers, client: Client) -> None:
    """A 302 that names no place is handed up."""
    product = Product(status(302, "nowhere"))
    assert (await send(client, await servers.http(product))).response.body == b"nowhere"


async def test_cancelled_while_it_waits(servers: Servers, transport: AiohttpTransport) -> None:
    """Whoever gives up a call that waits for a limit is let go at once, and nothing more is sent."""
    waiting = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    product = Product(status(429, retry_after="5"))
    client = Client(transport, sleep=sleep)
    task = asyncio.create_task(send(client, await servers.http(product)))
    await asyncio.wait_for(waiting.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(product.asked) == 1


class Moody:
    """A transport that fails or answers as it is told, and takes its time."""

    def __init__(self, clock: Clock, moods: list[tuple[float, int | str]]) -> None:
        self.clock = clock
        self.moods = moods
        self.sent: list[float] = []

    async def exchange(self, request: Request, *, timeout: float, max_bytes: int) -> Response:
        takes, mood = self.moods[len(self.sent) % len(self.moods)]
        self.sent.append(timeout)
        self.clock.now += min(takes, timeout)
        if takes > timeout:
            raise UpstreamTimeout("too slow")
        if mood == "refused":
            raise ConnectionFailed("refused", reason="refused", sent=False)
        if mood == "lost":
            raise ConnectionFailed("lost", reason="lost", sent=True)
        assert isinstance(mood, int)
        return Response(mood, {"retry-after": str(int(takes) * 3), "location": "/y"}, b"", request.url)

    async def aclose(self) -> None:
        """There is nothing to close."""


moods = st.tuples(
    st.floats(0, 40), st.sampled_from([200, 302, 403, 404, 429, 500, 502, 503, "refused", "lost"])
)


@given(
    st.lists(moods, min_size=1, max_size=8),
    st.floats(0.1, 40),
    st.floats(0, 60),
    st.booleans(),
    st.floats(0, 1, exclude_max=True),
)
def test_no_call_takes_longer_than_it_may(
    some: list[tuple[float, int | str]], timeout: float, budget: float, repeatable: bool, jitter: float
) -> None:
    """Whatever a product does: at most three attempts, and never longer than time-out and budget together."""
    clock = Clock(now=1_000_000.0)
    moody = Moody(clock, some)
    client = Client(moody, clock=clock, sleep=clock.sleep, jitter=lambda: jitter)
    began = clock.now

    async def call() -> None:
        try:
            await client.send(
                Request("GET", "https://desk.example/x"),
                repeatable=repeatable,
                origins=("https://desk.example:443",),
                timeout=timeout,
                budget=budget,
            )
        except LinkspanError as error:
            assert error.retry_after is None or error.retry_after >= 0

    asyncio.run(call())
    assert clock.now - began <= timeout + budget + 0.01
    assert sum(clock.slept) <= budget + 1e-6
    assert len(clock.slept) < MAX_ATTEMPTS
    assert all(given <= timeout for given in moody.sent)
