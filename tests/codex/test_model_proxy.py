"""Codex's way to its model: our token in, the tenant's key out, everything counted."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import AsyncIterator

import httpx2
import pytest

from linkspan.codex import model_proxy
from linkspan.codex.model_proxy import _read
from linkspan.store import usage
from linkspan.store.audit import AuditFilter, find
from tests.codex.conftest import ACME, KEY, Bridge, begin
from tests.servers.scripted_model import Answer, Failed, Refusal, message

pytestmark = pytest.mark.slow


async def test_the_tenants_key_goes_out_and_the_runs_token_does_not(bridge: Bridge) -> None:
    """With what the account is linked with; nothing of our caller's own that is not Codex's."""
    bridge.script(
        Answer([message("Hi")], headers={"x-ratelimit-remaining-requests": "9", "set-cookie": "a=b"})
    )
    answer = await bridge.answer()
    assert answer.status_code == 200
    (request,) = bridge.model.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["openai-project"] == "proj_1"
    assert "x-codex-turn-metadata" in request.headers
    assert bridge.token not in str(request.headers)
    assert not {"cookie", "x-forwarded-for", "openai-organization"} & set(request.headers)
    assert answer.headers["x-ratelimit-remaining-requests"] == "9"
    assert "set-cookie" not in answer.headers
    assert '"delta": "Hi"' in answer.text


async def test_words_come_as_they_are_said(bridge: Bridge) -> None:
    """Nothing waits for the end of the answer."""
    said: list[str] = []
    bridge.script(Answer([message("First.")], until=lambda: bool(said)))
    async with bridge.ask() as answer:
        async for line in answer.aiter_lines():
            if "First." in line and not said:
                said.append(line)
        assert '"response.completed"' in line or line == ""
    assert said


async def test_who_hangs_up_ends_the_models_answer(bridge: Bridge) -> None:
    """At once: nobody pays for words that nobody reads."""
    bridge.script(Answer([message("First.")], until=lambda: False))
    async with bridge.ask() as answer:
        async for line in answer.aiter_lines():
            if "First." in line:
                break
    assert await asyncio.to_thread(bridge.model.aborted.wait, 3)
    await bridge.app.audit.flush()
    rows = await find(bridge.app.database, ACME, AuditFilter(tool="call_model"))
    assert [entry.row.outcome for entry in rows] == ["cancelled"]


async def test_what_was_used_is_counted_before_codex_asks_again(bridge: Bridge) -> None:
    """For the run, and for the tenant by model; and an audit row says that it was asked."""
    bridge.script(Answer([message("x" * 5000)], input_tokens=300, cached_tokens=100, output_tokens=20))
    async with bridge.ask() as answer:
        async for line in answer.aiter_lines():
            if '"response.completed"' in line and line.startswith("data:"):
                assert (await bridge.now()).total_tokens == 320
    (used,) = await usage.by_recipe_and_model(bridge.app.database, ACME, 0)
    assert (used.calls, used.input_tokens, used.cached_input_tokens, used.output_tokens) == (1, 300, 100, 20)
    assert used.model == "gpt-test"
    await bridge.app.audit.flush()
    (row,) = [entry.row for entry in await find(bridge.app.database, ACME, AuditFilter(tool="call_model"))]
    assert (row.principal_kind, row.principal_subject, row.outcome) == ("run", bridge.run.id, "ok")
    assert row.account == (await bridge.account()).id


async def test_a_budget_that_is_spent_ends_it(bridge: Bridge) -> None:
    """The model is not asked any more; Codex is told in words, in the way that it does not try again."""
    bridge.script(Answer([message("much")], input_tokens=990, output_tokens=10), [message("never")])
    assert (await bridge.answer()).status_code == 200
    refused = await bridge.answer()
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["code"] == "quota_exceeded"
    assert error["message"] == "The budget of 1,000 tokens for this run is spent."
    assert error["linkspan"] == {"retryable": False}
    assert len(bridge.model.requests) == 1


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("exact", "This run asks the model gpt-test and no other, not gpt-9."),
        ("dear", "The model gpt-9 has no price, and this run is bound by a budget of money."),
    ],
)
async def test_a_model_that_the_run_may_not_ask(bridge: Bridge, recipe: str, told: str) -> None:
    """Another one than the recipe's, or one whose cost nobody could count: nobody is asked."""
    _run, pair = await begin(bridge.app, key=recipe, recipe=recipe)
    token = pair.model.reveal()
    bridge.script([message("never")], [message("never")])
    refused = await bridge.answer(token=token, model="gpt-9")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "forbidden")
    assert refused.json()["error"]["message"].startswith(told)
    assert bridge.model.requests == ()
    assert (await bridge.answer(token=token)).status_code == 200
    assert (await bridge.answer(model="gpt-9")).status_code == 200


@pytest.mark.parametrize(
    ("body", "packed"),
    [
        (b'{"model": "gpt-test", "model": "gpt-9"}', None),
        (b'{"input": []}', None),
        (b'{"model": 5}', None),
        (b"nothing", None),
        (b'{"model": "gpt-test"}', "zstd"),
    ],
)
async def test_a_request_says_plainly_which_model_it_asks(
    bridge: Bridge, body: bytes, packed: str | None
) -> None:
    """Or two readers of it could read two models."""
    headers = {"Authorization": f"Bearer {bridge.token}", **({"content-encoding": packed} if packed else {})}
    refused = await bridge.http.post(f"{bridge.url}/codex/v1/responses", content=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_argument")
    assert bridge.model.requests == ()


async def test_what_a_conversation_takes_of_memory_is_bounded(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is larger is refused before it is all here; the rest costs thrice its size while it is read."""
    size = 8 * 2**20
    asked = json.dumps({"model": "gpt-test", "input": "x" * size}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(asked), 65_536):
            yield asked[at : at + 65_536]

    tracemalloc.start()
    try:
        body, model = await _read({}, chunks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (body, model) == (asked, "gpt-test")
    assert peak < 3.2 * size
    monkeypatch.setattr(model_proxy, "LONGEST_REQUEST", 2**20)
    headers = {"Authorization": f"Bearer {bridge.token}"}
    refused = await bridge.http.post(f"{bridge.url}/codex/v1/responses", content=asked, headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "too_large")
    assert "larger than the 1 MB" in refused.json()["error"]["message"]
    assert bridge.model.requests == ()


async def test_a_revoked_token_is_over_with_the_next_call(bridge: Bridge) -> None:
    """As is one that never was, and the run's other token."""
    bridge.script([message("one")], [message("never")])
    assert (await bridge.answer()).status_code == 200
    await bridge.app.run_tokens.revoke(bridge.run)
    for token in (bridge.token, "nothing", "sk-something", "lsk_run_abcdefabcdef_" + "a" * 43):
        refused = await bridge.answer(token=token)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert refused.json()["error"]["code"] == "unauthenticated"
    assert len(bridge.model.requests) == 1


async def test_a_token_that_is_revoked_in_the_middle_cuts_the_answer(bridge: Bridge) -> None:
    """Within a second or two of words, and nobody takes what came for the whole."""
    began = time.monotonic()

    def slowly() -> bool:
        return time.monotonic() > began + 2.5

    bridge.script(Answer([message("First."), message("Second."), message("Third.")], until=slowly))
    seen = ""
    with pytest.raises(httpx2.RemoteProtocolError):
        async with bridge.ask() as answer:
            async for line in answer.aiter_lines():
                seen += line
                if "First." in line:
                    await bridge.app.run_tokens.revoke(bridge.run)
    assert "First." in seen
    assert "response.completed" not in seen


async def test_a_key_that_openai_refuses_stops_the_account(bridge: Bridge) -> None:
    """Codex is told what to do, and OpenAI is not asked with that key again."""
    bridge.script(Refusal(401, f"Incorrect API key provided: {KEY}."), [message("never")])
    for _ in range(2):
        refused = await bridge.answer()
        assert refused.status_code == 400
        assert refused.json()["error"]["code"] == "needs_reauth"
        assert "account link openai" in refused.json()["error"]["message"]
        assert KEY not in refused.text
    assert (await bridge.account()).state == "needs_reauth"
    assert len(bridge.model.requests) == 1


async def test_a_short_wait_is_codexs_a_long_one_is_the_runs(bridge: Bridge) -> None:
    """Retry-After is passed on, or told with its time."""
    limited = {"kind": "rate_limit_exceeded", "code": "rate_limit_exceeded"}
    bridge.script(
        Refusal(429, "slow down", headers={"retry-after": "3"}, **limited),
        Refusal(429, "slow down", headers={"retry-after": "600"}, **limited),
    )
    short = await bridge.answer()
    assert (short.status_code, short.headers["retry-after"]) == (429, "3")
    assert "slow down" in short.text
    long = await bridge.answer()
    assert (long.status_code, long.headers["retry-after"]) == (400, "600")
    error = long.json()["error"]
    assert (error["code"], error["retry_after"], error["linkspan"]["retryable"]) == (
        "rate_limited",
        600,
        True,
    )
    assert error["message"] == "OpenAI refuses more calls for 10 minutes. Try the run again then."


@pytest.mark.parametrize(
    ("reset", "status", "code"), [("45s", 429, "rate_limit_exceeded"), ("10m0s", 400, "rate_limited")]
)
async def test_a_wait_that_is_foreseen_is_told_as_one_that_was_refused(
    bridge: Bridge, reset: str, status: int, code: str
) -> None:
    """OpenAI is not asked before: Codex waits for up to a minute, and for more the run comes back."""
    none_left = {
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": reset,
    }
    bridge.script(Answer([message("Hi")], headers=none_left), Answer([message("never")]))
    assert (await bridge.answer()).status_code == 200
    refused = await bridge.answer()
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (status, code)
    seconds = 45 if reset == "45s" else 600
    assert seconds - 20 <= int(refused.headers["retry-after"]) <= seconds + 1
    assert "allows no more calls for this account for now. Try again in" in error["message"]
    assert len(bridge.model.requests) == 1


async def test_an_account_without_quota_is_told(bridge: Bridge) -> None:
    """Waiting would not help, and whoever has paid is not held back by it."""
    wait = {"retry-after": "45", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "45s"}
    words = ("insufficient_quota", "insufficient_quota")
    bridge.script(Refusal(429, "You exceeded your quota", *words, headers=wait), Answer([message("Hi")]))
    refused = await bridge.answer()
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "quota_exceeded"
    assert "plan and billing" in refused.json()["error"]["message"]
    assert (await bridge.answer()).status_code == 200


@pytest.mark.parametrize("status", [400, 404, 500, 503])
async def test_other_answers_pass_as_they_are(bridge: Bridge, status: int) -> None:
    """Codex knows what to make of them."""
    bridge.script(Refusal(status, "as it is"))
    answer = await bridge.answer()
    assert answer.status_code == status
    assert answer.json()["error"]["message"] == "as it is"


async def test_a_failed_stream_passes_as_it_is(bridge: Bridge) -> None:
    """And costs nothing."""
    bridge.script(Failed("server_is_overloaded", "no capacity"))
    answer = await bridge.answer()
    assert "no capacity" in answer.text
    assert (await bridge.now()).total_tokens == 0


async def test_without_an_account_it_is_said_what_to_do(bridge: Bridge) -> None:
    """The tenant has unlinked it in the middle of a run."""
    await bridge.app.accounts.unlink(ACME, (await bridge.account()).id)
    refused = await bridge.answer()
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "not_linked")
    assert "account link openai" in refused.json()["error"]["message"]


async def test_models_are_listed_for_a_run_only(bridge: Bridge) -> None:
    """Codex asks for them as it starts."""
    url = f"{bridge.url}/codex/v1/models?client_version=1"
    listed = await bridge.http.get(url, headers={"Authorization": f"Bearer {bridge.token}"})
    assert (listed.status_code, listed.json()["object"]) == (200, "list")
    assert (await bridge.http.get(url)).status_code == 401


async def test_no_other_door_is_there(bridge: Bridge) -> None:
    """In the shape that every error has."""
    refused = await bridge.http.get(f"{bridge.url}/codex/v1/files")
    assert refused.status_code == 404
    assert json.loads(refused.text)["error"]["code"] == "not_found"
