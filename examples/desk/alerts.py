"""Alerts: what a running service complained about, with the stack trace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from desk.comments import Comments
from desk.errors import DeskError, Fault, invalid, not_found
from desk.fields import Rule, choice, nullable, read_fields, text, whole
from desk.outbox import Outbox
from desk.paging import Page, PageRequest, Sort, select_page
from desk.store import Row, Store, User, iso

STATUSES = ("firing", "acknowledged", "resolved")
LEVELS = ("critical", "error", "warning")
_WORD = text(longest=200)


def _frames(sent: Any) -> list[Row]:
    """The stack, outermost call first."""
    if not isinstance(sent, list) or not 1 <= len(sent) <= 100:
        raise ValueError("must be a list of 1 to 100 frames")
    rules: dict[str, Rule] = {
        "file": _WORD,
        "line": whole,
        "function": _WORD,
        "code": text(longest=500, empty=True),
    }
    frames = []
    for frame in sent:
        if not isinstance(frame, dict):
            raise ValueError("must be a list of frames: file, line, function, code")
        try:
            values = read_fields(frame, rules, required=("file", "line"))
        except DeskError as error:
            raise ValueError(error.message) from error
        frames.append({"function": "<module>", "code": ""} | values)
    return frames


_RULES: dict[str, Rule] = {
    "title": _WORD,
    "level": choice(LEVELS),
    "service": _WORD,
    "environment": _WORD,
    "release": _WORD,
    "exception_type": _WORD,
    "exception_value": text(longest=2000, empty=True),
    "frames": _frames,
    "count": whole,
    "ticket": nullable(_WORD),
}


class Alerts:
    """The alerts of every organisation; each call is for one user and sees that user's organisation."""

    def __init__(self, store: Store, outbox: Outbox, comments: Comments, public_url: str) -> None:
        self._store = store
        self._outbox = outbox
        self._comments = comments
        self._url = public_url

    def page(self, user: User, query: Mapping[str, Sequence[str]], request: PageRequest) -> Page:
        """One page, last seen first. Filters: `status` (several count as or), `service`, `environment`."""
        where, parameters = ["org = :org"], {"org": user.org}
        if statuses := query.get("status"):
            for word in statuses:
                if word not in STATUSES:
                    raise invalid(Fault("status", f"{word!r} is not one of {', '.join(STATUSES)}"))
            names = [f"status{n}" for n in range(len(statuses))]
            where.append(f"status in ({', '.join(f':{name}' for name in names)})")
            parameters |= dict(zip(names, statuses, strict=True))
        for name in ("service", "environment"):
            if values := query.get(name):
                where.append(f"{name} = :{name}")
                parameters[name] = values[-1]
        return select_page(self._store, "alerts", where, parameters, Sort("last_seen"), request)

    def get(self, user: User, id_: str) -> Row:
        """One alert's row. Raises 404."""
        row = self._store.one("select * from alerts where org = ? and id = ?", (user.org, id_))
        if row is None:
            raise not_found("alert", id_)
        return row

    def fire(self, user: User, body: Mapping[str, Any]) -> tuple[Row, bool]:
        """Report an occurrence, as a monitoring agent does. Answers the alert and whether it is a new one.

        Occurrences with the same exception type and innermost frame are one alert: its count goes up. A
        resolved alert that is seen again fires again. Raises 422.
        """
        values = read_fields(body, _RULES, required=("service", "exception_type", "frames"))
        innermost = values["frames"][-1]
        seen = (values["service"], values["exception_type"], innermost["file"], innermost.get("function"))
        fingerprint = hashlib.sha256("\n".join(map(str, seen)).encode()).hexdigest()[:16]
        now, count = self._store.clock(), values.get("count", 1)
        with self._store.transaction():
            known = self._store.one(
                "select * from alerts where org = ? and fingerprint = ?", (user.org, fingerprint)
            )
            if known is None:
                row = self._insert(user, values, fingerprint, now)
            else:
                again = known["status"] == "resolved"
                row = known | {"count": known["count"] + count, "last_seen": now, "updated": now}
                row |= {"release": values.get("release", known["release"])}
                row |= {"status": "firing", "acknowledged_by": None} if again else {}
                self._save(row)
            if known is None or known["status"] == "resolved":
                self._tell(user, "alert.fired", row)
        return row, known is None

    def set_status(self, user: User, id_: str, status: str) -> Row:
        """Acknowledge or resolve. Doing it twice changes nothing; a resolved one is not acknowledged: 409."""
        with self._store.transaction():
            row = self.get(user, id_)
            if row["status"] == status:
                return row
            if row["status"] == "resolved":
                raise DeskError(
                    409, "resolved", f"{id_} is resolved already; it fires again when it is seen again."
                )
            row |= {"status": status, "updated": self._store.clock()}
            if status == "acknowledged":
                row["acknowledged_by"] = user.login
            self._save(row)
            self._tell(user, f"alert.{status}", row)
        return row

    def comment(self, user: User, id_: str, body: Mapping[str, Any]) -> Row:
        """Add a comment. Raises 404 and 422."""
        with self._store.transaction():
            row = self.get(user, id_)
            comment = self._comments.add(user, "alert", id_, body)
            self._tell(user, "alert.commented", row, comment=comment)
        return comment

    def firing(self, user: User) -> int:
        """How many are firing and nobody has taken."""
        row = self._store.one(
            "select count(*) as n from alerts where org = ? and status = 'firing'", (user.org,)
        )
        return int(row["n"]) if row else 0

    def to_dict(self, row: Row) -> Row:
        """An alert as the API shows it, with its stack trace as data and as text."""
        exception = json.loads(row["exception"])
        innermost = exception["frames"][-1]
        return {
            "id": row["id"],
            "title": row["title"],
            "level": row["level"],
            "status": row["status"],
            "service": row["service"],
            "environment": row["environment"],
            "release": row["release"],
            "fingerprint": row["fingerprint"],
            "count": row["count"],
            "culprit": f"{innermost['file']}:{innermost['line']} in {innermost['function']}",
            "exception": exception | {"traceback": traceback_text(exception)},
            "acknowledged_by": self._comments.person(row["org"], row["acknowledged_by"]),
            "ticket": row["ticket"],
            "comment_count": self._comments.count(row["org"], "alert", row["id"]),
            "first_seen_at": iso(row["first_seen"]),
            "last_seen_at": iso(row["last_seen"]),
            "updated_at": iso(row["updated"]),
            "links": {"web": f"{self._url}/alerts/{row['id']}"},
        }

    def _insert(self, user: User, values: Mapping[str, Any], fingerprint: str, now: float) -> Row:
        id_, number = self._store.next_id(user.org, "A")
        exception = {
            "type": values["exception_type"],
            "value": values.get("exception_value", ""),
            "frames": values["frames"],
        }
        row = {
            "org": user.org,
            "id": id_,
            "number": number,
            "title": values.get("title") or f"{exception['type']}: {exception['value']}"[:200],
            "level": values.get("level", "error"),
            "status": "firing",
            "service": values["service"],
            "environment": values.get("environment", "production"),
            "release": values.get("release", ""),
            "fingerprint": fingerprint,
            "exception": json.dumps(exception),
            "count": values.get("count", 1),
            "acknowledged_by": None,
            "ticket": values.get("ticket"),
            "first_seen": now,
            "last_seen": now,
            "updated": now,
        }
        self._store.insert("alerts", row)
        return row

    def _save(self, row: Row) -> None:
        self._store.execute(
            "update alerts set status = :status, count = :count, release = :release, last_seen = :last_seen,"
            " acknowledged_by = :acknowledged_by, updated = :updated where org = :org and id = :id",
            row,
        )

    def _tell(self, user: User, event: str, row: Row, **more: Any) -> None:
        self._outbox.add(user, event, {"alert": self.to_dict(row), **more})


def traceback_text(exception: Mapping[str, Any]) -> str:
    """The stack as Python prints it."""
    lines = ["Traceback (most recent call last):"]
    for frame in exception["frames"]:
        lines.append(f'  File "{frame["file"]}", line {frame["line"]}, in {frame["function"]}')
        if frame["code"]:
            lines.append(f"    {frame['code']}")
    value = f": {exception['value']}" if exception["value"] else ""
    return "\n".join([*lines, f"{exception['type']}{value}"])
