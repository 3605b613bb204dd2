"""What the operator has set, without secrets, and how old each key is."""

from __future__ import annotations

from starlette.responses import Response

from linkspan import __version__
from linkspan.accounts.rotation import MasterKey
from linkspan.store.admins import AdminToken
from linkspan.web.console.door import PATH, Visit
from linkspan.web.console.shape import Action, Block, Cell, Facts, Table, Value, age, moment
from linkspan.web.oauth.login import see_other

_OLD = 365


async def show(visit: Visit) -> Response:
    """Answer settings and keys."""
    visit.everywhere()
    parts, settings = visit.parts, visit.parts.settings
    catalog, now = parts.gateway.catalog, parts.clock()
    provider = settings.sign_in.provider
    set_: list[tuple[str, Value]] = [
        ("Version", __version__),
        ("tools.yaml", Cell(str(settings.config), code=True) if settings.config else None),
        ("Tools", f"{len(catalog.tools)} of {', '.join(catalog.connectors) or 'no connector'}"),
        ("Recipes", ", ".join(catalog.recipes) or "none"),
        ("Reached at", settings.public_url or visit.place.base),
        ("Database", "PostgreSQL" if settings.database else "SQLite, in LINKSPAN_HOME"),
        ("Runs are worked", "in this process, too" if settings.works else "by linkspan work"),
        ("People sign in", f"at {provider.issuer}" if provider else "by invitation"),
        ("Connections beyond the internet", str(settings.egress) or "none"),
        ("Largest tool result", f"{settings.max_result_bytes:,} bytes"),
    ]
    blocks: list[Block] = [
        Facts("Settings", set_),
        Table("Master keys", ("Key", "From", "Seals what is new", "Age", "Data keys", "Values"),
              [_master(each, now) for each in await parts.master_keys()], "There is none.",
              "A new one: linkspan keys rotate"),
        Table("Admin keys", ("Id", "For", "Role", "Tenant", "Age", "Used", "Ends", ""),
              [_key(each, now, may=visit.admin.may("admin")) for each in await parts.admins.list()
               if each.revoked is None],
              "There is none.", "A new one: linkspan admin create --role operator"),
    ]  # fmt: skip
    return visit.show("Settings", blocks)


async def revoke(visit: Visit) -> Response:
    """Revoke an admin key, at once."""
    visit.everywhere()
    await visit.parts.admins.revoke(visit.asked("key"))
    return see_other(f"{PATH}/settings")


def _master(key: MasterKey, now: float) -> list[Value]:
    return [
        Cell(key.id, code=True),
        key.source or Cell("missing", tone="bad"),
        "yes" if key.seals else None,
        age(key.since, now),
        str(key.data_keys),
        str(key.values),
    ]


def _key(key: AdminToken, now: float, *, may: bool) -> list[Value]:
    is_old = (now - key.created) / 86_400 > _OLD and key.expires is None
    revoke = Action("Revoke", f"{PATH}/settings/keys/revoke", {"key": key.id}, f"the key of {key.subject}")
    return [
        Cell(key.id, code=True),
        key.subject,
        key.role,
        key.only,
        Cell(age(key.created, now), tone="bad" if is_old else ""),
        moment(key.last_used),
        moment(key.expires),
        revoke if may else None,
    ]
