"""What an authorization server refuses with: the error words of OAuth, which go over the wire as they are."""

from __future__ import annotations

from typing import Literal

from linkspan.errors import InvalidArgument

OAuthCode = Literal[
    # RFC 6749 §4.1.2.1 and §5.2
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "unsupported_grant_type",
    "unsupported_response_type",
    "access_denied",
    "temporarily_unavailable",
    # RFC 8707 §2
    "invalid_target",
    # RFC 7591 §3.2.2
    "invalid_redirect_uri",
    "invalid_client_metadata",
]


class OAuthRefused(InvalidArgument):
    """A client's request that is not granted. `error` is the word for the program, the message for people."""

    def __init__(self, error: OAuthCode, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.error = error
