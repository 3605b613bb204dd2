"""One row of each kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from linkspan.store.accounts import Account
from linkspan.store.audit import AuditRow
from linkspan.store.calls import Call
from linkspan.store.tokens import Token


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
