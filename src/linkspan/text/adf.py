"""Atlassian's document format (ADF) to Markdown and back.

https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/ says what there is. Reading
goes by way of HTML, so that what protects from hostile HTML protects here as well, wherever an element has an
attribute (`="`), which is all that a stranger could bring in; a node that is not known shows what is in it.
Writing goes from the tokens of the one Markdown parser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

from linkspan.text import html

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

Node = dict[str, Any]
DEEPEST: Final = 80
MOST_NODES: Final = 20_000
_MARKS: Final = {
    "strong": "strong", "em": "em", "code": "code", "strike": "del", "underline": "u", "subsup": "sub",
}  # fmt: skip
_BLOCKS: Final = {
    "paragraph": "p", "bulletList": "ul", "listItem": "li", "blockquote": "blockquote", "panel": "blockquote",
    "table": "table", "tableRow": "tr", "tableHeader": "th", "tableCell": "td", "taskList": "ul",
    "decisionList": "ul", "decisionItem": "li",
}  # fmt: skip
_NONE: Final[Mapping[str, Any]] = {}
_SPACED: Final = frozenset({"ul", "ol", "blockquote"})


def to_markdown(document: Any) -> Any:
    """Answer the Markdown of a document, or of a list of its nodes; a text stays as it is."""
    if isinstance(document, str) or document is None:
        return document
    made: list[str] = []
    _write(document, 0, [MOST_NODES, html.LONGEST], made)
    content = "".join(made)
    return html.to_markdown(content, is_clean='="' not in content)


def _write(node: Any, depth: int, budget: list[int], made: list[str]) -> None:
    """Add a node's HTML to what is made; `budget` is how many nodes and characters may still be read."""
    if depth > DEEPEST:
        return
    for part in node if node.__class__ is list else (node,):
        if part.__class__ is not dict:
            if part.__class__ is list:
                _write(part, depth + 1, budget, made)
            continue
        budget[0] -= 1
        if budget[0] < 0 or budget[1] < 0:
            return
        kind = part.get("type")
        if kind == "text":
            text = part.get("text", "")
            if text.__class__ is not str:
                text = str(text)
            budget[1] -= len(text)
            if "&" in text or "<" in text or ">" in text:
                text = escape(text, quote=False)
            marks = part.get("marks")
            made.append(_marked(text, marks) if marks else text)
            continue
        raw = part.get("attrs")
        _write_block(
            kind if kind.__class__ is str else "",
            part,
            raw if raw.__class__ is dict else _NONE,
            depth,
            budget,
            made,
        )


def _write_block(
    kind: str,
    node: Mapping[str, Any],
    attributes: Mapping[str, Any],
    depth: int,
    budget: list[int],
    made: list[str],
) -> None:
    content = node.get("content")
    if kind == "paragraph":
        made.append("<p>")
        _write(content, depth + 1, budget, made)
        made.append("</p>")
    elif (leaf := _LEAVES.get(kind)) is not None:
        made.append(leaf(attributes))
    elif kind == "codeBlock":
        language = escape(str(attributes.get("language") or ""))
        text = "".join(_plain(content))
        budget[1] -= len(text)
        made.append(f'<pre><code class="language-{language}">{escape(text, quote=False)}</code></pre>')
    elif kind == "taskItem":
        made.append("<li>[x] " if attributes.get("state") == "DONE" else "<li>[ ] ")
        _write(content, depth + 1, budget, made)
        made.append("</li>")
    elif kind in {"expand", "nestedExpand"}:
        made.append(f"<p><strong>{escape(str(attributes.get('title') or ''))}</strong></p>")
        _write(content, depth + 1, budget, made)
    else:
        opened, closed = _tag(kind, attributes)
        made.append(f"<{opened}>")
        _write(_tight(content) if kind == "listItem" else content, depth + 1, budget, made)
        made.append(f"</{closed}>\n" if closed in _SPACED else f"</{closed}>")


def _tight(content: Any) -> Any:
    """Answer a list item's content, its paragraph opened up where it is the only one."""
    if not isinstance(content, list):
        return content
    kinds = [node.get("type") if isinstance(node, Mapping) else None for node in content]
    if kinds[:1] != ["paragraph"] or kinds.count("paragraph") > 1:
        return content
    inner = content[0].get("content")
    return [*(inner if isinstance(inner, list) else []), *content[1:]]


def _tag(kind: str, attributes: Mapping[str, Any]) -> tuple[str, str]:
    if kind == "heading":
        level = attributes.get("level")
        name = f"h{level if isinstance(level, int) and 1 <= level <= 6 else 2}"
        return name, name
    if kind == "orderedList":
        order = attributes.get("order")
        return (f'ol start="{order}"' if isinstance(order, int) else "ol"), "ol"
    name = _BLOCKS.get(kind, "div")
    return name, name


def _media(attributes: Mapping[str, Any]) -> str:
    alt, url = escape(str(attributes.get("alt") or "")), escape(str(attributes.get("url") or ""))
    if url:
        return f'<img src="{url}" alt="{alt}">'
    return f"<p>[{attributes.get('type') or 'file'}: {alt or escape(str(attributes.get('id') or ''))}]</p>"


def _card(attributes: Mapping[str, Any]) -> str:
    url = escape(str(attributes.get("url") or ""))
    return f'<a href="{url}">{url}</a>' if url else ""


def _named(attributes: Mapping[str, Any]) -> str:
    return escape(str(attributes.get("text") or attributes.get("shortName") or ""))


def _marked(text: str, marks: Any) -> str:
    for mark in marks[:10] if isinstance(marks, list) else ():
        if mark.__class__ is not dict:
            continue
        kind, raw = mark.get("type"), mark.get("attrs")
        if kind == "link":
            href = raw.get("href") if isinstance(raw, Mapping) else None
            text = f'<a href="{escape(str(href or ""))}">{text}</a>'
        elif isinstance(kind, str) and kind in _MARKS:
            text = f"<{_MARKS[kind]}>{text}</{_MARKS[kind]}>"
    return text


def _plain(content: Any) -> Iterable[str]:
    for node in content if isinstance(content, list) else ():
        if isinstance(node, Mapping):
            yield "\n" if node.get("type") == "hardBreak" else str(node.get("text", ""))


def _day(timestamp: Any) -> str:
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(int(timestamp) / 1000, UTC).strftime("%Y-%m-%d")
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


_LEAVES: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "hardBreak": lambda _attributes: "<br>",
    "rule": lambda _attributes: "\n<hr>",
    "date": lambda attributes: escape(_day(attributes.get("timestamp"))),
    **dict.fromkeys(("mention", "emoji", "status", "placeholder"), _named),
    **dict.fromkeys(("inlineCard", "blockCard", "embedCard"), _card),
    **dict.fromkeys(("media", "mediaInline"), _media),
}


# Writing --------------------------------------------------------------------------------------------------


def from_markdown(markdown: str) -> Node:
    """Answer the document, as `POST /rest/api/3/issue/{id}/comment` takes it."""
    from markdown_it.tree import SyntaxTreeNode

    root = SyntaxTreeNode(html.parsed(markdown))
    content = [made for child in root.children for made in _node(child)]
    return {"version": 1, "type": "doc", "content": content or [{"type": "paragraph", "content": []}]}


def _node(node: SyntaxTreeNode) -> list[Node]:
    kind = node.type
    if kind == "heading":
        return [_made("heading", _inline(node), level=int(node.tag[1:]))]
    if kind == "paragraph":
        return [_made("paragraph", _inline(node))]
    if kind in {"bullet_list", "ordered_list"}:
        items = [_made("listItem", _item(child.children)) for child in node.children]
        if kind == "bullet_list":
            return [_made("bulletList", items)]
        return [_made("orderedList", items, order=int(node.attrs.get("start", 1)))]
    if kind == "blockquote":
        return [_made("blockquote", _item(node.children))]
    if kind in {"fence", "code_block"}:
        language = node.info.strip().partition(" ")[0] if kind == "fence" else ""
        text = node.content.removesuffix("\n")
        attributes = {"language": language} if language else {}
        return [_made("codeBlock", [{"type": "text", "text": text}] if text else [], **attributes)]
    if kind == "hr":
        return [{"type": "rule"}]
    if kind == "table":
        rows = [row for part in node.children for row in part.children]
        return [_made("table", [_made("tableRow", [_cell(cell) for cell in row.children]) for row in rows])]
    return [_made("paragraph", _inline(node))]


def _cell(node: SyntaxTreeNode) -> Node:
    kind = "tableHeader" if node.type == "th" else "tableCell"
    return _made(kind, [_made("paragraph", _inline(node))])


def _item(children: Sequence[SyntaxTreeNode]) -> list[Node]:
    """Answer what may stand in a list item or a quotation: a heading becomes bold, a quotation opens up."""
    made: list[Node] = []
    for node in (found for child in children for found in _node(child)):
        if node["type"] == "heading":
            made.append(
                _made("paragraph", [_with_mark(part, {"type": "strong"}) for part in node["content"]])
            )
        elif node["type"] in {"blockquote", "table"}:
            made += _opened(node)
        elif node["type"] != "rule":
            made.append(node)
    if not made or made[0]["type"] not in {"paragraph", "codeBlock"}:
        made.insert(0, _made("paragraph", []))
    return made


def _opened(node: Node) -> list[Node]:
    if node["type"] == "blockquote":
        return list(node["content"])
    return [paragraph for row in node["content"] for cell in row["content"] for paragraph in cell["content"]]


def _made(kind: str, content: list[Node], **attributes: Any) -> Node:
    node: Node = {"type": kind}
    if attributes:
        node["attrs"] = attributes
    return {**node, "content": content}


def _inline(node: SyntaxTreeNode) -> list[Node]:
    made: list[Node] = []
    for child in node.children:
        _spans(child, [], made)
    return made


_SPANS: Final = {"strong": "strong", "em": "em", "s": "strike"}


def _spans(node: SyntaxTreeNode, marks: list[Node], made: list[Node]) -> None:
    kind = node.type
    if kind in {"text", "code_inline"} and node.content:
        kept = [mark for mark in marks if mark["type"] == "link"] if kind == "code_inline" else marks
        kept = [*kept, {"type": "code"}] if kind == "code_inline" else kept
        made.append({"type": "text", "text": node.content, **({"marks": list(kept)} if kept else {})})
    elif kind == "softbreak":
        made.append({"type": "text", "text": " "})
    elif kind == "hardbreak":
        made.append({"type": "hardBreak"})
    elif kind == "image":
        url, alt = str(node.attrs.get("src", "")), node.content or "image"
        _spans_of_link(url, alt, marks, made)
    else:
        inner = marks
        if kind == "link" and not any(mark["type"] == "link" for mark in marks):
            inner = [*marks, {"type": "link", "attrs": {"href": str(node.attrs.get("href", ""))}}]
        elif kind in _SPANS and all(mark["type"] != _SPANS[kind] for mark in marks):
            inner = [*marks, {"type": _SPANS[kind]}]
        for child in node.children:
            _spans(child, inner, made)


def _spans_of_link(url: str, text: str, marks: list[Node], made: list[Node]) -> None:
    kept = [mark for mark in marks if mark["type"] != "link"]
    link = [{"type": "link", "attrs": {"href": url}}] if url else []
    made.append({"type": "text", "text": text, "marks": [*kept, *link]})


def _with_mark(node: Node, mark: Node) -> Node:
    marks = node.get("marks", [])
    if node["type"] != "text" or any(known["type"] in {mark["type"], "code"} for known in marks):
        return node
    return {**node, "marks": [*marks, mark]}
