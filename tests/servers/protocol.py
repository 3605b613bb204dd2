"""The app-server's protocol as a Codex binary writes it, and conversations that are held against it."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

from tests.servers.codex import clean_environment
from tests.servers.node import ROOT

Json = dict[str, Any]
ANSWERS: Final[Mapping[str, str]] = {
    "initialize": "v1/InitializeResponse",
    "thread/start": "v2/ThreadStartResponse",
    "thread/resume": "v2/ThreadResumeResponse",
    "thread/read": "v2/ThreadReadResponse",
    "thread/list": "v2/ThreadListResponse",
    "thread/turns/list": "v2/ThreadTurnsListResponse",
    "thread/unsubscribe": "v2/ThreadUnsubscribeResponse",
    "turn/start": "v2/TurnStartResponse",
    "turn/steer": "v2/TurnSteerResponse",
    "turn/interrupt": "v2/TurnInterruptResponse",
    "model/list": "v2/ModelListResponse",
    "item/commandExecution/requestApproval": "CommandExecutionRequestApprovalResponse",
    "item/fileChange/requestApproval": "FileChangeRequestApprovalResponse",
    "item/permissions/requestApproval": "PermissionsRequestApprovalResponse",
}
"""Where the answer to each method is described, whoever asks it."""
_WHOLE: Final = ("ClientRequest", "ClientNotification", "ServerRequest", "ServerNotification", "JSONRPCError")


@dataclass(frozen=True)
class Protocol:
    """What one binary says of its protocol, experiments included, by the names of its files."""

    schemas: Mapping[str, Json]

    @cached_property
    def _validators(self) -> Mapping[str, Any]:
        return {name: jsonschema_rs.validator_for(schema) for name, schema in self.schemas.items()}

    def check(self, name: str, value: Any) -> None:
        """Raise `jsonschema_rs.ValidationError` for what is none of that."""
        self._validators[name].validate(value)


@contextlib.contextmanager
def described(command: Sequence[str]) -> Iterator[Protocol]:
    """Let a binary describe its protocol."""
    place = ROOT / ".work" / f"schema-{uuid.uuid4().hex[:12]}"
    (place / "home" / "tmp").mkdir(parents=True)
    words = ("app-server", "generate-json-schema", "--experimental", "--out", str(place / "schema"))
    environment = clean_environment(place / "home")
    try:
        subprocess.run([*command, *words], env=environment, check=True, capture_output=True, timeout=60)
        names = (*_WHOLE, *ANSWERS.values())
        yield Protocol({name: _read(place / "schema" / f"{name}.json") for name in names})
    finally:
        shutil.rmtree(place)


def _read(path: Path) -> Json:
    found: Json = json.loads(path.read_text())
    return found


@dataclass
class Conversation:
    """Both sides of one connection; it remembers which method each of them has asked under which id."""

    protocol: Protocol
    asked: dict[Any, str] = field(default_factory=dict)
    questions: dict[Any, str] = field(default_factory=dict)

    def sent(self, message: Json) -> None:
        """Hold what a client says."""
        self._hold(message, "Client", self.asked, self.questions)

    def came(self, message: Json) -> None:
        """Hold what the server says."""
        self._hold(message, "Server", self.questions, self.asked)

    def _hold(self, message: Json, side: str, asks: dict[Any, str], answers: dict[Any, str]) -> None:
        plain = {name: value for name, value in message.items() if name != "jsonrpc"}
        if "method" in plain and "id" in plain:
            asks[plain["id"]] = plain["method"]
            self.protocol.check(f"{side}Request", plain)
        elif "method" in plain:
            self.protocol.check(f"{side}Notification", plain)
        elif "error" in plain:
            self.protocol.check("JSONRPCError", plain)
        else:
            self.protocol.check(ANSWERS[answers[plain["id"]]], plain["result"])
