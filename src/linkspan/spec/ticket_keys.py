"""Keys of tickets in texts: what looks like `ENG-12` and is one, rather than a standard or a version.

With the prefixes of a tracker's projects a key is one of theirs, in whatever case. Without, it is written in
capitals, or it begins a part of a branch's name (`ada/eng-12-mend`), and its prefix is none of the words that
numbers are put behind everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

Prefixes = Literal["any"] | Sequence[str]

PREFIX: Final = re.compile("[A-Za-z][A-Za-z0-9_]{0,19}")
_NUMBER: Final = "[1-9][0-9]{0,7}"
_CAPITALS: Final = rf"[A-Z][A-Z0-9]{{1,9}}-{_NUMBER}"
_IN_A_BRANCH: Final = rf"(?:^|(?<=/))[a-z][a-z0-9]{{1,9}}-{_NUMBER}(?=[-_/]|$)"
_NO_PREFIX: Final = re.compile(
    r"UTF|UCS|ISO|IEC|IEEE|ANSI|DIN|EN|NIST|FIPS|RFC|BCP|ECMA|ES|PEP|JSR|JEP|TC|ASCII|LATIN|CP|KOI8|WINDOWS|WIN"
    r"|CVE|CWE|GHSA|CAPEC|OWASP|SHA[0-9]?|MD|CRC|BLAKE[0-9]?|AES|DES|RSA|DSA|ECDSA|ED|HMAC|TLS|SSL|DTLS|SSH"
    r"|HTTPS?|IPV?|TCP|UDP|USB|WCAG|HTML|CSS|MPEG|MP|BASE|ARM|AMD|INTEL|GPT|CLAUDE|GEMINI|LLAMA|COVID|UTC|GMT"
    r"|VERSION|VER|RELEASE|REL|RC|ALPHA|BETA|MILESTONE|SPRINT|PHASE|STEP|PART|CHAPTER|SECTION|LEVEL|TIER|TOP"
    r"|WEEK|DAY|Q[1-4]|H[12]|FY[0-9]*|JAN|FEB|MAR|APR|MAY|JUNE?|JULY?|AUG|SEPT?|OCT|NOV|DEC"
    r"|ISSUE|GH|PR|MR|PULL|FIX|HOTFIX|BUGFIX|FEAT|FEATURE|CHORE|PATCH|REVERT|MERGE|BACKPORT|RUN"
    r"|PYTHON|PY|NODE|JAVA|JDK|JRE|PHP|RUBY|RUST|SWIFT|KOTLIN|GOLANG|GO|NET|DEBIAN|UBUNTU|FEDORA|ALPINE"
)
"""Standards, ciphers, encodings, times, versions, and what branches are called by habit."""


def pattern_of(prefixes: Prefixes, *, named: bool) -> re.Pattern[str]:
    """Answer what finds keys. `named` makes groups of what is found: `id` and `key`."""
    if prefixes == "any":
        written = f"{_CAPITALS}|{_IN_A_BRANCH}"
    else:
        written = f"(?i:{'|'.join(map(re.escape, prefixes))})-{_NUMBER}"
    found = f"(?P<id>(?P<key>{written}))" if named else f"(?:{written})"
    return re.compile(rf"(?<![A-Za-z0-9]){found}(?![A-Za-z0-9])")


def is_key(prefixes: Prefixes, text: str) -> bool:
    """Tell whether what was found, in capitals, is taken for a key."""
    return prefixes != "any" or _NO_PREFIX.fullmatch(text.rpartition("-")[0]) is None
