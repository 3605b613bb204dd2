"""The official package openai through our proxy, with nothing changed but its base URL and its key.

The upstream is scripted (`tests/fakes/openai.py`): what is shown is that everything the package sends arrives
there as it was sent and as OpenAI's description has it, and that what is answered comes back as it was.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai.types.beta.agents import session_create_params
from openai.types.responses import response_create_params
from pydantic import TypeAdapter, with_config

from linkspan.net.messages import Request
from tests.connectors.test_contracts import described, objections
from tests.fakes.openai import KEY, ScriptedOpenAI
from tests.servers.linkspan import Linkspan
from tests.servers.serving import serving, wait_until

pytestmark = pytest.mark.e2e
SIZE = 50 * 2**20
NARROW = 24 * 2**10
"""KiB by which the server may grow while 50 MiB go through it."""
PATIENCE = 30.0


@dataclass(frozen=True)
class Office:
    """Linkspan before a scripted OpenAI."""

    url: str
    upstream: str
    token: str
    other: str
    """The token of a tenant whose key is none."""
    model: ScriptedOpenAI
    pid: int
    log: Path

    def client(self, **more: Any) -> openai.OpenAI:
        """The package as a program has it: another base URL, another key."""
        words = {"base_url": f"{self.url}/proxy/openai", "api_key": self.token, "max_retries": 0}
        return openai.OpenAI(**{**words, **more})

    def straight(self) -> openai.OpenAI:
        """The package as it asks the upstream itself."""
        return openai.OpenAI(base_url=f"{self.upstream}/v1", api_key=KEY, max_retries=0)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """All of it, once; the operator has turned the administration's paths on, for one list of them."""
    folder = tmp_path_factory.mktemp("openai")
    model = ScriptedOpenAI()
    with serving(model) as upstream:
        tools = folder / "tools.yaml"
        tools.write_text(
            "linkspan: 1\nname: x\ninstructions: Nothing is here.\nconnectors:\n"
            f"  openai: {{use: openai, base_url: '{upstream}/v1',"
            " proxy: {on: [codex, platform, administration]}}\n"
        )
        linkspan = Linkspan(folder / "home", tools)
        linkspan.add_tenant("acme")
        words = ["account", "link", "openai", "--tenant", "acme", "--secret-env", "KEY", "--json"]
        linkspan.run(*words, env={"KEY": KEY})
        linkspan.add_tenant("globex")
        words = ["account", "link", "openai", "--tenant", "globex", "--secret-env", "KEY", "--no-verify"]
        linkspan.run(*words, env={"KEY": "sk-canary-that-is-none"})
        token, other = (linkspan.create_token(tenant)[1] for tenant in ("acme", "globex"))
        with linkspan.serve(log=folder / "log") as url:
            port = int(url.rpartition(":")[2])
            yield Office(url, upstream, token, other, model, _listener(port), folder / "log")


def _listener(port: int) -> int:
    """The process that listens on a port, found by what it was started with."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"serve" in words and str(port).encode() in words:
                return int(entry.name)
    raise RuntimeError("nobody serves")


def _kib(pid: int, word: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(word)))


def test_what_the_package_sends_arrives_as_it_was_sent(office: Office) -> None:
    """Method, path, parameters and body, byte by byte; the key is the tenant's."""

    def ask(client: openai.OpenAI) -> None:
        made = client.responses.create(model="gpt-test", input="Say it", metadata={"a": "b"})
        assert made.output_text == "one two three"
        client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
        client.beta.agents.sessions.create(
            agent_id="agent_1",
            environment={"type": "none"},
            input="Fix it",
        )
        list(client.files.list(limit=2))
        list(client.conversations.items.list("conv_1", order="asc"))
        list(client.models.list())

    office.model.seen.clear()
    ask(office.straight())
    straight = list(office.model.seen)
    office.model.seen.clear()
    ask(office.client())
    through = list(office.model.seen)
    assert len(straight) == len(through) == 8
    for one, other in zip(straight, through, strict=True):
        assert (one.method, one.path, one.query, one.body) == (
            other.method,
            other.path,
            other.query,
            other.body,
        )
        assert one.headers["authorization"] == other.headers["authorization"]
        assert one.headers.get("openai-beta") == other.headers.get("openai-beta")
        assert one.headers.get("content-type", "")[:30] == other.headers.get("content-type", "")[:30]
        if not one.headers.get("content-type", "").startswith("multipart"):
            assert one.digest == other.digest
        assert one.length == other.length
        assert office.token not in json.dumps(dict(other.headers))
        assert "x-stainless-lang" not in other.headers
    assert straight[2].headers["openai-beta"] == "agents=v1"
    official = [one for one in through if not one.path.startswith("/agents")]
    assert len(official) == 7
    for one in official:
        url = f"https://api.openai.com/v1{one.path}{'?' if one.query else ''}{one.query}"
        asked = Request(one.method, url, one.headers, one.raw)
        assert not list(objections(described("openai"), asked)), one.path
    _is_as_typed(response_create_params.ResponseCreateParamsNonStreaming, through[0].body)
    _is_as_typed(session_create_params.SessionCreateParamsNonStreaming, through[2].body)


def _is_as_typed(kind: Any, body: Any) -> None:
    """What was sent has the members that the package's own types have, and no other."""
    strict = with_config({"extra": "forbid"})(kind)
    TypeAdapter(strict).validate_python(body)


def test_a_stream_is_unbroken_and_comes_at_once(office: Office) -> None:
    """Its first event is here while the upstream has said no other; its bytes are the upstream's."""
    waits = {}
    for name, client in (("straight", office.straight()), ("through", office.client())):
        office.model.go_on.clear()
        began = time.monotonic()
        with client.with_options(timeout=PATIENCE).responses.create(
            model="gpt-test", input="x", stream=True
        ) as stream:
            # Whoever held it back would wait for the next one, which does not come, and be given up.
            first = next(iter(stream))
            waits[name] = time.monotonic() - began
            assert first.type == "response.created"
            assert not office.model.go_on.is_set()
            office.model.go_on.set()
            kinds = [event.type for event in stream]
        assert kinds == ["response.output_text.delta"] * 3 + ["response.completed"]
    shown = ", ".join(f"{name} {1000 * wait:.1f} ms" for name, wait in waits.items())
    print(f"to the first event: {shown}")  # noqa: T201 - it is to be read in a run's output
    body = {"model": "gpt-test", "input": "x", "stream": True}

    def raw(url: str, key: str) -> bytes:
        return httpx2.post(
            f"{url}/responses", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE
        ).content

    assert raw(f"{office.url}/proxy/openai", office.token) == raw(f"{office.upstream}/v1", KEY)


def test_who_hangs_up_in_the_middle_ends_it_upstream(office: Office) -> None:
    """Within a second, in the best of a few tries: a machine that stands still makes one of them late."""

    def hang_up() -> float:
        office.model.go_on.clear()
        office.model.aborted.clear()
        try:
            stream = office.client().responses.create(model="gpt-test", input="x", stream=True)
            next(iter(stream))
            began = time.monotonic()
            stream.close()
            wait_until(office.model.aborted.is_set, what="the upstream's end", seconds=PATIENCE)
            return time.monotonic() - began
        finally:
            office.model.go_on.set()

    assert any(hang_up() < 1.0 for _ in range(5))


def test_what_breaks_off_upstream_breaks_off_here(office: Office) -> None:
    """Nobody takes a part for the whole, of a known length or not; the log has one line, with why."""
    key = {"Authorization": f"Bearer {office.token}"}
    url = f"{office.url}/proxy/openai"
    asked = {"model": "breaking-off", "input": "x", "stream": True}
    for number, (method, path, body) in enumerate(
        [("POST", "responses", asked), ("GET", "files/file_cut/content", None)]
    ):
        got = b""
        named = {**key, "X-Request-Id": f"broken-{number}"}
        with (
            pytest.raises(httpx2.RemoteProtocolError),
            httpx2.stream(method, f"{url}/{path}", json=body, headers=named, timeout=PATIENCE) as answer,
        ):
            assert answer.status_code == 200
            for part in answer.iter_bytes():
                got += part
        assert got.startswith(b"event: response.created" if body else b"one")
        said = [line for line in office.log.read_text().splitlines() if f"request broken-{number}: " in line]
        assert len(said) == 1
        assert "broke off: The connection to 127.0.0.1 was lost" in said[0]
    with pytest.raises(openai.APIConnectionError):
        list(office.client().responses.create(model="breaking-off", input="x", stream=True))
    log = office.log.read_text()
    assert "Traceback" not in log
    assert "without completing" not in log


def test_fifty_megabytes_take_no_memory(office: Office) -> None:
    """A file goes up as it is read, and a range of another comes down as it is."""
    client = office.client()
    client.files.create(file=("warm.jsonl", b"x" * 2**21), purpose="batch")
    before = _kib(office.pid, "VmRSS")
    Path(f"/proc/{office.pid}/clear_refs").write_text("5")  # VmHWM counts from here on
    made = client.files.create(file=("big.jsonl", io.BytesIO(b"x" * SIZE)), purpose="batch", timeout=120)
    assert made.bytes > SIZE
    assert office.model.seen[-1].length == made.bytes
    assert _kib(office.pid, "VmHWM") - before < NARROW
    part = client.files.with_raw_response.content("file_1", extra_headers={"Range": "bytes=250-259"})
    assert part.status_code == 206
    assert part.headers["content-range"] == "bytes 250-259/2048"
    assert part.content == bytes([*range(250, 256), 0, 1, 2, 3])


def test_each_shape_of_pages_goes_on(office: Office) -> None:
    """By the package as it is, and in our one shape by whoever asks for it."""
    client = office.client()
    assert [one.id for one in client.models.list()] == ["model_1", "model_2", "model_3"]
    assert [one.id for one in client.files.list()] == ["file_1", "file_2", "file_3"]
    items = list(client.conversations.items.list("conv_1"))
    assert [one.id for one in items] == ["message_1", "message_2", "message_3"]
    admin = openai.OpenAI(
        base_url=f"{office.url}/proxy/openai", api_key="x", admin_api_key=office.token, max_retries=0
    )
    groups = list(admin.admin.organization.groups.list())
    assert [one.id for one in groups] == ["group_1", "group_2", "group_3"]
    files = list(client.beta.agents.environments.files.list("env_1"))
    assert [one.path for one in files] == ["/a1", "/a2", "/a3"]
    for path in (
        *("models", "files", "conversations/conv_1/items", "organization/groups"),
        "agents/environments/env_1/files",
    ):
        found: list[Any] = []
        query = {"truto_response_format": "normalized"}
        while True:
            answer = httpx2.get(
                f"{office.url}/proxy/openai/{path}",
                params=query,
                headers={"Authorization": f"Bearer {office.token}"},
            )
            assert answer.status_code == 200, answer.text
            page = answer.json()
            found += page["result"]
            if page["next_cursor"] is None:
                break
            query["next_cursor"] = page["next_cursor"]
        assert len(found) == 3, path


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("status-400-context_length_exceeded", openai.BadRequestError, "invalid_argument"),
        ("status-403-unsupported_country", openai.PermissionDeniedError, "forbidden"),
        ("status-404-model_not_found", openai.NotFoundError, "not_found"),
        ("status-409-conflict", openai.ConflictError, "conflict"),
        ("status-422-invalid", openai.UnprocessableEntityError, "invalid_argument"),
        ("status-429-rate_limit_exceeded", openai.RateLimitError, "rate_limited"),
        ("status-429-insufficient_quota", openai.RateLimitError, "quota_exceeded"),
        ("status-500-server_error", openai.InternalServerError, "upstream_error"),
    ],
)
def test_errors_are_those_of_the_package(office: Office, model: str, error: Any, code: str) -> None:
    """With OpenAI's own code and type where the package reads them, and ours beside."""
    with pytest.raises(error) as told:
        office.client().responses.create(model=model, input="x")
    assert told.value.code == model.split("-")[2]
    assert told.value.request_id
    assert "as the test wants it" in told.value.message
    whole = told.value.response.json()
    assert (whole["code"], whole["is_remote_error"]) == (code, True)
    if whole["statusCode"] == 429:
        wait = int(told.value.response.headers["retry-after"])
        assert wait == (7 if code == "rate_limited" else 3600)


def test_a_key_that_is_refused(office: Office) -> None:
    """Ours is told as 401 by us; the account's, by OpenAI, is told apart by `is_remote_error`."""
    with pytest.raises(openai.AuthenticationError) as told:
        office.client(api_key="lsk_tenant_no").models.list()
    assert told.value.response.json()["is_remote_error"] is False
    with pytest.raises(openai.AuthenticationError) as told:
        office.client(api_key=office.other).models.list()
    assert (told.value.status_code, told.value.code) == (401, "invalid_api_key")
    whole = told.value.response.json()
    assert (whole["code"], whole["is_remote_error"]) == ("needs_reauth", True)
    assert "www-authenticate" not in told.value.response.headers


def test_limits_are_told_in_three_headers(office: Office) -> None:
    """Whatever OpenAI calls them, which is there as well."""
    answer = office.client().models.with_raw_response.list()
    assert answer.headers["ratelimit-limit"] == "500"
    assert answer.headers["ratelimit-remaining"] == "499"
    assert answer.headers["ratelimit-reset"] == "1"
    assert answer.headers["x-ratelimit-reset-requests"] == "120ms"
    assert answer.headers["openai-processing-ms"] == "5"
    assert answer.headers["x-remote-request-id"] == "req_theirs"
    assert "set-cookie" not in answer.headers
