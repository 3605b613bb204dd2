"""Compiles a connector: base URL, settings, ways to connect, pagination, rate limits, failures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from linkspan.spec import language
from linkspan.spec.auth import check_header_name, compile_auth
from linkspan.spec.base_urls import compile_base_url
from linkspan.spec.catalog import (
    Connector,
    FailureRule,
    GitHost,
    Paging,
    ProxyRule,
    RateRule,
    Setting,
    Verify,
)
from linkspan.spec.durations import seconds as seconds  # noqa: PLC0414 - operations has it from here
from linkspan.spec.events import Stream
from linkspan.spec.expressions import ANSWER
from linkspan.spec.hooks import compile_stream, compile_watch, compile_webhooks
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.passing import compile_proxy
from linkspan.spec.questions import AccountNames, question
from linkspan.spec.request_lines import headers
from linkspan.spec.ways import compile_connected, compile_ways
from linkspan.spec.yaml import Path

_GIT_NAME = re.compile(r"[!-9;-~]{1,100}")


def compile_connector(
    name: str,
    form: language.Connector,
    leaves: Leaves,
    path: Path,
    elsewhere: Callable[[], Any] = lambda: None,
) -> Connector:
    """Compile one connector; mistakes go to the problems of `leaves`.

    `elsewhere` answers what other parts of the file say of requests to it.
    """
    if not re.match(r"[a-z][a-z0-9_-]{0,62}\Z", name):
        message = f"the connector {name!r} must be lower case letters, digits, _ and -"
        leaves.problems.add(path, "bad_name", message, key=True)
    found = set(form.connected.settings) if form.connected else set()
    settings = {
        key: _setting(key, setting, leaves, (*path, "settings", key), is_found=key in found)
        for key, setting in form.settings.items()
    }
    has_username = any(way.type == "basic" for way in form.auth)
    names = AccountNames(settings, has_username=has_username, leaves=leaves)
    rate = form.rate_limit or language.RateLimit.model_validate({})
    failure = form.error or language.Failure.model_validate({})
    compiled = compile_auth(form, settings, leaves, path)
    ways = zip(form.auth, compiled, strict=False) if len(compiled) == len(form.auth) else ()
    proofs = {
        way.type: _verify(way.verify, names, leaves, (*path, "auth", index, "verify"), form.graphql)
        for index, (way, _) in enumerate(ways)
        if way.verify
    }
    connector = Connector(
        name=name,
        built_in=form.use,
        title=leaves.text((*path, "title"), form.title) or name.replace("_", " ").title(),
        base_url=compile_base_url((*path, "base_url"), form.base_url, settings, leaves),
        settings=settings,
        auth=tuple(replace(way, verify=proofs.get(way.type)) for way in compiled),
        headers=headers(form.headers, names, leaves, (*path, "headers")),
        query=tuple(
            (key, leaves.value((*path, "query", key), tree, names)) for key, tree in form.query.items()
        ),
        verify=_verify(form.verify, names, leaves, (*path, "verify"), form.graphql) if form.verify else None,
        connected=compile_connected(form.connected, form.base_url, form.graphql, settings, leaves, path)
        if form.connected
        else None,
        paging=compile_paging(form.pagination, leaves, (*path, "pagination")),
        rate=RateRule(
            when=leaves.predicate((*path, "rate_limit", "when"), rate.when),
            retry_after=leaves.getter((*path, "rate_limit", "retry_after"), rate.retry_after, ANSWER),
        ),
        failure=FailureRule(
            when=leaves.predicate((*path, "error", "when"), failure.when),
            message=leaves.getter((*path, "error", "message"), failure.message, ANSWER),
            code=leaves.getter((*path, "error", "code"), failure.code, ANSWER),
            codes=_codes(failure, leaves, (*path, "error")),
        ),
        arrays=form.arrays,
        method_override=_override(form, leaves, path),
        graphql=form.graphql,
        hosts=_hosts(form, leaves, path),
        is_conditional=form.etag,
        ca=_ca(form, settings, leaves, path),
        webhooks=compile_webhooks(form.webhooks, settings, leaves, (*path, "webhooks"))
        if form.webhooks
        else None,
        streams=_streams(form, names, leaves, path),
        watches=tuple(
            compile_watch(name, watch, leaves, (*path, "watch", name)) for name, watch in form.watch.items()
        ),
        timeout=seconds(form.timeout),
        rate_budget=seconds(rate.wait),
        proxy=compile_proxy(form.proxy, leaves, (*path, "proxy")) if form.proxy else ProxyRule(),
        git=_git(form, settings, leaves, path) if form.git else None,
    )
    return replace(connector, ways=compile_ways(form, connector, leaves, path, elsewhere))


def _codes(form: language.Failure, leaves: Leaves, path: Path) -> Mapping[str, str]:
    if form.codes and form.code is None:
        message = "codes needs the word 'code': where the product's word is in the answer"
        leaves.problems.add((*path, "codes"), "missing_key", message, key=True)
    return dict(form.codes)


def _hosts(form: language.Connector, leaves: Leaves, path: Path) -> tuple[str, ...]:
    for index, host in enumerate(form.hosts):
        if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+", host):
            message = f"{host!r} is no host's name, such as files.desk.example"
            leaves.problems.add((*path, "hosts", index), "bad_value", message)
    return tuple(f"https://{host}:443" for host in form.hosts)


def _streams(form: language.Connector, names: AccountNames, leaves: Leaves, path: Path) -> tuple[Stream, ...]:
    made = []
    for name, stream in form.streams.items():
        here = (*path, "streams", name)
        plan = question(stream, names, leaves, here)
        if plan is not None:
            made.append(compile_stream(name, stream, plan, leaves, here))
    return tuple(made)


def _ca(form: language.Connector, settings: Mapping[str, Setting], leaves: Leaves, path: Path) -> str | None:
    if form.ca is not None:
        known = [name for name, setting in settings.items() if setting.type == "certificate"]
        if form.ca not in known:
            message = f"the connector has no setting {form.ca!r} of type certificate"
            leaves.problems.add((*path, "ca"), "unknown_setting", message, words=known, word=form.ca)
    return form.ca


def _override(form: language.Connector, leaves: Leaves, path: Path) -> str | None:
    if form.method_override is not None:
        check_header_name((*path, "method_override"), form.method_override, leaves, key=False)
    return form.method_override


def _git(
    form: language.Connector, settings: Mapping[str, Setting], leaves: Leaves, path: Path
) -> GitHost | None:
    """Compile where repositories are. A name for git is needed wherever a token has none."""
    git, here = form.git, (*path, "git")
    assert git is not None  # noqa: S101
    base = compile_base_url((*here, "base_url"), git.base_url, settings, leaves)
    username = leaves.text((*here, "username"), git.username) if git.username is not None else None
    basic = leaves.text((*here, "basic"), git.basic) if git.basic is not None else None
    if basic is not None and not _GIT_NAME.fullmatch(basic):
        message = "must be a name of visible characters, without a colon"
        leaves.problems.add((*here, "basic"), "bad_value", message)
    if username is None and any(way.type != "basic" for way in form.auth):
        message = "git sends a name beside a token: say which, such as x-access-token or oauth2"
        leaves.problems.add((*here, "username"), "missing_key", message)
    elif username is not None and not _GIT_NAME.fullmatch(username):
        message = "must be a name of visible characters, without a colon"
        leaves.problems.add((*here, "username"), "bad_value", message)
    return GitHost(base, username, basic)


def _setting(name: str, form: language.Setting, leaves: Leaves, path: Path, *, is_found: bool) -> Setting:
    if not NAME.match(name):
        message = f"the setting {name!r} must be lower case letters, digits and _"
        leaves.problems.add(path, "bad_name", message, key=True)
    pattern = leaves.pattern((*path, "pattern"), form.pattern)
    default = leaves.text((*path, "default"), form.default) if form.default is not None else None
    if default is not None and pattern is not None and not pattern.fullmatch(default):
        leaves.problems.add((*path, "default"), "bad_value", "the default does not match the pattern")
    return Setting(
        name=name,
        title=leaves.text((*path, "title"), form.title) or name.replace("_", " ").capitalize(),
        type=form.type,
        description=leaves.text((*path, "description"), form.description),
        pattern=pattern,
        required=form.required and default is None,
        default=default,
        is_found=is_found,
    )


def _verify(
    form: language.Verify, names: AccountNames, leaves: Leaves, path: Path, posted_to: str
) -> Verify | None:
    plan = question(form, names, leaves, path, posted_to=posted_to)
    if plan is None:
        return None
    return Verify(plan, leaves.getter((*path, "id"), form.id), leaves.getter((*path, "label"), form.label))


def compile_paging(form: Any, leaves: Leaves, path: Path) -> Paging:
    """Compile a pagination; mistakes go to the problems."""
    if form is None or form.style == "none":
        return Paging(style="none")
    if form.style == "relay":
        return _relay(form, leaves, path)
    send, send_in = _slot(getattr(form, "send", None), leaves, (*path, "send"))
    size: language.Size | None = form.size
    size_name, size_in = _slot(size, leaves, (*path, "size"))
    if size is not None and size.max is not None and size.default is not None and size.default > size.max:
        message = f"default is {size.default}, but max is {size.max}"
        leaves.problems.add((*path, "size", "default"), "impossible_pager", message)
    if send is not None and send == size_name and send_in == size_in:
        message = f"position and size are both sent as {send!r}"
        leaves.problems.add((*path, "size"), "impossible_pager", message)
    more = getattr(form, "more", None)
    is_link = form.style == "link"
    return Paging(
        style=form.style,
        send=send,
        send_in=send_in,
        read=leaves.getter((*path, "read"), getattr(form, "read", None)),
        more=None if is_link else leaves.getter((*path, "more"), more),
        more_link=more if is_link else None,
        total=leaves.getter((*path, "total"), getattr(form, "total", None)),
        pages=leaves.getter((*path, "pages"), getattr(form, "pages", None)),
        first=getattr(form, "first", 1),
        size=size_name,
        size_in=size_in,
        default_size=size.default if size else None,
        max_size=size.max if size else None,
    )


def _relay(form: language.RelayPaging, leaves: Leaves, path: Path) -> Paging:
    if form.max is not None and form.default is not None and form.default > form.max:
        message = f"default is {form.default}, but max is {form.max}"
        leaves.problems.add((*path, "default"), "impossible_pager", message)
    paging = Paging(
        style="cursor",
        send=f"variables.{form.after}",
        send_in="body",
        size=f"variables.{form.first}",
        size_in="body",
        default_size=form.default or form.max,
        max_size=form.max,
        is_relay=form.at is None,
    )
    return paging if form.at is None else relay_at(paging, form.at, leaves, (*path, "at"))


def relay_at(paging: Paging, connection: str, leaves: Leaves, path: Path) -> Paging:
    """Answer the pagination of one connection; `path` is where it is said."""
    whole = leaves.getter(path, connection)
    if whole is None:
        return replace(paging, is_relay=False)
    base = f"{connection}.pageInfo"
    return replace(
        paging,
        read=leaves.getter(path, f"{base}.endCursor"),
        more=leaves.getter(path, f"{base}.hasNextPage"),
        is_relay=False,
    )


def _slot(form: language.Slot | None, leaves: Leaves, path: Path) -> tuple[str | None, Any]:
    if form is None:
        return None, "query"
    if (form.query is None) == (form.body is None):
        message = "says where it is sent: exactly one of query and body"
        leaves.problems.add(path, "impossible_pager", message)
    return (form.body, "body") if form.query is None and form.body is not None else (form.query, "query")
