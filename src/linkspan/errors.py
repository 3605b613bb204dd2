"""The one error tree of Linkspan.

    LinkspanError                   what went wrong, as people and programs are told it
    ├── InvalidArgument             invalid_argument   the caller's arguments; details: one entry a fault
    ├── Unauthenticated             unauthenticated    no token, or one that is not valid
    ├── Forbidden                   forbidden          not allowed (a missing scope, an upstream 403)
    ├── NotLinked                   not_linked         the tenant has no account for the connector
    ├── NeedsReauth                 needs_reauth       the account's credential is no longer good
    ├── NotFound                    not_found
    ├── Conflict                    conflict           changed meanwhile, or an outcome that is not known
    ├── RateLimited                 rate_limited       retry_after: seconds
    ├── QuotaExceeded               quota_exceeded     a budget is spent; waiting does not help
    ├── UpstreamError               upstream_error     the product answered with a failure, or not at all
    ├── UpstreamTimeout             upstream_timeout
    ├── TooLarge                    too_large
    ├── EgressRefused               egress_refused     an address that connections may not go to
    └── Internal                    internal           a fault of ours; the log has it under request_id
    ConfigurationError              settings, key or file that keeps Linkspan from starting (exit code 2)
    └── SpecError                   tools.yaml has problems; every one with file, line and column

A face translates an error once, at its edge: `to_dict` is the shape for REST and for structured MCP
results, `for_model` the sentence for Codex. Codes are a closed list (docs/errors.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class LinkspanError(Exception):
    """Something a caller is told: a code from the closed list, a sentence, and what to do next.

    `message` says what happened, `hint` the next step (a command, a tool, a time). `status` is the HTTP
    status our own faces answer with; `upstream_status` is what the product answered, if it did.
    `retry_after` is in seconds. `details` must hold no secret and no credential.
    """

    code: ClassVar[str] = "internal"
    default_status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        upstream_status: int | None = None,
        details: Sequence[Mapping[str, Any]] | Mapping[str, Any] | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after = retry_after
        self.upstream_status = upstream_status
        self.details = details
        self.request_id = request_id
        self.raw_response: Any = None
        """What the product answered, without the credential: for programs over REST, and for no model."""
        self.rate_limit: Any = None
        """What the product said of its limit in that answer (`net.limits.RateLimit`), if it did."""
        self.partly_done = False
        """Whether an earlier request of the same call had changed something already."""

    @property
    def status(self) -> int:
        """The HTTP status that our own faces answer with."""
        return self.default_status

    def to_dict(self) -> dict[str, Any]:
        """`{"error": {code, message, status, retry_after, request_id, details?}}`, as in docs/errors.md."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.for_model(),
            "status": self.upstream_status if self.upstream_status is not None else self.status,
            "retry_after": self.retry_after,
            "request_id": self.request_id,
        }
        if self.details is not None:
            error["details"] = self.details
        return {"error": error}

    def for_model(self) -> str:
        """One line that begins with `Error:` and ends with the next step."""
        text = f"Error: {self.message.rstrip()}"
        if text[-1] not in ".!?":
            text += "."
        return f"{text} {self.hint}" if self.hint else text


class InvalidArgument(LinkspanError):
    """The arguments do not fit; `details` names every fault as `{"path", "message"}`."""

    code = "invalid_argument"
    default_status = 400


class Unauthenticated(LinkspanError):
    """No token, or one that is unknown, expired, revoked or of another tenant: always the same answer."""

    code = "unauthenticated"
    default_status = 401


class Forbidden(LinkspanError):
    """The caller is known but may not do this."""

    code = "forbidden"
    default_status = 403


class NotLinked(LinkspanError):
    """The tenant has no account for the connector, or several and none was named."""

    code = "not_linked"
    default_status = 409


class NeedsReauth(LinkspanError):
    """The account's credential was refused by the product, or may not go where the file now points."""

    code = "needs_reauth"
    default_status = 409


class NotFound(LinkspanError):
    """There is no such thing, or not for this caller."""

    code = "not_found"
    default_status = 404


class Conflict(LinkspanError):
    """Changed meanwhile, done already differently, or an outcome that nobody knows."""

    code = "conflict"
    default_status = 409


class RateLimited(LinkspanError):
    """Too many calls; `retry_after` says when to come back."""

    code = "rate_limited"
    default_status = 429


class QuotaExceeded(LinkspanError):
    """A budget is spent; waiting does not help."""

    code = "quota_exceeded"
    default_status = 429


class UpstreamError(LinkspanError):
    """The product answered with a failure, with something unreadable, or not at all."""

    code = "upstream_error"
    default_status = 502


class UpstreamTimeout(LinkspanError):
    """The product did not answer in time."""

    code = "upstream_timeout"
    default_status = 504


class TooLarge(LinkspanError):
    """A request, an answer or a file over its limit."""

    code = "too_large"
    default_status = 413


class EgressRefused(LinkspanError):
    """An address that connections may not go to; the hint names `LINKSPAN_ALLOW_EGRESS`."""

    code = "egress_refused"
    default_status = 502


class Internal(LinkspanError):
    """A fault of ours. The message holds nothing of the cause; the log has it under `request_id`."""

    code = "internal"
    default_status = 500


class ConfigurationError(LinkspanError):
    """Settings, key or file that keeps Linkspan from starting; the command line exits with 2."""

    code = "configuration"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a file, told as `file:line:column: path: message`."""

    file: str
    line: int
    column: int
    path: str
    code: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: "
        path = f"{self.path}: " if self.path else ""
        suggestion = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        return f"{place}{path}{self.message}{suggestion}"

    def to_dict(self) -> dict[str, Any]:
        """The shape of `linkspan check --json`."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "path": self.path,
            "code": self.code,
            "message": self.message,
            "suggestion": self.suggestion,
        }


class SpecError(ConfigurationError):
    """tools.yaml has problems; `problems` holds every one that was found, in the file's order."""

    code = "invalid_spec"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))
