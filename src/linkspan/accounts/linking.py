"""What is asked when an account is linked, and whether the answers fit the connector."""

from __future__ import annotations

import re
import ssl
import textwrap
from collections.abc import Mapping

from linkspan.accounts.providers import provider_of
from linkspan.errors import InvalidArgument, LinkspanError
from linkspan.net.urls import origin_of
from linkspan.spec.catalog import AuthMethod, Connector, Scope, Setting
from linkspan.spec.references import normal_origin
from linkspan.vault.secret import Secret
from linkspan.wire import base_of, base_url

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]+")
_NUMBER = re.compile(r"[0-9]{1,20}")
_Faults = list[dict[str, str]]


def choose_method(connector: Connector, type_: str | None) -> AuthMethod:
    """Answer the way to connect of that type, the connector's best without one. Raises `InvalidArgument`."""
    if type_ is None:
        return connector.auth[0]
    method = connector.auth_method(type_)
    if method is None:
        ways = ", ".join(method.type for method in connector.auth)
        raise InvalidArgument(f"{connector.title} is not linked by {type_!r}", hint=f"It takes: {ways}.")
    return method


def check_settings(
    connector: Connector, given: Mapping[str, str], *, is_complete: bool = True
) -> dict[str, str]:
    """Answer the connector's settings with defaults filled in.

    Until all is there (`is_complete`), settings that are found rather than asked may be missing. Raises
    `InvalidArgument` with every fault.
    """
    faults: _Faults = [
        _fault(f"settings.{name}", f"{connector.title} has no such setting")
        for name in given
        if name not in connector.settings
    ]
    answer: dict[str, str] = {}
    for name, setting in connector.settings.items():
        value = given.get(name, "").strip() or setting.default
        if value is None:
            if setting.required and (is_complete or not setting.is_found):
                faults.append(_fault(f"settings.{name}", f"missing: {setting.title}"))
            continue
        try:
            answer[name] = check_setting(setting, value)
        except InvalidArgument as error:
            faults.append(_fault(f"settings.{name}", error.message))
    _raise(faults, connector)
    return answer


def check_secrets(
    connector: Connector, method: AuthMethod, given: Mapping[str, str | Secret]
) -> dict[str, Secret]:
    """Answer the secrets that the method asks for. Raises `InvalidArgument`, which never shows a value."""
    faults = [
        _fault(name, f"{method.type} does not take this") for name in given if name not in method.fields
    ]
    answer: dict[str, Secret] = {}
    for name in method.fields:
        value = given.get(name, "")
        text = value.reveal() if isinstance(value, Secret) else value
        # A user name or a password may be empty: some products take the key as one of the two.
        if not text and method.type != "basic":
            faults.append(_fault(name, "missing"))
        elif _CONTROL.search(text):
            faults.append(_fault(name, "holds a line end or another control character; paste it again"))
        elif method.type in ("bearer", "header") and not _HEADER_VALUE.fullmatch(text):
            faults.append(_fault(name, "holds a character that no header can carry; paste it again"))
        elif name == "installation_id" and not _NUMBER.fullmatch(text):
            faults.append(_fault(name, "is a number; it stands at the end of the installation's address"))
        answer[name] = Secret(text)
    if answer and not any(answer.values()) and not faults:
        faults.append(_fault(method.fields[0], "missing"))
    _raise(faults, connector)
    return answer


def origins_of(connector: Connector, settings: Mapping[str, str]) -> tuple[str, ...]:
    """Answer every origin that a credential with these settings may be sent to.

    Raises `InvalidArgument` when the settings do not make a URL.
    """
    try:
        urls = [base_url(connector, settings)]
        if connector.connected is not None and connector.connected.request.base is not None:
            urls.append(base_of(connector.connected.request, connector, settings))
        if connector.git is not None:
            urls.append(connector.git.base_url.expand(Scope({}, settings)))
        return tuple(dict.fromkeys(origin_of(url) for url in urls))
    except ValueError as error:
        raise InvalidArgument(
            f"The settings do not make an address of {connector.title}: {error}",
            hint=f"Look at base_url of the connector {connector.name} and at the settings.",
        ) from error


def first_origins(connector: Connector, settings: Mapping[str, str]) -> tuple[str, ...]:
    """Answer where a credential may go before the settings are complete: to what finds the rest."""
    if connector.connected is None:
        return origins_of(connector, settings)
    return (origin_of(base_of(connector.connected.request, connector, settings)),)


def token_origins(
    connector: Connector, method: AuthMethod, settings: Mapping[str, str], secrets: Mapping[str, Secret]
) -> tuple[str, ...]:
    """Answer where what renews an access token may be sent; nowhere for what is not renewed."""
    if method.oauth is None:
        return ()
    return provider_of(connector, method, settings, secrets).origins()


def current_origins(connector: Connector, settings: Mapping[str, str]) -> tuple[str, ...] | None:
    """Answer the origins that the file makes of stored settings now; None when they make none."""
    try:
        return origins_of(connector, settings)
    except LinkspanError:
        return None


def check_setting(setting: Setting, value: str) -> str:
    """Answer a setting's value as it is stored. Raises `InvalidArgument`."""
    if setting.type == "certificate":
        return normal_certificates(value)
    if _CONTROL.search(value):
        raise InvalidArgument("holds a control character")
    if setting.pattern is not None and not setting.pattern.fullmatch(value):
        raise InvalidArgument(f"must match {setting.pattern.pattern}")
    if setting.type == "origin":
        return normal_origin(setting.title, value.rstrip("/"))
    return value


_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]{1,20000})-----END CERTIFICATE-----")


def normal_certificates(value: str) -> str:
    """Answer certificates as PEM, whatever became of their line ends. Raises `InvalidArgument`."""
    found = ["".join(match[1].split()) for match in _CERTIFICATE.finditer(value[:200_000])]
    rest = _CERTIFICATE.sub("", value).strip()
    if not found or rest:
        raise InvalidArgument("must be certificates in PEM form: -----BEGIN CERTIFICATE----- and so on")
    written = [
        "\n".join(["-----BEGIN CERTIFICATE-----", *textwrap.wrap(body, 64), "-----END CERTIFICATE-----", ""])
        for body in found
    ]
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata="".join(written))
    except (ssl.SSLError, ValueError):
        raise InvalidArgument("cannot be read as a certificate") from None
    return "".join(written)


def _fault(path: str, message: str) -> dict[str, str]:
    return {"path": path, "message": message}


def _raise(faults: _Faults, connector: Connector) -> None:
    if faults:
        told = "; ".join(f"{fault['path']}: {fault['message']}" for fault in faults)
        raise InvalidArgument(f"{connector.title} cannot be linked like this: {told}", details=faults)
