"""`linkspan stdio` as a program: quick first answers, nothing but the protocol, an orderly end."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from linkspan.mcp_server.lines import Lines
from linkspan.mcp_server.stdio import Porch
from tests.servers.linkspan import PROGRAM, SECRET, Linkspan
from tests.servers.serving import serving

CONFIG = """\
linkspan: 1
name: acme
instructions: Acme Desk, tickets of this customer; list and get tickets, start with list_tickets.
connectors:
  desk:
    title: Desk
    base_url: "{settings.origin}"
    settings:
      origin: {title: Origin, type: origin}
    auth:
      - {type: bearer, title: API token}
entities:
  ticket:
    sources:
      desk:
        fields: {id: id}
        operations:
          list: {description: List tickets., request: GET /tickets, items: "@"}
          get: {description: Get one ticket., request: "GET /tickets/{id}"}
    fields:
      id: string
"""
HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "tests", "version": "1"},
}


class Program:
    """A running `linkspan stdio`, spoken to line by line."""

    def __init__(self, environment: Mapping[str, str], *words: str, command: list[str] | None = None) -> None:
        self.process = subprocess.Popen(
            command or [str(PROGRAM), "stdio", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def raw(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, method: str, params: Any = None, id_: Any = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        self.raw(json.dumps(message if id_ is None else {**message, "id": id_}).encode())

    def next(self) -> Any:
        return json.loads(self._lines.get(timeout=20))

    def ask(self, method: str, params: Any = None, id_: Any = 1) -> Any:
        self.send(method, params, id_)
        return self.next()

    def end(self) -> tuple[int, str, list[bytes]]:
        """Close the input; answer the exit code, standard error, and what was still written."""
        assert self.process.stdin is not None and self.process.stderr is not None
        self.process.stdin.close()
        return self.wait()

    def wait(self) -> tuple[int, str, list[bytes]]:
        assert self.process.stderr is not None and self.process.stdout is not None
        errors = self.process.stderr.read().decode()
        code = self.process.wait(timeout=20)
        self._reader.join(20)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code, errors, [self._lines.get() for _ in range(self._lines.qsize())]


class Desk:
    """A product whose one ticket can be slow."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.release = threading.Event()
        self.requests = 0
        self.app = Starlette(routes=[Route("/tickets", self.tickets), Route("/tickets/{id}", self.ticket)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.requests += 1
        await self.app(scope, receive, send)

    def tickets(self, request: Request) -> Response:
        return JSONResponse([{"id": "1"}])

    def ticket(self, request: Request) -> Response:
        self.asked.set()
        self.release.wait(20)
        return JSONResponse({"id": request.path_params["id"]})


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Linkspan, Desk]]:
    """A home with one tenant that is linked to the desk."""
    folder = tmp_path_factory.mktemp("stdio")
    (folder / "tools.yaml").write_text(CONFIG)
    linkspan = Linkspan(folder / "home", folder / "tools.yaml", {SECRET: "any"})
    desk = Desk()
    with serving(desk) as origin:
        linkspan.add_tenant("acme")
        link = ["account", "link", "desk", "--tenant", "acme", "--setting", f"origin={origin}"]
        linkspan.run(*link, "--secret-env", SECRET)
        yield linkspan, desk
        desk.release.set()


@pytest.fixture
def linkspan(office: tuple[Linkspan, Desk]) -> Linkspan:
    return office[0]


@pytest.fixture
def desk(office: tuple[Linkspan, Desk]) -> Desk:
    office[1].asked.clear()
    office[1].release.clear()
    return office[1]


def test_the_first_start_and_every_later_one_answer_the_same(linkspan: Linkspan) -> None:
    """From the file, then from what was kept; and calls work after both."""
    heard = []
    for _ in range(2):
        program = Program(linkspan.environment)
        answers = [program.ask("initialize", HELLO, 1), program.ask("tools/list", id_=2)]
        program.send("notifications/initialized")
        answers += [program.ask("resources/templates/list", id_=3), program.ask("server/discover", id_=4)]
        called = program.ask("tools/call", {"name": "list_tickets"}, 5)
        assert called["result"]["structuredContent"]["result"] == [{"id": "1"}]
        heard.append(answers)
        code, errors, rest = program.end()
        assert (code, errors, rest) == (0, "", [])
    assert heard[0] == heard[1]
    assert [tool["name"] for tool in heard[0][1]["result"]["tools"]] == ["list_tickets", "get_ticket"]


@pytest.mark.slow
def test_the_product_is_asked_nothing_before_a_tool_is_called(linkspan: Linkspan, desk: Desk) -> None:
    """Neither by a start, nor by anything that a client lists: Codex starts servers that it may never use."""
    before = desk.requests
    program = Program(linkspan.environment)
    program.ask("initialize", HELLO, 0)
    program.send("notifications/initialized")
    lists = ("tools/list", "resources/list", "resources/templates/list", "prompts/list", "ping")
    assert all("result" in program.ask(method, id_=number) for number, method in enumerate(lists, 1))
    assert "error" in program.ask("no/such/method", id_=9)  # which everything has to be loaded for
    assert desk.requests == before
    assert "result" in program.ask("tools/call", {"name": "list_tickets"}, 10)
    assert desk.requests == before + 1
    assert program.end() == (0, "", [])


@pytest.mark.slow
def test_an_edited_file_is_not_answered_from_before(linkspan: Linkspan, tmp_path: Path) -> None:
    """What was kept counts for the very bytes it was made from."""
    config = tmp_path / "tools.yaml"
    seen = []
    for words in ("List tickets.", "List tickets of the desk."):
        config.write_text(CONFIG.replace("List tickets.", words))
        program = Program({**linkspan.environment, "LINKSPAN_CONFIG": str(config)})
        program.ask("initialize", HELLO)
        seen.append(program.ask("tools/list")["result"]["tools"][0]["description"])
        program.end()
    assert seen == ["List tickets.", "List tickets of the desk."]


def test_everything_sent_at_once_is_answered(linkspan: Linkspan) -> None:
    """A client need not wait for answers, and the end of its input loses none."""
    program = Program(linkspan.environment)
    program.send("initialize", HELLO, 0)
    program.send("notifications/initialized")
    for number in range(1, 20):
        program.send(["tools/list", "tools/call", "ping"][number % 3], {"name": "list_tickets"}, number)
    code, errors, rest = program.end()
    answers = [json.loads(line) for line in rest]
    assert (code, errors) == (0, "")
    assert sorted(answer["id"] for answer in answers) == list(range(20))
    assert all("result" in answer for answer in answers)


def test_calls_in_flight_finish_when_the_input_ends(linkspan: Linkspan, desk: Desk) -> None:
    """The last answer is written before the process is gone."""
    program = Program(linkspan.environment)
    program.ask("initialize", HELLO)
    program.send("tools/call", {"name": "get_ticket", "arguments": {"id": "7"}}, 2)
    assert desk.asked.wait(20)
    threading.Timer(0.2, desk.release.set).start()
    code, _, rest = program.end()
    assert code == 0
    assert json.loads(rest[-1])["result"]["structuredContent"]["result"] == {"id": "7"}


@pytest.mark.slow
def test_calls_in_flight_finish_when_it_is_told_to_stop(linkspan: Linkspan, desk: Desk) -> None:
    """SIGTERM is no reason to lose an answer."""
    program = Program(linkspan.environment)
    program.ask("initialize", HELLO)
    program.send("tools/call", {"name": "get_ticket", "arguments": {"id": "7"}}, 2)
    assert desk.asked.wait(20)
    program.process.send_signal(signal.SIGTERM)
    threading.Timer(0.2, desk.release.set).start()
    code, _, rest = program.wait()
    assert code == 0
    assert json.loads(rest[-1])["id"] == 2


@pytest.mark.slow
def test_a_cancelled_call_is_owed_nothing(linkspan: Linkspan, desk: Desk) -> None:
    """And the process goes on."""
    program = Program(linkspan.environment)
    program.ask("initialize", HELLO)
    program.send("tools/call", {"name": "get_ticket", "arguments": {"id": "7"}}, 2)
    assert desk.asked.wait(20)
    program.send("notifications/cancelled", {"requestId": 2})
    assert program.ask("tools/call", {"name": "list_tickets"}, 3)["id"] == 3
    assert program.end()[2] == []


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":1,"method":"ping"}',
        b'{"jsonrpc":"1.0","id":1,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":6,"method":7}',
        b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":NaN}}',
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}',
        json.dumps(
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/list",
                "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}},
            }
        ).encode(),
        b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]',
    ],
)
def test_what_is_prepared_judges_nothing_by_itself(line: bytes) -> None:
    """A message that is not right in every way is left to the loop, so that there is one judge."""
    written: list[bytes] = []
    lines = Lines(0)
    answers = {"tools/list legacy": "{}", "tools/list modern": "{}"}
    porch = Porch(answers, SimpleNamespace(write=written.append), lines)  # type: ignore[arg-type]
    porch.take(line)
    assert (written, lines.kept()) == ([], [line])
    porch.take(b'{"jsonrpc":"2.0","id":2,"method":"ping"}')
    assert json.loads(written[0]) == {"jsonrpc": "2.0", "id": 2, "result": {}}


@pytest.mark.slow
def test_lines_that_are_no_messages_do_not_end_it(linkspan: Linkspan) -> None:
    """Before and after everything is loaded."""
    program = Program(linkspan.environment)
    for line in (b"nonsense", b"\xff", b"[]", b"{}"):
        program.raw(line)
        assert program.next()["error"]["code"] in (-32700, -32600)
    assert program.ask("initialize", HELLO)["result"]["protocolVersion"] == "2025-06-18"
    program.end()


@pytest.mark.slow
def test_what_is_printed_goes_to_standard_error(linkspan: Linkspan) -> None:
    """Even what C libraries and child processes print: standard output is the protocol's."""
    code = (
        "import os, sys\n"
        "from linkspan.__main__ import standing\n"
        "from linkspan.mcp_server.stdio import main\n"
        "def compose():\n"
        "    print('stray'); os.write(1, b'strays\\n'); os.system('echo child')\n"
        "    return standing()\n"
        "sys.exit(main([], compose))\n"
    )
    program = Program(linkspan.environment, command=[sys.executable, "-c", code])
    program.ask("initialize", HELLO)
    assert program.ask("tools/call", {"name": "list_tickets"})["id"] == 1
    _, errors, rest = program.end()
    assert rest == []
    assert all(word in errors for word in ("stray", "strays", "child"))


@pytest.mark.parametrize(
    ("words", "change", "told"),
    [
        (["--tenan", "x"], {}, "linkspan stdio does not know '--tenan'"),
        (["--tenant"], {}, "--tenant needs a value"),
        ([], {"LINKSPAN_CONFIG": "/nowhere/tools.yaml"}, "/nowhere/tools.yaml"),
        ([], {"LINKSPAN_CONFIG": "", "LINKSPAN_HOME": "/nowhere"}, "there is no tools.yaml"),
        ([], {"LINKSPAN_ALLOW_EGRESS": "nonsense"}, "LINKSPAN_ALLOW_EGRESS"),
    ],
)
def test_what_keeps_it_from_starting_is_told(
    linkspan: Linkspan, words: list[str], change: dict[str, str], told: str
) -> None:
    """One sentence on standard error, exit code 2, nothing on standard output, no traceback."""
    code, errors, rest = Program({**linkspan.environment, **change}, *words).end()
    assert (code, rest) == (2, [])
    assert told in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_mistakes_in_the_file_are_told_with_their_place(linkspan: Linkspan, tmp_path: Path) -> None:
    """As `linkspan check` tells them."""
    config = tmp_path / "tools.yaml"
    config.write_text(CONFIG.replace("request: GET /tickets,", "request: GET /tickets, itms: x,"))
    code, errors, rest = Program({**linkspan.environment, "LINKSPAN_CONFIG": str(config)}).end()
    assert (code, rest) == (2, [])
    assert f"{config}:18:" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_tenant_that_is_not_there_is_told_to_the_model_too(linkspan: Linkspan) -> None:
    """Lists were answered by then; the call that waits reads the same sentence."""
    program = Program(linkspan.environment, "--tenant", "globex")
    program.ask("initialize", HELLO)
    called = program.ask("tools/call", {"name": "list_tickets"}, 2)
    assert called["result"]["isError"] is True
    assert "linkspan tenant add globex" in called["result"]["content"][0]["text"]
    code, errors, _ = program.wait()
    assert code == 2
    assert "linkspan tenant add globex" in errors


@pytest.mark.slow
def test_an_edit_while_it_runs_is_served_and_told(linkspan: Linkspan, tmp_path: Path) -> None:
    """Hot reload: the client hears that lists have changed, and the next start knows them already."""
    config = tmp_path / "tools.yaml"
    config.write_text(CONFIG)
    program = Program({**linkspan.environment, "LINKSPAN_CONFIG": str(config)})
    program.ask("initialize", HELLO)
    program.ask("tools/call", {"name": "list_tickets"}, 2)
    edited = tmp_path / "edited"
    edited.write_text(CONFIG.replace("List tickets.", "List tickets of the desk."))
    edited.replace(config)
    assert {program.next()["method"] for _ in range(3)} == {
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
    }
    assert program.ask("tools/list")["result"]["tools"][0]["description"] == "List tickets of the desk."
    program.end()


def imported_by(module: str) -> set[str]:
    """Everything that importing a module imports."""
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_first_answers_import_next_to_nothing() -> None:
    """Neither the SDK nor pydantic, asyncio or the composition root."""
    heavy = {"mcp", "pydantic", "pydantic_core", "asyncio", "yaml", "aiohttp", "linkspan.app"}
    assert not heavy & imported_by("linkspan.mcp_server.stdio")


@pytest.mark.slow
def test_serving_over_http_does_not_import_the_sdk() -> None:
    """It costs a second and 40 MB, and only sessions need it."""
    loaded = imported_by("linkspan.process")
    assert "linkspan.mcp_server.http" in loaded
    assert not {"mcp", "mcp_types"} & loaded


@pytest.mark.slow
def test_mcp_run_serves_the_same(linkspan: Linkspan) -> None:
    """`mcp run src/linkspan/server.py`, with its directory in front of sys.path as it puts it."""
    file = Path(sys.modules["linkspan"].__file__ or "").with_name("server.py")
    mcp = Path(sys.executable).with_name("mcp")
    environment = {**linkspan.environment, "PATH": os.environ["PATH"]}
    program = Program(environment, command=[str(mcp), "run", str(file)])
    assert program.ask("initialize", HELLO)["result"]["serverInfo"]["name"] == "linkspan"
    called = program.ask("tools/call", {"name": "list_tickets"}, 2)
    assert called["result"]["structuredContent"]["result"] == [{"id": "1"}]
    assert program.end()[0] == 0
