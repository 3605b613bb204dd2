"""Who may do what with runs.

- A run's own tokens do nothing here: Codex neither starts, steers nor approves.
- Starting, steering and cancelling need the scope `run.start`, `run.steer` or `run.cancel` (or `write`), of a
  person, a service or the operator. A service, such as the product's own backend, may say for which person it
  asks; that is its claim, and kept as such. It gets no account of that person by it.
- What costs money or lets work out of the house needs a person: approving, and turning a recipe on. A
  person's token must be its own, not one that a program got by signing in; the operator may always. A service
  may pass a person's decision on only with the very scope `run.approve` or `recipe.enable`, which `write`
  does not imply, and names the person: whoever makes such a token vouches that a person clicks there.
- Where the tenant has named approvers, it is one of them.
- A view token (views.py) is a service's that says for which person: as that person it looks, if whoever made
  it could have looked for them, and it does what it was made for.
- A run that may read with a person's own accounts is private to that person: it is shown to them, to the
  named approvers, to the operator, and to a service that passes people's decisions on (the very scope
  `run.approve`). For everybody else it is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from linkspan.accounts.principal import Principal
from linkspan.errors import Forbidden, InvalidArgument
from linkspan.runs.about import readers_of
from linkspan.spec.catalog import Kind, scopes_allow
from linkspan.store.runs import Run

_LONGEST_NAME: Final = 100


def may(principal: Principal, right: str, kind: Kind = "write") -> None:
    """Raise `Forbidden` unless the principal may do this, such as `run.start`."""
    if principal.kind == "run":
        raise Forbidden("a run may not do this: it is for people and the programs that they use")
    if principal.kind != "operator" and not scopes_allow(principal.scopes, right, kind):
        raise Forbidden(
            f"this token may not do this: it lacks the scope {right}",
            hint="Ask for a token with it: linkspan token create"
            f" --tenant {principal.tenant} --scope {right}",
        )


def reader_of(principal: Principal) -> str | None:
    """Answer as whom the principal looks at runs: a person, nobody (empty), or None: it may look at all."""
    if principal.kind == "person":
        return principal.subject
    if principal.kind == "service" and principal.person is not None:
        return principal.person
    passes_on = bool(_very("run.approve") & set(principal.scopes))
    return None if principal.kind == "operator" or (principal.kind == "service" and passes_on) else ""


def may_look(principal: Principal, run: Run) -> bool:
    """Tell whether the principal may look at a run."""
    reader = reader_of(principal)
    return run.private_to is None or reader is None or reader in readers_of(run)


def person_for(principal: Principal, person: str | None) -> str | None:
    """Answer for whom the principal asks. Raises `Forbidden` and `InvalidArgument`."""
    if principal.kind == "person":
        if person is not None and person != principal.subject:
            raise Forbidden(f"this token is {principal.subject}'s and cannot ask for {person}")
        return principal.subject
    if person is not None and (not person.strip() or not person.isprintable() or len(person) > _LONGEST_NAME):
        raise InvalidArgument(f"the person must be a name of at most {_LONGEST_NAME} characters")
    return person


def person_says(
    principal: Principal, right: str, person: str | None, among: Sequence[str] = ()
) -> str | None:
    """Answer which person says so (None: the operator). Raises `Forbidden` when nobody does."""
    may(principal, right)
    who = person_for(principal, person)
    if principal.kind == "person" and principal.audience is not None:
        raise Forbidden(
            "a program that somebody signed in to may not decide for them",
            hint="Decide in the product, in the console, or with: linkspan run approve",
        )
    if principal.kind == "service":
        if not _very(right) & set(principal.scopes):
            raise Forbidden(
                f"this needs a person, and a service's token passes one's word on only with the scope {right}"
            )
        if who is None:
            raise InvalidArgument("say which person decided, in `person`")
    if among and principal.kind != "operator" and who not in among:
        raise Forbidden(f"this is for {', '.join(among)} to decide")
    return who


def _very(right: str) -> set[str]:
    """Answer the scopes that name a right itself: `write` is none of them."""
    return {right, f"{right.partition('.')[0]}.*"}


def asked_by(principal: Principal, person: str | None) -> str:
    """Answer who did something, as it is kept: `person:bo`, or `service:desk for bo`."""
    told = f"{principal.kind}:{principal.subject}"
    return f"{told} for {person}" if principal.kind != "person" and person else told
