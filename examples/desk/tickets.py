"""Tickets: what somebody wants done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from desk.comments import Comments, read_body
from desk.errors import DeskError, Fault, invalid, not_found
from desk.fields import choice, moment, nullable, read_fields, text, words
from desk.outbox import Outbox
from desk.paging import Page, PageRequest, Sort, select_page
from desk.store import Row, Store, User, iso

STATES = ("open", "wip", "review", "fixed", "reopened", "wontfix")
PRIORITIES = ("urgent", "high", "normal", "low")
BODY = text(longest=50_000, empty=True)
_RULES = {
    "subject": text(longest=200),
    "body_html": BODY,
    "body_markdown": BODY,
    "priority": choice(PRIORITIES),
    "labels": words(),
    "assignee": nullable(text(longest=60)),
    "state": choice(STATES),
}
_SORTS = {"created": Sort("created"), "updated": Sort("updated")}


class Tickets:
    """The tickets of every organisation; each call is for one user and sees that user's organisation."""

    def __init__(self, store: Store, outbox: Outbox, comments: Comments, public_url: str) -> None:
        self._store = store
        self._outbox = outbox
        self._comments = comments
        self._url = public_url

    def page(self, user: User, query: Mapping[str, Sequence[str]], request: PageRequest) -> Page:
        """One page of tickets, newest first.

        Filters: `state` (several count as or), `assignee` (a login, or `none`), `label`, `priority`,
        `updated_after` (epoch seconds or ISO 8601), `q` (words that must all be there), `sort`.
        """
        where = ["org = :org"]
        parameters: dict[str, Any] = {"org": user.org}
        one = {name: values[-1] for name, values in query.items() if values}
        if states := query.get("state"):
            _known("state", states, STATES)
            names = [f"state{n}" for n in range(len(states))]
            where.append(f"state in ({', '.join(f':{name}' for name in names)})")
            parameters |= dict(zip(names, states, strict=True))
        if assignee := one.get("assignee"):
            where.append("assignee is null" if assignee == "none" else "assignee = :assignee")
            parameters["assignee"] = assignee
        if priority := one.get("priority"):
            _known("priority", [priority], PRIORITIES)
            where.append("priority = :priority")
            parameters["priority"] = priority
        if label := one.get("label"):
            where.append("exists (select 1 from json_each(labels) where value = :label)")
            parameters["label"] = label
        if after := one.get("updated_after"):
            where.append("updated > :after")
            parameters["after"] = moment("updated_after", after)
        for number, word in enumerate(one.get("q", "").split()[:8]):
            where.append(
                f"(key || ' ' || subject || ' ' || body_markdown || ' ' || labels like :q{number} escape '!'"
                " or exists (select 1 from comments c where c.org = tickets.org and kind = 'ticket'"
                f" and parent = key and c.body_markdown like :q{number} escape '!'))"
            )
            parameters[f"q{number}"] = f"%{_like(word)}%"
        sort = _SORTS.get(one.get("sort", "created"))
        if sort is None:
            raise invalid(Fault("sort", "must be created or updated"))
        return select_page(self._store, "tickets", where, parameters, sort, request)

    def get(self, user: User, key: str) -> Row:
        """One ticket's row. Raises 404."""
        row = self._store.one("select * from tickets where org = ? and key = ?", (user.org, key))
        if row is None:
            raise not_found("ticket", key)
        return row

    def create(self, user: User, body: Mapping[str, Any]) -> Row:
        """Open a ticket. Raises 422."""
        values = read_fields(body, _RULES, required=("subject",))
        self._check_assignee(user, values)
        html, plain = read_body(values)
        now = self._store.clock()
        with self._store.transaction():
            key, number = self._store.next_id(user.org)
            row = {
                "org": user.org,
                "key": key,
                "number": number,
                "subject": values["subject"],
                "body_html": html,
                "body_markdown": plain,
                "state": values.get("state", "open"),
                "priority": values.get("priority", "normal"),
                "labels": json.dumps(values.get("labels", [])),
                "assignee": values.get("assignee"),
                "reporter": user.login,
                "version": 1,
                "created": now,
                "updated": now,
            }
            self._store.insert("tickets", row)
            self._tell(user, "ticket.created", row)
            if row["assignee"]:
                self._tell(user, "ticket.assigned", row)
        return row

    def update(self, user: User, key: str, body: Mapping[str, Any], if_match: str | None) -> Row:
        """Change fields of a ticket. Raises 412 when it is no longer as `if_match` says, 428 without it."""
        if if_match is None:
            raise DeskError(
                428,
                "precondition_required",
                "Send If-Match with the ticket's ETag, or * to change it anyway.",
            )
        with self._store.transaction():
            before = self.get(user, key)
            given = {tag.strip() for tag in if_match.split(",")}
            if "*" not in given and etag(before) not in given:
                raise DeskError(
                    412, "changed_meanwhile", f"{key} was changed meanwhile. Read it again first."
                )
            values = read_fields(body, _RULES)
            self._check_assignee(user, values)
            after = before | {name: values[name] for name in values if name in before}
            if "body_html" in values or "body_markdown" in values:
                after["body_html"], after["body_markdown"] = read_body(values)
            if "labels" in values:
                after["labels"] = json.dumps(values["labels"])
            if after == before:
                return before
            after |= {"version": before["version"] + 1, "updated": self._store.clock()}
            self._store.execute(
                "update tickets set subject = :subject, body_html = :body_html,"
                " body_markdown = :body_markdown, state = :state, priority = :priority,"
                " labels = :labels, assignee = :assignee, version = :version, updated = :updated"
                " where org = :org and key = :key",
                after,
            )
            changed = sorted(name for name in after if after[name] != before[name] and name in _RULES)
            self._tell(user, "ticket.updated", after, changed=changed)
            if after["assignee"] and after["assignee"] != before["assignee"]:
                self._tell(user, "ticket.assigned", after)
        return after

    def comment(self, user: User, key: str, body: Mapping[str, Any]) -> Row:
        """Add a comment. Everybody in the organisation sees it."""
        with self._store.transaction():
            row = self.get(user, key)
            comment = self._comments.add(user, "ticket", key, body)
            row |= {"updated": self._store.clock(), "version": row["version"] + 1}
            self._store.execute(
                "update tickets set updated = :updated, version = :version where org = :org and key = :key",
                row,
            )
            self._tell(user, "ticket.commented", row, comment=comment)
        return comment

    def counts(self, user: User) -> dict[str, int]:
        """How many tickets there are in each state."""
        rows = self._store.query(
            "select state, count(*) as n from tickets where org = ? group by state", (user.org,)
        )
        return {row["state"]: row["n"] for row in rows}

    def to_dict(self, row: Row) -> Row:
        """A ticket as the API shows it."""
        related = {
            kind: [
                found["id"]
                for found in self._store.query(
                    f"select id from {kind} where org = ? and ticket = ? order by number",
                    (row["org"], row["key"]),
                )
            ]
            for kind in ("alerts", "designs")
        }
        return {
            "key": row["key"],
            "subject": row["subject"],
            "state": row["state"],
            "priority": row["priority"],
            "labels": json.loads(row["labels"]),
            "assignee": self._comments.person(row["org"], row["assignee"]),
            "reporter": self._comments.person(row["org"], row["reporter"]),
            "body_html": row["body_html"],
            "body_markdown": row["body_markdown"],
            "comment_count": self._comments.count(row["org"], "ticket", row["key"]),
            "related": related,
            "version": row["version"],
            "created_at": iso(row["created"]),
            "updated_at": iso(row["updated"]),
            "links": {"web": f"{self._url}/tickets/{row['key']}"},
        }

    def _tell(self, user: User, event: str, row: Row, **more: Any) -> None:
        self._outbox.add(user, event, {"ticket": self.to_dict(row), **more})

    def _check_assignee(self, user: User, values: Mapping[str, Any]) -> None:
        login = values.get("assignee")
        if login is not None and self._store.user(user.org, login) is None:
            raise invalid(Fault("assignee", f"there is no user {login}"))


def etag(row: Row) -> str:
    """The strong validator of a ticket (RFC 9110 §8.8.3)."""
    return f'"{row["key"]}-v{row["version"]}"'


def _known(field: str, sent: Sequence[str], known: tuple[str, ...]) -> None:
    for word in sent:
        if word not in known:
            raise invalid(Fault(field, f"{word!r} is not one of {', '.join(known)}"))


def _like(word: str) -> str:
    return word.replace("!", "!!").replace("%", "!%").replace("_", "!_")
