"""examples/roundup against a real tracker: every operation, its words and its dates."""

from __future__ import annotations

import re
from typing import Any

import pytest

from linkspan import spec
from tests.e2e.conftest import EXAMPLE, Office, Person
from tests.servers.linkspan import Endpoint

pytestmark = pytest.mark.e2e
MOMENT = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture
def endpoint(office: Office, acme: Person) -> Endpoint:
    """The door of a tenant."""
    return office.endpoint(acme)


def everything(endpoint: Endpoint, tool: str, **arguments: Any) -> list[dict[str, Any]]:
    """Read a list to its end."""
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    while True:
        page = endpoint.call(tool, **arguments, **more)
        found += page["result"]
        if page["next_cursor"] is None:
            return found
        more = {"cursor": page["next_cursor"]}


def test_a_ticket_is_created_with_everything_it_has(endpoint: Endpoint, office: Office, acme: Person) -> None:
    """The model's words become the tracker's, and come back as the model's; times are ISO 8601."""
    wanted = {"title": "Made whole", "status": "in_progress", "priority": "high", "assignee": acme.username}
    number = endpoint.call("create_ticket", **wanted, description="It was **broken**.")["result"]["id"]
    bug = office.tracker.bug(number)
    assert (bug["status"], bug["priority"], bug["assignee"]) == ("open", "high", acme.username)
    assert office.tracker.messages(number) == [(acme.username, "It was **broken**.")]
    ticket = endpoint.call("get_ticket", id=number)["result"]
    assert {name: ticket[name] for name in wanted} == wanted
    assert ticket["reporter"]["name"] == acme.username
    assert MOMENT.fullmatch(ticket["created_at"])
    assert MOMENT.fullmatch(ticket["updated_at"])
    (comment,) = endpoint.call("list_comments", ticket=number)["result"]
    assert comment["author"]["name"] == acme.username
    assert MOMENT.fullmatch(comment["created_at"])


def test_a_list_finds_every_word_of_the_tracker_that_means_the_status(
    endpoint: Endpoint, office: Office, acme: Person
) -> None:
    """`open` and `pending` are both in progress; pages of two give each ticket once."""
    numbers = {
        office.tracker.create_bug(f"Listed {word}", status=word, assignee=acme.username)
        for word in ("open", "pending", "open", "closed", "new")
    }
    found = everything(endpoint, "list_tickets", status="in_progress", assignee=acme.username, limit=2)
    assert {ticket["status"] for ticket in found} == {"in_progress"}
    ids = [ticket["id"] for ticket in found]
    assert len(ids) == len(set(ids))
    assert len(numbers & set(ids)) == 3
    titles = {
        ticket["title"] for ticket in endpoint.call("search_tickets", query="Listed", status="done")["result"]
    }
    assert titles == {"Listed closed"}


def test_an_update_says_what_becomes_of_the_ticket(endpoint: Endpoint, office: Office) -> None:
    """Each status that can be written, in the tracker's word; what is not given stays."""
    number = office.tracker.create_bug("Updated", priority="low")
    for status, word in (("todo", "new"), ("in_progress", "open"), ("done", "closed")):
        assert endpoint.call("update_ticket", id=number, status=status)["result"]["id"] == number
        bug = office.tracker.bug(number)
        assert (bug["status"], bug["priority"], bug["title"]) == (word, "low", "Updated")
    refused = endpoint.call("update_ticket", id=number, status="cancelled")["error"]
    assert refused["code"] == "invalid_argument"
    assert "in_progress" in refused["message"]


def test_users_are_listed_and_read(endpoint: Endpoint, acme: Person) -> None:
    """Those whom a ticket can be assigned to."""
    names = {user["username"] for user in everything(endpoint, "list_users", limit=2)}
    assert acme.username in names
    assert endpoint.call("get_user", id=acme.number)["result"]["username"] == acme.username


def test_every_operation_reaches_the_tracker(endpoint: Endpoint, office: Office, acme: Person) -> None:
    """None is left out: a tool that is added to the file has to be tried here."""
    number = office.tracker.create_bug("Driven once", "First.")
    made = endpoint.call("create_ticket", title="Driven, too")["result"]["id"]
    commented = endpoint.call("comment_on_ticket", id=number, body="Seen.")["result"]
    tried: dict[str, Any] = {
        "create_ticket": office.tracker.bug(made)["title"] == "Driven, too",
        "comment_on_ticket": [text for _, text in office.tracker.messages(number)] == ["First.", "Seen."],
        "update_ticket": endpoint.call("update_ticket", id=made, title="Renamed", priority="urgent")[
            "result"
        ],
        "get_ticket": endpoint.call("get_ticket", id=made)["result"]["title"] == "Renamed",
        "list_tickets": made
        in {one["id"] for one in everything(endpoint, "list_tickets", priority="urgent")},
        "search_tickets": [one["id"] for one in everything(endpoint, "search_tickets", query="Driven once")]
        == [number],
        "list_comments": commented["id"]
        in {one["id"] for one in everything(endpoint, "list_comments", ticket=number)},
        "list_users": everything(endpoint, "list_users"),
        "get_user": endpoint.call("get_user", id=acme.username)["result"]["username"] == acme.username,
    }
    assert all(tried.values()), tried
    assert set(tried) == {tool.name for tool in spec.load(EXAMPLE, {}).tools if "roundup" in tool.operations}


def test_every_refusal_of_the_tracker_says_what_to_do(endpoint: Endpoint, office: Office) -> None:
    """What is not there, what it does not take, who may not, and who is no longer let in."""
    number = office.tracker.create_bug("Refused")
    for tool, more in (
        ("get_ticket", {}),
        ("update_ticket", {"title": "x"}),
        ("comment_on_ticket", {"body": "x"}),
    ):
        error = endpoint.call(tool, id="99999", **more)["error"]
        assert error["code"] == "not_found", (tool, error)
        assert "search_tickets" in error["message"]
    error = endpoint.call("update_ticket", id=number, assignee="nobody-here")["error"]
    assert (error["code"], error["status"]) == ("invalid_argument", 400)
    assert "nobody-here" in error["message"]
    error = endpoint.call("list_tickets", priority="highest")["error"]
    assert error["code"] == "invalid_argument" and "urgent" in error["message"]
    guest = office.settle("guest", "gwen")
    theirs = office.endpoint(guest)
    office.tracker.change_roles(guest.number, "Anonymous")
    error = theirs.call("update_ticket", id=number, title="Taken over")["error"]
    assert (error["code"], error["status"]) == ("forbidden", 403)
    assert office.tracker.bug(number)["title"] == "Refused"
    office.tracker.change_password(guest.number, "another-canary")
    error = theirs.call("get_ticket", id=number)["error"]
    assert (error["code"], error["status"]) == ("needs_reauth", 401)
    assert "linkspan account link roundup" in error["message"]
