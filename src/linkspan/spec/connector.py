"""Compiles a connector: base URL, settings, ways to connect, pagination, rate limits, failures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from linkspan.spec import language, references
from linkspan.spec.base_urls import compile_base_url
from linkspan.spec.catalog import (
    AuthMethod,
    Connector,
    FailureRule,
    Paging,
    RateRule,
    RequestPlan,
    Setting,
    Value,
    Verify,
)
from linkspan.spec.expressions import ANSWER
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.references import Lookup
from linkspan.spec.yaml import Path

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_REQUEST = re.compile(r"([A-Za-z]+) +(\S.*)\Z")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_OURS = {"host", "content-length", "transfer-encoding", "connection", "authorization", "cookie"}
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SECRETS: Final[Mapping[str, tuple[str, ...]]] = {
    "bearer": ("token",),
    "header": ("key",),
    "query": ("key",),
    "basic": ("username", "password"),
    "none": (),
}


def seconds(duration: str) -> float:
    """Answer the seconds of `30s`, `5m`, `2h`, `7d`."""
    unit = duration.lstrip("0123456789.")
    return float(duration[: -len(unit)]) * _UNITS[unit]


USERNAME: Final = "credential.username"


class AccountNames:
    """What references may name of the account: its settings, and the user name of a basic credential."""

    def __init__(self, settings: Mapping[str, Setting], *, has_username: bool, leaves: Leaves) -> None:
        self.settings = settings
        self.leaves = leaves
        self.words = [f"settings.{known}" for known in settings] + [USERNAME] * has_username

    def argument(self, name: str, path: Path, *, offset: int, in_path: bool) -> Lookup | None:
        """Look it up; anything else is a problem."""
        if name == USERNAME and name in self.words:
            return references.found("credential", ("username",))
        if name in self.words:
            return references.setting(self.settings[name.removeprefix("settings.")])
        code = "undeclared_placeholder" if in_path else "undeclared_argument"
        shown = f"{{{name}}}" if in_path else f"${name}"
        what = "the connector has no such setting" if name.startswith("settings.") else "no argument here"
        self.leaves.problems.add(
            path, code, f"{shown} is not declared: {what}", offset=offset, word=name, words=self.words
        )
        return None


def compile_connector(name: str, form: language.Connector, leaves: Leaves, path: Path) -> Connector:
    """Compile one connector; mistakes go to the problems of `leaves`."""
    if not re.match(r"[a-z][a-z0-9_-]{0,62}\Z", name):
        message = f"the connector {name!r} must be lower case letters, digits, _ and -"
        leaves.problems.add(path, "bad_name", message, key=True)
    settings = {
        key: _setting(key, setting, leaves, (*path, "settings", key))
        for key, setting in form.settings.items()
    }
    has_username = any(way.type == "basic" for way in form.auth)
    names = AccountNames(settings, has_username=has_username, leaves=leaves)
    rate = form.rate_limit or language.RateLimit.model_validate({})
    failure = form.error or language.Failure.model_validate({})
    return Connector(
        name=name,
        title=leaves.text((*path, "title"), form.title) or name.replace("_", " ").title(),
        base_url=compile_base_url((*path, "base_url"), form.base_url, settings, leaves),
        settings=settings,
        auth=_auth(form, leaves, path),
        headers=headers(form.headers, names, leaves, (*path, "headers")),
        query=tuple(
            (key, leaves.value((*path, "query", key), tree, names)) for key, tree in form.query.items()
        ),
        verify=_verify(form.verify, names, leaves, (*path, "verify")) if form.verify else None,
        paging=compile_paging(form.pagination, leaves, (*path, "pagination")),
        rate=RateRule(
            when=leaves.predicate((*path, "rate_limit", "when"), rate.when),
            retry_after=leaves.getter((*path, "rate_limit", "retry_after"), rate.retry_after, ANSWER),
        ),
        failure=FailureRule(
            when=leaves.predicate((*path, "error", "when"), failure.when),
            message=leaves.getter((*path, "error", "message"), failure.message, ANSWER),
            code=leaves.getter((*path, "error", "code"), failure.code, ANSWER),
        ),
        timeout=seconds(form.timeout),
        rate_budget=seconds(rate.wait),
    )


def _setting(name: str, form: language.Setting, leaves: Leaves, path: Path) -> Setting:
    if not NAME.match(name):
        message = f"the setting {name!r} must be lower case letters, digits and _"
        leaves.problems.add(path, "bad_name", message, key=True)
    pattern: re.Pattern[str] | None = None
    if form.pattern is not None:
        try:
            pattern = re.compile(form.pattern)
        except (re.error, RecursionError, OverflowError) as error:
            offset = getattr(error, "pos", None) or 0
            message = f"not a regular expression: {error}"
            leaves.problems.add((*path, "pattern"), "bad_pattern", message, offset=offset)
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
    )


def _auth(form: language.Connector, leaves: Leaves, path: Path) -> tuple[AuthMethod, ...]:
    methods: list[AuthMethod] = []
    for index, way in enumerate(form.auth):
        here = (*path, "auth", index)
        if any(known.type == way.type for known in methods):
            leaves.problems.add((*here, "type"), "duplicate_auth", f"{way.type} stands here twice")
        name: str | None = getattr(way, "name", None)
        if way.type == "header" and name is not None:
            _check_header_name((*here, "name"), name, leaves, credential=True)
        prefix = getattr(way, "prefix", "")
        if not prefix.isprintable() or not prefix.isascii():
            leaves.problems.add((*here, "prefix"), "bad_header", "a header holds printable ASCII only")
        methods.append(
            AuthMethod(
                type=way.type,
                per=way.per,
                title=leaves.text((*here, "title"), way.title),
                help_url=leaves.text((*here, "help_url"), way.help_url) if way.help_url else None,
                name=name,
                prefix=prefix,
                fields=_SECRETS[way.type],
            )
        )
    return tuple(methods)


def headers(form: Mapping[str, Any], names: Any, leaves: Leaves, path: Path) -> tuple[tuple[str, Value], ...]:
    """Compile headers: names checked, values as templates."""
    found = []
    for key, value in form.items():
        _check_header_name((*path, key), key, leaves)
        found.append((key, leaves.header((*path, key), value, names)))
    return tuple(found)


def _check_header_name(path: Path, name: str, leaves: Leaves, *, credential: bool = False) -> None:
    at_key = not credential
    if not _HEADER_NAME.match(name):
        leaves.problems.add(path, "bad_header", f"{name!r} is not a header's name", key=at_key)
    elif name.lower() in _OURS and not (credential and name.lower() == "authorization"):
        leaves.problems.add(path, "bad_header", f"{name} is not yours to set; see auth", key=at_key)


def parse_request(text: str, leaves: Leaves, path: Path) -> tuple[str, str, int] | None:
    """Split `GET /tickets/{id}` into method, path and where the path begins; None after a problem."""
    found = _REQUEST.match(text)
    if found is None or found[1].upper() not in METHODS:
        word = text.split(" ", maxsplit=1)[0]
        message = f"must be a method and a path, such as GET /tickets; not {text!r}"
        leaves.problems.add(path, "bad_request", message, words=METHODS, word=word)
        return None
    method, url, start = found[1], found[2], found.start(2)
    if method != method.upper():
        leaves.problems.add(path, "bad_request", f"the method is written {method.upper()}")
    wrong = _path_fault(url)
    if wrong is not None:
        leaves.problems.add(path, "bad_request", wrong[0], offset=start + wrong[1])
        return None
    return method.upper(), url, start


def _path_fault(url: str) -> tuple[str, int] | None:
    if "${" in url:
        return "a variable cannot stand in a path; put it into base_url", url.index("${")
    bare = re.sub(r"\{[^{}]*\}", lambda found: "x" * len(found[0]), url)
    if not url.startswith("/"):
        return "the path begins with /; the host stands in the connector's base_url", 0
    if bare.startswith("//") or "//" in bare:
        return "the path has an empty segment", bare.index("//")
    for mark, why in (("?", "put parameters under query"), ("#", "a fragment is never sent")):
        if mark in bare:
            return f"the path has no {mark}; {why}", bare.index(mark)
    if found := re.search(r"/\.\.?(?=/|\Z)", bare):
        return "the path has no . or .. segments", found.start()
    if found := re.search(r"%(?![0-9A-Fa-f]{2})|%2[ef]|%5c|[^!-~]|[\"<>\\^`|]", bare, re.IGNORECASE):
        return f"{found[0]!r} cannot stand in a path", found.start()
    return None


def _verify(form: language.Verify, names: AccountNames, leaves: Leaves, path: Path) -> Verify | None:
    at = (*path, "request") if leaves.problems.root.find((*path, "request"))[1] > len(path) else path
    parsed = parse_request(form.request, leaves, at)
    if parsed is None:
        return None
    method, url, start = parsed
    if method not in {"GET", "HEAD", "POST"}:
        leaves.problems.add(at, "bad_request", f"a check of a credential changes nothing: not {method}")
    plan = RequestPlan(
        method=method,
        path=leaves.path_template(at, url, names, start=start),
        query=tuple(
            (key, leaves.value((*path, "query", key), tree, names)) for key, tree in form.query.items()
        ),
        headers=headers(form.headers, names, leaves, (*path, "headers")),
        repeatable=True,
    )
    return Verify(plan, leaves.getter((*path, "id"), form.id), leaves.getter((*path, "label"), form.label))


def compile_paging(form: Any, leaves: Leaves, path: Path) -> Paging:
    """Compile a pagination; mistakes go to the problems."""
    if form is None or form.style == "none":
        return Paging(style="none")
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


def _slot(form: language.Slot | None, leaves: Leaves, path: Path) -> tuple[str | None, Any]:
    if form is None:
        return None, "query"
    if (form.query is None) == (form.body is None):
        message = "says where it is sent: exactly one of query and body"
        leaves.problems.add(path, "impossible_pager", message)
    return (form.body, "body") if form.query is None and form.body is not None else (form.query, "query")
