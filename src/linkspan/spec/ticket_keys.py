"""Keys of tickets in texts: what looks like `ENG-12` and is one, rather than a standard or a version.

With the prefixes of a tracker's projects a key is one of theirs, in whatever case. Without, it is written in
capitals, or it begins a part of a branch's name (`ada/eng-12-mend`), and its prefix is none of the words that
numbers are put behind everywhere. In a branch that is more words than in capitals: `fix-3` is no key, `FIX-3`
may be one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

Prefixes = Literal["any"] | Sequence[str]

PREFIX: Final = re.compile("[A-Za-z][A-Za-z0-9_]{0,19}")
_NUMBER: Final = "[1-9][0-9]{0,7}"
_STANDARDS: Final = (
    "UTF|UCS|ISO|IEC|IEEE|ANSI|NIST|FIPS|RFC|BCP|ECMA|ES|PEP|JSR|JEP|ASCII|LATIN|KOI8|CP|WINDOWS"
    "|CVE|CWE|GHSA|CAPEC|SHA[0-9]?|MD|CRC|BLAKE[0-9]?|AES|DES|RSA|DSA|ECDSA|ED|HMAC|TLS|SSL|DTLS"
    "|HTTPS?|IPV?|TCP|UDP|USB|WCAG|HTML|CSS|MPEG|MP|BASE|ARM|AMD|GPT|COVID|UTC|GMT"
    "|Q[1-4]|H[12]|FY[0-9]*|JAN|FEB|MAR|APR|MAY|JUNE?|JULY?|AUG|SEPT?|OCT|NOV|DEC"
)
"""Standards, encodings, ciphers, weaknesses, and times: numbers are put behind them in any case."""
_HABITS: Final = (
    "version|ver|v|release|rel|rc|alpha|beta|milestone|sprint|phase|step|part|section|level|tier|top|week|day"
    "|issue|gh|pr|mr|pull|fix|hotfix|bugfix|bug|feat|feature|task|chore|patch|revert|merge|backport|run|test"
    "|python|py|node|java|jdk|jre|php|ruby|rust|swift|kotlin|golang|go|net|debian|ubuntu|fedora|alpine"
)
"""What parts of branches are called, and upgraded to."""
_CAPITALS: Final = rf"(?!(?:{_STANDARDS})-)[A-Z][A-Z0-9]{{1,9}}-{_NUMBER}"
_IN_A_BRANCH: Final = (
    rf"(?:^|(?<=/))(?!(?i:{_STANDARDS}|{_HABITS})-)[a-z][a-z0-9]{{1,9}}-{_NUMBER}(?=[-_/]|$)"
)


def pattern_of(prefixes: Prefixes, *, named: bool) -> re.Pattern[str]:
    """Answer what finds keys. `named` makes groups of what is found: `id` and `key`."""
    if prefixes == "any":
        written = f"{_CAPITALS}|{_IN_A_BRANCH}"
    else:
        written = f"(?i:{'|'.join(map(re.escape, prefixes))})-{_NUMBER}"
    found = f"(?P<id>(?P<key>{written}))" if named else f"(?:{written})"
    return re.compile(rf"(?<![A-Za-z0-9]){found}(?![A-Za-z0-9])")
