"""One row of each kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from linkspan.store.accounts import Account
from linkspan.store.audit import AuditRow
from linkspan.store.calls import Call
from linkspan.store.grants import Grant, RefreshToken
from linkspan.store.link_sessions import LinkConsent, LinkSession
from linkspan.store.oauth_clients import RegisteredClient
from linkspan.store.people import Domain, Invitation, Person, Session
from linkspan.store.runs import Run
from linkspan.store.session_threads import SessionThread
from linkspan.store.tokens import Token
from linkspan.store.view_tokens import ViewToken
from linkspan.store.webhooks import Webhook


def account(tenant: str, **changes: Any) -> Account:
    """Answer an active shared account at `desk`."""
    plain = Account(
        tenant=tenant,
        id="acc_1",
        connector="desk",
        subject=None,
        method="bearer",
        state="active",
        settings={"site": "acme"},
        origins=("https://acme.desk.example:443",),
        identity_id="7",
        identity_label="bo@acme.example",
        sealed=b"sealed",
        created=1.0,
        updated=1.0,
        verified=1.0,
        last_error=None,
    )
    return replace(plain, **changes)


def token(tenant: str, **changes: Any) -> Token:
    """Answer a good token of a service."""
    plain = Token(
        tenant=tenant,
        id="abcdefabcdef",
        kind="tenant",
        hash=bytes(32),
        principal_kind="service",
        subject="ci",
        scopes=("read", "ticket.create"),
        created=1.0,
    )
    return replace(plain, **changes)


def call(tenant: str, **changes: Any) -> Call:
    """Answer a write that a client named."""
    return replace(Call(tenant, "person:bo", "call_1", "create_ticket", "digest"), **changes)


def entry(tenant: str, **changes: Any) -> AuditRow:
    """Answer the audit row of a good read."""
    plain = AuditRow(
        tenant=tenant,
        time=1.0,
        principal_kind="person",
        principal_subject="bo",
        token_id="abcdefabcdef",
        request_id="req_1",
        via="mcp",
        tool="get_ticket",
        entity="ticket",
        entity_id="7",
        connector="desk",
        account="acc_1",
        upstream_status=200,
        outcome="ok",
        duration_ms=12.5,
        thread_id="thread",
        turn_id="turn",
        call_id="call",
    )
    return replace(plain, **changes)


def person(tenant: str, **changes: Any) -> Person:
    """Answer somebody whom a provider knows."""
    plain = Person(
        tenant=tenant,
        name="bo",
        scopes=("read", "write"),
        email="bo@acme.example",
        issuer="https://id.example",
        subject="7",
        created=1.0,
    )
    return replace(plain, **changes)


def invitation(tenant: str, **changes: Any) -> Invitation:
    """Answer an invitation of that person."""
    return replace(Invitation(tenant, "in", "bo", bytes(32), 1.0, 9.0), **changes)


def session(tenant: str, **changes: Any) -> Session:
    """Answer a browser that knows that person."""
    return replace(Session(tenant, "se", "bo", bytes(32), 1.0, 9.0), **changes)


def domain(tenant: str, **changes: Any) -> Domain:
    """Answer a domain whose people may sign in."""
    return replace(Domain(tenant, "acme.example", ("read",), 1.0), **changes)


def client(tenant: str, **changes: Any) -> RegisteredClient:
    """Answer a program that registered itself."""
    plain = RegisteredClient(tenant, "cl", "Codex", ("http://127.0.0.1/callback",), 1.0, 9.0)
    return replace(plain, **changes)


def grant(tenant: str, **changes: Any) -> Grant:
    """Answer what that person allowed a program, its code not shown yet."""
    plain = Grant(
        tenant=tenant,
        id="gr",
        person="bo",
        client_id="https://client.example/client.json",
        client_name="Codex",
        redirect_uri="http://127.0.0.1:4711/callback",
        scopes=("read",),
        audience=f"https://linkspan.example/t/{tenant}/mcp",
        challenge="challenge",
        code_hash=bytes(32),
        code_expires=2.0,
        created=1.0,
        expires=9.0,
    )
    return replace(plain, **changes)


def link_session(tenant: str, **changes: Any) -> LinkSession:
    """Answer what a link token of that person is good for, not opened yet."""
    plain = LinkSession(
        tenant=tenant,
        id=f"ls_{tenant}",
        hash=bytes(32),
        subject="bo",
        connectors=("desk",),
        scopes=("read",),
        origins=("https://app.example",),
        redirect_uri="https://app.example/done",
        settings={"site": "acme"},
        account=None,
        keep_settings=True,
        allow_identity_change=False,
        sandbox=True,
        created=1.0,
        expires=9.0,
    )
    return replace(plain, **changes)


def link_consent(tenant: str, **changes: Any) -> LinkConsent:
    """Answer a window of that session that has not set out."""
    plain = LinkConsent(
        tenant=tenant,
        id="lc",
        session=f"ls_{tenant}",
        state=tenant.encode().ljust(32),
        ticket=tenant.encode().ljust(32),
        browser=None,
        sealed=b"sealed",
        expires=9.0,
    )
    return replace(plain, **changes)


def webhook(tenant: str | None, **changes: Any) -> Webhook:
    """Answer a receiver that hears of a tenant (None: of all) when it links an account."""
    plain = Webhook(
        id=f"wh_{tenant}",
        tenant=tenant,
        url="https://hooks.example/linkspan",
        events=("integrated_account:created",),
        truto_signature=False,
        active=True,
        sealed=b"sealed",
        created=1.0,
        updated=1.0,
    )
    return replace(plain, **changes)


def pair(of: Grant, generation: int) -> tuple[Token, RefreshToken]:
    """Answer an access token and a refresh token of a grant."""
    access = token(
        of.tenant, id=f"{of.tenant}{generation:08}", grant_id=of.id, audience=of.audience, expires=5.0
    )
    return access, RefreshToken(of.tenant, f"re{generation}", of.id, generation, bytes(32), 9.0)


def run(tenant: str, **changes: Any) -> Run:
    """Answer a run that was asked for by a person and is not begun."""
    plain = Run(
        tenant=tenant,
        id="run_1",
        source="api",
        asker_kind="person",
        asker="bo",
        person="bo",
        recipe="fix_ticket",
        plan={"prompt": "Fix it."},
        state="queued",
        created=1.0,
        updated=1.0,
        entity="ticket",
        entity_id="HC-101",
        entity_title="The till does not add up",
    )
    return replace(plain, **changes)


def session_thread(tenant: str, **changes: Any) -> SessionThread:
    """A thread of bo's on HC-1."""
    plain = SessionThread(tenant, "thr_1", "talk", "HC-1", None, "shop", "bo", created=1.0, updated=1.0)
    return replace(plain, **changes)


def view_token(tenant: str, **changes: Any) -> ViewToken:
    """A view token for one run."""
    plain = ViewToken(
        tenant=tenant,
        id=f"vt_{tenant}",
        hash=b"h" * 32,
        minted_by=None,
        subject="shop",
        person="bo",
        vouched=True,
        origins=("https://shop.example",),
        run="run_1",
        recipe=None,
        entity_id=None,
        account=None,
        may=("run.cancel",),
        created=1.0,
        expires=901.0,
    )
    return replace(plain, **changes)
