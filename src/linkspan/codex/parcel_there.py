"""What is run in the sandbox at OpenAI, and never here: it unpacks the checkout, and packs what was changed.

It is sent there as a file of its own, so it has nothing but the standard library, says what is wrong in words
for a model, and keeps to Python 3.9. `take` is run before Codex begins, `hand_in` by Codex at its end.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE / "checkout"
KNOWN = HERE / "linkspan.json"
HANDED_IN = HERE / "outputs" / "change.json.gz"
MOST_FILES = 2_000
MOST_BYTES = 30_000_000
WHO = ("-c", "user.name=base", "-c", "user.email=base@localhost")


def take(base: str) -> None:
    """Unpack the checkout, remember what is in it, and let git have a look at what changes."""
    CHECKOUT.mkdir(exist_ok=True)
    parcel = HERE / "checkout.tar.gz"
    with tarfile.open(parcel) as packed:
        packed.extractall(CHECKOUT)  # noqa: S202 - it is ours, and has no name that leads out
    parcel.unlink()
    KNOWN.write_text(json.dumps({"base": base, "there": everything()}))
    HANDED_IN.parent.mkdir(exist_ok=True)
    for words in (("init", "-q"), ("add", "-A"), (*WHO, "commit", "-qm", base)):
        git(*words)


def everything() -> dict[str, list[str]]:
    """Answer every file and link of the checkout: what it is, and a digest of what is in it."""
    found = {}
    for folder, folders, names in os.walk(CHECKOUT):
        folders[:] = [name for name in folders if name != ".git"]
        for name in (*names, *folders):
            path = Path(folder, name)
            kind = kind_of(path)
            if kind and name != ".git":
                digest = hashlib.sha256(read(path, kind)).hexdigest()
                found[str(path.relative_to(CHECKOUT))] = [kind, digest]
    return found


def kind_of(path: Path) -> str:
    """Answer what a path is; nothing for what is no file and no link."""
    if path.is_symlink():
        return "link"
    if not path.is_file():
        return ""
    return "program" if path.stat().st_mode & 0o100 else "file"


def read(path: Path, kind: str) -> bytes:
    """Answer what is in a file, or where a link leads."""
    return os.fsencode(path.readlink()) if kind == "link" else path.read_bytes()


def hand_in() -> None:
    """Pack what is different from what was taken, for Linkspan to take over."""
    known = json.loads(KNOWN.read_text())
    before, now = known["there"], everything()
    changed = [path for path in now if now[path] != before.get(path)]
    unwanted = ignored([path for path in changed if path not in before])
    changed = sorted(path for path in changed if path not in unwanted)
    if len(changed) > MOST_FILES:
        some = ", ".join(changed[:5])
        refuse(f"{len(changed)} files are new or changed, {some} among them; {MOST_FILES} are taken.")
    files, size = [], 0
    for path in changed:
        kind = now[path][0]
        data = read(CHECKOUT / path, kind)
        size += len(data)
        if size > MOST_BYTES:
            refuse(f"what is new or changed has more than {MOST_BYTES} bytes with {path}.")
        files.append({"path": path, "kind": kind, "data": base64.b64encode(data).decode()})
    gone = sorted(path for path in before if path not in now)
    told = json.dumps({"base": known["base"], "gone": gone, "files": files})
    new = HANDED_IN.with_suffix(".new")
    new.write_bytes(gzip.compress(told.encode()))
    new.replace(HANDED_IN)
    for word, paths in (("changed", changed), ("removed", gone)):
        for path in paths:
            say(f"{word}: {path}")
    say(f"Handed in: {len(changed)} changed, {len(gone)} removed.")


def refuse(why: str) -> None:
    """End without handing anything in, and say why."""
    HANDED_IN.unlink(missing_ok=True)
    say(f"NOT HANDED IN: {why} Remove what is no part of the change, and run this again.")
    sys.exit(1)


def ignored(paths: list[str]) -> set[str]:
    """Answer which new files git ignores; none where there is no git to ask."""
    asked = b"\0".join(os.fsencode(path) for path in paths)
    told = git("check-ignore", "-z", "--stdin", stdin=asked) if paths else b""
    return {os.fsdecode(path) for path in told.split(b"\0") if path}


def git(*words: str, stdin: bytes = b"") -> bytes:
    """Answer what git says; nothing where it is not installed, since nothing here rests on it."""
    program = shutil.which("git")
    if program is None:
        return b""
    ran = subprocess.run(  # noqa: S603 - the words are ours
        [program, *words], cwd=CHECKOUT, input=stdin, stdout=subprocess.PIPE, check=False
    )
    return ran.stdout


def say(text: str) -> None:
    """Tell the model."""
    sys.stdout.write(text.encode("utf-8", "replace").decode() + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "take":
        take(sys.argv[2])
    else:
        hand_in()
