"""What operators are given: a dashboard, alert rules, units, an image. Checked for what they name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import click
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from linkspan.cli.main import cli
from linkspan.telemetry import CallEnded
from linkspan.telemetry.meters import Standing, Use
from linkspan.telemetry.prometheus import PrometheusMeters
from tests.servers.node import ROOT

DEPLOY: Final = ROOT / "deploy"
DOCS: Final = (ROOT / "docs" / "operate.md").read_text()
OF_THE_SCRAPE: Final = {"job", "instance"}
"""Labels that Prometheus adds itself."""
SAMPLE: Final = re.compile(r"\b((?:linkspan|process|python_gc)_\w+|up)\b(?:\{([^}]*)\})?")


def exposed() -> dict[str, set[str]]:
    """Answer every sample that there can be, with its labels."""
    meters = PrometheusMeters()
    meters.call(CallEnded("acme", "service:x", "t", "e", "c", None, "mcp", "ok", 200, 0.1, "r", writes=False))
    meters.limited("tool")
    meters.exchange(Use("api", "c"), "GET", 200, "", 0.1)
    meters.exchange(Use("api", "c"), "GET", None, "upstream_error", 0.1)
    meters.waited("c", "budget", 1.0)
    meters.request("mcp", "POST", 200, 0.1)
    meters.answering("mcp", 1)
    meters.run_ended(recipe="r", engine="app_server", state="failed", seconds=1.0, queued=1.0)
    meters.tokens("acme", "m", {"input_tokens": 1})
    meters.session_request("thread/list", "ok")
    meters.delivery("dead")
    meters.arrival("c", "accepted")
    standing = Standing(runs={"queued": 1}, accounts={("c", "active"): 1}, outbox={"dead": 1})
    found: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(meters.exposition(standing).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def queries() -> Iterator[tuple[str, str]]:
    """Yield every expression with the place where it stands."""
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield f"grafana.json: {panel['title']}", target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            name = variable["query"]["query"].removeprefix("label_values(").split(",")[0]
            yield f"grafana.json: ${variable['name']}", name
    for group in rules()["groups"]:
        for rule in group["rules"]:
            yield f"alerts.yaml: {rule['alert']}", rule["expr"]


def rules() -> Any:
    """Answer the alert rules."""
    return yaml.safe_load((DEPLOY / "alerts.yaml").read_text())


@pytest.mark.parametrize(("place", "query"), list(queries()))
def test_a_query_names_metrics_and_labels_that_exist(place: str, query: str) -> None:
    """A renamed metric would leave a panel empty and an alert silent, and nobody would see it."""
    there = exposed()
    samples = SAMPLE.findall(query)
    assert samples, place
    labels: set[str] = set()
    for name, matchers in samples:
        assert name in there, f"{place}: {name}"
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        assert asked <= there[name] | OF_THE_SCRAPE, f"{place}: {name} has no {asked - there[name]}"
        labels |= there[name]
    for grouped in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query):
        asked = {word.strip() for word in grouped.split(",")}
        assert asked <= labels | OF_THE_SCRAPE, f"{place}: nothing has {asked - labels}"
    assert query.count("(") == query.count(")"), place


def test_an_alert_says_what_is_wrong_and_what_to_do() -> None:
    """Somebody reads it at night."""
    for group in rules()["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
            assert len(rule["annotations"]["summary"]) < 100, rule["alert"]
            assert rule["annotations"]["action"].endswith("."), rule["alert"]
            assert rule["alert"] in DOCS, f"docs/operate.md does not tell of {rule['alert']}"


def test_every_metric_of_ours_is_explained() -> None:
    """In the table of docs/operate.md, and nothing else is."""
    families = {
        re.sub(r"_(bucket|count|sum)$", "", name) for name in exposed() if name.startswith("linkspan_")
    }
    told = set(re.findall(r"`(linkspan_\w+)`", DOCS))
    assert families <= told, families - told
    assert told <= families | set(exposed()), told - families


def commands() -> list[str]:
    """Answer what operators are told to run."""
    said = DOCS + (DEPLOY / "alerts.yaml").read_text() + (DEPLOY / "linkspan.service").read_text()
    shown = re.findall(r"`(linkspan [^`]+)`", said)
    shown += re.findall(r"(?m)(?:^|(?<=&& )|exec serve )(linkspan [a-z].*?)(?= +#| &&|$)", said)
    shown += re.findall(r"(?:\"|; |: )(linkspan [a-z][^.\"#;]*)", (DEPLOY / "alerts.yaml").read_text())
    return sorted({command.strip() for command in shown if not command.startswith("linkspan.")})


@pytest.mark.parametrize("command", commands())
def test_a_command_that_is_told_exists(command: str) -> None:
    """With its options."""
    found: Any = cli
    for word in command.split()[1:]:
        if isinstance(found, click.Group) and re.fullmatch(r"[a-z][a-z-]*", word):
            known = found.get_command(click.Context(found), word)
            assert known is not None, f"{command}: there is no {word}"
            found = known
        elif word.startswith("--"):
            options = [name for each in found.params for name in each.opts]
            assert word.partition("=")[0] in options, f"{command}: there is no {word}"


def test_what_is_started_names_settings_that_are_read() -> None:
    """A misspelt variable would be silence."""
    sources = (file.read_text() for file in (ROOT / "src/linkspan/settings").glob("*.py"))
    read = set(re.findall(r"LINKSPAN_[A-Z_]+", "".join(sources)))
    of_compose = {"LINKSPAN_DB_PASSWORD", "LINKSPAN_ETC"}
    for file in DEPLOY.iterdir():
        named = set(re.findall(r"LINKSPAN_[A-Z_]+", file.read_text()))
        assert named <= read | of_compose, f"{file.name}: {named - read}"
    compose = (DEPLOY / "compose.yaml").read_text()
    example = (DEPLOY / "linkspan.env.example").read_text()
    assert set(re.findall(r"\$\{(\w+)", compose)) <= set(re.findall(r"(?m)^#?(\w+)=", example))


def test_the_compose_file_hangs_together() -> None:
    """Services, volumes and networks that are named are there, and files that are mounted too."""
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        mode = service.get("network_mode", "")
        assert mode.removeprefix("service:") in {"", *services}, name
        for volume in service.get("volumes", ()):
            source = volume.rpartition(":ro")[0].rpartition(":")[0] or volume.partition(":")[0]
            assert source.startswith("${") or source in compose["volumes"] or (DEPLOY / source).exists(), (
                volume
            )
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
        words = service.get("command", ())
        if service.get("image") == "linkspan":
            known = cli.get_command(click.Context(cli), words[0])
            assert known is not None
            options = [option for each in known.params for option in each.opts]
            assert [word for word in words if word.startswith("--") and word not in options] == []


def test_the_image_gets_what_it_copies_and_nothing_secret() -> None:
    """`.dockerignore` lets in what the Dockerfile names; everything else stays out of the build."""
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    copied: set[str] = set()
    for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", dockerfile):
        copied |= set(line.split()[:-1])
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert (ROOT / ".dockerignore").read_text().startswith("*\n")
    assert re.search(r"useradd --uid (\d+) .* linkspan \\\n(?s:.+)\nUSER \1\n", dockerfile)
