"""What a model or a stranger wrote, on its way to customers: the one filter between them.

A model reads what strangers wrote, and may repeat it to people who trust us. So nothing of its text loads by
itself (images), hides (comments, invisible characters), leads to somewhere else under another name (links),
calls a crowd (mentions), says a secret, or goes on without end. What is left reads the same everywhere.
A stranger's own words, which an operator's text repeats, are words and nothing else: no link, nobody called,
and nothing that a forge or a tracker takes for an order.

The filter does not know which parts are code: that is for each renderer to decide, and who wrote the text
could make the two disagree. Every change is one that code survives.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import Final

_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
_SECRETS: Final = re.compile(
    r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bsk-[\w-]{20,}"
    r"|\bxox[abeprs]-[\w-]{10,}|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[\w-]{30,}|\blsk_[a-z]+_[a-z0-9]+_[\w-]+"
    r"|\bey[A-Za-z0-9_-]{8,}\.ey[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
    r"|-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]{0,10000}(?:-----END [A-Z ]{0,40}PRIVATE KEY-----)?",
)
REMOVED: Final = "[secret removed]"
_CHARACTER: Final = re.compile(
    r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|colon|sol|bsol|commat|num|excl|period|lpar|rpar|lsqb|lbrack|rsqb|rbrack"
    r"|lbrace|rbrace|lcub|rcub|lowbar|Tab|NewLine|nbsp|shy|zwnj|zwj|lrm|rlm);"
)
"""What Markdown takes for another character (CommonMark §2.5), also within the address of a link."""
_NAMED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_TAGS: Final = re.compile(
    r"<(?=/?\s*(?:a|area|audio|base|button|embed|form|frame|iframe|img|input|link|map|math|meta|object|picture"
    r"|script|source|style|svg|textarea|track|video)\b|[!?])",
    re.IGNORECASE,
)
_IMAGE: Final = re.compile(r"!+(?=\[)")
_AUTOLINK: Final = re.compile(r"<((?:https?:)?//[^\s<>]{1,2000})>", re.IGNORECASE)
_LINK: Final = re.compile(r"\[([^\[\]\n]{0,300})\]\(\s*<?([^\s()<>]{1,2000})>?(?:\s[^()\n]{0,300})?\)")
_DEFINITION: Final = re.compile(
    r"^([ >]{0,12})\[([^\[\]\n]{1,200})\]:(?=\s*<?(?:[a-z][a-z0-9+.-]*:|//))", re.MULTILINE | re.IGNORECASE
)
_ADDRESS: Final = re.compile(
    r"(?<![\w/])(?:([a-z][a-z0-9+.-]{1,15})\\?:[/\\]{2,}|//)([^\s/\\?#()<>\[\]\"'`]+)", re.IGNORECASE
)
"""A scheme if there is one, and all of the authority: a user before an `@` belongs to it (RFC 3986 §3.2)."""
_DANGEROUS: Final = re.compile(r"\b(javascript|vbscript|data|file):(?=\S)", re.IGNORECASE)
_WWW: Final = re.compile(r"(?<![\w./@-])www\.(?=[\w-]+\.)", re.IGNORECASE)
_CROWD: Final = re.compile(r"@(?=(?:everyone|here|channel|all|team)\b|[\w-]{1,40}/[\w-])", re.IGNORECASE)
_MENTION: Final = re.compile(r"(?<![\w`/.])@(?=[A-Za-z0-9][\w-]{0,39}\b(?!\.))")
_MOST_MENTIONS: Final = 3
_COMMAND: Final = re.compile(r"^([ \t]{0,3})/(?=[A-Za-z][A-Za-z_]{1,40}(?:[ \t]|$))", re.MULTILINE)
"""A line that GitLab, and bots at other forges, take for an order: `/merge`, `/approve`."""
_CLOSING: Final = re.compile(
    r"\b((?:clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?|complet(?:e[sd]?|ing))"
    r"[\s:*_~\\]{1,20})(?=(?:issues?\s{1,5})?[*_~\\]{0,5}(?:[\w./-]{0,200}#[0-9]|gh-[0-9]|https?://"
    r"|(?!(?:utf|iso|sha|rfc|cve|cwe|aes|tls)-)(?-i:[A-Z][A-Z0-9_]{0,30})-[0-9]))",
    re.IGNORECASE,
)
"""The words by which forges and trackers close what is named after them, once it is merged."""
_PLAIN: Final = (
    (re.compile(r"<(?=[A-Za-z/!?@#])"), "\u2039"),
    (re.compile(r"\](?=[(\[:])"), "] "),
    (re.compile(r"\[(?=[~^])"), "[ "),
    (re.compile(r"(?<![A-Za-z0-9])@(?=\S)|@(?=\{)"), "@ "),
    # A command of Jira's smart commits, and no colour.
    (re.compile(r"(?<![\w&/#])#(?=[A-Za-z])(?!(?:[0-9A-Fa-f]{3,4}){1,2}\b)"), "\uff03"),
)
"""What makes links, mentions, markup and commands of a stranger's words, and what stands there instead."""
_CUT: Final = "\n\n(cut here)"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The filter. `mask` takes out what is known to be secret, `own` are the hosts that may be linked to."""

    mask: Callable[[str], str]
    own: frozenset[str] = frozenset()

    def text(self, text: str, most: int = 20_000) -> str:
        """Answer Markdown of at most `most` characters."""
        text = _spelled(text).replace("\r\n", "\n").replace("\r", "\n")
        text = _HIDDEN.sub("", text)
        text = self.mask(_SECRETS.sub(REMOVED, text))
        text = _AUTOLINK.sub(r"\1", text)
        text = _TAGS.sub("\u2039", text)
        text = _IMAGE.sub("", text)
        text = _DEFINITION.sub(r"\1\2 -", text)
        text = _LINK.sub(self._link, text)
        text = _DANGEROUS.sub(r"\1 :", text)
        text = _ADDRESS.sub(self._address, text)
        text = _WWW.sub("", text)
        text = _calm(text)
        return _shortened(text.strip(), most)

    def said(self, text: str, most: int = 20_000) -> str:
        """Answer what a model wrote, for an operator's text: the same, and it orders and closes nothing."""
        return _without_orders(self.text(text, most))

    def plain(self, text: str, most: int = 20_000) -> str:
        """Answer what a stranger wrote, for an operator's text: its words, and nothing else in them."""
        text = Outgoing(self.mask).text(text, most)
        for pattern, instead in _PLAIN:
            text = pattern.sub(instead, text)
        return _without_orders(text)

    def bare(self, text: str, most: int = 16_000) -> str:
        """Answer an operator's text with what a product or a model filled in: no secrets, and an end."""
        return _shortened(self.mask(_SECRETS.sub(REMOVED, text)), most)

    def code(self, text: str, most: int = 4_000) -> str:
        """Answer code that is to be taken over as it is: without secrets and what nobody sees."""
        return self.mask(_SECRETS.sub(REMOVED, _HIDDEN.sub("", text.replace("\r\n", "\n"))))[:most]

    def line(self, text: str, most: int = 120) -> str:
        """Answer one line, such as a title: the same, without links and line ends."""
        line = " ".join(self.text(text, most * 4).split())
        return line if len(line) <= most else line[: most - 1].rstrip() + "…"

    def _link(self, found: re.Match[str]) -> str:
        """Keep a link to where we are at home, or within the place it stands in; show where others lead."""
        words, target = found[1], found[2]
        address = _ADDRESS.match(target)
        if address is None and ":" not in target and not target.startswith(("//", "\\")):
            return found[0]
        if address is not None and self._is_own(address):
            return found[0]
        return f"{words} ({target})"

    def _address(self, found: re.Match[str]) -> str:
        return found[0] if self._is_own(found) else found[2]

    def _is_own(self, address: re.Match[str]) -> bool:
        scheme = (address[1] or "").lower()
        return scheme in {"http", "https"} and address[2].lower() in self.own


def _spelled(text: str) -> str:
    """Answer a text without references to characters, which could spell what is looked for."""

    def character(found: re.Match[str]) -> str:
        made = unescape(found[0])
        return _NAMED.get(made, made)

    # What such characters put together anew is broken up, or this would have no end.
    return _CHARACTER.sub(lambda found: f"& {found[0][1:]}", _CHARACTER.sub(character, text))


def _without_orders(text: str) -> str:
    """Take what forges and trackers do by themselves out of words that are not an operator's."""
    return _CLOSING.sub("\\1\u2013 ", _COMMAND.sub("\\1\u2215", text))


def _calm(text: str) -> str:
    """Let nobody be called who is many, and only a few who are one."""
    text = _CROWD.sub("@ ", text)
    names = {found[0].lower() for found in re.finditer(_MENTION.pattern + r"[\w-]+", text)}
    return text if len(names) <= _MOST_MENTIONS else _MENTION.sub("@ ", text)


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    kept = text[: most - len(_CUT) - 4]
    whole = kept.rpartition("\n")[0] or kept
    # A fence that was left open would swallow the note.
    closing = "\n```" if len(re.findall(r"^\s*```", whole, re.MULTILINE)) % 2 else ""
    return whole.rstrip() + closing + _CUT
