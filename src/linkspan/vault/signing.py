"""Signed tokens that we show to others: JSON Web Tokens (RFC 7519) in the compact form of RFC 7515 §7.1."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any


def sign_hs256(key: str, claims: Mapping[str, Any]) -> str:
    """Answer a JWT signed with a shared key (RFC 7518 §3.2)."""
    unsigned = _unsigned("HS256", claims)
    return f"{unsigned}.{_text(hmac.new(key.encode(), unsigned.encode(), hashlib.sha256).digest())}"


def sign_rs256(pem: str, claims: Mapping[str, Any]) -> str:
    """Answer a JWT signed with an RSA key (RFC 7518 §3.3).

    Line ends in the PEM may be written with a backslash, as variables of an environment often have them.
    Raises `ValueError`, which shows nothing of it, for what is no RSA key.
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
    except Exception:  # it raises many kinds, and some quote the key
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA private key in PEM")
    unsigned = _unsigned("RS256", claims)
    return f"{unsigned}.{_text(key.sign(unsigned.encode(), PKCS1v15(), SHA256()))}"


def _unsigned(algorithm: str, claims: Mapping[str, Any]) -> str:
    head = {"alg": algorithm, "typ": "JWT"}
    return ".".join(_text(json.dumps(part, separators=(",", ":")).encode()) for part in (head, dict(claims)))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
