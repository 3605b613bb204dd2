"""Authorization servers, as one account each sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from linkspan.errors import ConfigurationError
from linkspan.net.urls import origin_of
from linkspan.spec.catalog import AuthMethod, Connector, Scope, Template
from linkspan.spec.grants import OAuth
from linkspan.vault.secret import Secret
from linkspan.wire import ca_of


@dataclass(frozen=True, slots=True)
class Provider:
    """An authorization server as one account sees it: its addresses, and the client that we are there."""

    title: str
    oauth: OAuth
    settings: Mapping[str, str]
    base_url: Template
    client_id: str
    client_secret: Secret | None = field(repr=False)
    is_own_client: bool
    """The account brought the client, so it is the account's fault when it is refused."""
    ca: str | None = field(default=None, repr=False)
    """The authority that signed the certificate of the account's own server."""
    connector: str = ""

    def url(self, template: Template) -> str:
        """Answer one of its addresses for this account's settings."""
        return template.expand(Scope({}, self.settings))

    def ca_for(self, url: str) -> str | None:
        """Answer the account's own authority for addresses of its own server, and for no others."""
        return (
            self.ca if self.ca is not None and origin_of(url) == origin_of(self.url(self.base_url)) else None
        )

    def origins(self) -> tuple[str, ...]:
        """Answer every origin that what renews a token may be sent to."""
        oauth = self.oauth
        urls = [oauth.token_url, oauth.refresh_url, oauth.revoke_url]
        if oauth.client is not None and oauth.client.private_key is not None:
            urls.append(self.base_url)
        return tuple(dict.fromkeys(origin_of(self.url(each)) for each in urls if each is not None))


def provider_of(
    connector: Connector, way: AuthMethod, settings: Mapping[str, str], secrets: Mapping[str, Secret]
) -> Provider:
    """Answer the authorization server of a way to connect, for an account with these settings and secrets."""
    oauth = way.oauth
    if oauth is None:
        raise ConfigurationError(f"{connector.name} has no tokens to renew where it is linked by {way.type}")
    own = oauth.client is None
    client_id = secrets["client_id"].reveal() if own and "client_id" in secrets else ""
    secret = secrets.get("client_secret")
    if oauth.client is not None:
        client_id = oauth.client.id
        secret = Secret(oauth.client.secret) if oauth.client.secret is not None else None
    return Provider(
        connector.title,
        oauth,
        settings,
        connector.base_url,
        client_id,
        secret,
        own,
        ca_of(connector, settings),
        connector.name,
    )
