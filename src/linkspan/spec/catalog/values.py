"""What compiled texts and expressions are, and what references in them may see.

Where expressions are rooted:
- `items`, `item`, pagination's `read`, `more` and `total`: the decoded body of the answer;
- `when`, `message` and everything of `rate_limit` and `error`: the answer, `{status, headers, body}` with
  header names in lower case;
- `verify`'s `id` and `label`, a step's `item`: the body;
- fields: one item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

Kind = Literal["read", "write", "delete"]


Getter = Callable[[Any], Any]
"""Takes a root (see above), answers the value or None; raises nothing for data of any shape."""


Predicate = Callable[[Any], bool]


Json = dict[str, Any]


class Shape(Protocol):
    """Makes an entity's fields of an item, whatever the item is."""

    def __call__(self, item: Any, given: Mapping[str, Any] = ..., /) -> Json:
        """Answer the fields; `given` has the values of those that come of the call, by field."""
        ...


class _Later:
    """In a dry run: what an earlier step would find. References to it answer `[step.member]`."""

    def __repr__(self) -> str:
        return "LATER"


LATER: Final = _Later()


class _Absent:
    """The value of a reference to an argument that was not given: whatever holds it is not sent."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Scope:
    """What references in a request may see.

    `found` holds what earlier steps found, by name; `answer`, the `{status, headers, body}` for content
    blocks; `elicit`, `{action, content}`; and `credential`, of which only `username` (basic) is shown.
    """

    arguments: Mapping[str, Any]
    settings: Mapping[str, str] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)


class Value(Protocol):
    """A query, header or body value: literals and `$references`, evaluated without any templating."""

    def __call__(self, scope: Scope) -> Any:
        """Answer the typed value, or ABSENT. Mappings and lists leave absent members out."""
        ...


class Template(Protocol):
    """A URL or header text with `{placeholders}`.

    In URLs every expansion is percent-encoded as RFC 6570 simple expansion does; a value that is empty,
    `.` or `..`, or that holds a control character, raises `InvalidArgument` naming the argument.
    """

    def expand(self, scope: Scope) -> str:
        """Answer the text with its placeholders filled in."""
        ...
