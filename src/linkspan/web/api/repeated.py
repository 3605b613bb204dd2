"""`Idempotency-Key` at the management API: what is asked for twice with one key is done once.

For a day a repetition gets the first answer. A secret that the answer showed is kept nowhere: who repeats
that is told what was made, and that it is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, SecretStr

from linkspan.errors import Conflict, InvalidArgument, LinkspanError
from linkspan.gateway.once import Once, digest_of, raise_kept
from linkspan.store.calls import Call, First
from linkspan.web.api.reading import Model

HEADER: Final = "Idempotency-Key"
TOLD: Final = (HEADER, "For a day the same request with the same key is done once.")
PATTERN: Final = "[!-~]{1,200}"
_KEY: Final = re.compile(PATTERN)
AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Again:
    """What was answered the first time."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Work(Generic[AnswerT]):
    """Something to be done once. `asked` is kept sealed, for the row must not tell secrets apart."""

    call: Call
    asked: str
    do: Callable[[], Awaitable[AnswerT]]


def key_of(headers: Mapping[str, str]) -> str | None:
    """Answer the key of a request, if it has one. Raises `InvalidArgument`."""
    key: str | None = headers.get("idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        details = [{"path": HEADER, "message": "must be 1 to 200 visible characters of ASCII"}]
        raise InvalidArgument(f"{HEADER}: must be 1 to 200 visible characters of ASCII", details=details)
    return key


def all_of(query: BaseModel, body: BaseModel | None) -> str:
    """Answer a digest of all that was sent, its secrets among it."""
    sent = [query.model_dump(), None if body is None else body.model_dump()]
    return digest_of(json.dumps(sent, sort_keys=True, default=_revealed))


async def once(memory: Once, work: Work[AnswerT]) -> AnswerT | Again:
    """Do it, or answer what was answered when it was done.

    Raises `Conflict` for a key that was used for something else, for what is being done or may have been
    done, and for what showed a secret; and what the work raises.
    """
    begun = await memory.begin(work.call)
    if not isinstance(begun, First):
        return _again(begun, work.asked)
    try:
        answer = await work.do()
    except LinkspanError as error:
        await memory.failed(work.call, begun, error)
        raise
    except BaseException:
        await memory.leave(work.call, begun)
        raise
    await memory.keep(work.call, begun, {"asked": work.asked, **_kept(answer)})
    return answer


def _kept(answer: object) -> dict[str, Any]:
    if not isinstance(answer, BaseModel):
        return {"made": None}
    data = answer.model_dump(mode="json", by_alias=True)
    shown = answer.shown_once if isinstance(answer, Model) else ()
    if any(data[name] is not None for name in shown):
        return {"made": data.get("id")}
    return {"answer": data}


def _again(outcome: dict[str, Any], asked: str) -> Again:
    raise_kept(outcome)
    if outcome["asked"] != asked:
        raise Conflict(
            "this Idempotency-Key was used for something else within the last day",
            hint="Choose another key for another request.",
        )
    if "answer" not in outcome:
        made = outcome["made"]
        raise Conflict(
            "this request was done, and what its answer showed is kept nowhere",
            hint="Remove what was made if the answer was lost, and ask with another Idempotency-Key.",
            details={"reason": "done", **({} if made is None else {"id": made})},
        )
    return Again(outcome["answer"])


def _revealed(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
