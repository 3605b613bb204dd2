"""The one shape in which the API says no: `{"error": {"code", "message", "request_id", "fields"?}}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one field of a request."""

    field: str
    message: str


class DeskError(Exception):
    """A refusal with an HTTP status, a stable code and a sentence for whoever asked."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fields = tuple(fields)
        self.headers = dict(headers or {})

    def to_dict(self, request_id: str) -> dict[str, Any]:
        """Answer the body of the response."""
        error: dict[str, Any] = {"code": self.code, "message": self.message, "request_id": request_id}
        if self.fields:
            error["fields"] = [{"field": fault.field, "message": fault.message} for fault in self.fields]
        return {"error": error}


def unauthenticated(message: str = "Send an API token: Authorization: Bearer desk_…") -> DeskError:
    """401 with the challenge that RFC 6750 §3 asks for."""
    return DeskError(401, "unauthenticated", message, headers={"WWW-Authenticate": 'Bearer realm="desk"'})


def forbidden(message: str) -> DeskError:
    """403: known, but not allowed."""
    return DeskError(403, "forbidden", message)


def not_found(what: str, id_: str) -> DeskError:
    """404, also for what another organisation has: nobody learns that it exists."""
    return DeskError(404, "not_found", f"There is no {what} {id_}.")


def invalid(*fields: Fault) -> DeskError:
    """422 that names every field with what is wrong about it."""
    told = "; ".join(f"{fault.field}: {fault.message}" for fault in fields)
    return DeskError(422, "invalid", f"The request is not valid. {told}", fields=fields)
