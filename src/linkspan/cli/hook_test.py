"""`linkspan hooks test`: a sample delivered to our own address, signed as the product would sign it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from linkspan.accounts.principal import Tenant
from linkspan.errors import InvalidArgument, LinkspanError, NotFound, UpstreamError
from linkspan.runs.hooks import TEST
from linkspan.runs.signatures import signing, time_told

if TYPE_CHECKING:
    from linkspan.app import App

_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the address answered, and what would come of it."""

    url: str
    status: int
    told: list[dict[str, Any]]


async def deliver(
    app: App, tenant: Tenant | None, name: str, raw: bytes, given: tuple[str, ...], base: str
) -> Delivered:
    """Deliver a sample, and foresee what would come of it. Raises what keeps it from being taken."""
    connector, path = await _address(app, tenant, name)
    kept = await app.hook_secrets.find(name)
    if kept is None or kept[0] != tenant:
        raise NotFound(f"{name} has no secret yet", hint=f"Make it with: linkspan hooks secret {name}")
    hooks = app.catalog.connectors[connector].webhooks
    assert hooks is not None  # noqa: S101 - its address was found
    secret, now = kept[1].reveal(), time.time()
    told = time_told(hooks.signature.timestamp, now)
    raw = raw.replace(b"{secret}", secret.encode()).replace(b"{timestamp}", told.encode())
    headers = dict(_pair(each) for each in given)
    headers |= {"content-type": "application/json", TEST: "1"}
    called = hooks.id({"headers": headers, "body": _json(raw)}) if hooks.id is not None else None
    delivery = called if isinstance(called, str) else f"test-{uuid.uuid4().hex}"
    proof, part = signing(hooks.signature, secret, raw, now=now, delivery=delivery)
    url = f"{base}{path}"
    status, answer = await asyncio.to_thread(
        _post, f"{url}/{part}" if part else url, {**headers, **proof}, raw
    )
    if status != 200:
        message = answer.get("error", {}).get("message", "") if isinstance(answer, dict) else ""
        raise UpstreamError(f"{url} answered {status}: {message}".rstrip(": "))
    noted = answer.get("test", []) if isinstance(answer, dict) else []
    found = [{**each, "outcome": await _foreseen(app, tenant, name, each)} for each in noted]
    return Delivered(url, status, found)


async def _address(app: App, tenant: Tenant | None, name: str) -> tuple[str, str]:
    connectors = app.catalog.connectors
    if tenant is None:
        known = connectors[name].webhooks
        if known is None or known.scope != "app":
            hint = "Name an account: linkspan account list"
            raise InvalidArgument(f"{name} has no single address for all of its accounts", hint=hint)
        return name, f"/hooks/{name}"
    found = {each.id: each for each in await app.accounts.list(tenant)}.get(name)
    hint = f"See: linkspan account list --tenant {tenant}"
    if found is None:
        raise NotFound(f"tenant {tenant} has no account {name!r}", hint=hint)
    known = connectors[found.connector].webhooks if found.connector in connectors else None
    if known is None or known.scope != "account":
        raise InvalidArgument(f"{found.connector} has no address for each account")
    return found.connector, f"/hooks/account/{name}"


async def _foreseen(app: App, tenant: Tenant | None, account: str, told: Mapping[str, Any]) -> str:
    if tenant is None:
        return str(told["ignored"] or "would be noted; what comes of it is each tenant's own")
    try:
        return await app.arrivals.foresee(tenant, account, told)
    except LinkspanError as error:
        return f"it could not be read: {error.message}"


def _post(url: str, headers: Mapping[str, str], raw: bytes) -> tuple[int, Any]:
    if not url.startswith(("http://", "https://")):
        raise InvalidArgument(f"{url} is no address of HTTP")
    request = urllib.request.Request(url, data=raw, headers=dict(headers), method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:  # noqa: S310 - it is ours
            return answer.status, _json(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json(error.read())
    except OSError as error:
        hint = "Is `linkspan serve` running there? Name the address with --url."
        raise UpstreamError(f"{url.partition('/hooks')[0]} does not answer", hint=hint) from error


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition(":")
    if not sign or not name.strip():
        raise InvalidArgument(f"--header takes NAME:VALUE, not {text!r}")
    return name.strip().lower(), value.strip()
