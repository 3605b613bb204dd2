"""docs/recipes/review_pull_request.md as it stands: reviews at the right lines, and only of what is new."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from linkspan.store.runs import Run
from tests.recipes.pages import tools_of
from tests.recipes.town import BO, PATIENCE, Town, town
from tests.servers.scripted_model import Step, message, shell

pytestmark = pytest.mark.e2e
GUIDE = "Prices are integers of cents."
ORDERS = [f"# line {number}" for number in range(1, 61)]
MENU = [f"dish_{number} = {number}" for number in range(1, 31)]
BASE = {
    "AGENTS.md": "Run the tests.\n",
    "docs/style.md": GUIDE + "\n",
    "orders.py": "\n".join(ORDERS) + "\n",
    "menu.py": "\n".join(MENU) + "\n",
    "untouched.py": "x = 1\n",
}


def changed(lines: list[str], changes: dict[int, str | None]) -> str:
    """Answer a file with lines replaced, or taken away, by number."""
    kept = [changes.get(number, line) for number, line in enumerate(lines, 1)]
    return "\n".join(line for line in kept if line is not None) + "\n"


FIRST = {
    **{name: text for name, text in BASE.items() if name != "menu.py"},
    "docs/style.md": "Anything goes.\n",
    "orders.py": changed(ORDERS, {10: "total = 0.1 + 0.2", 11: "total *= 2", 12: "print(total)", 40: None}),
    "dishes.py": changed(MENU, {5: "dish_5 = 5.5"}),
}
SECOND = {
    **FIRST,
    "orders.py": FIRST["orders.py"].replace("# line 50", "tip = 0.3") + "end = True\n",
}


def finding(path: str, line: int, body: str, **more: Any) -> dict[str, Any]:
    """Answer a finding as the model says it, all members there."""
    usual = {"start_line": None, "side": "RIGHT", "severity": "important", "title": "", "suggestion": None}
    return {**usual, "path": path, "line": line, "body": body, **more}


def said(summary: str, *findings: dict[str, Any], event: str = "comment") -> Step:
    """Let the model end with a review."""
    return [message(json.dumps({"summary": summary, "event": event, "findings": list(findings)}))]


def opened(made: Town) -> dict[str, Any]:
    """Push the change, and answer the pull request that somebody else than our account opens for it."""
    made.git.commit("acme/shop", FIRST, branch="feature", parent=made.git.branches("acme/shop")["main"])
    repository, branches = made.forge.repositories["acme/shop"], made.git.branches("acme/shop")
    pull = {
        **made.forge._thing(repository, {"title": "Totals", "body": "Adds totals."}, "pull"),
        "user": {"id": 2, "login": "ada"},
        "draft": False,
        "merged_at": None,
        "head": {"ref": "feature", "sha": branches["feature"], "repo": made.forge._shown(repository)},
        "base": {"ref": "main", "sha": branches["main"], "repo": made.forge._shown(repository)},
    }
    repository.things.append(pull)
    return pull


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Town]:
    """A repository with a pull request, and reviews turned on."""
    async with town(tmp_path, "review_pull_request", BASE) as made:
        opened(made)
        await made.app.recipes.enable(
            BO,
            "review_pull_request",
            {"repository": "acme/shop", "guide": "docs/style.md", "style": "Be kind."},
        )
        yield made


def threads(place: Town) -> list[dict[str, Any]]:
    """Read the comments back from the forge."""
    assert place.forge.changes is not None
    return place.forge.changes.threads.get("acme/shop#1", [])


def line_at(place: Town, thread: dict[str, Any]) -> str:
    """Answer the line of the repository that a comment is at."""
    commit = thread["commit"] if thread["side"] == "RIGHT" else "main"
    path = "menu.py" if thread["side"] == "LEFT" and thread["path"] == "dishes.py" else thread["path"]
    return str(place.git.show("acme/shop", f"{commit}:{path}").split("\n")[thread["line"] - 1])


async def reviewed(place: Town, action: str, count: int) -> Run:
    """Let GitHub tell of the pull request, and answer the run that comes of it at its end."""
    (pull,) = place.forge.repositories["acme/shop"].pulls
    pull["head"]["sha"] = place.git.branches("acme/shop")["feature"]
    await place.from_github("pull_request", action, pull)
    run, *_ = await place.runs(count)
    done = await place.until(run.id)
    assert done.state == "succeeded", done.error_message
    return done


async def test_a_pull_request_is_reviewed_and_then_only_what_is_new(place: Town) -> None:
    """Each comment is at the line that it means; later ones are of new lines alone, resolved threads stay."""
    place.model.prepare(
        [
            [shell("", "cat orders.py | sed -n 10p; cat docs/style.md")],
            said(
                "Money is counted in floats.",
                finding("orders.py", 10, "Floats lose cents.", title="Float", suggestion="total = 30"),
                finding("./orders.py", 12, "Say it once.", start_line=11, suggestion="print(total * 2)"),
                finding("orders.py", 40, "This line was needed.", side="LEFT", suggestion="# line 40"),
                finding("menu.py", 5, "Half a dish.", title="Half"),
                finding("orders.py", 200, "Far away."),
                finding("orders.py", 15, "From far.", start_line=2, suggestion="no"),
                finding("untouched.py", 1, "Not here."),
                finding("nowhere.py", 1, "Nothing @everyone ![x](https://evil.example/x)"),
                event="approve",
            ),
        ]
    )
    first = await reviewed(place, "opened", 1)
    told = place.model.turns[0].text
    assert GUIDE in told and "Anything goes." not in told.partition("change of acme/shop#1")[0]
    assert "Be kind." in told and "Adds totals." in told and "what is new in" not in told
    assert "    10 +total = 0.1 + 0.2" in told
    assert place.model.turns[1].outputs[-1].strip().endswith("total = 0.1 + 0.2\nAnything goes.")
    assert first.summary == "Money is counted in floats."
    assert [
        (each["path"], each["side"], each["start_line"], line_at(place, each)) for each in threads(place)
    ] == [
        ("orders.py", "RIGHT", None, "total = 0.1 + 0.2"),
        ("orders.py", "RIGHT", 11, "print(total)"),
        ("orders.py", "LEFT", None, "# line 40"),
        ("dishes.py", "RIGHT", None, "dish_5 = 5.5"),
        ("orders.py", "RIGHT", 7, "# line 15"),
    ]
    texts = [each["comments"][0]["body"] for each in threads(place)]
    assert texts[0] == "**important: Float**\n\nFloats lose cents.\n\n```suggestion\ntotal = 30\n```"
    assert "```suggestion\nprint(total * 2)\n```" in texts[1]
    assert "suggestion" not in texts[2] and "suggestion" not in texts[4]
    (review,) = place.forge.repositories["acme/shop"].reviews
    assert (review["state"], review["commit_id"]) == ("COMMENTED", first.base_commit)
    assert review["body"].startswith("Money is counted in floats.\n\n### Outside of the changed lines")
    for words in ("**orders.py:200**\n\nFar away.", "**untouched.py:1**", "**nowhere.py:1**"):
        assert words in review["body"]
    assert "@everyone" not in review["body"]
    assert "https://evil.example" not in review["body"]

    threads(place)[0]["resolved"] = True
    place.git.commit("acme/shop", SECOND, branch="feature")
    place.model.prepare(
        [
            said(
                "Tips are floats too.",
                finding("orders.py", 10, "Floats lose cents!", title="Float"),
                finding("orders.py", 10, "A new thought at a resolved line."),
                finding("orders.py", 12, "Say it once.", start_line=11),
                finding("orders.py", 11, "An old line, thought of late."),
                finding("orders.py", 49, "Floats again.", title="Tip", suggestion="tip = 30"),
                finding("nowhere.py", 1, "Nothing."),
                event="request_changes",
            )
        ]
    )
    await reviewed(place, "synchronize", 2)
    told = place.model.turns[2].text
    assert "what is new in acme/shop#1" in told and "- orders.py: 49, 60" in told
    assert "resolved thread at orders.py:10" in told and "open thread at dishes.py:5" in told
    assert len(threads(place)) == 6
    assert line_at(place, threads(place)[5]) == "tip = 0.3"
    assert threads(place)[0]["resolved"] and all(len(each["comments"]) == 1 for each in threads(place))
    reviews = place.forge.repositories["acme/shop"].reviews
    # Told to approve it still comments: that is for people. Changes it may ask for.
    assert [each["state"] for each in reviews] == ["COMMENTED", "CHANGES_REQUESTED"]

    # Twenty pushes, one after the other: looked at once, or twice where the first of them was slow to come.
    place.model.prepare(
        [said("Nothing to add.", finding("orders.py", 10, "Floats lose cents.", title="Float"))] * 2
    )
    (pull,) = place.forge.repositories["acme/shop"].pulls
    for number in range(20):
        ending = f"# the end, {number}\n"
        head = place.git.commit(
            "acme/shop", {**SECOND, "orders.py": SECOND["orders.py"] + ending}, branch="feature"
        )
        pull["head"]["sha"] = head
        await place.from_github("pull_request", "synchronize", pull)
    async with asyncio.timeout(PATIENCE):
        while not any(
            run.base_commit == head and run.state == "succeeded" for run in await place.app.runs.list(BO)
        ):
            await place.app.runs.bell.wait(0.2)
    assert len(await place.app.runs.list(BO)) in (3, 4)
    assert (len(threads(place)), len(reviews)) == (6, 2)


def judged(place: Town) -> list[str]:
    """Answer how each review that is there judges."""
    return [each["state"] for each in place.forge.repositories["acme/shop"].reviews]


async def test_what_is_approved_only_where_the_recipe_says_so(tmp_path: Path) -> None:
    """With `may_approve` it is; a judgement of a change of our own account is given as a comment.

    A draft is looked at when it is one no more.
    """
    page = yaml.safe_load(tools_of("review_pull_request", tmp_path).read_text())
    trusted = {**page["recipes"]["review_pull_request"], "publish": {"as": "review", "may_approve": True}}
    trusted["on"] = trusted.pop(True)  # what YAML 1.1 takes the word for
    del trusted["debounce"]
    async with town(tmp_path, "review_pull_request", BASE, recipes={"trusted_review": trusted}) as made:
        pull = opened(made)
        await made.app.recipes.enable(BO, "trusted_review", {"repository": "acme/shop"})
        made.model.prepare([said("All is well.", event="approve")])
        pull["draft"] = True
        await made.from_github("pull_request", "opened", pull)
        async with asyncio.timeout(PATIENCE):
            while "trusted_review: `when` is not so." not in [
                each.outcome for each in await made.app.arrivals.list(BO.tenant)
            ]:
                await made.app.runs.bell.wait(0.2)
        assert await made.app.runs.list(BO) == []
        pull["draft"] = False
        await reviewed(made, "ready_for_review", 1)
        assert judged(made) == ["APPROVED"]
        pull["user"] = {"id": 1, "login": "acme"}
        made.git.commit("acme/shop", SECOND, branch="feature")
        floats = finding("orders.py", 49, "Floats again.", title="Tip")
        made.model.prepare([said("Tips are floats.", floats, event="request_changes")])
        await reviewed(made, "synchronize", 2)
        assert judged(made) == ["APPROVED", "COMMENTED"]
        assert line_at(made, threads(made)[0]) == "tip = 0.3"
