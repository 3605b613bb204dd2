"""Sample data: two organisations with tickets, alerts and designs that belong together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from desk.markup import markdown_to_html
from desk.service import Desk, open_desk
from desk.store import Store, User

SAMPLES = Path(__file__).parent / "samples"
ORGS = ("acme", "globex")
_UNITS = {"d": 86400, "h": 3600, "m": 60}
FIRST_NUMBER = 301
"""What the first thing made by hand is called: HC-301."""


def seed(store: Store, *, reset: bool = False) -> bool:
    """Fill an empty desk, or with `reset` any desk; answers whether anything was done."""
    with store.transaction():
        if reset:
            tables = store.query(
                "select name from sqlite_master where type = 'table' and name not like 'sqlite%'"
            )
            store.execute("pragma defer_foreign_keys = on")
            for table in tables:
                store.execute(f"delete from {table['name']}")
        if store.one("select 1 from orgs"):
            return False
        for org in ORGS:
            _fill(store, yaml.safe_load((SAMPLES / f"{org}.yaml").read_text("utf-8")))
    return True


def issue_tokens(store: Store, *, fixed: bool = False) -> dict[str, Any]:
    """Make a token for every user and one for the switches; earlier ones stay valid.

    `{"admin_token": "…", "tokens": {"acme": {"codex": "…", …}, …}}`. With `fixed` they can be guessed.
    """
    tokens: dict[str, dict[str, str]] = {}
    for user in store.users():
        secret = f"desk_demo_{user.org}_{user.login}" if fixed else None
        tokens.setdefault(user.org, {})[user.login] = store.add_token(user, "seed", secret=secret)
    return {
        "admin_token": store.add_token(None, "admin", secret="desk_demo_admin" if fixed else None),
        "tokens": tokens,
    }


def _fill(store: Store, sample: dict[str, Any]) -> None:
    desk = open_desk(store, "")
    org = sample["org"]["slug"]
    store.add_org(org, sample["org"]["name"], sample["org"]["prefix"])
    for user in sample["users"]:
        store.add_user(org, user["login"], user["name"], user["email"], user["role"])
    people = {user.login: user for user in store.users(org)}
    for ticket in sample["tickets"]:
        _ticket(desk, people, ticket)
    for alert in sample["alerts"]:
        _alert(desk, people, alert)
    for design in sample["designs"]:
        _design(desk, people, design)
    _next_number(store, org, FIRST_NUMBER)


def _ticket(desk: Desk, people: dict[str, User], sample: dict[str, Any]) -> None:
    user = people[sample["by"]]
    _next_number(desk.store, user.org, sample["number"])
    row = desk.tickets.create(
        user,
        {
            "subject": sample["subject"],
            "body_markdown": sample["body"],
            "state": sample["state"],
            "priority": sample["priority"],
            "labels": sample["labels"],
            "assignee": sample.get("assignee"),
        },
    )
    comments = sample.get("comments", [])
    for comment in comments:
        author = people[comment["by"]]
        desk.tickets.comment(author, row["key"], {"body_markdown": comment["body"]})
    changed = comments[-1]["age"] if comments else sample["age"]
    desk.store.execute(
        "update tickets set created = ?, updated = ? where org = ? and key = ?",
        (_past(desk, sample["age"]), _past(desk, changed), user.org, row["key"]),
    )
    _date_comments(desk, user.org, row["key"], comments)


def _alert(desk: Desk, people: dict[str, User], sample: dict[str, Any]) -> None:
    user = people["codex"]
    _next_number(desk.store, user.org, sample["number"])
    row, _ = desk.alerts.fire(
        user,
        {
            "title": sample["title"],
            "level": sample["level"],
            "service": sample["service"],
            "environment": sample.get("environment", "production"),
            "release": sample["release"],
            "exception_type": sample["type"],
            "exception_value": sample["value"],
            "frames": sample["frames"],
            "count": sample["count"],
            "ticket": sample.get("ticket"),
        },
    )
    comments = sample.get("comments", [])
    for comment in comments:
        desk.alerts.comment(people[comment["by"]], row["id"], {"body_markdown": comment["body"]})
    last = _past(desk, sample["last"])
    desk.store.execute(
        "update alerts set status = ?, acknowledged_by = ?, first_seen = ?, last_seen = ?, updated = ?"
        " where org = ? and id = ?",
        (
            sample.get("status", "firing"),
            sample.get("acknowledged_by"),
            _past(desk, sample["age"]),
            last,
            last,
            user.org,
            row["id"],
        ),
    )
    _date_comments(desk, user.org, row["id"], comments)


def _design(desk: Desk, people: dict[str, User], sample: dict[str, Any]) -> None:
    user = people[sample["owner"]]
    _next_number(desk.store, user.org, sample["number"])
    words = sample["description"].strip()
    described = {"description_markdown": words, "description_html": markdown_to_html(words)}
    row = desk.designs.add(user, sample | described)
    comments = sample.get("comments", [])
    for comment in comments:
        desk.designs.comment(people[comment["by"]], row["id"], {"body_markdown": comment["body"]})
    desk.store.execute(
        "update designs set created = ?, updated = ? where org = ? and id = ?",
        (_past(desk, sample["age"]), _past(desk, sample["changed"]), user.org, row["id"]),
    )
    _date_comments(desk, user.org, row["id"], comments)


def _date_comments(desk: Desk, org: str, parent: str, samples: list[dict[str, Any]]) -> None:
    ids = desk.store.query("select id from comments where org = ? and parent = ? order by id", (org, parent))
    for row, sample in zip(ids, samples, strict=True):
        desk.store.execute(
            "update comments set created = ? where id = ?", (_past(desk, sample["age"]), row["id"])
        )


def _next_number(store: Store, org: str, number: int) -> None:
    store.execute("update orgs set next_number = ? where org = ?", (number, org))


def _past(desk: Desk, age: str) -> float:
    """The moment that was `2d 4h` ago."""
    parts = re.findall(r"(\d+)([dhm])", age)
    return desk.store.clock() - sum(int(count) * _UNITS[unit] for count, unit in parts)
