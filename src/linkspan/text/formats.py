"""The markups that products write texts in, by name: from each to Markdown, and from Markdown to each.

Markdown is what models read and write. A converter never raises: what is no text of that markup stays as it
came, made a text. The converters are imported when the first text comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final


def _from_html(value: str) -> str:
    from linkspan.text import html

    return html.to_markdown(value)


def _from_adf(value: Any) -> Any:
    from linkspan.text import adf

    return adf.to_markdown(value)


def _from_wiki(value: str) -> str:
    from linkspan.text import markup

    return markup.from_wiki(value)


def _from_mrkdwn(value: str) -> str:
    from linkspan.text import markup

    return markup.from_mrkdwn(value)


def _to_html(value: str) -> str:
    from linkspan.text import html

    return html.from_markdown(value)


def _to_adf(value: str) -> Any:
    from linkspan.text import adf

    return adf.from_markdown(value)


def _to_wiki(value: str) -> str:
    from linkspan.text import markup

    return markup.to_wiki(value)


def _to_mrkdwn(value: str) -> str:
    from linkspan.text import markup

    return markup.to_mrkdwn(value)


def _only(kinds: type | tuple[type, ...], convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: convert(value) if isinstance(value, kinds) else value


READING: Final[dict[str, Callable[[Any], Any]]] = {
    "html": _only(str, _from_html),
    "adf": _only((dict, list), _from_adf),
    "wiki": _only(str, _from_wiki),
    "mrkdwn": _only(str, _from_mrkdwn),
}
WRITING: Final[dict[str, Callable[[Any], Any]]] = {
    "html": _only(str, _to_html),
    "adf": _only(str, _to_adf),
    "wiki": _only(str, _to_wiki),
    "mrkdwn": _only(str, _to_mrkdwn),
}
