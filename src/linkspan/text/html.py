"""HTML to Markdown and back. What comes in was written by strangers: what comes out is harmless and small.

Ammonia (`nh3`) keeps a list of elements and of URL schemes, `html-to-markdown` writes what is left. Both are
compiled; what makes them slow (megabytes, thousands of levels) is cut off or made plain text before.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any, Final

from linkspan.errors import InvalidArgument

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token
    from nh3 import Cleaner

LONGEST: Final = 200_000
"""Characters of a text that are converted; what is beyond is cut off."""
LONGEST_SENT: Final = 100_000
CUT: Final = "\n\n[The text goes on; the rest was cut off.]"
DEEPEST: Final = 100
"""Levels of elements. Beyond them only the words are kept."""

_TAGS: Final = frozenset(
    [
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "caption",
        "cite",
        "code",
        "dd",
        "del",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "tt",
        "u",
        "ul",
        "var",
    ]
)
_ATTRIBUTES: Final = {
    "a": {"href", "title"},
    "code": {"class"},
    "img": {"src", "alt", "title"},
    "ol": {"start"},
    "*": {"hidden", "aria-hidden", "style"},
}
"""`style` is read for what it hides and never written."""
_STYLES: Final = frozenset({"display", "visibility"})
_SCHEMES: Final = frozenset({"http", "https", "mailto"})
_TAG: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*+)[^<>]*+>")
_ANY_TAG: Final = re.compile(r"<[^<>]*+>?")
_VOID: Final = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_VERBATIM: Final = re.compile(r"(<(pre|code)\b[^>]*+>.*?</\2>)", re.DOTALL)


def to_markdown(html: str, *, is_clean: bool = False) -> str:
    """Answer Markdown without scripts, hidden text, raw HTML and links other than http, https and mailto.

    `is_clean` says that we wrote the HTML ourselves: balanced elements of this module's list, fewer than
    `DEEPEST` levels of them, without an attribute, and nothing of a stranger's but escaped text.
    """
    cut = len(html) > LONGEST
    if cut:
        html, is_clean = html[:LONGEST].rpartition("<")[0] or html[:LONGEST], False
    if is_clean:
        clean = html
    else:
        if html.count("<") > DEEPEST and _is_deep(html):
            html = _ANY_TAG.sub(" ", html)
        clean = _cleaner().clean(html)
    if "&lt;" in clean:
        clean = _kept_literal(clean)
    content = _written(clean)
    return content.strip() + CUT if cut else content.strip()


def _written(clean: str) -> str:
    """Write HTML that is clean as Markdown.

    The options are made once. The library's own function makes them anew for every text, which takes as long
    as half of the writing; without metadata, which nobody asks for, its quicker way through is open.
    """
    convert, options = _writer()
    return convert(clean, options).content or ""


@functools.cache
def _writer() -> tuple[Any, Any]:
    from html_to_markdown import _html_to_markdown as compiled

    options = compiled.ConversionOptions(extract_metadata=False, tier_strategy=compiled.TierStrategy.TIER1)
    return compiled.convert, options


def from_markdown(markdown: str) -> str:
    """Answer HTML; HTML in the Markdown is text, and links go to http, https and mailto."""
    rendered: str = _parser().renderer.render(parsed(markdown), _parser().options, {})
    return rendered.strip()


def parsed(markdown: str) -> list[Token]:
    """Answer the tokens of a text that is to be sent; raises `InvalidArgument` where it is too long."""
    if len(markdown) > LONGEST_SENT:
        raise InvalidArgument(
            f"the text has {len(markdown)} characters; the most that can be sent is {LONGEST_SENT}",
            hint="Send it in parts.",
        )
    return _parser().parse(markdown)


@functools.cache
def _parser() -> MarkdownIt:
    """Answer the one reader of Markdown: CommonMark with tables and strikethrough, without HTML."""
    from markdown_it import MarkdownIt

    made = MarkdownIt("commonmark", {"html": False, "maxNesting": 40}).enable(["table", "strikethrough"])
    made.validateLink = _is_safe_link  # type: ignore[method-assign]
    return made


def _is_safe_link(url: str) -> bool:
    scheme, colon, _ = url.strip().lower().partition(":")
    return not colon or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or scheme in _SCHEMES


@functools.cache
def _cleaner() -> Cleaner:
    """Answer what is kept of HTML, compiled once: to build it takes as long as to clean 2 KB."""
    import nh3

    return nh3.Cleaner(
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        url_schemes=set(_SCHEMES),
        link_rel=None,
        filter_style_properties=set(_STYLES),
        clean_content_tags={"script", "style", "template", "noscript", "iframe", "object", "head", "title"},
    )


def _is_deep(html: str) -> bool:
    depth = 0
    for found in _TAG.finditer(html):
        if found[1]:
            depth = max(0, depth - 1)
        elif found[2].lower() not in _VOID:
            depth += 1
            if depth > DEEPEST:
                return True
    return False


def _kept_literal(clean: str) -> str:
    """Keep `&lt;` escaped where Markdown would take what follows for HTML: everywhere but in code."""
    parts = _VERBATIM.split(clean)
    return "".join(
        part if index % 3 == 1 else part.replace("&lt;", "&amp;lt;")
        for index, part in enumerate(parts)
        if index % 3 != 2
    )
