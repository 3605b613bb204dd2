"""What an operator can set."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

DEFAULT_PORT = 8640
DEFAULT_HOST = "127.0.0.1"
LONGEST_ACCESS = 900.0
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
    streams: int = 100
    """How many requests a tenant may have open at a time through the proxy, and its runs at their model."""


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
