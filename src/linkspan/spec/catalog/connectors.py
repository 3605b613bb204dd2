"""How products are reached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from linkspan.spec.catalog.requests import NO_PAGES, Arrays, Paging, RequestPlan
from linkspan.spec.catalog.values import Getter, Predicate, Template, Value
from linkspan.spec.events import Event, Stream, Watch, Webhooks
from linkspan.spec.grants import Connected, OAuth, Service


@dataclass(frozen=True, slots=True)
class RateRule:
    """What else than status 429 means "too many calls", and where its wait is told, if not in a header."""

    when: Predicate | None = None
    retry_after: Getter | None = None
    """Answers seconds (a number) or any text that net.limits understands."""


@dataclass(frozen=True, slots=True)
class FailureRule:
    """What makes a 2xx answer a failure, and where a failure's words are. All rooted at the answer."""

    when: Predicate | None = None
    message: Getter | None = None
    code: Getter | None = None
    codes: Mapping[str, str] = field(default_factory=dict)
    """The product's words to codes of `errors`."""


@dataclass(frozen=True, slots=True)
class Verify:
    """The request that proves a credential, and whose it is. `id` and `label` are rooted at the body."""

    request: RequestPlan
    id: Getter | None = None
    label: Getter | None = None


@dataclass(frozen=True, slots=True)
class AuthMethod:
    """One way to connect. `fields` are the secrets that are asked, by name, in the order of asking."""

    type: Literal["bearer", "header", "basic", "query", "none", "oauth2", "client_credentials", "github_app"]
    per: Literal["person", "tenant", "operator"] = "tenant"
    title: str = ""
    help_url: str | None = None
    name: str | None = None
    """The header's or query parameter's name; bearer and basic use Authorization."""
    second: str | None = None
    """The header of a second key (`second_key`) that goes with the first."""
    prefix: str = ""
    """What stands before the secret in the header, its space included: `Bearer `, `Token `, ``."""
    fields: tuple[str, ...] = ()
    """bearer: `token`; header and query: `key`; basic: `username`, `password`; github_app: `installation_id`;
    the other two `client_id` and `client_secret`, unless the file has them."""
    oauth: OAuth | None = None
    """How access tokens are got and renewed: these ways are sent as `access_token`."""
    service: Service | None = None
    """The operator's own key (`per: operator`): nothing is asked, and no account is linked."""
    verify: Verify | None = None
    """How this way is proved, where that is otherwise than the connector's `verify`."""

    @property
    def sent(self) -> tuple[str, ...]:
        """The secrets that requests carry."""
        return ("access_token",) if self.oauth is not None else self.fields


@dataclass(frozen=True, slots=True)
class Setting:
    """Something asked once per account. `pattern` is always a full match. `origin` = scheme://host[:port]."""

    name: str
    title: str
    type: Literal["text", "origin", "certificate"] = "text"
    description: str = ""
    pattern: re.Pattern[str] | None = None
    required: bool = True
    default: str | None = None
    is_found: bool = False
    """It is not asked: `Connector.connected` finds it."""


@dataclass(frozen=True, slots=True)
class GitHost:
    """Where a forge keeps its repositories for git, and whom git says it is; the secret is the account's."""

    base_url: Template
    username: str | None = None
    """None: the user name of a basic credential."""
    basic: str | None = None
    """Beside the password of a basic credential, where that is not its own user name."""


@dataclass(frozen=True, slots=True)
class ProxyRule:
    """What is passed on to a product and back, besides what always is. Names are in lower case."""

    headers: tuple[str, ...] = ()
    """Beginnings of names."""
    answers: tuple[str, ...] = ()
    tiers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Groups of paths; none: every path."""
    on: tuple[str, ...] = ()
    positions: tuple[tuple[re.Pattern[str], str], ...] = ()
    """Paths whose lists go on by another parameter than the connector's others."""

    def parameter_of(self, path: str) -> str | None:
        """Answer the parameter that such a list goes on by."""
        return next((name for pattern, name in self.positions if pattern.match(path)), None)

    def tier_of(self, path: str) -> str | None:
        """Answer the group that a path belongs to: that of the longest path that it is, or is below."""
        found = [
            (len(known), tier)
            for tier, paths in self.tiers.items()
            for known in paths
            if path == known or path.startswith(f"{known}/")
        ]
        return max(found)[1] if found else None


@dataclass(frozen=True, slots=True)
class Connector:
    """How to reach one SaaS. `base_url` may hold `{settings.x}`; it never holds an argument."""

    name: str
    title: str
    base_url: Template
    settings: Mapping[str, Setting]
    auth: tuple[AuthMethod, ...]
    headers: tuple[tuple[str, Value], ...] = ()
    query: tuple[tuple[str, Value], ...] = ()
    verify: Verify | None = None
    connected: Connected | None = None
    paging: Paging = NO_PAGES
    rate: RateRule = RateRule()
    failure: FailureRule = FailureRule()
    arrays: Arrays = "repeat"
    method_override: str | None = None
    """The header that carries the method, where PUT, PATCH and DELETE do not get through."""
    graphql: str = "/graphql"
    hosts: tuple[str, ...] = ()
    """Further origins that a read may be redirected to; the credential stays behind."""
    is_conditional: bool = False
    """Its reads ask with If-None-Match."""
    ca: str | None = None
    """The setting that holds the certificates which the product's own must be signed by."""
    webhooks: Webhooks | None = None
    streams: tuple[Stream, ...] = ()
    watches: tuple[Watch, ...] = ()
    timeout: float = 30.0
    """Seconds for one request and its answer."""
    rate_budget: float = 20.0
    """Seconds a call may wait for a rate limit before it is told to the caller."""
    proxy: ProxyRule = ProxyRule()
    git: GitHost | None = None
    """None: it is no forge."""
    built_in: str | None = None
    """The built-in connector that it uses."""
    ways: Mapping[str, Connector] = field(default_factory=dict, repr=False)
    """By type of `auth`: the connector as accounts that are linked that way see it, where that differs."""

    @property
    def events(self) -> dict[str, Event]:
        """All events that it tells, by name: by webhook, by stream, or when it is looked at."""
        told = [self.webhooks.events] if self.webhooks is not None else []
        told += [each.events for each in self.streams]
        told += [each.events for each in self.watches]
        return {name: event for events in reversed(told) for name, event in events.items()}

    def through(self, type_: str) -> Connector:
        """Answer the connector as accounts linked that way see it: its base URL, what it asks and finds."""
        return self.ways.get(type_, self)

    def auth_method(self, type_: str) -> AuthMethod | None:
        """Answer the way to connect of that type, if the connector has it."""
        return next((method for method in self.auth if method.type == type_), None)
