"""A sandbox of OpenAI's as its guides and its package have it: files, setup commands, a shell, artifacts.

It is a folder of this machine in the place of `/workspace`, and its commands are really run. Where a file may
go is the word of the official package's own helper; what is answered is held against its types.
"""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai.lib.beta.agents._files import _destination
from openai.types.beta.agents.environment_info import EnvironmentInfo
from openai.types.beta.agents.sessions.session_artifact import SessionArtifact

Json = dict[str, Any]
PLACE = "/workspace"
_ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}


@dataclass
class Sandbox:
    """One of them."""

    id: str
    folder: Path
    network: Json
    status: str = "pending"
    ran: list[str] = field(default_factory=list)
    artifacts: list[Json] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)

    async def prepare(self, environment: Json, uploads: dict[str, bytes]) -> None:
        """Put the files there and run the setup commands, in their order; one that fails is the end of it."""
        for file in environment.get("files") or ():
            there = self._at(_destination(file["path"]))
            inline = file["type"] == "inline"
            data = base64.b64decode(file["data"]) if inline else uploads[file["file_id"]]
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(data)
        for each in environment.get("setup_commands") or ():
            code, _output = await self.run(each["command"])
            if code:
                self.status = "failed"
                return
        self.status = "connected"

    async def run(self, command: str) -> tuple[int, str]:
        """Run a command of Codex's; answers its code and what it said."""
        self.ran.append(command)
        ran = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-c", command.replace(PLACE, str(self.folder))],
            cwd=self.folder,
            env={**_ENVIRONMENT, "HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return ran.returncode, ran.stdout.decode(errors="replace")

    def publish(self, session: str, turn: str) -> None:
        """Keep copies of what is below `outputs`, as they are when a turn is completed."""
        for path in sorted((self.folder / "outputs").rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                name = f"artifact_{len(self.artifacts) + 1}"
                artifact = {
                    "id": name,
                    "created_at": 1_800_000_000,
                    "environment_id": self.id,
                    "object": "agent.session.artifact",
                    "path": f"{PLACE}/{path.relative_to(self.folder)}",
                    "session_id": session,
                    "size_bytes": len(data),
                    "turn_id": turn,
                }
                SessionArtifact.model_validate(artifact)
                self.artifacts.append(artifact)
                self.contents[name] = data

    def as_resource(self) -> Json:
        """Answer what a session says of it."""
        return {
            "type": "openai_hosted",
            "id": self.id,
            "capability_directories": [],
            "files": [],
            "network": {"access": "disabled", "allowed_domains": [], **self.network},
            "packages": {"npm": [], "python": [], "system": []},
            "plugins": [],
            "skills": [],
        }

    def as_info(self) -> Json:
        """Answer what it is asked about itself."""
        told = {
            "id": self.id,
            "object": "agent.environment",
            "status": self.status,
            "type": "openai_hosted",
            "files": [],
            "plugins": [],
            "skills": [],
        }
        EnvironmentInfo.model_validate(told)
        return told

    def _at(self, path: str) -> Path:
        return self.folder / path.removeprefix(f"{PLACE}/")
