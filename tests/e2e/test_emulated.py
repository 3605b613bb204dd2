"""The built-in connectors for GitHub, Linear and Slack, against emulate: over MCP and on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from linkspan.errors import RateLimited
from tests.servers.emulate import ANOTHER, TOKEN, Emulate, Workspace, github, known_words, linear, slack
from tests.servers.linkspan import SECRET, Endpoint, Linkspan

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Office:
    """Linkspan with a tenant that is linked to both."""

    linkspan: Linkspan
    endpoint: Endpoint
    slack: Workspace

    def every(self, tool: str, **arguments: Any) -> list[dict[str, Any]]:
        """Read a list to its end, over MCP."""
        found: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            page = self.endpoint.call(tool, **arguments, **more)
            found += page["result"]
            if page["next_cursor"] is None:
                return found
            more = {"cursor": page["next_cursor"]}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """All of it, once for all tests."""
    folder = tmp_path_factory.mktemp("office")
    with linear(folder / "linear") as tracker, slack(folder / "slack") as workspace:
        head = {"linkspan": 1, "name": "office", "instructions": "List tickets, messages and channels."}
        connectors = {
            "linear": {"use": "linear", "base_url": tracker},
            "slack": {"use": "slack", "base_url": f"{workspace.url}/api"},
        }
        (folder / "tools.yaml").write_text(
            yaml.safe_dump({**head, "connectors": connectors, "entities": known_words()})
        )
        linkspan = Linkspan(folder / "home", folder / "tools.yaml")
        linkspan.add_tenant("acme")
        for name in connectors:
            words = ("account", "link", name, "--tenant", "acme", "--secret-env", SECRET, "--json")
            linked = json.loads(linkspan.run(*words, env={SECRET: TOKEN}))
            assert linked["identity"]["id"], linked
        _, token = linkspan.create_token("acme")
        with linkspan.serve(log=folder / "log") as url:
            yield Office(linkspan, Endpoint(f"{url}/t/acme/mcp", token), workspace)


def test_a_ticket_of_linear_from_its_creation_to_its_end(office: Office) -> None:
    """Created in a team, listed to the last page, read by its key, commented, moved from state to state."""
    call = office.endpoint.call
    office.endpoint.done.clear()
    (team,) = office.every("list_teams")
    assert team["key"] == "ENG"
    wanted = {"title": "Broken", "description": "It **is**.", "priority": "high"}
    made = [call("create_ticket", team=team["id"], **wanted)["result"] for _ in range(3)]
    listed = office.every("list_tickets", limit=2)
    assert {ticket["id"] for ticket in listed} >= {ticket["id"] for ticket in made}
    assert len(listed) == len({ticket["id"] for ticket in listed}) == 4
    found = call("get_ticket", id=made[0]["key"])["result"]
    with office.endpoint.api() as api:
        tickets = api.entities("ticketing/tickets")
        assert [each["id"] for each in tickets.list(limit=2)] == [each["id"] for each in listed]
        assert tickets.get(made[0]["key"]) == found
        query = {"query": "{ teams { nodes { id key } } }"}
        raw = api.proxy("linear").request("POST", "/graphql", body=query).json()
        assert raw["data"]["teams"]["nodes"] == [{"id": team["id"], "key": "ENG"}]
    assert {name: found[name] for name in wanted} == wanted
    assert (found["id"], found["status"], found["team"]) == (made[0]["id"], "todo", team["id"])
    states = {state["type"]: state["id"] for state in office.every("list_states_of_team", id=team["id"])}
    for kind, status in (("started", "in_progress"), ("completed", "done")):
        assert call("update_ticket", id=found["id"], state=states[kind])["result"]["status"] == status
        read = office.linkspan.call("ticket.get", "acme", id=found["id"])["result"]
        assert (read["status"], read["title"]) == (status, "Broken")
    call("update_ticket", id=found["id"], title="Mended", priority="low")
    said = [call("comment_on_ticket", id=found["id"], body=f"Comment {n}")["result"] for n in range(3)]
    comments = office.every("list_comments_of_ticket", id=found["id"], limit=1)
    assert [comment["id"] for comment in comments] == [comment["id"] for comment in said]
    assert comments[0]["body"].startswith("Comment 0")
    shown = office.linkspan.run("call", "ticket.update", "--tenant", "acme", "--arg", f"id={found['id']}",
                                "--arg", "title=Again", "--dry-run", "--json")  # fmt: skip
    assert "issueUpdate" in shown
    assert call("get_ticket", id=found["id"])["result"]["title"] == "Mended"
    assert office.endpoint.done == office.linkspan.tools("linear")


def test_what_linear_refuses_is_told(office: Office) -> None:
    """What is not there, and values; emulate takes every key and counts no calls."""
    call = office.endpoint.call
    assert call("get_ticket", id="ENG-99")["error"]["code"] == "not_found"
    assert call("get_ticket", id="../x")["error"]["code"] == "invalid_argument"
    refused = call("create_ticket", team="nope", title="x")["error"]
    assert (refused["code"], "Team not found" in refused["message"]) == ("invalid_argument", True)
    refused = call("comment_on_ticket", id="nope", body="x")["error"]
    assert "Issue not found" in refused["message"]
    again = office.linkspan.call("ticket.get", "acme", exit_code=1, id="ENG-99")["error"]
    assert again["code"] == "not_found"


def test_a_message_of_slack_from_its_post_to_its_end(office: Office) -> None:
    """Posted, listed to the last page, answered in its thread, changed, deleted."""
    call = office.endpoint.call
    office.endpoint.done.clear()
    channels = office.every("list_channels", limit=1)
    assert [channel["name"] for channel in channels] == ["general", "random"]
    general = channels[0]["id"]
    with office.endpoint.api() as api:
        raw = api.proxy("slack").request("POST", "/conversations.list").json()
        assert {each["id"] for each in raw["channels"]} == {each["id"] for each in channels}
        assert [each["name"] for each in api.entities("custom/channels").list(limit=1)] == [
            "general",
            "random",
        ]
    assert call("get_channel", id=general)["result"]["topic"] == "General discussion"
    text = "It **is** [broken](https://acme.example) & so on."
    made = call("create_message", channel=general, text=text)["result"]
    assert made["text"] == text
    last = [call("create_message", channel=general, text=f"Message {n}")["result"]["id"] for n in range(4)]
    listed = office.every("list_messages", channel=general, limit=2)
    assert [message["id"] for message in listed] == [*reversed(last), made["id"]]
    assert call("get_message", id=last[-1])["result"]["text"] == "Message 3"
    answer = call("create_message", channel=general, text="Mended.", thread=made["ts"])["result"]
    thread = office.every("list_messages_of_thread", id=made["id"])
    assert [message["id"] for message in thread] == [made["id"], answer["id"]]
    assert thread[0]["replies_count"] == 1
    assert call("get_message", id=answer["id"])["result"]["text"] == "Mended."
    changed = call("update_message", id=answer["id"], text="_Really_ mended.")["result"]
    assert changed["text"] == "_Really_ mended."
    assert "error" not in call("delete_message", id=answer["id"])
    assert len(office.every("list_messages_of_thread", id=made["id"])) == 1
    read = office.linkspan.call("message.list", "acme", channel=general, limit="1")
    assert read["result"][0]["id"] == last[-1]
    assert office.endpoint.done == office.linkspan.tools("slack")


def test_what_slack_refuses_is_told(office: Office) -> None:
    """Each in our words, though all of it is a 200; and the credential of nobody."""
    call = office.endpoint.call
    (random,) = [channel["id"] for channel in office.every("list_channels") if channel["name"] == "random"]
    foreign = office.slack.ask("chat.postMessage", ANOTHER, channel="general", text="Mine.")
    place = {"id": f"{foreign['channel']}/{foreign['ts']}"}
    assert call("get_channel", id="C9")["error"]["code"] == "not_found"
    assert call("list_messages", channel="C9")["error"]["code"] == "not_found"
    missing = call("update_message", id=f"{random}/1.000001", text="x")["error"]
    assert (missing["code"], "message_not_found" in missing["message"]) == ("not_found", True)
    assert call("update_message", **place, text="x")["error"]["code"] == "forbidden"
    assert call("delete_message", **place)["error"]["code"] == "forbidden"
    empty = call("create_message", channel=random, text="")["error"]
    assert empty["code"] == "invalid_argument"
    office.slack.ask("conversations.archive", channel=random)
    refused = call("create_message", channel=random, text="x")["error"]
    assert (refused["code"], "is_archived" in refused["message"]) == ("conflict", True)
    office.slack.ask("conversations.unarchive", channel=random)


def test_what_is_mapped_is_what_comes(office: Office) -> None:
    """`check --live` finds nothing amiss in what both answer."""
    looks = json.loads(office.linkspan.run("check", "--live", "--tenant", "acme", "--json"))["calls"]
    assert {look["call"] for look in looks if look["state"] in ("ok", "warn")} >= {
        *("ticket.list", "ticket.get", "team.list"),
        *("channel.list", "channel.get", "message.list", "message.get"),
    }
    assert not [look for look in looks if look["state"] == "bad" or look["unmapped_words"]]
    lacking = {"parent", "estimate", "branch", "due_at", "completed_at"}
    assert set(next(look for look in looks if look["call"] == "ticket.get")["always_null"]) <= lacking


# GitHub ---------------------------------------------------------------------------------------------------


NOT_PLAYED = {
    "list_deployments",
    "list_statuses_of_commit",
    "list_statuses_of_deployment",
    "list_threads_of_pull_request",
    "report_check",
}
"""What emulate's GitHub has no paths for: commit statuses, deployments and GraphQL. Fixtures hold those."""


@dataclass(frozen=True)
class Hub:
    """Linkspan with a tenant that is linked to GitHub, as emulate plays it."""

    linkspan: Linkspan
    endpoint: Endpoint
    forge: Emulate


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Once for all tests: the last of them spends what a token may ask."""
    folder = tmp_path_factory.mktemp("hub")
    with github(folder / "github") as forge:
        head = {"linkspan": 1, "name": "hub", "instructions": "List tickets and pull requests."}
        connectors = {"github": {"use": "github", "base_url": forge.url}}
        (folder / "tools.yaml").write_text(yaml.safe_dump({**head, "connectors": connectors}))
        linkspan = Linkspan(folder / "home", folder / "tools.yaml")
        linkspan.add_tenant("acme")
        words = ("account", "link", "github", "--tenant", "acme", "--secret-env", SECRET, "--json")
        assert json.loads(linkspan.run(*words, env={SECRET: TOKEN}))["identity"]["label"] == "acme"
        _, token = linkspan.create_token("acme")
        with linkspan.serve(log=folder / "log") as url:
            yield Hub(linkspan, Endpoint(f"{url}/t/acme/mcp", token), forge)


def test_tickets_of_github_over_mcp_and_on_the_command_line(hub: Hub) -> None:
    """Created, listed, searched, read, changed, commented: what one of them writes, the other reads."""
    call, command = hub.endpoint.call, hub.linkspan.call
    hub.endpoint.done.clear()
    place: dict[str, Any] = {"owner": "acme", "repo": "shop"}
    made = call("create_ticket", **place, title="Broken", description="It **is**.", labels=[])["result"]
    again = command("ticket.create", "acme", **place, title="Broken again")["result"]
    assert [made["repositories"], again["status"]] == [
        [{**made["repositories"][0], "key": "acme/shop"}],
        "todo",
    ]
    page = call("list_tickets", **place, limit=1)
    assert [each["id"] for each in page["result"]] == [again["id"]]
    rest = call("list_tickets", **place, limit=1, cursor=page["next_cursor"])
    assert ([each["id"] for each in rest["result"]], rest["next_cursor"]) == ([made["id"]], None)
    both = {made["id"], again["id"]}
    assert {each["id"] for each in command("ticket.list", "acme", **place)["result"]} == both
    query = "repo:acme/shop Broken"
    assert {each["id"] for each in call("search_tickets", query=query)["result"]} == both
    assert {each["id"] for each in command("ticket.search", "acme", query=query)["result"]} == both
    call("update_ticket", id=made["id"], title="Mended", status="done")
    read = command("ticket.get", "acme", id=made["id"])["result"]
    assert (read["title"], read["status"], read["description"]) == ("Mended", "done", "It **is**.")
    command("ticket.update", "acme", id=again["id"], status="done")
    assert call("get_ticket", id=again["id"])["result"]["status"] == "done"
    said = call("comment_on_ticket", id=made["id"], body="Done.")["result"]
    other = command("ticket.comment", "acme", id=made["id"], body="Twice.")["result"]
    assert [each["id"] for each in call("list_comments_of_ticket", id=made["id"])["result"]] == [
        said["id"],
        other["id"],
    ]
    listed = command("ticket.comments", "acme", id=made["id"])["result"]
    assert [each["body"] for each in listed] == ["Done.", "Twice."]
    assert hub.endpoint.done == {name for name in hub.linkspan.tools("github") if "ticket" in name}


def test_a_pull_request_of_github_over_mcp_and_on_the_command_line(hub: Hub) -> None:
    """Created from a branch that names a ticket, found, renamed, commented, reviewed, checked, closed."""
    call, command = hub.endpoint.call, hub.linkspan.call
    hub.endpoint.done.clear()
    place: dict[str, Any] = {"owner": "acme", "repo": "shop"}
    assert [each["id"] for each in call("list_repositories")["result"]] == ["acme/shop"]
    assert call("get_repository", id="acme/shop")["result"]["id"] == "acme/shop"
    assert command("repository.get", "acme", id="acme/shop")["result"]["default_branch"] == "main"
    hub.forge.branch("codex/eng-12-fix")
    made = call("create_pull_request", **place, title="Fix", head="codex/eng-12-fix", base="main")["result"]
    assert made["tickets"][0]["id"] == "ENG-12"
    assert [each["id"] for each in command("pull_request.list", "acme", **place)["result"]] == [made["id"]]
    assert [each["id"] for each in call("list_pull_requests", **place)["result"]] == [made["id"]]
    command("pull_request.update", "acme", id=made["id"], title="Fix OPS-7")
    read = call("get_pull_request", id=made["id"])["result"]
    assert (read["title"], [each["key"] for each in read["tickets"]]) == ("Fix OPS-7", ["OPS-7", "ENG-12"])
    said = [
        command("pull_request.comment", "acme", id=made["id"], body="Well.")["result"]["id"],
        call("comment_on_pull_request", id=made["id"], body="Very well.")["result"]["id"],
    ]
    listed = call("list_comments_of_pull_request", id=made["id"])["result"]
    assert [each["id"] for each in listed] == said
    review = call("review_pull_request", id=made["id"], event="comment", body="Right.")["result"]
    listed = call("list_reviews_of_pull_request", id=made["id"])["result"]
    assert [each["id"] for each in listed] == [review["id"]]
    files = call("list_files_of_pull_request", id=made["id"])["result"]
    assert [each["path"] for each in files] in ([], ["cart.py"])
    hub.forge.checked("codex/eng-12-fix", {"name": "test", "status": "completed", "conclusion": "success"})
    (check,) = call("list_checks", **place, ref="codex/eng-12-fix")["result"]
    assert (check["name"], check["conclusion"]) == ("test", "success")
    assert call("update_pull_request", id=made["id"], state="closed")["result"]["state"] == "closed"
    commits = call("list_commits", **place, **{"from": "codex/eng-12-fix"})["result"]
    assert [each["message"] for each in commits][:1] == ["Fix"]
    assert call("get_commit", id=commits[0]["id"])["result"]["sha"] == commits[0]["sha"]
    since, until = commits[-1]["sha"], commits[0]["sha"]
    compared = call("compare_pull_request", id=made["id"], since=since, until=until)["result"]
    assert (compared["status"], compared["ahead_by"], compared["behind_by"]) == ("ahead", 1, 0)
    tools = {name for name in hub.linkspan.tools("github") if "ticket" not in name}
    assert hub.endpoint.done == tools - NOT_PLAYED


def test_what_github_refuses_is_told(hub: Hub) -> None:
    """What is not there, and values, in its own words."""
    call, command = hub.endpoint.call, hub.linkspan.call
    assert call("get_repository", id="acme/nothing")["error"]["code"] == "not_found"
    assert call("get_ticket", id="acme/shop#999")["error"]["code"] == "not_found"
    assert command("ticket.get", "acme", exit_code=1, id="acme/shop#999")["error"]["code"] == "not_found"
    refused = call("create_ticket", owner="acme", repo="shop", title="")["error"]
    assert (refused["code"], "Validation" in refused["message"]) == ("invalid_argument", True), refused


def test_what_github_counts_is_told(hub: Hub) -> None:
    """When an hour's requests are spent: a 403 that says when there are more, and not how long to wait.

    By every door; until then the API over HTTP answers what GitHub does.
    """
    with hub.endpoint.api() as api:
        asked: list[Callable[[], Any]] = [
            lambda: api.proxy("github").get("/user").json()["login"],
            lambda: api.entities("ci-cd/repositories").get("acme/shop")["name"],
        ]
        assert [ask() for ask in asked] == ["acme", "shop"]
        assert hub.forge.spend() == "0"
        for ask in asked:
            with pytest.raises(RateLimited) as told:
                ask()
            assert 0 < (told.value.retry_after or 0) <= 3600
    refused = hub.endpoint.call("get_repository", id="acme/shop")["error"]
    assert refused["code"] == "rate_limited", refused
    assert 0 < refused["retry_after"] <= 3600
    words = ("call", "repository.get", "--tenant", "acme", "--arg", "id=acme/shop", "--json")
    assert json.loads(hub.linkspan.run(*words, exit_code=None))["error"]["code"] == "rate_limited"
