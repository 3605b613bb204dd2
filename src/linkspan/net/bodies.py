"""Bodies both ways: JSON, form and text out; JSON, text, nothing, HTML and bytes in.

Answers are read by what they say they are and by what they look like, since products mislabel them: JSON as
`text/html`, sign-in pages with 200, Latin-1 as UTF-8, nothing at all with `application/json`.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Literal, Protocol
from urllib.parse import quote_plus

from pydantic_core import PydanticSerializationError, from_json, to_json

from linkspan.errors import InvalidArgument, UpstreamError
from linkspan.net.messages import Response

Encoding = Literal["json", "form", "text", "multipart", "file"]


class File(Protocol):
    """A file in a body."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def type(self) -> str: ...  # noqa: D102
    @property
    def data(self) -> bytes: ...  # noqa: D102


_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?xml[^>]*+>\s*+|(?><!--.*?-->)\s*+)*+"
    rb"<(?:!doctype\s++html|html|head|body|title|meta|script|h1|p|div)\b",
    re.IGNORECASE | re.DOTALL,
)
"""What a page starts with. Nothing in it is tried twice: a comment ends where it ends first."""
_SIGN_IN = re.compile(rb"sign[ -]?(?:in|on)\b|log[ -]?[io]n\b|type=.?password|single sign", re.IGNORECASE)
_GUARD = re.compile(r"\s*+(?:\)\]\}'[^\n]*+\n?|while\s*+\(1\);|for\s*+\(;;\);)")
"""What some products put before JSON so that it is no script: Gerrit's `)]}'` and its like."""
_BLANK = codecs.BOM_UTF8 + b" \t\r\n"
_OPENING = frozenset({b"{", b"["})
_MARKUP = frozenset({"text/html", "application/xhtml+xml", ""})
_OPAQUE = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip")
_LINES = frozenset({"application/x-ndjson", "application/ndjson"})
_TEXTUAL = frozenset(
    {
        "application/javascript",
        "application/x-www-form-urlencoded",
        "application/x-yaml",
        "application/yaml",
        "application/toml",
        "application/graphql",
        "application/sql",
        "message/rfc822",
    }
)
_CHARSET = re.compile(r"charset\s*+=\s*+\"?([\w.:-]++)", re.IGNORECASE)


def encode(encoding: Encoding, value: Any) -> tuple[bytes, str]:
    """Answer the bytes of a request body and their Content-Type.

    Raises `InvalidArgument` for a value that the encoding has no form for.
    """
    if encoding == "json":
        return _json_bytes(value), "application/json"
    if encoding == "form":
        if not isinstance(value, Mapping):
            raise InvalidArgument("A form body is made of names and values")
        return form_text(value).encode("ascii"), "application/x-www-form-urlencoded"
    if encoding == "multipart":
        return _multipart(value)
    if encoding == "file":
        if not hasattr(value, "data"):
            raise InvalidArgument("There is no file to send")
        return value.data, value.type
    text = value if isinstance(value, str) else json_text(value)
    return _utf8(text), "text/plain; charset=utf-8"


def _multipart(values: Mapping[str, Any | File]) -> tuple[bytes, str]:
    """Write `multipart/form-data` (RFC 7578); the boundary is a digest of the parts, so not in them."""
    parts: list[bytes] = []
    for name, value in values.items():
        for part in value if isinstance(value, list | tuple) else (value,):
            head = f'Content-Disposition: form-data; name="{_escaped(name)}"'
            if hasattr(part, "data"):
                head += f'; filename="{_escaped(part.name)}"\r\nContent-Type: {part.type}'
                parts.append(_utf8(f"{head}\r\n\r\n") + part.data)
            else:
                parts.append(_utf8(f"{head}\r\n\r\n{_form_value(part)}"))
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:40]
    written = b"".join(b"--" + digest.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return written + f"--{digest}--\r\n".encode(), f"multipart/form-data; boundary={digest}"


def _escaped(name: str) -> str:
    """Escape a name as browsers do (WHATWG HTML §4.10.22.8): it cannot end its quotation or its line."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").replace("\0", "%00")


def json_text(value: Any) -> str:
    """Answer a value as compact JSON text."""
    return _json_bytes(value).decode()


def form_text(values: Mapping[str, Any]) -> str:
    """Write `application/x-www-form-urlencoded` (WHATWG URL §5): lists repeat their name.

    Booleans are `true` and `false`, null is an empty value; an object, or a list inside a list, is written
    as JSON, as Slack and others take them.
    """
    return "&".join(
        f"{quote_plus(_utf8(name))}={quote_plus(_utf8(_form_value(part)))}"
        for name, value in values.items()
        for part in (value if isinstance(value, list | tuple) else (value,))
    )


def _form_value(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_text(value)


def _json_bytes(value: Any) -> bytes:
    try:
        return to_json(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise InvalidArgument("A value cannot be written as JSON: it holds broken text or bytes") from error


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument("A text holds a broken character (half of a surrogate pair)") from error


def decode(response: Response) -> Any:
    """Answer what a body holds: JSON data, a text, bytes for what is neither, or None for nothing.

    Raises `UpstreamError` for an HTML page where data was to come, and for broken JSON. A number beyond what
    a float can hold (`1e999`) is infinity: write what was read here with `encode`, which makes it null.
    """
    body = response.body
    if not body or response.status in {204, 205, 304}:
        return None
    content_type = response.headers.get("content-type", "")
    media = content_type.partition(";")[0].strip().lower()
    if media.endswith("json"):
        if media in _LINES:
            return [_json(line, content_type) for line in body.splitlines() if line.strip()]
        return _json(body, content_type)
    if body[:8].lstrip(_BLANK)[:1] in _OPENING and not media.startswith(_OPAQUE):
        try:
            return from_json(body.lstrip(_BLANK), allow_inf_nan=False)
        except ValueError:
            pass  # It only looked like JSON.
    if media in _MARKUP and _HTML.match(body, 0, 4096):
        raise _page(body)
    if media.startswith("text/") or media.endswith("xml") or media in _TEXTUAL:
        return text_of(body, content_type)
    return _clean_text(body) if media == "" else body


def text_of(body: bytes, content_type: str = "") -> str:
    """Read bytes as text: by the charset that is named, else as UTF-8 (marked or not), else as Latin-1."""
    named = _CHARSET.search(content_type)
    for charset in (named.group(1) if named else "utf-8", "utf-8", "cp1252"):
        try:
            return body.decode("utf-8-sig" if charset.lower() in {"utf-8", "utf8"} else charset)
        except (UnicodeDecodeError, LookupError, ValueError):
            continue
    return body.decode("latin-1")


def _clean_text(body: bytes) -> str | bytes:
    """Answer text where bytes of no known type are text, else the bytes."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body
    return body if "\0" in text else text


def _json(body: bytes, content_type: str) -> Any:
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError:
        return _mended_json(body, content_type)


def _mended_json(body: bytes, content_type: str) -> Any:
    """Read what the parser refused: other charsets, a guard before it, bare control and half characters."""
    if not body.strip(_BLANK):
        return None
    if _HTML.match(body, 0, 4096):
        raise _page(body)
    charset = json.detect_encoding(body)
    text = text_of(body, content_type) if charset == "utf-8" else body.decode(charset, "replace")
    text = text.removeprefix("\ufeff")
    if (guard := _GUARD.match(text)) is not None:
        text = text[guard.end() :]
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        reason = str(error)
    if "control character" in reason or "escape" in reason:
        try:
            return whole(json.loads(text, strict=False, parse_constant=_refuse))
        except (ValueError, RecursionError) as error:
            reason = str(error)
    if "recursion" in reason:
        reason = "it is nested too deeply"
    elif "out of range" in reason:
        reason = "it holds a number that is too large"
    raise UpstreamError(f"The product's answer is not valid JSON: {reason}")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def whole(value: Any) -> Any:
    """Replace halves of surrogate pairs, which no encoding can hold, by U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [whole(part) for part in value]
    if isinstance(value, dict):
        return {whole(name): whole(part) for name, part in value.items()}
    return value


def _page(body: bytes) -> UpstreamError:
    if _SIGN_IN.search(body[:100_000]):
        return UpstreamError(
            "The product answered a sign-in page instead of data",
            hint="Check base_url, and that the linked credential is for its API; link the account again.",
        )
    return UpstreamError(
        "The product answered an HTML page instead of data", hint="Check base_url and the operation's path."
    )
