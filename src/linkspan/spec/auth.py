"""Compiles the ways to connect: keys that are asked, one key of the operator's, and OAuth 2.0."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from linkspan.spec import language
from linkspan.spec.base_urls import compile_base_url
from linkspan.spec.catalog import AuthMethod, Getter, Setting, Template
from linkspan.spec.durations import seconds
from linkspan.spec.grants import Client, OAuth, Service, TenantMark, TokenAnswer
from linkspan.spec.leaves import Leaves
from linkspan.spec.yaml import Path

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_OURS = {"host", "content-length", "transfer-encoding", "connection", "authorization", "cookie"}
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+\Z")
"""One scope (RFC 6749 §3.3): no space, quote or backslash."""
_SECRETS: Final[Mapping[str, tuple[str, ...]]] = {
    "bearer": ("token",),
    "header": ("key",),
    "query": ("key",),
    "basic": ("username", "password"),
    "none": (),
}
_TAKEN: Final = {
    "authorize_params": frozenset(
        ("response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge")
    ),
    "token_params": frozenset(
        ("grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier", "refresh_token")
    ),
}
"""Parameters that are ours to send."""
_TokenAuth = language.OAuth2 | language.ClientCredentials | language.GitHubApp
_KeyAuth = language.BearerAuth | language.HeaderAuth | language.BasicAuth | language.QueryAuth


def compile_auth(
    form: language.Connector, settings: Mapping[str, Setting], leaves: Leaves, path: Path
) -> tuple[AuthMethod, ...]:
    """Compile a connector's `auth` and `client`; mistakes go to the problems of `leaves`."""
    methods: list[AuthMethod] = []
    shared = _client(form.client, leaves, (*path, "client")) if form.client else None
    if form.client and not any(isinstance(way, _TokenAuth) for way in form.auth):
        leaves.problems.add((*path, "client"), "conflict", "no way of auth needs a client", key=True)
    for index, way in enumerate(form.auth):
        here = (*path, "auth", index)
        if any(known.type == way.type for known in methods):
            leaves.problems.add((*here, "type"), "duplicate_auth", f"{way.type} stands here twice")
        prefix = getattr(way, "prefix", "")
        if not prefix.isprintable() or not prefix.isascii():
            leaves.problems.add((*here, "prefix"), "bad_header", "a header holds printable ASCII only")
        oauth: OAuth | None = None
        service: Service | None = None
        name: str | None = getattr(way, "name", None)
        fields = _SECRETS.get(way.type, ())
        if isinstance(way, _TokenAuth):
            name = way.header
            check_header_name((*here, "header"), name, leaves, credential=True)
            looked_up = way.connected or form.connected
            found = looked_up.settings if looked_up is not None else {}
            asked = {known: setting for known, setting in settings.items() if known not in found}
            oauth = _oauth(way, shared, asked, leaves, here)
            fields = _asked(way, oauth)
            _check_client(way, form, oauth, settings, leaves, here)
        elif way.type == "header" and name is not None:
            check_header_name((*here, "name"), name, leaves, credential=True)
        second: str | None = getattr(way, "second", None)
        if second is not None:
            check_header_name((*here, "second"), second, leaves, credential=True)
            fields = (*fields, "second_key")
            if way.per == "operator" or second.lower() == (name or "").lower():
                message = "a second key has a header of its own, and is asked when an account is linked"
                leaves.problems.add((*here, "second"), "conflict", message, key=True)
        if isinstance(way, _KeyAuth):
            service = _service(way, form, settings, leaves, here)
            fields = () if service is not None else fields
        elif way.per == "operator":
            message = (
                f"{way.type} is linked by each tenant; one key for all is bearer, header, basic or query"
            )
            leaves.problems.add((*here, "per"), "conflict", message)
        methods.append(
            AuthMethod(
                type=way.type,
                per=way.per,
                title=leaves.text((*here, "title"), way.title),
                help_url=leaves.text((*here, "help_url"), way.help_url) if way.help_url else None,
                name=name,
                second=second,
                prefix=prefix,
                fields=fields,
                oauth=oauth,
                service=service,
            )
        )
    return tuple(methods)


def check_header_name(
    path: Path, name: str, leaves: Leaves, *, credential: bool = False, key: bool = True
) -> None:
    """Tell a name that is none, or that is ours to set; a credential may be in Authorization."""
    at_key = key and not credential
    if not _HEADER_NAME.match(name):
        leaves.problems.add(path, "bad_header", f"{name!r} is not a header's name", key=at_key)
    elif name.lower() in _OURS and not (credential and name.lower() == "authorization"):
        leaves.problems.add(path, "bad_header", f"{name} is not yours to set; see auth", key=at_key)


# One key for all tenants ----------------------------------------------------------------------------------


def _service(
    way: _KeyAuth, form: language.Connector, settings: Mapping[str, Setting], leaves: Leaves, here: Path
) -> Service | None:
    given = [word for word in ("secret", "tenant", "username") if getattr(way, word, None) is not None]
    if way.per != "operator":
        for word in given:
            message = f"{word} belongs to per: operator; what others bring is asked when they link"
            leaves.problems.add((*here, word), "conflict", message, key=True)
        return None
    wanted = ["secret", "tenant"] + ["username"] * isinstance(way, language.BasicAuth)
    for word in wanted:
        if word not in given:
            message = f"per: operator needs the word {word!r}"
            leaves.problems.add((*here, "per"), "missing_key", message)
    if way.tenant is None or way.secret is None or len(given) != len(wanted):
        return None
    _check_place(way.base_url or form.base_url, settings, leaves, (*here, "secret"), "this key")
    secret = _secret((*here, "secret"), way.secret, leaves)
    field = _SECRETS[way.type][-1]
    secrets = {field: secret}
    if isinstance(way, language.BasicAuth):
        secrets["username"] = leaves.text((*here, "username"), way.username or "")
    return Service(secrets, _tenant_mark(way.tenant, leaves, (*here, "tenant")))


def _tenant_mark(form: language.TenantMark, leaves: Leaves, path: Path) -> TenantMark:
    at = (*path, "header") if leaves.problems.root.find((*path, "header"))[1] > len(path) else path
    check_header_name(at, form.header, leaves, credential=True)
    if not form.prefix.isprintable() or not form.prefix.isascii():
        leaves.problems.add((*path, "prefix"), "bad_header", "a header holds printable ASCII only")
    if form.sign is None:
        return TenantMark(form.header, form.prefix)
    short = leaves.problems.root.find((*path, "sign", "key"))[1] <= len(path) + 1
    key = _secret((*path, "sign") if short else (*path, "sign", "key"), form.sign.key, leaves)
    audience = form.sign.audience
    return TenantMark(
        header=form.header,
        prefix=form.prefix,
        key=key,
        audience=leaves.text((*path, "sign", "audience"), audience) if audience else None,
        lifetime=seconds(form.sign.lifetime),
    )


# OAuth 2.0 ------------------------------------------------------------------------------------------------


def _oauth(
    way: _TokenAuth, shared: Client | None, asked: Mapping[str, Setting], leaves: Leaves, here: Path
) -> OAuth:
    def url(word: str) -> Template | None:
        text: str | None = getattr(way, word, None)
        return compile_base_url((*here, word), text, asked, leaves) if text is not None else None

    client = _client(way.client, leaves, (*here, "client")) if way.client else shared
    scopes: Sequence[str] = getattr(way, "scopes", [])
    for index, scope in enumerate(scopes):
        if not _SCOPE.match(scope):
            message = "a scope is one word; write several as a list"
            leaves.problems.add((*here, "scopes", index), "bad_value", message)
    authorize, token = (_params(way, word, leaves, here) for word in ("authorize_params", "token_params"))
    audience: str | None = getattr(way, "audience", None)
    if audience is not None:
        named = ("audience", leaves.text((*here, "audience"), audience))
        authorize, token = (*authorize, named), (*token, named)
    issuer: str | None = getattr(way, "issuer", None)
    return OAuth(
        answer=_answer(getattr(way, "answer", None) or _usual_answer(way), leaves, (*here, "answer")),
        token_url=url("token_url"),
        authorize_url=url("authorize_url"),
        refresh_url=url("refresh_url"),
        revoke_url=url("revoke_url"),
        install_url=url("install_url"),
        scopes=tuple(scopes),
        scope_separator=getattr(way, "scope_separator", " "),
        client=client,
        client_auth=_client_auth(way, client),
        authorize_params=authorize,
        token_params=token,
        pkce=getattr(way, "pkce", True),
        issuer=leaves.text((*here, "issuer"), issuer) if issuer else None,
        register_url=leaves.text((*here, "register_url"), way.register_url) if way.register_url else None,
    )


def _usual_answer(way: _TokenAuth) -> language.TokenAnswer:
    is_github = isinstance(way, language.GitHubApp)
    words = {"access_token": "token", "expires": "expires_at", "unit": "date"} if is_github else {}
    return language.TokenAnswer.model_validate(words)


def _answer(form: language.TokenAnswer, leaves: Leaves, path: Path) -> TokenAnswer:
    def getter(word: str) -> Getter:
        return leaves.getter((*path, word), getattr(form, word)) or (lambda _body: None)

    return TokenAnswer(
        access_token=getter("access_token"),
        refresh_token=getter("refresh_token"),
        expires=getter("expires"),
        scope=getter("scope"),
        error=getter("error"),
        unit=form.unit,
        lifetime=seconds(form.lifetime) if form.lifetime else None,
        gone=frozenset(form.gone),
    )


def _params(way: _TokenAuth, word: str, leaves: Leaves, here: Path) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    params: Mapping[str, Any] = getattr(way, word, {})
    for name, value in params.items():
        if name in _TAKEN[word]:
            leaves.problems.add((*here, word, name), "conflict", f"{name} is set by itself", key=True)
        text = ("true" if value else "false") if isinstance(value, bool) else str(value)
        found.append((name, leaves.text((*here, word, name), text)))
    return tuple(found)


def _client(form: language.Client, leaves: Leaves, path: Path) -> Client:
    return Client(
        id=_secret((*path, "id"), form.id, leaves),
        secret=_secret((*path, "secret"), form.secret, leaves) if form.secret is not None else None,
        private_key=_secret((*path, "private_key"), form.private_key, leaves)
        if form.private_key is not None
        else None,
    )


def _secret(path: Path, text: str, leaves: Leaves) -> str:
    value = leaves.text(path, text).strip()
    if not value:
        leaves.problems.add(path, "bad_value", "is empty")
    return value


def _client_auth(way: _TokenAuth, client: Client | None) -> Any:
    said = getattr(way, "client_auth", None)
    return said or ("none" if client is not None and client.secret is None else "basic")


def _asked(way: _TokenAuth, oauth: OAuth) -> tuple[str, ...]:
    if isinstance(way, language.GitHubApp):
        return ("installation_id",)
    if oauth.client is not None:
        return ()
    return ("client_id",) if oauth.client_auth == "none" else ("client_id", "client_secret")


def _check_client(
    way: _TokenAuth,
    form: language.Connector,
    oauth: OAuth,
    settings: Mapping[str, Setting],
    leaves: Leaves,
    here: Path,
) -> None:
    at = (*here, "client") if way.client else (*here, "type")
    client = oauth.client
    if isinstance(way, language.GitHubApp):
        if client is None or client.private_key is None:
            leaves.problems.add(at, "missing_key", "a GitHub App needs client: {id, private_key}")
        if (way.install_url is None) != (way.token_url is None):
            message = "install_url and token_url belong together: linking in a browser needs both"
            leaves.problems.add(here, "conflict", message)
        _check_place(way.base_url or form.base_url, settings, leaves, at, "what the client signs")
        return
    if oauth.client_auth in {"basic", "post"} and client is not None and client.secret is None:
        message = f"client_auth: {oauth.client_auth} needs the client's secret"
        leaves.problems.add((*here, "client_auth"), "missing_key", message)
    if client is None and oauth.client_auth == "none" and isinstance(way, language.ClientCredentials):
        leaves.problems.add((*here, "client_auth"), "conflict", "without a secret nothing is proven")
    if client is not None:
        for word in ("token_url", "refresh_url", "revoke_url"):
            _check_place(getattr(way, word, None) or "", settings, leaves, at, "this client")


def _check_place(url: str, settings: Mapping[str, Setting], leaves: Leaves, path: Path, what: str) -> None:
    """Refuse to send what is the operator's wherever a tenant's setting says."""
    for name, setting in settings.items():
        if setting.type == "origin" and f"{{settings.{name}}}" in url:
            message = f"{what} would go to whatever server a tenant names in {name}"
            leaves.problems.add(path, "conflict", message)
