"""The two tokens of a run: one opens the model proxy, the other the run's MCP endpoint, and both die with it.

Codex gets these and no credential of anybody. They are minted each time that work on a run begins, on
whatever machine, and those from before are revoked: a sandbox that outlived its worker is locked out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from linkspan.accounts.opaque import Shown, mint, read
from linkspan.accounts.principal import Principal, Tenant
from linkspan.errors import Forbidden, QuotaExceeded, Unauthenticated
from linkspan.runs.about import person_of, recipe_of
from linkspan.runs.budgets import used_up
from linkspan.runs.lease import LostError
from linkspan.runs.runs import Runs
from linkspan.spec.recipe import RunsPolicy
from linkspan.store import runs as run_rows
from linkspan.store import tokens as rows
from linkspan.store import usage as usage_rows
from linkspan.store.database import Database
from linkspan.store.runs import Run
from linkspan.store.tokens import Token
from linkspan.telemetry import SILENT, Meters
from linkspan.vault.secret import Secret

MODEL: Final = "model.call"
"""The one scope of the token for the model proxy; no tool has it."""
_ACTIVE: Final = ("preparing", "running", "waiting_approval")


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token for the model proxy opens."""

    tenant: Tenant
    run: str
    account: str | None
    """The tenant's OpenAI account, if it had to be said."""
    model: str | None
    """The recipe's: no other is asked. None: whichever."""
    tokens_left: int | None
    """Of the run's budget and the tenant's; None without bounds."""
    prices: RunsPolicy | None = None
    """Where the price of every model that is asked must be: its run, or its tenant, has a budget of money."""

    def admit(self, model: str) -> None:
        """Raise `Forbidden` when this model may not be asked: it is not the recipe's, or has no price."""
        if self.model is not None and model != self.model:
            raise Forbidden(
                f"this run asks the model {self.model} and no other, not {model}",
                hint="It is the `model` of its recipe.",
            )
        if self.prices is not None and self.prices.price_of(model) is None:
            raise Forbidden(
                f"the model {model} has no price, and this run is bound by a budget of money",
                hint="The operator adds its price to `runs.prices` in tools.yaml, or bounds runs by tokens.",
            )


@dataclass(frozen=True, slots=True)
class Pair:
    """The tokens of one stay in the engine. Shown to it once, and stored nowhere."""

    model: Secret
    tools: Secret | None


class RunTokens:
    """Makes, checks and revokes the tokens of runs, and counts what they use."""

    def __init__(
        self,
        db: Database,
        runs: Runs,
        *,
        policy: Callable[[], RunsPolicy],
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        meters: Meters = SILENT.meters,
    ) -> None:
        self._meters = meters
        self._db = db
        self._runs = runs
        self._policy = policy
        self._clock = clock
        self._random = random

    async def issue(self, run: Run, *, expires: float) -> Pair:
        """Make the tokens of a run that is about to be worked, and revoke those it had.

        Raises `LostError` when somebody else took the run since.
        """
        scopes = recipe_of(run).tools
        made = [self._make(run, (MODEL,), expires)]
        if scopes:
            made.append(self._make(run, scopes, expires))
        await self._change(run, [token for token, _text in made])
        return Pair(made[0][1], made[1][1] if scopes else None)

    async def revoke(self, run: Run) -> None:
        """Revoke the tokens of a run: at once, in every process.

        Raises `LostError` when somebody else took the run since.
        """
        await self._change(run, [])

    async def authenticate(self, text: str, tenant: str) -> Principal:
        """Answer the run that shows this token to this tenant's MCP endpoint. Raises `Unauthenticated`."""
        token, run = await self._shown(text)
        if token.scopes == (MODEL,) or token.tenant != tenant:
            raise _unknown()
        entity = (run.entity, run.entity_id) if run.entity and run.entity_id else None
        return Principal(
            tenant=Tenant(tenant),
            kind="run",
            subject=run.id,
            scopes=token.scopes,
            token_id=token.id,
            person=person_of(run),
            only=entity,
        )

    async def grant(self, text: str) -> Grant:
        """Answer what a token opens at the model proxy. Raises `Unauthenticated` and `QuotaExceeded`."""
        token, run = await self._shown(text)
        if token.scopes != (MODEL,):
            raise _unknown()
        left = await self.left(run)
        if left is not None and left <= 0:
            raise QuotaExceeded(self._what_is_spent(run))
        recipe, policy = recipe_of(run), self._policy()
        counts = recipe.money is not None or policy.tenant_money is not None
        return Grant(Tenant(run.tenant), run.id, None, recipe.model, left, policy if counts else None)

    async def spent(
        self, tenant: Tenant, run: str, model: str, tokens: Mapping[str, int], *, asked: str = ""
    ) -> bool:
        """Count a call of the model, and answer whether the run may make another one.

        `asked` is the name it was called by, which has the price when the name that answered has none.
        """
        policy = self._policy()
        price = policy.price_of(model) or policy.price_of(asked)
        cost = None
        if price is not None:
            cost = price.of(
                tokens.get("input_tokens", 0),
                tokens.get("cached_input_tokens", 0),
                tokens.get("output_tokens", 0),
            )
        now = self._clock()
        kept = await usage_rows.spend(self._db, tenant, run, model=model, tokens=tokens, cost=cost, now=now)
        self._meters.tokens(tenant, model, tokens)
        if kept is None or kept.is_finished:
            return False
        left = await self.left(kept)
        return left is None or left > 0

    async def left(self, run: Run) -> int | None:
        """Answer the tokens that a run may still use: 0 also when its money is spent."""
        recipe = recipe_of(run)
        if recipe.money is not None and (run.cost or 0.0) >= recipe.money:
            return 0
        tokens, money = await self._runs.budget_left(Tenant(run.tenant))
        if money is not None and money <= 0:
            return 0
        own = None if recipe.tokens is None else recipe.tokens - run.total_tokens
        bounds = [bound for bound in (own, tokens) if bound is not None]
        return max(min(bounds), 0) if bounds else None

    def _what_is_spent(self, run: Run) -> str:
        """Answer whose budget it is, for people: Codex ends with it, so no model ever reads it."""
        recipe = recipe_of(run)
        if recipe.money is not None and (run.cost or 0.0) >= recipe.money:
            return f"the budget of money for this run ({recipe.money:g}) is spent"
        if recipe.tokens is not None and run.total_tokens >= recipe.tokens:
            return f"the budget of {recipe.tokens:,} tokens for this run is spent"
        return used_up(run.tenant, self._policy())

    async def seconds_left(self, run: Run) -> float | None:
        """Answer how long Codex may still work for the run's tenant; None: without bounds."""
        return await self._runs.seconds_left(Tenant(run.tenant))

    async def _change(self, run: Run, tokens: Sequence[Token]) -> None:
        now = self._clock()
        if not await rows.change_run(self._db, run.tenant, run.id, tokens, now, epoch=run.epoch):
            raise LostError

    def _make(self, run: Run, scopes: tuple[str, ...], expires: float) -> tuple[Token, Secret]:
        made = mint("run", self._random)
        token = Token(
            tenant=run.tenant,
            id=made.id,
            kind="run",
            hash=made.hash,
            principal_kind="run",
            subject=run.id,
            scopes=scopes,
            created=self._clock(),
            expires=expires,
        )
        return token, made.text

    async def _shown(self, text: str) -> tuple[Token, Run]:
        shown: Shown = read(text, "run")
        token = await rows.find_run(self._db, shown.id) if shown.id else None
        same = shown.is_of(token.hash if token else None)
        now = self._clock()
        if not same or token is None or token.revoked is not None or now >= (token.expires or now):
            raise _unknown()
        run = await run_rows.find(self._db, token.tenant, token.subject)
        if run is None or run.state not in _ACTIVE:
            raise _unknown()
        return token, run


def _unknown() -> Unauthenticated:
    return Unauthenticated("The bearer token is missing or not valid here", hint="It ends with its run.")
