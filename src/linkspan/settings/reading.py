"""The environment and flags, read into settings."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from linkspan.errors import ConfigurationError
from linkspan.settings import words
from linkspan.settings.shapes import (
    DEFAULT_HOST,
    LONGEST_ACCESS,
    CallLimits,
    CodexSettings,
    ConsoleRight,
    Provider,
    Settings,
    SignIn,
)

_CONSOLE_PERSON = re.compile(
    r"((?:\*|[^@\s,=]{1,64})@[A-Za-z0-9.-]{1,250})=(viewer|operator|admin)(?::([a-z0-9][a-z0-9-]{0,62}))?"
)
_PLACES = {"{tenant}", "{run}", "{folder}"}


def read_settings(environ: Mapping[str, str] | None = None, /, **flags: object) -> Settings:
    """Answer the settings: flags that are not None win over the environment.

    Raises `ConfigurationError` that names the variable and what it takes.
    """
    env = os.environ if environ is None else environ
    given = {name: value for name, value in flags.items() if value is not None}

    def text(flag: str, variable: str) -> str | None:
        value = given.get(flag)
        return str(value) if value is not None else (env.get(variable) or None)

    home = Path(text("home", "LINKSPAN_HOME") or "~/.local/share/linkspan").expanduser().absolute()
    named = text("config", "LINKSPAN_CONFIG")
    config = Path(named).expanduser().absolute() if named else home / "tools.yaml"
    return Settings(
        home=home,
        config=config if named or config.exists() else None,
        database=words.database_url(text("database", "LINKSPAN_DATABASE")),
        keys=env.get("LINKSPAN_KEYS") or None,
        public_url=words.origin(text("public_url", "LINKSPAN_PUBLIC_URL")),
        egress=words.parse_egress(text("allow_egress", "LINKSPAN_ALLOW_EGRESS") or ""),
        trusted_proxies=words.networks(
            "LINKSPAN_TRUSTED_PROXIES", text("trusted_proxies", "LINKSPAN_TRUSTED_PROXIES")
        ),
        tenant=text("tenant", "LINKSPAN_TENANT"),
        host=text("host", "LINKSPAN_HOST") or DEFAULT_HOST,
        port=words.port(text("port", "LINKSPAN_PORT")),
        stateful=words.switch(text("stateful", "LINKSPAN_STATEFUL")),
        max_result_bytes=words.number(
            "LINKSPAN_MAX_RESULT_BYTES", text("max_result_bytes", "LINKSPAN_MAX_RESULT_BYTES"), 36_000
        ),
        log_keep=words.keeping("LINKSPAN_LOG_KEEP", text("log_keep", "LINKSPAN_LOG_KEEP")),
        call_limits=_call_limits(text("call_limits", "LINKSPAN_CALL_LIMITS") or ""),
        max_checkout_bytes=words.number(
            "LINKSPAN_MAX_CHECKOUT_BYTES", env.get("LINKSPAN_MAX_CHECKOUT_BYTES") or None, 1_000_000_000
        ),
        max_checkout_files=words.number(
            "LINKSPAN_MAX_CHECKOUT_FILES", env.get("LINKSPAN_MAX_CHECKOUT_FILES") or None, 100_000
        ),
        ca_file=Path(env["SSL_CERT_FILE"]).absolute() if env.get("SSL_CERT_FILE") else None,
        sign_in=_sign_in(text, env.get("LINKSPAN_OIDC_CLIENT_SECRET") or None),
        codex=_codex(text),
        console_people=_console_people(text("console_people", "LINKSPAN_CONSOLE_PEOPLE") or ""),
        works=not words.switch(text("no_work", "LINKSPAN_NO_WORK")),
        serving_url=words.origin(text("serving_url", "LINKSPAN_SERVING_URL"), "LINKSPAN_SERVING_URL"),
        metrics=words.address(text("metrics", "LINKSPAN_METRICS")),
        metrics_tenants=words.number(
            "LINKSPAN_METRICS_TENANTS", env.get("LINKSPAN_METRICS_TENANTS") or None, 100
        ),
        traces=words.collector(text("traces", "LINKSPAN_TRACES")),
        traces_share=words.share(env.get("LINKSPAN_TRACES_SHARE") or None),
        log_form=words.one_of("LINKSPAN_LOG", text("log", "LINKSPAN_LOG"), ("text", "json")),
        log_calls=words.one_of(
            "LINKSPAN_LOG_CALLS", text("log_calls", "LINKSPAN_LOG_CALLS"), ("changes", "all", "none")
        ),
        transit_url=words.transit_url(env.get("LINKSPAN_TRANSIT_URL") or None),
        transit_token=env.get("LINKSPAN_TRANSIT_TOKEN") or None,
    )


def _sign_in(text: Callable[[str, str], str | None], secret: str | None) -> SignIn:
    issuer = text("oidc_issuer", "LINKSPAN_OIDC_ISSUER")
    client = text("oidc_client_id", "LINKSPAN_OIDC_CLIENT_ID")
    if bool(issuer) != bool(client):
        raise ConfigurationError(
            "LINKSPAN_OIDC_ISSUER and LINKSPAN_OIDC_CLIENT_ID are given both or not at all"
        )
    try:
        access = words.parse_duration(
            text("access_lifetime", "LINKSPAN_ACCESS_LIFETIME") or f"{LONGEST_ACCESS:g}s"
        )
    except ValueError as error:
        raise ConfigurationError(f"LINKSPAN_ACCESS_LIFETIME: {error}") from error
    if not 1 <= access <= LONGEST_ACCESS:
        raise ConfigurationError(
            "LINKSPAN_ACCESS_LIFETIME: at most 15m, and at least 10m outside of tests",
        )
    hosts = (text("client_hosts", "LINKSPAN_CLIENT_HOSTS") or "").split(",")
    return SignIn(
        access_lifetime=access,
        dynamic_registration=words.switch(text("dynamic_registration", "LINKSPAN_DYNAMIC_REGISTRATION")),
        client_hosts=frozenset(host.strip().lower() for host in hosts if host.strip()),
        provider=Provider(issuer, client, secret) if issuer and client else None,
    )


def _console_people(text: str) -> dict[str, ConsoleRight]:
    """Read `LINKSPAN_CONSOLE_PEOPLE`: a comma list of ADDRESS=ROLE and ADDRESS=ROLE:TENANT."""
    found = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        match = _CONSOLE_PERSON.fullmatch(word)
        if match is None:
            raise ConfigurationError(
                f"LINKSPAN_CONSOLE_PEOPLE: {word!r} is not ADDRESS=ROLE or ADDRESS=ROLE:TENANT",
                hint="Such as anna@acme.example=admin,*@acme.example=viewer. Roles: viewer, operator, admin.",
            )
        role: Any = match[2]
        found[match[1].lower()] = ConsoleRight(role, match[3])
    return found


def _codex(text: Callable[[str, str], str | None]) -> CodexSettings:
    readable = [
        Path(word.strip())
        for word in (text("codex_readable", "LINKSPAN_CODEX_READABLE") or "").split(",")
        if word.strip()
    ]
    for folder in readable:
        if not folder.is_absolute() or folder == Path("/"):
            raise ConfigurationError(
                f"LINKSPAN_CODEX_READABLE: {str(folder)!r} is not an absolute path of a folder below /"
            )
    run_as = text("codex_run_as", "LINKSPAN_CODEX_RUN_AS")
    wrap = text("codex_wrap", "LINKSPAN_CODEX_WRAP")
    for name, value in (("LINKSPAN_CODEX_RUN_AS", run_as), ("LINKSPAN_CODEX_WRAP", wrap)):
        if value is not None and set(re.findall(r"\{[^{}]*\}|[{}]", value)) - _PLACES:
            raise ConfigurationError(f"{name}: only {{tenant}}, {{run}} and {{folder}} are filled in")
    try:
        prefix = shlex.split(wrap or "")
    except ValueError as error:
        raise ConfigurationError(f"LINKSPAN_CODEX_WRAP: {error}") from error
    return CodexSettings(text("codex", "LINKSPAN_CODEX"), tuple(readable), run_as, tuple(prefix))


def _call_limits(text: str) -> CallLimits:
    limits: dict[str, int] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = word.partition("=")
        good = name in CallLimits.__slots__ and number.isascii() and number.isdigit()
        if not good or not 0 < int(number) <= 10_000_000 or name in limits:
            raise ConfigurationError(
                f"LINKSPAN_CALL_LIMITS: {word!r} is none of {', '.join(CallLimits.__slots__)} with a number",
                hint="It has this form: tenant=6000,principal=1200,tool=600,listens=100,streams=100.",
            )
        limits[name] = int(number)
    return CallLimits(**limits)
