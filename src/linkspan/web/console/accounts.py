"""Linked accounts and their health: proved now, linked again, and what the product said last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from starlette.responses import Response

from linkspan.accounts.principal import Tenant
from linkspan.errors import InvalidArgument, LinkspanError, NotFound
from linkspan.spec.catalog import Connector
from linkspan.store import overview as rows
from linkspan.store.accounts import Account, State
from linkspan.store.overview import AccountFilter
from linkspan.web.console.door import PATH, Visit
from linkspan.web.console.shape import Cell, Facts, Field, Form, Table, Text, Tone, Value, moment, onward
from linkspan.web.oauth.login import see_other

_LISTED = 100
_MINUTES = ("10", "30", "60")
STATES: Final[Mapping[str, tuple[str, Tone]]] = {
    "active": ("active", "good"),
    "connecting": ("being linked", "works"),
    "needs_reauth": ("must be linked again", "bad"),
    "validation_error": ("what was given is refused", "bad"),
    "post_install_error": ("setting it up failed", "bad"),
}
"""What a state is called, and how it is marked."""


def account_row(account: Account) -> list[Value]:
    """Answer an account as a row."""
    return [
        Cell(account.identity_label or account.id, f"{PATH}/tenants/{account.tenant}/accounts/{account.id}"),
        Cell(account.tenant, f"{PATH}/tenants/{account.tenant}"),
        account.connector,
        _state(account),
        account.last_error,
    ]


async def listed(visit: Visit) -> Response:
    """Answer accounts, oldest first."""
    state, wanted = visit.asked("state"), visit.asked("tenant")
    tenant: str | None = visit.admin.only
    if wanted:
        tenant = await visit.tenant(wanted)
    known: tuple[State, ...] = get_args(State)
    found = await rows.accounts(
        visit.parts.database,
        AccountFilter(tenant=tenant, state=next((each for each in known if each == state), None)),
        limit=_LISTED + 1,
    )
    fields = [
        Field(
            "state",
            "State",
            state,
            "select",
            [("", "any"), *((name, word) for name, (word, _tone) in STATES.items())],
        )
    ]
    if visit.admin.only is None:
        fields.append(Field("tenant", "Tenant", wanted))
    note = f"The first {_LISTED}; choose a tenant to see fewer." if len(found) > _LISTED else ""
    return visit.show(
        "Accounts",
        [
            Form("Which", f"{PATH}/accounts", fields, "Show", method="get"),
            Table("Found", ("Account", "Tenant", "Connector", "State", "Why"),
                  [account_row(each) for each in found[:_LISTED]], "There are none like that.", note),
        ],
    )  # fmt: skip


async def show(visit: Visit) -> Response:
    """Answer one account."""
    account = await _found(visit)
    blocks: list[Facts | Form] = [
        Facts(
            "Health",
            [
                ("State", _state(account)),
                ("Why", account.last_error),
                ("Proved", moment(account.verified)),
                ("Changed", moment(account.updated)),
                ("Refused lately", str(dict(account.last_forbidden)) if account.last_forbidden else None),
            ],
        ),
        Facts(
            "What it is",
            [
                ("Connector", account.connector),
                ("At the product", account.identity_label or account.identity_id),
                ("Whose", account.subject or f"all of {account.tenant}"),
                ("Linked by", account.method),
                ("May be sent to", ", ".join(account.origins)),
                ("Scopes", None if account.scopes is None else ", ".join(account.scopes)),
                (
                    "Settings",
                    ", ".join(f"{name}: {value}" for name, value in account.settings.items()) or None,
                ),
                ("Linked", moment(account.created)),
                ("Id", Cell(account.id, code=True)),
            ],
        ),
    ]
    if visit.admin.may("operator"):
        here = visit.request.url.path
        blocks += [
            Form("Is it good?", f"{here}/verify", [], "Ask the product now"),
            Form("Link it again", f"{here}/reconnect", [], "Make a link",
                 "Whoever opens the link links this account anew; it is good once, for 15 minutes."),
        ]  # fmt: skip
    if visit.admin.may("admin"):
        blocks.append(await _bodies(visit, account))
    return visit.show(account.identity_label or account.id, blocks, up=_up(account.tenant))


async def verify(visit: Visit) -> Response:
    """Ask the product whether the credential is good."""
    account = await _found(visit)
    connector = _connector(visit, account)
    if connector.verify is None:
        raise InvalidArgument(f"Connector {connector.name} declares no `verify` request in tools.yaml")
    tenant = Tenant(account.tenant)
    try:
        await visit.parts.accounts.verify(tenant, account.id, connector, visit.parts.verifier)
    except LinkspanError as error:
        if error.upstream_status is None:
            raise
    await visit.note(tenant, "verify_integrated_account", "integrated_account", account.id)
    return see_other(visit.request.url.path.removesuffix("/verify"))


async def reconnect(visit: Visit) -> Response:
    """Make a link with which somebody links the account again, and show it this once."""
    account = await _found(visit)
    made = await visit.parts.link_sessions.create(Tenant(account.tenant), account=account)
    await visit.note(account.tenant, "create_link_token", "integrated_account", account.id)
    link = f"{visit.place.base}/connect-account#link_token={made.text.reveal()}"
    back = visit.request.url.path.removesuffix("/reconnect")
    note = "Send it to whoever owns the account. It is shown once, and is good once, for 15 minutes."
    return visit.show(
        "A link", [Text("To link it again", link, note)], up=[*_up(account.tenant), (account.id, back)]
    )


async def _bodies(visit: Visit, account: Account) -> Form:
    """Answer what turns bodies beside the log on or off."""
    here = visit.request.url.path
    known = onward(f"{PATH}/log", {"tenant": account.tenant, "account": account.id})
    keeping = await visit.parts.log_bodies.state(account.tenant, account.id)
    if keeping is not None:
        until = moment(keeping.until)
        note = f"Until {until.text if until else ''} UTC, since {keeping.wanted_by} wanted it. See {known}"
        return Form("Bodies are kept beside the log", f"{here}/no-log-bodies", [], "Keep no more", note)
    options = [(minutes, f"{minutes} minutes") for minutes in _MINUTES]
    return Form(
        "Bodies beside the log", f"{here}/log-bodies", [Field("minutes", "For", "10", "select", options)],
        "Keep bodies",
        "What is sent to the product and answered is kept with each call's row in the log, without secrets,"
        " but with what is personal in it; operators see it there for seven days.",
    )  # fmt: skip


async def keep_bodies(visit: Visit) -> Response:
    """Keep an account's bodies beside the log for some minutes."""
    account = await _found(visit)
    minutes = visit.asked("minutes")
    if minutes not in _MINUTES:
        raise InvalidArgument(f"Bodies are kept for {', '.join(_MINUTES)} minutes")
    await visit.parts.log_bodies.turn_on(account.tenant, account.id, int(minutes) * 60.0, visit.admin.subject)
    await visit.note(account.tenant, "keep_log_bodies", "integrated_account", account.id)
    return see_other(visit.request.url.path.removesuffix("/log-bodies"))


async def keep_no_bodies(visit: Visit) -> Response:
    """Keep no more of them."""
    account = await _found(visit)
    await visit.parts.log_bodies.turn_off(account.tenant, account.id)
    await visit.note(account.tenant, "keep_no_log_bodies", "integrated_account", account.id)
    return see_other(visit.request.url.path.removesuffix("/no-log-bodies"))


def _up(tenant: str) -> list[tuple[str, str]]:
    return [
        (tenant, f"{PATH}/tenants/{tenant}"),
        ("Accounts", onward(f"{PATH}/accounts", {"tenant": tenant})),
    ]


async def _found(visit: Visit) -> Account:
    tenant = await visit.tenant()
    return await visit.parts.overview.account(visit.request.path_params["account"], tenant)


def _connector(visit: Visit, account: Account) -> Connector:
    found = visit.parts.gateway.catalog.connectors.get(account.connector)
    if found is None:
        raise NotFound(f"There is no connector {account.connector!r} in tools.yaml any more")
    return found


def _state(account: Account) -> Cell:
    word, tone = STATES[account.state]
    return Cell(word, tone=tone)
