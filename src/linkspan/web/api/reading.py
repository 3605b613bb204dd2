"""What a request says, read strictly: every fault at once, each with its place, and never a value of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from linkspan.errors import InvalidArgument, TooLarge

_MOST_FIELDS: Final = 50
_MOST_FAULTS: Final = 50
_LONGEST_NAME: Final = 60

Example = Mapping[str, Any]


class Model(BaseModel):
    """What is sent or answered: nothing beside what is named, and every type as it is named."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True
    )
    shown_once: ClassVar[tuple[str, ...]] = ()
    """Its fields that hold a secret which was just made, and is shown in no other answer."""
    example: ClassVar[Example] = {}
    """Of what is sent: one as a program would write it, for the description."""


class Query(BaseModel):
    """The parameters of a URL: texts that mean what the fields say."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    envelope: Literal["result", "none"] = Field("result", exclude=True)
    """Whether a single thing is answered as `{"result": …}` or as itself. No filter: it is in no cursor."""


class NoQuery(Query):
    """No parameters."""


class UnsupportedMediaType(InvalidArgument):
    """A body of another kind than JSON."""

    default_status = 415


ModelT = TypeVar("ModelT", bound=BaseModel)


def read_query(request: Request, model: type[Query]) -> Query:
    """Answer the parameters of the URL, none of them twice. Raises `InvalidArgument`."""
    raw: bytes = request.scope.get("query_string", b"")
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise InvalidArgument("The query cannot be read") from error
    seen: set[str] = set()
    twice = []
    for name, _value in pairs:
        if name in seen:
            twice.append({"path": name[:_LONGEST_NAME], "message": "is given more than once"})
        seen.add(name)
    return validated(model, dict(pairs), "The query does not fit", twice)


async def read_body(request: Request, model: type[ModelT], most: int) -> ModelT:
    """Answer the body, JSON of at most that many bytes. Raises `InvalidArgument` and `TooLarge`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMediaType("The body is not JSON", hint="Send Content-Type: application/json.")
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > most:
            raise TooLarge(f"A request here may have {most} bytes")
    try:
        data = from_json(bytes(raw), allow_inf_nan=False)
    except ValueError as error:
        raise InvalidArgument("The body is not JSON") from error
    return validated(model, data, "The body does not fit", [])


def validated(model: type[ModelT], data: Any, what: str, faults: Sequence[Mapping[str, str]]) -> ModelT:
    """Answer data as a model. Raises `InvalidArgument` with every fault, and `faults` besides."""
    found = list(faults)
    try:
        answer = model.model_validate(data)
    except ValidationError as error:
        found += [
            {"path": _path(fault["loc"]), "message": fault["msg"]}
            for fault in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    else:
        if not found:
            return answer
    named = "; ".join(f"{fault['path'] or 'body'}: {fault['message']}" for fault in found[:_MOST_FAULTS])
    raise InvalidArgument(
        f"{what}: {named}", hint="See /openapi.json.", details=[dict(fault) for fault in found[:_MOST_FAULTS]]
    )


def _path(place: Sequence[int | str]) -> str:
    return ".".join(str(word)[:_LONGEST_NAME] for word in place)
