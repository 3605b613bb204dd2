"""HTML that people and programs write: made harmless when it comes in, so that what is stored can be shown.

Only the elements of `_ALLOWED` stay, without any attribute but a link's address; everything else loses its
tags and keeps its text, except for elements whose content is no text (`script`, `style` …).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser

_ALLOWED = frozenset(
    [
        "p",
        "br",
        "hr",
        "strong",
        "b",
        "em",
        "i",
        "code",
        "pre",
        "ul",
        "ol",
        "li",
        "a",
        "blockquote",
        "h2",
        "h3",
        "h4",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    ]
)
_EMPTY = frozenset({"br", "hr"})
_DROPPED = frozenset(
    [
        "script",
        "style",
        "template",
        "iframe",
        "object",
        "svg",
        "math",
        "title",
        "textarea",
        "select",
        "noscript",
    ]
)
_BLOCKS = _ALLOWED - frozenset(["strong", "b", "em", "i", "code", "a", "td", "th"])
_MARKS = {
    "b": "**",
    "strong": "**",
    "i": "*",
    "em": "*",
    "code": "`",
    "hr": "\n\n---\n\n",
    "blockquote": "\n> ",
}
_MARKS |= {"h2": "\n\n## ", "h3": "\n\n### ", "h4": "\n\n#### "}
_LINK = re.compile(r"(https?://|mailto:)[^\s\x00-\x1f]+", re.IGNORECASE)

_NAMED_LINK = re.compile(r"\[([^\]\n]+)\]\((https?://[^\s()]+)\)")
_SPANS = re.compile(
    r"(`[^`]+`|\*\*[^*]+\*\*|\[[^\]\n]+\]\(https?://[^\s()]+\)|https?://[^\s<>\"']*[^\s<>\"'.,;:!?)])"
)


class _Cleaner(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.open: list[str] = []
        self.dropping: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED:
            self.dropping.append(tag)
        if self.dropping or tag not in _ALLOWED:
            return
        address = dict(attrs).get("href") or ""
        if tag == "a" and _LINK.fullmatch(address):
            self.out.append(f'<a href="{escape(address)}" rel="nofollow noopener noreferrer">')
        else:
            self.out.append(f"<{tag}>")
        if tag not in _EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.dropping:
            if tag == self.dropping[-1]:
                self.dropping.pop()
            return
        if tag in self.open:
            self.close_down_to(tag)

    def handle_data(self, data: str) -> None:
        if not self.dropping:
            self.out.append(escape(data, quote=False))

    def close_down_to(self, tag: str | None = None) -> None:
        while self.open:
            last = self.open.pop()
            self.out.append(f"</{last}>")
            if last == tag:
                return


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.out: list[str] = []
        self.links: list[str] = []
        self.lists: list[int | None] = []
        self.pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "pre":
            self.pre += 1
            self.out.append("\n\n```\n")
        elif tag == "a":
            self.links.append(dict(attrs).get("href") or "")
            self.out.append("[")
        elif tag in {"ul", "ol"}:
            self.lists.append(1 if tag == "ol" else None)
        elif tag == "li":
            number = self.lists[-1] if self.lists else None
            self.out.append("\n- " if number is None else f"\n{number}. ")
            if number is not None:
                self.lists[-1] = number + 1
        elif not (self.pre and tag in _MARKS):
            self.out.append(_MARKS.get(tag, "\n" if tag in _BLOCKS else ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self.pre = max(self.pre - 1, 0)
            self.out.append("\n```\n\n")
        elif tag == "a" and self.links:
            address = self.links.pop()
            self.out.append(f"]({address})" if address else "]")
        elif tag in {"ul", "ol"} and self.lists:
            self.lists.pop()
            self.out.append("\n\n")
        elif tag in {"p", "blockquote", "h2", "h3", "h4", "table"}:
            self.out.append("\n\n")
        elif tag in {"td", "th"}:
            self.out.append(" | ")
        elif not self.pre and tag in {"b", "strong", "i", "em", "code"}:
            self.out.append(_MARKS[tag])

    def handle_data(self, data: str) -> None:
        self.out.append(data if self.pre else re.sub(r"\s+", " ", data))


def clean_html(text: str) -> str:
    """Answer the HTML with nothing in it that could act, load or restyle anything."""
    cleaner = _Cleaner()
    cleaner.feed(text)
    cleaner.close()
    cleaner.close_down_to()
    return "".join(cleaner.out).strip()


def html_to_markdown(text: str) -> str:
    """Answer cleaned HTML as Markdown."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    lines = "".join(reader.out).splitlines()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in lines)).strip()


def markdown_to_html(text: str) -> str:
    """Answer Markdown as HTML. It knows paragraphs, headings, lists, fences, code, bold and links."""
    return "".join(_blocks(text.replace("\r\n", "\n").split("\n")))


def _blocks(lines: list[str]) -> Iterator[str]:
    held: list[str] = []
    fence: list[str] | None = None
    for line in [*lines, ""]:
        if line.startswith("```"):
            if fence is None:
                yield from _paragraph(held)
                held, fence = [], []
            else:
                yield _pre(fence)
                fence = None
        elif fence is not None:
            fence.append(line)
        elif line.strip():
            held.append(line)
        else:
            yield from _paragraph(held)
            held = []
    if fence is not None:  # never closed: what is there is shown all the same
        yield _pre(fence)


def _pre(lines: list[str]) -> str:
    return f"<pre><code>{escape(chr(10).join(lines).rstrip(), quote=False)}</code></pre>"


def _paragraph(lines: list[str]) -> Iterator[str]:
    if not lines:
        return
    if heading := re.match(r"(#{2,4}) +(.+)", lines[0]):
        level = len(heading[1])
        yield f"<h{level}>{_inline(heading[2])}</h{level}>"
        yield from _paragraph(lines[1:])
        return
    for tag, mark in (("ul", r"[-*] +"), ("ol", r"\d+[.)] +")):
        start = next((n for n, line in enumerate(lines) if re.match(mark, line.lstrip())), None)
        if start is None or not all(
            re.match(mark, line.lstrip()) or line.startswith(" ") for line in lines[start:]
        ):
            continue
        yield from _paragraph(lines[:start])
        items: list[str] = []
        for line in (line.strip() for line in lines[start:]):
            if re.match(mark, line):
                items.append(re.sub(f"^{mark}", "", line))
            else:
                items[-1] += f" {line}"
        yield f"<{tag}>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + f"</{tag}>"
        return
    yield "<p>" + _inline(" ".join(line.strip() for line in lines)) + "</p>"


def _inline(text: str) -> str:
    return "".join(_span(part) for part in _SPANS.split(text))


def _span(part: str) -> str:
    if len(part) > 2 and part[0] == part[-1] == "`":
        return f"<code>{escape(part[1:-1], quote=False)}</code>"
    if len(part) > 4 and part.startswith("**") and part.endswith("**"):
        return f"<strong>{escape(part[2:-2], quote=False)}</strong>"
    if named := _NAMED_LINK.fullmatch(part):
        return _anchor(named[2], named[1])
    if _LINK.fullmatch(part):
        return _anchor(part, part)
    return escape(part, quote=False)


def _anchor(address: str, words: str) -> str:
    return f'<a href="{escape(address)}" rel="nofollow noopener noreferrer">{escape(words, quote=False)}</a>'
