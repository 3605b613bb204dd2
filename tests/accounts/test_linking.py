"""What is asked when an account is linked, fault by fault."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from linkspan.accounts import linking
from linkspan.errors import InvalidArgument
from linkspan.spec.catalog import Connector
from linkspan.vault.secret import Secret


def faults(error: pytest.ExceptionInfo[InvalidArgument]) -> dict[str, str]:
    details = error.value.details
    assert isinstance(details, list)
    return {fault["path"]: fault["message"] for fault in details}


def test_the_best_way_is_taken_unless_another_is_named(desk: Connector) -> None:
    """The first one of the file; a name that is not there is answered with those that are."""
    assert linking.choose_method(desk, None).type == "bearer"
    assert linking.choose_method(desk, "basic").type == "basic"
    with pytest.raises(InvalidArgument, match="not linked by 'oauth2'") as told:
        linking.choose_method(desk, "oauth2")
    assert told.value.for_model().endswith("It takes: bearer, basic.")


def test_settings_get_their_defaults(bare: Connector) -> None:
    """What was not given and has no default is left out; spaces around a value are not part of it."""
    assert linking.check_settings(bare, {"url": " https://desk.example "}) == {
        "url": "https://desk.example",
        "team": "blue",
    }
    assert linking.check_settings(bare, {"url": "https://d.example", "team": "red", "note": "n"}) == {
        "url": "https://d.example",
        "team": "red",
        "note": "n",
    }


def test_all_faults_of_settings_are_told_at_once(desk: Connector, bare: Connector) -> None:
    """Unknown, missing, not matching and with control characters: each with its path."""
    with pytest.raises(InvalidArgument) as told:
        linking.check_settings(desk, {"sight": "x"})
    assert faults(told) == {
        "settings.sight": "Acme Desk has no such setting",
        "settings.site": "missing: Site",
    }
    assert "settings.site: missing: Site" in told.value.for_model()
    with pytest.raises(InvalidArgument) as told:
        linking.check_settings(desk, {"site": "evil.example/"})
    assert faults(told) == {"settings.site": "must match [a-z0-9-]+"}
    with pytest.raises(InvalidArgument) as told:
        linking.check_settings(bare, {"url": "https://d.example", "note": "a\r\nb"})
    assert faults(told) == {"settings.note": "holds a control character"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://Desk.Example", "https://desk.example"),
        ("https://desk.example/", "https://desk.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
def test_an_origin_is_kept_in_one_spelling(bare: Connector, given: str, kept: str) -> None:
    """The same place is the same text."""
    assert linking.check_settings(bare, {"url": given})["url"] == kept


@pytest.mark.parametrize(
    "given",
    [
        "desk.example",
        "ftp://desk.example",
        "https://",
        "https://bo@desk.example",
        "https://bo:key@desk.example",
        "https://desk.example/path",
        "https://desk.example?x=1",
        "https://desk.example#x",
        "https://desk.example:99999",
        "https://desk.example:x",
        "https://desk example",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_origin_is_refused(bare: Connector, given: str) -> None:
    """A scheme, a host and perhaps a port, nothing more."""
    with pytest.raises(InvalidArgument, match=r"settings\.url"):
        linking.check_settings(bare, {"url": given})


@pytest.mark.parametrize(
    ("way", "given"),
    [
        ("bearer", {"token": "key"}),
        ("basic", {"username": "bo", "password": "pass word"}),
        ("basic", {"username": "key", "password": ""}),
        ("basic", {"username": "", "password": "key"}),
        ("basic", {"username": "bo", "password": "pässwörd"}),
    ],
)
def test_good_secrets_are_taken(desk: Connector, way: str, given: Mapping[str, str]) -> None:
    """As they are, in the order that they are asked."""
    checked = linking.check_secrets(desk, linking.choose_method(desk, way), given)
    assert {name: secret.reveal() for name, secret in checked.items()} == given
    wrapped = {name: Secret(value) for name, value in given.items()}
    assert linking.check_secrets(desk, linking.choose_method(desk, way), wrapped) == checked


@pytest.mark.parametrize(
    ("way", "given", "paths"),
    [
        ("bearer", {}, {"token"}),
        ("bearer", {"token": ""}, {"token"}),
        ("bearer", {"token": "canary\n"}, {"token"}),
        ("bearer", {"token": "“canary”"}, {"token"}),
        ("bearer", {"token": "canary", "key": "canary"}, {"key"}),
        ("bearer", {"password": "canary"}, {"password", "token"}),
        ("basic", {"username": "", "password": ""}, {"username"}),
        ("basic", {"username": "bo", "password": "canary\x00"}, {"password"}),
    ],
)
def test_bad_secrets_are_told_without_being_shown(
    desk: Connector, way: str, given: Mapping[str, str], paths: set[str]
) -> None:
    """Each fault has the field's name; the value is nowhere."""
    with pytest.raises(InvalidArgument) as told:
        linking.check_secrets(desk, linking.choose_method(desk, way), given)
    assert set(faults(told)) == paths
    assert "canary" not in str(told.value.to_dict())


def test_nothing_is_asked_where_nothing_is_needed(bare: Connector) -> None:
    """A connector without authentication takes no secret."""
    assert linking.check_secrets(bare, linking.choose_method(bare, "none"), {}) == {}


def test_origins_have_their_port(desk: Connector, bare: Connector) -> None:
    """Whether it was written or not, so that equal places are equal texts."""
    assert linking.origins_of(desk, {"site": "acme"}) == ("https://acme.desk.example:443",)
    assert linking.origins_of(bare, {"url": "http://d.example"}) == ("http://d.example:80",)
    assert linking.origins_of(bare, {"url": "http://d.example:8080"}) == ("http://d.example:8080",)


def test_settings_that_make_no_address_are_told(bare: Connector) -> None:
    """Stored ones too: then there is no origin at all."""
    assert linking.current_origins(bare, {"team": "blue"}) is None
    with pytest.raises(InvalidArgument):
        linking.origins_of(bare, {"url": "nonsense"})
