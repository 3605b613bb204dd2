"""The database and who is in it: organisations, users, API tokens, page sessions.

One SQLite file, used from one thread: a statement takes well under a millisecond, so the event loop waits
for it. A second process (`python -m desk seed`) may work on the same file: WAL and a busy time-out.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

Row = dict[str, Any]
Role = Literal["admin", "agent", "viewer", "bot"]
SESSION_SECONDS = 7 * 24 * 3600.0
ANSWER_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class User:
    """Somebody of one organisation. Whatever is asked is asked by one of these."""

    org: str
    org_name: str
    login: str
    name: str
    email: str
    role: Role

    @property
    def may_write(self) -> bool:
        """Viewers read only."""
        return self.role != "viewer"


@dataclass(frozen=True, slots=True)
class Token:
    """A valid API token; `user` is None for the admin token of the switches."""

    id: str
    name: str
    user: User | None


@dataclass(frozen=True, slots=True)
class Session:
    """A person who signed in to the pages. `csrf` stands in every form."""

    user: User
    csrf: str


class Store:
    """The SQLite file. Clock (epoch seconds) and randomness come from outside."""

    def __init__(
        self,
        path: Path | Literal[":memory:"],
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        if isinstance(path, Path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.clock = clock
        self.random = random
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._connection.executescript(
            "pragma busy_timeout = 5000; pragma journal_mode = wal; pragma synchronous = normal;"
            "pragma foreign_keys = on;" + (Path(__file__).parent / "schema.sql").read_text("utf-8")
        )

    def query(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[Row]:
        """Answer the rows of a SELECT or of a RETURNING clause."""
        return [dict(row) for row in self._connection.execute(sql, parameters).fetchall()]

    def one(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> Row | None:
        """Answer the first row, if there is one."""
        return next(iter(self.query(sql, parameters)), None)

    def execute(self, sql: str, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> int:
        """Run a statement and answer how many rows it touched."""
        return self._connection.execute(sql, parameters).rowcount

    def insert(self, table: str, row: Mapping[str, Any]) -> int:
        """Insert one row and answer its row id. The table and column names are ours, never a caller's."""
        columns = ", ".join(row)
        values = ", ".join(f":{column}" for column in row)
        cursor = self._connection.execute(f"insert into {table} ({columns}) values ({values})", row)
        return cursor.lastrowid or 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything inside or nothing; inside another transaction, be part of that one."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # Organisations and users

    def add_org(self, org: str, name: str, prefix: str, *, first_number: int = 1) -> None:
        """Add an organisation; `prefix` begins its ticket keys (`HC` → `HC-101`)."""
        self.insert("orgs", {"org": org, "name": name, "prefix": prefix, "next_number": first_number})

    def add_user(self, org: str, login: str, name: str, email: str, role: Role) -> None:
        """Add somebody to an organisation."""
        self.insert("users", {"org": org, "login": login, "name": name, "email": email, "role": role})

    def users(self, org: str | None = None) -> list[User]:
        """Answer the users of one organisation, or of all (only for the sign-in page and seeding)."""
        rows = self.query(
            "select users.*, orgs.name as org_name from users join orgs using (org)"
            " where :org is null or org = :org order by org, role = 'bot', name",
            {"org": org},
        )
        return [_user(row) for row in rows]

    def user(self, org: str, login: str) -> User | None:
        """Answer one user of one organisation."""
        row = self.one(
            "select users.*, orgs.name as org_name from users join orgs using (org)"
            " where org = ? and login = ?",
            (org, login),
        )
        return _user(row) if row else None

    def next_id(self, org: str, infix: str = "") -> tuple[str, int]:
        """Take the organisation's next number: `HC-108`, with infix `A`: `HC-A109`."""
        row = self.query(
            "update orgs set next_number = next_number + 1 where org = ?"
            " returning prefix, next_number - 1 as number",
            (org,),
        )[0]
        return f"{row['prefix']}-{infix}{row['number']}", int(row["number"])

    # API tokens

    def add_token(self, user: User | None, name: str, *, secret: str | None = None) -> str:
        """Make an API token and answer its text, which is stored nowhere: only its hash is."""
        text = secret or f"desk_{self.word(32)}"
        row = {
            "id": f"tok_{self.random(6).hex()}",
            "hash": digest(text),
            "org": user.org if user else None,
            "login": user.login if user else None,
            "name": name,
            "created": self.clock(),
        }
        self.execute("delete from tokens where hash = ?", (row["hash"],))
        self.insert("tokens", row)
        return text

    def token(self, text: str) -> Token | None:
        """Answer the token of that text, if it is known and not revoked."""
        row = self.one("select * from tokens where hash = ? and revoked is null", (digest(text),))
        if row is None:
            return None
        user = self.user(row["org"], row["login"]) if row["org"] else None
        return Token(id=row["id"], name=row["name"], user=user)

    def tokens_of(self, user: User) -> list[Row]:
        """Answer the valid tokens of a user, without anything secret."""
        return self.query(
            "select id, name, created from tokens where org = ? and login = ? and revoked is null"
            " order by created",
            (user.org, user.login),
        )

    def revoke_token(self, user: User, id_: str) -> bool:
        """Revoke a token of that user at once."""
        return bool(
            self.execute(
                "update tokens set revoked = ? where id = ? and org = ? and login = ? and revoked is null",
                (self.clock(), id_, user.org, user.login),
            )
        )

    # Page sessions

    def open_session(self, user: User) -> str:
        """Sign somebody in and answer the cookie's value."""
        self.execute("delete from sessions where expires < ?", (self.clock(),))
        text = self.word(32)
        self.insert(
            "sessions",
            {
                "hash": digest(text),
                "org": user.org,
                "login": user.login,
                "csrf": self.word(24),
                "expires": self.clock() + SESSION_SECONDS,
            },
        )
        return text

    def session(self, text: str) -> Session | None:
        """Answer the session of a cookie."""
        row = self.one("select * from sessions where hash = ? and expires > ?", (digest(text), self.clock()))
        user = self.user(row["org"], row["login"]) if row else None
        return Session(user=user, csrf=row["csrf"]) if row and user else None

    def close_session(self, text: str) -> None:
        """Sign out."""
        self.execute("delete from sessions where hash = ?", (digest(text),))

    # Answers to requests with an Idempotency-Key

    def answer(self, user: User, key: str) -> Row | None:
        """Answer what was answered to this key before, for a day."""
        self.execute("delete from answers where created < ?", (self.clock() - ANSWER_SECONDS,))
        return self.one(
            "select * from answers where org = ? and login = ? and key = ?", (user.org, user.login, key)
        )

    def keep_answer(self, user: User, key: str, asked: str, status: int, body: str) -> None:
        """Remember an answer under its key; `asked` is a digest of the request."""
        who = {"org": user.org, "login": user.login, "key": key}
        what = {"asked": asked, "status": status, "body": body, "created": self.clock()}
        self.insert("answers", who | what)

    def word(self, size: int) -> str:
        """Answer a random word of `size` bytes in base64url."""
        return urlsafe_b64encode(self.random(size)).rstrip(b"=").decode()


def digest(text: str) -> str:
    """SHA-256 in hex: tokens are random, so no salt and no stretching is needed."""
    return hashlib.sha256(text.encode()).hexdigest()


def iso(moment: float) -> str:
    """`2026-11-23T09:30:00Z`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _user(row: Row) -> User:
    return User(
        org=row["org"],
        org_name=row["org_name"],
        login=row["login"],
        name=row["name"],
        email=row["email"],
        role=row["role"],
    )
