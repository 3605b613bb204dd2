"""Where a credential is put into a request, where it may go, and how it is kept out of what comes back."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, unquote_plus

from linkspan import errors
from linkspan.net.messages import Request, Response
from linkspan.net.urls import encoded, is_below, origin_of
from linkspan.spec.catalog import AuthMethod, Connector
from linkspan.vault.credential import Credential
from linkspan.wire.requests import Outgoing

MASK: Final = "[credential]"
_ESCAPE: Final = re.compile("%[0-9A-F]{2}")
_SHORTEST_SECRET: Final = 6
"""Shorter ones would be found in texts that have nothing to do with them."""


def method_of(connector: Connector, credential: Credential) -> AuthMethod:
    """Answer the way that the account was linked with; raises `NeedsReauth` when the file lost it."""
    method = connector.auth_method(credential.method)
    if method is None:
        raise errors.NeedsReauth(
            f"account {credential.account} was linked with {credential.method!r},"
            f" which {connector.name} does not offer any more"
        )
    return method


def _credential_parts(
    method: AuthMethod, secret: Callable[[str], str]
) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    """Answer the header and the query parameter that carry the credential."""
    if method.oauth is not None:
        return (method.name or "Authorization", f"{method.prefix}{secret('access_token')}"), None
    if method.type == "none":
        return None, None
    if method.type == "basic":
        word = f"{secret('username')}:{secret('password')}"
        encoded = base64.b64encode(word.encode()).decode() if MASK not in word else MASK
        return ("Authorization", f"Basic {encoded}"), None
    if method.type == "bearer":
        return ("Authorization", f"{method.prefix}{secret('token')}"), None
    if method.type == "header":
        return (method.name or "Authorization", f"{method.prefix}{secret('key')}"), None
    return None, (method.name or "key", secret("key"))


def authorized(outgoing: Outgoing, method: AuthMethod, secret: Callable[[str], str]) -> Request:
    """Answer the request with its credential, whose parts `secret` answers by name, alone in its place."""
    headers, url = dict(outgoing.headers), outgoing.url
    header, parameter = _credential_parts(method, secret)
    if header is not None:
        _put(headers, *header)
    if method.second is not None:
        _put(headers, method.second, secret("second_key"))
    if method.service is not None:
        mark = method.service.tenant
        _put(headers, mark.header, f"{mark.prefix}{secret('tenant')}")
    if parameter is not None:
        path, _, query = url.partition("?")
        others = [part for part in query.split("&") if part and _name_of(part) != parameter[0]]
        others.append(f"{encoded(parameter[0])}={quote(parameter[1], safe='[]')}")
        url = f"{path}?{'&'.join(others)}"
    return Request(outgoing.method, url, headers, outgoing.body, outgoing.ca, outgoing.use)


def _name_of(part: str) -> str:
    return unquote_plus(part.partition("=")[0])


def _put(headers: dict[str, str], name: str, value: str) -> None:
    """Set a header of ours, whatever the operation says of one of that name."""
    for known in [each for each in headers if each.lower() == name.lower()]:
        del headers[known]
    headers[name] = value


def show(outgoing: Outgoing, method: AuthMethod | None, variables: Mapping[str, str]) -> dict[str, Any]:
    """Answer the exact request with its credential masked: `{method, url, headers, body}`.

    `variables` are those of the environment that tools.yaml uses: their values are shown as `[NAME]`.
    """
    request = authorized(outgoing, method, lambda _name: MASK) if method else outgoing

    def masked(value: Any) -> Any:
        if isinstance(value, str):
            for name, hidden in variables.items():
                for form in (hidden, encoded(hidden)):
                    if len(form) >= _SHORTEST_SECRET:
                        value = value.replace(form, f"[{name}]")
            return value
        if isinstance(value, Mapping):
            return {name: masked(part) for name, part in value.items()}
        return [masked(part) for part in value] if isinstance(value, list) else value

    return {
        "method": request.method,
        "url": masked(request.url),
        "headers": masked(request.headers),
        "body": masked(outgoing.shown_body),
    }


def without_secrets(response: Response, credential: Credential) -> Response:
    """Answer the response without the credential, if the product sends it back (some do, in their errors)."""
    secrets = [secret.reveal() for name, secret in credential.secrets.items() if name != "username"]
    if credential.method == "basic":
        pair = f"{credential.secrets['username'].reveal()}:{credential.secrets['password'].reveal()}"
        secrets.append(base64.b64encode(pair.encode()).decode())
    body, headers = response.body, response.headers
    for secret in secrets:
        if len(secret) < _SHORTEST_SECRET:
            continue
        written = encoded(secret)
        lower = _ESCAPE.sub(lambda found: found[0].lower(), written)
        forms = {secret, written, lower, json.dumps(secret)[1:-1]} if written != secret else {secret}
        for form in forms:
            if (raw := form.encode()) in body:
                body = body.replace(raw, MASK.encode())
            if any(form in value for value in headers.values()):
                headers = {name: value.replace(form, MASK) for name, value in headers.items()}
    if body is response.body and headers is response.headers:
        return response
    return Response(response.status, headers, body, response.url)


def check_destination(outgoing: Outgoing, connector: Connector, credential: Credential) -> bool:
    """Tell whether a request goes to the product itself, and may have the credential with it.

    Raises `NeedsReauth` where the account was not linked for the product's address, `EgressRefused` for what
    would leave it, and the hosts that tools.yaml names.
    """
    url, base, origin = outgoing.url, outgoing.base, origin_of(outgoing.base)
    if origin not in credential.origins:
        raise errors.NeedsReauth(
            f"{connector.title} is now at {origin}, but account {credential.account} was linked for"
            f" {', '.join(credential.origins)}; nothing was sent"
        )
    if outgoing.is_told:
        there = _origin_told(url, connector)
        if there != origin and there not in connector.hosts:
            raise errors.EgressRefused(
                f"{connector.title} told an address at {there}, which is not part of this account;"
                " nothing was sent",
                hint=f"Where that is meant, name its host under `hosts` of {connector.name} in tools.yaml.",
            )
        return there == origin
    if not url.startswith(base + "/") and not is_below(url, base):
        raise errors.EgressRefused(f"a request to {connector.title} would leave {base}; nothing was sent")
    return True


def _origin_told(url: str, connector: Connector) -> str:
    try:
        return origin_of(url)
    except ValueError:
        raise errors.UpstreamError(f"{connector.title} told an address that is none") from None


def sensitive(method: AuthMethod) -> tuple[str, ...]:
    """Answer the headers that stay with the first origin, names in lower case."""
    mark = (method.service.tenant.header,) if method.service else ()
    names = (name.lower() for name in (method.name, method.second) if name)
    return ("authorization", "cookie", *names, *mark)
