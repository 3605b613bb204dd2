"""What the forge of tests knows of changes: the files of a pull request, comparisons, threads at lines.

Everything is git's own account of a real server's commits. A comment is taken only at a line of the change,
several lines only within one hunk, and a thread is outdated when its line was changed since: as at GitHub.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Git = Callable[..., str]
"""Runs git in a repository: `git(name, *words)`."""


@dataclass
class Reviews:
    """The changes of one forge's repositories."""

    git: Git
    threads: dict[str, list[Json]] = field(default_factory=dict)
    """By `owner/name#number`."""

    def commits(self, name: str, ref: str, path: str | None, url: str) -> list[dict[str, Any]]:
        """Answer the commits below one, the newest first; of a path only those that changed it."""
        below = ("--", path) if path else ()
        told = self.git(name, "log", "--format=%H%x1f%cI%x1f%an%x1f%B%x1e", ref, *below)
        found = []
        for each in told.split("\x1e"):
            if each.strip():
                sha, when, who, message = each.strip().split("\x1f")
                said = {"message": message.strip(), "author": {"name": who}, "committer": {"date": when}}
                here = f"{url}/repos/{name}/commits/{sha}"
                found.append({"sha": sha, "url": here, "html_url": here, "commit": said, "author": None})
        return found

    def files(self, name: str, base: str, head: str) -> list[Json]:
        """Answer what GitHub lists of a pull request's files."""
        told = self.git(name, "diff", "--no-color", "-M", f"{base}...{head}")
        return [_file(part) for part in re.split(r"^diff --git ", told, flags=re.MULTILINE)[1:]]

    def compare(self, name: str, since: str, until: str) -> Json:
        """Answer what GitHub says of two commits."""
        ahead = int(self.git(name, "rev-list", "--count", f"{since}..{until}"))
        behind = int(self.git(name, "rev-list", "--count", f"{until}..{since}"))
        words = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
        return {
            "status": words.get((ahead > 0, behind > 0), "identical"),
            "ahead_by": ahead,
            "behind_by": behind,
            "permalink_url": f"{since}...{until}",
            "merge_base_commit": {"sha": self.git(name, "merge-base", since, until)},
            "files": self.files(name, since, until),
        }

    def refuses(self, name: str, pull: Json, comment: Json) -> str | None:
        """Answer why a comment is not taken at its lines."""
        files = self.files(name, pull["base"]["sha"], pull["head"]["sha"])
        file = next((each for each in files if each["filename"] == comment["path"]), None)
        if file is None or not file.get("patch"):
            return "Path could not be resolved"
        line, side = comment["line"], comment.get("side", "RIGHT")
        start, start_side = comment.get("start_line", line), comment.get("start_side", side)
        if start > line or (start == line and "start_line" in comment) or start_side != side:
            return "start_line must precede the end line"
        for numbers in _hunks(file["patch"], side):
            if start in numbers and line in numbers:
                return None
        return "line must be part of the diff"

    def keep(self, name: str, pull: Json, comment: Json, login: str) -> Json:
        """Open a thread with a comment."""
        kept = self.threads.setdefault(f"{name}#{pull['number']}", [])
        thread = {
            "id": f"PRRT_{name}_{len(kept) + 1}",
            "path": comment["path"],
            "line": comment["line"],
            "start_line": comment.get("start_line"),
            "side": comment.get("side", "RIGHT"),
            "resolved": False,
            "commit": pull["head"]["sha"],
            "comments": [{"id": f"PRRC_{len(kept) + 1}", "body": comment["body"], "login": login}],
        }
        kept.append(thread)
        return thread

    def shown(self, name: str, pull: Json) -> list[Json]:
        """Answer `reviewThreads.nodes` of GitHub's GraphQL."""
        found = []
        for thread in self.threads.get(f"{name}#{pull['number']}", []):
            line = self._now(name, thread, pull["head"]["sha"])
            found.append(
                {
                    "id": thread["id"],
                    "isResolved": thread["resolved"],
                    "isOutdated": line is None,
                    "path": thread["path"],
                    "line": line,
                    "startLine": thread["start_line"] if line == thread["line"] else None,
                    "diffSide": thread["side"],
                    "comments": {
                        "nodes": [
                            {
                                "id": each["id"],
                                "body": each["body"],
                                "createdAt": "2026-11-29T00:00:00Z",
                                "url": None,
                                "author": {"login": each["login"]},
                            }
                            for each in thread["comments"]
                        ]
                    },
                }
            )
        return found

    def _now(self, name: str, thread: Json, head: str) -> int | None:
        """Answer where a thread's line is now; None when it was changed."""
        if thread["side"] == "LEFT" or thread["commit"] == head:
            return int(thread["line"])
        was = self.git(name, "show", f"{thread['commit']}:{thread['path']}").split("\n")
        try:
            now = self.git(name, "show", f"{head}:{thread['path']}").split("\n")
        except RuntimeError:
            return None
        for kind, first, last, new, _end in difflib.SequenceMatcher(None, was, now).get_opcodes():
            if kind == "equal" and first < thread["line"] <= last:
                return int(thread["line"] - first + new)
        return None


def _file(part: str) -> Json:
    head, _, patch = part.partition("\n@@")
    names = re.match(r"a/(.*) b/(.*)", head.split("\n")[0])
    assert names is not None
    moved = re.search(r"^rename from (.*)$", head, re.MULTILINE)
    status = "renamed" if moved else "modified"
    status = "added" if "\nnew file" in head else "removed" if "\ndeleted file" in head else status
    lines = patch.split("\n")
    return {
        "filename": names[2],
        "status": status,
        "additions": sum(line.startswith("+") for line in lines),
        "deletions": sum(line.startswith("-") for line in lines),
        "blob_url": None,
        **({"previous_filename": moved[1]} if moved else {}),
        **({"patch": f"@@{patch}".rstrip("\n")} if patch else {}),
    }


def _hunks(patch: str, side: str) -> Iterator[set[int]]:
    for part in re.split(r"^@@ ", patch, flags=re.MULTILINE)[1:]:
        head = re.match(r"-(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", part)
        assert head is not None
        first, count = (head[1], head[2]) if side == "LEFT" else (head[3], head[4])
        yield set(range(int(first), int(first) + int(count or 1)))
