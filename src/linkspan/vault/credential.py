"""An opened credential: secrets, and the only places they may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from linkspan.vault.secret import Secret


@dataclass(frozen=True, slots=True)
class Credential:
    """An opened account. Lives only as long as the calls that need it."""

    account: str
    connector: str
    method: str
    """The type of the `AuthMethod` it was linked with."""
    secrets: Mapping[str, Secret] = field(repr=False)
    """By the names in `AuthMethod.fields`."""
    settings: Mapping[str, str]
    origins: tuple[str, ...]
    """`scheme://host:port`, the port always written; nothing is sent anywhere else."""
    subject: str | None = None
    """Whose own account it is; None for one that the tenant shares."""
    sandbox: bool = False
    """It only reads."""
    person: str | None = None
    """Of the operator's own key: the person that the product is told it is used for."""

    @property
    def whose(self) -> str:
        """What is done with it is another's where this differs: its account, and that person."""
        return self.account if self.person is None else f"{self.account}\0{self.person}"
