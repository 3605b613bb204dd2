"""The built-in connector for Alertmanager, against a real one: over MCP and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from linkspan.errors import InvalidArgument
from tests.servers.alertmanager import PASSWORD, USER, alertmanager
from tests.servers.linkspan import Endpoint, Linkspan
from tests.servers.serving import wait_until

pytestmark = pytest.mark.e2e
TOOLS = """\
linkspan: 1
name: alerts
instructions: List alerts with list_alerts.
connectors: {alertmanager: {use: alertmanager}}
"""


@dataclass(frozen=True)
class Watch:
    """Linkspan with a tenant that is linked to an Alertmanager."""

    linkspan: Linkspan
    endpoint: Endpoint
    origin: str


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """Both, once for all tests."""
    folder = tmp_path_factory.mktemp("watch")
    (folder / "tools.yaml").write_text(TOOLS)
    linkspan = Linkspan(folder / "home", folder / "tools.yaml")
    with alertmanager(folder / "alertmanager") as origin, linkspan.serve(log=folder / "log") as url:
        linkspan.add_tenant("acme")
        linkspan.link("acme", "alertmanager", username=USER, password=PASSWORD, origin=origin)
        _, token = linkspan.create_token("acme")
        yield Watch(linkspan, Endpoint(f"{url}/t/acme/mcp", token), origin)


def test_an_alert_from_its_beginning_to_its_silence(watch: Watch) -> None:
    """Raised, found by its labels, silenced, heard again, and over."""
    call = watch.endpoint.call
    labels = {"alertname": "Down", "severity": "page", "job": 'the "shop"'}
    annotations = {"summary": "The shop is down", "runbook_url": "https://runbooks.example/down"}
    assert "error" not in call("raise_alert", labels=labels, annotations=annotations)
    assert "error" not in call("raise_alert", labels={"alertname": "Slow"})
    ours = ['job="the \\"shop\\""']

    def listed() -> list[dict[str, object]]:
        found: list[dict[str, object]] = call("list_alerts", matchers=ours)["result"]
        return found

    wait_until(listed, what="the alert", seconds=10)
    (alert,) = listed()
    assert (alert["title"], alert["severity"], alert["status"]) == ("The shop is down", "critical", "firing")
    assert (alert["severity_raw"], alert["labels"]) == ("page", labels)
    assert alert["runbook_url"] == annotations["runbook_url"]
    assert len(watch.linkspan.call("alert.list", "acme")["result"]) == 2
    wait_until(lambda: call("list_alert_groups", matchers=ours)["result"], what="its group", seconds=30)
    (group,) = call("list_alert_groups", matchers=ours)["result"]
    assert (group["title"], group["status"], group["receiver"]) == ("The shop is down", "firing", "nobody")
    assert [each["labels"] for each in group["alerts"]] == [labels]
    assert call("get_alert_group", id=group["id"])["result"]["key"] == group["key"]
    with watch.endpoint.api() as api:
        assert list(api.entities("incidents/alerts").list(matchers=ours)) == [alert]
        raw = api.proxy("alertmanager").get("/alerts", filter=ours[0]).json()
        assert [each["labels"] for each in raw] == [labels]
        with pytest.raises(InvalidArgument) as told:
            api.proxy("alertmanager").get("/alerts", filter="bad((")
        assert "bad matcher format" in str(told.value.raw_response)
    matchers = [{"name": "alertname", "value": "Do.*", "isRegex": True}]
    words = {"matchers": matchers, "comment": "Being mended", "ends_at": "2100-01-01T00:00:00Z"}
    made = call("create_silence", **words)["result"]
    wait_until(lambda: listed()[0]["status"] == "silenced", what="the silence", seconds=10)
    assert call("list_alerts", matchers=ours, silenced=False)["result"] == []
    silence = call("get_silence", id=made["id"])["result"]
    assert (silence["status"], silence["comment"], silence["created_by"]) == (
        "active",
        "Being mended",
        "Linkspan",
    )
    assert silence["matchers"] == [{**matchers[0], "isEqual": True}]
    (found,) = call("list_silences")["result"]
    assert found["id"] == made["id"]
    looks = json.loads(watch.linkspan.run("check", "--live", "--tenant", "acme", "--json"))["calls"]
    assert {look["call"] for look in looks if look["state"] in ("ok", "warn")} >= {
        "alert.list",
        "silence.list",
        "silence.get",
    }
    assert not [look for look in looks if look["state"] == "bad" or look["unmapped_words"]]
    assert "error" not in call("delete_silence", id=made["id"])
    assert call("get_silence", id=made["id"])["result"]["status"] == "expired"
    wait_until(lambda: listed()[0]["status"] == "firing", what="the end of the silence", seconds=10)
    assert "error" not in call("raise_alert", labels=labels, ended_at="2020-01-01T00:00:00Z")
    wait_until(lambda: not listed(), what="the end of the alert", seconds=10)
    assert watch.endpoint.done == watch.linkspan.tools("alertmanager")


def test_what_it_refuses_is_told(watch: Watch) -> None:
    """Values, what is not there, and the credential."""
    call = watch.endpoint.call
    refused = call("list_alerts", matchers=["bad(("])["error"]
    assert (refused["code"], "bad matcher format" in refused["message"]) == ("invalid_argument", True)
    refused = call("create_silence", matchers=[], comment="x", ends_at="2100-01-01T00:00:00Z")["error"]
    assert (refused["code"], "matchers in body" in refused["message"]) == ("invalid_argument", True)
    missing = call("get_silence", id="00000000-0000-0000-0000-000000000000")["error"]
    assert missing["code"] == "not_found"
    assert call("get_silence", id="../status")["error"]["code"] == "invalid_argument"
    watch.linkspan.add_tenant("globex")
    printed = watch.linkspan.run(
        *("account", "link", "alertmanager", "--tenant", "globex", "--username", USER),
        *("--setting", f"origin={watch.origin}", "--secret-env", "WRONG"),
        env={"WRONG": "canary-wrong"},
        exit_code=None,
    )
    assert "refused the credential" in printed
