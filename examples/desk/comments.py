"""Comments on tickets, alerts and designs, and how people are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from desk.errors import Fault, invalid
from desk.fields import read_fields, text
from desk.markup import clean_html, html_to_markdown, markdown_to_html
from desk.paging import Page, PageRequest, Sort, select_page
from desk.store import Row, Store, User, iso

Kind = Literal["ticket", "alert", "design"]
_BODY = text(longest=20_000)


class Comments:
    """The comments of every organisation."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, user: User, kind: Kind, parent: str, body: Mapping[str, Any]) -> Row:
        """Add a comment to something that exists, and answer it as the API shows it. Raises 422."""
        values = read_fields(body, {"body_html": _BODY, "body_markdown": _BODY})
        if len(values) != 1:
            raise invalid(Fault("body_html", "send either body_html or body_markdown"))
        html, plain = read_body(values)
        if not plain:
            raise invalid(Fault("body_html", "must hold some text"))
        row = {
            "org": user.org,
            "kind": kind,
            "parent": parent,
            "author": user.login,
            "body_html": html,
            "body_markdown": plain,
            "created": self._store.clock(),
        }
        return self.to_dict(row | {"id": self._store.insert("comments", row)})

    def page(self, user: User, kind: Kind, parent: str, request: PageRequest) -> Page:
        """The comments of one thing, oldest first."""
        return select_page(
            self._store,
            "comments",
            ["org = :org", "kind = :kind", "parent = :parent"],
            {"org": user.org, "kind": kind, "parent": parent},
            Sort("created", "id", descending=False),
            request,
        )

    def count(self, org: str, kind: Kind, parent: str) -> int:
        """How many there are."""
        row = self._store.one(
            "select count(*) as n from comments where org = ? and kind = ? and parent = ?",
            (org, kind, parent),
        )
        return int(row["n"]) if row else 0

    def to_dict(self, row: Row) -> Row:
        """A comment as the API shows it."""
        return {
            "id": row["id"],
            "author": self.person(row["org"], row["author"]),
            "body_html": row["body_html"],
            "body_markdown": row["body_markdown"],
            "created_at": iso(row["created"]),
        }

    def person(self, org: str, login: str | None) -> Row | None:
        """Somebody in one line, or null."""
        user = self._store.user(org, login) if login else None
        return {"login": user.login, "name": user.name} if user else None


def read_body(values: Mapping[str, Any]) -> tuple[str, str]:
    """Answer (HTML, text) from `body_html` or `body_markdown`, whichever was sent; HTML is cleaned."""
    if (html := values.get("body_html")) is not None:
        cleaned = clean_html(html)
        return cleaned, html_to_markdown(cleaned)
    plain = values.get("body_markdown") or ""
    return markdown_to_html(plain), plain
