"""What is sent to the management API and answered by it: Truto's names where it has them.

Times are ISO 8601 in UTC. No model that is answered has a field for a credential; those that show a secret
which was just made (a token, a webhook's secret, an invitation's link) say so in their names.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, computed_field

from linkspan.web.api.reading import Model, Query


def whole(value: Any) -> Any:
    """Answer 60 for 60.0, which JSON Schema counts among the integers (2020-12, §4.2.2)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_TIME: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$"
)


def _is_time(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("must be a date and time with a zone, such as 2026-11-23T17:00:00Z") from error
    return text


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-23T17:00:00Z"])]
GivenTime = Annotated[
    str,
    Field(pattern=_TIME, json_schema_extra={"format": "date-time"}, examples=["2026-11-23T17:00:00Z"]),
    AfterValidator(_is_time),
]
TenantId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", examples=["acme"])]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Line = Annotated[str, Field(pattern=r"^[!-~À-ɏ]([ -~À-ɏ]{0,98}[!-~À-ɏ])?$", description="One line of text.")]
ThingId = Annotated[
    str,
    Field(pattern=r"^[!-~À-ɏ]([ -~À-ɏ]{0,998}[!-~À-ɏ])?$", description="As the product calls it."),
]
Scope = Annotated[str, Field(pattern=r"^(read|write|[a-z][a-z0-9_]*\.(\*|[a-z][a-z0-9_]*))$")]
NAMED: Final = Field(json_schema_extra={"additionalProperties": False})
SETTING: Final = 16_384
"""Characters that a setting may have: some are a chain of certificates."""
Settings = Annotated[dict[Name, Annotated[str, Field(max_length=SETTING)]], Field(max_length=50), NAMED]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=100)]
Duration = Annotated[int, Field(ge=1, le=31_536_000, description="Seconds."), BeforeValidator(whole)]
Limit = Annotated[int, Field(ge=1, le=100)]
Cursor = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]{1,600}$", description="`next_cursor` of the page before.")
]
ItemT = TypeVar("ItemT")


class Page(Model, Generic[ItemT]):
    """A list or a part of one, in the shape of every list here; `next_cursor` is null on the last one."""

    model_config: ClassVar[ConfigDict] = ConfigDict(json_schema_serialization_defaults_required=True)
    result: list[ItemT]
    next_cursor: str | None = None
    prev_cursor: str | None = None
    is_partial_response: bool = False

    @computed_field  # type: ignore[prop-decorator]
    @property
    def result_count(self) -> int:
        """How many are in this part."""
        return len(self.result)


class Deleted(Model):
    """What was deleted."""

    id: str


class Listing(Query):
    """Which part of a list."""

    limit: Limit = 50
    next_cursor: Cursor | None = None


class OfTenant(Query):
    """Whose."""

    tenant_id: TenantId


class ListingOfTenant(Listing):
    """Which part of a tenant's list."""

    tenant_id: TenantId


class MaybeOfTenant(Query):
    """Whose, where the id alone is not enough."""

    tenant_id: TenantId | None = None


class Failure(Model):
    """What went wrong: our own shape, and Truto's keys beside it."""

    error: FailureDetails
    statusCode: int  # noqa: N815 - Truto's name
    code: str
    message: str
    request_id: str
    is_remote_error: bool
    truto_is_remote_error: bool
    retry_after: float | None = None
    """Seconds; of 429 always."""
    raw_response: Any = None
    """What the product answered."""
    insight: dict[str, Any] | None = None


class FailureDetails(Model):
    """What went wrong, for programs (`code`, docs/errors.md) and for people."""

    code: str
    message: str
    status: int
    retry_after: float | None
    request_id: str
    details: list[dict[str, Any]] | dict[str, Any] | None = None


Failure.model_rebuild()
