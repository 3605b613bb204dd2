"""The command line: two servers in one process, git behind TLS with a certificate made for this start."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from forge.app import Forge
from forge.git import Repositories

HOST = "127.0.0.1"


def main() -> int:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(
        prog="forge", description="A small forge for the demo. FORGE_TOKEN is what opens it."
    )
    parser.add_argument("--port", type=int, required=True, help="the API's port")
    parser.add_argument("--git-port", type=int, required=True, help="git's port, behind TLS")
    parser.add_argument("--fd", type=int, help="a socket that listens already, in place of a port")
    parser.add_argument("--git-fd", type=int, help="the same for git's")
    parser.add_argument("--data", type=Path, required=True, help="a folder")
    parser.add_argument("--repository", required=True, help="OWNER/NAME")
    parser.add_argument("--files", type=Path, required=True, help="what the repository begins with")
    options = parser.parse_args()
    token = os.environ.get("FORGE_TOKEN") or parser.error("FORGE_TOKEN is not set")
    options.data.mkdir(parents=True, exist_ok=True)
    repositories = Repositories(options.data / "repositories", token)
    repositories.make(options.repository, options.files)
    forge = Forge(
        repositories,
        options.repository,
        token,
        url=f"http://{HOST}:{options.port}",
        git_url=f"https://{HOST}:{options.git_port}",
        kept=options.data / "pulls.json",
    )
    certificate, key = _certificate(options.data)
    quiet: dict[str, Any] = {"host": HOST, "log_level": "error", "access_log": False, "lifespan": "off"}
    servers = [
        uvicorn.Server(uvicorn.Config(forge.app(), port=options.port, fd=options.fd, **quiet)),
        uvicorn.Server(
            uvicorn.Config(
                repositories,
                port=options.git_port,
                fd=options.git_fd,
                ssl_certfile=str(certificate),
                ssl_keyfile=str(key),
                **quiet,
            )
        ),
    ]
    asyncio.run(_serve(servers))
    return 0


async def _serve(servers: list[uvicorn.Server]) -> None:
    running = [asyncio.create_task(server.serve()) for server in servers]
    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*running)


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The demo's forge")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "forge.pem", folder / "forge.key"
    private.touch(mode=0o600)
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return certificate, private


if __name__ == "__main__":
    sys.exit(main())
