"""A transit engine in memory, with the two endpoints and the answers of HashiCorp Vault 1.15."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class Transit:
    """One engine with one key, `linkspan`, of several versions; every request is kept."""

    token: str = "hvs.canary-token"
    sealed: bool = False
    versions: list[AESGCM] = field(default_factory=lambda: [AESGCM(os.urandom(32))])
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def rotate(self) -> None:
        """Wrap with a new version of the key; older ones go on opening."""
        self.versions.append(AESGCM(os.urandom(32)))

    def app(self) -> Starlette:
        """Answer the ASGI application."""
        return Starlette(
            routes=[
                Route("/v1/transit/encrypt/linkspan", self._encrypt, methods=["POST"]),
                Route("/v1/transit/decrypt/linkspan", self._decrypt, methods=["POST"]),
            ]
        )

    async def _enter(self, request: Request) -> dict[str, str] | Response:
        if self.sealed:
            return _errors(503, "Vault is sealed")
        if request.headers.get("X-Vault-Token") != self.token:
            return _errors(403, "permission denied")
        body: dict[str, str] = await request.json()
        self.asked.append((request.url.path, body))
        return body

    async def _encrypt(self, request: Request) -> Response:
        body = await self._enter(request)
        if isinstance(body, Response):
            return body
        nonce, version = os.urandom(12), len(self.versions)
        data = nonce + self.versions[-1].encrypt(
            nonce, base64.b64decode(body["plaintext"]), base64.b64decode(body["associated_data"])
        )
        ciphertext = f"vault:v{version}:{base64.b64encode(data).decode()}"
        return JSONResponse({"data": {"ciphertext": ciphertext, "key_version": version}})

    async def _decrypt(self, request: Request) -> Response:
        body = await self._enter(request)
        if isinstance(body, Response):
            return body
        try:
            _, version, text = body["ciphertext"].split(":")
            data = base64.b64decode(text)
            opened = self.versions[int(version[1:]) - 1].decrypt(
                data[:12], data[12:], base64.b64decode(body["associated_data"])
            )
        except (ValueError, IndexError):
            return _errors(400, "invalid ciphertext: no prefix")
        except InvalidTag:
            return _errors(400, "cipher: message authentication failed")
        return JSONResponse({"data": {"plaintext": base64.b64encode(opened).decode()}})


def _errors(status: int, message: str) -> Response:
    return JSONResponse({"errors": [message]}, status_code=status)
