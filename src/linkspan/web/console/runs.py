"""Runs of all tenants; each has its own page, the one that the tenant's people see."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from linkspan.accounts.principal import Tenant
from linkspan.errors import Forbidden
from linkspan.store import overview as rows
from linkspan.store.runs import STATES as ALL_STATES
from linkspan.store.runs import Run
from linkspan.web.console.door import PATH, Parts, Visit, places_of, visit_of
from linkspan.web.console.shape import Cell, Field, Form, Table, Tone, Value, moment, onward
from linkspan.web.oauth.login import see_other
from linkspan.web.oauth.place import Place
from linkspan.web.watch.entries import STATES
from linkspan.web.watch.pages import Ground, place_of
from linkspan.web.watch.viewer import Viewer

RUN_COLUMNS = ("About", "Tenant", "Recipe", "State", "Asked by", "Changed")
_LISTED = 50


def run_row(run: Run) -> list[Value]:
    """Answer a run as a row."""
    word, tone = STATES[run.state]
    title = " ".join(f"{run.entity_id or ''} {run.entity_title or ''}".split()) or run.recipe
    shown: Tone = tone  # type: ignore[assignment]  # the words of both are the same
    return [
        Cell(title, f"{PATH}/tenants/{run.tenant}/runs/{run.id}"),
        Cell(run.tenant, f"{PATH}/tenants/{run.tenant}"),
        run.recipe,
        Cell(word, tone=shown),
        run.person or run.asker,
        moment(run.updated),
    ]


async def listed(visit: Visit) -> Response:
    """Answer runs, the one that changed last first."""
    state, wanted = visit.asked("state"), visit.asked("tenant")
    tenant = visit.admin.only or wanted or None
    if tenant is not None and wanted:
        tenant = await visit.tenant(wanted)
    found = await rows.runs(
        visit.parts.database,
        tenant=tenant,
        states=(state,) if state in ALL_STATES else (),
        before=place_of(visit.asked("before")),
        private=visit.admin.may("operator"),
        limit=_LISTED + 1,
    )
    shown = found[:_LISTED]
    more = None
    if len(found) > len(shown):
        place = f"{shown[-1].updated!r}:{shown[-1].id}"
        more = onward(f"{PATH}/runs", {"state": state, "tenant": wanted, "before": place})
    options = [("", "any"), *((name, word) for name, (word, _tone) in STATES.items())]
    fields = [Field("state", "State", state, "select", options)]
    if visit.admin.only is None:
        fields.append(Field("tenant", "Tenant", wanted))
    return visit.show(
        "Runs",
        [
            Form("Which", f"{PATH}/runs", fields, "Show", method="get"),
            Table(
                "Found", RUN_COLUMNS, [run_row(run) for run in shown], "There are none like that.", more=more
            ),
        ],
    )


class ConsoleGate:
    """The door of operators to the pages of runs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def viewer(self, request: Request, place: Place) -> Viewer | None:
        """Answer the operator whose browser this is, where they see the tenant."""
        visit = await visit_of(self._parts, request)
        if visit is None or not visit.admin.sees(place.tenant):
            return None
        principal = visit.principal(await visit.tenant(place.tenant))
        places = tuple(places_of(visit.admin))
        return Viewer(principal, visit.admin.subject, session=visit.session, seal=visit.seal, places=places)

    def check(self, request: Request, place: Place, viewer: Viewer, seal: str | None) -> None:  # noqa: ARG002
        """Let only forms through that this browser was given."""
        if seal is None or seal != viewer.seal:
            raise Forbidden("This page is too old to be answered", hint="Load it again.")

    def ground(self, request: Request, place: Place) -> Ground:  # noqa: ARG002
        """Answer the console's pages."""
        here = f"{PATH}/tenants/{place.tenant}"
        return Ground(Tenant(place.tenant), f"{here}/runs", PATH, entities=f"{here}/entities")

    def sign_in(self, request: Request, place: Place) -> Response:  # noqa: ARG002
        """Send them to the console's page to sign in at."""
        return see_other(f"{PATH}/sign-in")

    def keep(self, request: Request, place: Place, answer: Response) -> Response:  # noqa: ARG002
        """Let the browser keep nothing: it had to have everything before."""
        return answer
