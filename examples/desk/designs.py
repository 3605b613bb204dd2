"""Designs: a tree of nodes that can be read as data and seen as a picture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from desk.comments import Comments
from desk.drawing import draw_node
from desk.errors import Fault, invalid, not_found
from desk.fields import Rule, choice, read_fields, text
from desk.outbox import Outbox
from desk.paging import Page, PageRequest, Sort, select_page
from desk.store import Row, Store, User, iso

STATES = ("draft", "ready")
Node = dict[str, Any]
"""`id, name, type (frame, rectangle, ellipse, text), x, y, width, height` in pixels relative to the parent,
`fill` and `stroke` as `#rrggbb`, `radius`, for text `text, size, weight, color, align`, and `children`."""


def _colour(sent: Any) -> str:
    if not isinstance(sent, str) or not re.fullmatch(r"#[0-9a-f]{6}", sent):
        raise ValueError("must be a colour such as #0f766e")
    return sent


def _pixels(sent: Any) -> int:
    if isinstance(sent, bool) or not isinstance(sent, int) or not 0 <= sent <= 2000:
        raise ValueError("must be a whole number of pixels from 0 to 2,000")
    return sent


_NODE_RULES: dict[str, Rule] = {
    "name": text(longest=100),
    "x": _pixels,
    "y": _pixels,
    "width": _pixels,
    "height": _pixels,
    "radius": _pixels,
    "fill": _colour,
    "stroke": _colour,
    "color": _colour,
    "text": text(longest=500),
    "size": _pixels,
}


class Designs:
    """The designs of every organisation; each call is for one user and sees that user's organisation."""

    def __init__(self, store: Store, outbox: Outbox, comments: Comments, public_url: str) -> None:
        self._store = store
        self._outbox = outbox
        self._comments = comments
        self._url = public_url

    def page(self, user: User, query: Mapping[str, Sequence[str]], request: PageRequest) -> Page:
        """One page, last changed first. Filter: `state`."""
        where, parameters = ["org = :org"], {"org": user.org}
        if states := query.get("state"):
            if states[-1] not in STATES:
                raise invalid(Fault("state", f"must be one of {', '.join(STATES)}"))
            where.append("state = :state")
            parameters["state"] = states[-1]
        return select_page(self._store, "designs", where, parameters, Sort("updated"), request)

    def get(self, user: User, id_: str) -> Row:
        """One design's row. Raises 404."""
        row = self._store.one("select * from designs where org = ? and id = ?", (user.org, id_))
        if row is None:
            raise not_found("design", id_)
        return row

    def add(self, user: User, values: Mapping[str, Any]) -> Row:
        """Add a design as the sample data has it; the API makes none."""
        id_, number = self._store.next_id(user.org, "D")
        now = self._store.clock()
        row = {
            "org": user.org,
            "id": id_,
            "number": number,
            "title": values["title"],
            "description_html": values["description_html"],
            "description_markdown": values["description_markdown"],
            "state": values.get("state", "draft"),
            "version": values.get("version", 1),
            "owner": user.login,
            "ticket": values.get("ticket"),
            "tokens": json.dumps(values.get("tokens", {})),
            "document": json.dumps(values["document"]),
            "created": now,
            "updated": now,
        }
        self._store.insert("designs", row)
        return row

    def set_state(self, user: User, id_: str, body: Mapping[str, Any]) -> Row:
        """Mark a design as ready to be built, or take that back. Raises 422."""
        values = read_fields(body, {"state": choice(STATES)}, required=("state",))
        with self._store.transaction():
            row = self.get(user, id_)
            if row["state"] == values["state"]:
                return row
            row |= {"state": values["state"], "updated": self._store.clock()}
            self._save(row)
            self._tell(user, "design.ready" if row["state"] == "ready" else "design.updated", row)
        return row

    def change_node(self, user: User, id_: str, node_id: str, body: Mapping[str, Any]) -> Row:
        """Change properties of one node; the design's version goes up. Raises 404 and 422."""
        values = read_fields(body, _NODE_RULES)
        with self._store.transaction():
            row = self.get(user, id_)
            document = json.loads(row["document"])
            node = find_node(document, node_id)
            if node is None:
                raise not_found("node", node_id)
            if all(node.get(name) == value for name, value in values.items()):
                return row
            node.update(values)
            row |= {
                "document": json.dumps(document),
                "version": row["version"] + 1,
                "updated": self._store.clock(),
            }
            self._save(row)
            self._tell(user, "design.updated", row, node_id=node_id)
        return row

    def comment(self, user: User, id_: str, body: Mapping[str, Any]) -> Row:
        """Add a comment. Raises 404 and 422."""
        with self._store.transaction():
            row = self.get(user, id_)
            comment = self._comments.add(user, "design", id_, body)
            self._tell(user, "design.commented", row, comment=comment)
        return comment

    def image(self, user: User, id_: str, node_id: str | None, scale: int) -> bytes:
        """A PNG of the whole design or of one node. Raises 404."""
        document = json.loads(self.get(user, id_)["document"])
        node = find_node(document, node_id) if node_id else document
        if node is None:
            raise not_found("node", node_id or "")
        return draw_node(node, scale)

    def to_dict(self, row: Row, *, whole_tree: bool = False) -> Row:
        """A design as the API shows it; lists leave the tree out."""
        document = json.loads(row["document"])
        nodes = list(walk(document))
        shown = {
            "id": row["id"],
            "title": row["title"],
            "state": row["state"],
            "version": row["version"],
            "description_html": row["description_html"],
            "description_markdown": row["description_markdown"],
            "owner": self._comments.person(row["org"], row["owner"]),
            "ticket": row["ticket"],
            "width": document["width"],
            "height": document["height"],
            "node_count": len(nodes),
            "tokens": json.loads(row["tokens"]),
            "comment_count": self._comments.count(row["org"], "design", row["id"]),
            "created_at": iso(row["created"]),
            "updated_at": iso(row["updated"]),
            "links": {
                "web": f"{self._url}/designs/{row['id']}",
                "image": f"{self._url}/api/v1/designs/{row['id']}/image.png",
            },
        }
        return shown | {"document": document} if whole_tree else shown

    def _save(self, row: Row) -> None:
        self._store.execute(
            "update designs set state = :state, version = :version, document = :document,"
            " updated = :updated where org = :org and id = :id",
            row,
        )

    def _tell(self, user: User, event: str, row: Row, **more: Any) -> None:
        self._outbox.add(user, event, {"design": self.to_dict(row), **more})


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, as they are drawn."""
    yield node
    for child in node.get("children", []):
        yield from walk(child)


def find_node(document: Node, id_: str) -> Node | None:
    """The node of that id."""
    return next((node for node in walk(document) if node["id"] == id_), None)
