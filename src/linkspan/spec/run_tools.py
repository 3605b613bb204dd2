"""The tools of our own: runs of Codex, for as soon as tools.yaml has a recipe.

There is none that approves, steers or turns a recipe on: agents do not approve themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from linkspan.spec.catalog import Json, Kind, Tool
from linkspan.spec.recipe import Recipe

ENTITY: Final = "run"
MAX_PAGE: Final = 50
MAX_WAIT: Final = 20
"""Seconds that a call may wait: well within what clients give a tool."""
_STATES: Final = (
    *("queued", "preparing", "running", "waiting_approval", "publishing"),
    *("succeeded", "failed", "cancelled", "timed_out"),
)
_ID: Final[Json] = {"type": "string", "description": "The id of the run: run_ and 26 characters."}
_DRY_RUN: Final[Json] = {"type": "boolean", "description": "Say what would be done, do not do it."}

RUN_TOOL_NAMES: Final = {
    "start_codex_run": "run.start",
    "get_codex_run": "run.get",
    "list_codex_runs": "run.list",
    "cancel_codex_run": "run.cancel",
}
PARTS: Final = ("diff", "transcript", "patch", "output")
"""What of a run can be read as a resource of its own: `linkspan://run/ID/diff`."""


def run_tools(recipes: Mapping[str, Recipe]) -> tuple[Tool, ...]:
    """Answer the tools for runs of these recipes; none without one."""
    if not recipes:
        return ()
    jobs = "; ".join(_job(recipe) for recipe in recipes.values())
    return (
        _tool(
            "start_codex_run",
            "start",
            "write",
            "Start a Codex run: a Codex of its own works on one thing in a sandbox and publishes what it did."
            f" It goes on after this call; see it with get_codex_run. Recipes: {jobs}.",
            {
                "recipe": {"type": "string", "enum": list(recipes), "description": "What is to be done."},
                "id": {"type": "string", "description": "The id of the thing that it is to be done for."},
                "account": {
                    "type": "string",
                    "description": "Which linked account has the thing; needed only where several could.",
                },
                "dry_run": _DRY_RUN,
            },
            required=("recipe",),
        ),
        _tool(
            "get_codex_run",
            "get",
            "read",
            "Get one Codex run by its id: its state, what it did, its pull request, what it used, and what it"
            " waits for.",
            {
                "id": _ID,
                "wait": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": MAX_WAIT,
                    "description": "Seconds to wait for another state than now.",
                },
            },
            required=("id",),
        ),
        _tool(
            "list_codex_runs",
            "list",
            "read",
            "List Codex runs, the one that changed last first.",
            {
                "state": {"type": "string", "enum": list(_STATES), "description": "Only those in it."},
                "recipe": {"type": "string", "enum": list(recipes), "description": "Only those of it."},
                "entity_id": {"type": "string", "description": "Only those for the thing with this id."},
                "cursor": {"type": "string", "description": "next_cursor of the page before."},
                "limit": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MAX_PAGE,
                    "description": f"How many at most, up to {MAX_PAGE}.",
                },
            },
        ),
        _tool(
            "cancel_codex_run",
            "cancel",
            "write",
            "Cancel a Codex run. What it has published already stays.",
            {"id": _ID, "dry_run": _DRY_RUN},
            required=("id",),
            destructive=True,
        ),
    )


def _job(recipe: Recipe) -> str:
    told = f"{recipe.name} ({recipe.title}"
    return f"{told}, for one {recipe.entity.replace('_', ' ')})" if recipe.entity else f"{told})"


def _tool(
    name: str,
    operation: str,
    kind: Kind,
    description: str,
    properties: Mapping[str, Json],
    *,
    required: tuple[str, ...] = (),
    destructive: bool = False,
) -> Tool:
    title = name.replace("_", " ").capitalize().replace("codex", "Codex")
    schema: Json = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    if required:
        schema["required"] = list(required)
    return Tool(
        name=name,
        title=title,
        description=description,
        input_schema=schema,
        output_schema=_output(operation),
        annotations={
            "title": title,
            "readOnlyHint": kind == "read",
            "destructiveHint": destructive,
            "idempotentHint": kind == "read" or destructive,
            "openWorldHint": False,
        },
        kind=kind,
        entity=ENTITY,
        operation=operation,
        operations={},
    )


def _output(operation: str) -> Json:
    run: Json = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "state": {"type": "string"}},
        "required": ["id"],
    }
    properties: dict[str, Any] = {"result": run}
    if operation == "list":
        properties = {
            "result": {"type": "array", "items": run},
            "next_cursor": {"type": ["string", "null"]},
        }
    properties["truncated"] = {"type": "boolean"}
    if operation in ("start", "cancel"):
        properties |= {"dry_run": {"type": "boolean"}, "request": {"type": "object"}}
    properties["error"] = {
        "type": "object",
        "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
    }
    return {"type": "object", "properties": properties}


RUN_PART: Final = Tool(
    name="read_codex_run_part",
    title="Part of a Codex run",
    description="What a run made, for its resources; no list shows this tool.",
    input_schema={
        "type": "object",
        "properties": {"id": _ID, "part": {"type": "string", "enum": list(PARTS)}},
        "required": ["id", "part"],
        "additionalProperties": False,
    },
    output_schema=None,
    annotations={},
    kind="read",
    entity=ENTITY,
    operation="get",
    operations={},
)
