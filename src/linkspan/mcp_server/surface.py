"""What a client may see of a catalog, as bytes that are built once per catalog version and set of scopes.

Listing 500 tools through an SDK costs tens of milliseconds, sending prepared bytes a twentieth of one. All
tenants are served from one catalog, so tenants with the same scopes share the bytes; nothing in them is of a
tenant.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from pydantic_core import to_json

from linkspan import __version__
from linkspan.mcp_server import protocol
from linkspan.mcp_server.protocol import INVALID_PARAMS, LIST_METHODS, Fault
from linkspan.spec import run_tools
from linkspan.spec.catalog import Catalog, Json, Prompt, Resource, Tool, scopes_allow

PAGE_SIZE: Final = 500
"""Several clients read the first page only, so a page holds more than catalogs have."""
LIST_TTL_MS: Final = 60_000
MARKDOWN: Final = "text/markdown"
_CACHE_HINT: Final = {"ttlMs": LIST_TTL_MS, "cacheScope": "private"}


class Surface:
    """One catalog as one set of scopes sees it.

    `live` tells whether this connection can carry notifications in the legacy era (stdio, stateful HTTP); the
    modern era always can (`subscriptions/listen`).
    """

    def __init__(
        self, catalog: Catalog, scopes: Sequence[str], *, live: bool, page_size: int = PAGE_SIZE
    ) -> None:
        self.catalog = catalog
        self.scopes = tuple(scopes)
        self.tools = tuple(tool for tool in catalog.tools if scopes_allow(scopes, tool.key, tool.kind))
        self._live = live
        self._page_size = page_size
        self._ready: dict[tuple[str, str, str | None], bytes] = {}
        self.modern_tail: Final = b',"_meta":' + to_json({protocol.META_SERVER: server_info(catalog)})
        """What every result of the modern era ends with, the closing brace excluded: who answers."""

    def initialize(self, version: str) -> bytes:
        """Answer the result of `initialize` for the negotiated version."""
        return self._prepared("initialize", version, None, self._initialize)

    def discover(self) -> bytes:
        """Answer the result of `server/discover`."""
        return self._prepared("server/discover", protocol.LATEST_MODERN, None, self._discover)

    def listing(self, method: str, cursor: object = None, *, modern: bool) -> bytes:
        """Answer the result of one of the list methods; raises `Fault` for a cursor that is not ours."""
        if cursor is not None and not isinstance(cursor, str):
            raise Fault(INVALID_PARAMS, "cursor must be a string")
        era = protocol.LATEST_MODERN if modern else protocol.LATEST_LEGACY
        return self._prepared(method, era, cursor, self._listing)

    def resources(self) -> tuple[Resource, ...]:
        """Answer the declared resources that may be seen: those read from a product need `read`."""
        return tuple(
            resource
            for resource in self.catalog.resources
            if resource.plan is None or scopes_allow(self.scopes, resource_key(resource), "read")
        )

    def _prepared(
        self, method: str, version: str, cursor: str | None, build: Callable[[str, str, str | None], Json]
    ) -> bytes:
        key = (method, version, cursor)
        ready = self._ready.get(key)
        if ready is None:
            ready = self._ready[key] = to_json(build(method, version, cursor))
        return ready

    def _initialize(self, _method: str, version: str, _cursor: str | None) -> Json:
        return {
            "protocolVersion": version,
            "capabilities": self._capabilities(live=self._live),
            "serverInfo": server_info(self.catalog),
            "instructions": self.catalog.instructions,
        }

    def _discover(self, _method: str, _version: str, _cursor: str | None) -> Json:
        return {
            "supportedVersions": list(protocol.MODERN_VERSIONS),
            "capabilities": self._capabilities(live=True),
            "instructions": self.catalog.instructions,
            **self._modern_parts(),
        }

    def _capabilities(self, *, live: bool) -> Json:
        changes = {"listChanged": live}
        return {
            "tools": dict(changes),
            "resources": {"subscribe": live, **changes},
            "prompts": dict(changes),
            "completions": {},
        }

    def _listing(self, method: str, version: str, cursor: str | None) -> Json:
        start = self._offset(cursor)
        everything = self._entries(method)
        end = start + self._page_size
        page: Json = {LIST_METHODS[method]: everything[start:end]}
        if start and start >= len(everything):
            raise Fault(INVALID_PARAMS, "cursor is not one of this list")
        if end < len(everything):
            page["nextCursor"] = f"{self.catalog.version[:12]}.{end}"
        if version in protocol.MODERN_VERSIONS:
            page.update(self._modern_parts())
        return page

    def _modern_parts(self) -> Json:
        return {
            **_CACHE_HINT,
            "resultType": "complete",
            "_meta": {protocol.META_SERVER: server_info(self.catalog)},
        }

    def _offset(self, cursor: str | None) -> int:
        if cursor is None:
            return 0
        version, _, offset = cursor.rpartition(".")
        if version != self.catalog.version[:12] or not (offset.isascii() and offset.isdigit()):
            raise Fault(
                INVALID_PARAMS, "cursor is not one of this list, or the list has changed: start again"
            )
        start = int(offset) if len(offset) < 9 else 0
        if start == 0 or start % self._page_size:
            raise Fault(INVALID_PARAMS, "cursor is not one of this list")
        return start

    def _entries(self, method: str) -> list[Json]:
        if method == "tools/list":
            return [tool.definition() for tool in self.tools]
        if method == "prompts/list":
            return [_prompt(prompt) for prompt in self.catalog.prompts]
        declared = [(("{" in resource.uri), resource) for resource in self.resources()]
        if method == "resources/list":
            return [_resource(resource, "uri") for is_template, resource in declared if not is_template]
        templates = [_resource(resource, "uriTemplate") for is_template, resource in declared if is_template]
        return [*self._entity_templates(), *templates]

    def _entity_templates(self) -> list[Json]:
        """Every entity that can be read: `linkspan://ENTITY/{id}`, and with an account where two may be."""
        shown: list[Json] = []
        for tool in readers(self.tools):
            entity = self.catalog.entities.get(tool.entity)
            title = (entity and entity.title) or tool.entity
            shown.append(
                {
                    "uriTemplate": f"linkspan://{tool.entity}/{{id}}",
                    "name": tool.entity,
                    "title": title,
                    "description": f"One {title.lower()} as Markdown, by its id; as the tool {tool.name}.",
                    "mimeType": MARKDOWN,
                }
            )
            if takes_account(tool):
                shown.append(
                    {
                        "uriTemplate": f"linkspan://{tool.entity}/{{account}}/{{id}}",
                        "name": f"{tool.entity}_of_account",
                        "title": f"{title} of one account",
                        "description": f"One {title.lower()} as Markdown, when several accounts are linked.",
                        "mimeType": MARKDOWN,
                    }
                )
            if tool.entity == run_tools.ENTITY:
                shown += [_run_part("diff", "text/x-diff"), _run_part("transcript", "text/markdown")]
        return shown


class Surfaces:
    """The surfaces in use: the newest `size` of them are kept."""

    def __init__(self, *, size: int = 16, page_size: int = PAGE_SIZE) -> None:
        self._size = size
        self._page_size = page_size
        self._kept: OrderedDict[tuple[str, tuple[str, ...], bool], Surface] = OrderedDict()

    def of(self, catalog: Catalog, scopes: tuple[str, ...], *, live: bool = False) -> Surface:
        """Answer the surface, built at most once while it is in use."""
        key = (catalog.version, scopes, live)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        built = self._kept[key] = Surface(catalog, scopes, live=live, page_size=self._page_size)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return built


def server_info(catalog: Catalog) -> Json:
    """Answer who serves: MCP's `Implementation`."""
    return {"name": "linkspan", "title": catalog.title or catalog.name, "version": __version__}


def readers(tools: Sequence[Tool]) -> list[Tool]:
    """Answer the tools that read one thing of an entity: those that its resource is made of."""
    return [tool for tool in tools if tool.operation == "get"]


def takes_account(tool: Tool) -> bool:
    """Tell whether the tool may be told the account to use."""
    return "account" in tool.input_schema.get("properties", ())


def resource_key(resource: Resource) -> str:
    """Answer the word that scopes and the audit log know a declared resource by."""
    return f"resource.{resource.name}"


def _resource(resource: Resource, key: str) -> Json:
    shown = {
        key: resource.uri,
        "name": resource.name,
        "title": resource.title,
        "description": resource.description,
        "mimeType": resource.mime_type,
    }
    return {name: value for name, value in shown.items() if value}


def _run_part(part: str, mime_type: str) -> Json:
    return {
        "uriTemplate": f"linkspan://{run_tools.ENTITY}/{{id}}/{part}",
        "name": f"run_{part}",
        "title": f"{part.capitalize()} of a Codex run",
        "description": f"The {part} of a Codex run, by the run's id.",
        "mimeType": mime_type,
    }


def _prompt(prompt: Prompt) -> Json:
    return {
        "name": prompt.name,
        "title": prompt.title or prompt.name,
        "description": prompt.description,
        "arguments": [
            {"name": name, "description": description, "required": required}
            for name, description, required in prompt.arguments
        ],
    }
