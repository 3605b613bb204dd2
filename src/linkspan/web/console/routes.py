"""The console, as routes: what each needs of a role."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from linkspan.store.admins import Role
from linkspan.web.console import accounts, deliveries, log, overview, runs, settings, tenants, tools
from linkspan.web.console.door import PATH, Answer, Parts, door
from linkspan.web.console.runs import ConsoleGate
from linkspan.web.console.sign_in import SignIn
from linkspan.web.watch.routes import Parts as WatchParts
from linkspan.web.watch.routes import watch_routes

SEEN: tuple[tuple[str, Answer], ...] = (
    ("", overview.show),
    ("/tenants", tenants.listed),
    ("/tenants/{tenant}", tenants.show),
    ("/tenants/{tenant}/accounts/{account}", accounts.show),
    ("/tenants/{tenant}/entities", tools.entities),
    ("/tenants/{tenant}/entities/{entity}", tools.items),
    ("/tenants/{tenant}/entities/{entity}/{item:path}", tools.item),
    ("/tenants/{tenant}/log/{row}", log.entry),
    ("/tenants/{tenant}/tools", tools.listed),
    ("/tenants/{tenant}/tools/{tool}", tools.show),
    ("/accounts", accounts.listed),
    ("/runs", runs.listed),
    ("/deliveries", deliveries.listed),
    ("/log", log.show),
    ("/settings", settings.show),
)
DONE: tuple[tuple[str, Answer, Role], ...] = (
    ("/tenants", tenants.add, "admin"),
    ("/tenants/{tenant}/tokens", tenants.make_token, "admin"),
    ("/tenants/{tenant}/tokens/revoke", tenants.revoke_token, "admin"),
    ("/tenants/{tenant}/accounts/{account}/verify", accounts.verify, "operator"),
    ("/tenants/{tenant}/accounts/{account}/reconnect", accounts.reconnect, "operator"),
    ("/tenants/{tenant}/accounts/{account}/log-bodies", accounts.keep_bodies, "admin"),
    ("/tenants/{tenant}/accounts/{account}/no-log-bodies", accounts.keep_no_bodies, "admin"),
    ("/tenants/{tenant}/deliveries/replay", deliveries.replay, "operator"),
    ("/tenants/{tenant}/tools/{tool}", tools.attempt, "viewer"),
    ("/settings/keys/revoke", settings.revoke, "admin"),
)
"""A try of a tool needs what the tool itself needs: somebody who only looks has a token that only reads."""


def console_routes(parts: Parts, watch: WatchParts) -> list[BaseRoute]:
    """Answer every route of the console."""
    return [
        *SignIn(parts).routes(),
        *watch_routes(watch, ConsoleGate(parts), f"{PATH}/tenants/{{tenant}}/runs"),
        *(Route(f"{PATH}{path}", door(parts, answer), methods=["GET"]) for path, answer in SEEN),
        *(
            Route(f"{PATH}{path}", door(parts, answer, role=role), methods=["POST"])
            for path, answer, role in DONE
        ),
    ]
