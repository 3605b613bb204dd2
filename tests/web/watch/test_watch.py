"""The pages of runs, asked without a browser: who gets in, what forms may do, and what is never markup."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from linkspan.accounts.principal import Tenant
from linkspan.errors import Internal
from linkspan.gateway.calls import CallInfo
from linkspan.runs.feed import Feed
from linkspan.serving import Serving
from linkspan.store import audit, run_events
from linkspan.store.audit import AuditFilter
from linkspan.store.database import StoreFault
from linkspan.web.watch.diffs import files_of
from tests.fakes.forge import unwell
from tests.runs.conftest import ACME, BO, House, house, seeded

__all__ = ["house", "seeded"]
BASE = "http://127.0.0.1:8640"
SCRIPT = {"Linkspan-Page": "1", "Origin": BASE}
NOWHERE = f"run_{'a' * 26}"


@dataclass
class Viewer:
    """Somebody's browser, and a run of acme."""

    house: House
    http: httpx2.AsyncClient
    run: str

    @property
    def path(self) -> str:
        """Where the run's page is."""
        return f"/t/acme/runs/{self.run}"

    async def seal(self) -> str:
        """What the page's forms carry."""
        found = re.search(r'name="seal" value="([^"]+)"', (await self.http.get(self.path)).text)
        assert found is not None
        return found[1]

    async def send(self, verb: str, **form: str) -> httpx2.Response:
        """Send a form of the page."""
        return await self.http.post(f"{self.path}/{verb}", data={"seal": await self.seal(), **form})


async def signed_in(house: House, tenant: str, name: str, **more: list[str]) -> httpx2.AsyncClient:
    """Answer a browser in which somebody has signed in, by the way a person takes."""
    transport = httpx2.ASGITransport(Serving(house.app, clock=lambda: house.now[0]).asgi)
    http = httpx2.AsyncClient(transport=transport, base_url=BASE)
    made = await house.app.people.invite(Tenant(tenant), name, **more)  # type: ignore[arg-type]
    page = (await http.get(f"/t/{tenant}/invitation")).text
    seal = re.search(r'name="seal" value="([^"]+)"', page)
    assert seal is not None
    assert made.secret is not None
    form = {"seal": seal[1], "after": "", "invitation": made.secret.reveal()}
    assert (await http.post(f"/t/{tenant}/invitation", data=form)).status_code == 303
    return http


@pytest.fixture
async def bo(house: House) -> AsyncIterator[Viewer]:
    """Bo of acme, who asked for the run."""
    await house.enable("mend")
    run = await house.app.runs.start(BO, "mend", source="button", entity_id="HC-103")
    async with aclosing(await signed_in(house, "acme", "bo")) as http:
        yield Viewer(house, http, run.id)


async def test_nobody_sees_anything_before_signing_in(bo: Viewer) -> None:
    """The page leads to the sign-in and back; its parts are refused; another tenant's people find nothing."""
    bo.http.cookies.clear()
    page = await bo.http.get(bo.path)
    assert page.status_code == 200
    assert 'name="after" value="/t/acme/runs/' in page.text
    assert "HC-103" not in page.text
    for part in ("body", "beside", "changes", "checks", "earlier", "stream", "files/diff"):
        answer = await bo.http.get(f"{bo.path}/{part}", headers=SCRIPT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
    async with aclosing(await signed_in(bo.house, "globex", "eve")) as eve:
        assert "Runs of acme" not in (await eve.get(bo.path)).text
        assert (await eve.get(f"/t/globex/runs/{bo.run}")).status_code == 404
        assert bo.run not in (await eve.get("/t/globex/runs")).text


async def test_signing_in_leads_to_the_run_that_was_asked_for(bo: Viewer) -> None:
    """And to no other place that somebody wrote there."""
    made = await bo.house.app.people.invite(ACME, "ida")
    bo.http.cookies.clear()
    page = (await bo.http.get(bo.path)).text
    fields = dict(re.findall(r'name="(seal|after)" value="([^"]*)"', page))
    assert made.secret is not None
    answer = await bo.http.post("/t/acme/invitation", data={**fields, "invitation": made.secret.reveal()})
    assert (answer.status_code, answer.headers["location"]) == (303, bo.path)


@pytest.mark.parametrize("seal", ["", "x" * 43])
async def test_a_form_of_another_page_does_nothing(bo: Viewer, seal: str) -> None:
    """Without the seal that ties it to the browser, and from another origin, whatever it brings."""
    good = await bo.seal()
    answer = await bo.http.post(f"{bo.path}/cancel", data={"seal": seal})
    assert answer.status_code == 403
    foreign = await bo.http.post(
        f"{bo.path}/cancel", data={"seal": good}, headers={"Origin": "https://evil.example"}
    )
    assert foreign.status_code == 403
    assert (await bo.house.app.runs.find(ACME, bo.run)).stop is None
    assert (await bo.http.post(f"{bo.path}/cancel", data={"seal": good})).status_code == 303


async def test_words_reach_codex_and_faults_are_told(bo: Viewer) -> None:
    """What cannot be done is said on a page, or to the page's script."""
    assert (await bo.send("steer", text="Leave the menu")).headers["location"] == bo.path
    said = await run_events.hear(bo.house.app.database, "acme", bo.run, epoch=0, now=1.0)
    assert [(word.words, word.who) for word in said] == [("Leave the menu", "person:bo")]
    for verb, form in (("steer", {}), ("decide", {"decision": "maybe"}), ("decide", {"decision": "approve"})):
        refused = await bo.send(verb, **form)
        assert refused.status_code in (400, 404)
        assert "That did not work" in refused.text or "no such run" in refused.text
    assert (await bo.send("dance")).status_code == 404
    told = await bo.http.post(f"{bo.path}/interrupt", data={"seal": await bo.seal()}, headers=SCRIPT)
    assert (told.status_code, told.json()["error"]["code"]) == (409, "conflict")


async def test_who_may_only_read_does_nothing(bo: Viewer) -> None:
    """The page offers nothing, and the doors refuse."""
    async with aclosing(await signed_in(bo.house, "acme", "rita", scopes=["read"])) as http:
        page = (await http.get(bo.path)).text
        assert "<form" not in page
        # A seal of her own browser, as its own page would carry it.
        rita = Viewer(bo.house, http, bo.run)
        assert "HC-103" in page
        for verb in ("cancel", "steer", "interrupt", "retry", "decide"):
            answer = await rita.http.post(f"{bo.path}/{verb}", data={"seal": "", "text": "x"})
            assert answer.status_code == 403


async def test_the_stream_has_each_event_once_and_ends_with_the_run(bo: Viewer) -> None:
    """What is told is escaped; the number of the last event goes on where a connection was lost."""
    db = bo.house.app.database
    item = {"type": "agentMessage", "id": "m1", "text": "<script>x</script>"}
    events: list[tuple[float, str, dict[str, Any]]] = [
        (1.0, "item_completed", {"item": item}),
        (2.0, "message_delta", {"item_id": "m2", "text": "<"}),
    ]
    await run_events.append(db, "acme", bo.run, events, epoch=None)
    await bo.house.app.runs.cancel(BO, bo.run)
    told = (await bo.http.get(f"{bo.path}/stream?after=0")).text
    assert "<script>" not in told
    assert "&lt;script&gt;" in told
    numbers = [int(each) for each in re.findall(r"(?m)^id: (\d+)$", told)]
    assert numbers == sorted(set(numbers))
    assert told.endswith("event: end\ndata: {}\n\n")
    later = (await bo.http.get(f"{bo.path}/stream", headers={"Last-Event-ID": str(numbers[1])})).text
    assert [int(each) for each in re.findall(r"(?m)^id: (\d+)$", later)] == numbers[2:]


async def test_a_page_may_do_little(bo: Viewer) -> None:
    """Scripts of ours only, nothing from elsewhere, in nobody's frame, kept by no cache."""
    for path in (bo.path, "/t/acme/runs", f"/t/acme/runs/{NOWHERE}"):
        answer = await bo.http.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?! type=\"module\" src=)|\son\w+=|style=\"", answer.text)


async def test_a_run_shows_how_its_pull_request_stands(bo: Viewer) -> None:
    """State and checks of its last commit, asked once for all who look within ten seconds, and as the run."""
    house, part = bo.house, f"{bo.path}/checks"
    repository = house.forge.repositories["acme/cafe"]
    repository.branches["codex/x"] = "b" * 40
    create = house.app.catalog.tool_for("pull_request.create")
    assert create is not None
    words = {"owner": "acme", "repo": "cafe", "title": "Fix it", "head": "codex/x", "base": "main"}
    made: Any = await house.app.gateway.call(BO, create, words, info=CallInfo("0" * 32, via="rest"))
    shown = {name: made.result[name] for name in ("id", "number", "url")}
    assert (await bo.http.get(part, headers=SCRIPT)).text.count("The forge shows it no more") == 1
    more = {"entity_url": "https://desk.example/tickets/HC-103?a=1&b=2", "cost": 0.426, "total_tokens": 7}
    await change_run(bo, pull_request=json.dumps(shown), branch="codex/x", **more)
    page = (await bo.http.get(bo.path)).text
    assert '<div id="checks"><p class="note" data-again>What the forge' in page
    assert ">acme/cafe#1</a>" in page
    assert "<dt>Cost</dt><dd>0.43</dd>" in page
    assert '<a href="https://desk.example/tickets/HC-103?a=1&amp;b=2"' in page
    # A forge makes checks seconds after the pull request: while it may think of some, the page asks again.
    none = (await bo.http.get(part, headers=SCRIPT)).text
    assert ("No check has said anything" in none, "data-again" in none) == (True, True)
    run: dict[str, Any] = {"head_sha": "b" * 40, "started_at": None, "completed_at": None, "output": {}}
    of = {"html_url": "javascript:alert(1)", "url": "https://api.github.com/repos/acme/cafe/check-runs/1"}
    repository.checks = [
        {"id": 1, "name": "<b>unit</b>", "status": "completed", "conclusion": "failure", **run, **of},
        {"id": 2, "name": "lint", "status": "in_progress", "conclusion": None, **run, **of},
        {
            "id": 3,
            "name": "other",
            "status": "completed",
            "conclusion": "success",
            **run,
            "head_sha": "c" * 40,
        },
    ]
    told = {
        "context": "ci/old",
        "state": "success",
        "description": None,
        "target_url": "https://ci.example/9",
    }
    repository.statuses = [
        {**told, "id": 1, "url": f"https://api.github.com/repos/acme/cafe/statuses/{'b' * 40}"}
    ]
    asked = house.forge.counts["GET checks"]
    assert "No check has said anything" in (await bo.http.get(part, headers=SCRIPT)).text
    assert house.forge.counts["GET checks"] == asked
    house.now[0] += 10
    answers = await asyncio.gather(*(bo.http.get(part, headers=SCRIPT) for _ in range(20)))
    assert house.forge.counts["GET checks"] == asked + 1
    text = answers[0].text
    assert {each.text for each in answers} == {text}
    assert "Checks: 1 passed, 1 failed, 1 under way" in text
    assert "data-again" in text
    assert "&lt;b&gt;unit&lt;/b&gt;" in text
    assert "javascript:" not in text
    assert '<a href="https://ci.example/9"' in text
    assert "other" not in text
    await house.app.audit.flush()
    rows = await audit.find(house.app.database, ACME, AuditFilter(principal_subject=bo.run))
    assert {(row.row.principal_kind, row.row.tool) for row in rows} == {
        ("run", name) for name in ("get_pull_request", "list_checks", "list_statuses_of_commit")
    }
    house.now[0] += 10
    repository.checks[1] |= {"status": "completed", "conclusion": "success"}
    for ended, again in (299, True), (300, False):
        await change_run(bo, finished=house.now[0] - ended)
        done = (await bo.http.get(part, headers=SCRIPT)).text
        assert ("Checks: 2 passed, 1 failed" in done, "data-again" in done) == (True, again)
    house.now[0] += 10
    house.forge.faults += [unwell()] * 9
    failed = await bo.http.get(part, headers=SCRIPT)
    assert (failed.status_code, "could not be asked just now" in failed.text) == (200, True)


async def change_run(bo: Viewer, **columns: Any) -> None:
    """Let the run have something that a worker would have noted."""
    names = ", ".join(f"{name} = :{name}" for name in columns)
    changed = await bo.house.app.database.execute(
        f"UPDATE runs SET {names} WHERE id = :id",
        {"id": bo.run, **columns},
    )
    assert changed == 1


async def test_who_watches_outlives_a_fault_of_the_store(
    bo: Viewer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on by itself, told once in the log; another fault ends the watching, so that they come back."""
    db, look, looks, failed = bo.house.app.database, run_events.news, 0, asyncio.Event()
    faults: list[Exception] = [StoreFault("the database is locked"), StoreFault("the database is locked")]

    async def news(*given: Any, **how: Any) -> Any:
        nonlocal looks
        looks += 1
        if looks > 1 and faults:
            failed.set()
            raise faults.pop()
        return await look(*given, **how)

    monkeypatch.setattr("linkspan.runs.feed._AGAIN", 0.05)
    monkeypatch.setattr(run_events, "news", news)
    async with asyncio.timeout(30):
        watching = asyncio.create_task(bo.http.get(f"{bo.path}/stream?after=0"))
        await failed.wait()
        told = {"item": {"id": "m1", "type": "agentMessage", "text": "Still here."}}
        event = (bo.house.now[0], "item_completed", told)
        await run_events.append(db, "acme", bo.run, [event], epoch=None)
        await bo.house.app.runs.cancel(BO, bo.run)
        seen = (await watching).text
    assert seen.count("Still here.") == 1
    assert seen.endswith("event: end\ndata: {}\n\n")
    assert [each for each in caplog.messages if "cannot be looked at" in each] == [
        f"run {bo.run} cannot be looked at for who watches it: the database is locked"
    ]
    faults.append(RuntimeError())
    feed = Feed(db, bo.house.app.runs.bell)
    with pytest.raises(Internal, match="cannot be watched any more"):
        await anext(feed.follow(ACME, bo.run))
    assert [each.kind for batch in [b async for b in feed.follow(ACME, bo.run)] for each in batch]


async def test_a_large_change_comes_file_by_file(bo: Viewer) -> None:
    """The first is in the page, each other one when it is asked for, and what is none is said to be none."""
    lines = "".join(f"+<b>{number}\fdiff --git a/x b/x\n" for number in range(300))
    diff = "".join(f"diff --git a/{n} b/{n}\n@@ -0,0 +1,300 @@\n{lines}" for n in range(3))
    kept = bo.house.app.kept
    assert await kept.put(ACME, bo.run, "diff", "text/plain", diff.encode(), epoch=0)
    page = (await bo.http.get(bo.path)).text
    assert (page.count('class="l a"'), page.count("data-file=")) == (300, 2)
    other = await bo.http.get(f"{bo.path}/changes?file=3", headers=SCRIPT)
    assert (
        other.text.count('class="l a"'),
        "&lt;b&gt;<i class=n>299</i>&lt;U+000C&gt;diff" in other.text,
    ) == (300, True)
    for none in ("0", "4", "x"):
        assert (await bo.http.get(f"{bo.path}/changes?file={none}", headers=SCRIPT)).status_code == 404


async def test_of_a_file_without_lines_it_is_said_why_there_are_none(
    bo: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nothing is different is said of no file that becomes executable, is empty, or is too far down."""
    headers = {
        "run.sh": "old mode 100644\nnew mode 100755\n",
        "empty": "new file mode 100644\n",
        "gone": "deleted file mode 100644\n",
        "b": "similarity index 100%\nrename from a\nrename to b\n",
        "link": "new file mode 120000\n@@ -0,0 +1 @@\n+run.sh\n",
        "long": "@@ -0,0 +1,2 @@\n+1\n+2\n",
    }
    diff = "".join(f"diff --git a/{path} b/{path}\n{header}" for path, header in headers.items())
    assert await bo.house.app.kept.put(ACME, bo.run, "diff", "text/plain", diff.encode(), epoch=0)
    defaults = files_of.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "most", 2)
    text = (await bo.http.get(f"{bo.path}/changes", headers=SCRIPT)).text
    marks = re.findall(r'<span class="mark">([^<]+)</span>', text)
    assert marks == ["executable", "new", "deleted", "new", "a link"]
    assert re.findall(r'<p class="note">([^<]+)</p>', text) == [
        "Its text is as it was.",
        "It is empty.",
        "It was empty.",
        "Nothing in it is different.",
        "What is different is in the file to load.",
        "3 more lines are in the file to load.",
    ]
