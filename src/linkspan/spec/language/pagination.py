"""The words of `pagination`: how a product's lists go on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from linkspan.spec.language.words import Expression, Words


class Slot(Words):
    """Where something is sent: a query parameter or a member of the body."""

    query: str | None = None
    body: str | None = None


class Size(Slot):
    """Where the wished page size is sent."""

    max: int | None = Field(None, ge=1, description="The largest page the product gives.")
    default: int | None = Field(None, ge=1, description="The size asked for when the caller names none.")


class CursorPaging(Words):
    """Each answer holds a cursor for the next page."""

    style: Literal["cursor"]
    send: Slot
    read: Expression = Field(description="The next cursor, rooted at the body; empty ends.")
    more: Expression | None = Field(None, description="Whether there is more, rooted at the body.")
    size: Size | None = None


class NextUrlPaging(Words):
    """Each answer holds the next page's URL."""

    style: Literal["next_url"]
    read: Expression = Field(description="The next URL, rooted at the body; empty ends.")
    size: Size | None = None


class LinkPaging(Words):
    """A Link header with rel=next (RFC 8288)."""

    style: Literal["link"]
    more: str | None = Field(None, description='A link parameter that must be "true" to go on.')
    size: Size | None = None


class PagePaging(Words):
    """Pages with numbers."""

    style: Literal["page"]
    send: Slot
    size: Size | None = None
    first: int = Field(1, ge=0)
    total: Expression | None = Field(None, description="How many items there are, rooted at the body.")
    pages: Expression | None = Field(None, description="How many pages there are, rooted at the body.")
    more: Expression | None = Field(None, description="Whether there is more, rooted at the body.")


class OffsetPaging(Words):
    """Items are counted."""

    style: Literal["offset"]
    send: Slot
    size: Size | None = None
    first: int = Field(0, ge=0)
    total: Expression | None = Field(None, description="How many items there are, rooted at the body.")
    more: Expression | None = Field(None, description="Whether there is more, rooted at the body.")


class RelayPaging(Words):
    """GraphQL's connections: `pageInfo` with `hasNextPage` and `endCursor`, sent back in variables."""

    style: Literal["relay"]
    at: Expression | None = Field(
        None, description="The connection in the body; if not said, what `items` begins with."
    )
    after: str = Field("after", description="The variable that takes the cursor.")
    first: str = Field("first", description="The variable that takes the page size.")
    max: int | None = Field(None, ge=1, description="The largest page the product gives.")
    default: int | None = Field(None, ge=1, description="The size asked for when the caller names none.")


class NoPaging(Words):
    """The whole list comes at once."""

    style: Literal["none"]


Pagination = Annotated[
    CursorPaging | NextUrlPaging | LinkPaging | PagePaging | OffsetPaging | RelayPaging | NoPaging,
    Field(discriminator="style"),
]
