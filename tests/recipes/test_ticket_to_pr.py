"""docs/recipes/ticket_to_pr.md as it stands: an issue that is assigned comes back as a pull request."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipes.town import BO, town
from tests.servers.scripted_model import function_call, message, shell

pytestmark = pytest.mark.e2e
FILES = {"cart.py": "total = 2 * 2\n", "AGENTS.md": "Be brief.\n"}


async def test_an_assigned_issue_becomes_a_linked_pull_request(tmp_path: Path) -> None:
    """Told of, read with what was said of it, mended, approved, linked; assigned twice it is one run."""
    async with town(tmp_path, "ticket_to_pr", FILES) as place:
        await place.app.recipes.enable(BO, "fix_ticket", {"repositories": ["acme/shop"]})
        repository = place.forge.repositories["acme/shop"]
        said = {"title": "The total is wrong", "body": "It is counted twice."}
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
