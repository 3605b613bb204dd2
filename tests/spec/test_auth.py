"""Ways to connect, compiled: what is asked, what is sent, and what the file must not give away."""

from __future__ import annotations

from typing import Any

import pytest

from linkspan.spec.catalog import AuthMethod, Connector, Scope
from linkspan.spec.language import connector_names

SECRETS = {"CLIENT": "client-id", "SECRET": "client-secret", "PEM": "pem-text", "KEY": "service-key"}


def desk(load: Any, good: str, way: str, more: str = "") -> Connector:
    """The good file's connector with another way to connect."""
    text = good.replace("{type: bearer, title: API token}", way).replace(
        "    verify: {", f"{more}    verify: {{"
    )
    connector = load(text, environ=SECRETS).connectors["desk"]
    assert isinstance(connector, Connector)
    return connector


def way_of(load: Any, good: str, way: str) -> AuthMethod:
    return desk(load, good, way).auth[0]


OAUTH = "{type: oauth2, authorize_url: 'https://{settings.site}.desk.example/a', token_url: 'https://d.example/t'%s}"


def test_oauth_has_good_defaults(load: Any, good: str) -> None:
    """PKCE, Basic for a client with a secret, the names of RFC 6749, a bearer token in Authorization."""
    way = way_of(load, good, OAUTH % ", scopes: [a, b], client: {id: '${CLIENT}', secret: '${SECRET}'}")
    oauth = way.oauth
    assert oauth is not None
    assert oauth.client is not None
    assert (oauth.client.id, oauth.client.secret) == ("client-id", "client-secret")
    assert (oauth.pkce, oauth.client_auth, oauth.scopes, oauth.scope_separator) == (
        True,
        "basic",
        ("a", "b"),
        " ",
    )
    assert oauth.authorize_url is not None
    assert oauth.authorize_url.expand(Scope({}, {"site": "acme"})) == "https://acme.desk.example/a"
    body = {"access_token": "t", "refresh_token": "r", "expires_in": 5, "scope": "a", "error": "e"}
    answer = oauth.answer
    assert [
        getter(body)
        for getter in (answer.access_token, answer.refresh_token, answer.expires, answer.scope, answer.error)
    ] == ["t", "r", 5, "a", "e"]
    assert (way.name, way.prefix, way.fields, way.sent) == ("Authorization", "Bearer ", (), ("access_token",))


@pytest.mark.parametrize(
    ("more", "fields", "client_auth"),
    [
        ("", ("client_id", "client_secret"), "basic"),
        (", client_auth: none", ("client_id",), "none"),
        (", client: {id: a}", (), "none"),
        (", client_auth: post, client: {id: a, secret: b}", (), "post"),
    ],
)
def test_a_client_is_asked_where_the_file_has_none(
    load: Any, good: str, more: str, fields: tuple[str, ...], client_auth: str
) -> None:
    """Each account brings its own then; one without a secret proves nothing."""
    way = way_of(load, good, OAUTH % more)
    assert way.oauth is not None
    assert (way.fields, way.oauth.client_auth) == (fields, client_auth)


def test_one_client_is_for_all_ways(load: Any, good: str) -> None:
    """`client` beside `auth`, unless a way has its own."""
    ways = (
        OAUTH % ""
        + "\n      - {type: client_credentials, token_url: 'https://d.example/t', client: {id: own}}"
    )
    connector = desk(load, good, ways, "    client: {id: shared, secret: x}\n")
    clients = [way.oauth.client for way in connector.auth if way.oauth is not None]
    assert [client.id for client in clients if client is not None] == ["shared", "own"]


def test_an_audience_is_told_at_both_ends(load: Any, good: str) -> None:
    """Beside the parameters that are written out."""
    more = (
        ", client: {id: a}, audience: api, authorize_params: {prompt: consent}, token_params: {resource: 5}"
    )
    oauth = way_of(load, good, OAUTH % more).oauth
    assert oauth is not None
    assert oauth.authorize_params == (("prompt", "consent"), ("audience", "api"))
    assert oauth.token_params == (("resource", "5"), ("audience", "api"))


def test_an_answer_may_have_its_own_shape(load: Any, good: str) -> None:
    """Where the token stands, how its end is told, and which errors are final."""
    more = ", client: {id: a}, answer: {access_token: user.token, expires: user.until, unit: epoch_ms,"
    oauth = way_of(load, good, OAUTH % f"{more} lifetime: 12h, gone: [bad]}}").oauth
    assert oauth is not None
    answer = oauth.answer
    assert answer.access_token({"user": {"token": "t"}}) == "t"
    assert (answer.unit, answer.lifetime, answer.gone) == ("epoch_ms", 43_200.0, frozenset({"bad"}))


def test_a_github_app_asks_for_its_installation(load: Any, good: str) -> None:
    """Its answers have a shape of their own."""
    way = way_of(load, good, "{type: github_app, client: {id: '${CLIENT}', private_key: '${PEM}'}}")
    assert way.fields == ("installation_id",)
    assert way.oauth is not None
    assert way.oauth.answer.access_token({"token": "t"}) == "t"
    assert way.oauth.answer.unit == "date"


def test_one_key_of_the_operators(load: Any, good: str) -> None:
    """The key, and how the tenant is told."""
    way = way_of(
        load,
        good,
        "{type: basic, per: operator, username: svc, secret: '${KEY}',"
        " tenant: {header: X-Tenant, sign: {key: '${SECRET}', lifetime: 2m}}}",
    )
    assert way.service is not None
    assert way.service.secrets == {"username": "svc", "password": "service-key"}
    mark = way.service.tenant
    assert (mark.header, mark.key, mark.lifetime) == ("X-Tenant", "client-secret", 120.0)
    plain = way_of(load, good, "{type: bearer, per: operator, secret: '${KEY}', tenant: X-Tenant}").service
    assert plain is not None
    assert (plain.tenant.header, plain.tenant.key) == ("X-Tenant", None)


def test_no_secret_is_shown(load: Any, good: str) -> None:
    """A catalog may be printed."""
    for way in (
        OAUTH % ", client: {id: '${CLIENT}', secret: '${SECRET}', private_key: '${PEM}'}",
        "{type: bearer, per: operator, secret: '${KEY}', tenant: {header: X, sign: '${SECRET}'}}",
    ):
        shown = repr(desk(load, good, way))
        assert not any(SECRETS[name] in shown for name in ("SECRET", "PEM", "KEY"))


def test_what_is_found_is_not_asked(load: Any, good: str) -> None:
    """And the look-up may go elsewhere."""
    more = (
        "    connected: {request: GET /sites, base_url: 'https://api.desk.example', choose: sites,"
        " settings: {site: slug}, label: name}\n"
    )
    connector = desk(load, good, "{type: bearer}", more)
    assert connector.settings["site"].is_found
    connected = connector.connected
    assert connected is not None
    assert connected.request.base is not None
    assert connected.request.base.expand(Scope({})) == "https://api.desk.example"
    assert connected.choose({"sites": [1]}) == [1]
    assert [(name, getter({"slug": "acme"})) for name, getter in connected.settings] == [("site", "acme")]


def test_a_setting_that_requests_name_is_asked_whatever_the_way(load: Any, good: str) -> None:
    """One that only another way's address has is not; one that stands in a path besides is."""
    for path, asked in (("/tickets/{id}", ["site"]), ("/{settings.team}/tickets/{id}", ["site", "team"])):
        text = (
            good.replace("{type: bearer, title: API token}", "{type: bearer}\n      - " + ELSEWHERE)
            .replace("    settings:\n", "    settings:\n      team: {title: Team}\n")
            .replace("GET /tickets/{id}", f"GET {path}")
        )
        connector = load(text).connectors["desk"]
        assert sorted(connector.through("bearer").settings) == asked
        assert sorted(connector.through("basic").settings) == ["site", "team"]


ELSEWHERE = "{type: basic, base_url: 'https://{settings.site}.desk.example/{settings.team}'}"


@pytest.mark.parametrize("name", connector_names())
def test_built_in_connectors_are_good(load: Any, good: str, name: str) -> None:
    """With nothing but their name, when the environment has what they ask of it."""
    connector = load(good.replace("connectors:\n", f"connectors:\n  ready: {{use: {name}}}\n")).connectors[
        "ready"
    ]
    assert connector.title
    assert connector.verify is not None


def test_a_built_in_connector_is_overridden_key_by_key(load: Any, check: Any, good: str) -> None:
    """A mapping keeps what is not said again; a list is replaced."""
    own = (
        "  openai: {use: openai, title: Ours, settings: {project: {default: proj_1}}, auth: [{type: none}]}\n"
    )
    connector = load(good.replace("connectors:\n", f"connectors:\n{own}")).connectors["openai"]
    assert connector.title == "Ours"
    assert connector.settings["project"].default == "proj_1"
    assert connector.settings["project"].pattern is not None
    assert "organization" in connector.settings
    assert [way.type for way in connector.auth] == ["none"]
    wrong = good.replace("connectors:\n", f"connectors:\n{own.replace('proj_1', '1')}")
    assert [line.split(": ")[:2] for line in check(wrong)] == [["6:68", "wrong_type"]]
