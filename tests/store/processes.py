"""Several real processes that do the same thing at the same moment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from linkspan.store.engines import Place

SOURCE = Path(__file__).parents[2] / "src"
_FRAME = """
import asyncio, json, os, sys
from pathlib import Path
from linkspan.store.engines import open_database
from linkspan.store.migrations import migrate

def place_of(text):
    return text if "://" in text else Path(text)

{code}

print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(asyncio.run(main(place_of(sys.argv[1]), int(sys.argv[2])))), flush=True)
"""


def run_together(code: str, place: Place, *, count: int) -> list[str]:
    """Run `async def main(place, number)` of `code` in `count` processes; answer what each answered, as JSON.

    All are let go when the last one is ready. A process that fails fails the test with its traceback.
    """
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _FRAME.format(code=code), str(place), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(SOURCE)},
        )
        for number in range(count)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()
        return _let_go(started)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _let_go(started: Sequence[subprocess.Popen[str]]) -> list[str]:
    for process in started:
        assert process.stdin is not None
        try:
            process.stdin.write("\n")
            process.stdin.flush()
        except BrokenPipeError:
            continue  # it died before: its traceback is told below
    answers = []
    for process in started:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        answers.append(out.strip())
    return answers
