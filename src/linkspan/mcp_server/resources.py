"""Resource URIs: those that follow from entities, and those that tools.yaml declares.

`linkspan://ticket/42` is the ticket with the id `42`; `linkspan://ticket/acc_1/42` the same of one account.
An id is percent-encoded whole (RFC 6570 simple expansion does that), so a slash in it is `%2F`. What it says
decoded is the tool's argument, whatever it is: an id has one meaning, and the tool's own rules judge it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

from linkspan.mcp_server.protocol import INVALID_PARAMS, Fault
from linkspan.spec.catalog import Resource

SCHEME: Final = "linkspan://"
MAX_URI: Final = 2048
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class EntityUri:
    """A thing of an entity, perhaps of one account."""

    entity: str
    id: str
    account: str | None = None


def entity_uri(entity: str, id_: str, account: str | None = None) -> str:
    """Answer the URI of a thing."""
    middle = f"{quote(account, safe='')}/" if account else ""
    return f"{SCHEME}{entity}/{middle}{quote(id_, safe='')}"


def parse_entity_uri(uri: str) -> EntityUri | None:
    """Answer what a `linkspan://` URI names, or None when it has not that form.

    Raises `Fault` for a part that is no encoded text: nothing, a query, escapes that are none.
    """
    if not uri.startswith(SCHEME):
        return None
    entity, *parts = uri[len(SCHEME) :].split("/")
    if not _WORD.match(entity) or len(parts) not in (1, 2):
        return None
    decoded = [_decoded(part) for part in parts]
    return EntityUri(entity, decoded[-1], decoded[0] if len(decoded) == 2 else None)


def match(resources: Sequence[Resource], uri: str) -> tuple[Resource, dict[str, str]] | None:
    """Answer the declared resource that a URI names, and the values of its template."""
    for resource in resources:
        if resource.uri == uri:
            return resource, {}
        if "{" in resource.uri:
            found = _pattern(resource.uri).match(uri)
            if found:
                return resource, {name: _decoded(part) for name, part in found.groupdict().items()}
    return None


def _pattern(template: str) -> re.Pattern[str]:
    parts = _PLACEHOLDER.split(template)
    return re.compile(
        "".join(f"(?P<{part}>[^/?#]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts))
        + r"\Z"
    )


def _decoded(part: str) -> str:
    try:
        text = unquote(part, errors="strict")
    except UnicodeDecodeError:
        text = ""
    if not text or _BAD_ESCAPE.search(part) or "?" in part or "#" in part:
        raise Fault(INVALID_PARAMS, f"Unknown resource: {part[:100]!r} cannot be part of a resource's URI")
    return text
