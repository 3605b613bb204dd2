"""Settings: read once from the environment and flags, frozen, handed down from the composition root."""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from linkspan.errors import ConfigurationError

DEFAULT_PORT = 8640
DEFAULT_HOST = "127.0.0.1"
LONGEST_ACCESS = 900.0
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_DURATION = re.compile(r"([0-9]{1,6})([smhd])")
_CONSOLE_PERSON = re.compile(
    r"((?:\*|[^@\s,=]{1,64})@[A-Za-z0-9.-]{1,250})=(viewer|operator|admin)(?::([a-z0-9][a-z0-9-]{0,62}))?"
)
_PLACES = {"{tenant}", "{run}", "{folder}"}
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class EgressAllowance:
    """What connections may reach besides the public internet: networks, and `host:port` pairs."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[tuple[str, int]] = frozenset()

    def __str__(self) -> str:
        """Answer what `parse_egress` reads."""
        pairs = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in sorted(self.hosts))
        return ",".join([*map(str, self.networks), *pairs])


@dataclass(frozen=True, slots=True)
class Provider:
    """An external OpenID Connect provider that says who somebody is; we are its client."""

    issuer: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SignIn:
    """How people and their programs sign in to us (docs/sign-in.md)."""

    access_lifetime: float = LONGEST_ACCESS
    """Seconds that an access token is good for. Under ten minutes Codex refreshes more than it works."""
    dynamic_registration: bool = False
    """Let any program register itself as a client (RFC 7591)."""
    client_hosts: frozenset[str] = frozenset()
    """Where client-id metadata documents may stand; empty: anywhere on the public internet."""
    provider: Provider | None = None
    """Who says who somebody is; None: invitation links."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """How many calls of tools a minute one process takes; None: as many as come."""

    tenant: int | None = None
    principal: int | None = None
    """Of one person, service or run of a tenant."""
    token: int | None = None
    """With one token."""
    tool: int | None = None
    """Of one tool by one principal."""
    listens: int = 100
    """How many subscriptions a tenant may have open at a time."""


@dataclass(frozen=True, slots=True)
class CodexSettings:
    """How Codex is run on this machine (docs/runs.md)."""

    binary: str | None = None
    """The codex program; None: the one that the extra `linkspan[codex]` brings."""
    readable: tuple[Path, ...] = ()
    """Folders with toolchains that commands of a run may read; their `bin` is on the PATH."""
    run_as: str | None = None
    """The system user that a run works under, such as `linkspan-{tenant}`; needs root."""
    wrap: tuple[str, ...] = ()
    """Words before the command, for a container per run; `{tenant}`, `{run}` and `{folder}` are filled in."""


@dataclass(frozen=True, slots=True)
class ConsoleRight:
    """What somebody may do at the console: a role, for one tenant or for all."""

    role: Literal["viewer", "operator", "admin"]
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator can set. `config` is None when no file was named and none is at home."""

    home: Path
    config: Path | None = None
    database: str | None = field(default=None, repr=False)
    """The URL of a PostgreSQL database; None: the SQLite file in `home`."""
    keys: str | None = field(default=None, repr=False)
    public_url: str | None = None
    egress: EgressAllowance = EgressAllowance()
    trusted_proxies: tuple[Network, ...] = ()
    tenant: str | None = None
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    stateful: bool = False
    """Keep MCP sessions (old clients that need elicitation or subscriptions); needs sticky routing."""
    max_result_bytes: int = 36_000
    """How large an MCP tool result may be, both copies of its data together; beyond it items are dropped."""
    max_request_bytes: int = 1_048_576
    """How large one HTTP request to us may be."""
    max_checkout_bytes: int = 1_000_000_000
    """How much of files a repository may have that a run works on."""
    max_checkout_files: int = 100_000
    ca_file: Path | None = None
    """A bundle of authorities that git trusts instead of the system's: what `SSL_CERT_FILE` names."""
    sign_in: SignIn = SignIn()
    call_limits: CallLimits = CallLimits()
    codex: CodexSettings = CodexSettings()
    console_people: Mapping[str, ConsoleRight] = field(default_factory=dict)
    """Who may use the console by the identity provider of `sign_in`: mail addresses, and `*@DOMAIN`."""
    log_keep: float | None = None
    """Seconds that rows of the audit log are kept; None: until their tenant is removed."""
    works: bool = True
    """Whether `serve` works runs itself."""
    serving_url: str | None = None
    """Where the Codex of a run reaches a process that serves, if it is not this one."""
    metrics: tuple[str, int] | None = None
    """Where `/metrics` is answered, away from tenants: address and port."""
    metrics_tenants: int = 100
    """How many tenants have their own name in metrics."""
    traces: str | None = None
    """Where spans go: the URL of a collector that takes OTLP over HTTP."""
    traces_share: float = 1.0
    """The share of calls and runs that are traced."""
    log_form: Literal["text", "json"] = "text"
    log_calls: Literal["all", "changes", "none"] = "changes"
    """Of which calls there is a line in the log: of all, of those that write or fail, of none."""
    transit_url: str | None = None
    """A key of HashiCorp Vault's transit engine that wraps data keys instead of `keys`."""
    transit_token: str | None = field(default=None, repr=False)

    @property
    def database_path(self) -> Path:
        """The SQLite file, used when `database` is None."""
        return self.home / "linkspan.sqlite"

    @property
    def keys_path(self) -> Path:
        """The key file, used when `LINKSPAN_KEYS` is not set."""
        return self.home / "keys"


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
        database=_database(text("database", "LINKSPAN_DATABASE")),
        keys=env.get("LINKSPAN_KEYS") or None,
        public_url=_origin(text("public_url", "LINKSPAN_PUBLIC_URL")),
        egress=parse_egress(text("allow_egress", "LINKSPAN_ALLOW_EGRESS") or ""),
        trusted_proxies=_networks(
            "LINKSPAN_TRUSTED_PROXIES", text("trusted_proxies", "LINKSPAN_TRUSTED_PROXIES")
        ),
        tenant=text("tenant", "LINKSPAN_TENANT"),
        host=text("host", "LINKSPAN_HOST") or DEFAULT_HOST,
        port=_port(text("port", "LINKSPAN_PORT")),
        stateful=_switch(text("stateful", "LINKSPAN_STATEFUL")),
        max_result_bytes=_number(
            "LINKSPAN_MAX_RESULT_BYTES", text("max_result_bytes", "LINKSPAN_MAX_RESULT_BYTES"), 36_000
        ),
        log_keep=_keep("LINKSPAN_LOG_KEEP", text("log_keep", "LINKSPAN_LOG_KEEP")),
        call_limits=_call_limits(text("call_limits", "LINKSPAN_CALL_LIMITS") or ""),
        max_checkout_bytes=_number(
            "LINKSPAN_MAX_CHECKOUT_BYTES", env.get("LINKSPAN_MAX_CHECKOUT_BYTES") or None, 1_000_000_000
        ),
        max_checkout_files=_number(
            "LINKSPAN_MAX_CHECKOUT_FILES", env.get("LINKSPAN_MAX_CHECKOUT_FILES") or None, 100_000
        ),
        ca_file=Path(env["SSL_CERT_FILE"]).absolute() if env.get("SSL_CERT_FILE") else None,
        sign_in=_sign_in(text, env.get("LINKSPAN_OIDC_CLIENT_SECRET") or None),
        codex=_codex(text),
        console_people=_console_people(text("console_people", "LINKSPAN_CONSOLE_PEOPLE") or ""),
        works=not _switch(text("no_work", "LINKSPAN_NO_WORK")),
        serving_url=_origin(text("serving_url", "LINKSPAN_SERVING_URL"), "LINKSPAN_SERVING_URL"),
        metrics=_address(text("metrics", "LINKSPAN_METRICS")),
        metrics_tenants=_number("LINKSPAN_METRICS_TENANTS", env.get("LINKSPAN_METRICS_TENANTS") or None, 100),
        traces=_collector(text("traces", "LINKSPAN_TRACES")),
        traces_share=_share(env.get("LINKSPAN_TRACES_SHARE") or None),
        log_form=_one_of("LINKSPAN_LOG", text("log", "LINKSPAN_LOG"), ("text", "json")),
        log_calls=_one_of(
            "LINKSPAN_LOG_CALLS", text("log_calls", "LINKSPAN_LOG_CALLS"), ("changes", "all", "none")
        ),
        transit_url=_transit_url(env.get("LINKSPAN_TRANSIT_URL") or None),
        transit_token=env.get("LINKSPAN_TRANSIT_TOKEN") or None,
    )


def parse_duration(text: str) -> float:
    """Answer the seconds of `30s`, `5m`, `2h` or `7d`. Raises `ValueError`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a number and s, m, h or d, such as 15m")
    return float(match[1]) * _SECONDS[match[2]]


def _sign_in(text: Callable[[str, str], str | None], secret: str | None) -> SignIn:
    issuer = text("oidc_issuer", "LINKSPAN_OIDC_ISSUER")
    client = text("oidc_client_id", "LINKSPAN_OIDC_CLIENT_ID")
    if bool(issuer) != bool(client):
        raise ConfigurationError(
            "LINKSPAN_OIDC_ISSUER and LINKSPAN_OIDC_CLIENT_ID are given both or not at all"
        )
    try:
        access = parse_duration(text("access_lifetime", "LINKSPAN_ACCESS_LIFETIME") or f"{LONGEST_ACCESS:g}s")
    except ValueError as error:
        raise ConfigurationError(f"LINKSPAN_ACCESS_LIFETIME: {error}") from error
    if not 1 <= access <= LONGEST_ACCESS:
        raise ConfigurationError(
            "LINKSPAN_ACCESS_LIFETIME: at most 15m, and at least 10m outside of tests",
        )
    hosts = (text("client_hosts", "LINKSPAN_CLIENT_HOSTS") or "").split(",")
    return SignIn(
        access_lifetime=access,
        dynamic_registration=_switch(text("dynamic_registration", "LINKSPAN_DYNAMIC_REGISTRATION")),
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


def parse_egress(text: str) -> EgressAllowance:
    """Read `LINKSPAN_ALLOW_EGRESS`: a comma list of networks (`10.0.0.0/8`), addresses and `host:port`."""
    networks: list[Network] = []
    hosts: set[tuple[str, int]] = set()
    for word in filter(None, (part.strip() for part in text.split(","))):
        try:
            networks.append(ipaddress.ip_network(word.strip("[]"), strict=False))
            continue
        except ValueError:
            host, colon, port = word.rpartition(":")
        if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ConfigurationError(
                f"LINKSPAN_ALLOW_EGRESS: {word!r} is neither a network such as 127.0.0.0/8 nor host:port"
            )
        hosts.add((host.strip("[]").lower(), int(port)))
    return EgressAllowance(tuple(networks), frozenset(hosts))


def _keep(variable: str, text: str | None) -> float | None:
    if text is None or text == "forever":
        return None
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ConfigurationError(f"{variable}: {error}", hint="It takes 90d, or forever.") from error
    if seconds < 3600:
        raise ConfigurationError(f"{variable}: {text} is too short", hint="It takes an hour (1h) or more.")
    return seconds


def _call_limits(text: str) -> CallLimits:
    limits: dict[str, int] = {}
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = word.partition("=")
        good = name in CallLimits.__slots__ and number.isascii() and number.isdigit()
        if not good or not 0 < int(number) <= 10_000_000 or name in limits:
            raise ConfigurationError(
                f"LINKSPAN_CALL_LIMITS: {word!r} is none of {', '.join(CallLimits.__slots__)} with a number",
                hint="It has this form: tenant=6000,principal=1200,tool=600,listens=100 (calls a minute).",
            )
        limits[name] = int(number)
    return CallLimits(**limits)


def _networks(variable: str, text: str | None) -> tuple[Network, ...]:
    try:
        words = (word.strip() for word in (text or "").split(","))
        return tuple(ipaddress.ip_network(word, strict=False) for word in words if word)
    except ValueError as error:
        raise ConfigurationError(f"{variable}: {error}") from error


def _number(variable: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()):
        raise ConfigurationError(f"{variable}: {text!r} is not a whole number")
    return int(text)


def _port(text: str | None) -> int:
    port = _number("LINKSPAN_PORT", text, DEFAULT_PORT)
    if not 0 <= port < 65536:
        raise ConfigurationError(f"LINKSPAN_PORT: {port} is not a port; ports end at 65535")
    return port


def _address(text: str | None) -> tuple[str, int] | None:
    """Read `LINKSPAN_METRICS`: a port of this machine alone, or ADDRESS:PORT."""
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ConfigurationError(
            f"LINKSPAN_METRICS: {text!r} is neither a port nor ADDRESS:PORT",
            hint="Such as 9464, which this machine alone reaches, or 10.0.0.5:9464.",
        )
    return host.strip("[]") or DEFAULT_HOST, int(port)


def _collector(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"https?://[^/@\s?#]+(/[\w.~/-]*)?", text, re.ASCII):
        raise ConfigurationError(
            "LINKSPAN_TRACES is not the URL of a collector",
            hint="It has this form: http://127.0.0.1:4318. What the collector asks for as headers is in"
            " OTEL_EXPORTER_OTLP_HEADERS.",
        )
    return text.rstrip("/") if text is not None else None


def _share(text: str | None) -> float:
    try:
        share = float(text or "1")
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigurationError(f"LINKSPAN_TRACES_SHARE: {text!r} is not a number from 0 to 1")
    return share


def _one_of(variable: str, text: str | None, words: tuple[Any, ...]) -> Any:
    """Answer a word of a closed list, the first by default."""
    if text is not None and text not in words:
        raise ConfigurationError(f"{variable}: {text!r} is none of {', '.join(sorted(words))}")
    return text or words[0]


def _switch(text: str | None) -> bool:
    word = (text or "no").lower()
    if word not in {"1", "true", "yes", "on", "0", "false", "no", "off"}:
        raise ConfigurationError(f"{text!r} is neither yes nor no")
    return word in {"1", "true", "yes", "on"}


def _transit_url(text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"https?://[^/@\s?#]+(/[\w.~-]+){2,}", text, re.ASCII):
        raise ConfigurationError(
            "LINKSPAN_TRANSIT_URL does not name a key of a transit engine",
            hint="It has this form: https://vault.example:8200/v1/transit/KEY",
        )
    return text


def _database(text: str | None) -> str | None:
    if text is not None and not text.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError(
            "LINKSPAN_DATABASE is not a URL of PostgreSQL",
            hint="It has this form: postgresql://USER@HOST:PORT/NAME. Leave it out for SQLite in the home.",
        )
    return text


def _origin(text: str | None, variable: str = "LINKSPAN_PUBLIC_URL") -> str | None:
    if text is None:
        return None
    url = text.rstrip("/")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigurationError(
            f"{variable}: {text!r} must be http:// or https:// and a host, without a path"
        )
    return url
