"""Settings from environment and flags."""

from __future__ import annotations

from pathlib import Path

import pytest

from linkspan.errors import ConfigurationError
from linkspan.settings import CallLimits, parse_egress, read_settings


def test_flags_win_over_the_environment(tmp_path: Path) -> None:
    """What was typed counts."""
    settings = read_settings({"LINKSPAN_HOME": "/elsewhere", "LINKSPAN_TENANT": "acme"}, home=str(tmp_path))
    assert settings.home == tmp_path
    assert settings.tenant == "acme"


def test_the_home_is_a_directory_of_the_users_by_default() -> None:
    """Codex hands stdio servers little more than HOME and PATH."""
    assert read_settings({}).home == Path("~/.local/share/linkspan").expanduser()


def test_the_tools_yaml_is_never_that_of_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cloned repository cannot bring its own."""
    (tmp_path / "tools.yaml").write_text("linkspan: 1\n")
    monkeypatch.chdir(tmp_path)
    assert read_settings({"LINKSPAN_HOME": str(tmp_path / "home")}).config is None


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LINKSPAN_ALLOW_EGRESS", "10.0.0.0/8,here", "'here'"),
        ("LINKSPAN_ALLOW_EGRESS", "host:99999", "host:99999"),
        ("LINKSPAN_TRUSTED_PROXIES", "10.0.0.0/99", "LINKSPAN_TRUSTED_PROXIES"),
        ("LINKSPAN_PUBLIC_URL", "linkspan.example", "LINKSPAN_PUBLIC_URL"),
        ("LINKSPAN_PORT", "many", "LINKSPAN_PORT"),
        ("LINKSPAN_PORT", "99999", "65535"),
        ("LINKSPAN_PUBLIC_URL", "https://linkspan.example/base", "without a path"),
        ("LINKSPAN_STATEFUL", "perhaps", "perhaps"),
        ("LINKSPAN_MAX_CHECKOUT_BYTES", "1GB", "LINKSPAN_MAX_CHECKOUT_BYTES"),
        ("LINKSPAN_MAX_CHECKOUT_FILES", "-1", "LINKSPAN_MAX_CHECKOUT_FILES"),
        ("LINKSPAN_CALL_LIMITS", "tenant=6000,user=3", "'user=3'"),
        ("LINKSPAN_CALL_LIMITS", "tenant=0", "'tenant=0'"),
        ("LINKSPAN_CODEX_READABLE", "/opt/node,tools", "'tools'"),
        ("LINKSPAN_CODEX_READABLE", "/", "'/'"),
        ("LINKSPAN_CODEX_RUN_AS", "run-{user}", "LINKSPAN_CODEX_RUN_AS"),
        ("LINKSPAN_CODEX_WRAP", "docker run 'x", "LINKSPAN_CODEX_WRAP"),
        ("LINKSPAN_CALL_LIMITS", "tool=many", "'tool=many'"),
        ("LINKSPAN_CALL_LIMITS", "tool=3,tool=4", "'tool=4'"),
        ("LINKSPAN_METRICS", "9464x", "LINKSPAN_METRICS"),
        ("LINKSPAN_TRACES", "collector:4318", "LINKSPAN_TRACES"),
        ("LINKSPAN_TRACES_SHARE", "2", "LINKSPAN_TRACES_SHARE"),
        ("LINKSPAN_LOG", "xml", "json, text"),
        ("LINKSPAN_LOG_CALLS", "some", "LINKSPAN_LOG_CALLS"),
        ("LINKSPAN_METRICS", "::1:99999", "LINKSPAN_METRICS"),
    ],
)
def test_a_bad_value_is_told_with_its_variable(variable: str, value: str, words: str) -> None:
    """An operator sees which one to mend."""
    with pytest.raises(ConfigurationError, match=words):
        read_settings({variable: value})


@pytest.mark.parametrize("text", ["127.0.0.0/8", "10.0.0.0/8,desk.local:8650", "[::1]:80", "::1/128", ""])
def test_an_egress_list_survives_being_written_and_read(text: str) -> None:
    """What codex-config prints is what was meant."""
    allowance = parse_egress(text)
    assert parse_egress(str(allowance)) == allowance


def test_limits_of_calls_are_read() -> None:
    """What is not named is not limited."""
    found = read_settings({"LINKSPAN_CALL_LIMITS": "tenant=6000, tool=60,listens=5,streams=9"}).call_limits
    assert found == CallLimits(tenant=6000, tool=60, listens=5, streams=9)
    assert read_settings({}).call_limits == CallLimits()


def test_keys_are_not_shown() -> None:
    """Settings may be logged."""
    assert "c2VjcmV0" not in repr(read_settings({"LINKSPAN_KEYS": "c2VjcmV0"}))
