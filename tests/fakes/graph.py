"""A product with a GraphQL endpoint and the habits of Linear: connections, errors beside 200, mutations.

graphql-core executes the documents, so what a real server would refuse is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from graphql import GraphQLError, build_schema, graphql_sync
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

SCHEMA: Final = build_schema(
    """
    type State { name: String! }
    type Issue { id: ID! identifier: String! title: String! state: State! description: String }
    type PageInfo { hasNextPage: Boolean! endCursor: String }
    type Edge { node: Issue! cursor: String! }
    type Issues { nodes: [Issue!]! edges: [Edge!]! pageInfo: PageInfo! }
    input StateFilter { in: [String!] }
    input Filter { state: StateFilter }
    type Payload { success: Boolean! issue: Issue }
    type Query { issues(first: Int, after: String, filter: Filter): Issues! issue(id: String!): Issue }
    type Mutation {
      issueCreate(title: String!, description: String): Payload!
      issueDelete(id: String!): Payload!
    }
    """
)


@dataclass
class Graph:
    """Seven issues; `failure` is what the next request fails with, by its code."""

    issues: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {
                "id": f"i{n}",
                "identifier": f"LIN-{n}",
                "title": f"Issue {n}",
                "state": {"name": ("Todo", "Done")[n % 2]},
            }
            for n in range(1, 8)
        ]
    )
    failure: str | None = None
    status: int = 200
    asked: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(routes=[Route("/graphql", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> JSONResponse:
        asked = await request.json()
        self.asked.append(asked)
        if self.failure is not None:
            fault = {"message": f"It is {self.failure}", "extensions": {"code": self.failure}}
            return JSONResponse({"data": None, "errors": [fault]}, self.status)
        done = graphql_sync(SCHEMA, asked["query"], self, variable_values=asked.get("variables"))
        errors = [error.formatted for error in done.errors or []]
        return JSONResponse({"data": done.data, **({"errors": errors} if errors else {})})

    # What the schema's fields resolve to.

    def _issues(self, _info: Any, first: int = 2, after: str | None = None, filter: Any = None) -> Any:  # noqa: A002
        wanted = ((filter or {}).get("state") or {}).get("in")
        found = [one for one in self.issues if wanted is None or one["state"]["name"] in wanted]
        begin = next((n + 1 for n, one in enumerate(found) if one["id"] == after), 0)
        page = found[begin : begin + first]
        more = begin + first < len(found)
        return {
            "nodes": page,
            "edges": [{"node": one, "cursor": one["id"]} for one in page],
            "pageInfo": {"hasNextPage": more, "endCursor": page[-1]["id"] if page else None},
        }

    def _issue(self, _info: Any, id: str) -> Any:  # noqa: A002
        found = next((one for one in self.issues if one["id"] == id), None)
        if found is None:
            raise GraphQLError("Entity not found", extensions={"type": "entity not found"})
        return found

    def _create(self, _info: Any, title: str, description: str | None = None) -> Any:
        made = {"id": f"i{len(self.issues) + 1}", "identifier": f"LIN-{len(self.issues) + 1}", "title": title}
        self.issues.append({**made, "state": {"name": "Todo"}, "description": description})
        return {"success": True, "issue": self.issues[-1]}

    def _delete(self, _info: Any, id: str) -> Any:  # noqa: A002
        self.issues = [one for one in self.issues if one["id"] != id]
        return {"success": True}


def _resolver(method: str) -> Any:
    return lambda graph, info, **arguments: getattr(graph, method)(info, **arguments)


for kind, name, method in (
    (SCHEMA.query_type, "issues", "_issues"),
    (SCHEMA.query_type, "issue", "_issue"),
    (SCHEMA.mutation_type, "issueCreate", "_create"),
    (SCHEMA.mutation_type, "issueDelete", "_delete"),
):
    assert kind is not None
    kind.fields[name].resolve = _resolver(method)
