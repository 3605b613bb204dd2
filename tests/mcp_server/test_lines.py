"""Lines in, messages out: nothing lost, nothing mixed, whoever reads at the moment."""

from __future__ import annotations

import os
import threading

from linkspan.mcp_server.lines import MAX_LINE, Handshake, Lines, Output


def fed(*chunks: bytes) -> list[bytes | None]:
    """What a reader is given when these chunks arrive and the input ends."""
    reading, writing = os.pipe()
    got: list[bytes | None] = []
    lines = Lines(reading)

    def write() -> None:
        for chunk in chunks:
            os.write(writing, chunk)
        os.close(writing)

    thread = threading.Thread(target=write)
    thread.start()
    lines.run(got.append)
    thread.join()
    os.close(reading)
    return got


def test_lines_are_put_together_from_any_chunks() -> None:
    """Several in one read, one in several, Windows line ends, a last one without end."""
    assert fed(b"one\ntw", b"o\r\n", b"\n  \n", b"three") == [b"one", b"two\r", b"three", None]


def test_a_line_without_end_is_dropped_and_the_next_is_read() -> None:
    """Sixteen megabytes are no message."""
    assert fed(b"x" * (MAX_LINE + 70_000), b"\nnext\n") == [b"next", None]


def test_the_next_reader_gets_what_was_kept_before_what_is_new() -> None:
    """The hand-over loses nothing and keeps the order."""
    lines = Lines(-1)
    lines.keep(b"one")
    lines.keep(b"two")
    got: list[bytes | None] = []
    lines.attach(got.append)
    lines.keep(b"three")
    assert got == [b"one", b"two", b"three"]


def test_kept_lines_can_be_taken_back() -> None:
    """By who can answer them after all."""
    lines = Lines(-1)
    lines.keep(b"one")
    assert lines.kept() == [b"one"]
    assert lines.kept() == []


def test_messages_are_written_whole_and_in_order() -> None:
    """However large, one line each."""
    reading, writing = os.pipe()
    output = Output(writing)
    messages = [b"%d" % number + b"x" * 50_000 for number in range(20)]
    for message in messages:
        output.write(message)
    got = b""
    while got.count(b"\n") < len(messages):
        got += os.read(reading, 65_536)
    output.close()
    assert got == b"".join(message + b"\n" for message in messages)
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_a_client_that_is_gone_is_no_error() -> None:
    """Nobody reads: the message is lost, the process is not."""
    reading, writing = os.pipe()
    os.close(reading)
    output = Output(writing)
    output.write(b"hello")
    output.close()
    os.close(writing)


def test_a_handshake_takes_what_it_understands() -> None:
    """Clients of any shape are let in."""
    full = Handshake.of(
        {"clientInfo": {"name": "codex", "version": "1"}, "capabilities": {"elicitation": {}}}, "2025-06-18"
    )
    assert full == Handshake("2025-06-18", "codex/1", {"elicitation": {}})
    assert Handshake.of({"clientInfo": 7, "capabilities": []}, "2025-06-18") == Handshake("2025-06-18")
