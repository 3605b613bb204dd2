"""Answers without secrets and without anybody's personal data, so that they can be kept beside a tools.yaml.

The same value becomes the same pseudonym everywhere in one recording, so that what belongs together still
does. A net with known meshes, not a proof: whoever keeps a recording reads it first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

_SECRET: Final = re.compile(
    r"(?i)(pass(word|wd|phrase|code)|secret|token|api.?key|credential|authorization|cookie|signature"
    r"|private.?key|session.?(id|key)|csrf|dsn\Z)"
)
_PERSON: Final = re.compile(
    r"(?i)\A(author|user|users|assignees?|creator|reporter|owner|members?|people|person|actor|sender|customer"
    r"|contact|requester|commenter|participants?|watchers?|(created|updated|closed|assigned|resolved)_?by"
    r"|assigned_?to)\Z"
)
_NAMES: Final = re.compile(
    r"(?i)\A((first|last|full|real|display|given|family|user|nick|middle)_?name|login|username|surname|handle)\Z"
)
_PRIVATE: Final = re.compile(r"(?i)(street|postal|postcode|zip_?code|birth|iban|tax_?id|ssn)")
_PHONES: Final = re.compile(r"(?i)(phone|mobile|fax|\Atel\Z)")
_IDENTIFIES: Final = ("email", "mail", "login", "username", "avatar_url", "avatar", "emailAddress")
_EMAIL: Final = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5}")
_IPV4: Final = re.compile(
    r"(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])"
)
_IPV6: Final = re.compile(
    r"(?i)(?<![\w:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\w:])|(?<![\w:])(?:[0-9a-f]{1,4}:){1,6}:[0-9a-f]{1,4}(?![\w:])"
)
_PHONE: Final = re.compile(r"(?<![\w+])\+\d[\d ()./-]{6,18}\d(?!\w)")
_TOKEN: Final = re.compile(
    r"\b(?:eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|sk-[\w-]{16,}"
    r"|xox[abeoprs]-[\w-]{10,}|AKIA[0-9A-Z]{12,}|lsk_\w{8,}"
    r"|(?=[\w-]{0,200}[a-z])(?=[\w-]{0,200}[A-Z])(?=[\w-]{0,200}\d)[A-Za-z0-9_-]{30,512})\b"
)
_USERINFO: Final = re.compile(r"://[^\s/:@]{1,100}:[^\s/@]{1,200}@")


class Masker:
    """Masks what it is shown; `learn` everything first, so that names are found in texts as well."""

    def __init__(self, replaced: Mapping[str, str] | None = None) -> None:
        """`replaced` are texts that stand for something else everywhere, such as a server's address."""
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._fixed = dict(replaced or {})
        self._search: re.Pattern[str] | None = None

    def learn(self, value: Any, parent: str = "") -> None:
        """Find who is named in an answer."""
        if isinstance(value, dict):
            is_person = bool(_PERSON.match(parent)) or any(key in value for key in _IDENTIFIES)
            for key, part in value.items():
                named = isinstance(part, str) and len(part) > 1 and "@" not in part
                if named and (_NAMES.match(key) or (is_person and key == "name") or _PERSON.match(key)):
                    if not re.fullmatch(r"[\d-]+|[0-9a-f-]{32,36}|https?://.*", part):
                        self._name(part, is_login=" " not in part)
                else:
                    self.learn(part, key)
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, str) and _PERSON.match(parent) and "@" not in part and len(part) > 1:
                    self._name(part, is_login=" " not in part)
                else:
                    self.learn(part, parent)

    def _name(self, name: str, *, is_login: bool) -> None:
        if name not in self._names:
            self._names[name] = self._pseudonym("name", name, "person-{}" if is_login else "Person {}")
            self._search = None

    def mask(self, value: Any, key: str = "") -> Any:
        """Answer the value without what is nobody's business."""
        if isinstance(value, dict):
            return {self.text(str(name)): self.mask(part, str(name)) for name, part in value.items()}
        if isinstance(value, list):
            return [self.mask(part, key) for part in value]
        if isinstance(value, bool) or value is None:
            return value
        if _SECRET.search(key) and isinstance(value, str) and value and not _is_word(value):
            return self._pseudonym("secret", value, "masked-secret-{}")
        if _PRIVATE.search(key):
            return self._pseudonym("private", str(value), "masked-{}")
        if _PHONES.search(key) and re.search(r"\d{3}", str(value)):
            return self._phone(str(value))
        return self.text(value) if isinstance(value, str) else value

    def text(self, text: str) -> str:
        """Answer a text with pseudonyms."""
        for old, new in self._fixed.items():
            text = text.replace(old, new)
        if text in self._names:
            return self._names[text]
        text = _USERINFO.sub("://masked:masked@", text)
        text = _EMAIL.sub(lambda found: self._email(found[0]), text)
        text = _TOKEN.sub(lambda found: self._token(found[0]), text)
        text = _IPV6.sub(lambda found: self._pseudonym("ipv6", found[0], "2001:db8::{}"), text)
        text = _IPV4.sub(lambda found: self._ipv4(found[0]), text)
        text = _PHONE.sub(lambda found: self._phone(found[0]), text)
        if self._names and self._search is None:
            words = sorted((name for name in self._names if len(name) > 3), key=len, reverse=True)
            self._search = (
                re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)") if words else None
            )
        return self._search.sub(lambda found: self._names[found[0]], text) if self._search else text

    def request(self, path: str) -> str:
        """Answer path and query of a request, part by part."""
        where, _, query = path.partition("?")
        parts = [quote(self.text(unquote(part)), safe="@:,;=+$&!~*'()") for part in where.split("/")]
        pairs = [
            (name, str(self.mask(value, name))) for name, value in parse_qsl(query, keep_blank_values=True)
        ]
        return "/".join(parts) + (f"?{urlencode(pairs)}" if pairs else "")

    def _pseudonym(self, kind: str, value: str, form: str) -> str:
        known = self._known.get((kind, value))
        if known is None:
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            known = self._known[kind, value] = form.format(number)
        return known

    def _email(self, found: str) -> str:
        if re.search(r"@(?:[\w-]+\.)*example(?:\.(?:com|org|net))?\Z", found):
            return found
        return self._pseudonym("email", found.lower(), "person{}@example.com")

    def _token(self, found: str) -> str:
        return found if found.startswith("masked-") else self._pseudonym("token", found, "masked-token-{}")

    def _ipv4(self, found: str) -> str:
        if found.startswith(("192.0.2.", "127.0.0.")):
            return found
        number = self._pseudonym("ipv4", found, "{}")
        return f"192.0.2.{int(number) % 255}"

    def _phone(self, found: str) -> str:
        return self._pseudonym("phone", found, "+1 555 01{:02}")


def _is_word(value: str) -> bool:
    """Tell what names a kind of credential from a credential: `password_hint: none`, `token_type: bearer`."""
    return len(value) < 7 and value.isalpha() and value.islower()
