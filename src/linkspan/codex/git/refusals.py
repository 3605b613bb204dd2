"""What git wrote when it failed, as an error that a person understands. Its own words are not shown."""

from __future__ import annotations

import re
from typing import Final

from linkspan.codex.git.program import GitFailed
from linkspan.errors import (
    Conflict,
    Forbidden,
    LinkspanError,
    NeedsReauth,
    NotFound,
    TooLarge,
    UpstreamError,
    UpstreamTimeout,
)

_REMOTE: Final = re.compile(r"^remote: ?(.*)$", re.MULTILINE)
_STATUS: Final = re.compile(r"The requested URL returned error: (\d{3})|HTTP (\d{3})")
_REJECTED: Final = re.compile(r"^ ! \[[a-z ]*rejected\].*\((.{1,200})\)\s*$", re.MULTILINE)
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e\u00a1-\u2027\u2030-\ud7ff]+")
_MOST_SAID: Final = 300


def refusal(error: GitFailed, repository: str, *, doing: str, branch: str | None = None) -> LinkspanError:
    """Answer the error of the tree for a failed exchange with a forge.

    `doing` is what was tried, as in "could not be `read`"; `branch` is the one it was about.
    """
    words = error.words
    status = _status(words)
    if "couldn't find remote ref" in words:
        return NotFound(
            f"The repository {repository} has no branch {branch}",
            hint="Look at the base branch in the recipe's settings; an empty repository has none at all.",
        )
    if _says(words, "Repository not found", "' not found") or status == 404:
        return NotFound(
            f"The repository {repository} is not there, or the linked account may not see it",
            hint="Check its name in the recipe's settings, and what the account at the forge may reach.",
        )
    if (
        _says(words, "Authentication failed", "could not read Username", "could not read Password")
        or status == 401
    ):
        return NeedsReauth(
            f"The forge did not take the account's credential for {repository}",
            hint="Link the account again: linkspan account link.",
            upstream_status=401,
        )
    if _says(words, "pre-receive hook declined", "protected branch", "[remote rejected]", "[rejected]"):
        return _rejected(words, repository, branch)
    if status == 403:
        return Forbidden(
            f"The linked account may not {'write to' if doing == 'pushed' else 'read'} {repository}"
            f"{_said(words)}",
            hint="Give it that right at the forge, or link an account that has it.",
            upstream_status=403,
        )
    if status == 413:
        return TooLarge(f"The forge takes no push of that size into {repository}", upstream_status=413)
    if _says(words, "timed out", "Timeout was reached", "Operation too slow"):
        return UpstreamTimeout(
            f"The forge did not answer about {repository} in time", hint="Try again later."
        )
    if _says(words, "SSL certificate", "server certificate", "certificate verify"):
        return UpstreamError(
            "The certificate of the forge is not one that is trusted here",
            hint="Its authority belongs into the bundle that SSL_CERT_FILE names.",
        )
    if _says(words, "Invalid path", "invalid path"):
        return Forbidden(
            f"{repository} holds a path that git does not put on a disk, such as one into .git",
            hint="Nothing was checked out. Look at that commit before anybody works with it.",
        )
    about = f"; it answered {status}" if status else ""
    return UpstreamError(
        f"The repository {repository} could not be {doing}: the forge failed{about}{_said(words)}",
        hint="Try again in a minute.",
        upstream_status=status,
    )


def _rejected(words: str, repository: str, branch: str | None) -> LinkspanError:
    if _says(
        words, "fetch first", "non-fast-forward", "stale info", "already exists", "reference already exists"
    ):
        return somebody_elses(repository, branch or "")
    found = _REJECTED.search(words)
    reason = _plain(found[1]) if found else ""
    return Forbidden(
        f"The forge refused the branch {branch} in {repository}"
        + (f" ({reason})" if reason else "")
        + _said(words),
        hint="A rule of the repository forbids it; change the rule, or let the account pass it.",
    )


def somebody_elses(repository: str, branch: str) -> Conflict:
    """Answer the error for a branch that has commits which are not the run's."""
    return Conflict(
        f"The branch {branch} of {repository} has commits that this run did not make; nothing was pushed",
        hint="Rename or remove that branch, then retry the run.",
    )


def not_what_was_shown(shown: str, now: str) -> Conflict:
    """Answer the error for a change that became another one after people had looked at it."""
    return Conflict(
        "The files of the run are not those that were shown and decided on: they were changed afterwards"
        f" (tree {shown[:12]} was shown, {now[:12]} is there now); nothing was committed or pushed",
        hint="Retry the run: it makes its change anew, and asks again.",
    )


def _said(words: str) -> str:
    """Answer what the forge itself said, short and in one line."""
    told = " ".join(line for line in (_plain(found) for found in _REMOTE.findall(words)) if line)
    return f". It says: {told[:_MOST_SAID].rstrip('. ')}" if told else ""


def _plain(text: str) -> str:
    return " ".join(_UNPRINTABLE.sub(" ", text).split())


def _says(words: str, *parts: str) -> bool:
    return any(part in words for part in parts)


def _status(words: str) -> int | None:
    found = _STATUS.search(words)
    return int(found[1] or found[2]) if found else None
