"""The arguments of one operation: where each comes from, its JSON Schema, and how it is looked up."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from linkspan.errors import InvalidArgument
from linkspan.spec import language, references
from linkspan.spec.catalog import ABSENT, Connector, Json, Kind
from linkspan.spec.fields import field_schema
from linkspan.spec.language import ModelField
from linkspan.spec.leaves import NAME, Leaves
from linkspan.spec.mapped import Identity, Mapped, Words
from linkspan.spec.parameters import check_param, told_limits
from linkspan.spec.questions import AccountNames
from linkspan.spec.references import Lookup
from linkspan.spec.schemas import check_schema
from linkspan.spec.yaml import Path

RESERVED: Final = ("id", "cursor", "limit", "account", "dry_run")
REMOTE: Final = "remote_data"
"""The argument, where a source offers it, and the field of an item that it brings."""
_LEAVE_OTHERS_UNUSED: Final = (
    "undeclared_argument", "undeclared_placeholder", "bad_request", "bad_reference", "missing_key",
    "bad_expression",
)  # fmt: skip
NOW: Final = "now"
"""What the time of the call is referred to by."""
ROOTS: Final = ("settings", "credential", "answer", "elicit", NOW)
"""Names that are taken by what is no argument."""
_PARAM_KEYS: Final = {
    "items": "items", "properties": "properties", "format": "format",
    "minimum": "minimum", "maximum": "maximum", "min_length": "minLength", "max_length": "maxLength",
    "x_mcp_header": "x-mcp-header", "default": "default",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: what a caller sees of it, and the words that are sent for its words."""

    name: str
    schema: Json
    required: bool | None = None
    default: Any = None
    words: Words | None = None
    form: re.Pattern[str] | None = None
    """What the whole value matches."""


class Arguments:
    """Resolves the names that an operation's request uses, and remembers them in the order of use."""

    def __init__(
        self,
        *,
        entity: str,
        kind: Kind,
        operation: str,
        form: language.Operation,
        fields: Mapping[str, ModelField],
        mapped: Mapping[str, Mapped],
        returned: tuple[Mapping[str, ModelField], Mapping[str, Mapped]] | None,
        identity: Identity | None,
        connector: Connector,
        is_open: bool,
        leaves: Leaves,
        path: Path,
        offers_remote: bool = False,
    ) -> None:
        self.offers_remote = offers_remote
        self.entity = entity
        self.kind: Kind = kind
        self.operation = operation
        self.fields = fields
        self.mapped = mapped
        self.returned = returned
        self.identity = identity
        self.account = AccountNames(
            connector.settings, has_username=connector.auth_method("basic") is not None, leaves=leaves
        )
        self.steps: list[str] = ["elicit"] if form.elicit is not None else []
        """The names of what is found before the request that is compiled just now."""
        self.leaves = leaves
        self.path = path
        self.is_open = is_open
        self.raw = form.schema_
        if self.raw is not None:
            self._check_raw(self.raw, (*path, "schema"))
        self.uses_now = False
        self.used: dict[str, Argument] = {}
        self.declared: dict[str, Argument] = {}
        for name, param in form.params.items():
            self._declare(name, param, (*path, "params", name))

    # Declaring

    def _declare(self, name: str, param: language.Param, path: Path) -> None:
        problems = self.leaves.problems
        if name in RESERVED or (name == REMOTE and self.offers_remote):
            message = f"{name!r} is reserved: it means the same in every tool, and is there by itself"
            problems.add(path, "reserved_argument", message, key=True)
            return
        if not NAME.match(name) or name in ROOTS:
            message = f"the parameter {name!r} must be lower case letters, digits and _"
            if name in ROOTS:
                message = f"the name {name!r} is taken"
            problems.add(path, "bad_name", message, key=True)
            return
        if self.raw is not None:
            message = "the arguments are in schema already; params cannot stand beside it"
            problems.add((*self.path, "params"), "conflict", message, key=True)
            return
        field_name = param.field or (name if name in self._known_fields() else None)
        base = self._from_field(name, field_name) if field_name else Argument(name, {"type": "string"})
        if field_name is not None and base is None:
            message = f"the entity has no field {field_name!r}"
            problems.add(
                (*path, "field"), "unknown_field", message, words=self._known_fields(), word=field_name
            )
        self.declared[name] = self._refined(base or Argument(name, {"type": "string"}), param, path)

    def _check_raw(self, schema: Json, path: Path) -> None:
        problems = self.leaves.problems
        if schema.get("type") != "object" or not isinstance(schema.get("properties", {}), dict):
            problems.add(path, "bad_schema", "the schema of a tool's arguments has type: object", key=True)
            self.raw, self.is_open = {"type": "object"}, True
            return
        if not check_schema(schema, problems, path):
            self.raw, self.is_open = {"type": "object"}, True
            return
        for name in schema.get("properties", {}):
            if name in RESERVED and name != "id":
                message = f"{name!r} is reserved: it means the same in every tool, and is there by itself"
                problems.add((*path, "properties", name), "reserved_argument", message, key=True)

    def _refined(self, base: Argument, param: language.Param, path: Path) -> Argument:
        schema = dict(base.schema)
        if param.type == "array" and base.words is not None:
            items = {key: schema[key] for key in ("type", "enum") if key in schema}
            schema = {"type": "array", "items": items, "description": schema.get("description", "")}
        elif param.type is not None:
            schema["type"] = param.type
        if param.enum:
            self._check_enum(base, param.enum, (*path, "enum"))
            schema.get("items", schema)["enum"] = list(param.enum)
        for key, schema_key in _PARAM_KEYS.items():
            if getattr(param, key) is not None:
                schema[schema_key] = getattr(param, key)
        form = self.leaves.pattern((*path, "pattern"), param.pattern)
        if form is not None:
            schema["pattern"] = f"^(?:{form.pattern})$"
        check_param(param, schema, self.leaves.problems, path)
        if "x-mcp-header" in schema and schema["type"] not in {"string", "integer", "boolean"}:
            message = "only text, whole numbers and booleans can be mirrored in a header"
            self.leaves.problems.add((*path, "x-mcp-header"), "bad_header", message)
        described = self.leaves.text((*path, "description"), param.description)
        description = told_limits(described or schema.get("description", ""), schema)
        schema.pop("description", None)
        if description:
            schema["description"] = description
        return Argument(base.name, schema, param.required, param.default, base.words, form)

    def _check_enum(self, base: Argument, words: list[Any], path: Path) -> None:
        known = base.schema.get("enum", ())
        for index, word in enumerate(words):
            if base.words is not None and word not in known:
                message = f"the field has no word {word!r} here"
                self.leaves.problems.add((*path, index), "bad_enum", message, words=known, word=str(word))

    def _known_fields(self) -> dict[str, ModelField]:
        return {**self.fields, **(self.returned[0] if self.returned else {})}

    def _from_field(self, name: str, field_name: str) -> Argument | None:
        for fields, mapped in ([self.returned] if self.returned else []) + [(self.fields, self.mapped)]:
            spec = fields.get(field_name)
            if spec is None:
                continue
            found = mapped.get(field_name)
            words = found.words if found else None
            reachable: list[str] | None = None
            if words is not None:
                reachable = list(words.asking if self.kind == "read" else words.writing)
            elif spec.enum:
                reachable = [word for word in spec.enum if word != "unknown"]
            schema = field_schema(spec, reachable)
            if spec.type in {"datetime", "date"}:
                schema["description"] = f"{schema.get('description', '')} ISO 8601.".strip()
            return Argument(name, schema, True if self._creates() and spec.required else None, None, words)
        return None

    def _creates(self) -> bool:
        return self.kind == "write" and (self.operation == "create" or self.returned is not None)

    # Looking up

    def argument(self, name: str, path: Path, *, offset: int, in_path: bool) -> Lookup | None:
        """Resolve `$name` or `{name}`."""
        first, *members = name.split(".")
        if first in {"settings", "credential"}:
            return self.account.argument(name, path, offset=offset, in_path=in_path)
        if name == NOW:
            self.uses_now = True
            return references.found(NOW, ())
        if first in self.steps:
            return references.found(first, tuple(members))
        found = self._find(name)
        if found is None:
            if not self.is_open:
                self._tell_undeclared(name, path, offset, in_path)
            return None
        pattern = self.identity.pattern if self.identity is not None else None
        if pattern is not None and name in pattern.groupindex and name not in self.declared:
            self._use(self._id(), in_path=True)
            return references.identity_part(pattern, name)
        self._use(found, in_path=in_path)
        look_up = references.argument(name, ABSENT if found.default is None else found.default)
        if found.form is not None:
            look_up = references.checked(look_up, name, found.form)
        if found.words is None:
            return look_up
        sent = found.words.asking if self.kind == "read" else found.words.writing
        return references.converted(look_up, _translate(name, sent))

    def given(self, name: str, path: Path) -> Lookup | None:
        """Look up what a field is made of: a setting, or an argument that the requests have a use for.

        In an operation that answers another entity, the name of its own stands for that one's id.
        """
        if name.startswith("settings."):
            return self.account.argument(name, path, offset=1, in_path=False)
        if self.returned is not None and name == self.entity and "id" in self.used:
            return references.argument("id", ABSENT)
        if name == "id" and self.returned is not None:
            return None
        if name in self.used:
            default = self.used[name].default
            return references.argument(name, ABSENT if default is None else default)
        pattern = self.identity.pattern if self.identity is not None and self.returned is None else None
        if pattern is not None and name in pattern.groupindex and "id" in self.used:
            return references.identity_part(pattern, name)
        if self.raw is not None and name in self.raw.get("properties", {}):
            return references.argument(name, ABSENT)
        return None

    def settings(self, names: Iterable[str], path: Path) -> dict[str, Lookup]:
        """Look up the settings that a field's expression names; `path` is where they are listed."""
        found = {
            name: self.account.argument(f"settings.{name}", (*path, index), offset=0, in_path=False)
            for index, name in enumerate(names)
        }
        return {name: look_up for name, look_up in found.items() if look_up is not None}

    def mention(self, name: str) -> None:
        """Remember an argument that stands in a text rather than in the request."""
        if (found := self._find(name)) is not None:
            self._use(found, in_path=False)

    def names(self) -> list[str]:
        """Answer every name that could be used here."""
        raw = list(self.raw.get("properties", {})) if self.raw else []
        extra = list(self.identity.parts) if self.identity and self.identity.pattern else []
        asked = ["query"] if self.operation == "search" else []
        return [*self.steps, "id", *asked, *self.declared, *raw, *self._known_fields(), *extra]

    def _find(self, name: str) -> Argument | None:
        if name in self.used:
            return self.used[name]
        if name in self.declared:
            return self.declared[name]
        if self.raw is not None:
            schema = self.raw.get("properties", {}).get(name)
            return (
                Argument(name, schema, name in self.raw.get("required", ())) if schema is not None else None
            )
        if name == "id":
            return self._id()
        if name == "query" and self.operation == "search":
            return Argument("query", {"type": "string", "description": "The words to look for."}, True)
        if name in RESERVED:
            return None
        if self.identity is not None and self.identity.pattern is not None and name in self.identity.parts:
            return Argument(name, {"type": "string"}, True)
        return self._from_field(name, name)

    def _id(self) -> Argument:
        noun = self.entity.replace("_", " ")
        description = f"Id of the {noun}, as another tool gave it."
        schema: Json = {"type": "string", "description": description}
        form = self.identity.form if self.identity is not None else None
        if form is not None:
            schema["pattern"] = f"^(?:{form.pattern})$"
        return Argument("id", schema, True, form=form)

    def _use(self, found: Argument, *, in_path: bool) -> None:
        known = self.used.get(found.name, found)
        required = known.required
        if in_path and known.default is None:
            if required is False:
                message = f"{found.name} stands in the path, so it is required or has a default"
                self.leaves.problems.add(
                    (*self.path, "params", found.name, "required"), "missing_default", message
                )
            required = True
        self.used[found.name] = replace(known, required=required)

    def _tell_undeclared(self, name: str, path: Path, offset: int, in_path: bool) -> None:
        if name in RESERVED and name != "id":
            message = f"{name!r} is reserved: pagination and the gateway see to it"
            self.leaves.problems.add(path, "reserved_argument", message, offset=offset)
            return
        code = "undeclared_placeholder" if in_path else "undeclared_argument"
        shown = f"{{{name}}}" if in_path else f"${name}"
        where = f"no parameter here and no field of {self.entity}" if self.raw is None else "not in schema"
        message = f"{shown} is not declared: it is {where}"
        self.leaves.problems.add(
            path, code, message, offset=offset, words=[*self.names(), *self.account.words], word=name
        )

    # Closing

    def finish(self) -> Json:
        """Tell what was declared in vain, and answer the JSON Schema of all arguments."""
        if self.raw is not None:
            return self.raw
        in_doubt = self.leaves.problems.has_below(self.path, _LEAVE_OTHERS_UNUSED)
        for name in self.declared:
            if name not in self.used and not in_doubt:
                message = f"the parameter {name!r} is used nowhere in the request"
                self.leaves.problems.add((*self.path, "params", name), "unused_parameter", message, key=True)
        order = ["id", *self.declared, *self.used]
        shown = {name: self.used[name] for name in dict.fromkeys(order) if name in self.used}
        schema: Json = {"type": "object", "properties": {name: arg.schema for name, arg in shown.items()}}
        if self.offers_remote:
            described = "Also show each item as the product answered it."
            schema["properties"][REMOTE] = {"type": "boolean", "description": described}
        if required := [name for name, arg in shown.items() if arg.required and arg.default is None]:
            schema["required"] = required
        schema["additionalProperties"] = False
        return schema


def _translate(name: str, sent: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Turn the model's words into the product's: one word or a list of them."""

    def one(word: Any) -> Any:
        try:
            return sent[word]
        except (KeyError, TypeError):
            known = ", ".join(sent)
            raise InvalidArgument(
                f"{name}: {word!r} is not one of {known}",
                hint="Use one of these words.",
                details=[{"path": name, "message": f"must be one of {known}"}],
            ) from None

    def translate(value: Any) -> Any:
        found: list[Any] = []
        for word in value if isinstance(value, list) else [value]:
            words = one(word)
            found += words if isinstance(words, tuple) else [words]
        return found[0] if len(found) == 1 and not isinstance(value, list) else found

    return translate
