"""The failing proxy."""

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.servers.faults import Fault, FaultyProxy
from tests.servers.serving import serving


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    shown = {
        "url": str(request.url.replace(path=request.scope["raw_path"].decode())),
        "origin": request.headers.get("origin"),
        "body": str(await request.body()),
    }
    await JSONResponse(shown)(scope, receive, send)


def test_a_request_without_a_fault_reaches_the_target_as_if_sent_there() -> None:
    """The target sees its own origin, the client the proxy's, in headers and in links."""
    with serving(echo) as target, serving(proxy := FaultyProxy(target)) as url:
        answer = httpx2.post(f"{url}/a%2Fx?b=%2F", content=b"c", headers={"origin": url}).json()
    assert answer == {"url": f"{url}/a%2Fx?b=%2F", "origin": url, "body": "b'c'"}
    assert [(request.method, request.path) for request in proxy.received] == [("POST", "/a%2Fx")]


def test_a_fault_is_answered_as_often_as_it_was_asked_for() -> None:
    """Two faults, then the target again."""
    with serving(echo) as target, serving(proxy := FaultyProxy(target)) as url:
        proxy.fail(Fault(429, {"Retry-After": "1"}, "slow down"), times=2)
        answers = [httpx2.get(url) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "1"
    assert answers[0].text == "slow down"


def test_a_held_request_tells_when_its_client_went_away() -> None:
    """What a cancellation has to reach."""
    with serving(echo) as target, serving(proxy := FaultyProxy(target)) as url:
        proxy.fail(Fault(hold=True))
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.get(url, timeout=0.2)
        assert proxy.aborted.wait(5)
    assert proxy.held_for is not None
    assert proxy.held_for < 5
