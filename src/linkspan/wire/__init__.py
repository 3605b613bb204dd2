"""One request of a compiled plan: build it, put the credential in, send it, understand the answer.

`build` makes the request without a credential (a dry run shows that), `send` adds the credential at the last
moment and only for an origin that the account was linked to, and turns what comes back into an `Answer` or an
error of the one tree. Arguments fill placeholders and references and nothing else: host, path and the other
parameters of the request are checked once more after everything was put together.
"""

from linkspan.wire.credentials import MASK, method_of, show
from linkspan.wire.passing import Passing, failure_of, pass_on, passing_of
from linkspan.wire.requests import Outgoing, Position, base_of, base_url, build, ca_of, scope_of
from linkspan.wire.sending import Answer, limit_in, send

__all__ = [
    "MASK",
    "Answer",
    "Outgoing",
    "Passing",
    "Position",
    "base_of",
    "base_url",
    "build",
    "ca_of",
    "failure_of",
    "limit_in",
    "method_of",
    "pass_on",
    "passing_of",
    "scope_of",
    "send",
    "show",
]
