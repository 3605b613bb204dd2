"""Parameters of OAuth requests: form-encoded, none of them twice but `resource`."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from linkspan.accounts.oauth_errors import OAuthRefused
from linkspan.errors import TooLarge

MOST_BYTES: Final = 32_768
_MOST_FIELDS: Final = 64
_FORM: Final = "application/x-www-form-urlencoded"


class Form:
    """The parameters of one request, in their order."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def one(self, name: str) -> str | None:
        """Answer a parameter; one without a value was not sent (RFC 6749 §3.1).

        Raises `OAuthRefused` when it was sent twice.
        """
        found = self.all(name)
        if len(found) > 1:
            raise OAuthRefused("invalid_request", f"{name} was sent more than once")
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        """Answer every value of a parameter that may come more than once."""
        return [value for key, value in self.pairs if key == name and value]


def read_query(request: Request) -> Form:
    """Answer the parameters of the URL. Raises `OAuthRefused`."""
    raw: bytes = request.scope.get("query_string", b"")
    return _read(raw)


async def read_form(request: Request) -> Form:
    """Answer the parameters of the body. Raises `OAuthRefused` and `TooLarge`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise OAuthRefused("invalid_request", f"Send Content-Type: {_FORM}")
    return _read(await read_body(request))


async def read_body(request: Request) -> bytes:
    """Answer the body. Raises `TooLarge`."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise TooLarge(f"A request here may have {MOST_BYTES} bytes")
    return bytes(body)


def _read(raw: bytes) -> Form:
    try:
        text = raw.decode("ascii")
        return Form(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"))
    except ValueError as error:
        raise OAuthRefused("invalid_request", "The parameters cannot be read") from error
