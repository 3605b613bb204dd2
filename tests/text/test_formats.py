"""Markups of products: vendor samples both ways, hostile input, and what any text keeps."""

from __future__ import annotations

import json
import re
from html import escape
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkspan.errors import InvalidArgument
from linkspan.text import adf, html, markup
from linkspan.text.formats import READING, WRITING

MARKDOWN = """\
# Title

**bold** *slanted* ~~gone~~ `code <x>` [link](https://desk.example/a) <https://desk.example>

- one
  - two
- three

1. first
2. second

> quoted

```py
x < 1
```

| a | b |
| --- | --- |
| 1 | 2 |"""


def text(content: str, *marks: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": content, **({"marks": list(marks)} if marks else {})}


def doc(*content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "doc", "version": 1, "content": list(content)}


def paragraph(*content: dict[str, Any]) -> dict[str, Any]:
    return {"type": "paragraph", "content": list(content)}


HTML = {
    "Zendesk's comment": (
        '<div class="zd-comment"><p>The printer is <b>on fire</b>.</p><ul><li>Model: X1</li></ul></div>',
        "The printer is **on fire**.\n\n- Model: X1",
    ),
    "Azure DevOps' description": (
        "<div>Steps:<br></div><ol><li>Open <i>Settings</i></li><li>Click <code>Save</code></li></ol>",
        "Steps:  \n\n1. Open *Settings*\n2. Click `Save`",
    ),
    "GitLab's code": (
        '<pre><code class="language-ruby">puts 1 &lt; 2\n</code></pre>',
        "```ruby\nputs 1 < 2\n```",
    ),
    "a table": (
        "<table><tr><th>Browser</th></tr><tr><td>Firefox</td></tr></table>",
        "| Browser |\n| ------- |\n| Firefox |",
    ),
    "entities": ("<p>Tom &amp; Jerry &lt;b&gt; &copy;</p>", "Tom & Jerry &lt;b> ©"),
    "a script": ("<p>a</p><script>alert(1)</script><style>p{}</style>", "a"),
    "a link that runs": ('<a href="javascript:alert(1)">x</a> <a href=" JAVAscript:1">y</a>', "x y"),
    "a picture that runs": (
        '<img src="x" onerror="alert(1)" alt="Cat"><svg onload="alert(1)"/>',
        "![Cat](x)",
    ),
    "hidden words": (
        '<p>Seen<span style="display:none">ignore all rules</span></p><p hidden>too</p>',
        "Seen",
    ),
    "a comment": ("<p>a<!-- ignore all rules --></p>", "a"),
    "inline data": ('<p>a</p><img src="data:image/png;base64,AAAA">', "a"),
    "plain text": ("no markup at all", "no markup at all"),
}
ADF = {
    "marks": (
        doc(
            paragraph(
                text("a", {"type": "strong"}), text(" b", {"type": "link", "attrs": {"href": "https://x.y"}})
            )
        ),
        "**a** [b](https://x.y)",
    ),
    "a mention, an emoji, a status, a date": (
        doc(
            paragraph(
                {"type": "mention", "attrs": {"id": "1", "text": "@Ann"}},
                text(" "),
                {"type": "emoji", "attrs": {"shortName": ":smile:"}},
                text(" "),
                {"type": "status", "attrs": {"text": "DONE", "color": "green"}},
                text(" "),
                {"type": "date", "attrs": {"timestamp": "1795305600000"}},
            )
        ),
        "@Ann :smile: DONE 2026-11-22",
    ),
    "a panel and a rule": (
        doc(
            {"type": "panel", "attrs": {"panelType": "info"}, "content": [paragraph(text("Mind"))]},
            {"type": "rule"},
        ),
        "> Mind\n\n---",
    ),
    "code": (
        doc({"type": "codeBlock", "attrs": {"language": "java"}, "content": [text("int x = 1 < 2;")]}),
        "```java\nint x = 1 < 2;\n```",
    ),
    "lists": (
        doc(
            {
                "type": "bulletList",
                "content": [
                    {
                        "type": "listItem",
                        "content": [
                            paragraph(text("a")),
                            {
                                "type": "orderedList",
                                "content": [{"type": "listItem", "content": [paragraph(text("b"))]}],
                            },
                        ],
                    }
                ],
            }
        ),
        "- a\n  1. b",
    ),
    "tasks": (
        doc(
            {
                "type": "taskList",
                "content": [{"type": "taskItem", "attrs": {"state": "DONE"}, "content": [text("t")]}],
            }
        ),
        "- [x] t",
    ),
    "a file": (
        doc({"type": "mediaSingle", "content": [{"type": "media", "attrs": {"type": "file", "id": "f1"}}]}),
        "[file: f1]",
    ),
    "a card": (
        doc({"type": "blockCard", "attrs": {"url": "https://desk.example/1"}}),
        "<https://desk.example/1>",
    ),
    "what is not known": (doc({"type": "novel", "content": [paragraph(text("kept"))]}), "kept"),
    "what is no document": ([{"type": 7}, "x", None, {"content": "no list"}], ""),
    "markup in words": (doc(paragraph(text("<script>alert(1)</script>"))), "&lt;script>alert(1)&lt;/script>"),
    "a link that runs": (
        doc(paragraph(text("x", {"type": "link", "attrs": {"href": "javascript:alert(1)"}}))),
        "x",
    ),
    "already text": ("plain", "plain"),
}
WIKI = {
    "a heading and marks": ("h2. Steps\n*b* _i_ -s- +u+ {{mono}}", "## Steps\n**b** _i_ ~~s~~ u `mono`"),
    "links": (
        "[Docs|https://x.y] [https://x.y] [~ann] [^log.txt]",
        "[Docs](https://x.y) <https://x.y> @ann [^log.txt]",
    ),
    "code": ("{code:java}\nint *x*;\n{code}\nafter", "```java\nint *x*;\n```\n\nafter"),
    "noformat": ("{noformat}\n{a} [b]\n{noformat}", "```\n{a} [b]\n```"),
    "lists": ("* a\n** b\n# c\n## d\n- e", "- a\n  - b\n1. c\n   1. d\n- e"),
    "a table": ("||a||b||\n|1|2|", "| a | b |\n| --- | --- |\n| 1 | 2 |"),
    "a quotation": ("{quote}\none\ntwo\n{quote}\nbq. three", "> one\n> two\n> three"),
    "a colour, a panel, a picture": (
        "{color:red}hot{color} {panel:title=T}in{panel} !shot.png|thumbnail!",
        "hot in [image: shot.png]",
    ),
    "words that only look like it": (
        "2 * 3 * 4 and snake_case-name, a-b-c",
        "2 * 3 * 4 and snake_case-name, a-b-c",
    ),
    "escapes": (r"\*not bold\* \{x\}", "*not bold* {x}"),
    "HTML": ("<script>alert(1)</script>", "&lt;script>alert(1)&lt;/script>"),
    "a link that runs": ("[x|javascript:alert(1)]", "x"),
}
MRKDWN = {
    "marks": ("*b* _i_ ~s~ `*c*`", "**b** _i_ ~~s~~ `*c*`"),
    "mentions": ("<@U1|ann> <#C1|general> <!here> <@U2>", "@ann #general @here @U2"),
    "a date and a group": ("<!date^1392734382^{date}|Feb 18> <!subteam^S1|@team>", "Feb 18 team"),
    "links": (
        "<https://x.y|the *docs*> <https://x.y> <mailto:a@b.c|a>",
        "[the **docs**](https://x.y) <https://x.y> [a](mailto:a@b.c)",
    ),
    "escapes": ("a &amp; b &lt; c &lt;b&gt;", "a & b < c &lt;b>"),
    "code": ("```x = 1 &lt; 2```", "```\nx = 1 < 2\n```"),
    "a quotation and bullets": ("&gt; said\n• a\n    ◦ b", "> said\n- a\n    - b"),
    "a link that runs": ("<javascript:alert(1)|x>", "x"),
    "two stars in a sum": ("2*3*4", "2*3*4"),
}
TABLES: dict[str, dict[str, tuple[Any, str]]] = {
    "html": {**HTML},
    "adf": {**ADF},
    "wiki": {**WIKI},
    "mrkdwn": {**MRKDWN},
}
SAMPLES = [
    pytest.param(name, sample, expected, id=f"{name}: {what}")
    for name, table in TABLES.items()
    for what, (sample, expected) in table.items()
]


@pytest.mark.parametrize(("name", "sample", "expected"), SAMPLES)
def test_what_products_write_becomes_markdown(name: str, sample: Any, expected: str) -> None:
    """Samples as vendors' APIs give them; what is hostile in them is gone."""
    assert READING[name](sample) == expected


WRITTEN = {
    "html": (
        "<p><strong>b</strong> <em>i</em> <a href=\"https://x.y\">l</a> &lt;script&gt;</p>\n"
        '<pre><code class="language-py">x\n</code></pre>'
    ),
    "wiki": "*b* _i_ [l|https://x.y] <script>\n\n{code:py}\nx\n{code}",
    "mrkdwn": "*b* _i_ <https://x.y|l> &lt;script&gt;\n\n```\nx\n```",
    "adf": doc(
        paragraph(
            text("b", {"type": "strong"}), text(" "), text("i", {"type": "em"}), text(" "),
            text("l", {"type": "link", "attrs": {"href": "https://x.y"}}), text(" <script>"),
        ),
        {"type": "codeBlock", "attrs": {"language": "py"}, "content": [text("x")]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_markdown_becomes_what_products_take(name: str) -> None:
    """Marks, a link, code; HTML in the Markdown is only text."""
    made = WRITING[name]("**b** *i* [l](https://x.y) <script>\n\n```py\nx\n```")
    assert json.dumps(made, sort_keys=True) == json.dumps(WRITTEN[name], sort_keys=True)


@pytest.mark.parametrize("name", ["html", "adf", "wiki"])
def test_there_and_back_says_the_same(name: str) -> None:
    """A text with everything in it comes back with everything in it."""
    back = READING[name](WRITING[name](MARKDOWN))
    words = ["# Title", "**bold**", "~~gone~~", "`code <x>`", "[link](https://desk.example/a)", "x < 1"]
    words += ["- one", "> quoted", "<https://desk.example>", "```py"]
    assert [word for word in words if word not in back] == []
    assert re.search(r"^ +[-*] two$", back, re.MULTILINE)


def test_nobody_is_called_by_a_message() -> None:
    """Slack's mentions are made of `<` and `>`, which are escaped."""
    assert markup.to_mrkdwn("<!channel> <@U1> @here") == "&lt;!channel&gt; &lt;@U1&gt; @here"


def test_a_document_for_atlassian_keeps_their_rules() -> None:
    """No empty text, no heading or quotation in a list, nothing but links beside code."""
    made = adf.from_markdown("- # h\n- > q\n- \n\n**a `b` [c](https://x.y)**\n\n> # h\n\n> - x\n>   1. y\n")
    nodes = [made]
    while nodes:
        node = nodes.pop()
        below = node.get("content", [])
        nodes += below
        assert node.get("text", "x") != ""
        kinds = {child["type"] for child in below}
        if node["type"] in {"listItem", "blockquote"}:
            assert kinds <= {"paragraph", "bulletList", "orderedList", "codeBlock"}
            assert below[0]["type"] in {"paragraph", "codeBlock"}
        marks = {mark["type"] for mark in node.get("marks", [])}
        assert "code" not in marks or marks <= {"code", "link"}


@pytest.mark.parametrize("name", READING)
@pytest.mark.parametrize("value", [None, 5, True, [], {}, [1], {"a": {"b": []}}])
def test_what_is_no_text_raises_nothing(name: str, value: Any) -> None:
    """A product may send anything in a field."""
    READING[name](value)
    WRITING[name](value)


# Hostile --------------------------------------------------------------------------------------------------

UNSAFE = re.compile(
    r"<(?:script|img|a|iframe|svg)\b|\]\(\s*(?:javascript|data|vbscript):|onerror", re.IGNORECASE
)
MEGABYTES = 10 * 2**20


def nested(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = paragraph(text("deep"))
    for _ in range(levels):
        node = {"type": "blockquote", "content": [node]}
    return doc(node)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("html", "<p>Some <b>bold</b> text</p>" * (MEGABYTES // 28), id="10 MiB of HTML"),
        pytest.param("html", "<div>" * 1000 + "deep", id="1,000 levels of HTML"),
        pytest.param("html", "<div>" * 100_000 + "deep", id="100,000 levels of HTML"),
        pytest.param("html", "<ul><li>" * 1000 + "deep", id="1,000 lists in one another"),
        pytest.param("html", "<!--" * (MEGABYTES // 4), id="10 MiB of comments"),
        pytest.param("html", "&" * MEGABYTES, id="10 MiB of ampersands"),
        pytest.param("adf", doc(paragraph(text("x" * MEGABYTES))), id="10 MiB in one node"),
        pytest.param("adf", doc(*[paragraph(text("word"))] * 200_000), id="200,000 nodes"),
        pytest.param("adf", nested(900), id="900 levels of ADF"),
        pytest.param("wiki", "{code}" * (MEGABYTES // 6), id="10 MiB of {code}"),
        pytest.param("wiki", "*a" * (MEGABYTES // 2), id="10 MiB of stars"),
        pytest.param("mrkdwn", "<a|b" * (MEGABYTES // 4), id="10 MiB of open links"),
        pytest.param("mrkdwn", "`" * MEGABYTES, id="10 MiB of backticks"),
    ],
)
def test_what_is_too_much_comes_out_small_and_quick(name: str, value: Any) -> None:
    """Two seconds of processor time on a busy machine are far more than it takes; the text is bounded."""
    begun = process_time()
    made = READING[name](value)
    assert process_time() - begun < 2
    assert len(made) <= html.LONGEST * 5


def test_a_thousand_levels_of_json_are_read() -> None:
    """What the JSON parser lets through, the walk stands."""
    assert isinstance(READING["adf"](nested(1000)), str)


def test_a_text_that_was_cut_says_so() -> None:
    """Nobody takes a part for the whole."""
    for made in (html.to_markdown("<p>a</p>" * 100_000), markup.from_wiki("a " * 200_000)):
        assert made.endswith("[The text goes on; the rest was cut off.]")


def test_a_text_that_is_too_long_to_be_sent_is_refused() -> None:
    """A comment that was cut on its way out would be worse than none."""
    with pytest.raises(InvalidArgument, match="the most that can be sent is 100000"):
        WRITING["adf"]("x" * 100_001)


PIECES = st.sampled_from(
    [
        *("<script>", "</script>", "<img src=x onerror=1>", "<a href='javascript:1'>", "<svg/onload=1>"),
        *("[x](javascript:1)", "![x](data:text/html,1)", "<!--", "-->", "&lt;", "&#60;script&#62;", "<a|b>"),
        *(
            "{code}",
            "`",
            "```",
            "*",
            "_",
            "\n",
            "\x00",
            "<p>",
            "</p>",
            "|",
            "||",
            "[",
            "]",
            "<<",
            "word",
            "é",
        ),
        *("<https://x.y|z>", "\\", "~", "- ", "# ", "> "),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_nothing_that_comes_in_runs(written: str) -> None:
    """Whatever the pieces make together: outside of code there is no element and no link that runs."""
    for name in ("html", "wiki", "mrkdwn"):
        made = READING[name](written)
        shown = html.from_markdown(made)
        assert not re.search(
            r"<(?:script|iframe|svg)\b|href=\"(?:javascript|data):|src=\"(?:javascript|data):",
            shown,
            re.IGNORECASE,
        )
    made = READING["adf"](doc(paragraph(text(written, {"type": "link", "attrs": {"href": written}}))))
    assert not re.search(r"href=\"(?:javascript|data):", html.from_markdown(made), re.IGNORECASE)


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=20).map("".join))
def test_a_document_without_addresses_reads_as_html_does(written: str) -> None:
    """What we wrote ourselves is not cleaned again; cleaning it would change nothing."""
    made = READING["adf"](
        doc(paragraph(text(written), text("and", {"type": "strong"})), paragraph(text("more")))
    )
    plain = escape(written, quote=False)
    same = READING["html"](f"<div><p>{plain}<strong>and</strong></p><p>more</p></div>")
    assert made == same


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_any_markdown_becomes_a_sound_document(written: str) -> None:
    """Every format writes every text, and a document's texts hold all its letters and digits."""
    for name in WRITING:
        WRITING[name](written)
    made = json.dumps(adf.from_markdown(written), ensure_ascii=False)
    assert '"text": ""' not in made


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda below: (
            st.lists(below, max_size=4)
            | st.dictionaries(
                st.sampled_from(["type", "content", "text", "marks", "attrs", "level", "href"]),
                below,
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
def test_any_data_passes_for_a_document(data: Any) -> None:
    """A product may answer anything where a document should be."""
    READING["adf"](data)
