"""A key service as the master key, against an engine in memory; a real Vault was not at hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import httpx2
import pytest

from linkspan.app import build
from linkspan.errors import UpstreamError
from linkspan.settings import Settings
from linkspan.vault.data_keys import make, unwrap
from linkspan.vault.keys import Key
from linkspan.vault.ring import KeyRing, KeyUnavailable, LocalKey, SealBroken
from linkspan.vault.secret import Secret
from linkspan.vault.transit import TransitKey
from tests.fakes.asgi import AsgiTransport
from tests.fakes.transit import Transit

URL = "http://vault.example:8200/v1/transit/linkspan"


def provider(engine: Transit, token: str | None = None) -> TransitKey:
    async def post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=engine.app())) as client:
            answer = await client.post(url, headers=dict(headers), content=body)
        return answer.status_code, answer.content

    return TransitKey(URL, Secret(token or engine.token), post)


async def test_what_was_wrapped_unwraps_in_its_context() -> None:
    """And in no other: another tenant's context is refused by the engine itself."""
    key = provider(Transit())
    wrapped = await key.wrap(b"k" * 32, b"context")
    assert wrapped.startswith(b"vault:v1:")
    assert await key.unwrap(wrapped, b"context") == b"k" * 32
    with pytest.raises(SealBroken, match="message authentication failed"):
        await key.unwrap(wrapped, b"another")


async def test_a_tenants_data_key_cannot_be_moved() -> None:
    """Tenant and id are its context."""
    ring = KeyRing([provider(Transit())])
    made, key = await make(ring, "acme")
    assert await unwrap(ring, made) == key.material
    for moved in ("tenant", "id"):
        other = {"tenant": made.tenant, "id": made.id, "wrapped": made.wrapped}
        other[moved] = "bolt" if moved == "tenant" else b"1234"
        with pytest.raises(SealBroken):
            await unwrap(ring, type(made)(**other))  # type: ignore[arg-type]


async def test_only_keys_are_sent_there() -> None:
    """The two endpoints, with the words that the engine's API has for them, and no tenant's secret."""
    engine = Transit()
    key = provider(engine)
    await key.unwrap(await key.wrap(b"k" * 32, b"c"), b"c")
    assert [(path, sorted(body)) for path, body in engine.asked] == [
        ("/v1/transit/encrypt/linkspan", ["associated_data", "plaintext"]),
        ("/v1/transit/decrypt/linkspan", ["associated_data", "ciphertext"]),
    ]


async def test_what_an_older_version_wrapped_unwraps() -> None:
    """Vault changes its key without us."""
    engine = Transit()
    key = provider(engine)
    wrapped = await key.wrap(b"k" * 32, b"c")
    engine.rotate()
    assert await key.unwrap(wrapped, b"c") == b"k" * 32
    assert (await key.wrap(b"k" * 32, b"c")).startswith(b"vault:v2:")


async def test_a_refused_token_is_told() -> None:
    """With the setting and the policy that it needs, and without the token."""
    with pytest.raises(KeyUnavailable, match="answers 403: permission denied") as told:
        await provider(Transit(), "hvs.wrong").wrap(b"k" * 32, b"c")
    assert "LINKSPAN_TRANSIT_TOKEN" in told.value.for_model()
    assert "hvs." not in told.value.for_model()


async def test_a_sealed_vault_is_told() -> None:
    """Its own words are in the error."""
    with pytest.raises(KeyUnavailable, match="answers 503: Vault is sealed"):
        await provider(Transit(sealed=True)).unwrap(b"vault:v1:x", b"c")


async def test_a_vault_that_is_away_is_told() -> None:
    """The error says that it is the key service, and not the product, that does not answer."""

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        raise UpstreamError("nobody listens there")

    with pytest.raises(KeyUnavailable, match=r"key service http://vault.*nobody listens") as told:
        await TransitKey(URL, Secret("t"), post).wrap(b"k" * 32, b"c")
    assert "LINKSPAN_ALLOW_EGRESS" in told.value.for_model()


@pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"data": {}}', b'{"data": {"plaintext": 7}}'])
async def test_an_answer_that_makes_no_sense_is_told(answer: bytes) -> None:
    """Whatever stands in front of it."""

    async def post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        return 200, answer

    key = TransitKey(URL, Secret("t"), post)
    with pytest.raises(KeyUnavailable, match="answers 200"):
        await key.wrap(b"k" * 32, b"c")
    with pytest.raises(KeyUnavailable, match="answers 200"):
        await key.unwrap(b"vault:v1:x", b"c")


async def test_both_kinds_open_side_by_side() -> None:
    """A key file's keys go on opening what they wrapped after the service was put in front."""
    local, service = LocalKey(Key(bytes(32)), "keys"), provider(Transit())
    before, key = await make(KeyRing([local]), "acme")
    ring = KeyRing([service, local])
    assert await unwrap(ring, before) == key.material
    after, _ = await make(ring, "acme")
    assert json.loads(json.dumps(after.wrapped[5:].decode())).startswith("vault:v1:")


async def test_an_installation_runs_on_it(tmp_path: Path) -> None:
    """It starts without a key file, keeps secrets, and asks the service once for each data key."""
    engine = Transit()
    settings = Settings(home=tmp_path, transit_url=URL, transit_token=engine.token)
    app = await build(settings, transport=AsgiTransport(engine.app()))
    tenant = await app.tenants.add("acme")
    sealed = await app.vault.seal_stored("credential", tenant, "acc_1", b"secret")
    await app.aclose()
    assert not settings.keys_path.exists()
    engine.asked.clear()
    again = await build(settings, transport=AsgiTransport(engine.app()))
    for _ in range(10):
        assert await again.vault.open_stored("credential", tenant, "acc_1", sealed) == b"secret"
    await again.aclose()
    assert [path.split("/")[3] for path, _ in engine.asked] == ["decrypt", "decrypt"]
    assert not any(b"secret" in str(body).encode() for _, body in engine.asked)
