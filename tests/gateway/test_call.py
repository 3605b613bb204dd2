"""One call from start to finish."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from linkspan import errors, spec
from linkspan.accounts.principal import Principal, Tenant
from linkspan.gateway.results import DryRun, Item, Page
from tests.fakes.tracker import crash, sign_in_page, too_many
from tests.gateway.conftest import FILE, Bench


def page(answer: object) -> Page:
    """Answer what was answered, which must be a page."""
    assert isinstance(answer, Page)
    return answer


async def test_a_list_is_read_to_its_last_page(bench: Bench) -> None:
    """Cursors lead through all pages, and the last one has none."""
    keys: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = page(await bench.call("list_tickets", limit=3, **cursor))
        keys += [item["id"] for item in answer.result]
        if answer.next_cursor is None:
            break
        cursor = {"cursor": answer.next_cursor}
    assert keys == ["1", "2", "3", "4", "5", "6", "7"]


async def test_a_cursor_alone_goes_on_with_the_same_filter(bench: Bench) -> None:
    """The filter of the first call stands in the cursor."""
    first = page(await bench.call("list_tickets", status="in_progress", limit=1))
    second = page(await bench.call("list_tickets", cursor=first.next_cursor))
    assert [item["status"] for item in first.result + second.result] == ["in_progress", "in_progress"]
    assert next(item["id"] for item in second.result) != first.result[0]["id"]


async def test_a_cursor_with_another_filter_is_refused(bench: Bench) -> None:
    """A page of another list is never passed off as the next one."""
    first = page(await bench.call("list_tickets", limit=1))
    with pytest.raises(errors.InvalidArgument, match="another status"):
        await bench.call("list_tickets", cursor=first.next_cursor, status="todo")


async def test_a_cut_page_goes_on_where_it_was_cut(bench: Bench) -> None:
    """`resume_after` gives the item after the last one that was kept."""
    whole = page(await bench.call("list_tickets", limit=3))
    again = page(await bench.call("list_tickets", cursor=whole.resume_after(1), limit=3))
    assert [item["id"] for item in again.result] == ["2", "3"]
    onward = page(await bench.call("list_tickets", cursor=again.next_cursor))
    assert onward.result[0]["id"] == "4"


async def test_a_limit_below_the_products_page_size_skips_nothing(bench: Bench) -> None:
    """A product that answers more than was asked for loses no item between pages."""
    catalog = spec.load([FILE], {})
    tool = catalog.tool("list_tickets")
    assert tool is not None
    fixed = replace(tool.operations["tracker"], paging=replace(tool.operations["tracker"].paging, size=None))
    changed = replace(tool, operations={"tracker": fixed})
    bench.app.gateway.replace_catalog(replace(catalog, tools=(changed,)))
    keys: list[str] = []
    arguments: dict[str, Any] = {"limit": 2}
    while arguments:
        answer = page(await bench.call("list_tickets", **arguments))
        keys += [item["id"] for item in answer.result]
        arguments = {"limit": 2, "cursor": answer.next_cursor} if answer.next_cursor else {}
    assert keys == [str(n) for n in range(1, 8)]


@pytest.mark.parametrize("how", ["other tenant", "other operation", "old", "changed", "words"])
async def test_a_cursor_of_elsewhere_is_refused(bench: Bench, how: str) -> None:
    """A cursor is good for its tenant and operation, for a day, unchanged."""
    cursor = str(page(await bench.call("list_tickets", limit=1)).next_cursor)
    tenant = "globex" if how == "other tenant" else "acme"
    if how == "old":
        bench.now[0] += 86_401
    if how == "changed":
        cursor = cursor[:-6] + ("A" if cursor[-6] != "A" else "B") + cursor[-5:]
    if how == "words":
        cursor = "../../etc"
    if how == "other operation":
        with pytest.raises(errors.InvalidArgument):
            bench.app.gateway._means.cursors.open("acme", "ticket.search", cursor)
        return
    with pytest.raises(errors.InvalidArgument, match="cursor") as told:
        await bench.call("list_tickets", tenant=tenant, cursor=cursor)
    assert "without cursor" in told.value.for_model()


async def test_one_tenant_never_reads_or_writes_as_another(bench: Bench) -> None:
    """Each tenant's calls carry its own credential and no other."""
    mine = page(await bench.call("list_tickets", limit=5))
    theirs = page(await bench.call("list_tickets", tenant="globex", limit=5))
    assert {item["title"].split()[0] for item in mine.result} == {"acme"}
    assert {item["title"].split()[0] for item in theirs.result} == {"globex"}
    await bench.call("comment_on_ticket", tenant="globex", id="1", body="hello")
    assert [comment[0] for comment in bench.tracker.comments] == ["globex"]


async def test_an_account_of_another_tenant_cannot_be_named(bench: Bench) -> None:
    """An account id of another tenant is as good as none."""
    other = await bench.account("globex")
    with pytest.raises(errors.NotFound):
        await bench.call("list_tickets", account=other.id)
    assert bench.transport.sent == []


async def test_arguments_are_checked_before_anything_is_sent(bench: Bench) -> None:
    """Every fault is named at once, with the nearest word."""
    with pytest.raises(errors.InvalidArgument) as told:
        await bench.call("list_tickets", limt=3, status="opne")
    assert bench.transport.sent == []
    assert isinstance(told.value.details, list)
    assert {fault["path"] for fault in told.value.details} == {"limt", "status"}
    assert "did you mean limit?" in told.value.message


async def test_numbers_that_come_as_text_are_understood(bench: Bench) -> None:
    """Some clients send every argument as text."""
    assert len(page(await bench.call("list_tickets", limit="2")).result) == 2


async def test_a_missing_scope_is_named_and_nothing_is_sent(bench: Bench) -> None:
    """The scope is asked for at the call, whatever the list showed."""
    reader = Principal(Tenant("acme"), "service", "codex", scopes=("read",))
    with pytest.raises(errors.Forbidden, match=r"ticket\.comment"):
        await bench.call_as(reader, "comment_on_ticket", None, {"id": "1", "body": "x"})
    only = Principal(Tenant("acme"), "service", "codex", scopes=("ticket.get",))
    assert isinstance(await bench.call_as(only, "get_ticket", None, {"id": "1"}), Item)
    with pytest.raises(errors.Forbidden):
        await bench.call_as(only, "list_tickets", None, {})
    assert len(bench.transport.sent) == 1


async def test_a_dry_run_shows_the_request_without_the_credential_and_sends_nothing(bench: Bench) -> None:
    """The exact request, masked."""
    answer = await bench.call("comment_on_ticket", id="3", body="hi", dry_run=True)
    assert isinstance(answer, DryRun)
    assert answer.request["method"] == "POST"
    assert answer.request["url"] == "http://tracker.example/api/tickets/3/comments"
    assert answer.request["headers"]["Authorization"] == "Bearer [credential]"
    assert answer.request["body"] == {"text": "hi"}
    assert bench.transport.sent == []


async def test_a_dry_run_of_a_conditional_write_says_that_it_reads_first(bench: Bench) -> None:
    """The ETag is not known before it is read."""
    answer = await bench.call("update_ticket", id="3", title="x", dry_run=True)
    assert isinstance(answer, DryRun)
    assert answer.request["headers"]["If-Match"] == "[ETag, read first]"


async def test_a_conditional_write_reads_the_etag_first(bench: Bench) -> None:
    """If-Match carries what was read just before."""
    answer = await bench.call("update_ticket", id="3", status="done")
    assert isinstance(answer, Item)
    assert answer.result["status"] == "done"
    assert [request.method for request in bench.transport.sent] == ["GET", "PATCH"]


async def test_a_write_repeated_with_the_same_call_id_is_done_once(bench: Bench) -> None:
    """Codex sends a call again after a 401 or 404; the second one gets the first one's answer."""
    first = await bench.call("comment_on_ticket", call_id="call-1", id="1", body="once")
    second = await bench.call("comment_on_ticket", call_id="call-1", id="1", body="once")
    assert len(bench.tracker.comments) == 1
    assert isinstance(first, Item)
    assert isinstance(second, Item)
    assert first.result == second.result
    account = (await bench.account("acme")).id
    for told in (first.to_dict(), second.to_dict()):
        assert (told["account"], told["connector"]) == (account, "tracker")


async def test_repeated_writes_at_the_same_time_are_done_once(bench: Bench) -> None:
    """The second one waits for the first."""
    bench.tracker.faults = [0.2]
    await asyncio.gather(
        *(bench.call("comment_on_ticket", call_id="call-1", id="1", body="once") for _ in range(5))
    )
    assert len(bench.tracker.comments) == 1


async def test_other_arguments_with_the_same_call_id_are_another_write(bench: Bench) -> None:
    """One piece of code-mode script calls several tools under one call id."""
    await bench.call("comment_on_ticket", call_id="call-1", id="1", body="one")
    await bench.call("comment_on_ticket", call_id="call-1", id="2", body="one")
    assert len(bench.tracker.comments) == 2


async def test_a_write_that_was_surely_not_done_may_come_again(bench: Bench) -> None:
    """A refusal leaves the call id free."""
    bench.tracker.faults = [too_many("60")]
    with pytest.raises(errors.RateLimited):
        await bench.call("comment_on_ticket", call_id="call-1", id="1", body="x")
    bench.now[0] += 60
    await bench.call("comment_on_ticket", call_id="call-1", id="1", body="x")
    assert len(bench.tracker.comments) == 1


async def test_a_write_that_may_have_been_done_is_not_done_again(bench: Bench) -> None:
    """After a time-out the same call gets the same error, and the tool to look with."""
    bench.tracker.faults = [5.0]
    for _ in range(2):
        with pytest.raises(errors.UpstreamTimeout) as told:
            await bench.call("comment_on_ticket", call_id="call-1", id="1", body="x")
        assert "get_ticket" in told.value.for_model()
    assert len([r for r in bench.transport.sent if r.method == "POST"]) == 1


async def test_a_refused_credential_stops_the_account(bench: Bench) -> None:
    """Nothing more is sent with a credential that the product refused: trackers lock users out for less."""
    bench.tracker.tokens.pop("canary-acme")
    for _ in range(2):
        with pytest.raises(errors.NeedsReauth) as told:
            await bench.call("list_tickets")
        assert "linkspan account link tracker --tenant acme" in told.value.for_model()
    assert len(bench.transport.sent) == 1
    assert (await bench.account("acme")).state == "needs_reauth"
    assert (await bench.account("globex")).state == "active"


async def test_another_base_url_gets_nothing(bench: Bench) -> None:
    """A credential goes only where it was linked to; the account says so."""

    class Moved:
        def expand(self, _scope: object) -> str:
            return "http://evil.example/api"

    catalog = bench.app.catalog
    connector = replace(catalog.connectors["tracker"], base_url=Moved())
    bench.app.gateway.replace_catalog(replace(catalog, connectors={"tracker": connector}))
    with pytest.raises(errors.NeedsReauth, match="linked for"):
        await bench.call("list_tickets")
    assert bench.transport.sent == []
    assert (await bench.account("acme")).state == "needs_reauth"


async def test_upstream_faults_become_errors_that_say_what_to_do(bench: Bench) -> None:
    """Each begins with Error:, names a tool or a time, and shows nothing of a program's insides."""
    cases: list[tuple[Any, type[errors.LinkspanError], str]] = [
        (too_many("60"), errors.RateLimited, "1 minute"),
        (crash(), errors.UpstreamError, "list_tickets"),
        (sign_in_page(), errors.UpstreamError, "list_tickets"),
    ]
    for fault, kind, words in cases:
        bench.tracker.faults = [fault] * 3
        with pytest.raises(kind) as told:
            await bench.call("list_tickets")
        text = told.value.for_model()
        assert text.startswith("Error: ")
        assert words in text, text
        assert "Traceback" not in text
        assert "app.py" not in text
        bench.tracker.faults = []
        bench.now[0] += 60


async def test_an_unknown_id_names_the_tool_that_finds_ids(bench: Bench) -> None:
    """A model that guessed an id is told where ids come from."""
    with pytest.raises(errors.NotFound) as told:
        await bench.call("get_ticket", id="99")
    assert told.value.for_model().endswith("Check the id with list_tickets and call get_ticket again.")


async def test_a_tenant_without_an_account_is_told_how_to_link(bench: Bench) -> None:
    """The tools are there all the same; the answer is the command."""
    await bench.app.tenants.add("empty")
    with pytest.raises(errors.NotLinked) as told:
        await bench.call("list_tickets", tenant="empty")
    assert "linkspan account link tracker --tenant empty" in told.value.for_model()


@pytest.mark.parametrize(
    "value",
    ["../1", "..", "1/../2", "1%2f..%2f2", "1?x=1", "1#x", "1\r\nX-Evil: 1", "http://evil.example/", "//evil",
     "‥/1", "1;x=2", "1&y=2", "\uff11", "@evil.example", "\\evil", ""],
)  # fmt: skip
async def test_an_argument_never_changes_the_request_around_it(bench: Bench, value: str) -> None:
    """Whatever stands in an id, host, path above it and other parameters are as declared."""
    try:
        await bench.call("get_ticket", id=value)
    except errors.LinkspanError as error:
        assert error.code in {"invalid_argument", "not_found"}
    for request in bench.transport.sent:
        assert request.url.startswith("http://tracker.example/api/tickets/")
        rest = request.url.removeprefix("http://tracker.example/api/tickets/")
        assert not set(rest) & set("/?#&\\\r\n ")
        assert rest not in {"", ".", ".."}


async def test_every_call_leaves_one_audit_row_without_values(bench: Bench) -> None:
    """Who, which tool, which thing, how it ended and whose Codex thread it was."""
    await bench.call("get_ticket", id="3")
    await bench.call("comment_on_ticket", id="3", body="a very private text", call_id="call-9")
    with pytest.raises(errors.NotFound):
        await bench.call("get_ticket", id="99")
    rows = await bench.audit("acme")
    assert {(row.tool, row.entity_id, row.outcome, row.upstream_status) for row in rows} == {
        ("get_ticket", "3", "ok", 200),
        ("comment_on_ticket", "3", "ok", 201),
        ("get_ticket", "99", "not_found", 404),
    }
    assert len(rows) == 3
    (write,) = [row for row in rows if row.tool == "comment_on_ticket"]
    assert (write.thread_id, write.turn_id, write.call_id) == ("thread-1", "turn-1", "call-9")
    assert "private" not in repr(rows)
    assert "canary-acme" not in repr(rows)
    assert await bench.audit("globex") == []


async def test_the_audit_row_of_a_creation_names_what_was_created(bench: Bench) -> None:
    """Its id is known after the call only; a repetition is about the same thing."""
    for _ in range(2):
        await bench.call("create_ticket", title="x", call_id="call-1")
    assert [row.entity_id for row in await bench.audit("acme", tool="create_ticket")] == ["8", "8"]


async def test_cancelling_a_call_abandons_the_request(bench: Bench) -> None:
    """Nobody waits for an answer that nobody wants, and the audit says that it was cancelled."""
    bench.tracker.faults = [30.0]
    task = asyncio.create_task(bench.call("get_ticket", id="1"))
    await bench.transport.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (row,) = await bench.audit("acme")
    assert row.outcome == "cancelled"


async def test_a_fault_of_ours_shows_nothing_of_its_cause(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model gets the request id, the log gets the rest."""

    async def broken(*_: object, **__: object) -> object:
        raise RuntimeError("password=hunter2 in /srv/secret.py")

    monkeypatch.setattr(type(bench.app.accounts), "credential", broken)
    with pytest.raises(errors.Internal) as told:
        await bench.call("get_ticket", id="1")
    assert "hunter2" not in told.value.for_model()
    assert "secret.py" not in str(told.value.to_dict())
    assert "req-1" in told.value.for_model()


async def test_a_product_that_sends_the_credential_back_shows_it_to_nobody(bench: Bench) -> None:
    """Neither the model, nor the audit, nor the account's last error, nor a successful answer."""
    echo = {"message": "your Authorization was Bearer canary-acme"}
    for status in (400, 403, 500):
        bench.tracker.faults = [JSONResponse(echo, status)] * 3
        with pytest.raises(errors.LinkspanError) as told:
            await bench.call("get_ticket", id="1")
        assert "canary-acme" not in str(told.value.to_dict())
        bench.tracker.faults = []
    assert "canary-acme" not in repr(await bench.account("acme"))
    bench.tracker.tickets["acme"][0]["subject"] = "it is canary-acme"
    answer = await bench.call("get_ticket", id="1")
    assert isinstance(answer, Item)
    assert answer.result["title"] == "it is [credential]"


async def test_what_the_operator_keeps_in_the_environment_is_not_shown(bench: Bench, tmp_path: Path) -> None:
    """A dry run names the variable instead of its value."""
    path = tmp_path / "tools.yaml"
    path.write_text(FILE.read_text().replace("    timeout: 1s", '    headers: {X-App-Key: "${APP_KEY}"}'))
    bench.app.gateway.replace_catalog(spec.load([path], {"APP_KEY": "operator-canary"}))
    answer = await bench.call("comment_on_ticket", id="3", body="hi", dry_run=True)
    assert isinstance(answer, DryRun)
    assert answer.request["headers"]["X-App-Key"] == "[APP_KEY]"
    await bench.call("comment_on_ticket", id="3", body="hi")
    assert bench.transport.sent[-1].headers["X-App-Key"] == "operator-canary"


@pytest.mark.parametrize(
    "body", ["Down for maintenance", '{"something": "else"}'], ids=["text", "other JSON"]
)
async def test_an_answer_of_another_form_is_not_passed_off_as_nothing(bench: Bench, body: str) -> None:
    """No tickets, and an answer that holds no tickets, are two things."""
    kind = "text/plain" if body[0] == "D" else "application/json"
    for tool, arguments in (("list_tickets", {}), ("get_ticket", {"id": "1"})):
        bench.tracker.faults = [Response(body, 200, media_type=kind)]
        with pytest.raises(errors.UpstreamError, match="expects the"):
            await bench.call(tool, **arguments)
    for nothing in ('{"tickets": []}', '{"data": {"ticket": null}}'):
        bench.tracker.faults = [Response(nothing, 200, media_type="application/json")]
        with pytest.raises(errors.NotFound, match="tracker has no such ticket"):
            await bench.call("get_ticket", id="1")
    bench.tracker.faults = [Response('{"tickets": null}', 200, media_type="application/json")]
    assert page(await bench.call("list_tickets")).result == []


async def test_a_write_with_an_unreadable_answer_says_that_it_may_be_done(bench: Bench) -> None:
    """The next step is to look, not to write again."""
    bench.tracker.faults = [Response("Down for maintenance", 200, media_type="text/plain")]
    with pytest.raises(errors.UpstreamError) as told:
        await bench.call("create_ticket", title="x")
    assert "may have been done" in told.value.for_model()
    assert "get_ticket" in told.value.for_model()


async def test_a_write_that_was_cancelled_is_told_as_unknown_at_once(bench: Bench) -> None:
    """Its repetition neither writes again nor waits for a lease to end."""
    bench.tracker.faults = [30.0]
    task = asyncio.create_task(bench.call("comment_on_ticket", call_id="c", id="1", body="x"))
    await bench.transport.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(errors.Conflict, match="not known"):
        await bench.call("comment_on_ticket", call_id="c", id="1", body="x")
    assert bench.tracker.comments == []


async def test_signs_that_nobody_sees_are_taken_out_of_a_products_words(bench: Bench) -> None:
    """Terminals and models read what people read."""
    bench.tracker.faults = [JSONResponse({"message": "no \u202eevil\u009b31m \u200btext"}, 400)]
    with pytest.raises(errors.InvalidArgument) as told:
        await bench.call("get_ticket", id="1")
    assert told.value.message == "The Tracker did not accept the request: no evil 31m text"


async def test_an_id_with_a_lone_surrogate_is_audited(bench: Bench) -> None:
    """One odd argument must not cost the audit rows of others."""
    with pytest.raises(errors.LinkspanError):
        await bench.call("get_ticket", id="\udcff")
    assert len(await bench.audit("acme")) == 1
