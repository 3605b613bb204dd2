"""A product that asks for no credential: read without an account, and called by its connector's name."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from linkspan import spec
from linkspan.accounts.principal import Principal
from linkspan.app import build
from linkspan.gateway.calls import CallInfo
from linkspan.gateway.results import Page
from linkspan.settings import Settings
from tests.fakes.asgi import AsgiTransport

FILE = """\
linkspan: 1
name: news
instructions: List the news. Start with list_stories.
connectors:
  news:
    base_url: http://news.example
    auth: [{type: none}]
    pagination: {style: page, send: {query: page}, size: {query: size, max: 2}}
entities:
  story:
    plural: stories
    fields: {id: string}
    sources: {news: {fields: {id: id}, operations: {list: {request: GET /stories, items: "@"}}}}
"""


async def test_its_lists_go_on_and_say_whose_they_are(tmp_path: Path) -> None:
    """What an answer says in `account` may be said in `account`, and cursors say it too."""

    async def stories(request: Request) -> JSONResponse:
        start = (int(request.query_params.get("page", 1)) - 1) * 2
        return JSONResponse([{"id": number} for number in range(start, min(start + 2, 3))])

    (tmp_path / "tools.yaml").write_text(FILE, encoding="utf-8")
    catalog = spec.load(tmp_path / "tools.yaml", {})
    transport = AsgiTransport(Starlette(routes=[Route("/stories", stories)]))
    app = await build(Settings(home=tmp_path / "home"), catalog=catalog, transport=transport)
    try:
        tool = catalog.tool("list_stories")
        assert tool is not None
        asker = Principal(await app.tenants.add("acme"), "service", "codex")
        first = await app.gateway.call(asker, tool, {}, info=CallInfo("r1"))
        assert isinstance(first, Page)
        told = first.to_dict()
        assert (told["account"], told["connector"]) == ("news", "news")
        asked = {"cursor": first.next_cursor, "account": told["account"]}
        second = await app.gateway.call(asker, tool, asked, info=CallInfo("r2"))
        assert isinstance(second, Page)
        assert [thing["id"] for thing in (*first.result, *second.result)] == ["0", "1", "2"]
    finally:
        await app.aclose()
