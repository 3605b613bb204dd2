"""The words of `webhooks` and `streams`: what a product tells by itself, and how that proves itself."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from linkspan.spec.language.words import NAMES, Duration, Expression, Scalar, Tree, Words


class SignatureTime(Words):
    """When a delivery was signed; one that is too old is refused."""

    header: str | None = None
    prefix: str | None = Field(None, description="A piece of the signature's own header: `t=`.")
    body: Expression | None = None
    unit: Literal["s", "ms", "date"] = "s"
    tolerance: Duration = "5m"


class Signature(Words):
    """How a delivery proves itself: exactly one of hmac, token, bearer, basic, body, standard and url."""

    hmac: Literal["sha1", "sha256", "sha512"] | None = Field(
        None, description="A keyed digest, of this kind."
    )
    header: str | None = Field(None, description="Where the digest stands.")
    prefix: str = Field("", description="What stands before it: `sha256=`.")
    separator: str | None = Field(None, description="What stands between several, of which one has to fit.")
    encoding: Literal["hex", "base64"] = "hex"
    secret: Literal["text", "base64"] = Field("text", description="How the secret is written.")
    signed: str = Field("{body}", description="What is signed: {body}, {timestamp}, {id} and texts.")
    timestamp: SignatureTime | None = None
    token: str | None = Field(None, description="The header that holds the secret itself.")
    bearer: bool = Field(False, description="The secret as `Authorization: Bearer …`.")
    basic: bool = Field(False, description="User name and password.")
    body: Expression | None = Field(None, description="Where the secret stands in the body.")
    standard: bool = Field(False, description="Standard Webhooks.")
    url: bool = Field(False, description="Nothing but the secret part of the address.")


class DeliveryPlace(Words):
    """Where something stands in a delivery: a header, or an expression in the body."""

    header: str | None = None
    body: Expression | None = None


class DeliveryAccount(DeliveryPlace):
    """How a delivery finds its account: by a setting, or by who the credential was proved to be."""

    setting: str | None = None


class Handshake(Words):
    """What is answered when an address is registered."""

    when: Expression | None = Field(None, description="Which delivery it is.")
    reply: Expression | None = Field(None, description="What is answered, from the delivery.")
    echo: str | None = Field(None, description="A header that is sent back.")
    secret: str | None = Field(
        None, description="A header that brings the secret the product signs with: kept, and sent back."
    )
    unproved: bool = Field(
        False, description="Whether the product does not prove itself yet: it is answered all the same."
    )


class Event(Words):
    """One kind of thing that happens, with an entity's id."""

    when: Expression | None = Field(None, description="Which deliveries, or which of their things, are it.")
    each: Expression | None = Field(None, description="The things, where a delivery holds several.")
    entity: str | None = Field(None, description="The entity; the first word of the name if not said.")
    id: Expression = Field(description="The id of the thing that it is about.")
    same: Expression | None = Field(None, description="What makes two of them the same event.")
    item: Expression | None = Field(None, description="The thing itself, where the delivery has it.")
    by: Expression | None = Field(
        None, description="Who did it, as `verify.id` says it; what our own account did starts nothing."
    )
    text: Expression | None = Field(
        None, description="What was written, such as a comment; what a run wrote starts nothing."
    )
    comment: Expression | None = Field(
        None, description="The id of the comment that it tells of: `mention` of a recipe reads it anew."
    )


_EVENT_NAMES: dict[str, Any] = {"propertyNames": {"pattern": r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$"}}


class Webhooks(Words):
    """What the product delivers by itself."""

    scope: Literal["app", "account"] = Field(
        "account", description="One address for each account, or one of an app for all of them."
    )
    account: DeliveryAccount | None = Field(None, description="How a delivery to an app finds its account.")
    verify: Signature
    id: DeliveryPlace | None = Field(None, description="What makes a delivery the same delivery.")
    handshake: Handshake | None = None
    wakes: DeliveryPlace | None = Field(
        None,
        description="The id of a conversation of Codex at this product, where a delivery tells of one: the"
        " run that works in it looks at it at once.",
    )
    events: dict[str, Event] = Field({}, json_schema_extra=_EVENT_NAMES)


class Watch(Words):
    """A list that is looked at again and again, for what a product does not tell by itself."""

    list_: str = Field(alias="list", description="The entity whose `list` it is, or ENTITY.OPERATION.")
    arguments: dict[str, Scalar | list[Scalar]] = Field(
        {}, json_schema_extra=NAMES, description="What it is called with, such as `status: todo`."
    )
    newest: Expression = Field(
        description="Rooted at an item: when it changed last, a time or a number that only grows."
    )
    since: str | None = Field(
        None, description="The argument that takes the newest that was seen, where the list has one."
    )
    overlap: Duration = Field(
        "2m", description="How much earlier it looks each time, for what a product shows late."
    )
    every: Duration = "1m"
    events: dict[str, Event] = Field(min_length=1, json_schema_extra=_EVENT_NAMES)


class Resume(Words):
    """Where the id of the last event is sent, to go on after a break."""

    header: str | None = None
    query: str | None = None


class Stream(Words):
    """A long answer of events that is listened to."""

    request: str = Field(description="GET and a path.")
    query: dict[str, Tree] = {}
    headers: dict[str, Scalar] = {}
    format: Literal["lines", "sse"] = Field("sse", description="JSON lines, or server-sent events.")
    id: Expression | None = Field(None, description="What an event is called; of SSE its `id` if not said.")
    resume: Resume | None = None
    events: dict[str, Event] = Field(min_length=1, json_schema_extra=_EVENT_NAMES)
