"""Atlassian's wiki markup and Slack's mrkdwn, to Markdown and back.

Both are line by line, with a few spans in each: reading is a handful of linear patterns, code first, since
nothing in code means anything. Writing goes from the tokens of the one Markdown parser.

https://jira.atlassian.com/secure/WikiRendererHelpAction.jspa?section=all and
https://docs.slack.dev/messaging/formatting-message-text/ are the two descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, Final

from linkspan.text.html import CUT, LONGEST, parsed

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

_LINK: Final = re.compile(r"(?:https?://|mailto:)[^\s<>|\]]+\Z", re.IGNORECASE)


def _shortened(text: str) -> tuple[str, str]:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return (text[:LONGEST], CUT) if len(text) > LONGEST else (text, "")


def _link(label: str, url: str) -> str:
    """Answer a Markdown link; only the words where the address is none that may be followed."""
    url, label = url.strip(), label.strip()
    if not _LINK.match(url):
        return label or url
    return f"[{label}]({url})" if label and label != url else f"<{url}>"


# Slack ----------------------------------------------------------------------------------------------------

_FENCE: Final = re.compile(r"(```(?:(?!```).)*+```|`[^`\n]++`)", re.DOTALL)
_REFERENCE: Final = re.compile(r"<([^<>\n]{1,3000})>")


def _strong(found: re.Match[str]) -> str:
    return f"**{found[1]}**"


def _struck(found: re.Match[str]) -> str:
    return f"~~{found[1]}~~"


_SLACK_SPANS: Final = (
    (
        "*",
        re.compile(r"\*(?<![\w*]\*)([^\s*](?:[^*\n]*[^\s*])?)\*(?![\w*])"),
        lambda found: f"**{found[1]}**",
    ),
    ("~", re.compile(r"~(?<![\w~]~)([^\s~](?:[^~\n]*[^\s~])?)~(?![\w~])"), _struck),
)
"""The mark comes first in each pattern, then what may not stand before it: so the engine looks for a letter
rather than trying every place."""
_QUOTED: Final = re.compile(r"^&gt; ?", re.MULTILINE)
_BULLET: Final = re.compile(r"^( *)[•◦▪]\s*+", re.MULTILINE)


def from_mrkdwn(text: str) -> str:
    """Answer the Markdown of a message as Slack gives it: `<…>` are links, mentions and dates."""
    text, cut = _shortened(text)
    made = []
    for index, part in enumerate(_FENCE.split(text) if "`" in text else [text]):
        if index % 2:
            made.append(_slack_code(part))
            continue
        shown = _REFERENCE.sub(_slack_reference, part)
        for mark, pattern, replacement in _SLACK_SPANS:
            if mark in shown:
                shown = pattern.sub(replacement, shown)
        if not shown.isascii():
            shown = _BULLET.sub(r"\1- ", shown)
        made.append(_QUOTED.sub("> ", shown) if "&gt;" in shown else shown)
    return _unescaped("".join(made)).strip() + cut


def _slack_code(part: str) -> str:
    if not part.startswith("```"):
        return part
    return f"\n```\n{part[3:-3].strip(chr(10))}\n```\n"


def _slack_reference(found: re.Match[str]) -> str:
    target, bar, label = found[1].partition("|")
    if target.startswith(("@", "#")):
        return f"{target[0]}{label.removeprefix(target[0])}" if label else target
    if target.startswith("!"):
        word = target[1:].partition("^")[0]
        return label.lstrip("@") if bar and word in {"date", "subteam"} else f"@{label.lstrip('@') or word}"
    return _link(label, target)


def _unescaped(text: str) -> str:
    """Undo Slack's three escapes; a `<` stays escaped where Markdown would take what follows for HTML."""
    if "&" not in text and "<" not in text:
        return text
    parts = _FENCE.split(text)
    return "".join(
        unescape(part) if index % 2 else _OPENING.sub("&lt;", unescape(part))
        for index, part in enumerate(parts)
    )


_OPENING: Final = re.compile(r"<(?=[A-Za-z/!?])(?!https?://|mailto:)")


# Wiki markup ----------------------------------------------------------------------------------------------

_BLOCK: Final = re.compile(
    r"\{(code|noformat)(?::([^}\n]{0,200}))?\}((?:(?!\{\1[}:]).)*+)\{\1\}", re.DOTALL | re.IGNORECASE
)
_MACRO: Final = re.compile(
    r"\{(?:color|panel|quote|anchor|section|column|expand)(?::[^}\n]{0,300})?\}", re.IGNORECASE
)
_HEADING: Final = re.compile(r"h([1-6])\.\s*+(.*)\Z")
_LIST: Final = re.compile(r"([*#-]{1,10})\s++(.*)\Z")
_WIKI_SPANS: Final = (
    (
        "*",
        re.compile(r"\*(?<![\w*\\]\*)([^\s*](?:[^*\n]*[^\s*])?)\*(?![\w*])"),
        lambda found: f"**{found[1]}**",
    ),
    ("??", re.compile(r"\?\?(?<![\w\\]\?\?)([^?\n]+)\?\?(?!\w)"), lambda found: f"*{found[1]}*"),
    ("-", re.compile(r"-(?<![\w\\-]-)([^\s-](?:[^\n-]*[^\s-])?)-(?![\w-])"), _struck),
    ("+", re.compile(r"\+(?<![\w\\+]\+)([^\s+](?:[^+\n]*[^\s+])?)\+(?![\w+])"), lambda found: found[1]),
)
_WIKI_CODE: Final = re.compile(r"\{\{([^{}\n]{1,300})\}\}")
_MARKED: Final = re.compile(r"[*_{\[!+^~\\<?\x00-]")
"""What a line without holds no markup at all."""
_KEPT: Final = re.compile(r"\x00(\d{1,9})\x00")
_ESCAPED: Final = re.compile(r"\\([*_{}\[\]!|+^~#-])")
_WIKI_LINK: Final = re.compile(r"\[([^\[\]\n]{1,2000})\]")
_WIKI_IMAGE: Final = re.compile(r"!([^\s!|][^!\n|]{0,500})(?:\|[^!\n]{0,200})?!(?!\w)")
_LANGUAGE: Final = re.compile(r"[A-Za-z0-9+#_-]{1,30}\Z")


def from_wiki(text: str) -> str:
    """Answer the Markdown of a text in the markup of Jira and Confluence before their document format."""
    text, cut = _shortened(text)
    made: list[str] = []
    end = 0
    for found in _BLOCK.finditer(text):
        made.append(_wiki_lines(text[end : found.start()]))
        language = (found[2] or "").partition("|")[0] if found[1].lower() == "code" else ""
        made.append(f"```{language if _LANGUAGE.match(language) else ''}\n{found[3].strip(chr(10))}\n```")
        end = found.end()
    made.append(_wiki_lines(text[end:]))
    return "\n\n".join(part for part in made if part).strip() + cut


def _wiki_lines(text: str) -> str:
    lines: list[str] = []
    quoted, in_table = False, False
    for written in text.split("\n"):
        if not written:
            lines.append("> " if quoted else "")
            in_table = False
            continue
        if written.count("{quote}") % 2:
            quoted = not quoted
            if written.strip() == "{quote}":
                continue
        line = _MACRO.sub("", written).strip() if "{" in written else written.strip()
        is_row = line.startswith("|") and line.endswith("|") and len(line) > 1
        shown = _wiki_row(line, first=not in_table) if is_row else _wiki_line(line)
        in_table = is_row
        lines.append(f"> {shown}" if quoted else shown)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _wiki_line(line: str) -> str:
    if line.startswith("----") and not line.strip("-"):
        return "---"
    if found := _HEADING.match(line):
        return f"{'#' * int(found[1])} {_wiki_spans(found[2])}"
    if line.startswith("bq. "):
        return f"> {_wiki_spans(line[4:])}"
    if (found := _LIST.match(line)) and (len(found[1]) < 2 or set(found[1]) != {"-"}):
        marks = found[1]
        indent = "".join("   " if mark == "#" else "  " for mark in marks[:-1])
        return f"{indent}{'1.' if marks[-1] == '#' else '-'} {_wiki_spans(found[2])}"
    return _wiki_spans(line)


def _wiki_row(line: str, *, first: bool) -> str:
    is_head = line.startswith("||")
    cells = [cell.strip() for cell in line.strip("|").split("||" if is_head else "|")]
    row = "| " + " | ".join(_wiki_spans(cell) for cell in cells) + " |"
    ruler = "|" + " --- |" * len(cells)
    if not first:
        return row
    return f"{row}\n{ruler}" if is_head else f"|{'  |' * len(cells)}\n{ruler}\n{row}"


def _wiki_spans(text: str) -> str:
    def link(found: re.Match[str]) -> str:
        label, bar, target = found[1].partition("|")
        if found[1].startswith("~"):
            return f"@{found[1][1:]}"
        url = target.partition("|")[0] if bar else label
        return _link(label if bar else "", url) if _LINK.match(url.strip()) else (label if bar else found[0])

    kept: list[str] = []

    def keep(shown: str) -> str:
        kept.append(shown)
        return f"\x00{len(kept) - 1}\x00"

    if _MARKED.search(text) is None:
        return text
    if "\x00" in text or "\\" in text:
        text = text.replace("\x00", "").replace("\\\\", "  \n")
        text = _ESCAPED.sub(lambda found: keep(found[1]), text)
    if "{{" in text:
        text = _WIKI_CODE.sub(lambda found: keep(f"`{found[1]}`"), text)
    if "[" in text:
        text = _WIKI_LINK.sub(
            lambda found: keep(shown) if (shown := link(found)) != found[0] else shown, text
        )
    if "!" in text:
        text = _WIKI_IMAGE.sub(lambda found: keep(_image(found[1])), text)
    for mark, pattern, replacement in _WIKI_SPANS:
        if mark in text:
            text = pattern.sub(replacement, text)
    if not kept and "<" not in text:
        return text
    text = re.sub(r"<(?=[A-Za-z/!?\x00])", "&lt;", text)
    return _KEPT.sub(lambda found: _KEPT.sub(lambda inner: kept[int(inner[1])], kept[int(found[1])]), text)


def _image(target: str) -> str:
    return f"![]({target})" if _LINK.match(target) else f"[image: {target}]"


# Writing --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How one markup writes what Markdown has."""

    text: Callable[[str], str]
    spans: dict[str, str]
    code: Callable[[str], str]
    link: Callable[[str, str], str]
    heading: Callable[[str, int], str]
    fence: Callable[[str, str], str]
    quote: Callable[[str], str]
    marks: Callable[[list[str], int], str]
    """What stands before an item: the kinds of lists it is in, outermost first, and its number."""
    row: Callable[[list[str], bool], str]
    rule: str


_SLACK_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_WIKI_SPECIAL: Final = re.compile(r"([{}\[\]|*!])|(?<!\w)([_+^~-])(?=\S)|(?<=\S)([_+^~-])(?!\w)")


def _slack_text(text: str) -> str:
    return text.translate(_SLACK_ESCAPES)


def _slack_marks(kinds: list[str], number: int) -> str:
    return "    " * (len(kinds) - 1) + (f"{number}. " if kinds[-1] == "ordered_list" else "• ")


def _wiki_marks(kinds: list[str], _number: int) -> str:
    return "".join("#" if kind == "ordered_list" else "*" for kind in kinds) + " "


_SLACK: Final = _Dialect(
    text=_slack_text,
    spans={"strong": "*", "em": "_", "s": "~"},
    code=lambda text: f"`{_slack_text(text)}`",
    link=lambda label, url: f"<{_slack_text(url).replace('|', '%7C')}|{label}>" if label else f"<{url}>",
    heading=lambda text, _level: f"*{text.replace('*', '')}*",
    fence=lambda text, _language: f"```\n{_slack_text(text)}\n```",
    quote=lambda text: "\n".join(f"> {line}" for line in text.split("\n")),
    marks=_slack_marks,
    row=lambda cells, _is_head: " | ".join(cells),
    rule="———",
)
_WIKI: Final = _Dialect(
    text=lambda text: _WIKI_SPECIAL.sub(lambda found: f"\\{found[0]}", text),
    spans={"strong": "*", "em": "_", "s": "-"},
    code=lambda text: "{{" + text.replace("}}", "} }") + "}}",
    link=lambda label, url: f"[{label.replace('|', ' ')}|{url}]" if label else f"[{url}]",
    heading=lambda text, level: f"h{level}. {text}",
    fence=lambda text, language: (
        f"{{code{':' + language if language else ''}}}\n{text.replace('{code', '{ code')}\n{{code}}"
    ),
    quote=lambda text: f"{{quote}}\n{text}\n{{quote}}",
    marks=_wiki_marks,
    row=lambda cells, is_head: ("||" if is_head else "|") + ("||" if is_head else "|").join(cells)
    + ("||" if is_head else "|"),
    rule="----",
)  # fmt: skip


def to_mrkdwn(markdown: str) -> str:
    """Answer a message for Slack. Nothing in it mentions anybody: `<`, `>` and `&` are escaped."""
    return _written(markdown, _SLACK)


def to_wiki(markdown: str) -> str:
    """Answer a text in wiki markup."""
    return _written(markdown, _WIKI)


def _written(markdown: str, dialect: _Dialect) -> str:
    from markdown_it.tree import SyntaxTreeNode

    root = SyntaxTreeNode(parsed(markdown))
    return "\n\n".join(_blocks(root, dialect, [])).strip()


def _blocks(node: SyntaxTreeNode, dialect: _Dialect, lists: list[str]) -> Iterator[str]:
    for child in node.children:
        kind = child.type
        if kind == "heading":
            yield dialect.heading(_inline(child, dialect), int(child.tag[1:]))
        elif kind in {"bullet_list", "ordered_list"}:
            yield "\n".join(_items(child, dialect, [*lists, kind]))
        elif kind == "blockquote":
            yield dialect.quote("\n\n".join(_blocks(child, dialect, [])))
        elif kind in {"fence", "code_block"}:
            language = child.info.strip().partition(" ")[0] if kind == "fence" else ""
            language = language if _LANGUAGE.match(language) else ""
            yield dialect.fence(child.content.removesuffix("\n"), language)
        elif kind == "hr":
            yield dialect.rule
        elif kind == "table":
            rows = [row for part in child.children for row in part.children]
            yield "\n".join(
                dialect.row([_inline(cell, dialect) for cell in row.children], number == 0)
                for number, row in enumerate(rows)
            )
        else:
            yield _inline(child, dialect)


def _items(node: SyntaxTreeNode, dialect: _Dialect, lists: list[str]) -> Iterator[str]:
    start = node.attrs.get("start", 1)
    for number, item in enumerate(node.children, int(start)):
        parts = list(_blocks(item, dialect, lists))
        own = not item.children or item.children[0].type not in {"bullet_list", "ordered_list"}
        first = parts.pop(0) if parts and own else ""
        yield "\n".join([dialect.marks(lists, number) + first, *parts])


def _inline(node: SyntaxTreeNode, dialect: _Dialect) -> str:
    return "".join(_span(child, dialect) for child in node.children)


def _span(node: SyntaxTreeNode, dialect: _Dialect) -> str:
    kind = node.type
    if kind == "text":
        return dialect.text(node.content)
    if kind == "code_inline":
        return dialect.code(node.content)
    if kind in {"softbreak", "hardbreak"}:
        return "\n"
    if kind == "link":
        label, url = _inline(node, dialect), str(node.attrs.get("href", ""))
        return dialect.link("" if label == dialect.text(url) else label, url) if url else label
    if kind == "image":
        return dialect.link(dialect.text(node.content or "image"), str(node.attrs.get("src", "")))
    inner = _inline(node, dialect)
    mark = dialect.spans.get(kind, "")
    return f"{mark}{inner}{mark}" if inner.strip() else inner
