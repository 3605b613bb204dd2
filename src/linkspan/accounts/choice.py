"""Which of the linked accounts a principal means, and what it is told when that is not clear."""

from __future__ import annotations

from collections.abc import Sequence

from linkspan.accounts.principal import Principal
from linkspan.errors import LinkspanError, NotFound, NotLinked
from linkspan.spec.catalog import Connector
from linkspan.store.accounts import Account


def owner_of(principal: Principal) -> str | None:
    """Answer whose accounts, besides the shared ones, the principal may use: the person's who asks."""
    return principal.subject if principal.kind == "person" else principal.person


def choose(
    principal: Principal, connectors: Sequence[Connector], there: Sequence[Account], account: str | None
) -> Account:
    """Answer the account that is named, or the only one that can be meant.

    `there` holds the tenant's accounts at the connectors. Where a person has an account of its own, the
    shared ones of that connector are used only when named; those of other people never. Raises `NotLinked`
    when there is none, or several and none was named, and `NotFound` when the named one is not there. For a
    principal whose token is good for one account only, there is no other.
    """
    if principal.account is not None:
        there = [each for each in there if each.id == principal.account]
    owner = owner_of(principal)
    usable = [each for each in there if each.subject is None or each.subject == owner]
    own = {each.connector for each in usable if each.subject is not None}
    meant = [
        each
        for each in usable
        if (each.id == account if account is not None else (each.subject or each.connector not in own))
    ]
    if len(meant) == 1:
        return meant[0]
    raise _unclear(principal, connectors, usable if account is not None else meant, account)


def shown(account: Account) -> str:
    """Answer an account as messages name it: its id, and whose it is at the product."""
    return f"{account.id} ({account.identity_label})" if account.identity_label else account.id


def _unclear(
    principal: Principal, connectors: Sequence[Connector], there: Sequence[Account], account: str | None
) -> LinkspanError:
    titles = " or ".join(connector.title for connector in connectors)
    if not there:
        commands = " or ".join(
            f"linkspan account link {connector.name} --tenant {principal.tenant}" for connector in connectors
        )
        return NotLinked(f"Tenant {principal.tenant} has no account at {titles} yet", hint=f"Run: {commands}")
    known = ", ".join(shown(each) for each in there)
    details = [
        {"account": each.id, "connector": each.connector, "label": each.identity_label} for each in there
    ]
    if account is not None:
        return NotFound(
            f"There is no account {account!r} at {titles}",
            hint=f"Use one of these in `account`: {known}.",
            details=details,
        )
    return NotLinked(
        f"There are {len(there)} accounts at {titles}, and none was named",
        hint=f"Name one in `account`: {known}.",
        details=details,
    )
