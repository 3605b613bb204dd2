"""Tenants: who they are, what they have, and what is done for them."""

from __future__ import annotations

from starlette.responses import Response

from linkspan.accounts.principal import Tenant
from linkspan.store import overview as rows
from linkspan.store.overview import AccountFilter
from linkspan.store.tokens import Token
from linkspan.web.console.accounts import account_row
from linkspan.web.console.door import PATH, Visit
from linkspan.web.console.shape import (
    Action,
    Block,
    Cell,
    Facts,
    Field,
    Form,
    Table,
    Text,
    Value,
    age,
    moment,
    onward,
)
from linkspan.web.oauth.login import see_other


async def listed(visit: Visit) -> Response:
    """Answer the tenants that somebody sees."""
    found = [each for each in await visit.parts.tenants.list() if visit.admin.sees(each.name)]
    counts = await rows.accounts_by_tenant(visit.parts.database)
    table = Table(
        "Tenants",
        ("Name", "Accounts", "Need to be linked again", "Since"),
        [
            [
                Cell(each.name, f"{PATH}/tenants/{each.name}"),
                str(sum(counts.get(each.name, {}).values())),
                str(counts.get(each.name, {}).get("needs_reauth", 0)),
                moment(each.created),
            ]
            for each in found
        ],
        "There are no tenants yet.",
    )
    blocks: list[Block] = [table]
    if visit.admin.may("admin") and visit.admin.only is None:
        field = Field("name", "Name", hint="Small letters, digits and -", required=True)
        blocks.append(Form("Add one", f"{PATH}/tenants", [field], "Add"))
    return visit.show("Tenants", blocks)


async def add(visit: Visit) -> Response:
    """Add a tenant."""
    visit.everywhere()
    tenant = await visit.parts.tenants.add(visit.asked("name"))
    await visit.note(tenant, "create_tenant", "tenant", tenant)
    return see_other(f"{PATH}/tenants/{tenant}")


async def show(visit: Visit) -> Response:
    """Answer one tenant."""
    tenant = await visit.tenant()
    parts, here, now = visit.parts, f"{PATH}/tenants/{tenant}", visit.parts.clock()
    accounts = await rows.accounts(parts.database, AccountFilter(tenant=tenant))
    people = await parts.people.list(tenant)
    tokens = [each for each in await parts.tokens.list(tenant) if each.revoked is None]
    recipes = await parts.recipes.list(tenant)
    ways: list[tuple[str, Value]] = [
        ("Its data", Cell("browse entities", f"{here}/entities")),
        ("What Codex sees", Cell("tools", f"{here}/tools")),
        ("What Codex did", Cell("runs", onward(f"{PATH}/runs", {"tenant": tenant}))),
        ("What was done", Cell("log", onward(f"{PATH}/log", {"tenant": tenant}))),
        ("What it was told", Cell("deliveries", onward(f"{PATH}/deliveries", {"tenant": tenant}))),
        ("MCP endpoint", Cell(f"{visit.place.base}/t/{tenant}/mcp", code=True)),
    ]
    is_admin = visit.admin.may("admin")
    blocks: list[Block] = [
        Facts("Where to go", ways),
        Table("Accounts", ("Account", "Tenant", "Connector", "State", "Why"),
              [account_row(each) for each in accounts], "It has linked nothing yet."),
        Table("Recipes", ("Recipe", "Is", "Settings", "Said by"),
              [[each.recipe.title, Cell("on", tone="good") if each.enabled else Cell("off", tone="waits"),
                ", ".join(f"{name}: {value}" for name, value in each.settings.items() if value) or None,
                each.said.changed_by if each.said else None] for each in recipes],
              "tools.yaml has no recipe."),
        Table("People", ("Name", "Mail", "May", "Since"),
              [[each.name, each.email, ", ".join(each.scopes), moment(each.created)] for each in people],
              "Nobody may sign in."),
        Table("Tokens", ("Id", "For", "May", "Age", "Used", "Ends", ""),
              [_token_row(each, here, now, is_admin=is_admin) for each in tokens], "It has no token."),
    ]  # fmt: skip
    if is_admin:
        blocks.append(
            Form(
                "Make a token",
                f"{here}/tokens",
                [
                    Field("subject", "For whom", required=True, hint="The person's or the program's name"),
                    Field("scopes", "May", "read write", hint="read, write, ENTITY.OPERATION, ENTITY.*"),
                    Field("days", "Days that it is good for", "90", hint="Empty: without an end"),
                ],
                "Make",
            )
        )
    return visit.show(str(tenant), blocks, up=[("Tenants", f"{PATH}/tenants")])


async def make_token(visit: Visit) -> Response:
    """Make a token and show it this once."""
    tenant = await visit.tenant()
    days = visit.asked("days")
    seconds = float(days) * 86_400 if days.isdecimal() and len(days) < 6 else None
    made = await visit.parts.tokens.create(
        tenant,
        subject=visit.asked("subject"),
        scopes=visit.asked("scopes").split(),
        expires=None if seconds is None else visit.parts.clock() + seconds,
    )
    await visit.note(tenant, "create_token", "token", made.token.id)
    text = Text("The token", made.text.reveal(), "It is shown here and never again: only its hash is kept.")
    return visit.show("A token", [text], up=_up(tenant))


async def revoke_token(visit: Visit) -> Response:
    """Revoke a token, at once."""
    tenant, token = await visit.tenant(), visit.asked("token")
    await visit.parts.tokens.revoke(tenant, token)
    await visit.note(tenant, "revoke_token", "token", token)
    return see_other(f"{PATH}/tenants/{tenant}")


def _up(tenant: Tenant) -> list[tuple[str, str]]:
    return [("Tenants", f"{PATH}/tenants"), (tenant, f"{PATH}/tenants/{tenant}")]


def _token_row(token: Token, here: str, now: float, *, is_admin: bool) -> list[Value]:
    is_over = token.expires is not None and token.expires <= now
    revoke = Action("Revoke", f"{here}/tokens/revoke", {"token": token.id}, f"the token of {token.subject}")
    return [
        Cell(token.id, code=True),
        token.subject,
        ", ".join(token.scopes),
        age(token.created, now),
        moment(token.last_used),
        Cell("over", tone="waits") if is_over else moment(token.expires),
        revoke if is_admin else None,
    ]
