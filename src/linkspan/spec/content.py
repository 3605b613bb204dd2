"""Compiles content blocks, declared resources and prompts."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Sequence
from typing import Any, Final

from linkspan.spec import language, references
from linkspan.spec.arguments import Arguments
from linkspan.spec.catalog import Block, Connector, Prompt, PromptMessage, RequestPlan, Resource, Value
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.questions import AccountNames
from linkspan.spec.references import Lookup
from linkspan.spec.request_lines import parse_request
from linkspan.spec.yaml import Path

_KINDS: Final = ("text", "image", "audio", "resource")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+\Z")


def compile_blocks(
    form: Sequence[language.Content] | None,
    arguments: Arguments,
    leaves: Leaves,
    path: Path,
    *,
    has_answer: bool,
) -> tuple[Block, ...]:
    """Compile an operation's content blocks; `has_answer` when there is a request whose answer they show."""
    if form is None:
        return ()
    if not form:
        leaves.problems.add(path, "bad_value", "must not be empty", key=True)
    roots = [*arguments.names(), "settings", "elicit", *(["answer"] if has_answer else [])]
    blocks = [
        _block(content, roots, arguments.mention, leaves, (*path, index))
        for index, content in enumerate(form)
    ]
    return tuple(block for block in blocks if block is not None)


def _block(
    form: language.Content, roots: Collection[str], used: Any, leaves: Leaves, path: Path
) -> Block | None:
    given = [kind for kind in _KINDS if getattr(form, kind) is not None]
    if len(given) != 1:
        leaves.problems.add(path, "bad_content", "a block is exactly one of text, image, audio and resource")
        return None
    kind = given[0]

    def text(place: Path, written: str) -> Value:
        return leaves.content_text(place, written, roots, used)

    if form.text is not None:
        return Block("text", text=text(_text_place(leaves, path), form.text))
    if form.resource is not None:
        here, resource = (*path, "resource"), form.resource
        if (resource.text is None) == (resource.data is None):
            leaves.problems.add(here, "bad_content", "a resource has exactly one of text and data")
        return Block(
            "resource",
            uri=text((*here, "uri"), resource.uri),
            mime_type=text((*here, "mime_type"), resource.mime_type),
            text=text((*here, "text"), resource.text) if resource.text is not None else None,
            data=_data(text, (*here, "data"), resource.data, leaves) if resource.data is not None else None,
        )
    media = form.image if form.image is not None else form.audio
    assert media is not None  # noqa: S101 - one of the four was given
    here = (*path, kind)
    return Block(
        "image" if kind == "image" else "audio",
        data=_data(text, (*here, "data"), media.data, leaves),
        mime_type=text((*here, "mime_type"), media.mime_type),
    )


def _text_place(leaves: Leaves, path: Path) -> Path:
    return (*path, "text") if leaves.problems.root.find((*path, "text"))[1] > len(path) else path


def _data(text: Any, path: Path, written: str, leaves: Leaves) -> Value:
    if "{{" not in written:
        _check_base64(path, written, leaves)
        return references.constant("".join(written.split()))
    value: Value = text(path, written)
    return value


def _check_base64(path: Path, written: str, leaves: Leaves) -> None:
    try:
        base64.b64decode("".join(written.split()), validate=True)
    except (binascii.Error, ValueError):
        leaves.problems.add(path, "bad_base64", "not Base64")


# Resources ------------------------------------------------------------------------------------------------


class _UriNames(AccountNames):
    """What a resource's request may name: the placeholders of its URI, and settings."""

    def __init__(self, names: Collection[str], connector: Connector | None, leaves: Leaves) -> None:
        has_username = connector is not None and connector.auth_method("basic") is not None
        super().__init__(connector.settings if connector else {}, has_username=has_username, leaves=leaves)
        self.names = names
        self.used: set[str] = set()

    def argument(self, name: str, path: Path, *, offset: int, in_path: bool) -> Lookup | None:
        if name in self.names:
            self.used.add(name)
            return references.argument(name)
        return super().argument(name, path, offset=offset, in_path=in_path)


def compile_resource(
    name: str, form: language.Resource, connectors: dict[str, Connector], leaves: Leaves, path: Path
) -> Resource:
    """Compile a declared resource; mistakes go to the problems."""
    problems = leaves.problems
    try:
        parts = references.split_placeholders(form.uri)
    except ValueError as error:
        problems.add((*path, "uri"), "bad_uri", "a { or } stands alone here", offset=int(error.args[0]))
        parts = []
    parameters = [part for part, _, _ in parts if part is not None]
    if not _URI.match(re.sub(r"\{[^{}]*\}", "x", form.uri)) or form.uri.startswith("linkspan:"):
        problems.add((*path, "uri"), "bad_uri", "must be a URI such as notes://style; linkspan: is ours")
    for parameter in parameters:
        if not NAME.match(parameter):
            problems.add(
                (*path, "uri"), "bad_uri", f"{{{parameter}}} must be lower case letters, digits and _"
            )
    given = [key for key in ("text", "data", "request") if getattr(form, key) is not None]
    if len(given) != 1:
        problems.add(path, "bad_content", "a resource is exactly one of text, data and request", key=True)
    roots = [*parameters, "settings"]
    text = None
    if form.text is not None:
        text = leaves.content_text((*path, "text"), form.text, roots, lambda _name: None)
    blob = None
    if form.data is not None:
        _check_base64((*path, "data"), form.data, leaves)
        blob = references.constant("".join(form.data.split()))
    plan = _resource_plan(form, parameters, connectors, leaves, path)
    return Resource(
        uri=form.uri,
        name=name,
        title=leaves.text((*path, "title"), form.title) or name.replace("_", " ").capitalize(),
        description=leaves.text((*path, "description"), form.description),
        mime_type=form.mime_type,
        text=text,
        blob=blob,
        connector=form.connector,
        plan=plan,
        parameters=tuple(parameters),
    )


def _resource_plan(
    form: language.Resource,
    parameters: list[str],
    connectors: dict[str, Connector],
    leaves: Leaves,
    path: Path,
) -> RequestPlan | None:
    problems = leaves.problems
    if form.request is None:
        if form.connector is not None:
            message = "a connector is for a resource with a request"
            problems.add((*path, "connector"), "conflict", message, key=True)
        return None
    if form.connector is None:
        problems.add(path, "missing_key", "the word 'connector' is missing", key=True)
        return None
    if form.connector not in connectors:
        message = f"there is no connector {form.connector!r}"
        problems.add(
            (*path, "connector"), "unknown_connector", message, words=connectors, word=form.connector
        )
        return None
    parsed = parse_request(form.request, leaves, (*path, "request"))
    if parsed is None:
        return None
    method, url, start = parsed
    if method != "GET":
        problems.add((*path, "request"), "bad_request", "a resource is read with GET")
    names = _UriNames(parameters, connectors[form.connector], leaves)
    template = leaves.path_template((*path, "request"), url, names, start=start)
    for parameter in parameters:
        if parameter not in names.used:
            message = f"{{{parameter}}} is used nowhere in the request"
            problems.add((*path, "uri"), "unused_parameter", message)
    return RequestPlan(method=method, path=template, repeatable=True)


# Prompts --------------------------------------------------------------------------------------------------


def compile_prompt(name: str, form: language.Prompt, leaves: Leaves, path: Path) -> Prompt:
    """Compile a prompt; mistakes go to the problems."""
    for argument in form.arguments:
        if not re.match(r"[A-Za-z][A-Za-z0-9_]*\Z", argument) or argument == "settings":
            message = f"the argument {argument!r} must be letters, digits and _"
            leaves.problems.add((*path, "arguments", argument), "bad_name", message, key=True)
    used: set[str] = set()
    roots = list(form.arguments)
    messages: list[PromptMessage] = []
    for index, message_form in enumerate(form.messages):
        block = _block(message_form, roots, used.add, leaves, (*path, "messages", index))
        if block is not None:
            messages.append(PromptMessage(message_form.role, block))
    for argument in form.arguments:
        if argument not in used:
            message = f"the argument {argument!r} is used in no message"
            leaves.problems.add((*path, "arguments", argument), "unused_parameter", message, key=True)
    return Prompt(
        name=name,
        title=leaves.text((*path, "title"), form.title) or name.replace("_", " ").capitalize(),
        description=leaves.text((*path, "description"), form.description),
        arguments=tuple(
            (key, leaves.text((*path, "arguments", key), argument.description), argument.required)
            for key, argument in form.arguments.items()
        ),
        messages=tuple(messages),
    )
