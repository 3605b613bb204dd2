"""What `linkspan stdio` and `mcp run` serve: the application, standing for one tenant."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from linkspan.accounts.principal import Principal
from linkspan.app import App, build, config_path, load_catalog
from linkspan.gateway.call import Gateway
from linkspan.reload import Reloader
from linkspan.settings import Settings
from linkspan.spec.catalog import Catalog
from linkspan.vault.logs import configure_logging
from linkspan.vault.redact import Redactor
from linkspan.vault.seal import Vault


@dataclass(frozen=True, slots=True)
class Standing:
    """An open application, the one who calls, and the watch over tools.yaml."""

    app: App
    principal: Principal
    watching: asyncio.Task[None]

    @property
    def sealer(self) -> Vault:
        """What protects what a client has to bring back."""
        return self.app.vault

    @property
    def gateway(self) -> Gateway:
        """What answers calls."""
        return self.app.gateway

    async def aclose(self) -> None:
        """Finish what is queued and close."""
        self.watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.watching
        await self.app.aclose()


async def open_stdio(settings: Settings, catalog: Catalog, changed: Callable[[Catalog], None]) -> Standing:
    """Open the application for the one tenant of the settings; `changed` is called after a hot reload.

    The operating system says who may start a program, so the caller is the operator, with every scope.
    Raises `ConfigurationError`, among others for several tenants with none named.
    """
    redactor = Redactor()
    configure_logging(redactor, logging.WARNING)
    app = await build(settings, catalog=catalog, redactor=redactor)
    try:
        tenant = await app.tenants.only(settings.tenant, make=True)
    except BaseException:
        await app.aclose()
        raise

    def replace(other: Catalog) -> None:
        app.gateway.replace_catalog(other)
        changed(other)

    reloader = Reloader([config_path(settings)], lambda: load_catalog(settings), replace)
    watching = asyncio.get_running_loop().create_task(reloader.run())
    return Standing(app, Principal(tenant, "operator", "stdio"), watching)
