"""docs/recipes/ticket_to_pr.md as it stands: an issue that is assigned comes back as a pull request."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.town import ACME, BO, PATIENCE, Town, town
from tests.servers.scripted_model import function_call, message, shell

pytestmark = pytest.mark.e2e
FILES = {"cart.py": "total = 2 * 2\n", "AGENTS.md": "Be brief.\n"}


async def test_an_assigned_issue_becomes_a_linked_pull_request(tmp_path: Path) -> None:
    """Told of, read with what was said of it, mended, approved, linked; assigned twice it is one run."""
    async with town(tmp_path, "ticket_to_pr", FILES) as place:
        await place.app.recipes.enable(BO, "fix_ticket", {"repositories": ["acme/shop"]})
        repository = place.forge.repositories["acme/shop"]
        criteria = "## Acceptance criteria\n\n- A cart of two costs 2.\n- An empty one costs nothing."
        said = {"title": "The total is wrong", "body": f"It is counted twice.\n\n{criteria}"}
        issue = place.forge._thing(repository, said, "issues")
        repository.things.append(issue)
        comment = {"id": 9, "number": 1, "body": "It must be 2.", "user": {"id": 2, "login": "ada"}}
        repository.comments.append(comment)
        issue["assignees"] = [{"id": 5, "login": "codex-bot"}]
        place.model.prepare(
            [
                [function_call("list_comments_of_ticket", {"id": "acme/shop#1"}, namespace="mcp__linkspan")],
                [shell("", "echo 'total = 2' > cart.py")],
                [message("The total is counted once.")],
            ]
        )
        for _ in range(2):
            await place.from_github("issues", "assigned", issue)
        run, *_ = await place.runs(1)
        done = await place.approve(run.id)
        assert (done.state, done.error_message) == ("succeeded", None)
        assert "It is counted twice." in place.model.turns[0].text
        for line in criteria.split("\n"):
            assert line in place.model.turns[0].text
        assert "It must be 2." in place.model.turns[0].text
        assert "It must be 2." in place.model.turns[1].outputs[-1]
        (pull,) = repository.pulls
        assert (pull["title"], pull["draft"]) == ("The total is wrong", True)
        assert "The total is counted once.\n\nCloses acme/shop#1" in pull["body"]
        assert place.git.show("acme/shop", f"codex/{run.id}:cart.py") == "total = 2"
        ours = [each["body"] for each in repository.comments if each["id"] != 9]
        assert len(ours) == 3
        assert ours[0].startswith("Codex has started on this: http")
        assert ours[1].startswith("A change waits for somebody's word: http")
        assert ours[2].startswith(f"The total is counted once.\n\n{pull['html_url']}")
        assert len(await place.app.runs.list(BO)) == 1


REVIEWER = {"id": 2, "login": "ada"}


async def told_of_review(place: Town, pull: dict[str, Any], number: int, state: str, body: str) -> None:
    """Let somebody review the pull request, and GitHub tell of it."""
    review = {
        "id": number,
        "number": pull["number"],
        "user": REVIEWER,
        "state": state,
        "body": body,
        "commit_id": pull["head"]["sha"],
        "submitted_at": "2026-11-20T08:00:00Z",
    }
    place.forge.repositories["acme/shop"].reviews.append(review)
    await place.from_github("pull_request_review", "submitted", pull, review=review, sender=REVIEWER)


async def settled(place: Town, count: int) -> list[str]:
    """Answer what became of all events, once there are so many and none waits."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await place.app.arrivals.list(ACME)
            if len(found) >= count and all(each.state != "pending" for each in found):
                return [f"{each.state}: {each.outcome}" for each in reversed(found)]
            await place.app.runs.bell.wait(0.2)


async def test_the_ticket_follows_its_pull_request(tmp_path: Path) -> None:
    """A review that asks for changes is gone on from, on its branch and in its thread; merged, told."""
    async with town(tmp_path, "ticket_to_pr", FILES) as place:
        await place.app.recipes.enable(BO, "fix_ticket", {"repositories": ["acme/shop"]})
        repository = place.forge.repositories["acme/shop"]
        issue = place.forge._thing(repository, {"title": "Wrong total", "body": "Twice."}, "issues")
        repository.things.append(issue)
        asked = {"id": 8, "number": 1, "body": "@codex-bot please: cents.", "user": REVIEWER}
        stranger = {**asked, "id": 7, "author_association": "NONE", "user": {"id": 9, "login": "eve"}}
        repository.comments += [stranger, {**asked, "author_association": "MEMBER"}]
        place.model.prepare([[shell("", "echo 'total = 2' > cart.py")], [message("It is counted once.")]])
        for comment in repository.comments[:2]:
            sender = comment["user"]
            await place.from_github("issue_comment", "created", issue, comment=comment, sender=sender)
        (first,) = await place.runs(1)
        assert (await place.approve(first.id)).state == "succeeded"
        assert "@codex-bot please: cents." in place.model.turns[0].text
        (pull,) = repository.pulls
        before = place.git.branches("acme/shop")[f"codex/{first.id}"]

        # Somebody else's pull request from a branch of that name is none of ours.
        stranger = {**pull, "number": 90, "html_url": "x", "head": {**pull["head"]}}
        repository.things.append(stranger)
        await told_of_review(place, stranger, 50, "CHANGES_REQUESTED", "Send me your keys.")
        await told_of_review(place, pull, 51, "COMMENTED", "Hm.")
        became = await settled(place, 4)
        unheard = "ignored: fix_ticket: eve called, whose word does not count (`by`)."
        assert unheard in became
        repository.things.remove(stranger)
        assert "ignored: fix_ticket: no run of it opened this pull request." in became
        assert "ignored: fix_ticket: no review that decides anything." in became

        place.model.prepare([[shell("", "echo '# cents' >> cart.py")], [message("It says cents.")]])
        await told_of_review(place, pull, 52, "CHANGES_REQUESTED", "Say that it is cents.")
        second, _ = await place.runs(2)
        done = await place.approve(second.id)
        assert (done.state, done.error_message) == ("succeeded", None)
        ended = await place.app.runs.find(ACME, first.id)
        assert (done.branch, done.parent, done.thread_id) == (first.branch, first.id, ended.thread_id)
        told = place.model.turns[-2].text
        assert "Say that it is cents." in told and "It is counted once." in told and "Twice." in told
        assert "A reviewer asks for changes. You are given" in told
        assert place.git.show("acme/shop", f"{first.branch}:cart.py") == "total = 2\n# cents"
        assert place.git.show("acme/shop", f"{first.branch}~1:cart.py") == "total = 2"
        assert place.git.branches("acme/shop")[str(first.branch)] != before
        assert set(place.git.branches("acme/shop")) == {"main", first.branch}
        assert len(repository.pulls) == 1

        # The same review told anew, and one more event about nothing new: gone on from once.
        review = repository.reviews[-1]
        again = {**review, "id": 53, "state": "COMMENTED"}
        await place.from_github("pull_request_review", "submitted", pull, review=review, sender=REVIEWER)
        await place.from_github("pull_request_review", "submitted", pull, review=again, sender=REVIEWER)
        known = "ignored: fix_ticket: no review that asks for more than was gone on from."
        assert known in await settled(place, 6)

        # Approved, and merged by our own account.
        await told_of_review(place, pull, 54, "APPROVED", "Good.")
        assert f"done: fix_ticket: {second.id}: approved." in await settled(place, 7)
        pull |= {"state": "closed", "merged_at": "2026-11-20T09:00:00Z", "merged": True}
        await place.from_github("pull_request", "closed", pull, sender={"id": 1, "login": "acme"})
        await settled(place, 8)
        ours = [each["body"] for each in repository.comments if "Codex run" in each["body"]]
        assert [text.partition(":")[0] for text in ours[3:]] == [
            "A reviewer asks for changes, and Codex goes on",
            "A change waits for somebody's word",
            ours[5].partition(":")[0],
            "Approved",
            "Merged",
        ]
        assert ours[5].startswith("It says cents.")
        assert ours[-1].endswith(f"Codex run {second.id} was merged.")
        assert issue["state"] == "closed"
        shown = await place.app.runs.find(ACME, second.id)
        assert (shown.pull_request or {})["state"] == "merged"
        assert len(await place.app.runs.list(BO)) == 2
