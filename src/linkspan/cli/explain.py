"""`call --explain`: what was sent, what came, and how each field came about. For operators only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from linkspan.spec import answers

if TYPE_CHECKING:
    from linkspan.gateway.watch import Exchange, Watch
    from linkspan.spec.catalog import Operation

_MOST_ITEMS = 3
_TOLD_HEADERS = ("content-type", "etag", "link", "location", "retry-after")


def explained(operation: Operation, watch: Watch) -> dict[str, Any]:
    """Answer all that is told of a call, as JSON."""
    operation = watch.as_called(operation)
    made = [operation.shape(thing) if operation.shape and thing is not None else thing
            for thing in watch.things]  # fmt: skip
    return {
        "operation": operation.key,
        "connector": operation.connector,
        "exchanges": [_exchange(one) for one in watch.exchanges],
        "found_by": operation.where,
        "found": len(watch.things),
        "items": [
            [one.to_dict() for one in answers.mapping_of(operation, thing, shown)]
            for thing, shown in list(zip(watch.things, made, strict=True))[:_MOST_ITEMS]
        ],
        "not_mapped": answers.unused(operation, watch.things),
        "pagination": {
            "style": operation.paging.style,
            "pages": [
                {"position": page.position, "size": page.size, "items": page.items, "next": page.following}
                for page in watch.pages
            ],
        },
    }


def _exchange(one: Exchange) -> dict[str, Any]:
    body = one.data
    told = {
        name: answers.short(value)
        for name, value in one.headers.items()
        if name in _TOLD_HEADERS or "ratelimit" in name.replace("-", "")
    }
    return {
        "line": one.line,
        "request": dict(one.request),
        "answer": {
            "status": one.status,
            "bytes": len(one.body),
            "headers": told,
            "shape": answers.shape_of(body),
            "lists": [f"{path} ({size})" for path, size in list(answers.lists_in(body))[:10]],
        },
    }


def print_explained(told: Mapping[str, Any], error: str | None) -> None:
    """Print it for people."""
    for number, one in enumerate(told["exchanges"], 1):
        request, answer = one["request"], one["answer"]
        click.echo(f"Request {number}: {request['method']} {request['url']}")
        for name, value in request["headers"].items():
            click.echo(f"    {name}: {value}")
        if request["body"] is not None:
            click.echo(f"    body: {json.dumps(request['body'], ensure_ascii=False)}")
        click.echo(f"Answer {number}: {answer['status']}, {answer['bytes']} bytes")
        for name, value in answer["headers"].items():
            click.echo(f"    {name}: {value}")
        for line in _lines(answer["shape"]):
            click.echo(f"    {line}")
    if not told["exchanges"]:
        click.echo("Nothing was answered.")
    if error is not None:
        click.echo(f"It ended with: {error}")
    else:
        click.echo(f"Found by {told['found_by']}: {told['found']}")
    for number, fields in enumerate(told["items"], 1):
        click.echo(f"Item {number} of {told['found']}:")
        for field in fields:
            note = f"   ({field['note']})" if field["note"] else ""
            value = json.dumps(field["value"], ensure_ascii=False, default=str)
            click.echo(f"    {field['field']} = {value}   from {field['expression']}{note}")
    if told["not_mapped"]:
        click.echo(f"In the items, mapped to nothing: {', '.join(told['not_mapped'])}")
    for page in told["pagination"]["pages"]:
        at = "the first page" if page["position"] is None else f"position {page['position']}"
        onward = "the end" if page["next"] is None else f"goes on at {page['next']}"
        click.echo(f"Pagination {told['pagination']['style']}: {at}, {page['items']} items, {onward}")


def _lines(shape: Any, indent: str = "") -> list[str]:
    """Answer a shape as an outline."""
    if isinstance(shape, dict):
        made: list[str] = []
        for key, part in shape.items():
            name = answers.short(str(key))
            if isinstance(part, dict | list):
                made += [f"{indent}{name}:", *_lines(part, f"{indent}  ")]
            else:
                made.append(f"{indent}{name}: {part}")
        return made or [f"{indent}empty mapping"]
    if isinstance(shape, list):
        first, *rest = shape
        inner = _lines(first, f"{indent}  ")
        return [f"{indent}- {inner[0].strip()}", *inner[1:], *(f"{indent}- {word}" for word in rest)]
    return [f"{indent}{shape}"]
