"""What a product tells by itself, compiled: deliveries to a webhook, and streams that are listened to.

Nothing here is received or opened. Expressions of a delivery are rooted at `{headers, query, body}` with
header names in lower case, those of a stream at one of its events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from linkspan.spec.catalog import Getter, Predicate, RequestPlan

DELIVERY: Final = ("headers", "query", "body")
"""What an expression about a delivery may begin with."""


@dataclass(frozen=True, slots=True)
class Timestamp:
    """When a delivery was signed: where that stands, what it counts, and how many seconds it may be off."""

    header: str | None = None
    prefix: str | None = None
    """A piece of the signature's own header that begins so: `t=`."""
    body: Getter | None = None
    unit: Literal["s", "ms", "date"] = "s"
    tolerance: float = 300.0


@dataclass(frozen=True, slots=True)
class Signature:
    """How a delivery proves itself. It is checked over the raw bytes before anything else looks at the body.

    Kinds: `hmac` (a keyed digest in `header`), `token` (the secret itself in `header`), `bearer`, `basic`,
    `body` (the secret stands in the body), `standard` (Standard Webhooks: id, time and body, Base64), `url`
    (nothing but the secret part of the address).
    """

    kind: Literal["hmac", "token", "bearer", "basic", "body", "standard", "url"]
    digest: Literal["sha1", "sha256", "sha512"] = "sha256"
    header: str = ""
    prefix: str = ""
    separator: str | None = None
    """What stands between several signatures in the header, of which one has to fit."""
    encoding: Literal["hex", "base64"] = "hex"
    secret: Literal["text", "base64"] = "text"  # noqa: S105 - how it is written
    signed: tuple[str, ...] = ("{body}",)
    """What is signed, piece by piece: texts, and `{body}`, `{timestamp}`, `{id}`."""
    timestamp: Timestamp | None = None
    body: Getter | None = None


@dataclass(frozen=True, slots=True)
class Handshake:
    """How an address is proved when it is registered: what is answered to which delivery, with no effect."""

    when: Predicate | None = None
    reply: Getter | None = None
    echo: str | None = None
    """A header that is sent back as it came."""
    unproved: bool = False
    """Whether it is answered though it proves nothing: it has no effect."""
    secret: str | None = None
    """A header that brings the secret by which the product signs: it is kept, and sent back."""


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of thing that happens. `name` is what recipes say: `ENTITY.EVENT`.

    `each` answers the things of a delivery that holds several; the other expressions are then rooted at one.
    `same` is what makes two of them the same event.
    """

    name: str
    entity: str
    id: Getter
    when: Predicate | None = None
    each: Getter | None = None
    same: Getter | None = None
    item: Getter | None = None
    by: Getter | None = None
    """Who did it, as the identity of accounts is written: what our own account did starts nothing."""
    text: Getter | None = None
    """What was written: a text that names the run which wrote it starts nothing."""
    comment: Getter | None = None
    """The id of the comment that it tells of, among those of the thing."""


@dataclass(frozen=True, slots=True)
class Webhooks:
    """What a product delivers. `scope`: one address for all accounts, or one for each."""

    signature: Signature
    events: Mapping[str, Event]
    scope: Literal["app", "account"] = "account"
    id: Getter | None = None
    """What makes a delivery the same delivery."""
    account: Getter | None = None
    """Which account a delivery is for: the value of `setting`, or of the identity where there is none."""
    setting: str | None = None
    handshake: Handshake | None = None
    wakes: Getter | None = None
    """The id of the conversation that a delivery tells of."""


@dataclass(frozen=True, slots=True)
class Watch:
    """A list that is looked at again and again. Expressions are rooted at one of its items, as fields."""

    name: str
    list: str
    """ENTITY.OPERATION."""
    arguments: Mapping[str, Any]
    newest: Getter
    """When an item changed last."""
    since: str | None
    """The argument that takes the newest that was seen."""
    overlap: float
    every: float
    events: Mapping[str, Event] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """A long answer of events, a line or a block (SSE) each, that is opened with the account's credential.

    `resume` is the header or the query parameter that carries the id of the last event after a break.
    """

    name: str
    plan: RequestPlan
    format: Literal["lines", "sse"]
    events: Mapping[str, Event] = field(default_factory=dict)
    id: Getter | None = None
    resume_header: str | None = None
    resume_query: str | None = None
