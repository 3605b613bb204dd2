"""Codex with its output noted: `python tee.py FOLDER RUN COMMAND...` writes down when each word passed.

It stands before Codex as `LINKSPAN_CODEX_WRAP`, so that what is measured begins where Codex's own time ends.
"""

import json
import subprocess
import sys
import time
from pathlib import Path


def main(folder: str, run: str, command: list[str]) -> int:
    """Run the command; its input is ours, its output passes through."""
    with (
        (Path(folder) / run).open("w") as notes,
        subprocess.Popen(command, stdout=subprocess.PIPE) as codex,
    ):
        assert codex.stdout
        for line in iter(codex.stdout.readline, b""):
            now = time.perf_counter()
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            if b'"item/agentMessage/delta"' in line:
                notes.write(json.dumps([json.loads(line)["params"]["delta"], now]) + "\n")
        return codex.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
