"""View tokens: what a product's backend gives its own page, for one of its people and for minutes.

A page of the product shows one run with it, or has the button for one recipe on one thing. It looks, and does
exactly those of starting, steering, cancelling and deciding that it was made for; whoever makes it may do
that. It ends with what it was made with, and pages of other origins than it names get nothing. What somebody
else says to Codex about the thing (threads.py) is not opened by it, nor is a run at another account, where
the id means another thing (store/starts.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from linkspan.accounts.opaque import mint, read
from linkspan.accounts.principal import Principal, Tenant
from linkspan.accounts.redirects import page_origin
from linkspan.accounts.tenants import no_tenant
from linkspan.errors import Forbidden, InvalidArgument, NotFound, Unauthenticated
from linkspan.runs.about import approvers_of, is_talk_of, readers_of
from linkspan.runs.asked import check_input
from linkspan.runs.rights import may, person_for, person_says, reader_of
from linkspan.runs.runs import Runs, no_run
from linkspan.store import starts
from linkspan.store import view_tokens as rows
from linkspan.store.database import Database
from linkspan.store.runs import Run
from linkspan.store.view_tokens import ViewToken
from linkspan.vault.keys import Random
from linkspan.vault.secret import Secret

VERBS: Final = ("run.start", "run.steer", "run.cancel", "run.approve")
"""What a view token may be made for beside looking."""
LIFETIME: Final = 900.0
SHORTEST: Final = 60.0
LONGEST: Final = 3_600.0
_MOST_ORIGINS: Final = 20
_AT_ONCE: Final = 100
_MOST_LOOKS: Final = 5
"""For a run that a token opens, among the latest on its thing: others' turns are there in any number."""


@dataclass(frozen=True, slots=True)
class NewView:
    """A view token that was just made. `text` is shown once and stored nowhere."""

    text: Secret
    token: ViewToken


@dataclass(frozen=True, slots=True)
class View:
    """A view token that somebody showed."""

    token: ViewToken
    principal: Principal

    @property
    def person(self) -> str | None:
        """For whom it was made."""
        return self.token.person


class Views:
    """Makes view tokens, and says what each opens."""

    def __init__(self, db: Database, runs: Runs, *, clock: Callable[[], float], random: Random) -> None:
        self._db = db
        self._runs = runs
        self._clock = clock
        self._random = random

    async def create(
        self,
        principal: Principal,
        *,
        origins: Sequence[str],
        person: str | None = None,
        run: str | None = None,
        recipe: str | None = None,
        entity_id: str | None = None,
        account: str | None = None,
        verbs: Sequence[str] = (),
        lifetime: float = LIFETIME,
        minted_by: str | None = None,
    ) -> NewView:
        """Make one for a run, or for a recipe on one thing. `minted_by` is the key that it ends with.

        Raises `InvalidArgument` with every fault; `Forbidden` when the principal may not do itself what it is
        for, or is no backend's; `NotFound` for a run that it, or the person, may not look at.
        """
        _check_backend(principal)
        asked = tuple(dict.fromkeys(verbs))
        pages = _check(origins, run, recipe, asked, lifetime)
        who = person_for(principal, person)
        may(principal, "run.get", "read")
        for verb in asked:
            may(principal, verb)
        reader = reader_of(principal)
        vouched = who is not None and reader is None
        approvers: Sequence[str] = ()
        if run is not None:
            found = await self._runs.get(principal, run)
            hidden = found.private_to is not None and who not in readers_of(found)
            if hidden or not is_talk_of(found, principal.subject, who):
                raise no_run(run)
            approvers = approvers_of(found)
        else:
            of = await self._runs.recipe(principal.tenant, recipe or "")
            check_input(of.recipe, entity_id)
        if "run.approve" in asked:
            if who is None:
                raise InvalidArgument("say in `person` who would decide with it")
            person_says(principal, "run.approve", who)
            if approvers and who not in approvers:
                raise Forbidden(f"this is for {', '.join(approvers)} to decide")
        made, now = mint("view", self._random), self._clock()
        token = ViewToken(
            tenant=principal.tenant,
            id=made.id,
            hash=made.hash,
            minted_by=minted_by,
            subject=principal.subject,
            person=who,
            vouched=vouched,
            origins=pages,
            run=run,
            recipe=recipe,
            entity_id=entity_id,
            account=account,
            may=asked,
            created=now,
            expires=now + lifetime,
        )
        if not await rows.insert(self._db, token):
            raise no_tenant(principal.tenant)
        return NewView(made.text, token)

    async def revoke(self, principal: Principal, token: str) -> None:
        """End a view token by its ID. Raises `NotFound`."""
        _check_backend(principal)
        if not await rows.revoke(self._db, principal.tenant, token, now=self._clock()):
            raise NotFound(
                f"Tenant {principal.tenant} has no view token {token!r} that is still good",
                hint="Its ID is the third word of the token: lsk_view_ID_….",
            )

    async def find(self, tenant: Tenant, token: str) -> ViewToken | None:
        """Answer a good token by its ID, which opens nothing: which pages may show what it opens."""
        return await rows.find(self._db, tenant, token, now=self._clock())

    async def enter(self, tenant: Tenant, text: str, *, token: str, origin: str | None) -> View:
        """Answer what a token opens that was shown at its own address.

        `origin` is the page that uses it; None: one of ours, or no page. Raises `Unauthenticated`, always the
        same, and `Forbidden` to another page.
        """
        shown = read(text, "view")
        found = await self.find(tenant, shown.id) if shown.id and shown.id == token else None
        if not shown.is_of(found.hash if found else None) or found is None:
            raise Unauthenticated(
                "This view token is not good, or not any more",
                hint="The product's backend makes a new one.",
            )
        if origin is not None and origin not in found.origins:
            raise Forbidden(
                f"This view token is not for pages of {origin}",
                hint="Its allowed_origins say for which it is.",
            )
        principal = Principal(
            tenant,
            "service",
            found.subject,
            scopes=("run.get", "run.list", *found.may),
            token_id=found.id,
            person=found.person if found.vouched else None,
        )
        return View(found, principal)

    async def run(self, view: View, run: str) -> Run:
        """Answer a run that the token opens. Raises `NotFound` for every other."""
        found = await self._runs.get(view.principal, run)
        if not await self._opened(view.token, [found]):
            raise no_run(run)
        return found

    async def latest(self, view: View) -> Run | None:
        """Answer the run that the token is for: of several on its thing the one that was asked for last."""
        token = view.token
        if token.run is not None:
            return await self.run(view, token.run)
        before: tuple[float, str] | None = None
        for _look in range(_MOST_LOOKS):
            found = await self._runs.list(
                view.principal,
                recipe=token.recipe,
                entity_id=token.entity_id,
                before=before,
                limit=_AT_ONCE,
            )
            opened = await self._opened(token, found)
            if opened or len(found) < _AT_ONCE:
                return max(opened, key=lambda run: (run.created, run.id), default=None)
            before = (found[-1].updated, found[-1].id)
        return None

    async def _opened(self, token: ViewToken, runs: Sequence[Run]) -> Sequence[Run]:
        """Answer those of some runs that a token opens."""
        theirs = [run for run in runs if is_talk_of(run, token.subject, token.person)]
        if token.run is not None:
            return [run for run in theirs if run.id == token.run]
        meant = (token.recipe, token.entity_id)
        theirs = [run for run in theirs if (run.recipe, run.entity_id) == meant]
        there = {
            account
            for account in {run.account for run in theirs}
            if await starts.is_one_place(self._db, token.tenant, account, token.account)
        }
        return [run for run in theirs if run.account in there]

    async def start(self, view: View, key: str | None) -> Run:
        """Start the run that the token is for. Raises what `Runs.start` raises."""
        token = view.token
        if token.run is not None or token.recipe is None:
            raise Forbidden("this view token is for one run and starts none")
        return await self._runs.start(
            view.principal,
            token.recipe,
            source="button",
            entity_id=token.entity_id,
            account=token.account,
            key=key,
            person=token.person,
        )


def _check_backend(principal: Principal) -> None:
    if principal.kind not in ("service", "operator"):
        raise Forbidden(
            "view tokens are made by a product's backend, with a token of a service",
            hint=f"linkspan token create --tenant {principal.tenant} --kind service --subject NAME",
        )


def _check(
    origins: Sequence[str], run: str | None, recipe: str | None, verbs: Sequence[str], lifetime: float
) -> tuple[str, ...]:
    faults = []
    if (run is None) == (recipe is None):
        faults.append({"path": "run_id", "message": "exactly one of the two: a run, or a recipe"})
    if run is not None and "run.start" in verbs:
        faults.append({"path": "may", "message": "run.start: who looks at one run starts none"})
    faults += [
        {"path": "may", "message": f"no {verb!r}; there is {', '.join(VERBS)}"}
        for verb in verbs
        if verb not in VERBS
    ]
    if not origins or len(origins) > _MOST_ORIGINS:
        faults.append({"path": "allowed_origins", "message": f"1 to {_MOST_ORIGINS}: whose pages use it"})
    pages = []
    for origin in origins:
        page = page_origin(origin)
        if page is None:
            message = f"{origin[:80]!r} must be https://HOST, or http:// on loopback"
            faults.append({"path": "allowed_origins", "message": message})
        else:
            pages.append(page)
    if not SHORTEST <= lifetime <= LONGEST:
        faults.append({"path": "expires_in", "message": "from a minute to an hour"})
    if faults:
        told = "; ".join(f"{fault['path']}: {fault['message']}" for fault in faults)
        raise InvalidArgument(f"No view token can be made like this: {told}", details=faults)
    return tuple(dict.fromkeys(pages))
