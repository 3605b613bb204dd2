"""Proves a credential by the connector's own request, and learns whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from linkspan import wire
from linkspan.accounts.accounts import Identity
from linkspan.net.client import Client
from linkspan.spec.catalog import Connector, Getter
from linkspan.vault.credential import Credential


@dataclass(frozen=True, slots=True)
class Verifier:
    """Asks a product who a credential belongs to."""

    client: Client

    async def __call__(self, connector: Connector, credential: Credential) -> Identity | None:
        """Answer the identity behind a credential; None where the connector declares no `verify`.

        Raises `NeedsReauth` for a credential that the product refuses, and what `wire.send` raises.
        """
        way = connector.auth_method(credential.method)
        verify = (way.verify if way else None) or connector.verify
        if verify is None:
            return None
        scope = wire.scope_of({}, credential)
        answer = await wire.send(verify.request, scope, connector, credential, self.client)
        return Identity(_word(verify.id, answer.body), _word(verify.label, answer.body))


def _word(getter: Getter | None, body: Any) -> str | None:
    value = getter(body) if getter else None
    return str(value)[:200] if isinstance(value, str | int) else None
