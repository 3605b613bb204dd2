"""Who looks at a run, and what they may do with it."""

from __future__ import annotations

from dataclasses import dataclass

from linkspan.accounts.principal import Principal
from linkspan.errors import Forbidden, InvalidArgument
from linkspan.runs.about import approvers_of, waits_to_publish
from linkspan.runs.rights import may, person_says
from linkspan.store.runs import Run


@dataclass(frozen=True, slots=True)
class Viewer:
    """Somebody who looks."""

    principal: Principal
    name: str
    """What the page calls them."""
    person: str | None = None
    """For whom it is done, where a product's page acts for somebody."""
    session: str = ""
    """Of their browser; empty where a token is shown instead, which no foreign form can be made to."""
    seal: str = ""
    """What ties a form to this browser."""
    places: tuple[tuple[str, str], ...] = ()
    """Addresses and names of the pages around those of runs, where there are some."""

    def may(self, right: str) -> bool:
        """Tell whether they may do this at all."""
        try:
            may(self.principal, right)
        except Forbidden:
            return False
        return True

    def why_not_decide(self, run: Run) -> str | None:
        """Answer why they may not decide what the run asks; None when they may."""
        try:
            person_says(self.principal, "run.approve", self.person, approvers_of(run))
        except (Forbidden, InvalidArgument) as error:
            return error.message
        return None


def hears(run: Run) -> bool:
    """Tell whether somebody's words to Codex would be heard."""
    return not (run.is_finished or run.state == "publishing" or waits_to_publish(run))
