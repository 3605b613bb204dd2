"""The built-in connector for Bugsink, against a real one that Sentry's SDK reports to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.transport import HttpTransport

from linkspan.errors import NotFound
from tests.servers.bugsink import Bugsink, bugsink
from tests.servers.linkspan import SECRET, Endpoint, Linkspan
from tests.servers.serving import wait_until

pytestmark = pytest.mark.e2e
TOOLS = """\
linkspan: 1
name: errors
instructions: List alerts with list_alerts.
connectors: {bugsink: {use: bugsink}}
"""
OLD = 260
"""Issues beside the ones that were reported: Bugsink answers 250 a page."""


@dataclass(frozen=True)
class Watch:
    """Linkspan with a tenant that is linked to a Bugsink."""

    linkspan: Linkspan
    endpoint: Endpoint
    bugsink: Bugsink
    project: str
    dsn: str


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Both, once for all tests."""
    folder = tmp_path_factory.mktemp("watch")
    (folder / "tools.yaml").write_text(TOOLS)
    linkspan = Linkspan(folder / "home", folder / "tools.yaml")
    with bugsink(folder / "bugsink") as server, linkspan.serve(log=folder / "log") as url:
        project, dsn = server.project("shop")
        linkspan.add_tenant("acme")
        words = ("--setting", f"origin={server.url}", "--secret-env", SECRET)
        linkspan.run("account", "link", "bugsink", "--tenant", "acme", *words, env={SECRET: server.token})
        _, token = linkspan.create_token("acme")
        yield Watch(linkspan, Endpoint(f"{url}/t/acme/mcp", token), server, project, dsn)


def report(dsn: str) -> None:
    """Let Sentry's SDK report an exception, as a program does that uses it."""
    options: dict[str, Any] = {"dsn": dsn, "release": "1.2", "environment": "production"}
    client = sentry_sdk.Client(**options, default_integrations=False, transport=HttpTransport)
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(client)
        try:
            raise ValueError("no cart")
        except ValueError as error:
            scope.capture_exception(error)
    client.close(timeout=10)


def test_an_error_from_its_report_to_its_end(watch: Watch) -> None:
    """Reported, listed to the last page, read with its stack trace, and everything that is done with it."""
    call = watch.endpoint.call
    watch.endpoint.done.clear()
    watch.bugsink.make_issues(watch.project, OLD)
    report(watch.dsn)

    def everything() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            page = call("list_alerts", project=watch.project, sort="digest_order", **more)
            found += page["result"]
            if page["next_cursor"] is None:
                return found
            more = {"cursor": page["next_cursor"]}

    wait_until(lambda: len(everything()) > OLD, what="the report", seconds=30)
    found = everything()
    assert len({alert["id"] for alert in found}) == OLD + 1
    (alert,) = [alert for alert in found if alert["title"] == "ValueError: no cart"]
    assert (alert["status"], alert["severity"], alert["event_count"]) == ("firing", "error", 1)
    with watch.endpoint.api() as api:
        every = api.entities("incidents/alerts").list(project=watch.project, sort="digest_order")
        assert {each["id"] for each in every} == {each["id"] for each in found}
        raw = api.proxy("bugsink").get(f"/issues/{alert['id']}/").json()
        assert raw["id"] == alert["id"]
        with pytest.raises(NotFound):
            api.proxy("bugsink").get("/issues/00000000-0000-0000-0000-000000000000/")
    assert call("get_alert", id=alert["id"])["result"]["title"] == "ValueError: no cart"
    events = call("list_events", alert=alert["id"])["result"]
    event = call("get_event", id=events[0]["id"])["result"]
    assert "raise ValueError" in event["stack_trace"]
    assert (event["release"], event["environment"], event["alert"]) == ("1.2", "production", alert["id"])

    looks = json.loads(
        watch.linkspan.run(
            "check", "--live", "--tenant", "acme", "--json", *("--arg", f"project={watch.project}")
        )
    )["calls"]
    assert {look["call"] for look in looks if look["state"] in ("ok", "warn")} >= {
        "alert.list",
        "alert.get",
        "event.list",
        "event.get",
        "project.list",
        "project.get",
    }
    assert not [look for look in looks if look["state"] == "bad" or look["unmapped_words"]]

    def status() -> str:
        found: str = watch.linkspan.call("alert.get", "acme", id=alert["id"])["result"]["status"]
        return found

    for tool, then in [
        ("mute_alert", "silenced"),
        ("unmute_alert", "firing"),
        ("resolve_alert", "resolved"),
        ("reopen_alert", "firing"),
    ]:
        assert call(tool, id=alert["id"])["result"]["status"] == then, tool
        assert status() == then
    said = call("comment_on_alert", id=alert["id"], body="It is being mended.")["result"]
    assert said["body"].startswith("It is being mended.")
    again = call("reopen_alert", id=alert["id"])["error"]
    assert again["code"] in {"invalid_argument", "conflict"}
    assert "error" not in call("delete_alert", id=alert["id"])
    (project,) = call("list_projects")["result"]
    assert call("get_project", id=project["id"])["result"]["name"] == "shop"
    assert watch.endpoint.done == watch.linkspan.tools("bugsink")


def test_what_it_refuses_is_told(watch: Watch) -> None:
    """What is not there, values, and the credential."""
    call = watch.endpoint.call
    missing = call("get_alert", id="00000000-0000-0000-0000-000000000000")["error"]
    assert missing["code"] == "not_found"
    assert call("get_alert", id="../projects")["error"]["code"] == "invalid_argument"
    assert call("list_alerts", project="999")["error"]["code"] in {"not_found", "invalid_argument"}
    watch.linkspan.add_tenant("globex")
    printed = watch.linkspan.run(
        *("account", "link", "bugsink", "--tenant", "globex"),
        *("--setting", f"origin={watch.bugsink.url}", "--secret-env", SECRET),
        env={SECRET: "0" * 40},
        exit_code=None,
    )
    assert "refused the credential" in printed
