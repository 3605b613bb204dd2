"""What a run needs of a forge: where a repository is, and what is published there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from linkspan.accounts.principal import Tenant
from linkspan.codex.places import Change, Checkout, GitAccess, Repository
from linkspan.runs.subject import Subject


@dataclass(frozen=True, slots=True)
class Publication:
    """A change that a person let out, or that needed nobody's word."""

    tenant: Tenant
    run: str
    checkout: Checkout
    access: GitAccess | None
    change: Change
    title: str
    body: str = field(repr=False)
    """Markdown, filtered: it may hold what a model wrote."""
    draft: bool
    owner: str | None
    """Whose own accounts publishing may use, besides those that the tenant shares."""
    person: str | None
    """Who asked for it."""
    subject: Subject | None = None
    """What a review is of, where the run was started on it."""
    branch: str | None = None
    """Another run's, where it goes on with that one's pull request."""
    may_approve: bool = False
    """Whether a review may approve."""


class Forge(Protocol):
    """Reads repositories and publishes to them, through the forge account that the tenant linked."""

    async def locate(
        self, tenant: Tenant, repository: str, *, run: str, person: str | None
    ) -> tuple[Repository, GitAccess | None]:
        """Answer where a repository is, and what opens it for git.

        Raises `NotFound`, `NotLinked`, `NeedsReauth`, `Forbidden` and what else a call of the gateway raises.
        """
        ...

    async def open_pull_request(self, publication: Publication) -> Mapping[str, Any]:
        """Answer the one pull request of the run's branch, which was pushed: number, url, state.

        Called again it answers the one that is there.
        """
        ...

    async def review(self, publication: Publication, output: Any) -> Mapping[str, Any]:
        """Answer the one review that the run wrote: url; empty when there was nothing new to say."""
        ...
