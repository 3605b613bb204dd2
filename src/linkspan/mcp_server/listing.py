"""The prepared answers of stdio, made from a catalog."""

from __future__ import annotations

import os

from linkspan.mcp_server import prepared, protocol
from linkspan.mcp_server.surface import Surface
from linkspan.settings import Settings
from linkspan.spec.catalog import Catalog


def keep_prepared(settings: Settings, catalog: Catalog) -> prepared.Answers:
    """Answer the lists of a catalog, and keep them for the next start when they are new."""
    now = answers(Surface(catalog, ("read", "write"), live=True))
    if settings.config is not None and catalog.files:
        path = prepared.cache_path(settings.home, settings.config)
        if prepared.read(path, os.environ) != now:
            prepared.write(path, catalog.files, os.environ, now)
    return now


def answers(surface: Surface) -> dict[str, str]:
    """Answer what the porch of stdio needs: every list, and the handshake of both eras."""
    found = {f"initialize {version}": surface.initialize(version) for version in protocol.LEGACY_VERSIONS}
    found["server/discover modern"] = surface.discover()
    for method in protocol.LIST_METHODS:
        found[f"{method} legacy"] = surface.listing(method, modern=False)
        found[f"{method} modern"] = surface.listing(method, modern=True)
    return {key: value.decode() for key, value in found.items()}
