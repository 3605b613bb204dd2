"""Every address that a browser opens, and where what it shows is looked at.

`tests/web/test_every_page.py` holds this against what is served: a new address needs a line here, and each
name in a line a `look` in a test of this folder.
"""

from __future__ import annotations

from typing import Final

EMPTY: Final = {
    "": "console-overview-empty",
    "/tenants/acme": "console-tenant-empty",
    "/tenants/acme/entities/ticket": "console-things-unlinked",
    "/accounts": "console-accounts-empty",
    "/runs": "console-runs-empty",
    "/deliveries?tenant=acme": "console-deliveries-empty",
    "/log": "console-log-empty",
}
"""Pages of the console that look another way while nothing is there, and what is seen then."""
FULL: Final = {
    "": "console-overview",
    "/tenants": "console-tenants",
    "/tenants/acme": "console-tenant",
    "/tenants/acme/entities": "console-entities",
    "/tenants/acme/entities/ticket": "console-things",
    "/tenants/acme/entities/ticket/1": "console-thing",
    "/tenants/acme/tools": "console-tools",
    "/tenants/acme/tools/create_ticket": "console-tool",
    "/tenants/acme/runs": "console-tenant-runs",
    "/accounts": "console-accounts",
    "/runs": "console-runs",
    "/deliveries?tenant=acme": "console-deliveries",
    "/log?tenant=acme": "console-log",
    "/settings": "console-settings",
}
"""Pages of the console that stand by themselves, with something on them; the others are reached from them."""
LOOKED_AT: Final[dict[str, tuple[str, ...]]] = {
    "/connect-account": ("link-choose", "link-form", "link-wrong-key", "link-connected", "link-over"),
    "/connect-account/away": ("link-consent",),
    "/oauth/callback": ("link-denied",),
    "/t/{tenant}/invitation": ("sign-in-invitation",),
    "/t/{tenant}/oauth/authorize": ("consent", "sign-in-for-codex", "sign-in-refused"),
    "/t/{tenant}/sign-in": ("sign-in", "sign-in-provider", "home", "home-empty"),
    "/t/{tenant}/runs": ("runs", "runs-empty"),
    "/t/{tenant}/runs/{run}": (
        "run-queued",
        "run-works",
        "run-asks",
        "run-done",
        "run-failed",
        "run-nowhere",
    ),
    "/t/{tenant}/views/{view}/{run}": ("embed-run",),
    "/console/sign-in": ("console-sign-in", "console-sign-in-refused", "console-sign-in-provider"),
    "/console": (FULL[""], EMPTY[""]),
    "/console/tenants": (FULL["/tenants"],),
    "/console/tenants/{tenant}": (FULL["/tenants/acme"], EMPTY["/tenants/acme"], "console-token"),
    "/console/tenants/{tenant}/accounts/{account}": ("console-account", "console-link"),
    "/console/tenants/{tenant}/entities": (FULL["/tenants/acme/entities"],),
    "/console/tenants/{tenant}/entities/{entity}": ("console-things", "console-things-unlinked"),
    "/console/tenants/{tenant}/entities/{entity}/{item:path}": ("console-thing", "console-nothing"),
    "/console/tenants/{tenant}/log/{row}": ("console-log-entry",),
    "/console/tenants/{tenant}/tools": ("console-tools",),
    "/console/tenants/{tenant}/tools/{tool}": ("console-tool", "console-tool-tried", "console-failed"),
    "/console/tenants/{tenant}/runs": ("console-tenant-runs",),
    "/console/tenants/{tenant}/runs/{run}": ("console-run",),
    "/console/accounts": (FULL["/accounts"], EMPTY["/accounts"]),
    "/console/runs": (FULL["/runs"], EMPTY["/runs"]),
    "/console/deliveries": ("console-deliveries", "console-deliveries-empty"),
    "/console/log": ("console-log", "console-log-empty"),
    "/console/settings": ("console-settings",),
}
NO_PAGES: Final = {
    "/console/sign-in/callback": "leads on",
    "/console/sign-in/provider": "leads on",
    "/.well-known/oauth-authorization-server/t/{tenant}": "JSON",
    "/.well-known/openid-configuration/t/{tenant}": "JSON",
    "/t/{tenant}/.well-known/openid-configuration": "JSON",
    "/link-session/{session}": "JSON, for the page of linking",
    "/t/{tenant}/views/{view}": "JSON, for a product's page",
    "/t/{tenant}/views/{view}/progress": "events, for a product's page",
    **{
        f"{runs}/{{run}}/{below}": told
        for runs in ("/t/{tenant}/runs", "/console/tenants/{tenant}/runs", "/t/{tenant}/views/{view}")
        for below, told in (("{part}", "parts of a run's page"), ("files/{name}", "a file to keep"))
    },
}
"""What a browser asks for and shows nobody as a page, and why not."""
