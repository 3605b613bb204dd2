"""What a client reads first: the authorization server of a tenant, described (RFC 8414).

The same for a tenant that is there and for one that is not. Nothing is looked up for it: clients ask each
time they start.
"""

from __future__ import annotations

from typing import Any

from linkspan.web.oauth.place import Place


def document(place: Place, *, registration: bool) -> dict[str, Any]:
    """Answer the metadata. `registration` tells whether clients may register themselves."""
    issuer = place.issuer
    told: dict[str, Any] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "scopes_supported": ["read", "write", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "client_id_metadata_document_supported": True,
        "authorization_response_iss_parameter_supported": True,
        "protected_resources": [place.resource],
    }
    if registration:
        told["registration_endpoint"] = f"{issuer}/oauth/register"
    return told
