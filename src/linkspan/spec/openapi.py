"""An OpenAPI description to a readable tools.yaml: picked, named, and marked where it was guessed.

Pure. What a description says is data: references are resolved inside the document alone, texts are cut to a
line and can neither name a variable nor a reference, and what would not pass `check` is left out and told.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from linkspan.errors import ConfigurationError

MAX_BYTES: Final = 32 * 2**20
_MAX_DEPTH: Final = 60
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_VERSION: Final = re.compile(r"(?i)(api|rest|v?[0-9]+([._-][0-9]+)*)\Z")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Described:
    """One operation of a description, with what is inherited and referred to put in."""

    method: str
    path: str
    id: str
    summary: str
    parameters: tuple[Mapping[str, Any], ...]
    body: Mapping[str, Any]
    encoding: str
    answer: Mapping[str, Any]

    @property
    def line(self) -> str:
        """Method and path."""
        return f"{self.method.upper()} {self.path}"

    @property
    def segments(self) -> list[str]:
        """The path's words after its version."""
        return [part for part in self.path.split("/") if part and not _VERSION.match(part)]


@dataclass(slots=True)
class Description:
    """A read description."""

    document: Mapping[str, Any]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    """Operations and why they were left out."""

    def resolve(self, node: Any, depth: int = 0) -> Mapping[str, Any]:
        """Follow references inside the document; one that leads out of it, or in a circle, is nothing."""
        while isinstance(node, Mapping) and isinstance(node.get("$ref"), str):
            depth += 1
            reference = node["$ref"]
            if depth > 20 or not reference.startswith("#/"):
                return {}
            found: Any = self.document
            for word in reference[2:].split("/"):
                key = word.replace("~1", "/").replace("~0", "~")
                found = found.get(key) if isinstance(found, Mapping) else None
            node = found
        return node if isinstance(node, Mapping) else {}

    def schema(self, node: Any, depth: int = 0) -> dict[str, Any]:
        """Answer a schema with `allOf` put together and the first of several forms chosen."""
        found: dict[str, Any] = dict(self.resolve(node))
        if depth > 8:
            return found
        properties: dict[str, Any] = {}
        required: list[Any] = []
        parts = found.get("allOf")
        for part in parts[:20] if isinstance(parts, list) else []:
            inner = self.schema(part, depth + 1)
            properties |= mapping(inner.get("properties"))
            required += inner["required"] if isinstance(inner.get("required"), list) else []
            for key in ("type", "items", "enum", "format", "description"):
                if key in inner:
                    found.setdefault(key, inner[key])
        for word in ("oneOf", "anyOf"):
            forms = found.get(word)
            good = [
                each
                for each in (
                    self.schema(one, depth + 1) for one in (forms[:10] if isinstance(forms, list) else [])
                )
                if each and each.get("type") != "null"
            ]
            if good and "type" not in found and "properties" not in found:
                found = {**good[0], **{key: value for key, value in found.items() if key == "description"}}
        if properties:
            found["properties"] = {**properties, **mapping(found.get("properties"))}
        own = found["required"] if isinstance(found.get("required"), list) else []
        if required or own:
            found["required"] = [*required, *own]
        return found

    def operations(self) -> Iterator[Described]:
        """Yield every operation, whatever else the document holds."""
        for path, item in ((str(key), value) for key, value in mapping(self.document.get("paths")).items()):
            shared = self.resolve(item)
            for method in _METHODS:
                one = shared.get(method)
                if not isinstance(one, Mapping) or not path.startswith("/"):
                    continue
                if one.get("deprecated") is True:
                    self.left_out.append((f"{method.upper()} {path}", "deprecated"))
                    continue
                parameters = {}
                for given in (*_list(shared.get("parameters")), *_list(one.get("parameters"))):
                    parameter = self.resolve(given)
                    if isinstance(parameter.get("name"), str):
                        parameters[parameter["name"], parameter.get("in")] = parameter
                body, encoding = self._body(one, list(parameters.values()))
                yield Described(
                    method,
                    path,
                    str(one.get("operationId") or ""),
                    str(one.get("summary") or one.get("description") or ""),
                    tuple(parameters.values()),
                    body,
                    encoding,
                    self._answer(one),
                )

    def _body(
        self, one: Mapping[str, Any], parameters: list[Mapping[str, Any]]
    ) -> tuple[dict[str, Any], str]:
        content = mapping(self.resolve(one.get("requestBody")).get("content"))
        for media, said in content.items():
            if "json" in str(media):
                return self.schema(mapping(said).get("schema")), "json"
        for media, said in content.items():
            if media == "application/x-www-form-urlencoded":
                return self.schema(mapping(said).get("schema")), "form"
        if content:
            return {}, "other"
        old = next((each for each in parameters if each.get("in") == "body"), None)
        return (self.schema(old.get("schema")), "json") if old else ({}, "")

    def _answer(self, one: Mapping[str, Any]) -> dict[str, Any]:
        responses = mapping(one.get("responses"))
        for status in ("200", "201", "202", "default"):
            response = self.resolve(responses.get(status))
            content = mapping(response.get("content"))
            for media, said in content.items():
                if "json" in str(media) or media == "*/*":
                    return self.schema(mapping(said).get("schema"))
            if "schema" in response:
                return self.schema(response["schema"])
        return {}

    @property
    def base_url(self) -> str:
        """The first server's address, if it is one."""
        for server in _list(self.document.get("servers")):
            url = mapping(server).get("url")
            if isinstance(url, str):
                for name, said in mapping(mapping(server).get("variables")).items():
                    url = url.replace(f"{{{name}}}", str(mapping(said).get("default", "")))
                if re.match(r"https?://[^\s/@?#{}]+(/[^\s?#{}]*)?\Z", url):
                    return url.rstrip("/")
        host, base = self.document.get("host"), self.document.get("basePath") or ""
        if isinstance(host, str) and re.match(r"[A-Za-z0-9.:-]+\Z", host):
            return f"https://{host}{base if isinstance(base, str) else ''}".rstrip("/")
        return ""

    @property
    def base_path(self) -> str:
        """What stands before every path where the description names no server, only a place on it."""
        for server in _list(self.document.get("servers")):
            url = mapping(server).get("url")
            if isinstance(url, str) and re.match(r"(/[A-Za-z0-9._~-]+)+/?\Z", url):
                return url.rstrip("/")
        return ""

    @property
    def title(self) -> str:
        """What the API calls itself."""
        return str(mapping(self.document.get("info")).get("title") or "API")

    @property
    def credential(self) -> dict[str, Any]:
        """The first way to prove who we are that an account can hold."""
        found = mapping(mapping(self.document.get("components")).get("securitySchemes"))
        for said in {**found, **mapping(self.document.get("securityDefinitions"))}.values():
            scheme = self.resolve(said)
            kind, word, name = scheme.get("type"), str(scheme.get("scheme", "")).lower(), scheme.get("name")
            if kind == "http" and word == "bearer":
                return {"type": "bearer", "title": "API token"}
            if kind == "basic" or (kind == "http" and word == "basic"):
                return {"type": "basic", "title": "User name and password"}
            good = isinstance(name, str) and re.match(r"[A-Za-z0-9_-]{1,60}\Z", name)
            if kind != "apiKey" or scheme.get("in") not in ("header", "query") or not good:
                continue
            if str(name).lower() == "authorization":
                return {"type": "bearer", "title": "API token"}
            return {"type": scheme["in"], "name": name, "title": "API key"}
        return {}


def read_description(data: bytes, name: str) -> Description:
    """Read JSON or YAML. Raises `ConfigurationError` for what is no description, too large or too deep."""
    if len(data) > MAX_BYTES:
        raise ConfigurationError(f"{name} has {len(data)} bytes; the most is {MAX_BYTES}")
    try:
        text = data.decode("utf-8-sig")
        if text.lstrip()[:1] == "{":
            document = json.loads(text)
        else:
            _refuse_aliases(text, name)
            document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        where = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ConfigurationError(f"{name} is neither JSON nor YAML: {where}") from error
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise ConfigurationError(
            f"{name} is no OpenAPI description: it has no `paths`",
            hint="Give the address of the description itself, such as https://desk.example/openapi.json.",
        )
    if _is_deeper(document, _MAX_DEPTH):
        raise ConfigurationError(f"{name} is more than {_MAX_DEPTH} levels deep")
    return Description(document)


def _refuse_aliases(text: str, name: str) -> None:
    """An alias of an alias makes a small file endless."""
    if re.search(r"(?m)(^|[\s\[,:-])\*[A-Za-z0-9_-]+\s*($|[,\]}])", text) and re.search(
        r"(?m)[\s:-]&\w", text
    ):
        raise ConfigurationError(f"{name} uses YAML aliases, which are not followed", hint="Give it as JSON.")


def _is_deeper(value: Any, levels: int) -> bool:
    waiting = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        if depth > levels:
            return True
        if isinstance(part, dict | list):
            inner = part.values() if isinstance(part, dict) else part
            waiting += [(each, depth + 1) for each in inner if isinstance(each, dict | list)]
    return False


def mapping(value: Any) -> Mapping[str, Any]:
    """Answer a mapping, an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def type_of(schema: Mapping[str, Any]) -> str:
    """Answer the type of a schema in our words."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "string")
    if kind in ("integer", "number", "boolean", "array", "object"):
        return str(kind)
    return "object" if schema.get("properties") else "string"


def word(name: str) -> str:
    """Write a key in an expression."""
    return name if re.match(r"[A-Za-z_]\w*\Z", name, re.ASCII) else '"' + name.replace('"', "") + '"'


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def matches(one: Described, pattern: str | None) -> bool:
    """Tell whether an operation is meant: a piece of its method and path or its id, or a glob."""
    if pattern is None:
        return True
    known = (one.line.lower(), one.path.lower(), one.id.lower())
    word = pattern.lower()
    return any(word in each or fnmatch.fnmatchcase(each, word) for each in known)
