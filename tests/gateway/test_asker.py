"""A comment that the tenant's account writes names the person who asked for it."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.accounts.principal import Principal, PrincipalKind, Tenant
from linkspan.gateway.results import DryRun
from tests.gateway.conftest import Bench

ACME = Tenant("acme")


async def said(bench: Bench, kind: PrincipalKind, subject: str, **more: Any) -> str:
    """Comment as a principal and answer what the product was told."""
    who = Principal(ACME, kind, subject)
    await bench.call_as(who, "comment_on_ticket", None, {"id": "1", "body": "Done.", **more})
    text: str = bench.tracker.comments[-1][2]["text"]
    return text


async def test_a_shared_account_names_the_person(bench: Bench) -> None:
    """A service is named by its account already."""
    assert await said(bench, "person", "anna") == "Done.\n\nAsked for by anna."
    assert await said(bench, "service", "ci") == "Done."
    assert await said(bench, "operator", "stdio") == "Done."


async def test_what_a_run_writes_names_the_run(bench: Bench) -> None:
    """Once: so it is known as a run's wherever it comes back as an event."""
    told = "Codex run run_1 ended."
    assert await said(bench, "run", "run_1") == "Done.\n\nCodex run run_1 wrote this."
    assert await said(bench, "run", "run_1", body=told) == told


async def test_a_persons_own_account_names_nobody_else(bench: Bench) -> None:
    """The product shows whose it is."""
    connector = bench.app.catalog.connectors["tracker"]
    await bench.app.accounts.link(ACME, connector, secrets={"token": "canary-acme"}, subject="anna")
    assert await said(bench, "person", "anna") == "Done."
    assert await said(bench, "person", "bo") == "Done.\n\nAsked for by bo."


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("anna.b@acme.example", "anna.b"),
        ("*all* @channel\n![x](y)", "all"),
        ("<b>_x_", "b x"),
        ("Łukasz", "Łukasz"),
    ],
)
async def test_a_name_calls_nobody(bench: Bench, subject: str, name: str) -> None:
    """Nothing in it formats, links or mentions."""
    assert await said(bench, "person", subject) == f"Done.\n\nAsked for by {name}."


async def test_a_dry_run_shows_it(bench: Bench) -> None:
    """What is shown is what would be sent."""
    who = Principal(ACME, "person", "anna")
    arguments = {"id": "1", "body": "Done.", "dry_run": True}
    shown = await bench.call_as(who, "comment_on_ticket", None, arguments)
    assert isinstance(shown, DryRun)
    assert shown.request["body"] == {"text": "Done.\n\nAsked for by anna."}
