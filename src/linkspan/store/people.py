"""People of a tenant: who they are, how they were invited, and which browsers know them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from linkspan.store import tenants
from linkspan.store.database import Database, Row, Transaction


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in. Times are epoch seconds; `scopes` is the most that a program may get."""

    tenant: str
    name: str
    """What accounts, tokens and the audit log call it: the subject of its principals."""
    scopes: tuple[str, ...]
    email: str | None
    issuer: str | None
    """The provider that knows it, once it has signed in there, and what it is called there."""
    subject: str | None
    created: float
    signed_in: float | None = None


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that signs one person in, once."""

    tenant: str
    id: str
    person: str
    hash: bytes = field(repr=False)
    created: float
    expires: float


@dataclass(frozen=True, slots=True)
class Session:
    """A browser in which a person has signed in."""

    tenant: str
    id: str
    person: str
    hash: bytes = field(repr=False)
    created: float
    expires: float


@dataclass(frozen=True, slots=True)
class Domain:
    """Mail addresses whose owners may sign in without having been invited one by one."""

    tenant: str
    domain: str
    scopes: tuple[str, ...]
    created: float


async def keep(db: Database, person: Person, invitation: Invitation | None) -> bool:
    """Store a person, or what changed of one, with an invitation in place of earlier ones.

    False when there is no such tenant, or another person has the mail address or the subject.
    """

    def work(tx: Transaction) -> bool:
        if not tenants.known(tx, person.tenant) or _taken(tx, person):
            return False
        tx.execute(
            "INSERT INTO people (tenant, name, scopes, email, issuer, subject, created, signed_in) VALUES"
            " (:tenant, :name, :scopes, :email, :issuer, :subject, :created, :signed_in)"
            " ON CONFLICT (tenant, name) DO UPDATE SET scopes = excluded.scopes, email = excluded.email,"
            " issuer = excluded.issuer, subject = excluded.subject",
            _parameters(person),
        )
        tx.execute("DELETE FROM invitations WHERE tenant = :tenant AND person = :name", _key(person))
        if invitation is not None:
            tx.execute(
                "INSERT INTO invitations (tenant, id, person, hash, created, expires)"
                " VALUES (:tenant, :id, :person, :hash, :created, :expires)",
                asdict(invitation),
            )
        return True

    return await db.transaction(work, quiet=True)


async def find(db: Database, tenant: str, name: str) -> Person | None:
    """Answer one person of the tenant."""
    rows = await db.query(
        "SELECT * FROM people WHERE tenant = :tenant AND name = :name", {"tenant": tenant, "name": name}
    )
    return _person(rows[0]) if rows else None


async def of_tenant(db: Database, tenant: str) -> list[Person]:
    """Answer everybody of the tenant, by name."""
    rows = await db.query("SELECT * FROM people WHERE tenant = :tenant ORDER BY name", {"tenant": tenant})
    return [_person(row) for row in rows]


async def accept(
    db: Database,
    tenant: str,
    invitation: str,
    *,
    is_good: Callable[[Invitation], bool],
    session: Callable[[str], Session],
) -> Person | None:
    """Use an invitation up and keep the session that `session` makes for its person; None if it is not good.

    Two that come at once: one gets in.
    """

    def work(tx: Transaction) -> Person | None:
        key = {"tenant": tenant, "id": invitation}
        rows = tx.query("SELECT * FROM invitations WHERE tenant = :tenant AND id = :id", key)
        found = _invitation(rows[0]) if rows else None
        if found is None or not is_good(found):
            return None
        if not tx.execute("DELETE FROM invitations WHERE tenant = :tenant AND id = :id", key):
            return None
        return _sign_in(tx, session(found.person))

    return await db.transaction(work, quiet=True)


async def welcome(db: Database, known: Person, session: Callable[[str], Session]) -> Person | None:
    """Sign in somebody whom a provider knows: `known` has its issuer, subject and, if proved, mail address.

    Whoever has the subject is meant; else whoever was invited with the mail address and has no subject yet,
    who has it from now on; else, where the address is of a domain that may sign in, a new person. None for
    everybody else, and when the address is the name of another person.
    """

    def work(tx: Transaction) -> Person | None:
        if not tenants.known(tx, known.tenant):
            return None
        values = _parameters(known)
        rows = tx.query(
            "SELECT name FROM people WHERE tenant = :tenant AND issuer = :issuer AND subject = :subject",
            values,
        )
        if not rows and known.email is not None:
            rows = tx.query(
                "UPDATE people SET issuer = :issuer, subject = :subject WHERE tenant = :tenant"
                " AND email = :email AND subject IS NULL RETURNING name",
                values,
            ) or _join(tx, known)
        return _sign_in(tx, session(rows[0]["name"])) if rows else None

    return await db.transaction(work, quiet=True)


async def session_of(db: Database, tenant: str, session: str) -> tuple[Session, Person] | None:
    """Answer a browser's session and its person."""
    rows = await db.query(
        "SELECT * FROM browser_sessions WHERE tenant = :tenant AND id = :id",
        {"tenant": tenant, "id": session},
    )
    if not rows:
        return None
    person = await find(db, tenant, rows[0]["person"])
    return (Session(**{**rows[0], "hash": bytes(rows[0]["hash"])}), person) if person else None


async def end_session(db: Database, tenant: str, session: str) -> None:
    """Sign one browser out."""
    await db.execute(
        "DELETE FROM browser_sessions WHERE tenant = :tenant AND id = :id",
        {"tenant": tenant, "id": session},
        quiet=True,
    )


async def remove(db: Database, tenant: str, name: str, now: float) -> dict[str, int] | None:
    """Delete a person with its invitation, sessions and sign-ins, and revoke its tokens, from now on.

    Answers how many rows that were, by table; None when there is no such person.
    """

    def work(tx: Transaction) -> dict[str, int] | None:
        if not known(tx, tenant, name):
            return None
        key = {"tenant": tenant, "name": name, "now": now}
        mine = "(SELECT id FROM grants WHERE tenant = :tenant AND person = :name)"
        gone = {
            "tokens": tx.execute(
                "UPDATE tokens SET revoked = :now WHERE tenant = :tenant AND principal_kind = 'person'"
                " AND subject = :name AND revoked IS NULL",
                key,
            ),
            "refresh_tokens": tx.execute(
                f"DELETE FROM refresh_tokens WHERE tenant = :tenant AND grant_id IN {mine}",  # noqa: S608
                key,
            ),
        }
        for table in ("grants", "browser_sessions", "invitations"):
            gone[table] = tx.execute(
                f"DELETE FROM {table} WHERE tenant = :tenant AND person = :name",  # noqa: S608
                key,
            )
        tx.execute("DELETE FROM people WHERE tenant = :tenant AND name = :name", key)
        return gone

    return await db.transaction(work)


async def allow(db: Database, domain: Domain) -> bool:
    """Let everybody with an address of the domain sign in; False when there is no such tenant."""

    def work(tx: Transaction) -> bool:
        if not tenants.known(tx, domain.tenant):
            return False
        tx.execute(
            "INSERT INTO people_domains (tenant, domain, scopes, created)"
            " VALUES (:tenant, :domain, :scopes, :created)"
            " ON CONFLICT (tenant, domain) DO UPDATE SET scopes = excluded.scopes",
            {**asdict(domain), "scopes": " ".join(domain.scopes)},
        )
        return True

    return await db.transaction(work, quiet=True)


async def disallow(db: Database, tenant: str, domain: str) -> bool:
    """Let nobody new of the domain in; False when nobody was."""
    gone = await db.execute(
        "DELETE FROM people_domains WHERE tenant = :tenant AND domain = :domain",
        {"tenant": tenant, "domain": domain},
        quiet=True,
    )
    return gone == 1


async def domains(db: Database, tenant: str) -> list[Domain]:
    """Answer the tenant's domains, by name."""
    rows = await db.query(
        "SELECT * FROM people_domains WHERE tenant = :tenant ORDER BY domain", {"tenant": tenant}
    )
    return [Domain(**{**row, "scopes": tuple(row["scopes"].split())}) for row in rows]


def known(tx: Transaction, tenant: str, name: str) -> bool:
    """Tell inside a transaction whether there is a person of that name."""
    return bool(
        tx.query(
            "SELECT 1 FROM people WHERE tenant = :tenant AND name = :name", {"tenant": tenant, "name": name}
        )
    )


def _join(tx: Transaction, known: Person) -> list[Row]:
    """Make a person of whoever has an address of an allowed domain, unless its name is taken."""
    domain = (known.email or "").rpartition("@")[2]
    rows = tx.query(
        "SELECT scopes FROM people_domains WHERE tenant = :tenant AND domain = :domain",
        {"tenant": known.tenant, "domain": domain},
    )
    if not rows or _taken(tx, known):
        return []
    return tx.query(
        "INSERT INTO people (tenant, name, scopes, email, issuer, subject, created)"
        " VALUES (:tenant, :name, :scopes, :email, :issuer, :subject, :created)"
        " ON CONFLICT (tenant, name) DO NOTHING RETURNING name",
        {**_parameters(known), "scopes": rows[0]["scopes"]},
    )


def _taken(tx: Transaction, person: Person) -> bool:
    """Tell whether another person has the mail address or the subject."""
    return bool(
        tx.query(
            "SELECT 1 FROM people WHERE tenant = :tenant AND name <> :name"
            " AND (email = :email OR (issuer = :issuer AND subject = :subject))",
            _parameters(person),
        )
    )


def _sign_in(tx: Transaction, session: Session) -> Person | None:
    key = {"tenant": session.tenant, "name": session.person, "now": session.created}
    tx.execute("DELETE FROM browser_sessions WHERE tenant = :tenant AND expires <= :now", key)
    rows = tx.query(
        "UPDATE people SET signed_in = :now WHERE tenant = :tenant AND name = :name RETURNING *", key
    )
    if not rows:
        return None
    tx.execute(
        "INSERT INTO browser_sessions (tenant, id, person, hash, created, expires)"
        " VALUES (:tenant, :id, :person, :hash, :created, :expires)",
        asdict(session),
    )
    return _person(rows[0])


def _key(person: Person) -> dict[str, str]:
    return {"tenant": person.tenant, "name": person.name}


def _parameters(person: Person) -> dict[str, object]:
    return {**asdict(person), "scopes": " ".join(person.scopes)}


def _person(row: Row) -> Person:
    return Person(**{**row, "scopes": tuple(row["scopes"].split())})


def _invitation(row: Row) -> Invitation:
    return Invitation(**{**row, "hash": bytes(row["hash"])})
