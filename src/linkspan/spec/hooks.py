"""Compiles a connector's `webhooks` and `streams`: how deliveries prove themselves, and what they tell."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from linkspan.spec import language, references
from linkspan.spec.auth import check_header_name
from linkspan.spec.catalog import Getter, Predicate, RequestPlan, Setting, Tool
from linkspan.spec.durations import seconds
from linkspan.spec.events import (
    DELIVERY,
    Event,
    Handshake,
    Signature,
    Stream,
    Timestamp,
    Watch,
    Webhooks,
)
from linkspan.spec.expressions import BadExpression, compile_predicate
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.yaml import Path

_EVENT: Final = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*\Z")
_KINDS: Final = ("hmac", "token", "bearer", "basic", "body", "standard", "url")
_OF_HMAC: Final = ("header", "prefix", "separator", "encoding", "secret", "signed", "timestamp")
_OFTEN: Final = 10.0
_SIGNED: Final = ("body", "timestamp", "id")
_PIECE: Final = re.compile(r"(\{[^{}]*\})")


def compile_webhooks(
    form: language.Webhooks, settings: Mapping[str, Setting], leaves: Leaves, path: Path
) -> Webhooks:
    """Compile what a product delivers; mistakes go to the problems."""
    account, setting = _account(form, settings, leaves, path)
    handshake = None
    if (shaken := form.handshake) is not None:
        here = (*path, "handshake")
        if sum(word is not None for word in (shaken.reply, shaken.echo, shaken.secret)) != 1:
            message = "says what is answered: exactly one of reply, echo and secret"
            leaves.problems.add(here, "conflict", message, key=True)
        for word in ("echo", "secret"):
            if (header := getattr(shaken, word)) is not None:
                check_header_name((*here, word), header, leaves, key=False)
        if shaken.secret is not None and (form.scope != "account" or form.verify.hmac is None):
            message = "a secret that the product brings is one account's, and signs (hmac) what comes later"
            leaves.problems.add((*here, "secret"), "conflict", message, key=True)
        if shaken.unproved and shaken.when is None:
            message = "what proves nothing is told by 'when', which is missing: or anything would be answered"
            leaves.problems.add((*here, "unproved"), "missing_key", message, key=True)
        handshake = Handshake(
            _predicate(leaves, (*here, "when"), shaken.when, DELIVERY),
            leaves.getter((*here, "reply"), shaken.reply, DELIVERY),
            shaken.echo,
            shaken.unproved,
            shaken.secret,
        )
    if not form.events and form.wakes is None:
        leaves.problems.add(path, "missing_key", "it tells nothing: 'events' is missing or empty", key=True)
    return Webhooks(
        signature=_signature(form.verify, leaves, (*path, "verify")),
        events=_events(form.events, DELIVERY, leaves, (*path, "events")),
        scope=form.scope,
        id=_place(form.id, leaves, (*path, "id")) if form.id is not None else None,
        account=account,
        setting=setting,
        handshake=handshake,
        wakes=_place(form.wakes, leaves, (*path, "wakes")) if form.wakes is not None else None,
    )


def _account(
    form: language.Webhooks, settings: Mapping[str, Setting], leaves: Leaves, path: Path
) -> tuple[Getter | None, str | None]:
    """Answer how a delivery to the one address of an app finds its account."""
    if form.account is None:
        if form.scope == "app":
            message = "the word 'account' is missing: how a delivery finds its account"
            leaves.problems.add(path, "missing_key", message, key=True)
        return None, None
    here = (*path, "account")
    if form.scope == "account":
        message = "each account has an address of its own; account belongs to scope: app"
        leaves.problems.add(here, "conflict", message, key=True)
    name = form.account.setting
    if name is not None and name not in settings:
        message = f"the connector has no setting {name!r}"
        leaves.problems.add((*here, "setting"), "unknown_setting", message, words=settings, word=name)
    return _place(form.account, leaves, here), name


def _place(form: language.DeliveryPlace, leaves: Leaves, path: Path) -> Getter | None:
    if (form.header is None) == (form.body is None):
        message = "says where it stands: exactly one of header and body"
        leaves.problems.add(path, "conflict", message, key=True)
        return None
    if form.header is not None:
        check_header_name((*path, "header"), form.header, leaves, key=False)
        name = form.header.lower()
        return lambda delivery: delivery["headers"].get(name)
    inner = leaves.getter((*path, "body"), form.body)
    return None if inner is None else lambda delivery: inner(delivery["body"])


def _signature(form: language.Signature, leaves: Leaves, path: Path) -> Signature:
    given = [kind for kind in _KINDS if getattr(form, kind) not in (None, False)]
    if len(given) != 1:
        message = f"a delivery proves itself in exactly one way: one of {', '.join(_KINDS)}"
        leaves.problems.add(path, "conflict", message, key=True)
        return Signature("url")
    kind: Any = given[0]
    for key in _OF_HMAC:
        if kind != "hmac" and key in form.model_fields_set and not (kind == "token" and key == "prefix"):
            message = f"{key} belongs to hmac"
            leaves.problems.add((*path, key), "conflict", message, key=True)
    if kind == "token":
        check_header_name((*path, "token"), str(form.token), leaves, key=False)
        return Signature("token", header=str(form.token).lower(), prefix=form.prefix)
    if kind == "body":
        return Signature("body", body=leaves.getter((*path, "body"), form.body))
    if kind != "hmac":
        return Signature(kind)
    if form.header is None:
        message = "the word 'header' is missing: where the signature stands"
        leaves.problems.add(path, "missing_key", message, key=True)
    else:
        check_header_name((*path, "header"), form.header, leaves, key=False)
    stamp = _timestamp(form, leaves, path)
    return Signature(
        kind="hmac",
        digest=form.hmac or "sha256",
        header=(form.header or "").lower(),
        prefix=form.prefix,
        separator=form.separator,
        encoding=form.encoding,
        secret=form.secret,
        signed=_signed(form, stamp is not None, leaves, (*path, "signed")),
        timestamp=stamp,
    )


def _timestamp(form: language.Signature, leaves: Leaves, path: Path) -> Timestamp | None:
    stamp, here = form.timestamp, (*path, "timestamp")
    if stamp is None:
        return None
    if sum(place is not None for place in (stamp.header, stamp.prefix, stamp.body)) != 1:
        message = "says where it stands: exactly one of header, prefix and body"
        leaves.problems.add(here, "conflict", message, key=True)
    if stamp.prefix is not None and form.separator is None:
        message = "a piece of the signature's header needs the word 'separator': what stands between pieces"
        leaves.problems.add((*here, "prefix"), "missing_key", message, key=True)
    if stamp.header is not None:
        check_header_name((*here, "header"), stamp.header, leaves, key=False)
    return Timestamp(
        header=stamp.header.lower() if stamp.header is not None else None,
        prefix=stamp.prefix,
        body=leaves.getter((*here, "body"), stamp.body),
        unit=stamp.unit,
        tolerance=seconds(stamp.tolerance),
    )


def _signed(form: language.Signature, has_time: bool, leaves: Leaves, path: Path) -> tuple[str, ...]:
    pieces = [piece for piece in _PIECE.split(form.signed) if piece]
    offset = 0
    for piece in pieces:
        name = piece[1:-1] if piece.startswith("{") else None
        if name is not None and name not in _SIGNED:
            message = f"{piece} is not known here; there is {{body}}, {{timestamp}} and {{id}}"
            leaves.problems.add(
                path, "undeclared_placeholder", message, offset=offset + 1, words=_SIGNED, word=name
            )
        if name == "timestamp" and not has_time:
            message = "{timestamp} needs the word 'timestamp': where it stands"
            leaves.problems.add(path, "missing_key", message, offset=offset)
        offset += len(piece)
    if "{body}" not in pieces:
        leaves.problems.add(path, "bad_value", "what is signed holds {body}: else anything could be in it")
    return tuple(pieces)


# Events ---------------------------------------------------------------------------------------------------


def _events(
    form: Mapping[str, language.Event], roots: Collection[str] | None, leaves: Leaves, path: Path
) -> dict[str, Event]:
    made = {}
    for name, event in form.items():
        here = (*path, name)
        if not _EVENT.match(name):
            message = f"the event {name!r} is called ENTITY.EVENT, such as ticket.assigned"
            leaves.problems.add(here, "bad_name", message, key=True)
        inner = None if event.each is not None else roots
        made[name] = Event(
            name=name,
            entity=event.entity or name.partition(".")[0],
            id=leaves.getter((*here, "id"), event.id, inner) or references.constant(None),
            when=_predicate(leaves, (*here, "when"), event.when, inner),
            each=leaves.getter((*here, "each"), event.each, roots),
            same=leaves.getter((*here, "same"), event.same, inner),
            item=leaves.getter((*here, "item"), event.item, inner),
            by=leaves.getter((*here, "by"), event.by, inner),
            text=leaves.getter((*here, "text"), event.text, inner),
            comment=leaves.getter((*here, "comment"), event.comment, inner),
        )
    return made


def _predicate(
    leaves: Leaves, path: Path, text: str | None, roots: Collection[str] | None
) -> Predicate | None:
    if text is None:
        return None
    leaves.getter(path, text, roots)  # tells what is wrong with it
    try:
        return compile_predicate(text, roots=roots)
    except BadExpression:
        return None


def check_entities(
    events: Mapping[str, Event], form: Mapping[str, language.Event], entities: Collection[str],
    connector: str, leaves: Leaves, path: Path,
) -> None:  # fmt: skip
    """Tell events about entities that the connector does not have."""
    for name, event in events.items():
        if event.entity not in entities:
            named = form[name].entity is not None
            message = f"there is no entity {event.entity!r} at {connector}"
            leaves.problems.add(
                (*path, name, "entity") if named else (*path, name), "unknown_entity", message,
                words=entities, word=event.entity, key=not named,
            )  # fmt: skip


def compile_watch(name: str, form: language.Watch, leaves: Leaves, path: Path) -> Watch:
    """Compile what is looked at; mistakes go to the problems."""
    if not NAME.match(name):
        message = f"the watch {name!r} must be lower case letters, digits and _"
        leaves.problems.add(path, "bad_name", message, key=True)
    if seconds(form.every) < _OFTEN:
        leaves.problems.add((*path, "every"), "bad_value", f"a list is looked at each {_OFTEN:g}s at most")
    return Watch(
        name=name,
        list=form.list_ if "." in form.list_ else f"{form.list_}.list",
        arguments=dict(form.arguments),
        newest=leaves.getter((*path, "newest"), form.newest) or references.constant(None),
        since=form.since,
        overlap=seconds(form.overlap),
        every=seconds(form.every),
        events=_events(form.events, None, leaves, (*path, "events")),
    )


def check_watch(watch: Watch, tools: Collection[Tool], connector: str, leaves: Leaves, path: Path) -> None:
    """Tell what a watch cannot look at: a list that is not there, and arguments that it does not take."""
    there = {tool.key: tool for tool in tools if connector in tool.operations}
    tool = there.get(watch.list)
    if tool is None or not tool.operations[connector].is_list:
        words = [key for key, each in there.items() if each.operations[connector].is_list]
        message = f"{connector} has no list {watch.list}"
        leaves.problems.add((*path, "list"), "unknown_operation", message, words=words, word=watch.list)
        return
    schema = tool.operations[connector].schema
    known = schema.get("properties", {})
    for name in watch.arguments:
        if name not in known:
            message = f"{tool.name} takes no {name!r}"
            here = (*path, "arguments", name)
            leaves.problems.add(here, "undeclared_argument", message, words=known, word=name, key=True)
    if watch.since is not None and watch.since not in known:
        message = f"{tool.name} takes no {watch.since!r}"
        leaves.problems.add((*path, "since"), "undeclared_argument", message, words=known, word=watch.since)
    for name in schema.get("required", ()):
        if name not in watch.arguments and name != watch.since:
            message = f"{tool.name} needs {name!r}, in arguments"
            leaves.problems.add(path, "missing_key", message, key=True)


def compile_stream(name: str, form: language.Stream, plan: RequestPlan, leaves: Leaves, path: Path) -> Stream:
    """Compile what is listened to; mistakes go to the problems."""
    if not NAME.match(name):
        message = f"the stream {name!r} must be lower case letters, digits and _"
        leaves.problems.add(path, "bad_name", message, key=True)
    if plan.method != "GET":
        leaves.problems.add((*path, "request"), "bad_request", "a stream is opened with GET")
    resume = form.resume
    if resume is not None and (resume.header is None) == (resume.query is None):
        message = "says where it is sent: exactly one of header and query"
        leaves.problems.add((*path, "resume"), "conflict", message, key=True)
    if resume is not None and resume.header is not None:
        check_header_name((*path, "resume", "header"), resume.header, leaves, key=False)
    if resume is not None and form.format == "lines" and form.id is None:
        message = "going on needs the word 'id': what an event is called"
        leaves.problems.add((*path, "resume"), "missing_key", message, key=True)
    default = "Last-Event-ID" if form.format == "sse" and resume is None else None
    return Stream(
        name=name,
        plan=plan,
        format=form.format,
        events=_events(form.events, None, leaves, (*path, "events")),
        id=leaves.getter((*path, "id"), form.id),
        resume_header=resume.header if resume is not None else default,
        resume_query=resume.query if resume is not None else None,
    )
